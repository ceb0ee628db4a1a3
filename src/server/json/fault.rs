//! What is wrong with a queue or an account, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{clock::Moment, model::fault::Fault};

/// What is wrong with the polls of a queue or an account.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Fault")]
pub struct FaultJson {
    /// A stable name for programs.
    kind: &'static str,
    /// What is wrong.
    message: String,
    /// What to do.
    advice: String,
}

impl FaultJson {
    pub fn new(fault: &Fault, now: Moment) -> Self {
        Self {
            kind: fault.as_str(),
            message: fault.message(now),
            advice: fault.advice(),
        }
    }
}
