//! What is wrong with an account now: since when, whom it concerns, and what the log says of it.
//!
//! A fault of the *account* concerns all of its queues: CallTools refuses the token, asks for silence, cannot be reached, or the hour is spent.
//! A fault of a *queue* is its own: it was deleted, or its list alone cannot be read. The account's task tells every request's end; this type
//! works out what follows, for the board, for metrics and for people. It is pure, apart from its lines in the log.
//!
//! The log has one line when a fault begins and one when it ends, however many queues and attempts it meets. A fault that comes and goes is
//! one fault; queues that fail one after the other share lines, which come ever more seldom.

mod said;

use std::sync::Arc;

use self::said::Said;
use crate::{
    clock::Moment,
    decision::board::QueueKey,
    model::fault::{Fault, FaultKind},
};

/// So many requests fail in a row, none of them answered well in between, before CallTools counts as down for the whole account. A single
/// request fails now and then, and a list may be broken alone.
const IN_A_ROW: u32 = 3;

/// So many polls of one queue fail in a row before its own fault counts. The first retry comes within seconds.
const OWN_IN_A_ROW: u32 = 2;

/// What is wrong with an account now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentFault {
    /// As it was seen last.
    pub fault: Arc<Fault>,
    /// When it began.
    pub since: Moment,
}

impl PresentFault {
    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        self.fault.kind()
    }
}

/// Which request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The list of queues.
    Names,
    /// The list of statuses.
    Statuses,
    /// The queue at this place.
    Queue(usize),
    /// The list of everybody, from which the queues' statuses come.
    Feed,
}

/// What a queue's own polls have met with since the last that was answered.
#[derive(Clone, Debug)]
struct Own {
    fault: Arc<Fault>,
    since: Moment,
    failures: u32,
}

impl Own {
    /// Whether it is more than a hiccup.
    fn counts(&self) -> bool {
        self.kind().is_definite() || self.failures >= OWN_IN_A_ROW
    }

    fn kind(&self) -> FaultKind {
        self.fault.kind()
    }
}

