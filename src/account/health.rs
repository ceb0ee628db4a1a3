//! The health of an account, for metrics, pages and `status`.

use std::sync::Arc;

use super::{
    Emptied, PresentFault,
    feeds::{Feed, FeedStanding},
};
use crate::decision::soon::report::AccountReport;

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Whether sweeps are trusted. Only then can statuses come from a feed; [`feed`](Self::feed) says from which one.
    pub sweeps: bool,
    /// Where statuses come from now.
    pub feed: Feed,
    /// How each feed stands; empty until the account's task has started.
    pub feeds: Vec<FeedStanding>,
    /// The fault of the account as a whole.
    pub fault: Option<PresentFault>,
    /// Set if every list of agents is empty although there were agents before.
    pub emptied: Option<Emptied>,
    /// The factor by which requests are further apart because nobody asks; `None` if somebody does.
    pub idle: Option<f64>,
    /// The report about calls at zero seats; `None` before the first report.
    pub soon: Option<Arc<AccountReport>>,
}
