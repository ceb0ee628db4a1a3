//! Tracks what this node may have missed: an engine that loses its data may lose entries before the followers read them.
//!
//! The leader knows every request of the hour. If the engine loses its data, the leader's mirror in the new data set has them all, and says so.
//! After an outage that is longer than a lease, nobody knows who led last. But [together](super::together) the nodes may know the hour. Otherwise,
//! unknown requests may have been sent, and the next leader counts the rest of the limit as sent.
//!
//! A node that lost its own ledger counts requests that were perhaps sent, and keeps them to itself. It forgets them once it has read the log, and
//! another node lives that follows it. Without such a node, the log's last entries may be lost as well, and all others count them too.
//!
//! A fresh node that leads an empty log knows nothing. A node may join without its ledger. In the first hour of a data set no other node knows what it
//! has sent, unless an earlier process of that node was in the data set. So it tells the others what it counts, and they count it too.
//!
//! Entries may be missing in the middle of a log as well: another user removed them, or the engine lost them and the leader went on. The writer of
//! the entry behind such a gap knew the missing requests, or counted them, because a node reads the whole log before it leads. So each later
//! checkpoint has these requests, and a node that has read one knows the hour again. It looks for one now and then.
//!
//! After an hour, missed requests have left the window and no longer matter.
//!
//! A fail-over loses the last entries of the log. If all replicas confirm what counts, nobody has acted on these.

use std::time::Duration;

use super::{
    Node, REPLACES, Task, data_set::CLAIM_AGAIN, nodes::Info, together::IGNORANT_FOR,
    writing::CHECKPOINT_EVERY,
};
use crate::{
    budget::Mirrored,
    cluster::{
        codec,
        command::{Command, Look, MAX_COUNT, Position, Reply},
        entry::Entry,
        lease::Lease,
    },
};

/// A node acts as the leader until a second before its lease ends, and no other node takes the lease until half a second after its end.
const ALONE_FOR: Duration = Duration::from_millis(1500);

/// How many leases what was missed matters longer than an hour. Another key's leader sends until it claims again, a third of a lease for each look.
/// Two more leases allow for a claim that comes late.
const MISSED_LEASES: u32 = (CLAIM_AGAIN / 3) as u32 + 3;

/// What a node may have missed.
#[derive(Debug)]
pub(super) struct Missed {
    /// The last entry that it knows. The writer of a later entry knew what was missed, or counted it. `None` if no entry shows that.
    after: Option<Position>,
    /// Whether that must be a checkpoint: the log has later entries, which do not say what was missed.
    needs_checkpoint: bool,
    /// The data set in which another node's mirror may still have everything. An engine that was restored to an earlier state shows old claims.
    pub(super) claims_in: Option<String>,
    /// Whether it was all in data sets that the engine lost, and not missed before.
    pub(super) is_by_loss: bool,
    /// From then on it no longer matters: what was missed has left the hour.
    until: Duration,
}

/// Which entries the engine has confirmed: a fail-over must not lose these.
///
/// An entry that was not confirmed may be lost, and nobody has acted on it. While a replica is gone there may be many of them, and each node reads
/// them, so the end of the log that a node has read says nothing about a loss.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    last: Position,
    /// The last entry that was in the log, with or without replicas. This node may have tried to write later ones.
    in_log: Position,
    /// The lease at an earlier look, and the last entry then.
    looked: Option<(Lease, Position)>,
}

impl Confirmed {
    /// Records a look. A holder renews its lease only once the last renewal is confirmed, and a confirmation includes all that was written before.
    /// So after two more renewals, all entries of a look are confirmed.
    pub(super) fn looked(&mut self, look: &Look) {
        let Ok(lease) = look.lease.parse::<Lease>() else {
            return;
        };
        let is_same =
            |was: &Lease| (was.epoch, was.holder.as_ref()) == (lease.epoch, lease.holder.as_ref());
        match &self.looked {
            Some((was, last)) if is_same(was) => {
                if lease.counter < was.counter + 2 {
                    return;
                }
                self.last = self.last.max(*last);
            }
            _ => {}
        }
        self.looked = Some((lease, look.last));
    }

