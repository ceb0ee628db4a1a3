//! SQLite files that outlive a process: opened, checked, migrated to the current schema, and quarantined when they are damaged.
//!
//! A file is never deleted or overwritten. A file that is damaged, or another program's, is renamed with the time in its new name, and
//! its owner starts with a new one, with the precautions that the loss requires. A file from a newer openseat is rejected: it is good, and this
//! program would damage it.

mod file;
mod intact;
mod quarantine;
mod read;
pub mod rows_codec;
mod schema;
mod size;
#[cfg(test)]
mod tests;
pub mod writer;

pub use self::{
    file::{Condition, File},
    quarantine::{quarantine, quarantine_orphan_wal, was_quarantined},
    read::open_to_read,
    schema::{OpenError, Schema, does_not_fit},
    size::used_bytes,
};
