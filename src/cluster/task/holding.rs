//! Takes, renews and gives away the lease, and begins and ends this node's leadership with it.

use std::{sync::atomic::Ordering, time::Duration};

use super::Task;
use crate::cluster::{
    command::{Command, Listener, Position, Reply},
    entry::Entry,
    member::Role,
};

/// How often a node that has the lease tries to lead, once in a third of a lease. Then another node may be able to read the log.
const MAX_TRIES: u8 = 3;

impl Task {
    pub(super) async fn renew(&mut self) {
        let begun = self.now();
        let Some(sent) = self.send_renewal().await else {
            return;
        };
        if sent < begun.boot {
            // It lasts from an earlier time, because its answer was lost then. The next one lasts from now.
            self.send_renewal().await;
        }
        if self.leads() {
            // Only this node has written since.
            self.engine_clock.up_to_date = Some(begun);
            self.lead_until(self.acts_until());
        } else if self.now().boot < self.acts_until() {
            self.assume().await;
        }
    }

    /// Sends a renewal. Returns when it was first sent, if it is confirmed.
    async fn send_renewal(&mut self) -> Option<Duration> {
        let (command, sent) = self.candidate.renew(self.now().boot)?;
        match self.ask(&command).await? {
            Reply::Done(true) => {
                self.candidate.renewed();
                Some(sent)
            }
            _ => {
                self.candidate.lost();
                self.depose();
                None
            }
        }
    }

    pub(super) async fn take(&mut self) {
        let Some((command, lease)) = self.candidate.take() else {
            return;
        };
        let sent = self.now().boot;
        if self.ask(&command).await == Some(Reply::Done(true)) {
            self.candidate.taken(lease, sent);
            self.assume().await;
        }
    }

    /// Starts leading with the lease in hand.
    async fn assume(&mut self) {
        // The others may hear of this leader before it is ready for their questions.
        self.deps.listens.store(true, Ordering::Relaxed);
        self.try_to_lead().await;
        let leads = self.leads();
        self.deps.listens.store(leads, Ordering::Relaxed);
        let may_try_again = !leads && self.candidate.held().is_some();
        self.tries = if may_try_again { self.tries + 1 } else { 0 };
        if self.tries >= MAX_TRIES {
            tracing::warn!(
                account = &*self.deps.account,
                "this node has the lease, but cannot read the cluster's log in time, so it leaves the lease to another node"
            );
            (self.tries, self.gave_up) = (0, true);
            self.resign().await;
        }
    }

    /// Leads, if it can read the whole log and all mirrors.
    async fn try_to_lead(&mut self) {
        let has_read = self.read().await;
        if self.unread {
            return self.resign().await; // A node that can read the log should lead.
        }
        if !has_read || !self.read_mirrors().await || !self.has_told_all() {
            return; // The next beat tries again.
        }
        let Some(lease) = self.candidate.held() else {
            return;
        };
        let epoch = lease.epoch;
        self.note_beginning();
        self.settle(self.others_know());
        self.count_missed();
        // If this node led before in this epoch, it goes on after all that it has written. That may still arrive. It leaves out a number: at the gap
        // the others read the checkpoint, which has what this node did alone.
        let written = [self.position, self.draft.written].into_iter();
        let written = written.filter(|written| written.epoch == epoch).max();
        let first = Position { epoch, number: 0 };
        self.position = written.map_or(first, |written| written.next());
        self.last_epoch = epoch;
        self.draft.next_has_checkpoint();
        if !self.publish(Entry::default()).await {
            return;
        }
        self.mirrors_due = 2;
        // First, because the serving threads see at once that it leads.
        self.deps.tenure.begin();
        self.lead_until(self.acts_until());
        self.deps.led.fetch_add(1, Ordering::Relaxed);
        self.deps.role.send_replace(Role::Leading);
        tracing::info!(
            account = &*self.deps.account,
            epoch,
            "this node leads the account"
        );
    }

    /// Leads for a minute, right after it has read an entry.
    #[cfg(test)]
    pub(crate) fn lead_after(&mut self, entry: Entry) {
        self.tell(entry);
        self.deps.tenure.begin();
        self.lead_until(self.now().boot + Duration::from_secs(60));
        self.deps.led.fetch_add(1, Ordering::Relaxed);
        self.deps.role.send_replace(Role::Leading);
    }

    /// Reads an entry.
    #[cfg(test)]
    pub(crate) fn hear(&mut self, entry: Entry) {
        self.tell(entry);
    }

    /// Logs nothing of what is ordered.
    #[cfg(test)]
    pub(crate) async fn refuse_orders(&mut self) {
        while self.deps.orders.recv().await.is_some() {}
    }

    /// Returns how many orders wait.
    #[cfg(test)]
    pub(crate) fn ordered(&self) -> usize {
        self.deps.orders.len()
    }

    /// Follows from now on.
    #[cfg(test)]
    pub(crate) fn follow(&mut self) {
        self.depose();
    }

    /// Stops leading without asking the engine.
    pub(super) fn depose(&mut self) {
        self.deps.tenure.set(Duration::ZERO);
        self.deps.listens.store(false, Ordering::Relaxed);
        let was = self.deps.role.send_replace(Role::Following);
        if was == Role::Leading {
            self.deps.led.fetch_sub(1, Ordering::Relaxed);
            self.is_synced = false;
        }
    }

    /// Leads no more, because the process stops. What was ordered before is done first.
    pub(super) async fn stop(&mut self) {
        self.is_stopping = true;
        while self.is_up
            && let Ok(order) = self.deps.orders.try_recv()
        {
            self.obey(order).await;
        }
        self.resign().await;
    }

    /// Gives the lease away, and rings the bell: calls may wait for the next leader.
    pub(super) async fn resign(&mut self) {
        self.depose();
        let Some(command) = self.candidate.give_away() else {
            return;
        };
        // Another node may lead at once, also if no answer comes.
        self.knows_all_until = Duration::ZERO;
        if self.ask(&command).await == Some(Reply::Done(true)) {
            let (to, message) = (Listener::Bell, Vec::new());
            self.ask(&Command::Send { to, message }).await;
        }
    }
}
