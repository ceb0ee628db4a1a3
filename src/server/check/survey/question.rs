//! The questions of a survey: at most ten requests, each of which tests several assumptions.

use crate::calltools::PAGE_SIZE;

/// A page size that CallTools is known to reduce.
const TOO_MANY: u32 = 1_000;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// The queues and their ids.
    Queues,
    /// The statuses and what they do.
    Statuses,
    /// All agents of the account, without a queue.
    Everybody,
    /// The same, most recently changed first, and more rows than a page may have.
    Ordered,
    /// The same with `page_size=max`.
    Largest,
    /// Those with one status.
    WithStatus,
    /// Agents whose status changed since a date, without a page size: this shows the default number of rows.
    ChangedSince,
    /// The agents of a configured queue.
    Queue,
    /// The agents of a queue that the account does not have.
    UnknownQueue,
    /// A page after the last.
    PastTheEnd,
}

impl Question {
    /// The order matters: later ones use the answers to the first three.
    pub const ALL: [Question; 10] = [
        Question::Queues,
        Question::Statuses,
        Question::Everybody,
        Question::Ordered,
        Question::Largest,
        Question::WithStatus,
        Question::ChangedSince,
        Question::Queue,
        Question::UnknownQueue,
        Question::PastTheEnd,
    ];

    /// What it is about, as the report's sentences call it.
    pub fn subject(self) -> &'static str {
        match self {
            Question::Queues => "queues",
            Question::Statuses => "statuses",
            Question::Everybody => "everybody",
            Question::Ordered => "ordering",
            Question::Largest => "page_size=max",
            Question::WithStatus => "filter agent_status",
            Question::ChangedSince => "filter agent_status_modified_on__gte",
            Question::Queue => "the queue",
            Question::UnknownQueue => "an unknown queue",
            Question::PastTheEnd => "a page after the last",
        }
    }

    /// Returns the number of rows that it requests; `None` if it leaves that to CallTools.
    pub fn page_size(self) -> Option<u32> {
        match self {
            Question::Largest | Question::ChangedSince => None,
            Question::Ordered => Some(TOO_MANY),
            _ => Some(PAGE_SIZE),
        }
    }
}
