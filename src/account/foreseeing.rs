//! Feeds the account's [`Foresight`](super::foresight::Foresight) with what lists showed, and reports the results. It sends no requests.

use std::{sync::Arc, time::Duration};

use super::{
    Account,
    foresight::Decided,
    roster::{KnownStay, Roster, earlier},
};
use crate::{
    clock::Moment,
    config::Rule,
    decision::{
        OnUnknown, Policy, Reason,
        board::QueueKey,
        criteria::{Seat, SeatRule, seat},
        decide_with,
        snapshot::Snapshot,
        soon::{
            calibration::{AtZero, Free},
            outlook::Outlook,
            rule::{Held, HeldSince, Off, Seats, Terms, likely},
            stay::{AsOf, Stay},
        },
    },
    model::{
        agent::{Agent, AgentId},
        names::Names,
    },
    state::store::Note,
};

/// A member who may be free soon.
struct Candidate {
    /// The place in the snapshot.
    place: usize,
    stay: Stay,
    as_of: AsOf,
}

/// The members of a queue who may be free soon.
struct Candidates {
    list: Vec<Candidate>,
    /// When the status of one of them becomes too old; `None` without any.
    end: Option<Moment>,
}

/// A status must be young enough for this long, so that it does not end the outlook before the next list makes a new one: lists come every few
/// seconds.
const LASTS: Duration = Duration::from_secs(10);

impl Account {
    /// Continues from what an earlier task or process learnt.
    pub(super) fn recall_foresight(&mut self, handed: Option<String>) {
        let store = self.deps.store.as_ref();
        let stored = || store.and_then(|store| store.foresight(&self.deps.owner));
        let Some(stored) = handed.or_else(stored) else {
            return;
        };
        let now = self.deps.clock.now();
        match self.foresight.recall(&stored, now) {
            Some(busy) => self.schedule.recall_busy_hours(&busy, now.boot, now.wall),
            None => tracing::warn!(
                account = &*self.name,
                "the stored knowledge about agents' statuses cannot be read; it is learnt again"
            ),
        }
    }

    /// Returns the knowledge in its stored form.
    pub(super) fn foresight_to_store(&self) -> String {
        let now = self.deps.clock.now();
        let busy = self.schedule.busy_hours(now.boot, now.wall);
        self.foresight.to_stored(busy, now)
    }

    /// Stores the knowledge.
    pub(super) fn keep_foresight(&self) {
        if let Some(store) = &self.deps.store {
            let stored = self.foresight_to_store();
            store.keep(Note::Learnt(self.deps.owner.clone(), stored));
        }
    }

    /// Learns from the stays that lists have shown since the last call. An agent who went onto a call without having been seen free may have taken one
    /// that counted on that; its seat need not be held any longer.
    pub(super) fn learn_stays(&mut self) {
        for change in self.roster.take_stays() {
            let mut places = Vec::new();
            if change.onto_call {
                places = self.roster.logged_in_places(&change.agent);
                let (queues, now) = (self.keys(&places), self.deps.clock.now());
                let reservations = &self.deps.reservations;
                let ended = reservations.took_call(&change.agent, &queues, change.at, now);
                if let Some((queue, made)) = ended {
                    self.deps.board.notify();
                    self.call_has_arrived(&queue, change.at.saturating_sub(made.boot));
                }
                // Also calls that came after that look was sent: they counted on what was known before.
                self.let_go(&change.agent, now.boot);
            }
            self.foresight.learn(change, || places);
        }
    }

    /// Lets no call that was made by then, a boot time, count on an agent who is gone.
    pub(super) fn let_go(&self, agent: &AgentId, made_by: Duration) {
        if self.deps.reservations.let_go(&self.name, agent, made_by) {
            self.deps.board.notify();
        }
    }

    /// Returns the queues at these places.
    pub(super) fn keys(&self, places: &[usize]) -> Vec<QueueKey> {
        let key = |place: &usize| self.deps.queues[*place].key.clone();
        places.iter().map(key).collect()
    }

    /// Renames statuses that CallTools has renamed.
    pub(super) fn rename_statuses(&mut self, before: &Names, now: &Names) {
        let renamed = now.statuses.iter().flatten().filter_map(|status| {
            let was = before.status_by_id(status.id)?;
            let (was, is) = (Arc::clone(&was.name), Arc::clone(&status.name));
            (was != is).then_some((was, is))
        });
        let renamed: Vec<_> = renamed.collect();
        if renamed.is_empty() {
            return;
        }
        self.foresight.rename(&renamed);
        self.roster.rename_stays(&renamed);
        // The new names are stored and passed on at once. Knowledge under the old ones would never be renamed after a crash.
        self.keep_foresight();
        self.told.learnt = false;
    }

    /// Settles situations that waited for the newest list. By now it is known which calls have their agents.
    pub(super) fn settle(&mut self) {
        for place in self.foresight.waiting() {
            if let Some(snapshot) = self.deps.board.snapshot(&self.deps.queues[place].key) {
                self.settle_queue(place, &snapshot);
            }
        }
    }

