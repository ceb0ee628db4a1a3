//! The feeds of statuses.

/// Where statuses come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub enum Feed {
    /// The list ordered by the date of change.
    Delta,
    /// The lists of available agents.
    Available,
    /// The full list.
    Sweep,
    /// Polls of the queues alone.
    #[default]
    Queues,
}

impl Feed {
    /// Returns its description for people.
    pub fn noun(self) -> &'static str {
        match self {
            Feed::Delta => "the list of changes",
            Feed::Available => "the lists of available agents",
            Feed::Sweep => "sweeps of the account",
            Feed::Queues => "polls of the queues",
        }
    }

    /// Returns its name in metrics, pages and logs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
