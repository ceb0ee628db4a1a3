//! One look at everything: which conditions hold now, and which are known to be over.
//!
//! A condition that is not seen is not necessarily over: a process that has just started has asked nothing yet, so it sees no fault. A condition ends
//! only by proof: newer data of the account or the queue, or an answer that is based on it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Moment,
    cluster::{member::Status, trouble::Trouble},
    config::Condition,
    decision::{Reason, board::QueueKey},
    model::fault::{Fault, FaultKind},
    server::{AccountHandle, App, Queue},
};

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Subject {
    pub condition: Condition,
    /// `None` if it concerns the process.
    pub account: Option<Arc<str>>,
    /// `None` if it concerns the whole account.
    pub queue: Option<Arc<str>>,
}

impl Subject {
    fn process(condition: Condition) -> Self {
        Self {
            condition,
            account: None,
            queue: None,
        }
    }

    fn account(condition: Condition, account: &Arc<str>) -> Self {
        Self {
            condition,
            account: Some(Arc::clone(account)),
            queue: None,
        }
    }

    fn queue(condition: Condition, key: &QueueKey) -> Self {
        Self {
            queue: Some(Arc::clone(&key.queue)),
            ..Self::account(condition, &key.account)
        }
    }

    /// Returns the queue that it is about.
    pub fn key(&self) -> Option<QueueKey> {
        let account = self.account.as_ref()?;
        let queue = self.queue.as_ref()?;
        Some(QueueKey::new(Arc::clone(account), Arc::clone(queue)))
    }
}

/// A condition that holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    /// When it began, if that is known more exactly than from the first look.
    pub since: Option<Moment>,
    /// What is wrong, for people.
    pub what: String,
    /// What to do.
    pub advice: String,
    /// How many questions about the queue have been answered, for conditions that matter only if somebody asks.
    pub asked: Option<u64>,
}

/// What can be said about a condition that is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It is over.
    Over,
    /// It is not known yet.
    Unknown,
    /// It is not known, and nothing polls its queue, which is closed.
    Closed,
    /// Its account or queue is no longer configured.
    Gone,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub lasting: BTreeMap<Subject, Evidence>,
    /// The moment of the newest data of each account.
    accounts: HashMap<Arc<str>, Option<Moment>>,
    queues: HashMap<QueueKey, SeenQueue>,
    /// The cluster's engine has not been asked about an account yet.
    is_cluster_unknown: bool,
}

#[derive(Clone, Copy, Debug)]
struct SeenQueue {
    last_success: Option<Moment>,
    /// Whether fresh data shows seats. Nothing is known about the seats of a queue that is closed or unknown.
    has_seats: bool,
    /// Whether it is outside its opening hours.
    is_closed: bool,
}

impl Sight {
    /// Looks.
    pub fn from_app(app: &App) -> Self {
        let mut sight = Self::default();
        for account in &app.accounts {
            sight.accounts.insert(Arc::clone(&account.name), None);
            sight.account(account, app.clock.now());
        }
        for queue in app.queues() {
            sight.queue(app, queue);
        }
        let degraded = app.degraded();
        if !degraded.is_empty() {
            let what = format!(
                "the state folder cannot be written ({})",
                degraded.join(", ")
            );
            sight.see(Subject::process(Condition::State), what, STATE_ADVICE, None);
        }
        let member = |account: &AccountHandle| {
            let member = account.member.as_ref()?;
            Some((Arc::clone(&account.name), member.status()))
        };
        sight.cluster(app.accounts.iter().filter_map(member), app.clock.now());
        sight
    }

