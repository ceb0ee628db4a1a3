//! A feed of statuses as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::time::{Timestamp, rfc3339};
use crate::{account::feeds::FeedStanding, clock::Moment};

/// A list that statuses can come from, and whether it is used.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Feed")]
pub struct FeedJson {
    /// `delta`, `available`, `sweep` or `queues`.
    feed: &'static str,
    /// `in_use`; `no_gain` (it needs as many requests or more, or so many that polling the queues is as fast); `untried` (not yet proven
    /// correct); `impossible`; `resting` (it took too many requests) or `distrusted`, both until a set time.
    standing: &'static str,
    /// The reason for that, in words.
    why: String,
    /// When it will be tried again; null if unknown.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    until: Option<Moment>,
    /// How many requests one complete reading takes; null if unknown.
    requests: Option<u32>,
}

impl From<&FeedStanding> for FeedJson {
    fn from(feed: &FeedStanding) -> Self {
        Self {
            feed: feed.feed.as_str(),
            standing: feed.standing.as_str(),
            why: feed.why.to_string(),
            until: feed.until,
            requests: feed.requests,
        }
    }
}
