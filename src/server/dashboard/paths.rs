//! The addresses of pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::decision::board::QueueKey;

/// The pages of queues are below this path.
pub(super) const QUEUES: &str = "/queues/";

/// Where browsers log out.
pub(super) const LOGOUT: &str = "/logout";

/// The characters that are percent-encoded in a path. `-` and `_` are not: people read and copy addresses of queues such as `tier-2` and
/// `after_hours`. Dots are, since a name could be `..`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// The search for a call.
pub(super) const CALLS: &str = "/calls";

/// The page of a call.
pub(super) fn call(call_id: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("call_id", call_id)
        .finish();
    format!("{CALLS}?{query}")
}

/// The page of a queue.
pub(super) fn queue(key: &QueueKey) -> String {
    format!("{QUEUES}{}", encoded(key))
}

fn encoded(key: &QueueKey) -> String {
    let encode = |text| utf8_percent_encode(text, ESCAPED).to_string();
    format!("{}/{}", encode(&key.account), encode(&key.queue))
}

/// Where to poll a queue now.
pub(super) fn refresh(key: &QueueKey) -> String {
    format!("/v1/queues/{}/refresh", encoded(key))
}

/// The address that a router asks about a queue.
pub(super) fn decision(key: &QueueKey) -> String {
    format!("/v1/queues/{}/decision", encoded(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_readable_and_names_cannot_escape_their_segment() {
        for (name, path) in [
            ("after_hours-2", "after_hours-2"),
            ("a/b c", "a%2Fb%20c"),
            ("..", "%2E%2E"),
            ("Größe?#", "Gr%C3%B6%C3%9Fe%3F%23"),
        ] {
            let key = QueueKey::new("main", name);
            assert_eq!(queue(&key), format!("/queues/main/{path}"));
            assert_eq!(decision(&key), format!("/v1/queues/main/{path}/decision"));
        }
    }
}
