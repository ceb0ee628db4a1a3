//! Tracks the limits that are reached, so that each is logged once.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::Limit;

/// A limit is no longer reached after this long without a refusal: longer than common clients wait before a retry.
pub const QUIET: Duration = Duration::from_secs(60);

/// The most limits that are logged at a time, to keep the log short. By default at most four addresses can reach theirs at once.
const MAX_LOGGED: usize = 16;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Refusals(HashMap<Limit, Refused>);

/// How often a limit has refused a client, and when it last did.
#[derive(Debug)]
struct Refused {
    count: u64,
    last: Instant,
}

impl Refusals {
    /// Records a refusal. Returns whether to log it: only the first one at its limit.
    pub fn record(&mut self, limit: &Limit) -> bool {
        let last = Instant::now();
        if let Some(refused) = self.0.get_mut(limit) {
            refused.count += 1;
            refused.last = last;
            return false;
        }
        let is_logged = self.0.len() < MAX_LOGGED;
        if is_logged {
            self.0.insert(limit.clone(), Refused { count: 1, last });
        }
        is_logged
    }

    /// Removes the limits that are no longer reached, with the number of refusals at each.
    pub fn ended(&mut self) -> Vec<(Limit, u64)> {
        let ended = self
            .0
            .extract_if(|_, refused| refused.last.elapsed() >= QUIET);
        ended
            .map(|(limit, refused)| (limit, refused.count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_addresses_cause_a_handful_of_lines() {
        let mut refusals = Refusals::default();
        let limits = (0..1000).map(|n| Limit::Address(std::net::Ipv4Addr::from_bits(n).into()));
        assert_eq!(
            limits.filter(|limit| refusals.record(limit)).count(),
            MAX_LOGGED
        );
        tokio::time::advance(QUIET).await;
        assert_eq!(refusals.ended().len(), MAX_LOGGED);
        assert!(refusals.record(&Limit::All));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_reached_until_no_client_was_refused_for_a_while() {
        let mut refusals = Refusals::default();
        for n in 1..=3 {
            assert_eq!(refusals.record(&Limit::All), n == 1);
            tokio::time::advance(QUIET / 2).await;
            assert_eq!(refusals.ended(), []);
        }
        tokio::time::advance(QUIET / 2).await;
        assert_eq!(refusals.ended(), [(Limit::All, 3)]);
        assert_eq!(refusals.ended(), []);
    }
}
