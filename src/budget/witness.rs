//! In a cluster, one node sends an account's requests, and tells the others of each before it is sent, so that the next leader knows the hour.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    Budget, Mark,
    window::{STAYS, STAYS_MIRRORED},
};
use crate::clock::Moment;

/// A request that this node admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its number in the book.
    pub number: u64,
    /// Sent by background polling rather than on demand.
    pub polling: bool,
    /// When it was admitted.
    pub at: Moment,
    /// Whether this node's window decided about it. Otherwise another node has to agree.
    pub decided: bool,
}

/// A request in the window, in the form that nodes exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// Its name in the cluster.
    pub mark: Mark,
    /// Sent by background polling rather than on demand.
    pub polling: bool,
    /// Whether it was answered.
    pub answered: bool,
    /// How long it stays in the window.
    pub stays: Duration,
}

impl Mirrored {
    /// Describes a request that a node wants to send.
    pub fn asked_for(mark: Mark, polling: bool) -> Self {
        Self {
            mark,
            polling,
            answered: false,
            stays: STAYS_MIRRORED,
        }
    }

    /// Describes a request that was admitted just now.
    pub fn admitted(process: u64, admitted: &Admitted) -> Self {
        let number = admitted.number;
        Self::asked_for(Mark { process, number }, admitted.polling)
    }

    /// Describes the same request, which was answered just now.
    pub fn answered_now(self) -> Self {
        Self {
            answered: true,
            stays: STAYS,
            ..self
        }
    }
}

/// Tells the other nodes of a cluster about this node's requests.
pub trait Witness: fmt::Debug + Send + Sync {
    /// Returns whether this node sends the account's requests.
    fn leads(&self) -> bool;

    /// Returns whether this node's window has the whole hour. The window of a shared budget may be on another node.
    fn decides(&self) -> bool {
        self.leads()
    }

    /// Returns the number of this process, for [`Mark`]s.
    fn process(&self) -> u64;

    /// Announces a request before it is sent. Returns whether it may be sent: the others know of it, and this node still leads.
    fn admitted(&self, admitted: Admitted) -> BoxFuture<'_, bool>;

    /// Returns whether a request may still be sent. Called right before it is sent.
    fn may_send(&self, admitted: &Admitted) -> bool;

    /// Announces that a request was answered.
    fn answered(&self, admitted: &Admitted);

    /// Tells that the account has another identity, because it has another token.
    fn goes_on_as(&self, identity: &str);

    /// Announces that CallTools asked for a pause, after a 429 (`throttled`) or for a problem of its own.
    fn silenced(&self, throttled: bool, wait: Option<Duration>);
}

impl Budget {
    /// Makes the budget tell the other nodes of a cluster of its requests.
    pub fn with_witness(self, witness: Arc<dyn Witness>) -> Self {
        Self {
            witness: Some(witness),
            ..self
        }
    }

    /// Returns the same budget, with another witness of the requests that are sent with it.
    pub fn witnessed_by(&self, witness: Arc<dyn Witness>) -> Self {
        Self {
            account: self.account.clone(),
            member: Arc::clone(&self.member),
            allowance: self.allowance,
            pace: Arc::clone(&self.pace),
            accounts: self.accounts,
            _tie: self._tie.clone(),
            witness: Some(witness),
        }
    }

    /// Counts requests that other nodes have sent.
    pub fn mirror(&self, requests: &[Mirrored]) {
        let owner = self.member.owner();
        self.member.with(|book| {
            book.mirror(owner, requests);
            self.fit_pace(book);
        });
    }

    /// Counts a request that another node wants to send, if there is room. The node may ask again about a request that was already counted.
    pub fn admit_mirrored(&self, request: &Mirrored) -> bool {
        let (owner, allowance) = (self.member.owner(), self.allowance());
        self.member.with(|book| {
            let may = self.member.refuse_in_silence(book).is_ok();
            let admitted = may && book.admit_mirrored(owner, allowance, request);
            self.fit_pace(book);
            admitted
        })
    }

    /// Records that CallTools asked another node for a pause.
    pub fn silenced_elsewhere(&self, throttled: bool, wait: Option<Duration>) {
        match (throttled, wait) {
            (true, wait) => drop(self.refused(wait)),
            (false, Some(wait)) => self.break_off(wait),
            (false, None) => {}
        }
    }

    /// Returns whether the window has requests that were sent in a cluster, by any node.
    pub fn was_in_cluster(&self) -> bool {
        let owner = self.member.owner();
        self.member.with(|book| book.has_marks(owner))
    }

    /// Returns the requests that count only because the ledger was lost, with marks of this `process`.
    pub fn assumed(&self, process: u64) -> Vec<Mirrored> {
        let owner = self.member.owner();
        self.member.with(|book| book.assumed(owner, process))
    }

    /// Settles the requests that count because the ledger was lost, once it is clear whether other nodes of the cluster know the hour. If they do, this
    /// node counts only what they know.
    pub fn settle(&self, is_known: bool) {
        let forgotten = self.member.with(|book| {
            let forgotten = book.settle(self.member.owner(), is_known);
            self.fit_pace(book);
            forgotten
        });
        if forgotten > 0 {
            tracing::info!(
                account = self.account,
                requests = forgotten,
                "the cluster knows the hour, so what was counted for the lost ledger no longer counts"
            );
        }
    }

    /// Counts the rest of the limit as sent just now by this `process`. Returns how many requests that is.
    pub fn spend_the_rest(&self, process: u64) -> usize {
        let (owner, limit) = (self.member.owner(), self.allowance().limit);
        self.member.with(|book| {
            let spent = book.spend_the_rest(owner, limit, process);
            self.fit_pace(book);
            spent
        })
    }

    /// Returns everything in the window, for other nodes. Requests without a mark get one of this `process`.
    pub fn mirrored(&self, process: u64) -> Vec<Mirrored> {
        let owner = self.member.owner();
        self.member.with(|book| book.mirrored(owner, process))
    }

    /// Returns how long CallTools' pauses still last: the one after a 429, and the one for a problem of its own.
    pub fn silence(&self) -> (Option<Duration>, Option<Duration>) {
        let owner = self.member.owner();
        self.member.with(|book| {
            let now = book.now();
            let throttle = book.hour(owner).throttle;
            let left = |until: Option<Duration>| until.map(|until| until.saturating_sub(now));
            (left(throttle.silence(now)), left(throttle.pause_end(now)))
        })
    }
}
