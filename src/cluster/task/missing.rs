//! What this node may have missed: an engine that loses its data takes the last entries from those who follow.
//!
//! The leader knows every request of the hour. If the engine forgets, the leader lays down what it knows in the new data set, and says that this is
//! everything. If no such node is left, requests may have been sent that nobody knows of. Whoever leads next then counts all that could have been
//! sent as sent.

use std::time::Duration;

use super::{Node, Task};
use crate::cluster::command::{Look, Position};

/// A node acts as the leader until a second before its lease ends, and no other one takes the lease within half a second after that.
const ALONE_FOR: Duration = Duration::from_millis(1500);

/// What a node may have missed.
#[derive(Debug)]
pub(super) struct Missed {
    /// The last entry that it knows. Who writes a later one knew what was missed, or counted it.
    after: Position,
    /// The data set in which a node may still lay down everything. An engine that went back in time shows old claims.
    claims_in: Option<String>,
}

impl Task {
    /// This node acts as the leader, and knows everything.
    pub(super) fn lead_until(&mut self, acts_until: Duration) {
        self.parts.tenure.set(acts_until);
        self.knows_all_until = acts_until + ALONE_FOR;
    }

    /// The data set lacks entries that there were: all of them if it `is_another`, or the last ones.
    pub(super) fn note_loss(&mut self, look: &Look, is_another: bool, now: Duration) {
        let knows_all = now <= self.knows_all_until;
        let data_set = is_another.then(|| look.generation.clone());
        // After a step back in time the leader's next entry says all.
        self.knows_all_of = data_set.clone().filter(|_| knows_all);
        // A process that has just started was in the cluster before if its ledger says so.
        if !knows_all && (self.generation.is_some() || self.parts.budget.was_in_cluster()) {
            let known = self
                .missed
                .as_ref()
                .map_or(self.position, |missed| missed.after);
            self.missed = Some(Missed {
                after: known.max(self.position),
                claims_in: data_set,
            });
        }
    }

    /// Takes note that there is an entry at this place.
    pub(super) fn note_entry(&mut self, position: Position) {
        self.missed = self.missed.take().filter(|missed| position <= missed.after);
    }

    /// The data set in which everything was laid down by this node.
    pub(super) fn told_all_in(&self) -> Option<String> {
        let data_set = self.knows_all_of.as_ref();
        data_set
            .filter(|one| Some(*one) == self.generation.as_ref())
            .cloned()
    }

    /// Counts what nobody may know of any more, before this node leads.
    pub(super) fn count_missed(&mut self) {
        let Some(missed) = self.missed.take() else {
            return;
        };
        let told_all = |node: &Node| node.info.knows_all_of == missed.claims_in;
        if missed.claims_in.is_some() && self.nodes.values().any(told_all) {
            return;
        }
        let requests = self.parts.budget.spend_the_rest(self.parts.process);
        tracing::warn!(
            account = &*self.parts.account,
            requests,
            "the engine lost data while no node had all of it: as many requests as could have been sent count as sent, so polling may be slow for \
             an hour"
        );
    }
}
