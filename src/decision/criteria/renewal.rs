//! Which lists renew the result of a rule.

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Every list of agents, and a list of changes also by its gaps: the rule reads only statuses.
    Statuses,
    /// Every row of a list of agents: the rule reads fields that can change while the date of the status stays.
    Rows,
    /// Only a poll of the queue.
    Polls,
}
