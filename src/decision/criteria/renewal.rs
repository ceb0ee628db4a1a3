//! Which lists renew the result of a rule.

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Every list of agents, and one of changes by what it leaves out: the rule reads statuses alone.
    Statuses,
    /// Every row of a list of agents: the rule reads what can change while the date of the status stays.
    Rows,
    /// A poll of the queue alone.
    Polls,
}
