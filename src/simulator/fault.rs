//! Faults that tests and users inject: what goes wrong, for how many requests, and when.

use std::{collections::VecDeque, ops::Range, time::Duration};

use super::Endpoint;

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InjectedFault {
    /// 401, as for a revoked token.
    InvalidToken,
    /// 403.
    Forbidden,
    /// 404, as DRF words it.
    NotFound,
    /// 429, with the wait if one is given.
    Throttled(Option<Duration>),
    /// Any status with a web page as its body; load balancers send 500, 502 and 503 this way.
    WebPage(u16),
    /// 302 to this address.
    Redirect(String),
    /// 200 with JSON that breaks off in the middle.
    BrokenJson,
    /// 200 with JSON that is not a list.
    WrongShape,
    /// 200 with an empty body.
    EmptyBody,
    /// 200 with a valid list that has no rows.
    NoRows,
    /// The right answer, this much later.
    Slow(Duration),
    /// No answer, ever.
    Hang,
    /// The connection is closed without an answer.
    Dropped,
}

/// The injected faults, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultQueue {
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    left: usize,
    /// On the simulator's clock.
    during: Range<Duration>,
    endpoint: Option<Endpoint>,
    fault: InjectedFault,
}

impl FaultQueue {
    /// Adds a fault for the next `times` requests, whenever they come.
    pub(super) fn add(&mut self, times: usize, endpoint: Option<Endpoint>, fault: InjectedFault) {
        self.waiting.push_back(Waiting {
            left: times,
            during: Duration::ZERO..Duration::MAX,
            endpoint,
            fault,
        });
    }

    /// Adds a fault for all requests that arrive in a span of time.
    pub(super) fn add_during(&mut self, during: Range<Duration>, fault: InjectedFault) {
        self.waiting.push_back(Waiting {
            left: usize::MAX,
            during,
            endpoint: None,
            fault,
        });
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Takes the fault for this request: the first in the queue that matches it.
    pub(super) fn take(&mut self, now: Duration, endpoint: Endpoint) -> Option<InjectedFault> {
        self.waiting
            .retain(|waiting| waiting.left > 0 && now < waiting.during.end);
        let fits = |waiting: &&mut Waiting| {
            waiting.during.contains(&now) && waiting.endpoint.is_none_or(|only| only == endpoint)
        };
        let waiting = self.waiting.iter_mut().find(fits)?;
        waiting.left -= 1;
        Some(waiting.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_hit_matching_requests_in_order() {
        let mut faults = FaultQueue::default();
        faults.add(1, Some(Endpoint::Queues), InjectedFault::Hang);
        faults.add(2, None, InjectedFault::EmptyBody);
        let mut take = |endpoint| faults.take(Duration::ZERO, endpoint);
        assert_eq!(
            take(Endpoint::AgentStatuses),
            Some(InjectedFault::EmptyBody)
        );
        assert_eq!(take(Endpoint::Queues), Some(InjectedFault::Hang));
        assert_eq!(take(Endpoint::Queues), Some(InjectedFault::EmptyBody));
        assert_eq!(take(Endpoint::Queues), None);
    }

    #[test]
    fn a_fault_with_a_duration_hits_every_request_in_it() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let mut faults = FaultQueue::default();
        faults.add_during(minutes(1)..minutes(2), InjectedFault::Hang);
        let mut take = |seconds| faults.take(Duration::from_secs(seconds), Endpoint::Queues);
        assert_eq!(take(59), None);
        assert_eq!(take(60), Some(InjectedFault::Hang));
        assert_eq!(take(119), Some(InjectedFault::Hang));
        assert_eq!(take(120), None);
    }
}
