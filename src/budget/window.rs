//! The arithmetic of a sliding hour, without clocks and without a disk.

use std::time::Duration;

use super::Purpose;

/// The length of CallTools' window: Django REST Framework's throttle for `1000/hour` looks back 3600 s.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// How many requests an account may have in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// All of ours.
    pub limit: u32,
    /// Kept back from polling; less than `limit`.
    pub reserve: u32,
}

impl Allowance {
    /// What polling may have in the window.
    pub fn for_polling(self) -> u32 {
        self.limit - self.reserve
    }

    /// The part of the reserve that nobody uses while the ledger can be written, so that it may be used while it cannot.
    ///
    /// A quarter: enough to look once in five minutes with the default reserve, and it leaves three quarters to those for whom the reserve is.
    pub fn unwritten(self) -> u32 {
        self.reserve / 4
    }

    /// What all may have in the window that is written down.
    pub fn written(self) -> u32 {
        self.limit - self.unwritten()
    }
}

/// A request in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spent {
    /// Time until it leaves the window.
    pub leaves_in: Duration,
    /// Whether background polling sent it, rather than a person or a program that asked.
    pub by_polling: bool,
}

/// The requests that are in the window now.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// Ascending.
    all: Vec<Duration>,
    /// The part that polling sent; ascending.
    polling: Vec<Duration>,
    /// How long nothing may be sent at all, since nobody knows what was.
    closed_for: Duration,
}

impl Window {
    pub fn new(spent: impl IntoIterator<Item = Spent>) -> Self {
        let mut window = Window::default();
        for request in spent
            .into_iter()
            .filter(|request| !request.leaves_in.is_zero())
        {
            window.all.push(request.leaves_in);
            if request.by_polling {
                window.polling.push(request.leaves_in);
            }
        }
        window.all.sort_unstable();
        window.polling.sort_unstable();
        window
    }

    /// The same, with nothing to be sent for so long.
    pub fn closed_for(mut self, wait: Duration) -> Self {
        self.closed_for = wait;
        self
    }

    /// Whether it holds all that was sent.
    pub fn is_known(&self) -> bool {
        self.closed_for.is_zero()
    }

    /// One more request, sent now.
    pub fn add(&mut self, request: Spent) {
        let insert = |leaves: &mut Vec<Duration>| {
            let at = leaves.partition_point(|leave| *leave <= request.leaves_in);
            leaves.insert(at, request.leaves_in);
        };
        insert(&mut self.all);
        if request.by_polling {
            insert(&mut self.polling);
        }
    }

    /// Requests in the window; all that there may be, where nobody knows.
    pub fn used(&self, allowance: Allowance) -> u32 {
        match self.is_known() {
            true => self.all.len() as u32,
            false => allowance.limit,
        }
    }

    /// The time until there is room for one more request; zero if there is room now.
    pub fn wait(&self, allowance: Allowance, purpose: Purpose) -> Duration {
        let for_all = wait(&self.all, allowance.written()).max(self.closed_for);
        if !purpose.is_polling() {
            return for_all;
        }
        for_all.max(wait(&self.polling, allowance.for_polling()))
    }

    /// The highest steady rate of polling, in requests a second, that the window would admit without ever saying no in the
    /// coming hour, if `in_hand` permits may be used at any time besides.
    ///
    /// The *m*-th request from now finds room once all but *limit − m* of the present ones have left, at *T(m)*. Sent at an even
    /// rate *r* it comes at *(m − in_hand) / r*. So *r* is the least of *(m − in_hand) / T(m)*, over all *m*.
    pub fn even_rate(&self, allowance: Allowance, in_hand: u32) -> f64 {
        let for_all = even_rate(&self.all, allowance.written(), in_hand);
        for_all.min(even_rate(&self.polling, allowance.for_polling(), in_hand))
    }
}

fn wait(leaves: &[Duration], limit: u32) -> Duration {
    match leaves.len().checked_sub(limit as usize) {
        None => Duration::ZERO,
        // One more has to leave than there are too many.
        Some(too_many) => leaves.get(too_many).copied().unwrap_or(HOUR),
    }
}

