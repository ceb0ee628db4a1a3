//! What an account learns for [`soon`](crate::decision::soon): stays from the roster, situations at zero seats, and how they ended. Pure.
//!
//! It takes what others read for their own reasons, and asks for nothing: it knows no schedule.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::roster::StayPassed;
use crate::{
    clock::Moment,
    decision::soon::{
        arrivals::Arrivals,
        calibration::{Calibration, Outcome},
        learnt::{Learnt, StoredLearnt},
        report::{AccountReport, QueueReport, State},
        rule::{Foretold, Off, Terms, may_act},
        stay::Stay,
        week::{Calls, Record},
    },
};

/// How often queues without a seat are looked at. The rule's own figures change no faster.
const FORETELL_EVERY: Duration = Duration::from_secs(1);

/// How often it is told to people.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How often it is stored. A crash loses so much of what was learnt, and nothing is counted twice.
const KEEP_EVERY: Duration = Duration::from_secs(600);

/// See the [module](self).
#[derive(Debug)]
pub struct Foresight {
    learnt: Learnt,
    calibration: Calibration,
    record: Record,
    /// By the queue's place in the account.
    queues: Vec<Watched>,
    /// Boot times of when these were last done.
    foretold: Duration,
    told: Duration,
    kept: Duration,
}

/// What is remembered of a queue.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// Decisions when last counted; `None` before the first time.
    counted: Option<Decided>,
    arrivals: Arrivals,
    has_warned: bool,
}

/// Decisions of a queue since the start that the rule has, or could have, a say in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Rejected for want of a seat.
    pub rejected: u64,
    /// Accepted by the rule.
    pub accepted: u64,
}

/// What is foretold for a queue without a seat.
#[derive(Clone, Copy, Debug)]
pub struct AtZero {
    /// How likely somebody will be free, not corrected.
    pub likely: f64,
    /// What the operator has set.
    pub terms: Terms,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    learnt: StoredLearnt,
    sums: (f64, f64),
    record: Record,
}

impl Foresight {
    /// Nothing is known yet.
    pub fn new(queues: usize, now: Moment) -> Self {
        Self {
            learnt: Learnt::new(now),
            calibration: Calibration::default(),
            record: Record::default(),
            queues: vec![Watched::default(); queues],
            foretold: Duration::ZERO,
            told: Duration::ZERO,
            kept: now.boot,
        }
    }

    /// Goes on with what an earlier process stored. Returns whether it made sense.
    pub fn recall(&mut self, stored: &str, now: Moment) -> bool {
        let read = serde_json::from_str(stored).ok().and_then(|stored| {
            let Stored {
                learnt,
                sums,
                record,
            } = stored;
            let learnt = Learnt::from_stored(learnt, now)?;
            let calibration = Calibration::from_sums(sums, now)?;
            record.is_sound().then_some((learnt, calibration, record))
        });
        let Some(read) = read else {
            return false;
        };
        (self.learnt, self.calibration, self.record) = read;
        true
    }

    /// What outlives the process.
    pub fn to_stored(&self, now: Moment) -> String {
        let stored = Stored {
            learnt: self.learnt.to_stored(now),
            sums: self.calibration.sums(),
            record: self.record.clone(),
        };
        serde_json::to_string(&stored).expect("texts and numbers can be written")
    }

    /// Whether it is time to store it again.
    pub fn is_time_to_keep(&mut self, now: Moment) -> bool {
        let is_time = now.boot >= self.kept + KEEP_EVERY;
        if is_time {
            self.kept = now.boot;
        }
        is_time
    }

    /// Whether it is time to look at queues without a seat.
    pub fn is_time_to_foretell(&mut self, now: Moment) -> bool {
        let is_time = now.boot >= self.foretold + FORETELL_EVERY;
        if is_time {
            self.foretold = now.boot;
        }
        is_time
    }

    /// Whether it is time to tell people.
    pub fn is_time_to_tell(&mut self, now: Moment) -> bool {
        let is_time = now.boot >= self.told + TELL_EVERY;
        if is_time {
            self.told = now.boot;
        }
        is_time
    }

    /// The account's queues are others now. `places` tells where each was before, if anywhere.
    pub fn rearrange(&mut self, places: &[Option<usize>]) {
        let queue = |was: &Option<usize>| was.map(|was| self.queues[was]).unwrap_or_default();
        self.queues = places.iter().map(queue).collect();
        self.calibration
            .rearrange(|was| places.iter().position(|place| *place == Some(was)));
    }

    /// Another queue is at this place from now on.
    pub fn forget_queue(&mut self, place: usize) {
        self.calibration
            .rearrange(|was| (was != place).then_some(was));
    }

