//! The text of the file and the mistakes found so far.
//!
//! Serde would stop at the first mistake. So readers walk through the document by [`Section`](super::section::Section) and
//! [`Value`](super::value::Value). Each reader returns what it read, or reports the mistake and returns [`Reported`]. Code that combines parts reads
//! all of them before the first `?`, so all mistakes are found together.
//!
//! Messages do not repeat text from the file, since a token may have been pasted anywhere. They show only names of accounts, queues and keys,
//! and the place where a rule's path stops making sense.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use super::{ConfigError, Environment, Problem};
use crate::process::file;

/// How many mistakes are listed. Further ones are only counted.
const MAX_PROBLEMS: usize = 100;

/// The mistake is already on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reported;

/// The value, unless a mistake was reported.
pub(super) type Checked<T> = Result<T, Reported>;

/// Returns all items, unless at least one mistake was reported.
pub(super) fn all<T>(items: impl IntoIterator<Item = Checked<T>>) -> Checked<Vec<T>> {
    // All items first: collecting into a result would stop at the first mistake.
    let items: Vec<_> = items.into_iter().collect();
    items.into_iter().collect()
}

/// Keeps a message on one line in the journal, even if it quotes several.
fn in_one_line(message: String) -> String {
    if message.contains(char::is_control) {
        message.escape_debug().to_string()
    } else {
        message
    }
}

/// See the [module](self).
pub(super) struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    env: Environment<'a>,
    problems: RefCell<Vec<(usize, Problem)>>,
    more: Cell<usize>,
    warnings: RefCell<Vec<(usize, Problem)>>,
    notes: RefCell<Vec<(usize, Problem)>>,
}

/// Remarks about a valid config.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// What is probably unintended.
    pub warnings: Vec<String>,
    /// How values were understood that are written differently from how they are used.
    pub notes: Vec<String>,
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
            notes: RefCell::default(),
        }
    }

    /// Parses the text as TOML. If it is broken, every broken place is reported and nothing else, since the meaning of the rest would be a guess.
    pub(super) fn document(&self) -> Checked<DeTable<'a>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        let mut last_line = 0;
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            // Further errors on the same line are mostly consequences.
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

    /// Reports a mistake.
    pub(super) fn wrong(&self, offset: usize, place: &str, message: String) -> Reported {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
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

    /// Adds a warning, up to the limit of the list.
    pub(super) fn warn(&self, offset: usize, place: &str, message: String) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < MAX_PROBLEMS {
            warnings.push((offset, self.problem(offset, place, message)));
        }
    }

    /// Adds a note, up to the limit of the list.
    pub(super) fn note(&self, offset: usize, place: &str, message: String) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < MAX_PROBLEMS {
            notes.push((offset, self.problem(offset, place, message)));
        }
    }

    /// Looks up an environment variable.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// Resolves a path. A relative one starts at the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let folder = self.path.parent();
        folder.unwrap_or(Path::new("")).join(path)
    }

    /// Returns the line of an offset, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// Returns the column of an offset, in characters, counted from 1.
    fn column(&self, offset: usize) -> usize {
        let start = self.lines[self.line(offset) - 1];
        let letters = self.text[start..].char_indices();
        letters.take_while(|(at, _)| start + at < offset).count() + 1
    }

    /// Returns the result with remarks about it, or all mistakes.
    pub(super) fn finish<T>(self, built: Checked<T>) -> Result<(T, Remarks), ConfigError> {
        let problems = in_order(self.problems);
        match built {
            Ok(built) if problems.is_empty() => {
                let lines = |list| in_order(list).iter().map(Problem::to_string).collect();
                let remarks = Remarks {
                    warnings: lines(self.warnings),
                    notes: lines(self.notes),
                };
                Ok((built, remarks))
            }
            _ => Err(ConfigError::Mistakes {
                problems,
                more: self.more.get(),
            }),
        }
    }
}

/// A thousand queues take some 100 kB. A larger file is not a config.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads a file.
///
/// # Errors
/// The system's, or it is no text.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let path = || path.to_owned();
    let bytes = file::read(&path(), MAX_FILE).map_err(|source| ConfigError::Unreadable {
        path: path(),
        source,
    })?;
    let text = file::text(&bytes).map_err(|source| ConfigError::NotText {
        path: path(),
        source,
    })?;
    Ok(text.to_owned())
}

/// Returns the parser's message, which never quotes the file.
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
