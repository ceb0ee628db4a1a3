//! A feed of statuses as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::time::{Timestamp, rfc3339};
use crate::{account::feeds::FeedStanding, clock::Moment};

/// A list that statuses can come from, and how it stands.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Feed")]
pub struct FeedJson {
    /// `delta`, `available`, `sweep` or `queues`.
    feed: &'static str,
    /// `in_use`; `no_gain` (it takes as many requests, or more); `untried` (it has not proved true yet); `impossible`; `resting` (it took too many
    /// requests) or `distrusted`, both until a time.
    standing: &'static str,
    /// Why, in words.
    why: String,
    /// When it is tried again; null if that is not known.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    until: Option<Moment>,
    /// Requests of one complete reading; null where that is not known.
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
