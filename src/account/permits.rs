//! What the budget says: how long a permit was waited for, and what is told when there is none.

use std::{sync::Arc, time::Duration};

use super::{Account, schedule_time};
use crate::{
    budget::{Cause, Refusal},
    model::fault::{Down, Fault},
};

/// A budget that says no for longer than this explains why answers grow old; a shorter wait is the ordinary pace. Half of the
/// shortest default `max_age`.
const WORTH_TELLING: Duration = Duration::from_secs(30);

/// However long the budget says no, it is asked again after this: its clock may have been slower than its wait.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Account {
    /// Where the hour is nearly spent, the pace is so slow that answers grow old without any request having been refused.
    pub(super) fn tell_of_a_slow_pace(&mut self) {
        if self.is_slow() {
            let now = self.deps.clock.now();
            let refusal = Refusal {
                until: now.later(self.deps.budget.period()),
                cause: self.deps.budget.slowed_by(),
            };
            self.faults.refused(&Arc::new(fault_of(refusal)), now);
        }
    }

    pub(super) fn is_slow(&self) -> bool {
        let usual = self.deps.budget.usual_period() * 3;
        self.deps.budget.period() > WORTH_TELLING.max(usual)
    }

    pub(super) fn permitted(&mut self) {
        let waited = self
            .refused_since
            .take()
            .map(|since| self.deps.clock.now().longest_since(since));
        self.deps
            .metrics
            .budget_wait(&self.name, waited.unwrap_or_default());
    }

    pub(super) fn refused(&mut self, refusal: Refusal) {
        let now = self.deps.clock.now();
        self.refused_since.get_or_insert(now);
        let wait = refusal.wait(now);
        self.schedule
            .refused(wait.min(LOOK_AGAIN), schedule_time(now));
        let is_news = matches!(refusal.cause, Cause::Spent | Cause::Throttled);
        if is_news && wait > WORTH_TELLING {
            self.faults.refused(&Arc::new(fault_of(refusal)), now);
            self.make_do_with_stored_names();
        }
    }
}

/// Why there is nothing new, when the budget is the reason.
pub(crate) fn fault_of(refusal: Refusal) -> Fault {
    let Refusal { until, cause } = refusal;
    match cause {
        Cause::Throttled => Fault::Throttled { until: Some(until) },
        Cause::Pace | Cause::Spent => Fault::BudgetSpent { until },
        Cause::Paused => Fault::down(Down::ServerError, refusal.to_string()),
    }
}
