//! Parameters of a request. What openseat does not know is ignored: routers append the caller, the campaign and more to every URL.
//!
//! A slip in one of our own names ([`OWN`]) is rejected, since ignoring it would answer another question than was asked. So is a parameter
//! that is given twice, unless it may repeat.
//!
//! One list of [`Parameter`]s per operation both reads requests and describes them in the OpenAPI document. serde would need a crate for
//! repeated parameters, and could not describe headers or the drop-in API's parameters, which follow Django's rules. A test checks that
//! handlers accept exactly what the documented patterns of durations accept.

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

/// The parameter in which a client of the config may show its token. It is read before any handler runs, and shown nowhere.
pub const KEY: &str = "key";

/// The only value of [`KEY`] in a query.
pub fn key(query: Option<&str>) -> Option<Cow<'_, str>> {
    let pairs = url::form_urlencoded::parse(query?.as_bytes());
    let mut keys = pairs.filter(|(name, _)| name == KEY);
    let (_, key) = keys.next()?;
    keys.next().is_none().then_some(key)
}

/// The names whose slips are rejected. Each changes what is answered, and no router has a parameter of such a name.
const OWN: [&str; 5] = ["threshold", "format", "fresh", "wait", "reserve"];

impl<'q> Params<'q> {
    /// Reads those parameters of a query that are `known`.
    pub fn parse(query: Option<&'q str>, known: &[Parameter]) -> Result<Self, Problem> {
        let known: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
        Self::named(query, &known)
    }

    /// The same for pages, which the reference does not describe.
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

/// The name of [`OWN`] that this is, or that it is one letter away from, in any case.
pub fn own_name(name: &str) -> Option<&'static str> {
    let is_near = |own: &&str| is_within_one_letter(name.as_bytes(), own.as_bytes());
    OWN.into_iter().find(is_near)
}

/// Whether two names differ by at most one letter: another one, one more, one less, or two that changed places.
fn is_within_one_letter(one: &[u8], other: &[u8]) -> bool {
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
    fn a_slip_is_one_letter_in_any_case() {
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
    fn parameters_of_routers_are_no_slips() {
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
