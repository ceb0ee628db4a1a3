//! The nouns that every part of openseat knows.

pub mod digest;
pub mod known;
pub mod names;
pub mod quantity;
