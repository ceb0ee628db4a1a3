//! Accept or reject: a pure function of what the board knows, the queue's policy and the time.

pub mod board;
pub mod criteria;
pub mod reservations;
pub mod snapshot;
pub mod staleness;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    clock::Moment,
    decision::{
        board::QueueState,
        criteria::{Comparison, Measured, Verdict},
        snapshot::Snapshot,
    },
    model::{fault::Fault, quantity::Quantity},
};

/// Why a decision is what it is. The words are part of the interface: JSON, metrics and docs share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Known: the criteria hold.
    Seats,
    /// Known: the criteria do not hold.
    BelowThreshold,
    /// Known: there are seats, but not without those that are held for calls on their way.
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
    /// Unknown: the hour's requests are spent.
    BudgetSpent,
    /// Unknown: others spend from the account, so CallTools refuses our requests.
    Throttled,
    /// Unknown: CallTools cannot be reached, or does not answer as it should.
    UpstreamDown,
}

impl From<&Fault> for Reason {
    /// The reason that a decision gives once its snapshot is too old and this is why.
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::BadToken => Reason::BadToken,
            Fault::NoPermission => Reason::NoPermission,
            Fault::NoSuchQueue(_) => Reason::NoSuchQueue,
            Fault::Throttled { .. } => Reason::Throttled,
            Fault::BudgetSpent { .. } => Reason::BudgetSpent,
            Fault::UpstreamDown { .. } => Reason::UpstreamDown,
        }
    }
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Reason; 11] = [
        Reason::Seats,
        Reason::BelowThreshold,
        Reason::Reserved,
        Reason::TooOld,
        Reason::NeverPolled,
        Reason::BadToken,
        Reason::NoPermission,
        Reason::NoSuchQueue,
        Reason::BudgetSpent,
        Reason::Throttled,
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
            Reason::Throttled => "throttled",
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
    /// Knowledge older than this is unknown; `None`: as the [plan](QueueState::planned_max_age) has it.
    pub max_age: Option<Duration>,
    /// What to answer then.
    pub on_unknown: OnUnknown,
}

impl Policy {
    /// Knowledge older than this is unknown.
    pub fn max_age(&self, state: &QueueState) -> Duration {
        self.max_age.unwrap_or(state.planned_max_age)
    }

    /// A membership older than this is unknown.
    pub(crate) fn members_max_age(&self, state: &QueueState) -> Duration {
        let max_age = self.max_age(state);
        (max_age * MEMBERS_LIVE_LONGER)
            .max(MEMBERS_LIVE)
            .max(state.planned_members_max_age)
            .min(MEMBERS_LONGEST.max(max_age))
    }
}

/// How long a question would wait for a fresher answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// An answer that is no older than this needs no waiting.
    pub fresh: Duration,
    /// The longest wait.
    pub wait: Duration,
}

impl Patience {
    /// What is usual where only one of the two is given. CallTools usually answers in less than half a second; who gives up
    /// before that has spent the request for others only.
    pub const USUAL: Patience = Patience {
        fresh: Duration::from_secs(2),
        wait: Duration::from_millis(800),
    };

    /// Nobody holds a ringing call for longer.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(5);
}

/// Who belongs to a queue changes over hours while statuses change over minutes, so a membership may be this many times as old, …
const MEMBERS_LIVE_LONGER: u32 = 20;

/// … and in any case this old: flags of log-in last for hours. Where the queues are so many that their turns come more seldom, the
/// [plan](QueueState::planned_members_max_age) allows for it.
pub(crate) const MEMBERS_LIVE: Duration = Duration::from_secs(30 * 60);

/// A membership is never answered from when it is older than this, unless the operator allows even statuses to be as old: people log in and
/// out over hours.
pub(crate) const MEMBERS_LONGEST: Duration = Duration::from_secs(2 * 3600);

/// The answer to one question about one queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Whether to send the call to the queue.
    pub accept: bool,
    /// Why.
    pub reason: Reason,
    /// Seats open to this call; `None` when unknown.
    pub count: Option<Quantity>,
    /// What the count was compared with; `None` for criteria that compare with no number.
    pub threshold: Option<Quantity>,
    /// What the answer rests on was true at this moment; `None` when nothing was ever known.
    pub as_of: Option<Moment>,
    /// How old that is: the oldest status that the count rests on.
    pub age: Option<Duration>,
    /// How long ago the queue itself was asked who belongs to it.
    pub membership_age: Option<Duration>,
    /// Until when the snapshot may be answered from.
    pub valid_until: Option<Moment>,
    /// Whether that is still to come.
    pub is_fresh: bool,
}

impl Decision {
    /// Everything but the ages: what stays the same from one moment to the next, until something happens.
    pub fn without_ages(self) -> Self {
        Self {
            age: None,
            membership_age: None,
            ..self
        }
    }
}

/// Decides about one queue at one moment.
///
/// `held` is the number of seats that reservations hold. While the snapshot is no older than `max_age` it answers, whatever
/// happens to the polls; after that the reason is the cause, and [`Reason::TooOld`] only where no fault explains it. A snapshot
/// that its criteria could not measure answers nothing, however young it is.
pub fn decide(state: &QueueState, policy: &Policy, held: u32, now: Moment) -> Decision {
    Grounds::of(state, policy).decide(held, now)
}

