//! How an account is polled, as far as the operator may say.

/// What an operator may change of how an account is polled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleOptions {
    /// Whether to sweep at all.
    pub sweep: bool,
    /// The part of the pace that an idle account keeps, more than 0 and at most 1.
    pub idle_pace: f64,
}

impl Default for ScheduleOptions {
    fn default() -> Self {
        Self {
            sweep: true,
            idle_pace: 0.25,
        }
    }
}
