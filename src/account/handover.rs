//! Passes knowledge from task to task: takes it over at startup, and stores it while running.

use std::time::Duration;

use super::{Account, roster::Passed};
use crate::{
    calltools::PAGE_SIZE,
    clock::Moment,
    model::known::{Known, Sighting},
    state::store::Note,
};

/// How often the newest statuses are stored: a third of the shortest default `max_age`, so that answers survive a quick restart.
const KEEP_EVERY: Duration = Duration::from_secs(20);

/// Sweeps that were trusted this recently are used again without a new comparison.
const TRUST_LASTS: Duration = Duration::from_secs(3600);

impl Account {
    /// Takes over an earlier task's knowledge, with its age, before the first request. The poll of a queue is not shown until it is certain which
    /// queue its name means.
    pub(super) fn take_over(&mut self, mut known: Known) {
        known.undate_refuted();
        self.naming.handed = known.queues.into_iter().collect();
        self.naming.failing = known.failing.into_iter().collect();
        self.naming.swept_before = self.trust_again(&known.agents, known.looked);
        self.roster
            .looked_at(known.looked.unwrap_or_else(|| self.deps.clock.now()));
        for row in known.agents {
            match known.are_looks {
                true => self.roster.recall_look(row),
                false => self.roster.recall(row),
            };
        }
        self.roster.recall_confirmed(known.confirmed);
        for (agent, counted) in known.presences {
            self.roster.recall_presence(agent, counted);
        }
    }

    /// Shows the recalled polls of these queues. Queues with a recent poll wait for their turn.
    pub(super) fn show_recalled(&mut self, places: &[usize]) {
        let now = self.deps.clock.now();
        let period = self.deps.budget.usual_period();
        let rounds = self.schedule.expected_evenly(period);
        for &place in places {
            let Some(polled) = self.roster.polled(place) else {
                continue;
            };
            let (polled, now) = (now.longest_since(polled), now.boot);
            let round = rounds[place].members;
            self.schedule
                .polled_before(place, now.saturating_sub(polled), round, now);
            if self.queues[place].failing_elsewhere {
                self.schedule.poll_anew(place); // It may have failed only there.
            }
            self.show_taken(place);
        }
    }

    /// Trusts sweeps again if they were trusted recently. Rows of distrusted sweeps are removed, so rows that are still stored were trusted.
    /// Returns the earliest time of the last whole sweep.
    fn trust_again(&mut self, swept: &[Sighting], looked: Option<Moment>) -> Option<Moment> {
        let now = self.deps.clock.now();
        let is_recent = |sighting: &Sighting| {
            sighting.by_sweep && now.longest_since(sighting.at) <= TRUST_LASTS
        };
        if !swept.iter().any(is_recent) {
            return None;
        }
        let pages = (swept.len() as u32).div_ceil(PAGE_SIZE);
        self.feeds.begin_again(swept, looked, pages, now);
        self.sweep.trust();
        self.schedule.trusted_before(pages);
        self.ask_next();
        self.set_sweeps_trusted(true);
        swept
            .iter()
            .map(|sighting| sighting.at)
            .min_by_key(|at| at.boot)
    }

    /// Records when an earlier task's last whole sweep was. What its lists have confirmed since is later.
    pub(super) fn swept_before(&mut self, swept: Moment) {
        let known = self.roster.confirmed().everybody;
        if known.is_none_or(|known| known.boot < swept.boot) {
            self.roster.swept(swept);
        }
    }

    /// Returns all current knowledge, for another task to take over.
    pub(super) fn known(&self) -> Known {
        let failing = (0..self.queues.len()).filter(|place| self.is_failing(*place));
        let failing = failing.filter_map(|place| self.queues[place].id);
        let queues = self.queues.iter().enumerate();
        let queues = queues
            .filter_map(|(place, queue)| Some((queue.id?, self.roster.poll_to_hand_over(place)?)));
        Known {
            queues: queues.collect(),
            agents: self.roster.known_beside_polls(),
            are_looks: self.roster.has_only_looks(),
            looked: self.roster.last_look(),
            confirmed: self.roster.confirmed(),
            failing: failing.collect(),
            names_read: self.names_read(),
            learnt: Some(self.foresight_to_store()),
            presences: self
                .roster
                .presences()
                .map(|(agent, counted)| (agent.clone(), counted))
                .collect(),
        }
    }

    /// Stores everything again, because the account's name or token has changed.
    pub(super) fn keep_everything(&mut self) {
        self.keep_names();
        (0..self.deps.queues.len()).for_each(|place| self.keep_poll(place));
        self.keep_foresight();
        self.kept_up_to = Passed::default();
        if self.sweep.is_trusted() {
            self.keep_statuses(self.deps.clock.now());
        }
    }

    /// Stores a poll at once, because the queue's next turn may be far off.
    pub(super) fn keep_poll(&self, place: usize) {
        let (Some(store), Some(id)) = (&self.deps.store, self.queues[place].id) else {
            return;
        };
        if let Some(poll) = self.roster.last_poll(place) {
            store.keep(Note::Polled(self.deps.owner.clone(), id, poll));
        }
    }

    /// Stores the statuses from sweeps and other feeds, at most once in [`KEEP_EVERY`].
    pub(super) fn keep_statuses_now_and_then(&mut self) {
        let now = self.deps.clock.now();
        if self
            .kept
            .is_none_or(|kept| now.longest_since(kept) >= KEEP_EVERY)
        {
            self.keep_statuses(now);
        }
    }

    /// Stores the statuses that sweeps and other feeds have shown since the last time. Other rows come from polls, and must not look like rows of
    /// trusted sweeps after a restart.
    pub(super) fn keep_statuses(&mut self, now: Moment) {
        let Some(store) = &self.deps.store else {
            return;
        };
        if self.roster.seems_to_lag() {
            return; // A restart takes the latest time in the file for the last look, and these rows have earlier times.
        }
        let mut known = self.roster.unpassed(&mut self.kept_up_to);
        known.retain(|sighting| sighting.by_sweep);
        self.kept = Some(now);
        if !known.is_empty() {
            store.keep(Note::Seen(self.deps.owner.clone(), known));
        }
    }

    /// Stores the rows again with the times at which they were seen, because later confirmations by feeds are no longer trusted.
    pub(super) fn keep_without_feeds(&mut self) {
        self.unkeep_statuses();
        if self.sweep.is_trusted() {
            self.keep_statuses(self.deps.clock.now());
        }
    }

    /// Deletes stored sweeps, so that they are not used after a restart. Trusted ones are stored again at once.
    pub(super) fn unkeep_statuses(&mut self) {
        (self.kept, self.kept_up_to) = (None, Passed::default());
        if let Some(store) = &self.deps.store {
            store.keep(Note::Doubted(self.deps.owner.clone()));
        }
    }
}
