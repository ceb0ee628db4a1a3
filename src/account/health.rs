//! How an account is, for those who look on: metrics, pages, `status`.

use super::{Emptied, PresentFault};

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Sweeps of the whole account are trusted, and statuses come from them.
    pub sweeps: bool,
    /// What is wrong with the account as a whole.
    pub fault: Option<PresentFault>,
    /// Every list of agents is empty, where there were some.
    pub emptied: Option<Emptied>,
}
