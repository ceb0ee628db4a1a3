//! What this node has in the engine's data set: its claim to the account's key, and its mirror.

use std::{fmt, sync::Arc, time::Duration};

use super::{Task, replacement};
use crate::{
    cluster::{
        codec,
        command::{Command, Look, MAX_COUNT, Position, REGISTRY, Reply},
        entry::Entry,
    },
    model::fault::EngineRefusal,
};

/// A leader claims again after so many looks, in case the register was lost. With a lease of 10 s these are five minutes. A node whose claim was
/// refused before, or found the register spoilt, does not know the hour, and sends nothing for as long.
pub(super) const CLAIM_AGAIN: u64 = 100;

/// What is spoilt in the engine.
#[derive(Clone, Debug)]
pub(super) struct Spoilt {
    /// The data set in which it is; empty if this node does not know that.
    generation: String,
    /// For people.
    why: String,
    /// The mark of the data set that is to replace it. Without an answer, the engine may yet have begun it.
    new: String,
}

/// Whether the account's key is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is.
    Granted,
    /// The account has another key.
    Refused,
    /// The engine has not answered.
    Unanswered,
}

/// The claim to the account under this process' key.
#[derive(Debug, Default)]
pub(super) struct Registration {
    /// Whether it is registered in this data set.
    is_claimed: bool,
    /// A claim that was not granted is not repeated before this time, so this node does not try to take the lease.
    pub(super) not_before: Duration,
    /// The claims that were last refused.
    refused: Vec<String>,
    /// Why this node has no claim; `None` since the last accepted one.
    pub(super) refusal: Option<Arc<EngineRefusal>>,
}

/// Says why the claim with this number was refused, and what to do.
fn refusal_of(number: usize) -> EngineRefusal {
    let (said, advice) = match number {
        1 => (
            "another node of the cluster has this account (the same address and token) under another name or with another `budget`",
            "give it the same ones on all nodes",
        ),
        _ => (
            "another node of the cluster has an account of this name at another address or with another `budget`",
            "give it the same address and `budget` on all nodes, or, if it is a different account, a different name",
        ),
    };
    EngineRefusal {
        said: said.to_owned(),
        advice,
    }
}

impl Task {
    /// Registers the account under this key, at first and with each new token. Under two keys, two nodes would each spend an hour. Its address and
    /// token belong to one key, and so does its name, as on one machine.
    pub(super) async fn claim(&mut self) -> Claim {
        let claim = self.ask_for_claim().await;
        if claim != Claim::Granted {
            self.registration.not_before = self.next_beat;
        }
        claim
    }

    async fn ask_for_claim(&mut self) -> Claim {
        // The sender lives as long as the account's member.
        let has_changed = self.deps.claims.has_changed().unwrap_or(false);
        if has_changed || self.beats.is_multiple_of(CLAIM_AGAIN) {
            self.registration.is_claimed = false;
        }
        let claims = self.deps.claims.borrow_and_update().clone();
        if self.registration.is_claimed || claims.is_empty() {
            return Claim::Granted;
        }
        let command = Command::Claim {
            account: self.deps.key.clone(),
            claims: claims.clone(),
        };
        let answered = self.deps.engine.run(REGISTRY, &command).await;
        let Ok(Reply::Claimed { refused, discarded }) = answered else {
            return Claim::Unanswered;
        };
        if discarded {
            tracing::warn!(
                account = &*self.deps.account,
                "the cluster's register of accounts was spoilt, so it was discarded; leaders register their accounts again"
            );
        }
        let refused = (refused > 0).then_some(refused);
        self.registration.is_claimed = refused.is_none();
        match refused {
            Some(_) => self.registration.refused = claims,
            // Another key had the account, or may have had it, and this node does not know what was sent under it.
            None if self.registration.refused == claims || (discarded && !self.leads()) => {
                self.registration.refused.clear();
                self.note_another_key();
            }
            None => {}
        }
        let refusal = refused.map(|number| Arc::new(refusal_of(number)));
        let was = std::mem::replace(&mut self.registration.refusal, refusal);
        match &self.registration.refusal {
            None => Claim::Granted,
            Some(refusal) => {
                if was.is_none() {
                    tracing::error!(
                        account = &*self.deps.account,
                        "{}, so this node does not poll it: {}",
                        refusal.said,
                        refusal.advice
                    );
                }
                Claim::Refused
            }
        }
    }

