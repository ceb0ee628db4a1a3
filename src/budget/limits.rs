//! The limits of an hour: those of this node's config, and those that hold for all nodes of a cluster.

use super::{Budget, book::Book, window::Allowance};

impl Budget {
    /// Returns the allowance: the smallest of all nodes' configs.
    pub(super) fn allowance(&self) -> Allowance {
        self.member.with(|book| self.allowance_in(book))
    }

    /// The same for a caller that has the book.
    pub(super) fn allowance_in(&self, book: &mut Book) -> Allowance {
        book.hour(self.member.owner())
            .cap
            .applied_to(self.allowance)
    }

    /// Returns `requests_per_hour` of this node's config.
    pub fn limit(&self) -> u32 {
        self.allowance.limit
    }

    /// Sets the smallest limit of all nodes, which applies.
    pub fn cap(&self, limit: u32) {
        self.member
            .with(|book| book.hour(self.member.owner()).cap.limit = limit);
    }

    /// Sets whether this node goes on without the cluster. Then it spends three quarters of the limit.
    pub fn go_on_alone(&self, is_alone: bool) {
        self.member
            .with(|book| book.hour(self.member.owner()).cap.is_alone = is_alone);
    }
}
