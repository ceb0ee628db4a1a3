//! Accept or reject: a pure function of the board's knowledge, the queue's policy and the time.

mod answer;
pub mod board;
pub mod criteria;
mod policy;
mod reason;
pub mod reservations;
pub mod snapshot;
pub mod soon;
pub mod staleness;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(crate) use self::policy::{MAX_MEMBERS_AGE, MIN_MEMBERS_AGE};
pub use self::{
    policy::{OnUnknown, Policy},
    reason::Reason,
};
use crate::{
    clock::Moment,
    decision::{
        answer::{Answer, answer},
        board::QueueState,
        criteria::Measured,
        snapshot::Snapshot,
        soon::{
            outlook::{Outlook, Verdict as SoonVerdict},
            rule::{Held, Prediction, Seats},
        },
    },
    model::{agent::AgentId, hours::Span, quantity::Quantity},
};

/// How long a caller waits for a fresher answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// An answer at most this old needs no wait.
    pub fresh: Duration,
    /// The longest wait.
    pub wait: Duration,
}

impl Patience {
    /// The defaults if only one of the two is given. CallTools usually answers within half a second; a shorter wait spends a request
    /// that only later callers profit from.
    pub const USUAL: Patience = Patience {
        fresh: Duration::from_millis(500),
        wait: Duration::from_millis(800),
    };

    /// The largest age that may count as fresh.
    pub const MAX_FRESH: Duration = Duration::from_secs(3600);

    /// Why it may not be larger.
    pub const WHY_MAX_FRESH: &str = "nothing older than an hour counts as fresh";

    /// Callers cannot hold a ringing call for longer.
    pub const MAX_WAIT: Duration = Duration::from_secs(5);
}

impl Policy {
    /// Returns until when the queue is closed, in its time zone: `Mon 08:00`. `None` if the decision was made while it was open.
    pub fn closed_until(&self, decision: &Decision) -> Option<String> {
        let opens = decision
            .turns
            .filter(|_| decision.reason == Reason::Closed)?;
        Some(self.hours.as_ref()?.local(opens))
    }
}

/// The answer for one call to one queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Whether to send the call to the queue.
    pub accept: bool,
    /// Why.
    pub reason: Reason,
    /// Seats open to this call; `None` if unknown.
    pub count: Option<Quantity>,
    /// What the count was compared with; `None` for criteria that do not compare numbers.
    pub threshold: Option<Quantity>,
    /// The time of the data behind the answer; `None` if there never was any.
    pub as_of: Option<Moment>,
    /// The age of that data: the oldest status behind the count.
    pub age: Option<Duration>,
    /// How long ago the queue itself was polled for its members.
    pub membership_age: Option<Duration>,
    /// Until when the snapshot may be used, the queue is open or closed, or the statuses are young enough that an acceptance at zero seats counts on,
    /// whichever ends first.
    pub valid_until: Option<Moment>,
    /// Whether the answer uses a snapshot that may still be used.
    pub is_fresh: bool,
    /// When the queue opens or closes next; `None` if it has no opening hours, or never closes.
    pub turns: Option<Moment>,
    /// How many more calls would be accepted now. Above 0 exactly if the decision accepts.
    pub capacity: u32,
    /// How likely an agent is free when the call arrives; only with [`Reason::Soon`].
    pub prediction: Option<Prediction>,
    /// When time alone turns this rejection into an acceptance, if it does.
    pub opens_at: Option<Moment>,
}

impl Decision {
    /// Returns the decision for a call that already holds a seat: until the seat `expires` the call stays accepted, even if no other call would be.
    /// `prediction` is the one with which the call was accepted at zero seats, if it was.
    pub fn held(self, prediction: Option<Prediction>, expires: Moment) -> Self {
        if self.accept {
            return self;
        }
        let is_known = self.reason.is_known();
        // Of the others, it depends on the seat alone.
        let until = self
            .valid_until
            .filter(|until| is_known && self.reason != Reason::Closed && until.wall < expires.wall);
        Self {
            accept: true,
            capacity: 1,
            valid_until: Some(until.unwrap_or(expires)),
            reason: match (is_known, prediction) {
                (true, Some(_)) => Reason::Soon,
                (true, None) => Reason::Seats,
                (false, _) => self.reason,
            },
            prediction: prediction.filter(|_| is_known),
            opens_at: None,
            ..self
        }
    }

