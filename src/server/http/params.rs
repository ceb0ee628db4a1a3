//! Query parameters. Unknown ones are ignored: routers append the caller, the campaign and more to every URL.
//!
//! A misspelling of one of our own names ([`OWN`]) is rejected, since ignoring it would answer a different question. So is a parameter that is given
//! twice, unless it may repeat. A `call_id` is read by its [own rules](super::call_id): a bad one changes no decision, so it must not cost the call.
//!
//! One list of [`Parameter`]s per operation both reads requests and describes them in the OpenAPI document. With serde, repeated parameters would
//! need another crate, and headers and the drop-in API's parameters, which follow Django's rules, could not be described. A test checks that
//! handlers accept exactly the durations that the documented patterns accept.

use std::{borrow::Cow, time::Duration};

use super::problem::Problem;

/// A parameter that a handler reads, with its description for the reference.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub meaning: &'static str,
    pub shape: Shape,
    /// A valid value.
    pub example: &'static str,
}

/// Parses a duration: `0`, or a whole number of up to six digits with a unit. The documented patterns accept exactly the same durations, within each
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

/// The values that a parameter accepts.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Text,
    /// A number of seats: 0 or more. Criteria of the config may count something else, which may be below 0.
    Count,
    OneOf(&'static [&'static str]),
    /// Exactly what this regular expression matches.
    Pattern(&'static str),
    /// Given at least once, at most this many times.
    Repeated(usize),
    /// Optional; given at most this many times.
    MayRepeat(usize),
}

/// The query of a request. Its length is bounded by the limit on the request's head.
pub struct Params<'q>(Vec<(Cow<'q, str>, Cow<'q, str>)>);

/// The parameter in which a configured client may send its token. It is read before any handler runs, and never shown.
pub const KEY: &str = "key";

/// Returns the value of [`KEY`], if the query has exactly one.
pub fn key(query: Option<&str>) -> Option<Cow<'_, str>> {
    let pairs = url::form_urlencoded::parse(query?.as_bytes());
    let mut keys = pairs.filter(|(name, _)| name == KEY);
    let (_, key) = keys.next()?;
    keys.next().is_none().then_some(key)
}

/// Rejects a parameter that belongs elsewhere, and says where.
///
/// # Errors
/// The query has it.
pub fn refuse(query: Option<&str>, name: &str, why: &str) -> Result<(), Problem> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    match pairs.any(|(given, _)| given == name) {
        true => Err(Problem::bad_parameter(format!("\"{name}\" {why}"))),
        false => Ok(()),
    }
}

/// The names whose misspellings are rejected. Each of them changes the answer, and no router has a parameter with such a name.
const OWN: [&str; 5] = ["threshold", "format", "fresh", "wait", "reserve"];

impl<'q> Params<'q> {
    /// Reads the `known` parameters of a query.
    pub fn parse(query: Option<&'q str>, known: &[Parameter]) -> Result<Self, Problem> {
        let known: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
        Self::named(query, &known)
    }

    /// Does the same for pages, which the reference does not describe.
    pub fn named(query: Option<&'q str>, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if known.contains(&&*name) {
                pairs.push((name, value));
            } else if let Some(own) = own_name(&name) {
                return Err(Problem::bad_parameter(slip(&name, own, known)));
            }
        }
        Ok(Self(pairs))
    }

    /// Returns the value of a parameter that may be given once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Problem::bad_parameter(format!(
                "\"{name}\" may be given only once"
            ))),
        }
    }

    /// Returns all values of a parameter, in order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let pairs = self.0.iter().filter(move |(given, _)| given == name);
        pairs.map(|(_, value)| &**value)
    }
}

/// Returns the name in [`OWN`] that equals this one or is one letter away, ignoring case.
pub fn own_name(name: &str) -> Option<&'static str> {
    let is_near = |own: &&str| is_within_one_letter(name.as_bytes(), own.as_bytes());
    OWN.into_iter().find(is_near)
}

/// Whether two names differ by at most one letter: replaced, added, removed, or swapped with its neighbour. It allocates nothing, unlike `strsim`,
/// because each parameter of each request for a decision is compared.
fn is_within_one_letter(one: &[u8], other: &[u8]) -> bool {
    if one.len().abs_diff(other.len()) > 1 {
        return false; // Most names end here.
    }
    let same = |(a, b): &(&u8, &u8)| a.eq_ignore_ascii_case(b);
    let begin = one.iter().zip(other).take_while(same).count();
    let (one, other) = (&one[begin..], &other[begin..]);
    let end = one.iter().rev().zip(other.iter().rev());
    let end = end.take_while(same).count();
    let (one, other) = (&one[..one.len() - end], &other[..other.len() - end]);
    match (one, other) {
        ([a, b], [c, d]) => a.eq_ignore_ascii_case(d) && b.eq_ignore_ascii_case(c),
        (one, other) => one.len() <= 1 && other.len() <= 1,
    }
}

fn slip(name: &str, own: &str, known: &[&str]) -> String {
    if known.contains(&own) {
        return format!("there is no parameter \"{name}\"; did you mean \"{own}\"?");
    }
    let known = match known {
        [] => "none".to_owned(),
        known => known.join(", "),
    };
    format!("this path has no parameter \"{name}\": it takes {known}")
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn a_misspelling_is_one_letter_in_any_case() {
        for (slip, own) in [
            ("threshold", "threshold"),
            ("treshold", "threshold"),
            ("threshhold", "threshold"),
            ("thrashold", "threshold"),
            ("thershold", "threshold"),
            ("Threshold", "threshold"),
            ("TRESHOLD", "threshold"),
            ("formats", "format"),
            ("fromat", "format"),
            ("FORMAT", "format"),
            ("fesh", "fresh"),
            ("waits", "wait"),
            ("wiat", "wait"),
            ("await", "wait"),
            ("reserved", "reserve"),
            ("resrve", "reserve"),
            ("rEserve", "reserve"),
        ] {
            assert_eq!(own_name(slip), Some(own), "{slip}");
        }
    }

    #[test]
    fn parameters_of_routers_are_not_misspellings() {
        for name in [
            "",
            "_",
            "a",
            "q",
            "ts",
            "zip",
            "state",
            "date",
            "rate",
            "did",
            "ani",
            "caller",
            "caller_id",
            "callerId",
            "CALLER_ID",
            "call_uuid",
            "call_id",
            "CallSid",
            "From",
            "To",
            "campaign",
            "platform",
            "form",
            "refresh",
            "wait_time",
            "max_wait",
            "hold",
            "reservation",
            "reserve_price",
            "wért",
            "\u{130}ait\u{130}",
        ] {
            assert_eq!(own_name(name), None, "{name}");
        }
    }
}
