//! Why a feed is distrusted.

/// What is wrong with a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Dates ascend, or undated rows are between dated ones.
    Unordered,
    /// No row has a date.
    Undated,
    /// The dates do not change, so their order cannot be checked.
    Unproven,
    /// Answers are repeatedly older than what is known.
    Lagging,
    /// Agents are missing whose dates belong on the page.
    LeftOut,
    /// Other lists show changes that this list misses.
    Missed,
    /// Rows have another status than requested.
    Unfiltered,
    /// CallTools refuses the request.
    Refused,
}

impl Doubt {
    /// Returns whether earlier readings may have been wrong, too. Each was checked for order and dates, but what a list omits shows only later.
    pub fn concerns_earlier_readings(self) -> bool {
        matches!(self, Doubt::Lagging | Doubt::LeftOut | Doubt::Missed)
    }

    /// Describes it, for the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Doubt::Unordered => "the list is not ordered by the date of change",
            Doubt::Undated => "agents have no date of change",
            Doubt::Unproven => "the dates of change do not change",
            Doubt::Lagging => "the list is older than what is already known",
            Doubt::LeftOut => "the list omits agents who have changed",
            Doubt::Missed => "the list misses changes that other lists show",
            Doubt::Unfiltered => "the filter by status is ignored",
            Doubt::Refused => "CallTools refuses the request",
        }
    }
}
