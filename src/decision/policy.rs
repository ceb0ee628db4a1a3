//! The part of a queue's settings that a decision needs.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use strum::VariantNames;

use super::{board::QueueState, snapshot::Snapshot};
use crate::{
    clock::Moment,
    model::{hours::OpeningHours, quantity::Quantity},
};

/// Memberships change over hours, statuses over minutes, so a membership may be this many times as old as `max_age`, …
const MEMBERS_AGE_FACTOR: u32 = 20;

/// … and always at least this old: log-in flags last for hours. If there are so many queues that their turns come less often, the
/// [plan](QueueState::planned_members_max_age) allows more.
pub(crate) const MIN_MEMBERS_AGE: Duration = Duration::from_secs(30 * 60);

/// A membership older than this is never used, unless the operator allows even statuses to be older: people log in and out over hours.
pub(crate) const MAX_MEMBERS_AGE: Duration = Duration::from_secs(2 * 3600);

/// What to answer if there is no fresh data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum OnUnknown {
    /// Send the call elsewhere: the default, since a call that meets no agent is lost.
    #[default]
    Reject,
    /// Send the call anyway.
    Accept,
    /// Answer as the last known snapshot would; reject if there never was one.
    Last,
}

/// The part of a queue's settings that a decision needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What the count is compared with; `None` for criteria that do not compare numbers.
    pub threshold: Option<Quantity>,
    /// Whether the request itself sets it. Otherwise the [snapshot's](Snapshot::threshold) comes before it.
    pub asks_threshold: bool,
    /// Data older than this is unknown; `None` for the age in the [plan](QueueState::planned_max_age).
    pub max_age: Option<Duration>,
    /// What to answer if there is no fresh data.
    pub on_unknown: OnUnknown,
    /// When the queue is open; `None` for always.
    pub hours: Option<Arc<OpeningHours>>,
}

impl Policy {
    /// Returns the age beyond which data is unknown.
    pub fn max_age(&self, state: &QueueState) -> Duration {
        self.max_age.unwrap_or(state.planned_max_age)
    }

    /// Returns the policy with the threshold that belongs to the snapshot. While one config replaces another, the policy and the rule that measured
    /// the snapshot may come from different ones.
    pub(super) fn for_snapshot(&self, snapshot: Option<&Snapshot>) -> Self {
        let measured_for = snapshot.and_then(|snapshot| snapshot.threshold);
        Self {
            threshold: measured_for
                .filter(|_| !self.asks_threshold)
                .or(self.threshold),
            ..self.clone()
        }
    }

    /// Returns the age beyond which a membership is unknown.
    pub(crate) fn members_max_age(&self, state: &QueueState) -> Duration {
        members_max_age(self.max_age(state), state)
    }
}

impl QueueState {
    /// Returns when its data becomes too old for a decision; `None` without data, or if neither the config nor the plan has said yet.
    pub(crate) fn known_until(&self) -> Option<Moment> {
        let planned = Some(self.planned_max_age).filter(|age| !age.is_zero());
        let max_age = self.max_age.or(planned)?;
        let known = self.snapshot.as_ref()?;
        let statuses = known.as_of.later(max_age);
        let members = known.members_as_of.later(members_max_age(max_age, self));
        [statuses, members].into_iter().min_by_key(|end| end.wall)
    }
}

fn members_max_age(max_age: Duration, state: &QueueState) -> Duration {
    (max_age * MEMBERS_AGE_FACTOR)
        .max(MIN_MEMBERS_AGE)
        .max(state.planned_members_max_age)
        .min(MAX_MEMBERS_AGE.max(max_age))
}
