//! Predicts whether an agent will be free when a call that is accepted now arrives.
//!
//! A call reaches its agent some seconds after the answer; this time is the *lead*. At zero seats, somebody's wrap-up often ends within
//! these seconds. [`stay`] follows how long each agent stays in a status, [`learnt`] keeps how long stays last, and [`rule`] turns both into
//! a probability and an answer, which [`outlook`] precomputes. [`bets`] are the agents that earlier calls count on. [`calibration`] compares
//! predictions with what was seen, and corrects or stops the rule if they differ. [`arrivals`] detects a lead that is too long, [`week`] counts
//! what the rule did or would have done, and [`report`] puts it into words.
//!
//! All of it is pure: looks and moments go in, probabilities come out. Nothing here sends a request to CallTools.

pub mod arrivals;
pub mod bets;
pub mod calibration;
pub mod learnt;
mod nanos;
pub mod outlook;
pub mod report;
pub mod rule;
pub mod stay;
#[cfg(test)]
mod tests;
pub mod week;
