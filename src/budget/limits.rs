//! The limits of an hour: those of this node's config, and those that hold for all nodes of a cluster.

use super::{Budget, book::Book, window::Allowance};

/// What limits an hour besides the config. It is a property of the hour, so it holds for each budget that spends from it, and after a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cap {
    /// The smallest limit of all nodes of the cluster.
    limit: u32,
    /// Whether this node goes on without the cluster, and so may not know all requests.
    is_alone: bool,
}

impl Default for Cap {
    fn default() -> Self {
        Self {
            limit: u32::MAX,
            is_alone: false,
        }
    }
}

impl Cap {
    /// Returns the cap of an hour that was two.
    pub fn joined(self, other: Self) -> Self {
        Self {
            limit: self.limit.min(other.limit),
            is_alone: self.is_alone || other.is_alone,
        }
    }

    /// Returns what is left of a config's allowance: three quarters of it for a node that is alone.
    pub fn applied_to(self, Allowance { limit, reserve }: Allowance) -> Allowance {
        let smallest = limit.min(self.limit);
        let limit = match self.is_alone {
            true => smallest / 4 * 3,
            false => smallest,
        };
        let limit = limit.max(1);
        Allowance {
            limit,
            reserve: reserve.min(limit - 1),
        }
    }
}

impl Budget {
    /// Returns the allowance: the smallest of all nodes' configs.
    pub(super) fn allowance(&self) -> Allowance {
        self.member.with(|book| self.allowance_in(book))
    }

    /// The same for a caller that has the book.
    pub(super) fn allowance_in(&self, book: &mut Book) -> Allowance {
        book.hour(self.member.owner).cap.applied_to(self.allowance)
    }

    /// Returns `requests_per_hour` of this node's config.
    pub fn limit(&self) -> u32 {
        self.allowance.limit
    }

    /// Sets the smallest limit of all nodes, which applies.
    pub fn cap(&self, limit: u32) {
        self.member
            .with(|book| book.hour(self.member.owner).cap.limit = limit);
    }

    /// Sets whether this node goes on without the cluster. Then it spends three quarters of the limit.
    pub fn go_on_alone(&self, is_alone: bool) {
        self.member
            .with(|book| book.hour(self.member.owner).cap.is_alone = is_alone);
    }
}