    fn settle_queue(&mut self, place: usize, snapshot: &Snapshot) {
        let queue = &self.deps.queues[place];
        let (Rule::Seats(rule), Some(threshold), Ok(_)) =
            (&queue.rule, queue.threshold, &snapshot.measured)
        else {
            return;
        };
        let now = self.deps.clock.now();
        let holds = self.deps.reservations.queue(&queue.key);
        let free = || {
            let since = free_since(&self.roster, snapshot, *rule);
            let since = since.into_iter().skip(threshold.get() as usize);
            Free {
                since: since.collect(),
                held: holds.held_since(now),
            }
        };
        let queues = &self.queues;
        let settled =
            self.foresight
                .look(place, |place| queues[place].id, (snapshot.as_of, free), now);
        for outcome in settled {
            let key = &self.deps.queues[outcome.queue].key;
            self.deps
                .metrics
                .soon(key, usize::from(outcome.tenth), outcome.seen());
        }
    }

    /// Examines queues without a seat once a second. From time to time it stores the knowledge, for this node and the others, and updates the report.
    pub(super) fn foresee(&mut self) {
        let now = self.deps.clock.now();
        let Some(before) = self.foresight.time_to_predict(now) else {
            return;
        };
        let may = self.may_foresee(now);
        for place in 0..self.deps.queues.len() {
            let (rejected, accepted) = self.queues[place].meters.at_zero_seats();
            let decided = Decided { rejected, accepted };
            let key = &self.deps.queues[place].key;
            let held = self.deps.reservations.queue(key).held_since(now);
            let reserved = held.bets.iter().filter(|made| **made > before).count();
            let calls = self
                .foresight
                .new_calls(place, decided, reserved as u32, now);
            let at_zero = self.predict(place, &held, before, now);
            let state = self.soon_state(place, may);
            self.foresight.count_calls(
                (place, self.queues[place].id),
                calls,
                (at_zero, state),
                now,
            );
        }
        if self.foresight.take_time_to_keep(now) {
            self.keep_foresight();
            self.told.learnt = false;
        }
        if self.foresight.take_time_to_tell(now) {
            self.tell_foresight(now);
        }
    }

    /// Returns the prediction for a queue if it has no seat and nothing about it is in doubt. It is the prediction with which calls were accepted
    /// since `before`, so the agents that these take are not left out.
    fn predict(
        &self,
        place: usize,
        held: &HeldSince,
        before: Duration,
        now: Moment,
    ) -> Option<AtZero> {
        let queue = &self.deps.queues[place];
        let (Rule::Seats(_), Some(threshold)) = (&queue.rule, queue.threshold) else {
            return None;
        };
        let state = self.deps.board.get(&queue.key)?;
        let bets = held.bets.iter().filter(|made| **made <= before);
        let bets = bets.count() as u32;
        let held = Held {
            all: held.seats.len() as u32 + bets,
            bets,
            // The candidates are without those that other queues' calls count on.
            counted_on: None,
        };
        let policy = Policy {
            threshold: queue.threshold,
            asks_threshold: false,
            max_age: queue.max_age,
            on_unknown: OnUnknown::Reject,
            hours: queue.hours.clone(),
        };
        let reason = decide_with(&state, &policy, held, now).reason;
        if !matches!(
            reason,
            Reason::BelowThreshold | Reason::Reserved | Reason::Soon
        ) {
            return None;
        }
        let snapshot = state.snapshot.as_deref()?;
        let seats = Seats {
            count: snapshot.measured.as_ref().ok()?.count.get(),
            threshold: threshold.get(),
            held,
        };
        let taken = seats.bets_at_threshold()?;
        let max_age = policy.max_age(&state);
        let Candidates { list, .. } = self.candidates(&queue.key, snapshot, max_age, now);
        let chances = self.chances(&list, queue.soon.terms.until(now));
        Some(AtZero {
            likely: likely(chances, taken),
            terms: queue.soon.terms,
            before,
        })
    }

    /// Records that a call got its agent this long after its reservation was made.
    pub(super) fn call_has_arrived(&mut self, key: &QueueKey, after: Duration) {
        let mut queues = self.deps.queues.iter();
        let Some(place) = queues.position(|queue| queue.key == *key) else {
            return;
        };
        let terms = self.deps.queues[place].soon.terms;
        if let Some(within) = self.foresight.arrived(place, after, terms)
            && self.deps.queues[place].soon.is_on
        {
            tracing::warn!(
                queue = %key,
                lead = ?terms.lead(),
                ?within,
                "half of the reserved calls get their agent sooner than `lead`; a lead that is too long costs calls, so shorten it"
            );
        }
    }

