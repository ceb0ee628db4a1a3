//! What is known goes from task to task: it is taken over at the start, kept on disk meanwhile, and told to whoever asks.

use std::time::Duration;

use super::Account;
use crate::{clock::Moment, known::Known, store::Note};

/// How often the newest statuses are kept: a third of the least default `max_age`, so that answers outlive a quick restart.
const KEEP_EVERY: Duration = Duration::from_secs(20);

impl Account {
    /// What an earlier task knew is on the board before anything is asked, as old as it is.
    pub(super) fn take_over(&mut self, known: Known) {
        for (id, poll) in known.queues {
            for place in 0..self.ids.len() {
                if self.ids[place] == Some(id) {
                    self.roster.recall_poll(place, poll.clone());
                }
            }
        }
        known
            .agents
            .into_iter()
            .for_each(|sighting| self.roster.recall(sighting));
        for (agent, counted) in known.presences {
            self.roster.recall_presence(agent, counted);
        }
        for place in 0..self.parts.queues.len() {
            if let Some(snapshot) = self.snapshot(place) {
                let polled = snapshot.members_as_of.later(snapshot.took);
                let key = &self.parts.queues[place].key;
                self.parts.board.restore(key, snapshot, polled);
            }
        }
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

    /// A queue was polled: that is kept at once, since its turn comes seldom.
    pub(super) fn keep_poll(&self, place: usize) {
        let (Some(store), Some(id)) = (&self.parts.store, self.ids[place]) else {
            return;
        };
        if let Some(poll) = self.roster.last_poll(place) {
            store.keep(Note::Polled(self.parts.payer.clone(), id, poll));
        }
    }

    /// Sweeps come every few seconds: what they saw is kept now and then.
    pub(super) fn keep_statuses_now_and_then(&mut self) {
        let now = self.parts.clock.now();
        if self
            .kept
            .is_none_or(|kept| now.longest_since(kept) >= KEEP_EVERY)
        {
            self.keep_statuses(now);
        }
    }

    /// Keeps what sweeps have seen since the last time.
    pub(super) fn keep_statuses(&mut self, now: Moment) {
        let Some(store) = &self.parts.store else {
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
            store.keep(Note::Seen(self.parts.payer.clone(), seen));
        }
    }

    /// What was kept of sweeps is not to be believed after a restart, either.
    pub(super) fn unkeep_statuses(&mut self) {
        self.kept_up_to = None;
        if let Some(store) = &self.parts.store {
            store.keep(Note::Doubted(self.parts.payer.clone()));
        }
    }
}
