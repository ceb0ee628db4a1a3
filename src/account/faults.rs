//! The current faults of an account: since when, for which queues, and what is logged about them.
//!
//! A fault of the *account* affects all of its queues: CallTools refuses the token, asks for a pause or cannot be reached, or the hour is spent.
//! A fault of a *queue* is its own: the queue was deleted, or only its list cannot be read. The account's task reports how each request ended.
//! This type derives what the board, the metrics and people see. It is pure, except for its log lines.
//!
//! A fault is logged once when it begins and once when it ends, for any number of queues and attempts. A fault that comes and goes counts as one
//! fault. Queues that fail one after another share lines, at growing intervals.

mod said;

use std::sync::Arc;

use self::said::LoggedFaults;
use crate::{
    clock::Moment,
    decision::board::QueueKey,
    model::fault::{Fault, FaultKind},
};

/// After this many failed requests in a row, CallTools counts as down for the whole account. Single requests fail from time to time, and a
/// single list may be broken.
const IN_A_ROW: u32 = 3;

/// After this many failed polls in a row, a queue has a fault of its own. The first retry comes within seconds.
const OWN_IN_A_ROW: u32 = 2;

/// The current fault of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentFault {
    /// The fault, as last seen.
    pub fault: Arc<Fault>,
    /// When it began.
    pub since: Moment,
}

impl PresentFault {
    /// Returns its kind.
    pub fn kind(&self) -> FaultKind {
        self.fault.kind()
    }

    /// Returns whether failures of a queue's polls are not its own, because they are the account's: they began with these and end with them.
    fn explains(&self, own: &Own, failing_since: Option<Moment>) -> bool {
        let (kind, began) = (self.kind(), failing_since.unwrap_or(self.since));
        !kind.is_definite() && own.kind() == kind && own.since.boot >= began.boot
    }
}

/// The list that a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The list of queues.
    Names,
    /// The list of statuses.
    Statuses,
    /// The queue at this place.
    Queue(usize),
    /// The feed in use, from which the queues' statuses come.
    Feed,
}

/// The failures of a queue's own polls since the last success.
#[derive(Clone, Debug)]
struct Own {
    fault: Arc<Fault>,
    since: Moment,
    failures: u32,
}

impl Own {
    /// Returns whether it is more than a single failure.
    fn counts(&self) -> bool {
        self.kind().is_definite() || self.failures >= OWN_IN_A_ROW
    }

    fn kind(&self) -> FaultKind {
        self.fault.kind()
    }
}

/// The faults of one queue.
#[derive(Clone, Debug, Default)]
struct OfQueue {
    own: Option<Own>,
    /// A past fault of the account, and when the request that ended it began. Until the queue has newer data, it explains the data's age.
    past: Option<(Arc<Fault>, Moment)>,
    /// Whether nothing is known about the queue yet.
    is_unknown: bool,
    /// Whether its statuses come from a feed, rather than from its own polls alone.
    is_fed: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Faults {
    present: Option<PresentFault>,
    /// When the current fault was last seen.
    met: Option<Moment>,
    /// How many requests failed since the last success, and when the first of them failed.
    in_a_row: u32,
    failing_since: Option<Moment>,
    /// Whether any request ever succeeded.
    ever_well: bool,
    names: Option<Arc<Fault>>,
    statuses: Option<Arc<Fault>>,
    feed: Option<Arc<Fault>>,
    queues: Vec<OfQueue>,
    logged: LoggedFaults,
}

impl Faults {
    /// Creates the faults of an account with this many queues; there are none yet.
    pub fn new(account: Arc<str>, queues: usize) -> Self {
        let unknown = OfQueue {
            is_unknown: true,
            ..OfQueue::default()
        };
        Self {
            present: None,
            met: None,
            in_a_row: 0,
            failing_since: None,
            ever_well: false,
            names: None,
            statuses: None,
            feed: None,
            queues: vec![unknown; queues],
            logged: LoggedFaults::new(account, queues),
        }
    }

