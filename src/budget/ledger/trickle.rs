//! Requests that are sent without being written down, while the ledger cannot be written.
//!
//! A process that only remembers what it sends can be killed, and its successor, or `check` beside it, would not know. So what
//! is sent unwritten comes from a part of the reserve that nobody else ever touches, whether the ledger can be written or
//! not. A process takes from that part one at a time, evenly over an hour, and only once it has run for an hour: by then whatever an earlier one took from
//! it has left CallTools' window. However often openseat is killed, that part is never overspent.

use std::time::Duration;

use super::{DRIFT, Payer, UNANSWERED};
use crate::budget::window::{Allowance, HOUR};

/// After so long, nothing sent now is in the window any more, answered or not.
const ALL_HAS_LEFT: Duration = HOUR.saturating_add(DRIFT).saturating_add(UNANSWERED);

/// What this process has sent unwritten. Times are boot times: they are compared within one process.
#[derive(Debug)]
pub(super) struct Trickle {
    started: Duration,
    /// The last one of each payer.
    sent: Vec<(Payer, Duration)>,
}

impl Trickle {
    /// Nothing sent yet by a process that starts now.
    pub fn new(now: Duration) -> Self {
        Self {
            started: now,
            sent: Vec::new(),
        }
    }

    /// Takes the right to send one request, if it is time.
    pub fn take(&mut self, payer: &Payer, allowance: Allowance, now: Duration) -> bool {
        let Some(apart) = ALL_HAS_LEFT.checked_div(allowance.unwritten()) else {
            return false;
        };
        let last = self
            .sent
            .iter()
            .filter(|(other, _)| other.shares_budget(payer));
        let last = last.map(|(_, at)| *at).max();
        let after_start = self.started + ALL_HAS_LEFT;
        if now < last.map_or(after_start, |last| after_start.max(last + apart)) {
            return false;
        }
        self.sent.retain(|(other, _)| other != payer);
        self.sent.push((payer.clone(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payer(account: &str) -> Payer {
        Payer {
            account: account.to_owned(),
            identity: "token".to_owned(),
        }
    }

    #[test]
    fn nothing_for_an_hour_and_then_a_quarter_of_the_reserve_each_hour() {
        let allowance = Allowance {
            limit: 1000,
            reserve: 50,
        };
        let mut trickle = Trickle::new(Duration::from_secs(7));
        let taken = |hour: u64, trickle: &mut Trickle| {
            let seconds = hour * 3662..(hour + 1) * 3662;
            seconds
                .filter(|at| {
                    // Another name of the same token takes from the same part.
                    let payer = payer(["a", "b"][*at as usize % 2]);
                    trickle.take(&payer, allowance, Duration::from_secs(7 + at))
                })
                .count()
        };
        assert_eq!(taken(0, &mut trickle), 0);
        assert_eq!(taken(1, &mut trickle), 12);
        assert_eq!(taken(2, &mut trickle), 12);
    }

    #[test]
    fn without_a_reserve_there_is_nothing_to_take_from() {
        let allowance = Allowance {
            limit: 1000,
            reserve: 3,
        };
        let mut trickle = Trickle::new(Duration::ZERO);
        assert!(!trickle.take(&payer("a"), allowance, Duration::from_secs(1_000_000)));
    }
}
