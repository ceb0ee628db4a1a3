//! How much is logged: a level, or levels by module.

use std::{fmt, str::FromStr};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;

use crate::process::spelling::nearest;

/// Every spelling of a level, in lower case; the six levels' own names come first.
const SPELLINGS: [(&str, LevelFilter); 16] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
    ("none", LevelFilter::OFF),
    ("err", LevelFilter::ERROR),
    ("warning", LevelFilter::WARN),
    ("information", LevelFilter::INFO),
    ("0", LevelFilter::OFF),
    ("1", LevelFilter::ERROR),
    ("2", LevelFilter::WARN),
    ("3", LevelFilter::INFO),
    ("4", LevelFilter::DEBUG),
    ("5", LevelFilter::TRACE),
];

/// openseat's own modules. Names of other crates are not checked: which of them log, only their authors know.
const MODULES: [&str; 17] = [
    "account",
    "budget",
    "calltools",
    "cli",
    "clock",
    "cluster",
    "config",
    "daemon",
    "decision",
    "metrics",
    "model",
    "notify",
    "process",
    "server",
    "simulator",
    "sqlite",
    "state",
];

/// Libraries that write several lines for each request at `debug`.
const LIBRARIES: [&str; 6] = ["hyper", "hyper_util", "h2", "reqwest", "rustls", "tower"];

/// The name of this crate, with which its modules begin.
const OURS: &str = "openseat";

/// The six levels themselves.
const LEVELS: usize = 6;

/// The level of everything that no level was given for.
const USUAL: LevelFilter = LevelFilter::INFO;

/// A level for everything, and others for some modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    rest: LevelFilter,
    modules: Vec<(String, LevelFilter)>,
}

impl Levels {
    /// Returns the filter for a subscriber.
    pub(super) fn filter(&self) -> Targets {
        // What they say at `debug` is for their authors. Naming them lets them speak.
        let is_named = |library: &&str| {
            let mut modules = self.modules.iter();
            modules.any(|(module, _)| library.starts_with(module.as_str()))
        };
        let quiet = LIBRARIES.into_iter().filter(|library| !is_named(library));
        let quiet = quiet.map(|library| (library, USUAL));
        Targets::new()
            .with_default(self.rest)
            .with_targets(match self.rest {
                LevelFilter::DEBUG => quiet.collect(),
                _ => Vec::new(),
            })
            .with_targets(self.modules.iter().cloned())
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self {
            rest: USUAL,
            modules: Vec::new(),
        }
    }
}

impl fmt::Display for Levels {
    /// As people write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rest)?;
        for (module, level) in &self.modules {
            write!(f, ",{module}={level}")?;
        }
        Ok(())
    }
}

/// Why a text is not a log level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLevel {
    /// An unknown word.
    #[error("there is no log level {word:?}; {hint}")]
    Unknown {
        /// What was written.
        word: String,
        /// What to write instead.
        hint: String,
    },
    /// The text before `=` is not a module name.
    #[error(
        "{0:?} is no module; write a level, or module=level, such as openseat::budget=debug, several with commas between"
    )]
    NoModule(String),
    /// A module that openseat does not have, so nothing would be logged.
    #[error("openseat has no module {module:?}; {hint}")]
    UnknownModule {
        /// What was written.
        module: String,
        /// What to write instead.
        hint: String,
    },
}

impl FromStr for Levels {
    type Err = NoLevel;

    fn from_str(text: &str) -> Result<Self, NoLevel> {
        let mut levels = Self::default();
        let parts = text.split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((module, level)) => {
                    // Rust modules are in lower case.
                    let module = module.trim().to_lowercase();
                    if !is_module(&module) {
                        return Err(NoLevel::NoModule(module));
                    }
                    check(&module)?;
                    levels.modules.push((module, one(level.trim())?));
                }
                // A module alone means everything that it logs.
                None if part == OURS || part.contains("::") && is_module(part) => {
                    let module = part.to_lowercase();
                    check(&module)?;
                    levels.modules.push((module, LevelFilter::TRACE));
                }
                None => levels.rest = one(part)?,
            }
        }
        Ok(levels)
    }
}

fn one(word: &str) -> Result<LevelFilter, NoLevel> {
    let lower = word.to_lowercase();
    let found = SPELLINGS.iter().find(|(spelling, _)| *spelling == lower);
    found.map(|(_, level)| *level).ok_or_else(|| {
        let words = || SPELLINGS[..LEVELS].iter().map(|(spelling, _)| *spelling);
        let hint = match nearest(&lower, words()).as_slice() {
            [] => format!("write one of {}", words().collect::<Vec<_>>().join(", ")),
            nearest => format!("did you mean {}?", nearest.join(" or ")),
        };
        NoLevel::Unknown {
            word: word.to_owned(),
            hint,
        }
    })
}

