//! Compares what was foretold at zero seats with what looks showed when the call would have arrived. No request is spent on it.

use std::{collections::VecDeque, time::Duration};

use super::rule::Terms;
use crate::clock::Moment;

/// Situations nearer to each other than this are nearly the same one.
const APART: Duration = Duration::from_secs(4);

/// What was seen counts half after so long: agents' habits change during a day.
const HALF_LIFE: Duration = Duration::from_secs(2 * 3_600);

/// Below this probability hardly any call is accepted, so its errors do not matter.
const COUNTS_ABOVE: f64 = 0.6;

/// Before anything is seen, what was foretold is taken to be true, with the weight of so many situations.
const ASSUMED: f64 = 20.0;

/// A look can come late by this much, and is waited for.
const LATE: Duration = Duration::from_secs(120);

/// Situations that wait for their look: 8 KB an account. There are more only where dozens of queues are without a seat at once.
pub const MAX_OPEN: usize = 128;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    foretold: f64,
    seen: f64,
    faded: Duration,
    open: VecDeque<Situation>,
}

/// A moment at which nobody was free, and what was foretold.
#[derive(Clone, Copy, Debug)]
struct Situation {
    queue: usize,
    likely: f64,
    /// Boot times: when it was, and between which a look can say how it ended.
    taken: Duration,
    from: Duration,
    until: Duration,
    seat: Option<bool>,
}

/// How a situation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The queue's place in the account.
    pub queue: usize,
    /// What was foretold.
    pub likely: f64,
    /// Whether a seat was seen.
    pub seen: bool,
}

impl Calibration {
    /// Nobody is free in a queue now, and this was foretold, not corrected by the [factor](Self::factor).
    pub fn foretell(&mut self, queue: usize, likely: f64, terms: Terms, now: Moment) {
        let last = self.open.iter().rev().find(|one| one.queue == queue);
        let is_near = last.is_some_and(|last| now.boot < last.taken + APART);
        if is_near || self.open.len() >= MAX_OPEN {
            return;
        }
        self.open.push_back(Situation {
            queue,
            likely,
            taken: now.boot,
            from: now.boot + terms.lead(),
            until: terms.until(now),
            seat: None,
        });
    }

    /// A look at a queue showed whether it has a seat above its threshold. Returns the situations that are settled now.
    pub fn look(&mut self, queue: usize, at: Moment, has_seat: bool) -> Vec<Outcome> {
        for one in self.open.iter_mut().filter(|one| one.queue == queue) {
            if (one.from..=one.until).contains(&at.boot) {
                one.seat = Some(has_seat || one.seat == Some(true));
            }
        }
        let mut settled = Vec::new();
        self.open.retain(|one| {
            let is_over = at.boot > one.until && at.boot >= one.taken + APART;
            let is_settled = is_over && (one.queue == queue || at.boot > one.until + LATE);
            if let (true, Some(seen)) = (is_settled, one.seat) {
                settled.push(Outcome {
                    queue: one.queue,
                    likely: one.likely,
                    seen,
                });
            }
            !is_settled
        });
        for outcome in &settled {
            self.count(*outcome, at);
        }
        settled
    }

    fn count(&mut self, outcome: Outcome, at: Moment) {
        if outcome.likely <= COUNTS_ABOVE {
            return;
        }
        let halves = at.boot.saturating_sub(self.faded).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let kept = (-halves).exp2();
        self.faded = self.faded.max(at.boot);
        self.foretold = self.foretold * kept + outcome.likely;
        self.seen = self.seen * kept + f64::from(u8::from(outcome.seen));
    }

    /// By what a probability is multiplied, so that no more agents are foretold than are seen; at most 1.
    pub fn factor(&self) -> f64 {
        ((ASSUMED + self.seen) / (ASSUMED + self.foretold)).min(1.0)
    }

    /// The queues have other places now, or none.
    pub fn rearrange(&mut self, place_now: impl Fn(usize) -> Option<usize>) {
        self.open.retain_mut(|one| {
            let place = place_now(one.queue);
            one.queue = place.unwrap_or_default();
            place.is_some()
        });
    }
}
