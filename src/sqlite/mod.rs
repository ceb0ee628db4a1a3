//! SQLite files that outlive a process: opened, checked, brought to the present layout, and set aside when they are damaged.
//!
//! A file is never deleted and never overwritten. One that is damaged or another program's gets another name beside its old one, with the
//! time, and whoever opened it begins anew, with the caution that the loss asks for. One from a newer openseat is refused: it
//! is good, and this program would make it bad.

mod file;
pub mod packed;
mod quarantine;
mod schema;
#[cfg(test)]
mod tests;
pub mod writer;

pub use self::{
    file::{Condition, File},
    quarantine::{clear_the_way, set_aside, was_set_aside},
    schema::{Layout, OpenError, does_not_fit},
};
