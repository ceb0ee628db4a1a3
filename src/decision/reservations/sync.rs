//! What [`Holds`](super::Holds) are synchronized with: the standard library's, or shuttle's, which tries other interleavings than a
//! machine happens to run.

#[cfg(feature = "shuttle")]
pub use shuttle::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
#[cfg(not(feature = "shuttle"))]
pub use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
