//! The file that is being read: its tables and values, with their places, and the mistakes found so far.
//!
//! Serde would stop at the first mistake. So the document is walked: every reader below either returns what it read or puts
//! the mistake on the list and returns [`Reported`]; whoever builds something reads all of its parts before the first `?`,
//! and so all mistakes are found in one go.
//!
//! No message repeats a text from the file, since a token may have been pasted anywhere; only the names of accounts, queues
//! and keys are shown, and the place where a rule's path breaks off.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt::Display,
    hash::Hash,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as WordError};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{
    ConfigError, Environment, Problem,
    keys::{self, Kind},
};
use crate::quantity::Quantity;

/// More mistakes than this are counted only. Nobody reads them, and each costs a search for its line.
const MOST_PROBLEMS: usize = 100;

/// Longer names are cut when they are shown.
const LONGEST_SHOWN_NAME: usize = 64;

/// The mistake is on the list already; there is nothing to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// What was read, or word that the mistake is on the list.
pub(super) type Checked<T> = Result<T, Reported>;

/// Every item, or word that at least one of them was wrong.
pub(super) fn all<T>(items: impl IntoIterator<Item = Checked<T>>) -> Checked<Vec<T>> {
    // Through a list first: collecting into a result would stop at the first mistake.
    let items: Vec<_> = items.into_iter().collect();
    items.into_iter().collect()
}

/// A name from the file, fit for a message of one line.
pub(super) fn quoted(name: &str) -> String {
    let mut shown: String = name.chars().take(LONGEST_SHOWN_NAME).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    format!("\"{}\"", shown.escape_debug())
}

/// Whatever others put into a message, it stays a line in the journal.
fn in_one_line(message: String) -> String {
    if message.contains(char::is_control) {
        message.escape_debug().to_string()
    } else {
        message
    }
}

/// The file, and what is known about it so far.
pub(super) struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    env: Environment<'a>,
    problems: RefCell<Vec<(usize, Problem)>>,
    more: Cell<usize>,
    warnings: RefCell<Vec<(usize, Problem)>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str, env: Environment<'a>) -> Self {
        let after_breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            path,
            text,
            lines: std::iter::once(0).chain(after_breaks).collect(),
            env,
            problems: RefCell::default(),
            more: Cell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Reads the text as TOML. Where that fails, every place where it does is reported, and nothing is said about the rest: what
    /// a broken file means would be a guess.
    pub(super) fn document(&self) -> Checked<DeTable<'a>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        let mut last_line = 0;
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            // What follows in the same line is most often a consequence.
            let line = self.line(offset);
            if line != last_line {
                self.wrong(offset, "", syntax_error(error.message()));
            }
            last_line = line;
        }
        match errors.as_slice() {
            [] => Ok(document.into_inner()),
            _ => Err(Reported),
        }
    }

    /// Puts a mistake on the list.
    fn wrong(&self, offset: usize, place: &str, message: String) -> Reported {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MOST_PROBLEMS {
            problems.push((offset, self.problem(offset, place, message)));
        } else {
            self.more.set(self.more.get() + 1);
        }
        Reported
    }

    fn problem(&self, offset: usize, place: &str, message: String) -> Problem {
        Problem {
            file: self.path.display().to_string(),
            line: self.line(offset),
            column: self.column(offset),
            place: place.to_owned(),
            message: in_one_line(message),
        }
    }

    /// Counted from 1.
    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// Counted from 1, in characters.
    fn column(&self, offset: usize) -> usize {
        let start = self.lines[self.line(offset) - 1];
        let letters = self.text[start..].char_indices();
        letters.take_while(|(at, _)| start + at < offset).count() + 1
    }

    /// What was built and what to warn of, or every mistake.
    pub(super) fn finish<T>(self, built: Checked<T>) -> Result<(T, Vec<String>), ConfigError> {
        let problems = in_order(self.problems);
        match built {
            Ok(built) if problems.is_empty() => {
                let warnings = in_order(self.warnings);
                Ok((built, warnings.iter().map(Problem::to_string).collect()))
            }
            _ => Err(ConfigError::Mistakes {
                problems,
                more: self.more.get(),
            }),
        }
    }
}

