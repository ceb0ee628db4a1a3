//! Where in the file a table is, for messages.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::Kind,
    source::{Reported, Source},
};

/// Longer names are truncated when shown.
const MAX_SHOWN_NAME: usize = 64;

/// A table's place, which is reported with its values.
pub(super) struct Place<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) kind: &'static Kind,
    /// Where the table begins in the text.
    pub(super) start: usize,
    /// As `account "main": queue "sales"`; empty for the file itself.
    pub(super) name: String,
}

impl Place<'_> {
    /// Reports a mistake at this point of the text.
    pub(super) fn wrong(&self, at: usize, message: String) -> Reported {
        self.source.wrong(at, &self.name, message)
    }

    /// Warns of this point of the text.
    pub(super) fn warn(&self, at: usize, message: String) {
        self.source.warn(at, &self.name, message);
    }

    /// Says how this point of the text was understood.
    pub(super) fn note(&self, at: usize, message: String) {
        self.source.note(at, &self.name, message);
    }
}

/// Names a table by the value of a key if that is a text or a number, else by its number.
pub(super) fn name_table(noun: &str, table: &DeTable<'_>, key: &str, number: usize) -> String {
    match table.get(key).map(Spanned::get_ref) {
        Some(DeValue::String(name)) => format!("{noun} {}", quoted(name)),
        Some(DeValue::Integer(id)) => format!("{noun} {}", quoted(&id.to_string())),
        _ => format!("{noun} number {number}"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", shown_name(name))
}

/// Fits a name from the file into a message of one line.
pub(super) fn shown_name(name: &str) -> String {
    let start: String = name.chars().take(MAX_SHOWN_NAME).collect();
    let cut = if start.len() < name.len() { "…" } else { "" };
    format!("{}{cut}", start.escape_debug())
}
