//! The built-in rule: who would take a call now.

#[cfg(test)]
mod tests;

use std::{borrow::Borrow, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::Moment,
    model::{agent::Agent, quantity::Quantity},
};

use super::{Comparison, Measured, Mismatch, Verdict};

/// How the built-in rule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatRule {
    /// An agent available for longer than this has probably forgotten to log off, and is not counted.
    pub forgotten_after: Option<Duration>,
    /// Count agents who are available and on a call, as the hosted guide does.
    pub count_on_call: bool,
}

/// A threshold for seats that every count exceeds.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "is {0}, and a count of seats is never below 0, so every call would be accepted; write 0 to ask for one seat"
)]
pub struct BelowZero(Quantity);

/// Checks a threshold that a count of seats is compared with.
///
/// # Errors
/// [`BelowZero`], if it would accept at zero seats.
pub fn threshold_of_seats(threshold: Quantity) -> Result<Quantity, BelowZero> {
    match threshold < Quantity::ZERO {
        true => Err(BelowZero(threshold)),
        false => Ok(threshold),
    }
}

/// Counts the seats of a queue: agents who are available, logged in to it, and on no call.
///
/// A call may begin without a change of status: a manual call, or one on another channel. Such an agent would not answer.
///
/// People forget to log off, so an agent whose status has not changed for longer than `forgotten_after` is not counted. An agent without
/// a date of the last change is counted: nothing speaks against them. Agents who are not logged in to the queue never count.
///
/// # Errors
/// [`Mismatch`], if the availability of a logged-in agent is unknown: the count would be a guess.
pub fn seats<A: Borrow<Agent>>(
    agents: &[A],
    rule: SeatRule,
    as_of: Moment,
) -> Result<Measured, Mismatch> {
    let (mut count, mut unknown) = (0, 0);
    for agent in agents {
        match seat(agent.borrow(), rule, as_of) {
            Seat::Open => count += 1,
            Seat::None | Seat::Forgotten | Seat::OnCall => {}
            Seat::Unknown => unknown += 1,
        }
    }
    counted(count, unknown)
}

fn counted(seats: u32, unknown: u32) -> Result<Measured, Mismatch> {
    if unknown > 0 {
        return Err(unknown_statuses(unknown));
    }
    Ok(Measured {
        count: Quantity::from(seats),
        verdict: Verdict::Compare(Comparison::GreaterThan),
    })
}

/// How many agents of a queue are in each state that the built-in rule distinguishes without reading dates.
///
/// Each answer of CallTools renews a few rows of nearly every queue. With this, a queue is counted again by these rows alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    open: u32,
    on_call: u32,
    unknown: u32,
    /// Available, but not logged in to the queue.
    logged_out: u32,
}

impl Tally {
    /// Counts these agents.
    pub fn of<A: Borrow<Agent>>(agents: &[A]) -> Self {
        let mut tally = Self::default();
        for agent in agents {
            tally.add(agent.borrow());
        }
        tally
    }

    /// Counts one agent more.
    pub fn add(&mut self, agent: &Agent) {
        if let Some(state) = self.state(agent) {
            *state += 1;
        }
    }

    /// Undoes [`add`](Self::add).
    pub fn remove(&mut self, agent: &Agent) {
        if let Some(state) = self.state(agent) {
            *state -= 1;
        }
    }

    fn state(&mut self, agent: &Agent) -> Option<&mut u32> {
        match undated_seat(agent) {
            Seat::Open => Some(&mut self.open),
            Seat::OnCall => Some(&mut self.on_call),
            Seat::Unknown => Some(&mut self.unknown),
            Seat::None | Seat::Forgotten => (agent.available == Some(true)
                && !agent.queue_logged_in)
                .then_some(&mut self.logged_out),
        }
    }

    /// Returns what [`seats()`] returns for the same agents; `None` if the rule reads dates.
    pub fn seats(self, rule: SeatRule) -> Option<Result<Measured, Mismatch>> {
        let on_call = if rule.count_on_call { self.on_call } else { 0 };
        let reads_dates = rule.forgotten_after.is_some();
        (!reads_dates).then(|| counted(self.open + on_call, self.unknown))
    }

    /// Returns whether an agent is available who could log in to the queue.
    pub fn may_grow(self) -> bool {
        self.logged_out > 0
    }
}

/// How the built-in rule sees an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// The agent would take a call now.
    Open,
    /// Not logged in to the queue, or busy.
    None,
    /// Available, but on a call.
    OnCall,
    /// Available for so long that the agent must have forgotten to log off.
    Forgotten,
    /// Logged in, with a status whose meaning is unknown.
    Unknown,
}

/// Returns whether one agent is a seat. [`seats()`] counts with this.
pub fn seat(agent: &Agent, rule: SeatRule, as_of: Moment) -> Seat {
    let is_forgotten = || is_forgotten(agent.status_since, rule.forgotten_after, as_of.timestamp());
    match undated_seat(agent) {
        Seat::OnCall if !rule.count_on_call => Seat::OnCall,
        Seat::Open | Seat::OnCall if is_forgotten() => Seat::Forgotten,
        Seat::OnCall => Seat::Open,
        seat => seat,
    }
}

/// Returns the seat as far as it depends neither on dates nor on the config.
fn undated_seat(agent: &Agent) -> Seat {
    match agent.available {
        _ if !agent.queue_logged_in => Seat::None,
        Some(true) if agent.on_call => Seat::OnCall,
        Some(true) => Seat::Open,
        Some(false) => Seat::None,
        None => Seat::Unknown,
    }
}

fn is_forgotten(
    since: Option<Timestamp>,
    forgotten_after: Option<Duration>,
    now: Timestamp,
) -> bool {
    let (Some(since), Some(limit)) = (since, forgotten_after) else {
        return false;
    };
    // A limit beyond the range of the type is longer than any status lasts.
    let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
    now.duration_since(since) > limit
}

/// Returns why a count of zero cannot be trusted while statuses are known by name only: agents who are logged in have other statuses than the one
/// that every account starts with, and one of these may have replaced it. `None` if nobody has such a status.
pub fn only_other_names<A: Borrow<Agent>>(agents: &[A]) -> Option<Mismatch> {
    let mut agents = agents.iter().map(Borrow::borrow);
    let is_other = |agent: &Agent| {
        agent.queue_logged_in && agent.status.is_some() && agent.available == Some(false)
    };
    let agent = agents.find(|agent| is_other(agent))?;
    let name = agent.status.as_deref().unwrap_or_default();
    Some(Mismatch(format!(
        "nothing shows which status makes agents available: statuses/ does not say, and no agent has the status \"Available\" (one has {name:?}); \
         let the token's user read statuses/"
    )))
}

fn unknown_statuses(agents: u32) -> Mismatch {
    Mismatch(format!(
        "the statuses of {agents} logged-in agents are numbers that statuses/ does not explain: it cannot be read, or does not list them; \
         let the token's user read it, or write criteria that need no status"
    ))
}
