//! What this node has in the engine's data set: its claim to the account's key, and its mirror.

use std::time::Duration;

use super::Task;
use crate::cluster::{
    codec,
    command::{Command, Look, Position, REGISTRY, Reply},
    entry::Entry,
};

impl Task {
    /// Registers the account under this key. Returns whether that is its key: under two keys, two nodes would spend its hour.
    pub(super) async fn claim(&mut self) -> bool {
        if self.is_claimed {
            return true;
        }
        let command = Command::Claim {
            identity: self.parts.identity.clone(),
            account: self.parts.key.clone(),
        };
        let claimed = self.parts.engine.run(REGISTRY, &command).await;
        match claimed {
            Ok(Reply::Claimed(account)) if account == self.parts.key => {
                (self.is_claimed, self.logged_refused_claim) = (true, false);
            }
            Ok(Reply::Claimed(_)) if !std::mem::replace(&mut self.logged_refused_claim, true) => {
                tracing::error!(
                    account = &*self.parts.account,
                    "another node of the cluster has this account (the same address and token) under another name or with another `budget`, so this node does not poll it: give it the same ones on all nodes"
                );
            }
            _ => {}
        }
        self.is_claimed
    }

    /// Stores a mirror if the data set may lack what this node knows.
    pub(super) async fn see_data_set(&mut self, look: &Look, now: Duration) {
        let is_new = self.generation.as_ref() != Some(&look.generation);
        let went_back = look.last < self.position;
        let epoch = self.last_epoch.max(look.last.epoch);
        let has_another_leader = std::mem::replace(&mut self.last_epoch, epoch) != epoch;
        if went_back {
            self.checkpoint = None;
        }
        if is_new {
            self.is_claimed = false;
        }
        if is_new || went_back {
            self.note_loss(look, is_new, now);
        }
        if is_new || (went_back && !self.leads()) {
            (self.position, self.is_synced) = (Position::default(), false);
        }
        if !(is_new || went_back || has_another_leader || self.owes) {
            return;
        }
        let mirror = Entry {
            held: self.standing.held(),
            requests: self.requests(),
            ..Entry::default()
        };
        let command = Command::Mirror {
            generation: look.generation.clone(),
            node: self.parts.node.clone(),
            mirror: codec::encode(&mirror, &self.writing()),
        };
        if self.ask(&command).await == Some(Reply::Done(true)) {
            self.generation = Some(look.generation.clone());
            self.owes = false;
        }
    }
}
