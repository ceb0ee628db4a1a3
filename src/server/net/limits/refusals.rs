//! Which bounds are met at the moment, so that the log says it once.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::Bound;

/// A bound is no longer met once nobody was refused for so long: longer than common clients wait before they try again.
pub const QUIET: Duration = Duration::from_secs(60);

/// Bounds that are told at the same time. By default four addresses can meet theirs at once; more come only one after the other, and the log
/// stays short whoever they are.
const MOST: usize = 16;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Refusals(HashMap<Bound, Met>);

/// How often a bound was met, and when last.
#[derive(Debug)]
struct Met {
    count: u64,
    last: Instant,
}

impl Refusals {
    /// Notes a refusal. Returns whether it is one to tell: the first one at its bound.
    pub fn note(&mut self, bound: &Bound) -> bool {
        let last = Instant::now();
        if let Some(met) = self.0.get_mut(bound) {
            met.count += 1;
            met.last = last;
            return false;
        }
        let is_told = self.0.len() < MOST;
        if is_told {
            self.0.insert(bound.clone(), Met { count: 1, last });
        }
        is_told
    }

    /// Takes out the bounds that are no longer met, with the number of refusals at each.
    pub fn ended(&mut self) -> Vec<(Bound, u64)> {
        let ended = self.0.extract_if(|_, met| met.last.elapsed() >= QUIET);
        ended.map(|(bound, met)| (bound, met.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thousand_addresses_are_a_handful_of_lines() {
        let mut refusals = Refusals::default();
        let bounds = (0..1000).map(|n| Bound::Address(std::net::Ipv4Addr::from_bits(n).into()));
        assert_eq!(bounds.filter(|bound| refusals.note(bound)).count(), MOST);
        tokio::time::advance(QUIET).await;
        assert_eq!(refusals.ended().len(), MOST);
        assert!(refusals.note(&Bound::All));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bound_is_met_until_nobody_was_refused_for_a_while() {
        let mut refusals = Refusals::default();
        for n in 1..=3 {
            assert_eq!(refusals.note(&Bound::All), n == 1);
            tokio::time::advance(QUIET / 2).await;
            assert_eq!(refusals.ended(), []);
        }
        tokio::time::advance(QUIET / 2).await;
        assert_eq!(refusals.ended(), [(Bound::All, 3)]);
        assert_eq!(refusals.ended(), []);
    }
}