    /// Returns whether a call should rather follow this one than the best so far. Of equal ones, the first stays the best.
    pub fn beats(&self, best: Option<&Self>) -> bool {
        self.accept && best.is_none_or(|best| self.is_better_than(best))
    }

    /// Compares two that accept. Seats come before agents who will be free, more seats before fewer, and of such agents the likelier. An unknown
    /// count comes last.
    fn is_better_than(&self, other: &Self) -> bool {
        let rank = |decision: &Self| {
            let seats = decision.count.filter(|_| decision.prediction.is_none());
            (seats, decision.prediction.map(Prediction::percent))
        };
        rank(self) > rank(other)
    }

    /// Returns until when it may be used, unless newer data comes.
    pub fn usable_until(&self) -> Option<Moment> {
        match (self.valid_until, self.opens_at) {
            (Some(until), Some(opens)) if opens.wall < until.wall => Some(opens),
            (until, _) => until,
        }
    }

    /// Returns the same decision, turned into a rejection. An unknown has no count.
    pub fn rejected_as(self, reason: Reason) -> Self {
        Self {
            accept: false,
            capacity: 0,
            reason,
            count: self.count.filter(|_| reason.shows_count()),
            prediction: None,
            ..self
        }
    }

    /// Returns the decision without its ages. The rest stays the same until something happens.
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
/// `held` is the number of seats that reservations hold. While the snapshot is no older than `max_age` it answers, even if
/// polls fail. After that the reason is the fault, or [`Reason::TooOld`] if no fault explains it. A snapshot that the
/// criteria could not measure gives no answer, even if it is new. A queue that is closed always rejects.
pub fn decide(state: &QueueState, policy: &Policy, held: u32, now: Moment) -> Decision {
    decide_with(state, policy, Held::seats(held), now)
}

/// Decides with calls on their way that may count on agents who were not free yet.
pub fn decide_with(state: &QueueState, policy: &Policy, held: Held<'_>, now: Moment) -> Decision {
    DecisionInput::new(state, policy, now).decide(outlook(state), held, now)
}

/// Decides about a call that holds a seat if it is accepted.
pub fn choose(state: &QueueState, policy: &Policy, held: Held<'_>, now: Moment) -> Choice {
    let decision = decide_with(state, policy, held, now);
    let next_agent = || {
        let snapshot = state.snapshot.as_deref()?;
        let outlook = snapshot.outlook.as_ref()?;
        outlook.next_agent(&snapshot.agents, held, now)
    };
    Choice {
        decision,
        counts_on: decision.prediction.and_then(|_| next_agent()),
    }
}

fn outlook(state: &QueueState) -> Option<&Outlook> {
    state.snapshot.as_deref()?.outlook.as_ref()
}

/// A decision about a call that holds a seat if it is accepted.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The decision.
    pub decision: Decision,
    /// The likeliest agent whom the call counts on, if it is accepted at zero seats. No other call may count on the same one.
    pub counts_on: Option<AgentId>,
}

impl From<Decision> for Choice {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            counts_on: None,
        }
    }
}

/// What a decision needs besides the time and the held seats: a state and a policy, read once. Callers that decide repeatedly keep this
/// instead of the state, so they do not keep an old snapshot alive.
#[derive(Clone, Debug)]
pub struct DecisionInput {
    policy: Policy,
    max_age: Duration,
    members_max_age: Duration,
    fault: Option<Reason>,
    known: Option<KnownSnapshot>,
    /// What the opening hours said at `now` of [`new`](Self::new).
    span: Option<Span>,
}

/// The part that comes from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
struct KnownSnapshot {
    as_of: Moment,
    members_as_of: Moment,
    /// `None` where the criteria could not measure it.
    measured: Option<Measured>,
}

impl DecisionInput {
    /// Reads a state under a policy, at `now`.
    pub fn new(state: &QueueState, policy: &Policy, now: Moment) -> Self {
        let known = |snapshot: &Snapshot| KnownSnapshot {
            as_of: snapshot.as_of,
            members_as_of: snapshot.members_as_of,
            measured: snapshot.measured.as_ref().ok().copied(),
        };
        Self {
            policy: policy.for_snapshot(state.snapshot.as_deref()),
            max_age: policy.max_age(state),
            members_max_age: policy.members_max_age(state),
            fault: state.fault.as_deref().map(Reason::from),
            known: state.snapshot.as_deref().map(known),
            span: policy.hours.as_ref().map(|hours| hours.span(now)),
        }
    }

