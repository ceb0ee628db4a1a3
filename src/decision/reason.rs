//! The reasons for decisions.

use schemars::JsonSchema;
use serde::Serialize;
use strum::{Display, IntoStaticStr, VariantArray};

use crate::model::fault::Fault;

/// The reason for a decision. The names are part of the interface: JSON, metrics and docs share them.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    JsonSchema,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// Known: the criteria hold.
    Seats,
    /// Known: the criteria do not hold.
    BelowThreshold,
    /// Known: reservations hold the seats that would be open.
    Reserved,
    /// Known: nobody is free, but somebody is likely to be when the call arrives.
    Soon,
    /// Unknown: the snapshot is older than `max_age`, and no fault explains why.
    TooOld,
    /// Unknown: no poll of this queue has succeeded yet, and none has failed.
    NeverPolled,
    /// Unknown: CallTools does not accept the token.
    BadToken,
    /// Unknown: the token's user may not read the queue.
    NoPermission,
    /// Unknown: the account has no such queue.
    NoSuchQueue,
    /// Unknown: the account's requests for this hour are spent.
    BudgetSpent,
    /// Unknown: others spend from the account, so CallTools refuses our requests.
    Throttled,
    /// Unknown: CallTools cannot be reached, or does not answer as it should.
    UpstreamDown,
    /// Unknown: the cluster's engine does not answer or refuses a command, so no node may ask CallTools.
    ClusterDown,
    /// Known without data: the queue's opening hours are over, or have not begun.
    Closed,
}

impl From<&Fault> for Reason {
    /// The reason of a decision whose snapshot is too old because of this fault.
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::BadToken => Reason::BadToken,
            Fault::NoPermission => Reason::NoPermission,
            Fault::NoSuchQueue(_) => Reason::NoSuchQueue,
            Fault::Throttled { .. } => Reason::Throttled,
            Fault::BudgetSpent { .. } => Reason::BudgetSpent,
            Fault::ClusterDown(_) => Reason::ClusterDown,
            Fault::UpstreamDown { .. } => Reason::UpstreamDown,
        }
    }
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: &[Reason] = Self::VARIANTS;

    /// Its name in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns whether the decision is based on fresh data or the opening hours. If not, [`OnUnknown`](crate::decision::OnUnknown) decides.
    pub fn is_known(self) -> bool {
        matches!(
            self,
            Reason::Seats
                | Reason::BelowThreshold
                | Reason::Reserved
                | Reason::Soon
                | Reason::Closed
        )
    }

    /// Returns whether a decision for this reason has a count.
    pub(super) fn shows_count(self) -> bool {
        self.is_known() && self != Reason::Closed
    }
}
