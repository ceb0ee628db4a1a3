//! `alone`: one node may go on without the engine. It counts the requests of the hour that it knows of, and sends at most three quarters of the limit.
//!
//! The other nodes cannot know whether that node goes on alone. So they send requests only while they see that it reaches the engine, and stop
//! before it begins. They go on once it is back and has stored a mirror of what it sent.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::Ordering,
    time::Duration,
};

use super::{Task, nodes::Info};
use crate::cluster::member::Role;

/// The other nodes stop after two leases without a sign of that node. It begins this much later, because clocks differ by 30 ms in a minute, and a
/// request is sent within two seconds of its entry.
const MARGIN: Duration = Duration::from_secs(3);

/// How many looks are remembered: those of some leases. Older looks prove nothing.
const MAX_LOOKS: usize = 16;

/// Whether this node is alone, and whether the node that may go on alone has company.
#[derive(Debug)]
pub(super) struct Company {
    /// This node goes on without the engine.
    pub(super) is_alone: bool,
    /// It may have sent requests that the engine does not know of.
    pub(super) owes: bool,
    /// When the last command that was answered was sent.
    pub(super) heard: Duration,
    /// The beats of the last looks, and when they were sent.
    looks: VecDeque<(u64, Duration)>,
    /// When the newest look was sent that the node that may go on alone has heard of.
    seen: Option<Duration>,
}

impl Company {
    pub(super) fn new(owes: bool, heard: Duration) -> Self {
        Self {
            is_alone: false,
            owes,
            heard,
            looks: VecDeque::new(),
            seen: None,
        }
    }

    /// Notes when a look was sent.
    fn note_look(&mut self, beat: u64, sent: Duration) {
        self.looks.push_back((beat, sent));
        if self.looks.len() > MAX_LOOKS {
            self.looks.pop_front();
        }
    }

    /// Notes that the node that may go on alone has heard of the look with this beat.
    fn note_seen(&mut self, beat: u64) {
        let mut looks = self.looks.iter();
        if let Some((_, sent)) = looks.find(|(number, _)| *number == beat) {
            self.seen = self.seen.max(Some(*sent));
        }
    }
}

impl Task {
    pub(super) fn may_go_on_alone(&self) -> bool {
        self.deps.alone.as_ref() == Some(&self.deps.name)
    }

    /// Returns until when this node may act as the leader.
    pub(super) fn acts_until(&self) -> Duration {
        match self.company.is_alone {
            true => Duration::MAX,
            false => self.candidate.acts_until().min(self.has_company_until()),
        }
    }

    /// Returns whether the node that may go on alone is certainly not alone.
    pub(super) fn has_company(&self, now: Duration) -> bool {
        now < self.has_company_until()
    }

    fn has_company_until(&self) -> Duration {
        if self.deps.alone.is_none() || self.may_go_on_alone() {
            return Duration::MAX;
        }
        let seen = self.company.seen;
        seen.map_or(Duration::ZERO, |seen| seen + self.deps.lease * 2)
    }

    /// Notes when a look was sent. The node that may go on alone hears of it.
    pub(super) fn note_look(&mut self, sent: Duration) {
        self.company.note_look(self.beats, sent);
    }

    /// Returns the newest look of each other node, if this is the node that may go on alone. They need to know that it has heard of them.
    pub(super) fn heard_of(&self) -> BTreeMap<String, u64> {
        let nodes = self.nodes.iter().filter(|_| self.may_go_on_alone());
        nodes
            .map(|(id, node)| (id.clone(), node.info.beat))
            .collect()
    }

    /// Notes how recently the node that may go on alone has reached the engine: at the earliest when this node sent the look that it has heard of. Its
    /// report may arrive late, so the time of arrival proves nothing.
    pub(super) fn note_company(&mut self, info: &Info) {
        if info.owes || self.deps.alone.as_ref() != Some(&info.name) {
            return;
        }
        if let Some(beat) = info.heard_of.get(&self.deps.node) {
            self.company.note_seen(*beat);
        }
    }

    /// Called while the engine does not answer. Goes on alone if that lasts, and if this is the node that may.
    pub(super) fn go_on_alone(&mut self) {
        let now = self.now().boot;
        let begins = self.company.heard + self.deps.lease * 2 + MARGIN;
        if !self.may_go_on_alone() || self.is_stopping {
            return;
        }
        if !self.company.is_alone {
            if self.leads() || now < begins || !self.has_told_all() {
                return;
            }
            (self.company.is_alone, self.company.owes) = (true, true);
            if let Some(budget) = &self.deps.budget {
                budget.go_on_alone(true);
            }
            self.deps.led.fetch_add(1, Ordering::Relaxed);
            self.deps.listens.store(true, Ordering::Relaxed);
            self.deps.tenure.begin();
            self.deps.role.send_replace(Role::Leading);
            tracing::warn!(
                account = &*self.deps.account,
                "the cluster's engine cannot be used, so this node goes on alone, with three quarters of the hour's requests"
            );
        }
        // This lasts until after the next look, which comes in a third of a lease and may take a second.
        self.deps.tenure.set(now + self.deps.lease);
    }

    /// The engine answers again. The lease decides who leads.
    pub(super) fn end_alone(&mut self) {
        if std::mem::take(&mut self.company.is_alone) {
            self.depose();
            tracing::info!(
                account = &*self.deps.account,
                "the cluster's engine answers again; this node is no longer alone"
            );
        }
    }
}
