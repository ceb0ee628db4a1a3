//! Says whether `soon` acts in each queue, and why not: in the report about calls at zero seats.

use std::sync::Arc;

use super::Account;
use crate::{
    clock::Moment,
    config::Rule,
    decision::soon::{report::State, rule::Off},
    model::quantity::Quantity,
};

impl Account {
    /// Returns whether the rule acts in a queue. `may` says whether it may in the account.
    pub(super) fn soon_state(&self, place: usize, may: Result<(), Off>) -> State {
        let queue = &self.deps.queues[place];
        let is_whole = |threshold: Quantity| threshold.get().fract() == 0.0;
        let may = if !queue.threshold.is_some_and(is_whole) {
            Err(Off::NoWholeThreshold)
        } else if self.is_failing(place) {
            Err(Off::QueueUnread)
        } else {
            may
        };
        match (&queue.rule, queue.soon.is_on) {
            (Rule::Custom(_), _) => State::OtherRule,
            (_, true) => State::Asked(may),
            (_, false) => State::Measured(may),
        }
    }

    /// Updates the report about calls at zero seats.
    pub(super) fn tell_foresight(&self, now: Moment) {
        let may = self.may_foresee(now);
        let queues = self.deps.queues.iter().zip(&self.ids).enumerate();
        let queues = queues.map(|(place, (queue, id))| {
            let state = self.soon_state(place, may);
            (Arc::clone(&queue.key.queue), *id, queue.soon.terms, state)
        });
        let report = self.foresight.report(queues, now);
        self.deps.health.send_if_modified(|health| {
            let is_new = health.soon.as_deref() != Some(&report);
            if is_new {
                health.soon = Some(Arc::new(report));
            }
            is_new
        });
    }
}
