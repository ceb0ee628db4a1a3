//! The questions of a survey: ten requests at most, each for several assumptions at once.

use crate::calltools::PAGE_SIZE;

/// A page that CallTools is known to cut.
const TOO_MANY: u32 = 1_000;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// Which queues there are, and under which ids.
    Queues,
    /// Which statuses there are, and what they do.
    Statuses,
    /// Everybody in the account, without a queue.
    Everybody,
    /// The same, those first who changed last; and more rows than a page may have.
    Ordered,
    /// The same with `page_size=max`.
    Largest,
    /// Those with one status.
    WithStatus,
    /// Those who changed since a date; and, without a page size, how many rows come by default.
    ChangedSince,
    /// The agents of a configured queue.
    Queue,
    /// The agents of a queue that the account does not have.
    UnknownQueue,
    /// A page after the last.
    PastTheEnd,
}

impl Question {
    /// In this order: later ones use what the first three say.
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

    /// As many rows as it asks for; `None` if it leaves that to CallTools.
    pub fn page_size(self) -> Option<u32> {
        match self {
            Question::Largest | Question::ChangedSince => None,
            Question::Ordered => Some(TOO_MANY),
            _ => Some(PAGE_SIZE),
        }
    }
}
