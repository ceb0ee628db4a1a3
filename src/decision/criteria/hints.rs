//! Hints for common mistakes in a path: what is wrong, where, and what to write instead.
//!
//! The JSONPath parser says where it stopped, but not what to write. These rules run only on paths that it rejects. Each rule matches
//! something that no valid path contains outside quotes, so a hint is never wrong. The first one is reported.

use super::scan::Outline;

/// The functions of RFC 9535.
const FUNCTIONS: [&str; 5] = ["length", "count", "match", "search", "value"];

/// The first mistake in a path, as a sentence with its position.
pub(super) fn first(outline: &Outline) -> Option<String> {
    let chars = outline.chars();
    (0..chars.len()).find_map(|at| {
        let place = Place { chars, at };
        let hint = [row, quote, operator, bracket, dash, word]
            .iter()
            .find_map(|rule| rule(place))?;
        Some(format!("at character {}, {hint}", at + 1))
    })
}

/// One character of an outline and its neighbours.
#[derive(Clone, Copy)]
struct Place<'a> {
    chars: &'a [char],
    at: usize,
}

impl Place<'_> {
    fn here(self) -> char {
        self.chars[self.at]
    }

    /// The nearest character before this one that is not a space.
    fn before(self) -> Option<char> {
        let earlier = self.chars[..self.at].iter().rev();
        earlier.copied().find(|c| !c.is_whitespace())
    }

    /// The nearest character, from `steps` after this one, that is not a space.
    fn after(self, steps: usize) -> Option<char> {
        let later = self.chars.iter().skip(self.at + steps);
        later.copied().find(|c| !c.is_whitespace())
    }

    /// The characters from here on that belong to `kind`; empty if the run began earlier.
    fn run(self, kind: fn(char) -> bool) -> String {
        if self.at > 0 && kind(self.chars[self.at - 1]) {
            return String::new();
        }
        self.reach(kind)
    }

    fn reach(self, kind: fn(char) -> bool) -> String {
        let from_here = self.chars[self.at..].iter().copied();
        from_here.take_while(|c| kind(*c)).collect()
    }
}

/// A path that begins with `@`, which is only valid in a filter.
fn row(place: Place<'_>) -> Option<String> {
    (place.here() == '@' && place.before().is_none())
        .then(|| "`@` is a row inside a filter: outside, a path begins with $ or a name".to_owned())
}

/// Typographic quotes from word processors.
fn quote(place: Place<'_>) -> Option<String> {
    matches!(place.here(), '‘' | '’' | '“' | '”' | '´' | '`').then(|| {
        format!(
            "`{}` is no quote that JSONPath knows: write a straight '",
            place.here()
        )
    })
}

/// Operators from other languages.
fn operator(place: Place<'_>) -> Option<String> {
    let run = place.run(|c| "=!<>&|~".contains(c));
    // `&&!` is two operators.
    let operator = match run.trim_end_matches('!') {
        connective if connective.starts_with(['&', '|']) => connective,
        _ => &run,
    };
    let instead = match operator {
        "=" | "===" => "==",
        "!==" | "<>" | "=!" => "!=",
        "=>" => ">=",
        "=<" => "<=",
        "&" => "&&",
        "|" => "||",
        "=~" => {
            return Some("there is no `=~`: write match(@.field, 'pattern')".to_owned());
        }
        _ => return None,
    };
    Some(format!("there is no `{operator}`: write {instead}"))
}

/// Brackets with a dot before them, or with nothing useful in them.
fn bracket(place: Place<'_>) -> Option<String> {
    let next = place.after(1);
    let hint = match (place.here(), next) {
        ('.', Some('[')) if place.before() != Some('.') => {
            "there is no point in front of a bracket: write results[*], not results.[*]"
        }
        ('[', Some(']')) => "the brackets are empty: write [*] for every row",
        ('[', Some('(')) => "a filter begins with a question mark: write [?(…)]",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Names that need brackets.
fn dash(place: Place<'_>) -> Option<String> {
    let between_names =
        place.before().is_some_and(is_name) && place.after(1).is_some_and(is_name_first);
    (place.here() == '-' && between_names).then(|| {
        "a name with `-` in it goes into brackets and quotes: write ['some-name']".to_owned()
    })
}

/// Words where no word is allowed.
fn word(place: Place<'_>) -> Option<String> {
    let word = place.run(is_name);
    if !word.starts_with(is_name_first) {
        return None;
    }
    let (before, after) = (place.before()?, place.after(word.chars().count()));
    let called = after == Some('(');
    match before {
        // A name, or `$name`, which the parser explains well enough.
        '.' | '$' => None,
        _ if is_constant(&word) => constant(&word),
        '=' | '<' | '>' if !called => Some(unquoted(place)),
        _ if connective(&word).is_some() => Some(format!(
            "there is no `{word}`: write {}",
            connective(&word)?
        )),
        _ if called => function(&word),
        '[' if after.is_some_and(|c| "=!<>".contains(c)) => Some(format!(
            "a filter begins with a question mark and @: write [?@.{word} … ]"
        )),
        '[' | ',' => Some(format!("a name in brackets wants quotes: write '{word}'")),
        '@' | '?' | '(' | '&' | '|' | '!' => {
            Some(format!("a field of the row is written @.{word}"))
        }
        _ => None,
    }
}

/// Unquoted text begins here: all of its words, up to the connective before the next condition.
fn unquoted(place: Place<'_>) -> String {
    let text = place.reach(|c| is_name(c) || c == ' ' || c == '-');
    let joins = |word: &str| matches!(connective(word), Some("&&" | "||"));
    let words: Vec<_> = text.split_whitespace().take_while(|w| !joins(w)).collect();
    format!("text wants quotes: write '{}'", words.join(" "))
}

fn connective(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "and" => Some("&&"),
        "or" => Some("||"),
        "not" => Some("!"),
        _ => None,
    }
}

fn is_constant(word: &str) -> bool {
    ["true", "false", "null"]
        .iter()
        .any(|constant| constant.eq_ignore_ascii_case(word))
}

fn constant(word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    (word != lower).then(|| format!("`{word}` is written {lower}"))
}

fn function(name: &str) -> Option<String> {
    (!FUNCTIONS.contains(&name)).then(|| {
        format!(
            "there is no function `{name}`: there are {}",
            FUNCTIONS.join(", ")
        )
    })
}

fn is_name_first(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
