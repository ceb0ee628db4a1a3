//! Parameters of a request: unknown ones are rejected, and so are repeated ones unless they may repeat.
//!
//! One list of [`Parameter`]s per operation both checks requests and describes them in the OpenAPI document. serde with `deny_unknown_fields` would
//! need a crate for repeated parameters, report a repeated one in terms of structs, and could not describe headers or the drop-in API's
//! parameters, which follow Django's rules. A test checks that handlers accept exactly what the documented patterns of durations accept.

use std::{borrow::Cow, time::Duration};

use super::problem::Problem;

/// A parameter that a handler reads, and what the reference says about it.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub meaning: &'static str,
    pub shape: Shape,
    /// A valid value.
    pub example: &'static str,
}

/// Parses a duration: `0`, or a whole number of up to six digits with a unit. The documented patterns accept exactly the same, within each
/// parameter's own bounds.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let is_plain = (1..=6).contains(&number.len()) && (number == "0" || !number.starts_with('0'));
    let number: u64 = number.parse().ok().filter(|_| is_plain)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(60 * number)),
        "h" => Some(Duration::from_secs(3_600 * number)),
        _ => None,
    }
}

/// Which values a parameter accepts.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Text,
    Number,
    OneOf(&'static [&'static str]),
    /// Exactly what this regular expression matches.
    Pattern(&'static str),
    /// Given at least once, at most this many times.
    Repeated(usize),
    /// The same, but may be left out.
    MayRepeat(usize),
}

/// The query of a request. The limit on the request's head bounds its length.
pub struct Params<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Params<'q> {
    /// Parses a query. All its parameters must be `known`, so that a misspelt `treshold` is not silently ignored.
    pub fn parse(query: Option<&'q str>, known: &[Parameter]) -> Result<Self, Problem> {
        let known: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
        Self::named(query, &known)
    }

    /// The same for pages, which the reference does not describe.
    pub fn named(query: Option<&'q str>, known: &[&str]) -> Result<Self, Problem> {
        let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let pairs: Vec<_> = pairs.collect();
        match pairs.iter().find(|(name, _)| !known.contains(&&**name)) {
            None => Ok(Self(pairs)),
            Some((name, _)) => Err(Problem::bad_parameter(unknown(name, known))),
        }
    }

    /// The only value of a parameter.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Problem::bad_parameter(format!(
                "\"{name}\" may be given once"
            ))),
        }
    }

    /// All values of a parameter, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let pairs = self.0.iter().filter(move |(given, _)| given == name);
        pairs.map(|(_, value)| &**value)
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let known = match known {
        [] => "none".to_owned(),
        known => known.join(", "),
    };
    format!("there is no parameter \"{name}\": this path takes {known}")
}
