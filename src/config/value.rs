//! One value of the file, read as the type it should have.

use std::{
    collections::HashMap, fmt::Display, hash::Hash, ops::RangeInclusive, path::PathBuf,
    time::Duration,
};

use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as WordError};
use strum::VariantNames;
use toml::{
    Spanned,
    de::{DeInteger, DeValue},
};

use super::{
    keys,
    place::Place,
    source::{Checked, Reported},
};
use crate::model::{config_name::unfit, quantity::Quantity};

/// One value of the file.
#[derive(Clone, Copy)]
pub(super) struct Value<'s> {
    place: &'s Place<'s>,
    key: &'static str,
    node: &'s Spanned<DeValue<'s>>,
}

impl<'s> Value<'s> {
    pub(super) fn new(
        place: &'s Place<'s>,
        key: &'static str,
        node: &'s Spanned<DeValue<'s>>,
    ) -> Self {
        Self { place, key, node }
    }

    /// Returns where it begins in the text.
    pub(super) fn start(&self) -> usize {
        self.node.span().start
    }

    /// Reports a mistake in this value; the message continues a sentence that starts with the key.
    pub(super) fn wrong(&self, message: impl Display) -> Reported {
        self.report(format!("`{}` {message}", self.key))
    }

    /// Reports a mistake in this value; the message is a sentence of its own.
    pub(super) fn wrong_because(&self, message: impl Display) -> Reported {
        self.report(format!("`{}`: {message}", self.key))
    }

    fn report(&self, message: String) -> Reported {
        self.place.wrong(self.start(), message)
    }

    /// Warns about this value; the message continues a sentence that starts with the key.
    pub(super) fn warn(&self, message: impl Display) {
        let message = format!("`{}` {message}", self.key);
        self.place.warn(self.start(), message);
    }

    /// Says how this value was understood; the message continues a sentence that starts with the key.
    pub(super) fn note(&self, message: impl Display) {
        let message = format!("`{}` {message}", self.key);
        self.place.note(self.start(), message);
    }

    /// Reports a value of the wrong type, and shows one of the right type.
    pub(super) fn not_a(&self, expected: &str) -> Reported {
        let key = self.key;
        let example = self.place.kind.example(key);
        let found = named_type(self.node.get_ref());
        self.wrong(format!(
            "must be {expected}, not {found}; write for example `{key} = {example}`"
        ))
    }

    /// Returns its line, counted from 1.
    pub(super) fn line(&self) -> usize {
        self.place.source.line(self.start())
    }

    /// Returns the parsed value, for readers that accept several types.
    pub(super) fn node(&self) -> &'s DeValue<'s> {
        self.node.get_ref()
    }