fn even_rate(leaves: &[Duration], limit: u32, in_hand: u32) -> f64 {
    let (used, limit, in_hand) = (leaves.len() as f64, f64::from(limit), f64::from(in_hand));
    // When everything of now has left, a whole limit may be sent in each hour.
    let after_all = (limit - in_hand).max(1.0) / HOUR.as_secs_f64();
    let by_then = leaves.iter().zip(1..).map(|(leave, left)| {
        let room = limit - used + f64::from(left);
        (room - in_hand, leave.as_secs_f64())
    });
    by_then
        .filter(|(room, _)| *room >= 1.0)
        .map(|(room, seconds)| room / seconds)
        .fold(after_all, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_KEEP_TWO: Allowance = Allowance {
        limit: 10,
        reserve: 2,
    };

    fn window(polls: usize, on_demand: usize) -> Window {
        // They leave after 60 s, 120 s, …: the polls first.
        let spent = (0..polls + on_demand).map(|i| Spent {
            leaves_in: Duration::from_secs(60 * (i as u64 + 1)),
            by_polling: i < polls,
        });
        Window::new(spent)
    }

    #[test]
    fn polling_stops_short_of_the_reserve_and_people_may_use_it() {
        assert_eq!(
            window(7, 0).wait(TEN_KEEP_TWO, Purpose::Poll),
            Duration::ZERO
        );
        assert_eq!(
            window(8, 0).wait(TEN_KEEP_TWO, Purpose::Poll),
            Duration::from_secs(60)
        );
        assert_eq!(
            window(8, 0).wait(TEN_KEEP_TWO, Purpose::OnDemand),
            Duration::ZERO
        );
        assert_eq!(
            window(8, 2).wait(TEN_KEEP_TWO, Purpose::OnDemand),
            Duration::from_secs(60)
        );
    }

    #[test]
    fn requests_on_demand_take_from_polling_only_beyond_the_reserve() {
        assert_eq!(
            window(7, 2).wait(TEN_KEEP_TWO, Purpose::Poll),
            Duration::ZERO
        );
        assert_eq!(
            window(6, 4).wait(TEN_KEEP_TWO, Purpose::Poll),
            Duration::from_secs(60)
        );
    }

    #[test]
    fn a_window_over_its_limit_waits_for_as_many_as_are_too_many() {
        // As after the limit was lowered: 12 are in, room comes when 3 have left.
        assert_eq!(
            window(0, 12).wait(TEN_KEEP_TWO, Purpose::OnDemand),
            Duration::from_secs(180)
        );
    }

    #[test]
    fn an_empty_window_is_spread_over_the_hour() {
        let rate = Window::default().even_rate(TEN_KEEP_TWO, 0);
        assert!((rate * 3600.0 - 8.0).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn a_burst_is_paid_back_over_the_hour() {
        let burst = (0..4).map(|_| Spent {
            leaves_in: HOUR,
            by_polling: true,
        });
        let rate = Window::new(burst).even_rate(TEN_KEEP_TWO, 0);
        // 4 are left of 8, and the next hour is as full again only when the burst leaves.
        assert!((rate * 3600.0 - 5.0).abs() < 1.01, "{rate}");
    }

    proptest::proptest! {
        /// Whatever was spent, requests sent at the even rate never find the window full.
        #[test]
        fn the_even_rate_is_never_refused(
            leaves in proptest::collection::vec(1u64..3_600_000, 0..60),
            limit in 1u32..50,
        ) {
            const ROUNDING: f64 = 1e-3;
            let allowance = Allowance { limit, reserve: 0 };
            let spent = leaves.iter().map(|ms| Spent { leaves_in: Duration::from_millis(*ms), by_polling: true });
            let window = Window::new(spent);
            let rate = window.even_rate(allowance, 0);
            proptest::prop_assert!(rate > 0.0);
            let mut sent: Vec<f64> = Vec::new();
            for m in 1..200u32 {
                let at = f64::from(m) / rate;
                let old = window.all.iter().filter(|leave| leave.as_secs_f64() > at + ROUNDING).count();
                let new = sent.iter().filter(|s| **s + 3600.0 > at + ROUNDING).count();
                proptest::prop_assert!(old + new < limit as usize || window.all.len() > limit as usize,
                    "request {m} at {at} s meets {old} + {new} of {limit}");
                sent.push(at);
            }
        }
    }
}
