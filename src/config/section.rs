//! One table of the file: its values by key, and unknown keys.

use std::fmt::Display;

use toml::de::{DeTable, DeValue};

use super::{
    keys::{self, Kind},
    place::{Place, shown_name},
    source::{Checked, Reported, Source, all},
    value::{Value, named_type},
};

/// A table of the file.
pub(super) struct Section<'a> {
    place: Place<'a>,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    /// Creates the section of the file itself.
    pub(super) fn root(source: &'a Source<'a>, table: &'a DeTable<'a>) -> Self {
        let place = Place {
            source,
            kind: &keys::ROOT,
            start: 0,
            name: String::new(),
        };
        Self::new(place, table)
    }

    /// Creates a section, and reports every unknown key.
    fn new(place: Place<'a>, table: &'a DeTable<'a>) -> Self {
        let section = Self { place, table };
        section.refuse_unknown_keys();
        section
    }

    fn refuse_unknown_keys(&self) {
        for key in self.table.keys() {
            let name = key.get_ref();
            if !self.place.kind.takes(name) {
                let advice = self.place.kind.advice(name);
                let message = format!("unknown key `{}`; {advice}", shown_name(name));
                self.place.wrong(key.span().start, message);
            }
        }
    }

    /// Reports a mistake of the whole table, such as a missing key.
    pub(super) fn wrong(&self, message: impl Display) -> Reported {
        self.place.wrong(self.place.start, message.to_string())
    }

    /// Looks up an environment variable.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        self.place.source.env(name)
    }

    /// Returns the value of a key.
    pub(super) fn value(&self, key: &'static str) -> Option<Value<'_>> {
        let node = self.table.get(key)?;
        Some(Value::new(&self.place, key, node))
    }

    /// Reads the value of a key that may be absent.
    pub(super) fn optional<'s, T>(
        &'s self,
        key: &'static str,
        read: impl FnOnce(&Value<'s>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        self.value(key).map(|value| read(&value)).transpose()
    }

    /// Reads the value of a required key.
    pub(super) fn required<'s, T>(
        &'s self,
        key: &'static str,
        read: impl FnOnce(&Value<'s>) -> Checked<T>,
    ) -> Checked<T> {
        match self.value(key) {
            Some(value) => read(&value),
            None => {
                let example = self.place.kind.example(key);
                Err(self.wrong(format!(
                    "`{key}` is missing; write for example `{key} = {example}`"
                )))
            }
        }
    }

    /// Returns the table under a key.
    pub(super) fn table(
        &self,
        key: &'static str,
        kind: &'static Kind,
        name: &str,
    ) -> Checked<Option<Section<'_>>> {
        self.optional(key, |value| match value.node() {
            DeValue::Table(table) => Ok(self.inner(kind, table, value.start(), name)),
            other => Err(value.wrong(format!(
                "must be a table, not {}; write {} on a line of its own and the keys below it",
                named_type(other),
                kind.header
            ))),
        })
    }

    /// Returns the tables under a key, in order. `name` gets each table and its number, counted from 1.
    pub(super) fn tables(
        &self,
        key: &'static str,
        kind: &'static Kind,
        name: impl Fn(&DeTable<'_>, usize) -> String,
    ) -> Checked<Vec<Section<'_>>> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let not_tables = |found: &DeValue<'_>| {
            value.wrong(format!(
                "must be a list of tables, not {}; write {} with double brackets on a line of its own, and the keys below it",
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
                    let name = name(table, index + 1);
                    Ok(self.inner(kind, table, node.span().start, &name))
                }
                other => Err(not_tables(other)),
            }))
    }

    fn inner<'s>(
        &'s self,
        kind: &'static Kind,
        table: &'s DeTable<'s>,
        start: usize,
        name: &str,
    ) -> Section<'s> {
        let name = match self.place.name.as_str() {
            "" => name.to_owned(),
            outer => format!("{outer}: {name}"),
        };
        let place = Place {
            source: self.place.source,
            kind,
            start,
            name,
        };
        Section::new(place, table)
    }
}
