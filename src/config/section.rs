//! One table of the file: its values by their keys, and the keys that it should not have.

use std::fmt::Display;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::{self, Kind},
    source::{Checked, Reported, Source, all},
    value::{Value, named_type},
};

/// Longer names are cut when they are shown.
const LONGEST_SHOWN_NAME: usize = 64;

/// A table of the file.
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    kind: &'static Kind,
    table: &'a DeTable<'a>,
    start: usize,
    place: String,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(super) fn root(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Self {
        Self::new(source, &keys::ROOT, table, 0, String::new())
    }

    /// Takes hold of a table, and reports every key that it should not have.
    fn new(
        source: &'a Source<'a>,
        kind: &'static Kind,
        table: &'a DeTable<'a>,
        start: usize,
        place: String,
    ) -> Self {
        let section = Self {
            source,
            kind,
            table,
            start,
            place,
        };
        section.refuse_unknown_keys();
        section
    }

    fn refuse_unknown_keys(&self) {
        for key in self.table.keys() {
            let name = key.get_ref();
            if !self.kind.has(name) {
                let advice = self.kind.advice(name);
                let message = format!("unknown key `{}`; {advice}", shown_name(name));
                self.source.wrong(key.span().start, &self.place, message);
            }
        }
    }

    /// Which table it is.
    pub(super) fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The file it is in.
    pub(super) fn source(&self) -> &'a Source<'a> {
        self.source
    }

    /// Which table it is, in words.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Reports a mistake of the whole table, such as a missing key.
    pub(super) fn wrong(&self, message: impl Display) -> Reported {
        self.source
            .wrong(self.start, &self.place, message.to_string())
    }

    /// Looks an environment variable up.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        self.source.env(name)
    }

    /// The value of a key.
    pub(super) fn value(&self, key: &'static str) -> Option<Value<'_>> {
        let node = self.table.get(key)?;
        Some(Value::new(self, key, node))
    }

    /// Reads the value of a key that may be absent.
    pub(super) fn optional<'s, T>(
        &'s self,
        key: &'static str,
        read: impl FnOnce(&Value<'s>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        self.value(key).map(|value| read(&value)).transpose()
    }

    /// Reads the value of a key that must be there.
    pub(super) fn required<'s, T>(
        &'s self,
        key: &'static str,
        read: impl FnOnce(&Value<'s>) -> Checked<T>,
    ) -> Checked<T> {
        match self.value(key) {
            Some(value) => read(&value),
            None => {
                let example = self.kind.example(key);
                Err(self.wrong(format!(
                    "`{key}` is missing; write for instance `{key} = {example}`"
                )))
            }
        }
    }

    /// The table under a key.
    pub(super) fn table(
        &self,
        key: &'static str,
        kind: &'static Kind,
        place: &str,
    ) -> Checked<Option<Section<'_>>> {
        self.optional(key, |value| match value.node() {
            DeValue::Table(table) => Ok(self.inner(kind, table, value.start(), place)),
            other => Err(value.wrong(format!(
                "must be a table, not {}; write {} in a line of its own and the keys below it",
                named_type(other),
                kind.header
            ))),
        })
    }

    /// The tables under a key, in order. `place` names one by its table and its number, counted from 1.
    pub(super) fn tables(
        &self,
        key: &'static str,
        kind: &'static Kind,
        place: impl Fn(&DeTable<'_>, usize) -> String,
    ) -> Checked<Vec<Section<'_>>> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let not_tables = |found: &DeValue<'_>| {
            value.wrong(format!(
                "must be a list of tables, not {}; write {} with double brackets in a line of its own, and the keys below it",
                named_type(found),
                kind.header
            ))
        };
        let DeValue::Array(nodes) = value.node() else {
            return Err(not_tables(value.node()));
        };
        all(nodes
            .iter()
            .enumerate()
            .map(|(index, node)| match node.get_ref() {
                DeValue::Table(table) => {
                    let place = place(table, index + 1);
                    Ok(self.inner(kind, table, node.span().start, &place))
                }
                other => Err(not_tables(other)),
            }))
    }

    fn inner<'s>(
        &'s self,
        kind: &'static Kind,
        table: &'s DeTable<'s>,
        start: usize,
        place: &str,
    ) -> Section<'s> {
        let place = match self.place.as_str() {
            "" => place.to_owned(),
            outer => format!("{outer}: {place}"),
        };
        Section::new(self.source, kind, table, start, place)
    }
}

/// Names a table by one of its keys, where that is a text or a number, else by its number.
pub(super) fn place(noun: &str, table: &DeTable<'_>, key: &str, number: usize) -> String {
    match table.get(key).map(Spanned::get_ref) {
        Some(DeValue::String(name)) => format!("{noun} {}", quoted(name)),
        Some(DeValue::Integer(id)) => format!("{noun} {}", quoted(&id.to_string())),
        _ => format!("{noun} number {number}"),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", shown_name(name))
}

/// A name from the file, fit for a message of one line.
fn shown_name(name: &str) -> String {
    let start: String = name.chars().take(LONGEST_SHOWN_NAME).collect();
    let cut = if start.len() < name.len() { "…" } else { "" };
    format!("{}{cut}", start.escape_debug())
}