/// The parser's words, which never quote the file.
fn syntax_error(message: &str) -> String {
    let message = message
        .strip_suffix(", expected nothing")
        .unwrap_or(message);
    format!("this is not TOML: {message}")
}

fn in_order(list: RefCell<Vec<(usize, Problem)>>) -> Vec<Problem> {
    let mut list = list.into_inner();
    list.sort_by_key(|(offset, _)| *offset);
    list.into_iter().map(|(_, problem)| problem).collect()
}

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
                let shown = quoted(name);
                let shown = shown.trim_matches('"');
                let message = format!("unknown key `{shown}`; {}", self.kind.advice(name));
                self.source.wrong(key.span().start, &self.place, message);
            }
        }
    }

    /// Reports a mistake of the whole table, such as a missing key.
    pub(super) fn wrong(&self, message: impl Display) -> Reported {
        self.source
            .wrong(self.start, &self.place, message.to_string())
    }

    /// Looks an environment variable up.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.source.env)(name)
    }

    /// The value of a key.
    pub(super) fn value(&self, key: &'static str) -> Option<Value<'_>> {
        let node = self.table.get(key)?;
        Some(Value {
            section: self,
            key,
            node,
        })
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
        self.optional(key, |value| match value.node.get_ref() {
            DeValue::Table(table) => Ok(self.inner(kind, table, value.node.span(), place)),
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
        let DeValue::Array(nodes) = value.node.get_ref() else {
            return Err(not_tables(value.node.get_ref()));
        };
        all(nodes
            .iter()
            .enumerate()
            .map(|(index, node)| match node.get_ref() {
                DeValue::Table(table) => {
                    let place = place(table, index + 1);
                    Ok(self.inner(kind, table, node.span(), &place))
                }
                other => Err(not_tables(other)),
            }))
    }

    fn inner<'s>(
        &'s self,
        kind: &'static Kind,
        table: &'s DeTable<'s>,
        span: Range<usize>,
        place: &str,
    ) -> Section<'s> {
        let place = match self.place.as_str() {
            "" => place.to_owned(),
            outer => format!("{outer}: {place}"),
        };
        Section::new(self.source, kind, table, span.start, place)
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

/// One value of the file.
#[derive(Clone, Copy)]
pub(super) struct Value<'s> {
    section: &'s Section<'s>,
    key: &'static str,
    node: &'s Spanned<DeValue<'s>>,
}

impl<'s> Value<'s> {
    fn start(&self) -> usize {
        self.node.span().start
    }

    /// Reports a mistake in this value; the message is a sentence that goes on after the key's name.
    pub(super) fn wrong(&self, message: impl Display) -> Reported {
        self.report(format!("`{}` {message}", self.key))
    }

    /// Reports a mistake in this value; the message is a sentence of its own.
    pub(super) fn wrong_because(&self, message: impl Display) -> Reported {
        self.report(format!("`{}`: {message}", self.key))
    }

    fn report(&self, message: String) -> Reported {
        let section = self.section;
        section.source.wrong(self.start(), &section.place, message)
    }

    /// Warns of this value; the message goes on after the key's name.
    pub(super) fn warn(&self, message: impl Display) {
        let section = self.section;
        let message = format!("`{}` {message}", self.key);
        let warning = section
            .source
            .problem(self.start(), &section.place, message);
        let mut warnings = section.source.warnings.borrow_mut();
        if warnings.len() < MOST_PROBLEMS {
            warnings.push((self.start(), warning));
        }
    }

    /// Reports a value of the wrong type, and shows one of the right type.
    pub(super) fn not_a(&self, expected: &str) -> Reported {
        let key = self.key;
        let example = self.section.kind.example(key);
        let found = named_type(self.node.get_ref());
        self.wrong(format!(
            "must be {expected}, not {found}; write for instance `{key} = {example}`"
        ))
    }

    /// The line it stands in, counted from 1.
    fn line(&self) -> usize {
        self.section.source.line(self.start())
    }

    /// What it is, for readers that take several types.
    pub(super) fn node(&self) -> &'s DeValue<'s> {
        self.node.get_ref()
    }

    /// The text, if it is one, without a complaint if not.
    pub(super) fn as_text(&self) -> Option<&'s str> {
        self.node.get_ref().as_str()
    }

    pub(super) fn text(&self) -> Checked<&'s str> {
        self.as_text().ok_or_else(|| self.not_a("a string"))
    }

    /// A text that names something: not empty, in one line, without space around it.
    pub(super) fn name(&self) -> Checked<&'s str> {
        let name = self.text()?;
        let flaw = if name.trim().is_empty() {
            "is empty"
        } else if name.contains(char::is_control) {
            "has a control character in it, such as a tab or a line break"
        } else if name.trim() != name {
            "begins or ends with a space"
        } else if name.contains('/') {
            "has a slash in it, which would read as two names in the address of a decision"
        } else if name.len() > LONGEST_NAME {
            return Err(self.wrong(format!("is longer than {LONGEST_NAME} bytes")));
        } else {
            return Ok(name);
        };
        Err(self.wrong(flaw))
    }

    pub(super) fn flag(&self) -> Checked<bool> {
        let flag = self.node.get_ref().as_bool();
        flag.ok_or_else(|| self.not_a("true or false"))
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, bounds: RangeInclusive<u32>) -> Checked<u32> {
        let DeValue::Integer(integer) = self.node.get_ref() else {
            return Err(self.not_a("an integer"));
        };
        let number = integer_value(integer).and_then(|number| u32::try_from(number).ok());
        number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                self.wrong(format!(
                    "must be from {} to {}, not {integer}",
                    bounds.start(),
                    bounds.end()
                ))
            })
    }

    /// A finite number.
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

    /// A duration within bounds; `why` says where the bounds come from.
    pub(super) fn duration(
        &self,
        bounds: RangeInclusive<Duration>,
        why: &str,
    ) -> Checked<Duration> {
        let Some(text) = self.as_text() else {
            return Err(self.not_a("a string with a unit in it"));
        };
        let duration = humantime::parse_duration(text).map_err(|_| {
            self.wrong("is no duration; write a number and a unit: \"500ms\", \"30s\", \"2m\", \"8h\" or \"1h 30m\"")
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

    /// A path; a relative one starts at the folder of the file.
    pub(super) fn path(&self) -> Checked<PathBuf> {
        let text = self.text()?;
        if text.is_empty() {
            return Err(self.wrong("is empty; write a path"));
        }
        if text.contains('\0') {
            return Err(self.wrong("has a NUL in it, which no path may have"));
        }
        let folder = self.section.source.path.parent();
        Ok(folder.unwrap_or(Path::new("")).join(text))
    }

    /// The path of a file with a secret in it. A slash is asked for because a token pasted here by mistake would be shown
    /// as a file that does not exist, and CallTools' tokens have none.
    pub(super) fn secret_path(&self) -> Checked<PathBuf> {
        if !self.text()?.contains('/') {
            return Err(self.wrong(
                "must be the path of a file, with a slash in it, such as \"./main.token\"; the token itself does not belong in this file",
            ));
        }
        self.path()
    }

    /// One of a closed set of words.
    pub(super) fn word<T: DeserializeOwned>(&self, words: &[&'static str]) -> Checked<T> {
        let text = self.text()?;
        T::deserialize(text.into_deserializer()).map_err(|_: WordError| {
            self.wrong(match keys::nearest(text, words.iter().copied()) {
                Some(nearest) => format!("must be one of a few words; did you mean \"{nearest}\"?"),
                None => format!("must be one of {}", words.join(", ")),
            })
        })
    }

    /// The values of a list; anything else is taken as a list of one.
    pub(super) fn items(&self) -> Vec<Value<'s>> {
        match self.node.get_ref() {
            DeValue::Array(nodes) => nodes.iter().map(|node| Value { node, ..*self }).collect(),
            _ => vec![*self],
        }
    }
}

/// Far above any name that people use, far below what would make metrics unreadable.
const LONGEST_NAME: usize = 200;

/// Reports each value whose key came before; the message is worked out from the line where it did.
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

/// A duration as the file writes it.
pub(super) fn shown(duration: Duration) -> String {
    format!("\"{}\"", humantime::format_duration(duration)).replace(' ', "")
}

/// `None` where it does not fit.
pub(super) fn integer_value(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn named_type(value: &DeValue<'_>) -> &'static str {
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
