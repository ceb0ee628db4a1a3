//! The file that is being read, and the mistakes found so far.
//!
//! Serde would stop at the first mistake. So the document is walked, [`Section`](super::section::Section) by section and
//! [`Value`](super::value::Value) by value: every reader either returns what it read or puts the mistake on the list and
//! returns [`Reported`]. Whoever builds something reads all of its parts before the first `?`, and so all mistakes are found
//! in one go.
//!
//! No message repeats a text from the file, since a token may have been pasted anywhere; only the names of accounts, queues
//! and keys are shown, and the place where a rule's path breaks off.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use super::{ConfigError, Environment, Problem};

/// More mistakes than this are counted only. Nobody reads them.
const MAX_PROBLEMS: usize = 100;

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

    /// Puts a warning on the list, unless there are more than anybody reads.
    pub(super) fn warn(&self, offset: usize, place: &str, message: String) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < MAX_PROBLEMS {
            warnings.push((offset, self.problem(offset, place, message)));
        }
    }

    /// Looks an environment variable up.
    pub(super) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    /// A path as the file means it: a relative one starts at the file's folder.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        let folder = self.path.parent();
        folder.unwrap_or(Path::new("")).join(path)
    }

    /// The line of a place in the text, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
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
