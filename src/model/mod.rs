//! The nouns that every part of openseat knows.

pub mod agent;
pub mod digest;
pub mod fault;
pub(crate) mod field;
pub mod known;
pub mod names;
pub mod quantity;
pub mod raw;
