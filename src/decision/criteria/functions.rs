//! `match()` and `search()` that compile a pattern once.
//!
//! The JSONPath library's own functions compile their pattern for each row, and `\w+` takes milliseconds each time. Ours replace them when a
//! path is read (`query`), and mean the same.

use std::{cell::RefCell, collections::HashMap};

use regex::{Regex, RegexBuilder};
use serde_json::Value;
use serde_json_path::functions::{LogicalType, ValueType};

/// The size limit of a compiled pattern, in bytes: a hundred classes such as `\d`, or some dozens of milliseconds to compile.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// How many compiled patterns a thread keeps. A config has few; beyond this, patterns are compiled again.
const MAX_KEPT: usize = 32;

/// Our replacement for one of the library's functions; `None` for a function that needs none.
///
/// # Errors
/// An unknown function. That includes ours by their own names: their patterns would not be checked.
pub(super) fn own(name: &str) -> Result<Option<&'static str>, String> {
    match name {
        "match" => Ok(Some("openseat_match")),
        "search" => Ok(Some("openseat_search")),
        "length" | "count" | "value" => Ok(None),
        other => Err(format!(
            "there is no function `{other}`: there are length, count, match, search, value"
        )),
    }
}

/// Checks that the second argument of a function is a valid pattern, as the function will compile it.
///
/// # Errors
/// What is wrong with it. An invalid pattern would never match, and every count would be 0.
pub(super) fn check_pattern(function: &str, argument: &[char]) -> Result<(), String> {
    let argument: String = argument.iter().collect();
    let pattern = text(argument.trim())
        .ok_or_else(|| format!("the pattern of {function}() must be a text in quotes"))?;
    let pattern = match function {
        "match" => anchored(&pattern),
        _ => pattern,
    };
    let why = match compile(&pattern) {
        Ok(_) => return Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => {
            "it is too large: repeat less, and write [0-9A-Za-z] for \\w".to_owned()
        }
        // The last line says what is wrong; the lines before it show where.
        Err(error) => {
            let said = error.to_string();
            let last = said.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    };
    Err(format!("the pattern of {function}() cannot be used: {why}"))
}

/// The text inside the quotes of a path; `None` for anything else.
fn text(argument: &str) -> Option<String> {
    let mark = argument
        .chars()
        .next()
        .filter(|c| matches!(c, '\'' | '"'))?;
    let inner = argument.strip_prefix(mark)?.strip_suffix(mark)?;
    let mut json = String::from("\"");
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match (character, mark) {
            ('\\', _) => match characters.next()? {
                '\'' => json.push('\''),
                other => json.extend(['\\', other]),
            },
            ('"', '\'') => json += "\\\"",
            (quote, mark) if quote == mark => return None,
            (other, _) => json.push(other),
        }
    }
    json.push('"');
    serde_json::from_str(&json).ok()
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    // Like the library: a dot matches neither `\n` nor `\r`.
    RegexBuilder::new(&format!("(?R)({pattern})"))
        .size_limit(MAX_PATTERN_BYTES)
        .build()
}

thread_local! {
    static COMPILED: RefCell<HashMap<String, Option<Regex>>> = RefCell::default();
}

/// Returns a pattern that matches all of a text if the other does.
fn anchored(pattern: &str) -> String {
    format!("^({pattern})$")
}

fn holds(node: &ValueType<'_>, pattern: &ValueType<'_>, whole: bool) -> LogicalType {
    let (Some(Value::String(text)), Some(Value::String(pattern))) =
        (node.as_value(), pattern.as_value())
    else {
        return LogicalType::False;
    };
    let pattern = match whole {
        true => anchored(pattern),
        false => pattern.clone(),
    };
    COMPILED.with_borrow_mut(|compiled| {
        if compiled.len() >= MAX_KEPT && !compiled.contains_key(&pattern) {
            compiled.clear();
        }
        let known = compiled.entry(pattern);
        let regex = known.or_insert_with_key(|pattern| compile(pattern).ok());
        regex
            .as_ref()
            .is_some_and(|regex| regex.is_match(text))
            .into()
    })
}

#[serde_json_path::function(name = "openseat_match")]
fn match_whole(node: ValueType, pattern: ValueType) -> LogicalType {
    holds(&node, &pattern, true)
}

#[serde_json_path::function(name = "openseat_search")]
fn search(node: ValueType, pattern: ValueType) -> LogicalType {
    holds(&node, &pattern, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_is_too_large_only_as_a_whole_is_refused() {
        let pattern = |repeats: usize| format!("a{{{repeats}}}");
        let (mut fits, mut too_large) = (1, MAX_PATTERN_BYTES);
        while too_large - fits > 1 {
            let repeats = (fits + too_large) / 2;
            match compile(&pattern(repeats)) {
                Ok(_) => fits = repeats,
                Err(_) => too_large = repeats,
            }
        }
        // The anchors need room, too.
        assert!(compile(&anchored(&pattern(fits))).is_err());
        let argument: Vec<char> = format!("'{}'", pattern(fits)).chars().collect();
        assert_eq!(check_pattern("search", &argument), Ok(()));
        assert!(check_pattern("match", &argument).is_err());
    }
}
