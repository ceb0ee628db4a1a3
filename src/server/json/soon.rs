//! What is known of calls at zero seats, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::time::whole_ms;
use crate::decision::soon::{
    report::{AccountReport, QueueReport, State},
    week::Calls,
};

/// Calls that come while a queue has no seat, and whether accepting them would help.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Soon")]
pub struct SoonJson {
    /// Whether the config asks for it. Otherwise it is only measured.
    on: bool,
    /// Whether it acts now.
    acts: bool,
    /// Whether it acts, and if not why, in words.
    standing: String,
    /// What happened in the last seven days, in words.
    outcome: String,
    /// What to change in the config; null if nothing.
    advice: Option<String>,
    /// From the answer to the agent's phone, in milliseconds, as the config says.
    lead_ms: u64,
    /// How long a call may wait there, in milliseconds.
    patience_ms: u64,
    /// How likely an agent has to be free, for a call to be accepted.
    needed: f64,
    /// Calls at zero seats in the last seven days.
    calls: u32,
    /// How many of them were accepted because an agent was likely to be free.
    accepted: u32,
    /// How many more would have been, had it been on.
    would_accept: u32,
    /// Of both, how many were followed by a look at the right time.
    followed: u32,
    /// Of these, how many found an agent.
    found: u32,
}

impl SoonJson {
    pub fn new(report: &QueueReport) -> Self {
        let Calls {
            came,
            accepted,
            would,
            judged,
            found,
        } = report.calls;
        Self {
            on: matches!(report.state, State::Asked(_)),
            acts: report.state.acts(),
            standing: report.standing(),
            outcome: report.outcome(),
            advice: report.warning(),
            lead_ms: whole_ms(report.terms.lead()),
            patience_ms: whole_ms(report.terms.patience()),
            needed: hundredths(report.terms.needed()),
            calls: came,
            accepted,
            would_accept: would,
            followed: judged,
            found,
        }
    }
}

/// What was foretold at zero seats in an account, and what came.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SoonCalibration")]
pub struct SoonCalibrationJson {
    /// What is foretold is multiplied by this: below 1 where fewer agents came than were foretold. Below 0.6 nothing is accepted.
    factor: f64,
    /// Situations of the last seven days, by what was foretold, in ten steps.
    situations: [SoonTenthJson; 10],
}

/// Situations in which a free agent was foretold about as likely.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SoonTenth")]
pub struct SoonTenthJson {
    /// The lower end of the step: 0.8 stands for 0.8 to 0.9.
    foretold: f64,
    /// How many there were.
    count: u32,
    /// In how many a seat was seen when the call would have arrived.
    seen: u32,
}

impl SoonCalibrationJson {
    pub fn new(report: &AccountReport) -> Self {
        let tenth = |tenth: usize| {
            let [without, with] = report.tenths[tenth];
            SoonTenthJson {
                foretold: tenth as f64 / 10.0,
                count: without.saturating_add(with),
                seen: with,
            }
        };
        Self {
            factor: hundredths(report.factor),
            situations: std::array::from_fn(tenth),
        }
    }
}

/// Two digits are as much as is known.
pub fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
