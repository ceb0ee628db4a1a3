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
    let agents = agents.iter().map(Borrow::borrow);
    let (mut count, mut unknown) = (0_u32, 0_u32);
    for agent in agents {
        match seat(agent, rule, as_of) {
            Seat::Open => count += 1,
            Seat::None | Seat::Forgotten | Seat::OnCall => {}
            Seat::Unknown => unknown += 1,
        }
    }
    if unknown > 0 {
        return Err(unknown_statuses(unknown));
    }
    Ok(Measured {
        count: Quantity::from(count),
        verdict: Verdict::Compare(Comparison::GreaterThan),
    })
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

/// Returns whether one agent is a seat. [`seats`] counts with this.
pub fn seat(agent: &Agent, rule: SeatRule, as_of: Moment) -> Seat {
    let is_forgotten = || is_forgotten(agent.status_since, rule.forgotten_after, as_of.timestamp());
    match agent.available {
        _ if !agent.queue_logged_in => Seat::None,
        Some(true) if agent.on_call && !rule.count_on_call => Seat::OnCall,
        Some(true) if is_forgotten() => Seat::Forgotten,
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

fn unknown_statuses(agents: u32) -> Mismatch {
    Mismatch(format!(
        "the statuses of {agents} logged-in agents are numbers whose meaning is not known, because statuses/ cannot be read; \
         let the token's user read it, or write criteria that need no status"
    ))
}
