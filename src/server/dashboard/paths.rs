//! The addresses of pages.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::decision::board::QueueKey;

/// The pages of queues are below this path.
pub(super) const QUEUES: &str = "/queues/";

/// Where browsers log out.
pub(super) const LOGOUT: &str = "/logout";

/// The page of a queue.
pub(super) fn queue(key: &QueueKey) -> String {
    format!("{QUEUES}{}", encoded(key))
}

fn encoded(key: &QueueKey) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!("{}/{}", encode(&key.account), encode(&key.queue))
}

/// Where a queue is polled at once.
pub(super) fn refresh(key: &QueueKey) -> String {
    format!("/v1/queues/{}/refresh", encoded(key))
}