    /// Records that something in the engine was not written by openseat.
    pub(super) fn found_spoilt(&mut self, why: &dyn fmt::Display) {
        // Without an answer to any look, the engine has said it when it was asked to discard.
        let generation = self.candidate.generation().or(self.mark.as_deref());
        let generation = generation.unwrap_or_default().to_owned();
        let is_same = |spoilt: &Spoilt| spoilt.generation == generation;
        if !self.spoilt.as_ref().is_some_and(is_same) {
            let (why, new) = (why.to_string(), replacement());
            self.spoilt = Some(Spoilt {
                generation,
                why,
                new,
            });
        }
    }

    /// Begins a new data set if something in this one is spoilt. What the nodes know is not lost: they store it again, as if the engine had lost its
    /// data.
    pub(super) async fn discard_what_is_spoilt(&mut self) {
        let Some(spoilt) = self.spoilt.take() else {
            return;
        };
        let command = Command::Discard {
            generation: spoilt.generation.clone(),
            new: spoilt.new.clone(),
        };
        match self.ask(&command).await {
            Some(Reply::Discarded(mark))
                if mark.as_ref().is_none_or(|mark| *mark == spoilt.new) =>
            {
                tracing::warn!(
                    account = &*self.deps.account,
                    why = spoilt.why,
                    "the cluster's data about the account was spoilt, so it was discarded; the nodes store again what they know"
                );
            }
            Some(Reply::Discarded(mark)) => self.mark = mark,
            // To delete much takes the engine longer than an answer may.
            _ => self.spoilt = Some(spoilt),
        }
    }

    /// Stores a mirror if the data set may lack what this node knows.
    pub(super) async fn see_data_set(&mut self, look: &Look, now: Duration) {
        let is_new = self.generation.as_ref() != Some(&look.generation);
        let went_back = look.last < self.position;
        if is_new && self.last_epoch >= MAX_COUNT {
            self.last_epoch = 0; // Epochs begin again after the last one.
        }
        let epoch = self.last_epoch.max(look.last.epoch);
        let has_another_leader = std::mem::replace(&mut self.last_epoch, epoch) != epoch;
        if went_back {
            // The mirror may be lost as well.
            self.draft.next_has_checkpoint();
            self.knows_all_of = None;
        }
        if is_new {
            self.registration.is_claimed = false;
            self.draft.next_has_checkpoint();
            self.has_told_assumed = false;
        }
        if is_new || look.last < self.must_be_kept() {
            self.note_loss(look, is_new, now);
        }
        // A leader whose lease is still there writes after its last entry.
        if (is_new || went_back) && !self.leads() {
            (self.position, self.is_synced) = (Position::default(), false);
        }
        let must_tell = !self.has_told_assumed && !self.assumed().is_empty();
        self.must_mirror |= is_new || went_back || has_another_leader || must_tell;
        if !(self.must_mirror || self.company.owes) {
            return;
        }
        if self.may_go_on_alone() {
            // It may have sent requests that only its ledger had.
            self.settle(false);
        }
        let mirror = Entry {
            held: self.standing.held(),
            requests: self.requests(),
            assumed: self.assumed(),
            ..Entry::default()
        };
        let has_assumed = !mirror.assumed.is_empty();
        let command = Command::Mirror {
            generation: look.generation.clone(),
            node: self.deps.node.clone(),
            // A node of an earlier version may lead next. It may not be in this data set yet.
            mirror: codec::encode(&mirror, &self.writing_oldest()),
        };
        if self.ask(&command).await == Some(Reply::Done(true)) {
            self.generation = Some(look.generation.clone());
            (self.company.owes, self.must_mirror) = (false, false);
            self.has_told_assumed |= has_assumed;
        }
    }
}
