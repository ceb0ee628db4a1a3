//! Why a feed is not believed.

/// What was seen of a feed that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Dates ascend, or come after rows without any.
    Unordered,
    /// No row has a date.
    Undated,
    /// The dates stand still, so that nothing shows whether they are in order.
    Unproven,
    /// Answers are older than what is known, again and again.
    Lagging,
    /// Agents are missing whose dates belong on the page.
    LeftOut,
    /// Other lists show changes that this one did not bring.
    Missed,
    /// Rows have another status than the one asked for.
    Unfiltered,
    /// CallTools refused to give it.
    Refused,
}

impl Doubt {
    /// What was seen, for the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Doubt::Unordered => "the list is not ordered by the date of change",
            Doubt::Undated => "agents have no date of change",
            Doubt::Unproven => "the dates of change stand still",
            Doubt::Lagging => "the list is older than what is known already",
            Doubt::LeftOut => "the list leaves out agents who have changed",
            Doubt::Missed => "the list misses changes that other lists show",
            Doubt::Unfiltered => "the filter by status is ignored",
            Doubt::Refused => "CallTools refuses the request",
        }
    }
}
