//! Accept or reject: a pure function of what the board knows, the queue's policy and the time.

use std::{fmt, time::Duration};

use serde::Serialize;

use crate::{
    board::QueueState,
    clock::Moment,
    criteria::{Measured, Verdict},
    quantity::Quantity,
};

/// Why a decision is what it is. The words are part of the interface: JSON, metrics and docs share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Known: the criteria hold.
    Seats,
    /// Known: the criteria do not hold.
    BelowThreshold,
    /// Known: there are seats, but all of them are held for calls on their way.
    Reserved,
    /// Unknown: the snapshot is older than `max_age`, and no fault explains why.
    TooOld,
    /// Unknown: no poll of this queue has succeeded yet, and none has failed.
    NeverPolled,
    /// Unknown: CallTools does not accept the token.
    BadToken,
    /// Unknown: the token's user may not read the queue.
    NoPermission,
    /// Unknown: the account has no such queue.
    NoSuchQueue,
    /// Unknown: the hour's requests are spent, by us or by others.
    BudgetSpent,
    /// Unknown: CallTools cannot be reached, or does not answer as it should.
    UpstreamDown,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Reason; 10] = [
        Reason::Seats,
        Reason::BelowThreshold,
        Reason::Reserved,
        Reason::TooOld,
        Reason::NeverPolled,
        Reason::BadToken,
        Reason::NoPermission,
        Reason::NoSuchQueue,
        Reason::BudgetSpent,
        Reason::UpstreamDown,
    ];

    /// The word for JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Seats => "seats",
            Reason::BelowThreshold => "below_threshold",
            Reason::Reserved => "reserved",
            Reason::TooOld => "too_old",
            Reason::NeverPolled => "never_polled",
            Reason::BadToken => "bad_token",
            Reason::NoPermission => "no_permission",
            Reason::NoSuchQueue => "no_such_queue",
            Reason::BudgetSpent => "budget_spent",
            Reason::UpstreamDown => "upstream_down",
        }
    }

    /// Whether the decision rests on knowledge. The others follow [`OnUnknown`].
    pub fn is_known(self) -> bool {
        matches!(
            self,
            Reason::Seats | Reason::BelowThreshold | Reason::Reserved
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What to answer when nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Send the call elsewhere: the default, since a call that meets no agent is lost.
    #[default]
    Reject,
    /// Send the call all the same.
    Accept,
    /// What the last known snapshot would have answered; reject where there never was one.
    Last,
}

/// The part of a queue's settings that a decision needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Accept while the count compares so with this; `None` for criteria that compare with no number.
    pub threshold: Option<Quantity>,
    /// A snapshot older than this is unknown.
    pub max_age: Duration,
    /// What to answer then.
    pub on_unknown: OnUnknown,
}

/// The answer to one question about one queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    pub accept: bool,
    pub reason: Reason,
    /// Seats open to this call; `None` when unknown.
    pub count: Option<Quantity>,
    pub threshold: Option<Quantity>,
    /// What the answer rests on was true at this moment; `None` when nothing was ever known.
    pub as_of: Option<Moment>,
    /// How old that is.
    pub age: Option<Duration>,
    /// Until when the snapshot may be answered from.
    pub valid_until: Option<Moment>,
}

/// Decides about one queue at one moment.
///
/// `held` is the number of seats that reservations hold. While the snapshot is younger than `max_age` it answers, whatever
/// happens to the polls; after that the reason is the cause, and [`Reason::TooOld`] only where no fault explains it.
pub fn decide(state: &QueueState, policy: &Policy, held: u32, now: Moment) -> Decision {
    let snapshot = state.snapshot.as_deref();
    let age = snapshot.map(|snapshot| now.longest_since(snapshot.as_of));
    let answer = snapshot.map(|snapshot| match &snapshot.measured {
        Ok(measured) => answer(measured, policy, held),
        // What CallTools sent does not fit the criteria: whatever was measured, it was not seats.
        Err(_) => Err(Reason::UpstreamDown),
    });
    let too_old = age.is_some_and(|age| age > policy.max_age);
    let (accept, reason, count) = match answer {
        Some(Ok((reason, count))) if !too_old => (reason == Reason::Seats, reason, Some(count)),
        last => {
            let reason = match (&state.fault, &last) {
                (Some(fault), _) if too_old || last.is_none() => fault.reason(),
                (_, Some(Err(reason))) => *reason,
                (_, Some(Ok(_))) => Reason::TooOld,
                (_, None) => Reason::NeverPolled,
            };
            let last_known = matches!(last, Some(Ok((Reason::Seats, _))));
            (on_unknown(policy.on_unknown, last_known), reason, None)
        }
    };
    Decision {
        accept,
        reason,
        count,
        threshold: policy.threshold,
        as_of: snapshot.map(|snapshot| snapshot.as_of),
        age,
        valid_until: snapshot.map(|snapshot| snapshot.as_of.later(policy.max_age)),
    }
}

fn on_unknown(policy: OnUnknown, last_known: bool) -> bool {
    match policy {
        OnUnknown::Reject => false,
        OnUnknown::Accept => true,
        OnUnknown::Last => last_known,
    }
}

/// What a measurement means under a threshold; `Err` where the two do not fit each other.
fn answer(measured: &Measured, policy: &Policy, held: u32) -> Result<(Reason, Quantity), Reason> {
    let open = measured.count.less(held);
    match (measured.verdict, policy.threshold) {
        (Verdict::Compare(comparison), Some(threshold)) => {
            let reason = if comparison.holds(open, threshold) {
                Reason::Seats
            } else if comparison.holds(measured.count, threshold) {
                Reason::Reserved
            } else {
                Reason::BelowThreshold
            };
            Ok((reason, open))
        }
        (Verdict::Holds(true), _) => Ok((Reason::Seats, measured.count)),
        (Verdict::Holds(false), _) => Ok((Reason::BelowThreshold, measured.count)),
        // The config gives every comparing criterion a threshold.
        (Verdict::Compare(_), None) => Err(Reason::UpstreamDown),
    }
}
