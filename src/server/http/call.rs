//! The call that a request is about, as the record of calls keeps it.

use std::borrow::Cow;

/// The prefix of a router's own parameters that are kept with the call.
const TAG: &str = "tag_";

/// The most bytes of a call's tags, as the query spells them. Tags that do not fit are left out.
pub const MAX_TAGS: usize = 512;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The router's id for the call.
    pub id: Box<str>,
    /// The `tag_*` parameters of the query, as the query spells them.
    pub tags: Option<Box<str>>,
}

impl Call {
    /// A call without the tags that repeat the request's `key`, so that the key is never recorded; `None` if the id repeats it.
    pub fn new(id: &str, query: &str, key: Option<&str>) -> Option<Self> {
        let key = key.filter(|key| !key.is_empty());
        let repeats = |text: &str| key.is_some_and(|key| text.contains(key));
        if repeats(id) {
            return None;
        }
        let tags = query.split('&').filter(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            is_tag(name) && (key.is_none() || !repeats(&decoded(name)) && !repeats(&decoded(value)))
        });
        Some(Self {
            id: id.into(),
            tags: joined(tags),
        })
    }
}

fn is_tag(name: &str) -> bool {
    name.starts_with(TAG) || name.contains('%') && decoded(name).starts_with(TAG)
}

fn decoded(text: &str) -> Cow<'_, str> {
    // A text without `&` and `=` is one name.
    let pair = url::form_urlencoded::parse(text.as_bytes()).next();
    pair.map_or(Cow::Borrowed(""), |(name, _)| name)
}

/// As many of the pairs as fit.
fn joined<'q>(pairs: impl Iterator<Item = &'q str>) -> Option<Box<str>> {
    let mut joined = String::new();
    for pair in pairs {
        if joined.len() + 1 + pair.len() > MAX_TAGS {
            continue;
        }
        if !joined.is_empty() {
            joined.push('&');
        }
        joined.push_str(pair);
    }
    (!joined.is_empty()).then(|| joined.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(query: &str, key: Option<&str>) -> Option<String> {
        let call = Call::new("a", query, key)?;
        call.tags.map(String::from)
    }

    #[test]
    fn tags_are_kept_as_they_are_spelled_and_nothing_else_is() {
        for (query, kept) in [
            ("", None),
            (
                "call_id=a&zip=90210&key=0123456789abcdef&tagged=1&TAG_x=1",
                None,
            ),
            ("tag_a=1&zip=2&tag_b=x%26y", Some("tag_a=1&tag_b=x%26y")),
            ("%74ag_a=1", Some("%74ag_a=1")),
            ("tag_=&tag_x", Some("tag_=&tag_x")),
        ] {
            assert_eq!(tags(query, None).as_deref(), kept, "{query}");
        }
        let long = format!(
            "tag_a={}&tag_b={}&tag_c=1",
            "x".repeat(500),
            "y".repeat(500)
        );
        let kept = tags(&long, None).expect("some are kept");
        assert!(
            kept.len() <= MAX_TAGS && kept.starts_with("tag_a=x"),
            "{kept}"
        );
    }

    #[test]
    fn nothing_that_repeats_the_key_is_kept() {
        let key = Some("sesame/1");
        for query in [
            "tag_a=sesame/1",
            "tag_a=x-sesame%2F1-y",
            "tag_sesame/1=x",
            "tag_s%65same%2f1",
        ] {
            assert_eq!(tags(query, key), None, "{query}");
        }
        assert_eq!(
            tags("tag_a=2&tag_b=sesame/1", key).as_deref(),
            Some("tag_a=2")
        );
        assert_eq!(Call::new("x-sesame/1", "", key), None);
        assert!(Call::new("x", "", Some("")).is_some());
    }
}
