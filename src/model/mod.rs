//! The types that every part of openseat shares.

pub mod agent;
pub mod config_name;
pub mod digest;
pub mod fault;
pub(crate) mod field;
pub mod hours;
pub mod known;
pub mod names;
pub mod quantity;
pub mod raw;