/// Checks that a module is not a misspelt one of openseat's.
fn check(module: &str) -> Result<(), NoLevel> {
    let mut names = module.split("::");
    let (first, second) = (names.next().unwrap_or_default(), names.next());
    let is_ours = |name: &str| MODULES.contains(&name);
    let hint = match second {
        // Without the name of the crate.
        _ if is_ours(first) => format!("did you mean {OURS}::{module}?"),
        Some(second) if first == OURS && !is_ours(second) => other_modules(second),
        Some(second) if first != OURS && is_ours(second) => {
            match nearest(first, [OURS].into_iter()).is_empty() {
                true => return Ok(()),
                false => format!("did you mean {OURS}::{second}?"),
            }
        }
        _ => return Ok(()),
    };
    Err(NoLevel::UnknownModule {
        module: module.to_owned(),
        hint,
    })
}

fn other_modules(name: &str) -> String {
    let near = nearest(name, MODULES.into_iter());
    match near.is_empty() {
        true => format!("its modules are {}", MODULES.join(", ")),
        false => format!(
            "did you mean {OURS}::{}?",
            near.join(format!(" or {OURS}::").as_str())
        ),
    }
}

/// `openseat::budget`, `hyper_util`
fn is_module(text: &str) -> bool {
    text.split("::").all(|name| {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        !name.is_empty() && name.chars().all(fits)
    })
}

/// Returns the priority of a level in systemd's journal, as in `<4>`.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let levels: Result<Levels, _> = text.parse();
        levels.map_or_else(|error| error.to_string(), |levels| levels.to_string())
    }

    #[test]
    fn every_spelling_of_a_level_is_accepted_in_any_case() {
        for (spelling, level) in SPELLINGS {
            for spelling in [
                spelling.to_owned(),
                spelling.to_uppercase(),
                format!(" {spelling} "),
            ] {
                assert_eq!(read(&spelling), level.to_string(), "{spelling}");
                let of_module = format!("openseat::budget={spelling}");
                let expected = format!("info,openseat::budget={level}");
                assert_eq!(read(&of_module), expected, "{spelling}");
            }
        }
        assert_eq!(read(""), "info");
        assert_eq!(read("Warn, Hyper=OFF,"), "warn,hyper=off");
        assert_eq!(read("openseat::account"), "info,openseat::account=trace");
        assert_eq!(read("openseat"), "info,openseat=trace");
    }

    #[test]
    fn an_unknown_level_is_rejected_with_a_suggestion() {
        for (text, expected) in [
            (
                "debgu",
                "there is no log level \"debgu\"; did you mean debug?",
            ),
            ("WARNIGN", "did you mean warn"),
            (
                "verbose",
                "write one of off, error, warn, info, debug, trace",
            ),
            ("6", "there is no log level \"6\""),
            ("-1", "there is no log level"),
            ("openseat=debgu", "did you mean debug?"),
            ("hyper", "there is no log level \"hyper\""),
            ("=debug", "\"\" is no module"),
            ("a b=debug", "\"a b\" is no module"),
            ("openseat[span]=debug", "is no module"),
        ] {
            assert!(read(text).contains(expected), "{text}: {}", read(text));
        }
    }

    #[test]
    fn a_misspelt_module_of_ours_is_rejected_with_a_suggestion() {
        for (text, expected) in [
            (
                "openseat::bugdet=debug",
                "openseat has no module \"openseat::bugdet\"; did you mean openseat::budget?",
            ),
            ("openseat::bugdet", "did you mean openseat::budget?"),
            ("openseat::xyzzy=debug", "its modules are account, budget"),
            ("budget=debug", "did you mean openseat::budget?"),
            ("budget::book=debug", "did you mean openseat::budget::book?"),
            ("opensaet::budget=debug", "did you mean openseat::budget?"),
        ] {
            assert!(read(text).contains(expected), "{text}: {}", read(text));
        }
        for accepted in ["openseat::Budget::book=debug", "hyper_util::server=debug"] {
            let expected = format!("info,{}", accepted.to_lowercase());
            assert_eq!(read(accepted), expected);
        }
    }

    #[test]
    fn libraries_are_quiet_at_debug_unless_they_are_named() {
        let shows = |levels: &str, target: &str| {
            let levels: Levels = levels.parse().expect("levels");
            levels.filter().would_enable(target, &Level::DEBUG)
        };
        for (levels, library) in [
            ("debug", false),
            ("debug,hyper_util=debug", true),
            ("debug,hyper_util::client=debug", true),
            ("debug,hyper=debug", true),
            ("trace", true),
        ] {
            assert!(shows(levels, "openseat::calltools::http"), "{levels}");
            let target = "hyper_util::client::legacy::pool";
            assert_eq!(shows(levels, target), library, "{levels}");
        }
    }

    #[test]
    fn every_module_is_known() {
        let lib = include_str!("../../lib.rs").lines();
        let modules = lib.filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        assert_eq!(modules.collect::<Vec<_>>(), MODULES);
    }
}
