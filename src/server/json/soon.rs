//! What is known about calls at zero seats, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::time::whole_ms;
use crate::decision::soon::{
    report::{AccountReport, QueueReport},
    week::Calls,
};

/// Calls that arrive while a queue has no seat, and whether accepting them would help.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Soon")]
pub struct SoonJson {
    /// Whether the config turns it on. Otherwise it is only measured. In a cluster, only the account's leader measures and acts; the others have no figures.
    on: bool,
    /// Whether it accepts calls now.
    acts: bool,
    /// Whether it acts, and if not, why; in words.
    standing: String,
    /// What happened in the last seven days, in words.
    outcome: String,
    /// What to change in the config; null if nothing.
    advice: Option<String>,
    /// The time from the answer to the agent's phone, in milliseconds, as configured.
    lead_ms: u64,
    /// How long a call may wait there, in milliseconds.
    patience_ms: u64,
    /// How likely a free agent has to be for a call to be accepted.
    needed: f64,
    /// Calls at zero seats in the last seven days. Equal answers to requests within four seconds count once.
    calls: u32,
    /// Accepted because an agent was likely to be free.
    accepted: u32,
    /// How many more it would have accepted if it had been on.
    would_accept: u32,
    /// How many of both could be checked, because statuses were read at the right time.
    followed: u32,
    /// How many of those found an agent.
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
        } = report.calls.unwrap_or_default();
        Self {
            on: report.state.is_on(),
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

/// What was predicted at zero seats in an account, and what happened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SoonCalibration")]
pub struct SoonCalibrationJson {
    /// Predictions are multiplied by this. It is below 1 if fewer agents came than predicted; below 0.6, nothing is accepted.
    factor: f64,
    /// Situations of the last seven days by predicted likelihood, in ten steps.
    situations: [SoonTenthJson; 10],
}

/// Situations with about the same predicted likelihood of a free agent.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SoonTenth")]
pub struct SoonTenthJson {
    /// The lower end of the step: 0.8 stands for 0.8 to 0.9.
    foretold: f64,
    /// How many there were.
    count: u32,
    /// In how many of them a seat was seen when the call would have arrived.
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

/// More than two digits would not mean anything.
pub fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