    /// Decides like [`decide_with`]. `outlook` is the snapshot's; it is used only if there is no seat.
    pub fn decide(&self, outlook: Option<&Outlook>, held: Held<'_>, now: Moment) -> Decision {
        let span = self.span(now);
        let turns = span.and_then(|span| span.until);
        if span.is_some_and(|span| !span.is_open) {
            return self.closed(turns);
        }
        let membership_age = self
            .known
            .map(|known| now.longest_since(known.members_as_of));
        let are_members_known = membership_age.is_some_and(|age| age <= self.members_max_age);
        // Agents may have left the queue since, so new statuses do not help: the answer is as old as the membership.
        let as_of = self.known.map(|known| match are_members_known {
            true => known.as_of,
            false => known.members_as_of,
        });
        let age = as_of.map(|as_of| now.longest_since(as_of));
        let is_fresh = are_members_known && age.is_some_and(|age| age <= self.max_age);
        let last = self
            .known
            .and_then(|known| answer(known.measured?, self.policy.threshold, held.all));
        let (mut prediction, mut opens_at) = (None, None);
        let (capacity, reason, count) = match last {
            Some(answer) if is_fresh => match self.look(answer, outlook, held, now) {
                SoonVerdict::Accept(likely) => {
                    prediction = Some(likely);
                    (1, Reason::Soon, Some(answer.open))
                }
                SoonVerdict::Reject(opens) => {
                    opens_at = opens;
                    (answer.capacity, answer.reason, Some(answer.open))
                }
            },
            last => {
                // Nobody knows how many would be too many, so one at a time.
                let capacity = u32::from(accepts_unknown(self.policy.on_unknown, last));
                (capacity, self.why_unknown(is_fresh), None)
            }
        };
        Decision {
            accept: capacity > 0,
            reason,
            count,
            threshold: self.policy.threshold,
            as_of,
            age,
            membership_age,
            valid_until: self.known.map(|known| {
                let statuses = known.as_of.later(self.max_age);
                let members = known.members_as_of.later(self.members_max_age);
                let soon = prediction.and(outlook).and_then(Outlook::end);
                let first = |one: Moment, other: Moment| match other.wall < one.wall {
                    true => other,
                    false => one,
                };
                let until = first(statuses, members);
                let until = turns.map_or(until, |turns| first(until, turns));
                soon.map_or(until, |soon| first(until, soon))
            }),
            is_fresh,
            turns,
            capacity,
            prediction,
            opens_at,
        }
    }

    /// Returns whether the queue is open. The hours are evaluated again only after the span for which they were evaluated.
    fn span(&self, now: Moment) -> Option<Span> {
        let span = self.span?;
        let hours = self.policy.hours.as_ref()?;
        Some(if span.covers(now) {
            span
        } else {
            hours.span(now)
        })
    }

    /// Returns the answer of a queue that is closed until `opens`. It uses no data, so it shows none.
    fn closed(&self, opens: Option<Moment>) -> Decision {
        Decision {
            accept: false,
            reason: Reason::Closed,
            count: None,
            threshold: self.policy.threshold,
            as_of: None,
            age: None,
            membership_age: None,
            valid_until: opens,
            is_fresh: false,
            turns: opens,
            capacity: 0,
            prediction: None,
            opens_at: None,
        }
    }

    /// Returns the result of the rule for zero seats. It does not apply if there is a seat.
    fn look(
        &self,
        answer: Answer,
        outlook: Option<&Outlook>,
        held: Held<'_>,
        now: Moment,
    ) -> SoonVerdict {
        let look = || {
            let seats = Seats {
                count: self.known?.measured?.count.get(),
                threshold: self.policy.threshold?.get(),
                held,
            };
            Some(outlook?.look(seats, now))
        };
        let applies = !answer.accepts();
        let verdict = applies.then(look).flatten();
        verdict.unwrap_or(SoonVerdict::Reject(None))
    }

    /// Returns why there is no answer.
    fn why_unknown(&self, is_fresh: bool) -> Reason {
        // CallTools' data does not fit the criteria, so no seats were measured.
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

fn accepts_unknown(policy: OnUnknown, last: Option<Answer>) -> bool {
    match policy {
        OnUnknown::Reject => false,
        OnUnknown::Accept => true,
        OnUnknown::Last => last.is_some_and(Answer::accepts),
    }
}