/// All that a decision rests on beside the time and what is held: a state and a policy, read once. Who is asked again and again keeps
/// these rather than the state, and with it no snapshot that has had its day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grounds {
    policy: Policy,
    max_age: Duration,
    members_max_age: Duration,
    fault: Option<Reason>,
    known: Option<Known>,
}

/// What a snapshot adds to the grounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Known {
    as_of: Moment,
    members_as_of: Moment,
    /// `None` where the criteria could not measure it.
    measured: Option<Measured>,
}

impl Grounds {
    /// Reads a state under a policy.
    pub fn of(state: &QueueState, policy: &Policy) -> Self {
        let known = |snapshot: &Snapshot| Known {
            as_of: snapshot.as_of,
            members_as_of: snapshot.members_as_of,
            measured: snapshot.measured.as_ref().ok().copied(),
        };
        Self {
            policy: *policy,
            max_age: policy.max_age(state),
            members_max_age: policy.members_max_age(state),
            fault: state.fault.as_deref().map(Reason::from),
            known: state.snapshot.as_deref().map(known),
        }
    }

    /// As [`decide`] does.
    pub fn decide(&self, held: u32, now: Moment) -> Decision {
        let membership_age = self
            .known
            .map(|known| now.longest_since(known.members_as_of));
        let are_members_known = membership_age.is_some_and(|age| age <= self.members_max_age);
        // Of people who may not belong to the queue any more, new statuses tell nothing: the answer is as old as the membership.
        let as_of = self.known.map(|known| match are_members_known {
            true => known.as_of,
            false => known.members_as_of,
        });
        let age = as_of.map(|as_of| now.longest_since(as_of));
        let is_fresh = are_members_known && age.is_some_and(|age| age <= self.max_age);
        let last = self
            .known
            .and_then(|known| answer(known.measured?, self.policy.threshold, held));
        let (accept, reason, count) = match last {
            Some(answer) if is_fresh => (answer.accepts(), answer.reason, Some(answer.open)),
            last => {
                let accept = accepts_unknown(self.policy.on_unknown, last);
                (accept, self.why_unknown(is_fresh), None)
            }
        };
        Decision {
            accept,
            reason,
            count,
            threshold: self.policy.threshold,
            as_of,
            age,
            membership_age,
            valid_until: self.known.map(|known| {
                let statuses = known.as_of.later(self.max_age);
                let members = known.members_as_of.later(self.members_max_age);
                if statuses.wall < members.wall {
                    statuses
                } else {
                    members
                }
            }),
            is_fresh,
        }
    }

    /// Why there is no answer.
    fn why_unknown(&self, is_fresh: bool) -> Reason {
        // What CallTools sent does not fit the criteria: whatever was measured, it was not seats.
        let misfit = Reason::UpstreamDown;
        match (self.fault, self.known) {
            (_, Some(_)) if is_fresh => misfit,
            (Some(fault), _) => fault,
            (None, Some(known)) if known.measured.is_none() => misfit,
            (None, Some(_)) => Reason::TooOld,
            (None, None) => Reason::NeverPolled,
        }
    }
}

/// What a snapshot says, whatever its age.
#[derive(Clone, Copy, Debug)]
struct Answer {
    /// A known one.
    reason: Reason,
    /// The count, less what reservations hold.
    open: Quantity,
}

impl Answer {
    fn accepts(self) -> bool {
        self.reason == Reason::Seats
    }
}

/// Reads a snapshot's measurement; `None` where there is no threshold to compare it with.
fn answer(measured: Measured, threshold: Option<Quantity>, held: u32) -> Option<Answer> {
    let Measured { count, verdict } = measured;
    match verdict {
        Verdict::Compare(comparison) => Some(compare(count, comparison, threshold?, held)),
        // No seats were measured, so none can be held.
        Verdict::Holds(true) => Some(Answer {
            reason: Reason::Seats,
            open: count,
        }),
        Verdict::Holds(false) => Some(Answer {
            reason: Reason::BelowThreshold,
            open: count,
        }),
    }
}

/// Compares a count with its threshold before and after reservations: under *less than* or *equals* a reservation could
/// otherwise open what the count itself does not.
fn compare(count: Quantity, comparison: Comparison, threshold: Quantity, held: u32) -> Answer {
    let open = open(count, held);
    let reason = if !comparison.holds(count, threshold) {
        Reason::BelowThreshold
    } else if !downwards(comparison, count, threshold).holds(open, threshold) {
        Reason::Reserved
    } else {
        Reason::Seats
    };
    Answer { reason, open }
}

/// The comparison for a count that reservations lower: one that lies above the only number it must not equal stays above it,
/// lest one reservation close the queue and the next open it again.
fn downwards(comparison: Comparison, count: Quantity, threshold: Quantity) -> Comparison {
    match comparison {
        Comparison::NotEquals if count > threshold => Comparison::GreaterThan,
        other => other,
    }
}

/// What reservations leave of a count. They outlive a poll or two, so more may be held than there are; that is none open, and
/// not a negative number of seats.
fn open(count: Quantity, held: u32) -> Quantity {
    match count.less(held) {
        left if left >= Quantity::ZERO => left,
        _ if count >= Quantity::ZERO => Quantity::ZERO,
        // Criteria that measure something below zero measure no seats.
        _ => count,
    }
}

fn accepts_unknown(policy: OnUnknown, last: Option<Answer>) -> bool {
    match policy {
        OnUnknown::Reject => false,
        OnUnknown::Accept => true,
        OnUnknown::Last => last.is_some_and(Answer::accepts),
    }
}
