//! In a cluster, one node sends an account's requests, and the others are told of each before it is sent. So the next leader knows the hour.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::{
    Budget, Cause, Mark, Refusal,
    window::{STAYS, STAYS_MIRRORED},
};
use crate::clock::Moment;

/// When to ask again on a node that may not send: a lease changes hands within seconds.
const LOOK_FOR_LEASE: Duration = Duration::from_secs(1);

/// A request that was admitted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its number in the book.
    pub number: u64,
    /// Sent by background polling rather than on demand.
    pub polling: bool,
    /// When it was admitted.
    pub at: Moment,
}

/// A request in the window, in the form that nodes exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// Its name in the cluster.
    pub mark: Mark,
    /// Sent by background polling rather than on demand.
    pub polling: bool,
    /// Whether its answer has come.
    pub answered: bool,
    /// How long it stays in the window.
    pub stays: Duration,
}

impl Mirrored {
    /// A request that was admitted just now.
    pub fn admitted(process: u64, admitted: &Admitted) -> Self {
        Self {
            mark: Mark {
                process,
                number: admitted.number,
            },
            polling: admitted.polling,
            answered: false,
            stays: STAYS_MIRRORED,
        }
    }

    /// The same request, whose answer has come just now.
    pub fn answered(process: u64, admitted: &Admitted) -> Self {
        Self {
            answered: true,
            stays: STAYS,
            ..Self::admitted(process, admitted)
        }
    }
}

/// Tells the other nodes of a cluster about this node's requests.
pub trait Witness: fmt::Debug + Send + Sync {
    /// Whether this node sends the account's requests.
    fn leads(&self) -> bool;

    /// This process, for [`Mark`]s.
    fn process(&self) -> u64;

    /// Announces a request that is about to be sent. Returns whether it may be sent: the others know of it, and this node still leads.
    fn admitted(&self, admitted: Admitted) -> BoxFuture<'_, bool>;

    /// Whether a request may still be sent. Called right before it is sent.
    fn may_send(&self, admitted: &Admitted) -> bool;

    /// Its answer has come.
    fn answered(&self, admitted: &Admitted);

    /// CallTools asked for a pause, after a 429 (`throttled`) or for a problem of its own.
    fn silenced(&self, throttled: bool, wait: Option<Duration>);
}

impl Budget {
    /// The same budget, with other nodes of a cluster being told of its requests.
    pub fn with_witness(self, witness: Arc<dyn Witness>) -> Self {
        Self {
            witness: Some(witness),
            ..self
        }
    }

    pub(super) fn not_leading(&self) -> Refusal {
        Refusal {
            until: self.member.clock.now().later(LOOK_FOR_LEASE),
            cause: Cause::NotLeading,
        }
    }

    /// Counts requests that other nodes have sent.
    pub fn mirror(&self, requests: &[Mirrored]) {
        let owner = self.member.owner;
        self.member.with(|book| {
            for request in requests {
                book.mirror(owner, request);
            }
            self.fit_pace(book);
        });
    }

    /// Whether the window has requests that were sent in a cluster, here or elsewhere.
    pub fn was_in_cluster(&self) -> bool {
        let owner = self.member.owner;
        self.member.with(|book| book.has_marks(owner))
    }

    /// Counts all that could have been sent as sent just now, by this `process`. Returns how many requests that is.
    pub fn spend_the_rest(&self, process: u64) -> usize {
        let (owner, limit) = (self.member.owner, self.allowance.limit);
        self.member.with(|book| {
            let spent = book.spend_the_rest(owner, limit, process);
            self.fit_pace(book);
            spent
        })
    }

    /// Everything in the window, for other nodes. Requests without a mark get one of this `process`.
    pub fn mirrored(&self, process: u64) -> Vec<Mirrored> {
        let owner = self.member.owner;
        self.member.with(|book| book.mirrored(owner, process))
    }

    /// How long the pause that CallTools asked for still lasts: after a 429, and for a problem of its own.
    pub fn silence(&self) -> (Option<Duration>, Option<Duration>) {
        let owner = self.member.owner;
        self.member.with(|book| {
            let now = book.now();
            let throttle = book.hour(owner).throttle;
            let left = |until: Option<Duration>| until.map(|until| until.saturating_sub(now));
            (left(throttle.silence(now)), left(throttle.break_off(now)))
        })
    }
}
