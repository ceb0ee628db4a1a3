//! `alone`: one node may go on without the engine. It counts the requests of the hour that it knows of, and sends at most three quarters of the limit.
//!
//! The other nodes cannot know whether that node goes on alone. So they send requests only while they see that it reaches the engine, and stop
//! before it begins. They go on once it is back and has stored a mirror of what it sent.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use super::{Task, nodes::Info};
use crate::cluster::member::Role;

/// The other nodes stop after two leases without a sign of that node. It begins this much later, because clocks differ by 30 ms in a minute, and a
/// request is sent within two seconds of its entry.
const MARGIN: Duration = Duration::from_secs(3);

/// How many looks are remembered: those of some leases. Older looks prove nothing.
const MAX_LOOKS: usize = 16;

impl Task {
    pub(super) fn may_go_on_alone(&self) -> bool {
        self.parts.alone.as_ref() == Some(&self.parts.name)
    }

    /// Returns until when this node may act as the leader.
    pub(super) fn acts_until(&self) -> Duration {
        match self.is_alone {
            true => Duration::MAX,
            false => self.candidate.acts_until().min(self.has_company_until()),
        }
    }

    /// Returns whether the node that may go on alone is certainly not alone.
    pub(super) fn has_company(&self, now: Duration) -> bool {
        now < self.has_company_until()
    }

    fn has_company_until(&self) -> Duration {
        if self.parts.alone.is_none() || self.may_go_on_alone() {
            return Duration::MAX;
        }
        let company = self.company.map(|company| company + self.parts.lease * 2);
        company.unwrap_or(Duration::ZERO)
    }

    /// Notes when a look was sent. The node that may go on alone hears of it.
    pub(super) fn note_look(&mut self, sent: Duration) {
        self.looks.push_back((self.beats, sent));
        if self.looks.len() > MAX_LOOKS {
            self.looks.pop_front();
        }
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
        if info.owes || self.parts.alone.as_ref() != Some(&info.name) {
            return;
        }
        let beat = info.heard_of.get(&self.parts.node);
        let mut looks = self.looks.iter();
        if let Some((_, sent)) = looks.find(|(number, _)| Some(number) == beat) {
            self.company = self.company.max(Some(*sent));
        }
    }

    /// Called while the engine does not answer. Goes on alone if that lasts, and if this is the node that may.
    pub(super) fn go_on_alone(&mut self) {
        let now = self.now().boot;
        let begins = self.heard + self.parts.lease * 2 + MARGIN;
        if !self.may_go_on_alone() || self.is_stopping {
            return;
        }
        if !self.is_alone {
            if self.leads() || now < begins || !self.has_told_all() {
                return;
            }
            (self.is_alone, self.owes) = (true, true);
            if let Some(budget) = &self.parts.budget {
                budget.go_on_alone(true);
            }
            self.parts.led.fetch_add(1, Ordering::Relaxed);
            self.parts.listens.store(true, Ordering::Relaxed);
            self.parts.tenure.begin();
            self.parts.role.send_replace(Role::Leading);
            tracing::warn!(
                account = &*self.parts.account,
                "the cluster's engine cannot be used, so this node goes on alone, with three quarters of the hour's requests"
            );
        }
        // This lasts until after the next look, which comes in a third of a lease and may take a second.
        self.parts.tenure.set(now + self.parts.lease);
    }

    /// The engine answers again. The lease decides who leads.
    pub(super) fn end_alone(&mut self) {
        if std::mem::take(&mut self.is_alone) {
            self.depose();
            tracing::info!(
                account = &*self.parts.account,
                "the cluster's engine answers again; this node is no longer alone"
            );
        }
    }
}
