//! What a page of a list that replaces the full list results in.

use super::{doubt::Doubt, feed::Feed};
use crate::{clock::Moment, model::agent::AgentId};

/// The result of a page of a delta or a filtered list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its rows count, without further results.
    Rows,
    /// It is known who has changed since the last reading.
    Changes {
        /// When the reading began.
        as_of: Moment,
    },
    /// It is known which agents are available. The agents in `gone` no longer are.
    Available {
        /// When the reading began.
        as_of: Moment,
        /// The agents who were available before.
        gone: Vec<AgentId>,
        /// The agents who may have slipped between two pages. They are known as of their last rows.
        slipped: Vec<AgentId>,
        /// Whether anybody else may have.
        has_edges: bool,
    },
    /// The feed is given up for a while.
    GivenUp(Feed, GivenUp),
}

/// Why a feed was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It took too many pages, did not fit the known statuses, or has rows that cannot be read.
    Failed,
    /// Its requests fail, while CallTools answers others.
    Unanswered,
    /// It was not read for so long, as in an outage, that it does not reach back. It may begin again at once.
    Interrupted,
    /// It lost trust.
    Doubted(Doubt),
}
