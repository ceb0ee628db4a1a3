//! The measurement of the rule, in words: for `status`, JSON and the queue's page.

use std::{sync::Arc, time::Duration};

use super::{
    rule::{Off, Terms},
    week::{Calls, MAX_QUEUES, Tenths},
};

/// The rule's measurement in an account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountReport {
    /// Situations of all queues without a seat in the last seven days.
    pub tenths: Tenths,
    /// Predictions are multiplied by this; 1 if as many agents came as were predicted.
    pub factor: f64,
    /// In the order of the config.
    pub queues: Vec<QueueReport>,
}

/// The rule's measurement in a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueReport {
    /// The queue as the config spells it.
    pub queue: Arc<str>,
    /// What the operator has set.
    pub terms: Terms,
    /// Whether the rule acts.
    pub state: State,
    /// Calls without a seat in the last seven days; `None` if they are not counted, because the account has too many queues.
    pub calls: Option<Calls>,
    /// The usual time from a reservation to the agent who took the call, if that is shorter than the lead.
    pub arrives_within: Option<Duration>,
}

/// Whether the rule acts in a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// `soon` is off; whether the rule could act.
    Measured(Result<(), Off>),
    /// `soon` is on; whether the rule acts.
    Asked(Result<(), Off>),
    /// The queue has criteria of its own, which do not count agents.
    OtherRule,
    /// `soon` is on, but another node of the cluster leads the account: only the leader measures and acts.
    LeaderOnly,
}

impl State {
    /// Whether the rule acts now.
    pub fn acts(self) -> bool {
        self == State::Asked(Ok(()))
    }

    /// Whether the config turns it on.
    pub fn is_on(self) -> bool {
        matches!(self, State::Asked(_) | State::LeaderOnly)
    }
}

impl AccountReport {
    /// Returns the report on a queue, by its name in the config.
    pub fn queue(&self, queue: &str) -> Option<&QueueReport> {
        self.queues.iter().find(|one| *one.queue == *queue)
    }
}

impl QueueReport {
    /// Returns what a node says that does not lead the account, about a queue with `soon` on.
    pub fn of_leader(queue: Arc<str>, terms: Terms) -> Self {
        Self {
            queue,
            terms,
            state: State::LeaderOnly,
            calls: None,
            arrives_within: None,
        }
    }

    /// Says whether the rule acts, and why not.
    pub fn standing(&self) -> String {
        match self.state {
            State::Measured(Ok(())) => {
                "soon is off; it is measured, and could be turned on".to_owned()
            }
            State::Measured(Err(off)) => format!("soon is off; it could not act yet: {off}"),
            State::Asked(Ok(())) => "soon is on".to_owned(),
            State::Asked(Err(off)) => format!("soon is on, but does not act: {off}"),
            State::OtherRule => {
                "soon is not measured: the queue's own criteria do not count agents".to_owned()
            }
            State::LeaderOnly => "soon is on, but acts only on the account's leader".to_owned(),
        }
    }

    /// Says what happened at zero seats.
    pub fn outcome(&self) -> String {
        if self.state == State::LeaderOnly {
            return "calls at zero seats are counted on the account's leader".to_owned();
        }
        let Some(calls) = self.calls else {
            return format!(
                "calls at zero seats are not counted here: {MAX_QUEUES} other queues of the account had some in the last 7 days, and there is no room for more"
            );
        };
        let Calls {
            came,
            accepted,
            would,
            judged,
            found,
        } = calls;
        if came == 0 {
            return "in the last 7 days no call arrived at zero seats".to_owned();
        }
        let calls = |number: u32| match number {
            1 => "1 call".to_owned(),
            number => format!("{number} calls"),
        };
        let chosen = match (accepted, would) {
            (0, would) => format!("soon would have accepted {would}"),
            (accepted, 0) => format!("soon accepted {accepted}"),
            (accepted, would) => {
                format!("soon accepted {accepted} and, while off, would have accepted {would}")
            }
        };
        let within = (self.terms.lead() + self.terms.patience()).as_secs_f64();
        let ended = match (accepted.saturating_add(would), judged) {
            (0, _) => String::new(),
            (_, 0) => ", but no look came in time to show how they ended".to_owned(),
            (chosen, judged) => {
                let percent = (100.0 * f64::from(found) / f64::from(judged)).round();
                let of = if judged < chosen {
                    format!(" ({judged} were followed)")
                } else {
                    String::new()
                };
                format!(", of which {percent} % found an agent within {within} s{of}")
            }
        };
        let what = match (accepted, came) {
            (0, 1) => "was rejected",
            (0, _) => "were rejected",
            _ => "arrived",
        };
        format!(
            "in the last 7 days {} {what} at zero seats (equal answers within 4 s count once); {chosen}{ended}",
            calls(came)
        )
    }

    /// Returns a warning if the lead is longer than calls need.
    pub fn warning(&self) -> Option<String> {
        let within = self.arrives_within?;
        Some(format!(
            "lead is {} s, but half of the reserved calls reach their agent within {:.0} s: a lead that is too long costs calls, so shorten it",
            self.terms.lead().as_secs_f64(),
            within.as_secs_f64(),
        ))
    }
}
