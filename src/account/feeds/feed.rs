//! The feeds that statuses can come from.

/// Where statuses come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::IntoStaticStr, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub enum Feed {
    /// The list ordered by the date of change.
    Delta,
    /// The lists of those who are available.
    Available,
    /// The full list.
    Sweep,
    /// Polls of the queues alone.
    #[default]
    Queues,
}

impl Feed {
    /// Its name in metrics, pages and logs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