    /// Looks at the cluster as a whole: its engine is the same for all accounts.
    pub(super) fn cluster(
        &mut self,
        accounts: impl Iterator<Item = (Arc<str>, Status)>,
        now: Moment,
    ) {
        let mut troubled: BTreeMap<Trouble, Vec<Arc<str>>> = BTreeMap::new();
        for (account, status) in accounts {
            self.is_cluster_unknown |= !status.asked;
            if let Some(trouble) = status.trouble(now) {
                troubled.entry(trouble).or_default().push(account);
            }
        }
        let Some((trouble, accounts)) = troubled.first_key_value() else {
            return;
        };
        let named = accounts.iter().take(NAMED_ACCOUNTS);
        let named: Vec<_> = named.map(|account| format!("\"{account}\"")).collect();
        let further = match accounts.len().saturating_sub(NAMED_ACCOUNTS) {
            0 => String::new(),
            further => format!(" and {further} more"),
        };
        let what = format!("{trouble} (accounts: {}{further})", named.join(", "));
        let subject = Subject::process(Condition::Cluster);
        self.see(subject, what, trouble.advice(), None);
    }

    fn see(&mut self, subject: Subject, what: String, advice: &str, since: Option<Moment>) {
        let evidence = Evidence {
            since,
            what,
            advice: advice.to_owned(),
            asked: None,
        };
        self.lasting.insert(subject, evidence);
    }

    fn account(&mut self, account: &AccountHandle, now: Moment) {
        let present = account.health().fault;
        let name = &account.name;
        let fault = |kind| {
            let is_it = |fault: &&crate::account::PresentFault| fault.kind() == kind;
            present.as_ref().filter(is_it)
        };
        for (kind, condition) in [
            (FaultKind::BadToken, Condition::BadToken),
            (FaultKind::UpstreamDown, Condition::UpstreamDown),
            (FaultKind::Throttled, Condition::Throttled),
            (FaultKind::BudgetSpent, Condition::Budget),
        ] {
            if let Some(present) = fault(kind) {
                let (fault, since) = (&present.fault, Some(present.since));
                let subject = Subject::account(condition, name);
                self.see(subject, fault.message(now), &fault.advice(), since);
            }
        }
        let usage = account.budget.usage();
        if usage.share < 1.0 && fault(FaultKind::Throttled).is_none() {
            let percent = usage.share * 100.0;
            let what = format!(
                "other software spends from this account, so openseat polls at {percent:.0} % of its pace"
            );
            let subject = Subject::account(Condition::Throttled, name);
            self.see(subject, what, THROTTLED_ADVICE, None);
        }
        // As in the Prometheus alert: a slow pace is a fault of its own, and this is about the reserve for refreshes and checks.
        let nearly = usage.limit - usage.reserve / 5;
        if usage.used >= nearly && fault(FaultKind::BudgetSpent).is_none() {
            let what = format!(
                "{} of the hour's {} requests are spent",
                usage.used, usage.limit
            );
            let subject = Subject::account(Condition::Budget, name);
            self.see(subject, what, BUDGET_ADVICE, None);
        }
    }

    fn queue(&mut self, app: &App, queue: &Queue) {
        let (key, now) = (&queue.key, app.clock.now());
        let state = app.state(queue);
        let decision = app.decide(queue, &state, &queue.rules.policy);
        let newest = state.snapshot.as_ref().map(|snapshot| snapshot.as_of);
        let newest = newest.into_iter().chain(state.last_success);
        let account = self.accounts.entry(Arc::clone(&key.account)).or_default();
        *account = newest.chain(*account).max_by_key(|moment| moment.boot);
        let seen = SeenQueue {
            last_success: state.last_success,
            has_seats: decision.reason == Reason::Seats,
            is_closed: decision.reason == Reason::Closed,
        };
        self.queues.insert(key.clone(), seen);
        let fault = state.fault.as_deref();
        let condition = fault.and_then(|fault| own_condition(fault, seen.is_closed));
        if let (Some(condition), Some(fault)) = (condition, fault) {
            let subject = Subject::queue(condition, key);
            self.see(subject, fault.message(now), &fault.advice(), None);
        }
        if has_no_seats(decision.reason) {
            let evidence = Evidence {
                since: None,
                what: "no seats while calls come".to_owned(),
                advice: NO_SEATS_ADVICE.to_owned(),
                asked: Some(queue.meters.asked()),
            };
            let subject = Subject::queue(Condition::NoSeats, key);
            self.lasting.insert(subject, evidence);
        }
    }

