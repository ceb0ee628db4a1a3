//! How CallTools can differ from the plain reading of its documents, and what can go wrong with it on a bad day.
//!
//! [`Quirks`] are lasting: one account writes ids where another writes names, one sits behind a proxy that spoils its links.
//! A [`Mishap`] befalls single requests: the next so many, of one endpoint or of all.

use std::{collections::VecDeque, time::Duration};

use super::Endpoint;

/// The lasting oddities of one account, all off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// What `agent_status` bears.
    pub agent_status: StatusForm,
    /// What `app_user` bears.
    pub app_user: UserForm,
    /// How dates are written.
    pub dates: DateForm,
    /// Lists come whole, as a bare array, without pages and envelope.
    pub bare_array: bool,
    /// Which rows bear `queue_logged_in`.
    pub queue_logged_in: LoggedInField,
    /// What asking for a queue of another account brings.
    pub foreign_queue: ForeignQueue,
    /// `statuses/` answers 403: the token's user may not read it.
    pub statuses_forbidden: bool,
    /// What `agentstatuses/` without a queue brings.
    pub sweep: Sweep,
    /// The filter `agent_status` is not heeded.
    pub status_filter_ignored: bool,
    /// Rows move while a list is paged: some show up twice, some not at all.
    pub rows_move: bool,
    /// `count` is wrong by this.
    pub count_off_by: i64,
    /// Links bear this origin, such as `http://10.0.0.7:8000`, as they do behind a proxy.
    pub links_origin: Option<String>,
    /// How a 429 tells its wait.
    pub retry_after: RetryAfter,
}

/// What `agent_status` bears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusForm {
    /// The status' number.
    #[default]
    Id,
    /// Its name.
    Name,
    /// Nothing; only `status` tells.
    Null,
}

/// What `app_user` bears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserForm {
    /// A UUID as a string.
    #[default]
    Uuid,
    /// A number.
    Number,
    /// A URL that ends in the UUID.
    Url,
    /// An object with the UUID as its `id`.
    Object,
}

/// How dates are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DateForm {
    /// `2026-11-22T10:00:00.123456Z`.
    #[default]
    Rfc3339,
    /// `2026-11-22 10:00:00`, in UTC.
    Spaced,
}

/// Which rows bear `queue_logged_in`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoggedInField {
    /// Those of a list that was asked for with `queue=`.
    #[default]
    WithQueue,
    /// All; without `queue=` it tells of the agent's first queue.
    Always,
    /// None.
    Never,
}

/// What asking for a queue of another account brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignQueue {
    /// 400, no valid choice.
    #[default]
    Refused,
    /// 200 with no rows.
    Empty,
}

/// What `agentstatuses/` without a queue brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sweep {
    /// Everybody.
    #[default]
    Whole,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// Only four of five: the token's user does not see everybody.
    Partial,
    /// Everybody, as not available: statuses are not kept up to date there.
    Stale,
}

/// How a 429 tells its wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryAfter {
    /// `Retry-After: 3600`.
    #[default]
    Seconds,
    /// `Retry-After: Sun, 22 Nov 2026 10:00:00 GMT`.
    HttpDate,
    /// Not at all in the headers.
    Absent,
}

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// 401, as for a revoked token.
    InvalidToken,
    /// 403.
    Forbidden,
    /// 404, as DRF words it.
    NotFound,
    /// 429, with the wait if one is given.
    Throttled(Option<Duration>),
    /// Any status with a web page as its body: 500, 502 and 503 are what load balancers send.
    WebPage(u16),
    /// 302 to this address.
    Redirect(String),
    /// 200, announced as JSON, that breaks off in the middle.
    BrokenJson,
    /// 200 with JSON that is no list of anything.
    WrongShape,
    /// 200 with nothing in it.
    EmptyBody,
    /// 200 with a perfect list of nobody.
    NoRows,
    /// The right answer, this much later.
    Slow(Duration),
    /// No answer, ever.
    Hang,
    /// The connection is closed without an answer.
    Dropped,
}

/// Mishaps that lie in wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Mishaps {
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    left: usize,
    endpoint: Option<Endpoint>,
    mishap: Mishap,
}

impl Mishaps {
    pub(super) fn add(&mut self, times: usize, endpoint: Option<Endpoint>, mishap: Mishap) {
        self.waiting.push_back(Waiting {
            left: times,
            endpoint,
            mishap,
        });
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The one that befalls this request: the first in line that fits it.
    pub(super) fn take(&mut self, endpoint: Endpoint) -> Option<Mishap> {
        self.waiting.retain(|waiting| waiting.left > 0);
        let fits = |waiting: &&mut Waiting| waiting.endpoint.is_none_or(|only| only == endpoint);
        let waiting = self.waiting.iter_mut().find(fits)?;
        waiting.left -= 1;
        Some(waiting.mishap.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mishaps_befall_the_requests_they_fit_in_order() {
        let mut mishaps = Mishaps::default();
        mishaps.add(1, Some(Endpoint::Queues), Mishap::Hang);
        mishaps.add(2, None, Mishap::EmptyBody);
        assert_eq!(
            mishaps.take(Endpoint::AgentStatuses),
            Some(Mishap::EmptyBody)
        );
        assert_eq!(mishaps.take(Endpoint::Queues), Some(Mishap::Hang));
        assert_eq!(mishaps.take(Endpoint::Queues), Some(Mishap::EmptyBody));
        assert_eq!(mishaps.take(Endpoint::Queues), None);
    }
}
