//! Learns for [`soon`](crate::decision::soon): from stays in the roster, from situations at zero seats, and from how those ended.
//!
//! Pure. It uses data that was read for other reasons, and requests none of its own.

mod watched;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{roster::StayPassed, schedule::BusyHours};
use crate::{
    clock::Moment,
    decision::soon::{
        arrivals::Arrivals,
        calibration::{AtZero, Calibration, Free, Outcome},
        learnt::{Learnt, StoredLearnt},
        report::{AccountReport, QueueReport, State},
        rule::{Off, Prediction, Terms, may_act},
        stay::{AsOf, Stay},
        week::{Calls, MAX_QUEUES, Record},
    },
};
use watched::Watched;

/// How often queues without a seat are examined. The rule's own figures change no faster.
const PREDICT_EVERY: Duration = Duration::from_secs(1);

/// How often the report for people is updated.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How often it is stored. A crash loses at most this much, and nothing is counted twice.
const KEEP_EVERY: Duration = Duration::from_secs(600);

/// See the [module](self).
#[derive(Debug)]
pub struct Foresight {
    learnt: Learnt,
    calibration: Calibration,
    record: Record,
    /// The queues, by place.
    queues: Vec<Watched>,
    /// How long reserved calls take in queues that had some: [`MAX_MEASURED`] at most.
    measured: Vec<Measured>,
    /// The boot times of the last prediction, report and storing.
    predicted: Duration,
    told: Duration,
    kept: Duration,
}

/// How long reserved calls take to reach their agents in one queue.
#[derive(Clone, Copy, Debug)]
struct Measured {
    place: u32,
    arrivals: Arrivals,
    has_warned: bool,
}

/// The most queues for which this is measured, with 24 bytes each. No more queues have their calls counted, either.
const MAX_MEASURED: usize = MAX_QUEUES;

/// The number of decisions about a queue since the start that the rule made, or could have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Rejected because no seat was open.
    pub rejected: u64,
    /// Accepted by the rule.
    pub accepted: u64,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    learnt: StoredLearnt,
    sums: (f64, f64),
    record: Record,
    /// It is the account's, and is stored with the rest. Earlier versions did not store it.
    #[serde(default)]
    busy_hours: BusyHours,
}

impl Foresight {
    /// Creates it without any knowledge.
    pub fn new(queues: usize, now: Moment) -> Self {
        Self {
            learnt: Learnt::new(now),
            calibration: Calibration::default(),
            record: Record::default(),
            queues: vec![Watched::default(); queues],
            measured: Vec::new(),
            predicted: Duration::ZERO,
            told: Duration::ZERO,
            kept: now.boot,
        }
    }

    /// Continues from what an earlier process stored. Returns the busy hours that were stored with it; `None` if it is not valid.
    pub fn recall(&mut self, stored: &str, now: Moment) -> Option<BusyHours> {
        let read = serde_json::from_str(stored).ok().and_then(|stored| {
            let Stored {
                learnt,
                sums,
                record,
                busy_hours,
            } = stored;
            let learnt = Learnt::from_stored(learnt, now)?;
            let calibration = Calibration::from_sums(sums, now)?;
            Some(((learnt, calibration, record.sound()?), busy_hours))
        });
        let (knowledge, busy_hours) = read?;
        (self.learnt, self.calibration, self.record) = knowledge;
        Some(busy_hours)
    }

    /// Returns what outlives the process, with the busy hours.
    pub fn to_stored(&self, busy_hours: BusyHours, now: Moment) -> String {
        let stored = Stored {
            learnt: self.learnt.to_stored(now),
            sums: self.calibration.sums(),
            record: self.record.clone(),
            busy_hours,
        };
        serde_json::to_string(&stored).expect("texts and numbers can be written")
    }

    /// Returns whether it is time to store it again, and restarts that interval if so.
    pub fn take_time_to_keep(&mut self, now: Moment) -> bool {
        let is_time = now.boot >= self.kept + KEEP_EVERY;
        if is_time {
            self.kept = now.boot;
        }
        is_time
    }

