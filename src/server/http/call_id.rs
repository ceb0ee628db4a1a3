//! Call ids in queries, and the values that routers send when they have no id.
//!
//! A router with an unfilled template sends the same text for every call. As an id, it would give all its calls the same reservation, so such a
//! value is rejected. So are several different values. The same value twice is one id: a template and the router behind it may both add it.
//!
//! White space around an id does not belong to it: a plus sign in a query means a space, so a phone number that a router does not encode
//! begins with one.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::decision::reservations::MAX_CALL_ID_LENGTH;

/// The name of the parameter.
pub const CALL_ID: &str = "call_id";

/// What common languages print for a missing value, in lower case.
const NOTHING: [&str; 8] = [
    "null",
    "undefined",
    "none",
    "nil",
    "nan",
    "(null)",
    "<null>",
    "[object object]",
];

/// How many extra times a value may be percent-encoded: once by a template, and once by the router behind it.
const MAX_EXTRA_ENCODINGS: usize = 2;

/// How many characters of a placeholder to show: enough to find it in a router's settings.
const SHOWN: usize = 40;

/// Why a value is not a call id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCallId {
    #[error("\"call_id\" is empty")]
    Empty,
    #[error("\"call_id\" is \"{0}\", which routers send when they have no id")]
    Nothing(String),
    #[error("\"call_id\" is \"{0}\", a placeholder that the router did not fill in")]
    Placeholder(String),
    #[error("\"call_id\" has more than {MAX_CALL_ID_LENGTH} characters")]
    TooLong,
    #[error("\"call_id\" does not decode to UTF-8 text")]
    NotText,
    #[error("\"call_id\" contains a control character")]
    Control,
    #[error("\"call_id\" is given more than once, with different values")]
    Repeated,
}

/// Finds the call id in a query, without white space around it; `None` if the query has no such parameter.
///
/// # Errors
/// The parameter is not a call id.
pub fn from_query(query: Option<&str>) -> Option<Result<Cow<'_, str>, NoCallId>> {
    let pairs = query.unwrap_or_default().split('&');
    let mut given = pairs.filter_map(|pair| {
        let (name, value) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
        let raw = pair.split_once('=').map_or("", |(_, raw)| raw);
        (name == CALL_ID).then_some((raw, value))
    });
    let (raw, value) = given.next()?;
    if given.any(|(_, other)| other.trim() != value.trim()) {
        return Some(Err(NoCallId::Repeated));
    }
    // `%call_id%` decodes to something else, since `%ca` is an encoded byte. No encoded text ends with a percent sign.
    if is_between(raw, "%", "%") {
        return Some(Err(NoCallId::Placeholder(shown(raw))));
    }
    // Other bytes would all become the same replacement character, and different calls the same call.
    if percent_encoding::percent_decode_str(raw)
        .decode_utf8()
        .is_err()
    {
        return Some(Err(NoCallId::NotText));
    }
    Some(match value {
        Cow::Borrowed(value) => parse(value).map(Cow::Borrowed),
        Cow::Owned(value) => parse(&value).map(|id| Cow::Owned(id.to_owned())),
    })
}

/// Returns the call id in a text: the text without white space around it.
///
/// # Errors
/// It is not a call id.
pub fn parse(text: &str) -> Result<&str, NoCallId> {
    let id = text.trim();
    if id.chars().count() > MAX_CALL_ID_LENGTH {
        return Err(NoCallId::TooLong);
    }
    check_encoded(id)?;
    match id.contains(|c: char| c.is_control()) {
        true => Err(NoCallId::Control),
        false => Ok(id),
    }
}

/// Returns the id under which a call may be recorded if it is not recorded under this one: a leading plus sign may have been lost, or kept.
pub fn other_spelling(id: &str) -> String {
    match id.strip_prefix('+') {
        Some(rest) => rest.to_owned(),
        None => format!("+{id}"),
    }
}

/// Checks a text that may be percent-encoded more than once.
fn check_encoded(text: &str) -> Result<(), NoCallId> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..=MAX_EXTRA_ENCODINGS {
        check_decoded(&text)?;
        text = match percent_encoding::percent_decode_str(&text).decode_utf8() {
            Ok(decoded) if decoded != text => Cow::Owned(decoded.into_owned()),
            _ => return Ok(()),
        };
    }
    Ok(())
}

/// Whether the raw value is an obvious id, as nearly all are: letters, digits and common separators.
pub fn is_plain(raw: &str) -> bool {
    let joins = |byte: u8| matches!(byte, b'-' | b'_' | b'.' | b'@' | b':');
    let is_nothing = |nothing: &&str| raw.eq_ignore_ascii_case(nothing);
    (1..=MAX_CALL_ID_LENGTH).contains(&raw.len())
        && raw
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || joins(byte))
        && !raw.contains("--")
        && !NOTHING.iter().any(is_nothing)
}

fn check_decoded(text: &str) -> Result<(), NoCallId> {
    // In a text that was encoded one time too many, a space is a plus sign.
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '+');
    if text.is_empty() {
        Err(NoCallId::Empty)
    } else if NOTHING.contains(&&*text.to_lowercase()) {
        Err(NoCallId::Nothing(shown(text)))
    } else if is_placeholder(text) {
        Err(NoCallId::Placeholder(shown(text)))
    } else {
        Ok(())
    }
}

/// Recognizes `[id]`, `{id}`, `{{id}}`, `${id}`, `%id%`, `<id>` and ViciDial's `--A--id--B--`, also inside a longer text if the form cannot occur in
/// an id.
fn is_placeholder(text: &str) -> bool {
    let is_whole = [("[", "]"), ("{", "}"), ("%", "%"), ("<", ">")]
        .iter()
        .any(|(open, close)| is_between(text, open, close));
    let contains = |open: &str, close: &str| is_in_order(text, open, close);
    (is_whole && !is_guid(text))
        || contains("{{", "}}")
        || contains("[[", "]]")
        || contains("${", "}")
        || is_in_order(&text.to_uppercase(), "--A--", "--B--")
}

fn is_in_order(text: &str, open: &str, close: &str) -> bool {
    let rest = text.split_once(open).map(|(_, rest)| rest);
    rest.is_some_and(|rest| rest.contains(close))
}

fn is_between(text: &str, open: &str, close: &str) -> bool {
    let rest = text.strip_prefix(open);
    rest.is_some_and(|rest| rest.ends_with(close))
}

/// Whether the text is a GUID as Windows writes it, in braces.
fn is_guid(text: &str) -> bool {
    let inner = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let is_of_hex = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    };
    inner.is_some_and(|inner| inner.len() >= 32 && is_of_hex(inner))
}

fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(SHOWN).collect()
}
