//! Parameters of a request: every one known, none twice unless it may be.

use std::{borrow::Cow, time::Duration};

use super::problem::Problem;

/// A parameter that a handler knows, with all that the reference says of it.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub means: &'static str,
    pub shape: Shape,
    /// One that works.
    pub example: &'static str,
}

/// A duration as the reference describes it: `0`, or a whole number of up to six digits with its unit. The patterns of the parameters that
/// are durations accept what this and their own bounds accept, and nothing else.
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

/// What a parameter may look like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Text,
    Number,
    OneOf(&'static [&'static str]),
    /// A regular expression. Handlers take exactly what fits it.
    Pattern(&'static str),
    /// Given once to so many times.
    Repeated(usize),
    /// The same, or left out.
    MayRepeat(usize),
}

/// The query of a request. Its length is bounded by the request's head.
pub struct Params<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

impl<'q> Params<'q> {
    /// Parses a query whose parameters must be among the `known`: a misspelt `treshold` must not pass for none.
    pub fn parse(query: Option<&'q str>, known: &[Parameter]) -> Result<Self, Problem> {
        let known: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
        Self::named(query, &known)
    }

    /// The same for pages, which are no part of what the reference describes.
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
