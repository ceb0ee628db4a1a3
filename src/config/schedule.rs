//! How an account is polled: the part that operators can configure.

/// The operator's settings for polling an account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleOptions {
    /// Whether to sweep at all.
    pub sweep: bool,
    /// The share of the pace that an idle account keeps, more than 0 and at most 1.
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
