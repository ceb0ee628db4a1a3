//! Foretells whether an agent will be free when a call arrives that is accepted now.
//!
//! A call reaches its agent some seconds after the answer: the *lead*. At zero seats somebody's wrap-up often ends within these seconds. So
//! [`stay`] follows how long each agent stays in a status, [`learnt`] keeps how long stays last, and [`rule`] turns both into a probability
//! and an answer, which [`outlook`] keeps ready. [`calibration`] compares what was foretold with what was seen, and corrects or stops the rule where they differ.
//! [`arrivals`] tells a lead that is too long, [`week`] counts what the rule did, or would have done, and [`report`] says it in words.
//!
//! All of it is pure: looks and moments come in, probabilities go out. Nothing here asks CallTools for anything.

pub mod arrivals;
pub mod calibration;
pub mod learnt;
pub mod outlook;
pub mod report;
pub mod rule;
pub mod stay;
#[cfg(test)]
mod tests;
pub mod week;