    /// Returns the text if it is one, without reporting anything if not.
    pub(super) fn as_text(&self) -> Option<&'s str> {
        self.node.get_ref().as_str()
    }

    pub(super) fn text(&self) -> Checked<&'s str> {
        self.as_text().ok_or_else(|| self.not_a("a string"))
    }

    /// Reads a text that names something.
    pub(super) fn name(&self) -> Checked<&'s str> {
        self.name_or("")
    }

    /// Reads a text that names something. If it is not a fit name, the message ends with `advice`.
    pub(super) fn name_or(&self, advice: &str) -> Checked<&'s str> {
        let name = self.text()?;
        match unfit(name) {
            None => Ok(name),
            Some(flaw) => Err(self.wrong(format_args!("{flaw}{advice}"))),
        }
    }

    pub(super) fn flag(&self) -> Checked<bool> {
        let flag = self.node.get_ref().as_bool();
        flag.ok_or_else(|| self.not_a("true or false"))
    }

    /// Reads a whole number within bounds.
    pub(super) fn integer(&self, bounds: RangeInclusive<u32>) -> Checked<u32> {
        let DeValue::Integer(integer) = self.node.get_ref() else {
            return Err(self.not_a("an integer"));
        };
        let number = integer_value(integer);
        let fits = number.and_then(|number| u32::try_from(number).ok());
        fits.filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                let found = number.map_or("a number of that size".to_owned(), |number| {
                    number.to_string()
                });
                let (least, most) = (bounds.start(), bounds.end());
                self.wrong(format!("must be from {least} to {most}, not {found}"))
            })
    }

    /// Reads a finite number.
    pub(super) fn quantity(&self) -> Checked<Quantity> {
        let number = match self.node.get_ref() {
            DeValue::Integer(integer) => integer_value(integer).map(|integer| integer as f64),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => return Err(self.not_a("a number")),
        };
        number
            .and_then(Quantity::new)
            .ok_or_else(|| self.wrong("must be a finite number"))
    }

    /// Reads a duration within bounds; `why` explains the bounds.
    pub(super) fn duration(
        &self,
        bounds: RangeInclusive<Duration>,
        why: &str,
    ) -> Checked<Duration> {
        let Some(text) = self.as_text() else {
            return Err(self.not_a("a string with a unit in it"));
        };
        let duration = humantime::parse_duration(text).map_err(|_| {
            self.wrong("is not a duration; write a number and a unit: \"500ms\", \"30s\", \"2m\", \"8h\" or \"1h 30m\"")
        })?;
        if bounds.contains(&duration) {
            return Ok(duration);
        }
        Err(self.wrong(format!(
            "must be from {} to {}, not {}: {why}",
            shown(*bounds.start()),
            shown(*bounds.end()),
            shown(duration)
        )))
    }

    /// Reads a path; a relative one starts at the folder of the file.
    pub(super) fn path(&self) -> Checked<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            return Err(self.wrong("is empty; write a path"));
        }
        if text.contains('\0') {
            return Err(self.wrong("has a NUL in it, which no path may have"));
        }
        if text == "~" || text.starts_with("~/") {
            return Err(self.wrong("begins with \"~\", which only a shell replaces by the home folder; write the whole path"));
        }
        Ok(self.place.source.resolve(text))
    }

    /// Reads the path of a file with a secret in it. It must have a slash, because a token pasted here by mistake would be shown
    /// as a file that does not exist, and CallTools' tokens have none.
    pub(super) fn secret_path(&self) -> Checked<PathBuf> {
        if !self.text()?.contains('/') {
            return Err(self.wrong(
                "must be the path of a file, with a slash in it, such as \"./main.token\"; the token itself does not belong in this file",
            ));
        }
        self.path()
    }

    /// Reads one of a closed set of words.
    pub(super) fn one_of<T: DeserializeOwned + VariantNames>(&self) -> Checked<T> {
        self.one_of_as(self.text()?)
    }

    /// Reads a value that was written in other words; `text` is the word.
    pub(super) fn one_of_as<T: DeserializeOwned + VariantNames>(&self, text: &str) -> Checked<T> {
        T::deserialize(text.into_deserializer())
            .map_err(|_: WordError| self.none_of(text, T::VARIANTS))
    }

    /// Reports a text that is none of the words that may stand here.
    pub(super) fn none_of(&self, text: &str, words: &[&str]) -> Reported {
        let meant = match keys::nearest(text, words.iter().copied()) {
            Some(nearest) => format!("; did you mean \"{nearest}\"?"),
            None => String::new(),
        };
        self.wrong(format_args!("must be one of {}{meant}", words.join(", ")))
    }

    /// Returns the values of a list; anything else counts as a list of one.
    pub(super) fn items(&self) -> Vec<Value<'s>> {
        match self.node.get_ref() {
            DeValue::Array(nodes) => nodes.iter().map(|node| Value { node, ..*self }).collect(),
            _ => vec![*self],
        }
    }
}

/// Reports each value whose key came before; the message gets the line of the first.
pub(super) fn refuse_repeats<'s, K: Hash + Eq>(
    values: impl IntoIterator<Item = (K, Value<'s>)>,
    message: impl Fn(usize) -> String,
) -> Checked<()> {
    let mut seen = HashMap::new();
    let mut checked = Ok(());
    for (key, value) in values {
        match seen.get(&key) {
            Some(line) => checked = Err(value.wrong(message(*line))),
            None => _ = seen.insert(key, value.line()),
        }
    }
    checked
}

/// Formats a duration as the file writes it.
pub(super) fn shown(duration: Duration) -> String {
    format!("\"{}\"", humantime::format_duration(duration)).replace(' ', "")
}

/// Returns the number, `None` if it does not fit.
pub(super) fn integer_value(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Names the type of a value.
pub(super) fn named_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