    /// What is known about a condition that is not seen now, and was last seen at `seen`.
    pub fn absence(&self, subject: &Subject, seen: Moment) -> Absence {
        let later = |proof: Option<Moment>| match proof {
            Some(proof) if proof.boot > seen.boot => Absence::Over,
            _ => Absence::Unknown,
        };
        let Some(account) = &subject.account else {
            return match subject.condition {
                Condition::Cluster if self.is_cluster_unknown => Absence::Unknown,
                _ => Absence::Over,
            };
        };
        let Some(newest) = self.accounts.get(account) else {
            return Absence::Gone;
        };
        let Some(key) = subject.key() else {
            return match subject.condition {
                // The budget always knows, even right after a restart.
                Condition::Throttled | Condition::Budget => Absence::Over,
                _ => later(*newest),
            };
        };
        let Some(queue) = self.queues.get(&key) else {
            return Absence::Gone;
        };
        let absence = match subject.condition {
            Condition::NoSeats if queue.has_seats => Absence::Over,
            Condition::NoSeats => Absence::Unknown,
            _ => later(queue.last_success),
        };
        match absence {
            Absence::Unknown if queue.is_closed => Absence::Closed,
            absence => absence,
        }
    }
}

/// The condition of a queue with this fault. A closed queue has none: its fault dates from before it closed, and nothing finds out whether it lasts.
fn own_condition(fault: &Fault, is_closed: bool) -> Option<Condition> {
    match fault {
        Fault::NoPermission if !is_closed => Some(Condition::NoPermission),
        Fault::NoSuchQueue(_) if !is_closed => Some(Condition::NoSuchQueue),
        _ => None,
    }
}

/// Whether a decision for this reason shows that the queue has no seats. A call may be accepted nevertheless, for an agent who will be free soon.
fn has_no_seats(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BelowThreshold | Reason::Reserved | Reason::Soon
    )
}

/// The most accounts that a message names; it counts the others.
const NAMED_ACCOUNTS: usize = 8;

const STATE_ADVICE: &str = "check that the disk has space and that the folder is writable; openseat recovers by itself and keeps answering";
const THROTTLED_ADVICE: &str =
    "find what else uses the account's API, or lower requests_per_hour to what is left";
const BUDGET_ADVICE: &str = "find out who asks for refreshes or fresh answers so often; `openseat plan` shows how the budget divides";
const NO_SEATS_ADVICE: &str = "are its agents logged in to the queue and available?";

#[cfg(test)]
impl Sight {
    /// A sight of an account "main" with a queue "sales" whose data dates from `newest`.
    pub fn with(lasting: &[(Subject, Evidence)], newest: Moment, has_seats: bool) -> Self {
        let queue = SeenQueue {
            last_success: Some(newest),
            has_seats,
            is_closed: false,
        };
        Self {
            lasting: lasting.iter().cloned().collect(),
            accounts: HashMap::from([("main".into(), Some(newest))]),
            queues: HashMap::from([(QueueKey::new("main", "sales"), queue)]),
            is_cluster_unknown: false,
        }
    }

    /// The same with another queue that looks like the first.
    pub fn and_queue(mut self, name: &str) -> Self {
        let seen = self.queues[&QueueKey::new("main", "sales")];
        self.queues.insert(QueueKey::new("main", name), seen);
        self
    }

    /// The same while its queue is closed.
    pub fn closed(mut self) -> Self {
        for queue in self.queues.values_mut() {
            queue.is_closed = true;
            queue.has_seats = false;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fault_of_a_closed_queue_is_no_condition() {
        let condition = |is_closed| own_condition(&Fault::NoPermission, is_closed);
        assert_eq!(condition(false), Some(Condition::NoPermission));
        assert_eq!(condition(true), None);
    }

    #[test]
    fn every_known_reason_of_an_open_queue_shows_either_seats_or_none() {
        for reason in Reason::ALL {
            let shows_seats = *reason == Reason::Seats;
            let is_known = reason.is_known() && *reason != Reason::Closed;
            assert_eq!(has_no_seats(*reason), is_known && !shows_seats, "{reason}");
        }
    }
}