    /// Returns the fault of the account.
    pub fn present(&self) -> Option<&PresentFault> {
        self.present.as_ref()
    }

    /// Returns whether CallTools answers, so that a failure of one queue is the queue's own.
    pub fn is_answered(&self) -> bool {
        let kind = self.present.as_ref().map(PresentFault::kind);
        let is_silent = matches!(kind, Some(FaultKind::BadToken | FaultKind::UpstreamDown));
        self.ever_well && !is_silent
    }

    /// Records that a request failed at `now`.
    pub fn failed(&mut self, asked: Asked, fault: &Arc<Fault>, now: Moment) {
        let kind = fault.kind();
        if kind.is_of_the_account() {
            return self.begin(fault, now);
        }
        self.in_a_row += 1;
        self.failing_since.get_or_insert(now);
        match asked {
            Asked::Names => self.names = Some(Arc::clone(fault)),
            Asked::Statuses => self.statuses = Some(Arc::clone(fault)),
            Asked::Feed => self.feed = Some(Arc::clone(fault)),
            Asked::Queue(place) => self.queue_failed(place, fault, now),
        }
        if self.concerns_all(kind) {
            self.begin(fault, now);
        }
    }

    /// Records that the list of queues lacks this queue.
    pub fn not_found(&mut self, place: usize, fault: &Arc<Fault>, now: Moment) {
        self.queue_failed(place, fault, now);
        if self.is_with_all_queues(FaultKind::NoSuchQueue) {
            self.begin(fault, now);
        }
    }

    /// Records that nothing is sent, because the hour is spent or CallTools asked for a pause.
    pub fn refused(&mut self, fault: &Arc<Fault>, now: Moment) {
        self.begin(fault, now);
    }

    /// Records that a request, which began at `begun`, succeeded.
    pub fn succeeded(&mut self, asked: Asked, begun: Moment) {
        self.ever_well = true;
        match asked {
            Asked::Names => self.names = None,
            Asked::Statuses => self.statuses = None,
            Asked::Feed => self.feed = None,
            Asked::Queue(place) => {
                self.queues[place].own = None;
                self.renewed(place, begun);
            }
        }
        let is_later = |met: Moment| begun.boot >= met.boot;
        if self.met.is_none_or(is_later) {
            self.end(asked, begun);
        }
    }

    /// Records that no feed is used any more.
    pub fn forget_feed(&mut self) {
        self.feed = None;
    }

    /// Records that a queue has statuses as of this moment.
    pub fn renewed(&mut self, place: usize, as_of: Moment) {
        let queue = &mut self.queues[place];
        queue.past.take_if(|(_, over)| as_of.boot >= over.boot);
        queue.is_unknown = false;
    }

    /// Sets whether a queue's statuses come from a feed.
    pub fn set_fed(&mut self, place: usize, is_fed: bool) {
        self.queues[place].is_fed = is_fed;
    }

    /// Returns whether a queue's own polls fail. Then newer statuses from other lists do not help, because the queue may be gone.
    pub fn has_own(&self, place: usize) -> bool {
        let own = self.queues[place].own.as_ref();
        let present = self.present.as_ref();
        let is_the_accounts =
            |own: &Own| present.is_some_and(|present| present.explains(own, self.failing_since));
        own.is_some_and(|own| own.counts() && !is_the_accounts(own))
    }

    /// Returns why a queue has no newer data.
    pub fn of_queue(&self, place: usize) -> Option<&Arc<Fault>> {
        let queue = &self.queues[place];
        let present = self.present.as_ref().map(|present| &present.fault);
        let own = queue.own.as_ref().map(|own| &own.fault);
        let waits = || {
            let list = self.names.as_ref().or(self.statuses.as_ref());
            list.filter(|_| queue.is_unknown)
        };
        let feed = || self.feed.as_ref().filter(|_| queue.is_fed);
        // A queue that does not exist in CallTools is still missing when the account recovers.
        own.filter(|own| own.kind().is_definite())
            .or(present)
            .or(own)
            .or_else(waits)
            .or_else(feed)
            .or(queue.past.as_ref().map(|(fault, _)| fault))
    }

