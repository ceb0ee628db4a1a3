//! Work that may hang, on a thread that can be left behind.
//!
//! A file system that does not answer blocks the thread that asks it, and no signal ends that wait. Tokio's own threads for blocking work
//! delay the end of the runtime, and panic if no thread can be started. So work that may hang gets its own thread and a deadline; after the
//! deadline the caller continues, and the thread ends whenever the system lets it.
//!
//! Deadlines are in real time: a test that pauses Tokio's clock does not pause a disk.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

/// The most threads at work or left behind. Twenty accounts whose files hang take twenty; a process that has left this many
/// behind has a file system that will not answer the next one either. Well below the 256 tasks that the unit allows.
const MAX_THREADS: usize = 64;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The deadline has passed.
    #[error("no answer from the file system within {}", humantime::format_duration(*.0))]
    Late(Duration),
    /// Too many are waiting for something that hangs.
    #[error("the file system has left {MAX_THREADS} earlier requests without an answer")]
    TooMany,
    /// The system cannot start a thread.
    #[error("no thread to wait on: {0}")]
    NoThread(io::Error),
    /// The work panicked; the log says more.
    #[error("an internal error, which the log describes")]
    Panicked,
}

/// Does the work on its own thread and waits for it, at most until the deadline. Blocks.
///
/// # Errors
/// [`Unfinished`]
pub fn wait<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let place = Place::take()?;
    let (done, result) = sync_channel(1);
    start(move || {
        let _place = place;
        // After the deadline the receiver is gone.
        let _ = done.send(work());
    })?;
    result.recv_timeout(deadline).map_err(|error| match error {
        RecvTimeoutError::Timeout => Unfinished::Late(deadline),
        RecvTimeoutError::Disconnected => Unfinished::Panicked,
    })
}

/// Does the work on its own thread for a task, without blocking a thread of the runtime.
///
/// # Errors
/// [`Unfinished`]
pub async fn run<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let waited = bounded(move || wait(deadline, work)).await;
    waited.and_then(|done| done)
}

/// Does work that limits its own time, off the runtime.
///
/// # Errors
/// [`Unfinished`], but never [`Unfinished::Late`].
pub async fn bounded<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let (done, result) = oneshot::channel();
    start(move || drop(done.send(work())))?;
    result.await.map_err(|_| Unfinished::Panicked)
}

/// Starts work that limits its own time, without waiting.
///
/// # Errors
/// [`Unfinished::NoThread`]
pub fn start(work: impl FnOnce() + Send + 'static) -> Result<(), Unfinished> {
    let thread = thread::Builder::new().name("aside".to_owned());
    // The panic hook logs a panic; the caller sees the channel close.
    let spawned = thread.spawn(move || drop(catch_unwind(AssertUnwindSafe(work))));
    spawned.map(drop).map_err(Unfinished::NoThread)
}

/// One of [`MAX_THREADS`].
struct Place;

impl Place {
    fn take() -> Result<Self, Unfinished> {
        let taken = THREADS.fetch_add(1, Ordering::Relaxed);
        let place = Place;
        if taken < MAX_THREADS {
            Ok(place)
        } else {
            Err(Unfinished::TooMany)
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn finished_work_returns_and_hanging_work_is_abandoned() {
        assert_eq!(run(LONG, || 7).await.unwrap(), 7);
        let (release, hangs) = channel::<()>();
        let left = run(SHORT, move || hangs.recv().is_ok()).await;
        assert!(matches!(left, Err(Unfinished::Late(SHORT))), "{left:?}");
        drop(release);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_a_hang() {
        let panicked = run(LONG, || panic!("on purpose")).await;
        assert!(matches!(panicked, Err(Unfinished::Panicked)));
    }
}
