//! Mistakes in a file, with advice on how to correct them.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::process::file::{FileError, NotText};

/// One mistake in the file.
///
/// It prints as `openseat.toml:12:5: account "main": what is wrong; what to write instead`. The line itself is not quoted: a
/// misplaced token would end up in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The table, in words; empty outside of any.
    pub place: String,
    /// What is wrong, with the key's name, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// Why there is no [`Config`](super::Config).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither of the [default paths](super::Config::find) exists.
    #[error(
        "no configuration found: neither {} exists; `openseat init` makes one, or name another file with --config",
        super::DEFAULT_PATHS.join(" nor ")
    )]
    NotFound,
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}{}", .path.display(), next_step(.path, .source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: FileError,
    },
    /// The file is not text.
    #[error("the configuration {} {source}", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: NotText,
    },
    /// It has mistakes: all of them, in the order of the file, one per line.
    #[error("{}", Lines(.problems, *.more))]
    Mistakes {
        /// At least one.
        problems: Vec<Problem>,
        /// How many mistakes were left out.
        more: usize,
    },
}

/// Says what to do about a missing file.
fn next_step(path: &Path, source: &FileError) -> String {
    match source {
        FileError::System(error) if error.kind() == io::ErrorKind::NotFound => format!(
            "; check the path, or run `openseat init --config {}` to make one",
            path.display()
        ),
        _ => String::new(),
    }
}

struct Lines<'a>(&'a [Problem], usize);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        match self.1 {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}