    /// Returns the rule's outlook for a snapshot, if the rule acts. Only a leader knows which agents the calls of all nodes count on.
    pub(super) fn outlook(&self, place: usize, snapshot: &Snapshot) -> Option<Outlook> {
        let queue = &self.deps.queues[place];
        let now = self.deps.clock.now();
        let acts = self.polls && queue.soon.is_on && matches!(queue.rule, Rule::Seats(_));
        if !acts || self.may_foresee(now).is_err() {
            return None;
        }
        let (terms, factor) = (queue.soon.terms, self.foresight.factor());
        let state = self.deps.board.get(&queue.key)?;
        let max_age = queue.max_age.unwrap_or(state.planned_max_age);
        let Candidates { list, end } = self.candidates(&queue.key, snapshot, max_age, now);
        let chances = |until| self.chances(&list, until).collect();
        let outlook = Outlook::new(terms, factor, now, chances);
        let likeliest = self.likeliest(&list, terms, now);
        Some(outlook.ending(end).naming(&snapshot.agents, likeliest))
    }

    /// Returns the agents who will probably be free when a call that is accepted now arrives, likeliest first: their places in the snapshot, and the
    /// boot time by which each is as likely as not to be free.
    fn likeliest(
        &self,
        candidates: &[Candidate],
        terms: Terms,
        now: Moment,
    ) -> impl Iterator<Item = (usize, Option<Duration>)> {
        let chance = |one: &Candidate| {
            self.foresight
                .chance(&one.stay, one.as_of, terms.until(now))
        };
        let chances = candidates.iter().map(|one| (chance(one), one));
        let mut likely: Vec<_> = chances.filter(|(chance, _)| *chance > 0.0).collect();
        likely.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        likely
            .into_iter()
            .map(|(_, one)| (one.place, self.foresight.free_by(&one.stay, one.as_of)))
    }

    /// Returns the probabilities that these agents are free by `until`.
    fn chances(&self, candidates: &[Candidate], until: Duration) -> impl Iterator<Item = f64> {
        let chances = candidates
            .iter()
            .map(move |one| self.foresight.chance(&one.stay, one.as_of, until));
        chances.filter(|chance| *chance > 0.0)
    }

    /// Returns the members who may be free soon. Agents who are logged out of the queue, on a call, or in an unknown status are excluded, and so are
    /// those whose status is older than `max_age`: with lists of available agents, it may be minutes older than the snapshot. Calls of other queues
    /// may count on an agent already.
    fn candidates(
        &self,
        queue: &QueueKey,
        snapshot: &Snapshot,
        max_age: Duration,
        now: Moment,
    ) -> Candidates {
        let mut end: Option<Moment> = None;
        let holds = self.deps.reservations.queue(queue);
        let may_come = |agent: &Agent| {
            agent.available == Some(false)
                && agent.queue_logged_in
                && !agent.on_call
                && !holds.bets().is_taken_elsewhere(&agent.id, now)
        };
        let candidate = |(place, agent): (usize, &Arc<Agent>)| {
            let KnownStay { stay, lasted, away } = self.roster.stay(&agent.id)?;
            let is_shown = agent.status.as_deref() == Some(stay.status());
            // One that is as new as the snapshot lasts as long as it.
            let lasts =
                lasted.boot >= snapshot.as_of.boot || now.longest_since(lasted) + LASTS <= max_age;
            if !is_shown || !lasts {
                return None;
            }
            end = Some(earlier(lasted.later(max_age), end));
            let as_of = AsOf {
                lasted: lasted.boot,
                away: away.boot,
            };
            Some(Candidate { place, stay, as_of })
        };
        let members = snapshot.agents.iter().enumerate();
        let members = members.filter(|(_, agent)| may_come(agent));
        let list = members.filter_map(candidate).collect();
        Candidates { list, end }
    }

    /// Returns whether the lists that statuses come from are reliable: none is distrusted or on trial.
    fn is_feed_proven(&self) -> bool {
        let now = self.now();
        let is_on_trial = !self.sweep.is_trusted() && self.schedule.sweeps(now);
        !self.schedule.is_distrustful(now) && !is_on_trial
    }

    /// Checks whether the rule may act.
    pub(super) fn may_foresee(&self, now: Moment) -> Result<(), Off> {
        self.foresight.may_act(self.is_feed_proven(), now)
    }
}

/// Returns since when, as boot times, each agent of a queue has been free, in this order.
fn free_since(roster: &Roster, snapshot: &Snapshot, rule: SeatRule) -> Vec<Duration> {
    let agents = snapshot.agents.iter();
    let open = agents.filter(|agent| seat(agent, rule, snapshot.as_of) == Seat::Open);
    let began = |agent: &Arc<Agent>| {
        let stay = roster.stay(&agent.id)?.stay;
        stay.is_available().then(|| stay.began()).flatten()
    };
    let mut since: Vec<_> = open
        .map(|agent| began(agent).unwrap_or(snapshot.as_of.boot))
        .collect();
    since.sort();
    since
}