    /// If it is time to examine queues without a seat, restarts that interval and returns the boot time at which it began.
    pub fn time_to_predict(&mut self, now: Moment) -> Option<Duration> {
        let is_time = now.boot >= self.predicted + PREDICT_EVERY;
        is_time.then(|| std::mem::replace(&mut self.predicted, now.boot))
    }

    /// Returns whether it is time to update the report, and restarts that interval if so.
    pub fn take_time_to_tell(&mut self, now: Moment) -> bool {
        let is_time = now.boot >= self.told + TELL_EVERY;
        if is_time {
            self.told = now.boot;
        }
        is_time
    }

    /// Replaces the queues. `places` has the former place of each queue, if it had one.
    pub fn rearrange(&mut self, places: &[Option<usize>]) {
        let queue = |was: &Option<usize>| was.map(|was| self.queues[was]).unwrap_or_default();
        self.queues = places.iter().map(queue).collect();
        let place_now = |was: usize| places.iter().position(|place| *place == Some(was));
        self.measured.retain_mut(|one| {
            let place = place_now(one.place as usize);
            one.place = place.unwrap_or_default() as u32;
            place.is_some()
        });
        self.calibration.rearrange(place_now);
    }

    /// Forgets the queue at this place, which is another queue from now on.
    pub fn forget_queue(&mut self, place: usize) {
        self.calibration
            .rearrange(|was| (was != place).then_some(was));
        self.measured.retain(|one| one.place as usize != place);
    }

    /// Learns from time in a status. `places` returns the queues of the agent.
    pub fn learn(&mut self, mut change: StayPassed, places: impl FnOnce() -> Vec<usize>) {
        if let (true, Some(ended)) = (change.onto_call, &mut change.passed.ended) {
            // The rule sent this call, so the agent was free for it, if only briefly.
            ended.available |= self.took_call(&places(), change.at);
        }
        self.learnt.learn(&change.passed);
    }

    /// Records that an agent of the queues at these places went onto a call at `at`, a boot time. Returns whether the rule has accepted that call.
    pub fn took_call(&mut self, places: &[usize], at: Duration) -> bool {
        let mut places = places.iter();
        self.calibration.has_bets() && places.any(|place| self.calibration.took_call(*place, at))
    }

    /// Renames statuses, as CallTools did: from the first name to the second.
    pub fn rename(&mut self, renamed: &[(Arc<str>, Arc<str>)]) {
        self.learnt.rename(renamed);
    }

    /// Returns the probability that an agent in this stay is free by `until`, a boot time.
    pub fn chance(&self, stay: &Stay, as_of: AsOf, until: Duration) -> f64 {
        self.learnt.chance_as_of(stay, as_of, until)
    }

    /// Returns the boot time by which an agent in this stay is as likely as not to be free.
    pub fn free_by(&self, stay: &Stay, as_of: AsOf) -> Option<Duration> {
        self.learnt.free_by(stay, as_of)
    }

    /// Returns the calls since the last time, as (rejected, accepted by the rule). Routers ask again about a call, or all the time, so questions with
    /// the same answer count as one call within four seconds. Each of the accepted calls that `reserved` a seat counts.
    pub fn new_calls(
        &mut self,
        place: usize,
        decided: Decided,
        reserved: u32,
        now: Moment,
    ) -> (u32, u32) {
        let [rejected, accepted] = self.queues[place].new_calls(decided, now.boot);
        (u32::from(rejected), u32::from(accepted).max(reserved))
    }

