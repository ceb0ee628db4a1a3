//! How a budget divides over queues: the arithmetic behind `openseat plan` and behind the default of `max_age`.

use std::time::Duration;

use crate::{config, decision::Policy};

/// The hour that a budget is given for.
const HOUR: Duration = Duration::from_secs(3600);

/// A default `max_age` leaves room for two polls in a row to fail or come late.
const ROUNDS: u32 = 3;

/// A default `max_age` is at least this: with few queues the rounds are short, and a hiccup of a minute is common.
const SHORTEST_MAX_AGE: Duration = Duration::from_secs(60);

/// What to expect of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Requests an hour that polling may send.
    pub polls_per_hour: u32,
    /// The time between two requests.
    pub period: Duration,
    /// In the order of the config.
    pub queues: Vec<PlannedQueue>,
}

/// What to expect of one queue.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedQueue {
    /// As in the config.
    pub queue: String,
    /// Requests that one poll takes: a page for each 250 agents.
    pub pages: u32,
    /// The time from one poll to the next, which is also the greatest age that a good day shows.
    pub interval: Duration,
    /// Older than this is unknown.
    pub max_age: Duration,
    /// Whether `max_age` is the default rather than the operator's.
    pub max_age_is_default: bool,
}

impl PlannedQueue {
    /// The age to expect on average of answers at random times: half the interval, as polls are evenly spread.
    pub fn mean_age(&self) -> Duration {
        self.interval / 2
    }

    /// Whether an answer can hold from one poll to the next.
    pub fn fits(&self) -> bool {
        self.interval <= self.max_age
    }
}

/// The plan for an account whose queues take `pages` requests a poll.
pub fn plan(account: &config::Account, pages: impl Fn(&config::Queue) -> u32) -> Plan {
    let polls_per_hour = account.requests_per_hour.get() - account.reserve;
    let period = HOUR / polls_per_hour;
    let round = account.queues.iter().map(&pages).sum::<u32>();
    let interval = period * round;
    let queue = |queue: &config::Queue| PlannedQueue {
        queue: queue.spelling.to_string(),
        pages: pages(queue),
        interval,
        max_age: queue.max_age.unwrap_or_else(|| default_max_age(interval)),
        max_age_is_default: queue.max_age.is_none(),
    };
    Plan {
        polls_per_hour,
        period,
        queues: account.queues.iter().map(queue).collect(),
    }
}

/// Each queue's policy, in the order of the config.
pub fn policies(account: &config::Account) -> Vec<Policy> {
    let policy = |queue: &config::Queue| Policy {
        threshold: queue.threshold,
        max_age: queue.max_age,
        on_unknown: queue.on_unknown,
    };
    account.queues.iter().map(policy).collect()
}

/// The `max_age` of a queue whose config names none, if its statuses are looked at once in an `interval`.
pub fn default_max_age(interval: Duration) -> Duration {
    (interval * ROUNDS).max(SHORTEST_MAX_AGE)
}
