//! The findings of a survey about an account's API. A finding is `None` if it could not be judged, for instance because the account is too small.

use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Findings {
    /// How many queues `queues/` has.
    pub queues: Option<u64>,
    /// How many statuses `statuses/` has.
    pub statuses: Option<u64>,
    /// How many agents the account has.
    pub agents: Option<u64>,
    /// The agents on the first page: how many there are, and what they do.
    pub people: Option<People>,
    /// Whether `queues/` can be read.
    pub queues_list: Option<Access>,
    /// Whether `statuses/` can be read.
    pub statuses_list: Option<Access>,
    /// Whether `agentstatuses/` can be read without a queue.
    pub everybody_list: Option<Access>,
    /// How the list of all agents agrees with the queue's list.
    pub everybody: Option<Agreement>,
    /// The form of lists.
    pub envelope: Option<Envelope>,
    /// The number of rows without a page size.
    pub default_page_size: Option<u64>,
    /// The number of rows if a thousand are requested.
    pub largest_page: Option<u64>,
    /// The effect of `page_size=max`.
    pub page_size_max: Option<PageSizeMax>,
    /// How `count` agrees with the rows.
    pub count: Option<Count>,
    /// The answer for a page after the last.
    pub past_the_end: Option<PastTheEnd>,
    /// The target of links to other pages.
    pub links: Option<Links>,
    /// The effect of `ordering=-…`.
    pub ordering: Option<Ordering>,
    /// Where agents without a date are placed, if it sorts.
    pub undated_first: Option<bool>,
    /// The percentage of agents without a date.
    pub undated_percent: Option<u8>,
    /// The filter `agent_status=`.
    pub status_filter: Option<Filter>,
    /// The filter `agent_status_modified_on__gte=`.
    pub change_filter: Option<Filter>,
    /// The answer for a queue that the account does not have.
    pub unknown_queue: Option<UnknownQueue>,
    /// Rows with `queue_logged_in` in the list of all agents.
    pub queue_logged_in_without_queue: Option<Presence>,
    /// Rows with `queue_logged_in` in a queue's list.
    pub queue_logged_in_with_queue: Option<Presence>,
    /// What `agent_status` holds.
    pub agent_status: Option<Form>,
    /// What `app_user` holds.
    pub app_user: Option<Form>,
    /// How dates are written.
    pub dates: Option<DateForm>,
    /// How far CallTools' clock is ahead of this machine's, according to its `Date`.
    pub clock_ahead_seconds: Option<i64>,
    /// How far the newest date of change is ahead of CallTools' clock; negative if it is in the past.
    pub newest_change_ahead_seconds: Option<i64>,
    /// How long the oldest answer had been kept by a cache.
    pub cached_seconds: Option<u64>,
    /// The median time to an answer.
    pub latency_ms: Option<u64>,
}

/// What the agents on a page do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// How many there are on the page.
    pub listed: u64,
    /// Those whose status makes them available.
    pub available: u64,
    /// Of these, those who are on a call anyway.
    pub available_on_call: u64,
    /// Of these, those who are on no call but not `ready`.
    pub available_not_ready: u64,
    /// All who are on a call, in any status.
    pub on_call: u64,
}

/// Whether a list can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It came.
    Readable,
    /// 401 or 403.
    Forbidden,
    /// 404.
    NotFound,
    /// Anything else.
    Failed,
}

/// How the list of all agents agrees with a queue's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// It has everybody in the queue, with the same status.
    Whole,
    /// It lacks some agents of the queue.
    Partial,
    /// Agents who are available in the queue are not available on the list.
    Stale,
}

/// The form of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// Page by page, with `count`, `next` and `results`.
    Pages,
    /// Whole, as a bare array.
    BareArray,
}

/// The effect of `page_size=max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageSizeMax {
    /// All rows.
    Whole,
    /// One page of the largest size.
    Clipped,
    /// The same rows as without it.
    Ignored,
    /// An error.
    Refused,
}

/// How `count` agrees with the rows of a complete list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// It is their number.
    Exact,
    /// It is larger by this, or smaller.
    OffBy(i64),
    /// There is none.
    Absent,
}

/// The answer for a page after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastTheEnd {
    /// 404.
    NotFound,
    /// No rows.
    Empty,
    /// Rows: the list begins again.
    BeginsAgain,
}

/// The target of links to other pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Links {
    /// To the address that was asked.
    Same,
    /// Elsewhere.
    Elsewhere,
}

/// The effect of `ordering=-…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// It sorts by the date of change, newest first.
    NewestFirst,
    /// It sorts by the date of change, oldest first.
    OldestFirst,
    /// It sorts by another date.
    ByOther(OtherDate),
    /// It changes nothing.
    Ignored,
    /// It changes something, but the result is not sorted.
    Unsorted,
    /// An error.
    Refused,
}

/// A date of a row that lists can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OtherDate {
    /// The log-in to the dialer.
    LoggedInSince,
    /// The last time that the agent became ready.
    ReadySince,
    /// The registration of the telephone.
    WebPhoneRegisteredOn,
}

/// Whether a filter works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// It excludes rows that do not match.
    Works,
    /// It changes nothing.
    Ignored,
    /// An error.
    Refused,
}

/// The answer for a queue that the account does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownQueue {
    /// 400.
    Refused,
    /// 404.
    NotFound,
    /// No rows.
    Empty,
    /// Rows, as if no queue had been named.
    Everybody,
}

/// How many rows have a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// All of them.
    All,
    /// Some of them.
    Some,
    /// None of them.
    None,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A number, or a text of digits.
    Number,
    /// Any other text.
    Text,
    /// A text with slashes.
    Url,
    /// An object.
    Object,
    /// Null, or missing.
    Null,
    /// It differs between rows.
    Mixed,
}

/// How dates are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateForm {
    /// `2026-11-22T10:00:00.123456Z`.
    Fractions,
    /// `2026-11-22T10:00:00Z`.
    Seconds,
    /// `2026-11-22 10:00:00`.
    Spaced,
    /// With an offset from UTC.
    Offset,
    /// Another format, which openseat cannot read.
    Unreadable,
}
