//! How an account is, for those who look on: metrics, pages, `status`.

use super::PresentFault;

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Sweeps of the whole account are trusted, and statuses come from them.
    pub sweeps: bool,
    /// What is wrong with the account as a whole.
    pub fault: Option<PresentFault>,
}
