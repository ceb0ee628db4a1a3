//! CallTools' request limit, counted as by Django REST framework's `SimpleRateThrottle`.
//!
//! It is a sliding log: a request is refused while the number *admitted* in the last hour is at the limit. Refused requests are not logged,
//! so they do not prolong the wait. The wait in the answer is the time until the oldest entry leaves; if the log holds more than the limit,
//! because the limit was lowered, there is none. A window that restarts on the hour is possible too: CallTools' settings are unknown.
//!
//! [`Arrivals`] judges the client: it counts every request, including refused and failed ones.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

/// The period of the limit.
pub const HOUR: Duration = Duration::from_secs(3_600);

/// How an hour is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// The 3600 s before each request, as DRF counts.
    #[default]
    Sliding,
    /// From one full hour of the simulator's time to the next.
    FullHour,
}

/// A request over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// The time until a request will be admitted again; `None` if DRF does not state it.
    pub wait: Option<Duration>,
}

/// The account's log of admitted requests.
#[derive(Clone, Debug)]
pub struct Throttle {
    limit: u32,
    window: Window,
    /// Oldest first; never more than the limit at the time they were admitted.
    admitted: VecDeque<Duration>,
    foreign: Option<Foreign>,
    refused: u64,
}

/// Other software that uses the account: it asks at an even pace, regardless of the answers.
#[derive(Clone, Copy, Debug)]
struct Foreign {
    every: Duration,
    next: Duration,
}

impl Throttle {
    /// Creates a throttle that admits `limit` requests an hour.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            window: Window::default(),
            admitted: VecDeque::new(),
            foreign: None,
            refused: 0,
        }
    }

    /// Changes the limit; requests admitted under the old one stay in the log.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Changes how an hour is counted.
    pub fn set_window(&mut self, window: Window) {
        self.window = window;
    }

    /// Makes other software spend `per_hour` requests an hour from the same account, evenly, from `now`; 0 ends it.
    pub fn set_foreign(&mut self, now: Duration, per_hour: u32) {
        self.foreign = HOUR.checked_div(per_hour).map(|every| Foreign {
            every,
            next: now + every,
        });
    }

    /// Admits a request, or refuses it.
    ///
    /// # Errors
    /// [`Throttled`] if the log is full.
    pub fn admit(&mut self, now: Duration) -> Result<(), Throttled> {
        self.admit_foreign(now);
        let outcome = self.enter(now);
        self.refused += u64::from(outcome.is_err());
        outcome
    }

    /// Returns how many requests were refused so far, without those of other software.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns how many requests the log holds now, including those of other software.
    pub fn in_window(&mut self, now: Duration) -> usize {
        self.admit_foreign(now);
        self.forget(now);
        self.admitted.len()
    }

    /// Adds the requests of other software since the last call, in order.
    fn admit_foreign(&mut self, now: Duration) {
        let Some(mut foreign) = self.foreign else {
            return;
        };
        // Requests from more than an hour ago have left the log again.
        foreign.next = foreign.next.max(now.saturating_sub(HOUR));
        while foreign.next <= now {
            // They keep their pace, refused or not.
            let _ = self.enter(foreign.next);
            foreign.next += foreign.every;
        }
        self.foreign = Some(foreign);
    }

    fn enter(&mut self, now: Duration) -> Result<(), Throttled> {
        self.forget(now);
        let entries = self.admitted.len() as u64;
        if entries >= u64::from(self.limit) {
            return Err(Throttled {
                wait: self.wait(now),
            });
        }
        self.admitted.push_back(now);
        Ok(())
    }

    /// Drops what has left the window. An entry exactly an hour old is gone.
    fn forget(&mut self, now: Duration) {
        let gone = |at: Duration| match self.window {
            Window::Sliding => at + HOUR <= now,
            Window::FullHour => at < full_hour(now),
        };
        let entries = self.admitted.partition_point(|&at| gone(at));
        self.admitted.drain(..entries);
    }

    fn wait(&self, now: Duration) -> Option<Duration> {
        // The log is empty only if the limit is 0, and then DRF states a whole hour.
        let oldest = self.admitted.front().copied().unwrap_or(now);
        let over_full = self.admitted.len() as u64 > u64::from(self.limit);
        match self.window {
            Window::Sliding if over_full => None,
            Window::Sliding => Some(oldest + HOUR - now),
            Window::FullHour => Some(full_hour(now) + HOUR - now),
        }
    }
}

/// Returns the start of the current hour of the simulator's time.
fn full_hour(now: Duration) -> Duration {
    Duration::from_secs(now.as_secs() / HOUR.as_secs() * HOUR.as_secs())
}

/// A tally of all requests that arrived, with any answer. It judges a client that promises never to send more than
/// its limit in any hour.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// The arrivals of the last hour, oldest first.
    recent: VecDeque<Duration>,
    worst: usize,
    total: u64,
}

impl Arrivals {
    /// Counts of more arrivals in an hour than this are cut off; 16 MiB, and a thousand times what a client may send.
    const MAX_RECENT: usize = 1 << 20;

    /// Adds a request.
    pub fn add(&mut self, now: Duration) {
        let gone = self.recent.partition_point(|&at| at + HOUR <= now);
        self.recent.drain(..gone);
        if self.recent.len() == Self::MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        // The count of a sliding window peaks only at an arrival.
        self.worst = self.worst.max(self.recent.len());
        self.total += 1;
    }

    /// Returns the largest number that arrived in any 3600 s so far.
    pub fn worst_sliding_hour(&self) -> usize {
        self.worst
    }

    /// Returns the total number of arrivals.
    pub fn total(&self) -> u64 {
        self.total
    }
}