    /// Records that this entry of this node was confirmed.
    pub(super) fn published(&mut self, position: Position) {
        self.last = self.last.max(position);
        self.found(position);
    }

    /// Records that the log has this entry.
    pub(super) fn found(&mut self, position: Position) {
        self.in_log = self.in_log.max(position);
    }
}

impl Task {
    /// Returns the last entry that the engine cannot have lost without losing what a node may have acted on.
    pub(super) fn must_be_kept(&self) -> Position {
        match self.deps.engine.keeps_what_it_confirms() {
            true => self.confirmed.last,
            false => self.confirmed.in_log,
        }
    }

    /// Records that this node acts as the leader until then, and so knows everything. With a token that came after the claim, it sends nothing until the
    /// next look, which claims that token first.
    pub(super) fn lead_until(&mut self, acts_until: Duration) {
        self.deps.tenure.set(acts_until);
        // In this order: a token that comes now ends the tenure itself.
        if self.deps.claims.has_changed().unwrap_or(false) {
            self.deps.tenure.set(Duration::ZERO);
        }
        self.knows_all_until = acts_until + ALONE_FOR;
    }

    /// Records that the engine lost entries: all of them if the data set `is_new`, otherwise the last ones.
    pub(super) fn note_loss(&mut self, look: &Look, is_new: bool, now: Duration) {
        self.confirmed = Confirmed::default();
        let knows_all = now <= self.knows_all_until;
        let data_set = is_new.then(|| look.generation.clone());
        // If only the last entries are lost, the leader's next entry has a checkpoint with everything.
        self.knows_all_of = data_set.clone().filter(|_| knows_all);
        // If this process has just started, its ledger shows whether an earlier one was in the cluster.
        let budget = self.deps.budget.as_ref();
        let was_in_cluster = || budget.is_some_and(|budget| budget.was_in_cluster());
        // What was spoilt may have had requests that this node never read.
        let replaces = look.generation.starts_with(REPLACES);
        if !knows_all && (self.generation.is_some() || was_in_cluster() || replaces) {
            let known = self
                .missed
                .as_ref()
                .map_or(Some(self.position), |missed| missed.after);
            let known = known.map(|known| known.max(self.position));
            // Epochs begin again after the last one.
            let after = known.map(|known| match known.epoch < MAX_COUNT {
                true => known,
                false => Position::default(),
            });
            let was = self.missed.as_ref();
            let needs_checkpoint = was.is_some_and(|missed| missed.needs_checkpoint);
            let is_by_loss = is_new && was.is_none_or(|missed| missed.is_by_loss);
            self.miss(after, needs_checkpoint, data_set);
            if let Some(missed) = &mut self.missed {
                missed.is_by_loss = is_by_loss;
            }
        }
    }

    fn miss(&mut self, after: Option<Position>, needs_checkpoint: bool, claims_in: Option<String>) {
        let until = self.now().boot + IGNORANT_FOR + self.deps.lease * MISSED_LEASES;
        self.missed = Some(Missed {
            after,
            needs_checkpoint,
            claims_in,
            is_by_loss: false,
            until,
        });
    }

    /// Records that the log has an entry at this position, or a checkpoint.
    pub(super) fn note_entry(&mut self, position: Position, is_checkpoint: bool) {
        self.missed.take_if(|missed| {
            let shows = is_checkpoint || !missed.needs_checkpoint;
            shows && missed.after.is_some_and(|after| position > after)
        });
    }

    /// Records that the account had another key until now, so that this node does not know the hour.
    pub(super) fn note_another_key(&mut self) {
        self.miss(None, false, None);
    }