    /// Counts calls to a queue. `at_zero` is set if it has no seat now, and `state` says whether the rule acts there. `id` is CallTools' id of the queue.
    pub fn count_calls(
        &mut self,
        (place, id): (usize, Option<u64>),
        (rejected, accepted): (u32, u32),
        (at_zero, state): (Option<AtZero>, State),
        now: Moment,
    ) {
        let mut calls = Calls {
            came: accepted,
            accepted,
            ..Calls::default()
        };
        if let Some(at_zero) = at_zero {
            calls.came = calls.came.saturating_add(rejected);
            // If it acts, it has rejected the others, although it would accept the next one: it grows more certain each second. If it may not act, it
            // would reject them, too.
            let would_decide = state == State::Measured(Ok(())) && accepted == 0;
            if would_decide && self.prediction(at_zero.likely, at_zero.terms).accepts() {
                calls.would = rejected;
            }
            let chosen = calls.would.saturating_add(accepted);
            self.calibration
                .predict(place, at_zero, (chosen, accepted), now);
        }
        if let Some(id) = id.filter(|_| calls != Calls::default()) {
            self.record.came(id, calls, now);
        }
    }

    /// Returns the factor that corrects probabilities, so that no more agents are predicted than were seen.
    pub fn factor(&self) -> f64 {
        self.calibration.factor()
    }

    /// Returns the corrected prediction for this probability.
    pub fn prediction(&self, likely: f64, terms: Terms) -> Prediction {
        Prediction::new(likely * self.calibration.factor(), terms)
    }

    /// Returns the places of the queues with situations that wait for a look.
    pub fn waiting(&self) -> BTreeSet<usize> {
        self.calibration.waiting().collect()
    }

    /// Records a look at a queue, as for [`Calibration::look`]. Returns the situations that this settles.
    pub fn look(
        &mut self,
        place: usize,
        id_of: impl Fn(usize) -> Option<u64>,
        (at, free): (Moment, impl FnOnce() -> Free),
        now: Moment,
    ) -> Vec<Outcome> {
        let settled = self.calibration.look(place, at, free);
        for outcome in &settled {
            self.record.settled(id_of(outcome.queue), outcome, now);
        }
        settled
    }

    /// Records how long after its reservation a call of this queue got its agent. Returns the usual time, the first time only, if it is shorter than
    /// the lead.
    pub fn arrived(&mut self, place: usize, after: Duration, terms: Terms) -> Option<Duration> {
        if self.measured_at(place).is_none() && self.measured.len() < MAX_MEASURED {
            self.measured.reserve_exact(1);
            self.measured.push(Measured {
                place: place as u32,
                arrivals: Arrivals::default(),
                has_warned: false,
            });
        }
        let known = self.measured_at(place)?;
        let measured = &mut self.measured[known];
        measured.arrivals.arrived(after);
        let within = measured.within(terms)?;
        let has_warned = std::mem::replace(&mut measured.has_warned, true);
        (!has_warned).then_some(within)
    }

    fn arrives_within(&self, place: usize, terms: Terms) -> Option<Duration> {
        self.measured[self.measured_at(place)?].within(terms)
    }

    fn measured_at(&self, place: usize) -> Option<usize> {
        let mut places = self.measured.iter().map(|one| one.place as usize);
        places.position(|one| one == place)
    }

    /// Checks whether the rule may act.
    ///
    /// # Errors
    /// The reason why it may not.
    pub fn may_act(&self, is_feed_proven: bool, now: Moment) -> Result<(), Off> {
        may_act(&self.learnt, self.calibration.factor(), is_feed_proven, now)
    }

    /// Returns the report for people. `queues` has each queue's name, id, terms and state, in the order of the config.
    pub fn report(
        &self,
        queues: impl Iterator<Item = (Arc<str>, Option<u64>, Terms, State)>,
        now: Moment,
    ) -> AccountReport {
        let queue = |(place, (queue, id, terms, state)): (usize, (_, Option<u64>, _, _))| {
            let calls = id.map(|id| self.record.calls(id, now));
            let calls = calls.unwrap_or(Some(Calls::default()));
            QueueReport {
                queue,
                terms,
                state,
                calls,
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

impl Measured {
    /// Returns the usual time if it is shorter than the lead.
    fn within(&self, terms: Terms) -> Option<Duration> {
        let median = self.arrivals.median();
        median.filter(|median| *median < terms.lead())
    }
}

#[cfg(test)]
mod tests;
