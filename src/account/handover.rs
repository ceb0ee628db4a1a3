//! What is known goes from task to task: it is taken over at the start, kept on disk meanwhile, and told to whoever asks.

use std::time::Duration;

use super::{Account, schedule_time};
use crate::{
    calltools::PAGE_SIZE,
    clock::Moment,
    model::known::{Known, Sighting},
    state::store::Note,
};

/// How often the newest statuses are kept: a third of the least default `max_age`, so that answers outlive a quick restart.
const KEEP_EVERY: Duration = Duration::from_secs(20);

/// Sweeps that proved true so lately need not do so again before they are used.
const TRUST_LASTS: Duration = Duration::from_secs(3600);

impl Account {
    /// What an earlier task knew is on the board before anything is asked, as old as it is. A queue's poll waits until it is certain
    /// which queue its name means.
    pub(super) fn take_over(&mut self, known: Known) {
        self.naming.handed = known.queues.into_iter().collect();
        self.naming.swept_before = self.trust_again(&known.agents);
        known
            .agents
            .into_iter()
            .for_each(|sighting| self.roster.recall(sighting));
        for (agent, counted) in known.presences {
            self.roster.recall_presence(agent, counted);
        }
    }

    /// The last polls of these queues were recalled: they are on the board, and those that are recent wait for their turn.
    pub(super) fn show_recalled(&mut self, places: &[usize]) {
        let now = self.deps.clock.now();
        let period = self.deps.budget.usual_period();
        let rounds = self.schedule.expected_evenly(period);
        for &place in places {
            let Some(polled) = self.roster.polled(place) else {
                continue;
            };
            let (polled, now) = (now.longest_since(polled), schedule_time(now));
            let round = rounds[place].members;
            self.schedule
                .polled_before(place, now.saturating_sub(polled), round, now);
            if let Some(snapshot) = self.snapshot(place) {
                let polled = snapshot.members_as_of.later(snapshot.took);
                let key = &self.deps.queues[place].key;
                self.deps.board.restore(key, snapshot, polled);
            }
        }
    }

    /// Only of sweeps that are trusted is anything kept, and distrust takes it away. So what is there was trusted, and nothing that polls
    /// contradict since.
    /// Returns when the last whole sweep was, at the earliest.
    fn trust_again(&mut self, swept: &[Sighting]) -> Option<Moment> {
        let now = self.deps.clock.now();
        let is_recent = |sighting: &Sighting| {
            sighting.by_sweep && now.longest_since(sighting.at) <= TRUST_LASTS
        };
        if !swept.iter().any(is_recent) {
            return None;
        }
        let pages = (swept.len() as u32).div_ceil(PAGE_SIZE);
        self.sweep.trust();
        self.schedule.trusted_before(pages);
        self.sweeps_are_trusted(true);
        swept
            .iter()
            .map(|sighting| sighting.at)
            .min_by_key(|at| at.boot)
    }

    /// What is known now, for another task to take over.
    pub(super) fn known(&self) -> Known {
        let queues = self.ids.iter().enumerate();
        let queues = queues.filter_map(|(place, id)| Some(((*id)?, self.roster.last_poll(place)?)));
        Known {
            queues: queues.collect(),
            agents: self.roster.seen_beside_polls(None),
            presences: self
                .roster
                .presences()
                .map(|(agent, counted)| (agent.clone(), counted.clone()))
                .collect(),
        }
    }

    /// The account has another name, or another token: all is kept under that.
    pub(super) fn keep_everything(&mut self) {
        self.keep_names();
        (0..self.deps.queues.len()).for_each(|place| self.keep_poll(place));
        self.kept_up_to = None;
        if self.sweep.is_trusted() {
            self.keep_statuses(self.deps.clock.now());
        }
    }

    /// A queue was polled: that is kept at once, since its turn comes seldom.
    pub(super) fn keep_poll(&self, place: usize) {
        let (Some(store), Some(id)) = (&self.deps.store, self.ids[place]) else {
            return;
        };
        if let Some(poll) = self.roster.last_poll(place) {
            store.keep(Note::Polled(self.deps.owner.clone(), id, poll));
        }
    }

    /// Sweeps come every few seconds: what they saw is kept now and then.
    pub(super) fn keep_statuses_now_and_then(&mut self) {
        let now = self.deps.clock.now();
        if self
            .kept
            .is_none_or(|kept| now.longest_since(kept) >= KEEP_EVERY)
        {
            self.keep_statuses(now);
        }
    }

    /// Keeps what sweeps have seen since the last time.
    pub(super) fn keep_statuses(&mut self, now: Moment) {
        let Some(store) = &self.deps.store else {
            return;
        };
        let seen = self.roster.seen_beside_polls(self.kept_up_to);
        self.kept = Some(now);
        self.kept_up_to = seen
            .iter()
            .map(|sighting| sighting.at)
            .max_by_key(|at| at.boot)
            .or(self.kept_up_to);
        if !seen.is_empty() {
            store.keep(Note::Seen(self.deps.owner.clone(), seen));
        }
    }

    /// What was kept of sweeps is not to be believed after a restart, either.
    pub(super) fn unkeep_statuses(&mut self) {
        self.kept_up_to = None;
        if let Some(store) = &self.deps.store {
            store.keep(Note::Doubted(self.deps.owner.clone()));
        }
    }
}