    /// Records that the log lacks entries before this one, so that this node does not know their requests.
    pub(super) fn note_gap(&mut self, behind: Position) {
        let number = behind.number.saturating_sub(1);
        let last_lost = Position { number, ..behind };
        match &self.missed {
            Some(Missed { after: None, .. }) => self.miss(None, false, None),
            // The same gap, read again.
            Some(missed) if missed.needs_checkpoint && missed.after >= Some(last_lost) => {}
            _ => self.miss(Some(last_lost), true, None),
        }
    }

    /// Looks for a checkpoint behind a gap in the log, now and then, and before this node leads. Only its requests are new: this node has read
    /// everything else.
    pub(super) async fn look_behind_a_gap(&mut self) {
        let awaits = self.missed.as_ref().filter(|one| one.needs_checkpoint);
        let Some(last_lost) = awaits.and_then(|missed| missed.after) else {
            return;
        };
        let asked = self.now();
        if asked.boot < self.next_look_behind && self.candidate.held().is_none() {
            return;
        }
        // Leaders write none earlier.
        self.next_look_behind = asked.boot + CHECKPOINT_EVERY;
        let command = Command::Read {
            after: self.position,
            checkpoint: true,
        };
        let Some(Reply::Log(log)) = self.ask(&command).await else {
            return;
        };
        self.note_time(log.time, self.now());
        let checkpoint = log.checkpoint.filter(|one| one.position > last_lost);
        let (Some(checkpoint), true) = (
            checkpoint,
            self.generation.as_ref() == Some(&log.generation),
        ) else {
            return;
        };
        let reading = self.reading(asked, log.time, true);
        if let Ok(whole) = codec::decode_all(&checkpoint, &reading).await {
            self.count(&Entry {
                requests: whole.requests,
                ..Entry::default()
            });
            self.note_entry(checkpoint.position, whole.whole);
        }
    }

    /// Records that another node has stored what this one cannot read, because its version is too old. A leader knows the hour.
    pub(super) fn note_unread_mirror(&mut self) {
        if !self.leads() {
            self.miss(None, false, None);
        }
    }

    /// Records that this node begins a log. If it was in no cluster before, it does not know what other nodes have sent.
    pub(super) fn note_beginning(&mut self) {
        let budget = self.deps.budget.as_ref();
        if self.position == Position::default()
            && budget.is_some_and(|budget| !budget.was_in_cluster())
        {
            self.ignorant_until = self.now().boot + IGNORANT_FOR;
        }
    }

    /// Returns for how long nobody may know the whole hour.
    pub(super) fn ignorant_for(&self) -> Duration {
        self.ignorant_until.saturating_sub(self.now().boot)
    }

    /// Returns whether an earlier process of this node was in the data set: a node of its name is there and has not been seen to live, for at least
    /// this long.
    fn has_predecessor(&self, at_least: Duration) -> bool {
        let now = self.now().boot;
        let mut others = self.nodes.iter().filter(|(id, _)| **id != self.deps.node);
        others.any(|(_, node)| {
            node.info.name == self.deps.name && !node.lives && now >= node.since + at_least
        })
    }

    /// Records what another node says about the hour: the leader may not know it.
    pub(super) fn note_ignorance(&mut self, id: &str, info: &Info, now: Duration) {
        if self.candidate.holder().as_deref() == Some(id) {
            let until = now + Duration::from_secs(info.ignorant_s).min(IGNORANT_FOR);
            self.ignorant_until = self.ignorant_until.max(until);
        }
    }

    /// Returns what this node counts for its lost ledger, as long as no other node is known to know better.
    pub(super) fn assumed(&self) -> Vec<Mirrored> {
        let budget = self.deps.budget.as_ref();
        let is_told = !self.is_settled && !self.has_predecessor(Duration::ZERO);
        let budget = budget.filter(|_| is_told);
        budget.map_or_else(Vec::new, |budget| budget.assumed(self.deps.process))
    }