    /// Replaces the queues. `places` has the former place of each queue, if it had one.
    pub fn rearrange(&mut self, account: Arc<str>, places: &[Option<usize>]) {
        let fresh = OfQueue {
            is_unknown: true,
            ..OfQueue::default()
        };
        let queue =
            |was: &Option<usize>| was.map_or_else(|| fresh.clone(), |was| self.queues[was].clone());
        self.queues = places.iter().map(queue).collect();
        self.logged.rearrange(account, places);
    }

    /// Logs changes.
    pub fn log(&mut self, keys: impl Fn(usize) -> QueueKey, now: Moment) {
        self.logged.account(self.present.as_ref(), now);
        if self.present.is_some() {
            return; // It explains the faults of the queues.
        }
        let faults = self.queues.iter().map(|queue| {
            let own = queue.own.as_ref().filter(|own| own.counts());
            own.map(|own| &own.fault)
        });
        self.logged.queues(faults, keys, now);
    }

    fn queue_failed(&mut self, place: usize, fault: &Arc<Fault>, now: Moment) {
        let own = &mut self.queues[place].own;
        *own = Some(Own {
            fault: Arc::clone(fault),
            since: own.as_ref().map_or(now, |own| own.since),
            failures: own.as_ref().map_or(1, |own| own.failures + 1),
        });
    }

    /// Returns whether the last failure is the account's rather than one queue's.
    fn concerns_all(&self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::UpstreamDown => self.in_a_row >= IN_A_ROW || !self.ever_well,
            FaultKind::NoPermission => self.in_a_row >= IN_A_ROW || self.is_with_all_queues(kind),
            FaultKind::NoSuchQueue => self.is_with_all_queues(kind),
            FaultKind::BadToken
            | FaultKind::BudgetSpent
            | FaultKind::Throttled
            | FaultKind::ClusterDown => true,
        }
    }

    fn is_with_all_queues(&self, kind: FaultKind) -> bool {
        let has = |queue: &OfQueue| queue.own.as_ref().is_some_and(|own| own.kind() == kind);
        self.queues.iter().all(has)
    }

    fn begin(&mut self, fault: &Arc<Fault>, now: Moment) {
        self.met = Some(now);
        let kind = fault.kind();
        if let Some(was) = self.present.take_if(|was| was.kind() != kind) {
            // Now, because only the fault that they came with explains them.
            self.drop_explained(&was, self.failing_since);
        }
        let since = match &self.present {
            Some(present) if present.kind() == kind => present.since,
            _ => now,
        };
        self.present = Some(PresentFault {
            fault: Arc::clone(fault),
            since,
        });
    }

    /// Ends the account's fault, because CallTools answers again. Failures of queues during the fault were not their own.
    fn end(&mut self, asked: Asked, begun: Moment) {
        self.in_a_row = 0;
        let failing_since = self.failing_since.take();
        let Some(present) = self.present.clone() else {
            return;
        };
        let kind = present.kind();
        // An answer to another request does not prove that the queues exist or may be read.
        if kind.is_definite() && !matches!(asked, Asked::Queue(_)) && self.is_with_all_queues(kind)
        {
            return;
        }
        self.drop_explained(&present, failing_since);
        for (place, queue) in self.queues.iter_mut().enumerate() {
            if asked != Asked::Queue(place) {
                queue.past = Some((Arc::clone(&present.fault), begun));
            }
        }
        self.present = None;
        self.met = None;
    }

    /// Drops the failures of queues that a fault of the account explains.
    fn drop_explained(&mut self, fault: &PresentFault, failing_since: Option<Moment>) {
        for queue in &mut self.queues {
            queue.own.take_if(|own| fault.explains(own, failing_since));
        }
    }
}

#[cfg(test)]
mod tests;
