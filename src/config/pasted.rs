//! Reads what people paste: addresses from the browser, and words as CallGrid's hosted form writes them. `openseat init` uses it too.
//!
//! Tokens and silos are read in [`token`](crate::calltools::token) and [`address`](crate::calltools::address).

use strum::VariantNames;
use url::Url;

use super::{QueueRef, keys::normal};
use crate::decision::criteria::Condition;

/// Other words for conditions: from the hosted form, spreadsheets and people.
const CONDITIONS: [(&str, &str); 22] = [
    ("greater", "greater_than"),
    ("more_than", "greater_than"),
    (">", "greater_than"),
    ("greater_than_or_equal", "greater_or_equal"),
    ("greater_than_or_equal_to", "greater_or_equal"),
    (">=", "greater_or_equal"),
    ("less", "less_than"),
    ("<", "less_than"),
    ("less_than_or_equal", "less_or_equal"),
    ("less_than_or_equal_to", "less_or_equal"),
    ("<=", "less_or_equal"),
    ("equal", "equals"),
    ("equal_to", "equals"),
    ("==", "equals"),
    ("not_equal", "not_equals"),
    ("not_equal_to", "not_equals"),
    ("does_not_equal", "not_equals"),
    ("!=", "not_equals"),
    ("does_not_contain", "not_contains"),
    ("starts_with", "begins_with"),
    ("does_not_exist", "not_exists"),
    ("not_exist", "not_exists"),
];

/// Returns the name of a condition, from its name in any case and with spaces, or from another word for it.
pub(super) fn condition(text: &str) -> Option<&'static str> {
    let text = normal(text);
    let own = Condition::VARIANTS.iter().find(|name| **name == text);
    let other = || CONDITIONS.iter().find(|(word, _)| *word == text);
    own.copied().or_else(|| other().map(|(_, name)| *name))
}

/// Parses a queue as people name it: by its id, its name, or the URL of its settings page, which ends in the id.
///
/// # Errors
/// It is a URL that does not end in an id.
pub fn queue(text: &str) -> Result<QueueRef, NoId> {
    let id = match address(text) {
        Some(path) => last_number(&path).ok_or(NoId)?,
        None if is_id(text) => text.parse().map_err(|_| NoId)?,
        None => return Ok(QueueRef::Name(text.to_owned())),
    };
    match id {
        0 => Err(NoId),
        id => Ok(QueueRef::Id(id)),
    }
}

/// The URL has no queue id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a queue's id; copy the number from the address of the queue's settings page")]
pub struct NoId;

/// Returns whether a text is the URL of a page and not a name.
pub(super) fn is_address(text: &str) -> bool {
    address(text).is_some()
}

/// Returns the path of a URL, with the part after `#`: some pages have their path there. Ids in other sites' URLs are not queues.
fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let url = match text.contains("://") {
        true => Url::parse(text).ok()?,
        false => Url::parse(&format!("https://{}", text.contains('/').then_some(text)?)).ok()?,
    };
    let host = url.host_str()?;
    let is_calltools = [".calltools.io", ".calltools.com"]
        .iter()
        .any(|domain| host.ends_with(domain));
    is_calltools.then(|| format!("{}/{}", url.path(), url.fragment().unwrap_or_default()))
}

/// Returns the id at the end of a path.
fn last_number(path: &str) -> Option<u64> {
    let path = path.split('?').next()?;
    let last = path.split('/').rfind(|part| !part.is_empty())?;
    is_id(last).then(|| last.parse().ok())?
}

/// Returns whether a name is an id. Digits alone are one: ids are copied as often as names, with and without quotes.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_queue_is_an_id_a_name_or_the_address_of_its_settings() {
        for (text, expected) in [
            ("5450", Ok(QueueRef::Id(5450))),
            ("sales-queue", Ok(QueueRef::Name("sales-queue".to_owned()))),
            ("Line 2", Ok(QueueRef::Name("Line 2".to_owned()))),
            (
                "https://east-1.calltools.io/queues/5450",
                Ok(QueueRef::Id(5450)),
            ),
            (
                "https://East-1.CallTools.com/queues/5450/",
                Ok(QueueRef::Id(5450)),
            ),
            (
                "https://app.calltools.io/#/settings/queues/5450?tab=agents",
                Ok(QueueRef::Id(5450)),
            ),
            ("east-1.calltools.io/queues/5450", Ok(QueueRef::Id(5450))),
            (
                " https://east-1.calltools.io/queues/5450 ",
                Ok(QueueRef::Id(5450)),
            ),
            ("https://east-1.calltools.io/queues/", Err(NoId)),
            ("https://east-1.calltools.io/queues/0", Err(NoId)),
            ("0", Err(NoId)),
            ("99999999999999999999", Err(NoId)),
        ] {
            assert_eq!(queue(text), expected, "{text}");
        }
        assert!(!is_address("https://evil.example/queues/5450"));
        assert!(!is_address("sales/5450"));
    }

    #[test]
    fn a_condition_is_accepted_as_the_hosted_form_writes_it() {
        for (text, name) in [
            ("Greater Than", "greater_than"),
            ("greater-than", "greater_than"),
            (" GREATER THAN OR EQUAL TO ", "greater_or_equal"),
            (">=", "greater_or_equal"),
            ("Less Than", "less_than"),
            ("Equals", "equals"),
            ("Does Not Equal", "not_equals"),
            ("Does not contain", "not_contains"),
            ("Begins With", "begins_with"),
            ("Starts with", "begins_with"),
            ("Is True", "is_true"),
            ("Exists", "exists"),
            ("Does Not Exist", "not_exists"),
        ] {
            assert_eq!(condition(text), Some(name), "{text}");
        }
        assert_eq!(condition("Greater Then"), None);
    }

    #[test]
    fn every_word_stands_for_a_condition() {
        for (word, name) in CONDITIONS {
            assert!(Condition::VARIANTS.contains(&name), "{word}");
            assert!(!Condition::VARIANTS.contains(&word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn every_condition_is_known_in_any_case_and_with_any_gap(
            name in prop::sample::select(Condition::VARIANTS),
            gap in prop::sample::select(vec!["_", "-", " "]),
            upper in any::<bool>(),
        ) {
            let text = name.replace('_', gap);
            let text = if upper { text.to_uppercase() } else { text };
            prop_assert_eq!(condition(&text), Some(name));
        }

        #[test]
        fn the_id_ends_the_address(
            silo in "[a-z]{4,7}-[1-9]",
            domain in prop::sample::select(vec!["calltools.io", "calltools.com", "CallTools.io"]),
            path in "(/[a-z#]{1,8}){0,3}",
            id in 1_u64..,
            tail in prop::sample::select(vec!["", "/", "?a=7", "/?page=2"]),
        ) {
            let text = format!("https://{silo}.{domain}{path}/{id}{tail}");
            prop_assert_eq!(queue(&text), Ok(QueueRef::Id(id)));
        }
    }
}