    /// Settles what this node counts for its lost ledger as sent if the log has it: another node counts it as well.
    pub(super) fn hear_of_assumed(&mut self, entry: &Entry) {
        let assumed = self.assumed();
        let is_own = |one: &Mirrored| one.mark.process == self.deps.process;
        let is_told = |one: &Mirrored| assumed.iter().any(|assumed| assumed.mark == one.mark);
        let mut requests = entry.requests.iter();
        if !assumed.is_empty() && requests.any(|one| is_own(one) && is_told(one)) {
            self.settle(false);
            // From now on they have the marks under which the log has them.
            self.requests();
        }
    }

    /// Counts what another node counts for its lost ledger, unless this node knows the hour.
    pub(super) fn count_assumed(&self, assumed: Vec<Mirrored>) {
        let Some(budget) = &self.deps.budget else {
            return;
        };
        if assumed.is_empty() || self.ignorant_for().is_zero() {
            return;
        }
        let before = budget.usage().used;
        budget.mirror(&assumed);
        let requests = budget.usage().used.saturating_sub(before);
        if requests > 0 {
            tracing::warn!(
                account = &*self.deps.account,
                requests,
                "a node has lost its ledger, and the cluster is too new to know what that node has sent: what it may have sent counts, so polling may be slow for an hour"
            );
        }
    }

    /// Returns the data set in which this node's mirror has everything.
    pub(super) fn stored_all_in(&self) -> Option<String> {
        let data_set = self.knows_all_of.as_ref();
        data_set
            .filter(|one| Some(*one) == self.generation.as_ref())
            .cloned()
    }

    /// Decides about the requests that this node counts because its ledger was lost: whether others know what was sent.
    pub(super) fn settle(&mut self, is_known: bool) {
        if !std::mem::replace(&mut self.is_settled, true)
            && let Some(budget) = &self.deps.budget
        {
            budget.settle(is_known);
        }
    }

    /// Returns whether another node lives, and the log has what it knows.
    pub(super) fn others_know(&self) -> bool {
        let now = self.now().boot;
        let mut others = self.nodes.iter().filter(|(id, _)| **id != self.deps.node);
        // A node that lives shows it within a lease. It may have the same name.
        let has_predecessor = self.has_predecessor(self.deps.lease);
        let knows = |node: &Node| node.info.ignorant_s == 0 || has_predecessor;
        let knows = |node: &Node| knows(node) && node.lives && !self.is_gone(node, now);
        self.position != Position::default() && others.any(|(_, node)| knows(node))
    }

    /// Counts requests that no node may know, before this node leads. If the log is empty, others may have missed what this node never heard of.
    pub(super) fn count_missed(&mut self) {
        let now = self.now().boot;
        let missed = self.missed.take().filter(|missed| now < missed.until);
        let is_empty = self.position == Position::default();
        let is_told = || self.nodes.keys().any(|node| self.missed_by(node).is_some());
        if missed.is_none() && !(is_empty && is_told()) {
            return;
        }
        let claims_in = match &missed {
            Some(missed) => &missed.claims_in,
            None => &self.generation,
        };
        let stored_all = |node: &Node| node.info.knows_all_of == *claims_in;
        if claims_in.is_some() && self.nodes.values().any(stored_all) {
            tracing::info!(
                account = &*self.deps.account,
                "the engine lost data, and one of its nodes has all of it"
            );
            return;
        }
        let is_by_loss = missed.is_none_or(|missed| missed.is_by_loss);
        if is_by_loss && self.is_known_to_all_together() {
            tracing::info!(
                account = &*self.deps.account,
                "the engine lost data, and its nodes together have all of it"
            );
            return;
        }
        let Some(budget) = &self.deps.budget else {
            return;
        };
        let requests = budget.spend_the_rest(self.deps.process);
        tracing::warn!(
            account = &*self.deps.account,
            requests,
            "the engine lost data, and no node has all of it: the rest of the hour's requests counts as sent, so polling may be slow for an hour"
        );
    }
}
