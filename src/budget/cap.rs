//! A lower limit for an hour than the config has: the smallest of all nodes, or what a node may send alone.

use super::window::Allowance;

/// What limits an hour besides the config. It is a property of the hour, so it holds for each budget that spends from it, and after a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cap {
    /// The smallest limit of all nodes of the cluster.
    pub(super) limit: u32,
    /// Whether this node goes on without the cluster, and so may not know all requests.
    pub(super) is_alone: bool,
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
