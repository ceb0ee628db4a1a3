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
    /// Calls that the rule accepts here, or would, and those that were accepted and whose agent has not been seen yet.
    calls: u32,
    bets: u32,
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
    /// Calls that the rule accepted, or would have.
    pub calls: u32,
    /// Whether a seat was seen, or the agent who took the call.
    pub seen: bool,
}

impl Calibration {
    /// Nobody is free in a queue now, and this was foretold, not corrected by the [factor](Self::factor). `calls` tells how many calls the
    /// rule accepts in this situation, or would, and `bets` how many of them were accepted.
    pub fn foretell(
        &mut self,
        queue: usize,
        likely: f64,
        (calls, bets): (u32, u32),
        terms: Terms,
        now: Moment,
    ) {
        let mut open = self.open.iter_mut().rev();
        let last = open.find(|one| one.queue == queue);
        if let Some(last) = last.filter(|last| now.boot < last.taken + APART) {
            last.calls = last.calls.saturating_add(calls);
            last.bets = last.bets.saturating_add(bets);
            return;
        }
        if self.open.len() >= MAX_OPEN {
            return;
        }
        self.open.push_back(Situation {
            queue,
            likely,
            calls,
            bets,
            taken: now.boot,
            from: now.boot + terms.lead(),
            until: terms.until(now),
            seat: None,
        });
    }

    /// Whether any call was accepted whose agent has not been seen yet.
    pub fn has_bets(&self) -> bool {
        self.open.iter().any(|one| one.bets > 0)
    }

    /// An agent of this queue went from a status that takes no calls onto a call. If the rule has accepted a call that arrives about now, that
    /// was the agent it counted on: nobody sees them free in between. Returns whether it was so; each call explains one such agent.
    pub fn took_call(&mut self, queue: usize, at: Duration) -> bool {
        let ours = |one: &&mut Situation| {
            one.queue == queue && one.bets > 0 && (one.taken..=one.until).contains(&at)
        };
        match self.open.iter_mut().find(ours) {
            Some(one) => {
                one.bets -= 1;
                one.seat = Some(true);
                true
            }
            None => false,
        }
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
                    calls: one.calls,
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

    /// What outlives a restart: the sums of what was foretold and seen.
    pub fn sums(&self) -> (f64, f64) {
        (self.foretold, self.seen)
    }

    /// Goes on with the [sums](Self::sums) of an earlier process. The time in between counts as none: habits do not change while nobody looks.
    pub fn from_sums((foretold, seen): (f64, f64), now: Moment) -> Option<Self> {
        let are_sound = foretold.is_finite() && foretold >= 0.0 && (0.0..=1e9).contains(&seen);
        are_sound.then(|| Self {
            foretold,
            seen,
            faded: now.boot,
            open: VecDeque::new(),
        })
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