/// What is known of one queue's faults.
#[derive(Clone, Debug, Default)]
struct OfQueue {
    own: Option<Own>,
    /// A fault that is over, and when CallTools was asked that then answered. It explains why nothing newer is known of the queue.
    past: Option<(Arc<Fault>, Moment)>,
    /// Nothing is known of the queue yet.
    is_unknown: bool,
    /// Its statuses come from the list of everybody.
    is_fed: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Faults {
    present: Option<PresentFault>,
    /// When the present fault was last met with.
    met: Option<Moment>,
    /// Requests that failed since the last that was answered, and when the first of them did.
    in_a_row: u32,
    failing_since: Option<Moment>,
    /// Something was answered well, ever.
    ever_well: bool,
    names: Option<Arc<Fault>>,
    statuses: Option<Arc<Fault>>,
    feed: Option<Arc<Fault>>,
    queues: Vec<OfQueue>,
    said: Said,
}

impl Faults {
    /// Nothing is wrong with an account of so many queues.
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
            said: Said::new(account, queues),
        }
    }

    /// What is wrong with the account.
    pub fn present(&self) -> Option<&PresentFault> {
        self.present.as_ref()
    }

    /// Whether CallTools answers, so that what one queue meets with is its own.
    pub fn is_answered(&self) -> bool {
        let kind = self.present.as_ref().map(PresentFault::kind);
        let is_silent = matches!(kind, Some(FaultKind::BadToken | FaultKind::UpstreamDown));
        self.ever_well && !is_silent
    }

    /// A request failed, at `now`.
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

    /// A queue of the config is none of the account's: no request says so, but the list of names.
    pub fn not_found(&mut self, place: usize, fault: &Arc<Fault>, now: Moment) {
        self.queue_failed(place, fault, now);
        if self.is_with_all_queues(FaultKind::NoSuchQueue) {
            self.begin(fault, now);
        }
    }

    /// The hour is spent or CallTools wants silence, so that nothing is sent.
    pub fn refused(&mut self, fault: &Arc<Fault>, now: Moment) {
        self.begin(fault, now);
    }

    /// A request that began at `begun` was answered well.
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

    /// The list of everybody is used no more.
    pub fn feed_is_gone(&mut self) {
        self.feed = None;
    }

    /// Statuses of this moment are known of a queue.
    pub fn renewed(&mut self, place: usize, as_of: Moment) {
        let queue = &mut self.queues[place];
        queue.past.take_if(|(_, over)| as_of.boot >= over.boot);
        queue.is_unknown = false;
    }

    /// Whether a queue's statuses come from the list of everybody.
    pub fn is_fed(&mut self, place: usize, is_fed: bool) {
        self.queues[place].is_fed = is_fed;
    }

    /// Whether a queue's own polls fail, so that newer statuses from elsewhere do not make up for them: the queue may be gone.
    pub fn has_own(&self, place: usize) -> bool {
        let own = self.queues[place].own.as_ref();
        own.is_some_and(Own::counts)
    }

    /// Why there is nothing newer of a queue.
    pub fn of_queue(&self, place: usize) -> Option<&Arc<Fault>> {
        let queue = &self.queues[place];
        let present = self.present.as_ref().map(|present| &present.fault);
        let own = queue.own.as_ref().map(|own| &own.fault);
        let waits = || {
            let list = self.names.as_ref().or(self.statuses.as_ref());
            list.filter(|_| queue.is_unknown)
        };
        let feed = || self.feed.as_ref().filter(|_| queue.is_fed);
        // A queue that CallTools does not know is not found by waiting for the account.
        own.filter(|own| own.kind().is_definite())
            .or(present)
            .or(own)
            .or_else(waits)
            .or_else(feed)
            .or(queue.past.as_ref().map(|(fault, _)| fault))
    }

    /// The queues are others now. `places` tells where each was before, if anywhere.
    pub fn rearrange(&mut self, account: Arc<str>, places: &[Option<usize>]) {
        let fresh = OfQueue {
            is_unknown: true,
            ..OfQueue::default()
        };
        let queue =
            |was: &Option<usize>| was.map_or_else(|| fresh.clone(), |was| self.queues[was].clone());
        self.queues = places.iter().map(queue).collect();
        self.said.rearrange(account, places);
    }

    /// Says in the log what has changed and was not said yet.
    pub fn say(&mut self, keys: impl Fn(usize) -> QueueKey, now: Moment) {
        self.said.account(self.present.as_ref(), now);
        if self.present.is_some() {
            return; // It explains what its queues suffer.
        }
        let faults = self.queues.iter().map(|queue| {
            let own = queue.own.as_ref().filter(|own| own.counts());
            own.map(|own| &own.fault)
        });
        self.said.queues(faults, keys, now);
    }

    fn queue_failed(&mut self, place: usize, fault: &Arc<Fault>, now: Moment) {
        let own = &mut self.queues[place].own;
        *own = Some(Own {
            fault: Arc::clone(fault),
            since: own.as_ref().map_or(now, |own| own.since),
            failures: own.as_ref().map_or(1, |own| own.failures + 1),
        });
    }

    /// Whether what was met with last is the account's fault rather than one queue's.
    fn concerns_all(&self, kind: FaultKind) -> bool {
        match kind {
            FaultKind::UpstreamDown => self.in_a_row >= IN_A_ROW || !self.ever_well,
            FaultKind::NoPermission => self.in_a_row >= IN_A_ROW || self.is_with_all_queues(kind),
            FaultKind::NoSuchQueue => self.is_with_all_queues(kind),
            FaultKind::BadToken | FaultKind::BudgetSpent | FaultKind::Throttled => true,
        }
    }

    fn is_with_all_queues(&self, kind: FaultKind) -> bool {
        let has = |queue: &OfQueue| queue.own.as_ref().is_some_and(|own| own.kind() == kind);
        self.queues.iter().all(has)
    }

    fn begin(&mut self, fault: &Arc<Fault>, now: Moment) {
        self.met = Some(now);
        let kind = fault.kind();
        let since = match &self.present {
            Some(present) if present.kind() == kind => present.since,
            _ => now,
        };
        self.present = Some(PresentFault {
            fault: Arc::clone(fault),
            since,
        });
    }

    /// CallTools answers. What queues have met with meanwhile was not theirs.
    fn end(&mut self, asked: Asked, begun: Moment) {
        self.in_a_row = 0;
        let failing_since = self.failing_since.take();
        let Some(present) = &self.present else { return };
        let kind = present.kind();
        // An answer to something else does not show that the queues are there or may be read.
        if kind.is_definite() && !matches!(asked, Asked::Queue(_)) && self.is_with_all_queues(kind)
        {
            return;
        }
        let began = failing_since.unwrap_or(present.since);
        for (place, queue) in self.queues.iter_mut().enumerate() {
            let was_its = |own: &Own| own.kind() == kind && own.since.boot >= began.boot;
            if !kind.is_definite() {
                queue.own.take_if(|own| was_its(own));
            }
            if asked != Asked::Queue(place) {
                queue.past = Some((Arc::clone(&present.fault), begun));
            }
        }
        self.present = None;
        self.met = None;
    }
}

#[cfg(test)]
mod tests;