    /// Counts time in a status. `places` are the queues of the agent.
    pub fn learn(&mut self, mut change: StayPassed, places: impl FnOnce() -> Vec<usize>) {
        let took_call = change.onto_call && self.calibration.has_bets();
        if let (true, Some(ended)) = (took_call, &mut change.passed.ended) {
            let mut places = places().into_iter();
            // The rule sent this call, so the agent was free for it, if only for a moment.
            ended.available |= places.any(|place| self.calibration.took_call(place, change.at));
        }
        self.learnt.learn(&change.passed);
    }

    /// CallTools calls a status by another name now.
    pub fn rename(&mut self, was: &str, is: &Arc<str>) {
        self.learnt.rename(was, is);
    }

    /// How likely an agent is free by `until`, who was known to be in this stay at `seen`; both are boot times.
    pub fn chance(&self, stay: &Stay, seen: Duration, until: Duration) -> f64 {
        self.learnt.chance_as_of(stay, seen, until)
    }

    /// Decisions about a queue since this was last called, as (rejected, accepted by the rule).
    pub fn new_calls(&mut self, place: usize, decided: Decided) -> (u32, u32) {
        let before = self.queues[place].counted.replace(decided);
        let before = before.unwrap_or(decided);
        let since = |now: u64, before: u64| now.saturating_sub(before).min(u32::MAX.into()) as u32;
        (
            since(decided.rejected, before.rejected),
            since(decided.accepted, before.accepted),
        )
    }

    /// A queue was asked about, and has no seat now if `at_zero` says so. `id` is CallTools' number for it.
    pub fn count_calls(
        &mut self,
        (place, id): (usize, Option<u64>),
        (rejected, accepted): (u32, u32),
        at_zero: Option<AtZero>,
        now: Moment,
    ) {
        let mut calls = Calls {
            came: accepted,
            accepted,
            ..Calls::default()
        };
        if let Some(AtZero { likely, terms }) = at_zero {
            calls.came = calls.came.saturating_add(rejected);
            if self.foretold(likely, terms).accepts() {
                calls.would = rejected;
            }
            let chosen = calls.would.saturating_add(accepted);
            self.calibration
                .foretell(place, likely, (chosen, accepted), terms, now);
        }
        if let Some(id) = id.filter(|_| calls != Calls::default()) {
            self.record.came(id, calls, now);
        }
    }

    /// By what a probability is multiplied, so that no more agents are foretold than were seen.
    pub fn factor(&self) -> f64 {
        self.calibration.factor()
    }

    /// What the rule says of this probability.
    pub fn foretold(&self, likely: f64, terms: Terms) -> Foretold {
        Foretold::new(likely * self.calibration.factor(), terms)
    }

    /// A look showed whether a queue has a seat above its threshold. Returns the situations that are settled by it.
    pub fn look(
        &mut self,
        place: usize,
        id_of: impl Fn(usize) -> Option<u64>,
        (at, has_seat): (Moment, bool),
        now: Moment,
    ) -> Vec<Outcome> {
        let settled = self.calibration.look(place, at, has_seat);
        for outcome in &settled {
            self.record.settled(id_of(outcome.queue), outcome, now);
        }
        settled
    }

    /// A reserved call of this queue had its agent so long after its reservation. Returns the usual time if it is shorter than the lead, the
    /// first time only.
    pub fn arrived(&mut self, place: usize, after: Duration, terms: Terms) -> Option<Duration> {
        self.queues[place].arrivals.arrived(after);
        let within = self.arrives_within(place, terms)?;
        let has_warned = std::mem::replace(&mut self.queues[place].has_warned, true);
        (!has_warned).then_some(within)
    }

    fn arrives_within(&self, place: usize, terms: Terms) -> Option<Duration> {
        let median = self.queues[place].arrivals.median();
        median.filter(|median| *median < terms.lead())
    }

    /// Whether the rule may act.
    ///
    /// # Errors
    /// Why not.
    pub fn may_act(&self, is_feed_proven: bool, now: Moment) -> Result<(), Off> {
        may_act(&self.learnt, self.calibration.factor(), is_feed_proven, now)
    }

    /// For people. `queues` has each queue's name, id, terms and state, in the order of the config.
    pub fn report(
        &self,
        queues: impl Iterator<Item = (Arc<str>, Option<u64>, Terms, State)>,
        now: Moment,
    ) -> AccountReport {
        let queue = |(place, (queue, id, terms, state)): (usize, (_, Option<u64>, _, _))| {
            let calls = id.map(|id| self.record.calls(id, now));
            QueueReport {
                queue,
                terms,
                state,
                calls: calls.unwrap_or_default(),
                arrives_within: self.arrives_within(place, terms),
            }
        };
        AccountReport {
            tenths: self.record.tenths(now),
            factor: self.calibration.factor(),
            queues: queues.enumerate().map(queue).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
