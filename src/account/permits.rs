//! Handles the budget's answers: measures how long permits take, and reports when there are none.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::Account;
use crate::{
    budget::{Cause, Permit, Refusal},
    model::fault::{Down, Fault},
};

/// A longer wait for a permit is reported, because answers grow old. Shorter waits are the usual pace. This is half of the shortest default
/// `max_age`.
const WORTH_REPORTING: Duration = Duration::from_secs(30);

/// If the time between requests has grown by this factor, a time that was told is wrong. It varies by less while a spent hour comes back.
const MUCH_SLOWER: f64 = 1.5;

/// The budget is asked again after at most this time, because its clock may run slower than timers.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A request for the schedule's next job, while it is being stored: a slow disk, or a cluster that is slow to agree, holds up no answer that comes
/// meanwhile.
pub(super) type Storing = Option<BoxFuture<'static, Result<Permit, Refusal>>>;

/// Waits until the request is stored or refused; without one, for ever.
pub(super) async fn stored(storing: &mut Storing) -> Result<Permit, Refusal> {
    let Some(request) = storing else {
        return std::future::pending().await;
    };
    let stored = request.await;
    *storing = None;
    stored
}

impl Account {
    /// Reports a slow pace: when the hour is nearly spent, answers grow old although no request is refused.
    pub(super) fn report_a_slow_pace(&mut self) {
        let now = self.deps.clock.now();
        let present = self.faults.present().map(|present| &*present.fault);
        let period = self.deps.budget.period();
        // A time that has been told stays, so that people see it come nearer, unless the pace has become much slower since.
        let is_told = match present {
            Some(Fault::BudgetSpent { until } | Fault::Throttled { until: Some(until) }) => {
                until.boot > now.boot && period <= self.told_period.mul_f64(MUCH_SLOWER)
            }
            _ => false,
        };
        if self.is_slow() && !is_told {
            self.told_period = period;
            let refusal = Refusal {
                until: now.later(period),
                cause: self.deps.budget.slowed_by(),
            };
            self.faults.refused(&Arc::new(fault_of(refusal)), now);
        }
    }

    pub(super) fn is_slow(&self) -> bool {
        let usual = self.deps.budget.usual_period() * 3;
        self.deps.budget.period() > WORTH_REPORTING.max(usual)
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
        self.schedule.refused(wait.min(LOOK_AGAIN), now.boot);
        let is_news = matches!(
            refusal.cause,
            Cause::Spent | Cause::Throttled | Cause::Paused
        );
        if is_news && wait > WORTH_REPORTING {
            self.faults.refused(&Arc::new(fault_of(refusal)), now);
            self.fall_back_to_stored_names();
        }
    }
}

/// Converts the budget's refusal to the fault that the board shows.
pub(crate) fn fault_of(refusal: Refusal) -> Fault {
    let Refusal { until, cause } = refusal;
    match cause {
        Cause::Throttled => Fault::Throttled { until: Some(until) },
        Cause::Pace | Cause::Spent => Fault::BudgetSpent { until },
        Cause::NotLeading => Fault::ClusterDown(None),
        Cause::Paused => {
            let until = until.timestamp().strftime("%H:%M:%S UTC");
            Fault::down(Down::ServerError, format!("{refusal} until {until}"))
        }
    }
}
