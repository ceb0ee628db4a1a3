//! What a 429 teaches: somebody else spends from the account too.
//!
//! The ledger knows all that we sent, so a 429 that came all the same means that others send as well. openseat then keeps the
//! silence that CallTools asked for, goes on at a lower rate, and climbs back slowly: additive increase, multiplicative
//! decrease, the rule by which strangers come to share a line.

use std::time::Duration;

use crate::clock::Moment;

/// What is left of the rate after a 429. Gentler than TCP's half: a router would rather have older answers from the
/// others' share than much older ones from ours.
const DECREASE: f64 = 0.7;

/// The rate never falls below this part, so that what is known goes on getting renewed.
const FLOOR: f64 = 0.05;

/// From one 429 to the full rate it takes 36 minutes: slow against the minutes in which a window empties, quick against a shift.
const INCREASE_PER_HOUR: f64 = 0.5;

/// Without a readable `Retry-After`: a minute, doubled with each 429 that follows, to an hour, after which a sliding
/// window is certainly empty.
const FIRST_SILENCE: Duration = Duration::from_secs(60);
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// A 429 this long after the last silence is a new story.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    /// The part of the rate that we allowed ourselves at `since`.
    level: f64,
    since: Moment,
    /// From `since` on.
    silence: Duration,
    /// How many 429s without a time to wait came in a row.
    in_row: u32,
}

impl Share {
    /// Nothing was ever refused.
    pub fn full(now: Moment) -> Self {
        Self {
            level: 1.0,
            since: now,
            silence: Duration::ZERO,
            in_row: 0,
        }
    }

    /// As it was before a restart.
    pub fn restored(level: f64, since: Moment, silence: Duration) -> Self {
        Self {
            level: level.clamp(FLOOR, 1.0),
            since,
            silence: silence.min(LONGEST_SILENCE),
            in_row: 0,
        }
    }

    /// The part of the rate that we allow ourselves now.
    pub fn level(&self, now: Moment) -> f64 {
        let hours = now.shortest_since(self.since).as_secs_f64() / 3600.0;
        (self.level + hours * INCREASE_PER_HOUR).min(1.0)
    }

    /// How long CallTools still wants to hear nothing.
    pub fn silence(&self, now: Moment) -> Duration {
        self.silence.saturating_sub(now.shortest_since(self.since))
    }

    /// What the silence was at its start.
    pub fn whole_silence(&self) -> Duration {
        self.silence
    }

    /// A 429 came, asking for `wait`. `jitter` in 0..1 spreads those who were refused together.
    pub fn refused(&mut self, wait: Option<Duration>, now: Moment, jitter: f64) {
        let left = self.silence(now);
        // Requests under way together are refused together: one event, one step down.
        let same_event = !left.is_zero();
        let in_row = match wait {
            Some(_) => 0,
            None if same_event => self.in_row,
            None if now.shortest_since(self.since) > self.silence + FORGIVEN_AFTER => 1,
            None => self.in_row + 1,
        };
        let asked =
            wait.unwrap_or_else(|| FIRST_SILENCE * 2u32.pow(in_row.saturating_sub(1).min(6)));
        let spread = asked.mul_f64(0.05 * jitter).min(Duration::from_secs(10));
        *self = Self {
            level: if same_event {
                self.level(now)
            } else {
                (self.level(now) * DECREASE).max(FLOOR)
            },
            since: now,
            silence: (asked.min(LONGEST_SILENCE) + spread).max(left),
            in_row,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        let start = Moment {
            boot: Duration::from_secs(1_000),
            wall: Duration::from_secs(1_795_341_600),
        };
        start.later(Duration::from_secs(seconds))
    }

    #[test]
    fn a_refusal_is_followed_by_silence_and_a_lower_share_that_recovers() {
        let mut share = Share::full(at(0));
        share.refused(Some(Duration::from_secs(30)), at(100), 0.0);
        assert_eq!(share.silence(at(100)), Duration::from_secs(30));
        assert_eq!(share.silence(at(131)), Duration::ZERO);
        assert!((share.level(at(100)) - 0.7).abs() < 1e-9);
        assert!((share.level(at(100 + 1_080)) - 0.85).abs() < 1e-9);
        assert_eq!(share.level(at(100 + 2_160)), 1.0);
    }

    #[test]
    fn requests_refused_together_lower_the_share_once() {
        let mut share = Share::full(at(0));
        share.refused(Some(Duration::from_secs(30)), at(100), 0.0);
        share.refused(Some(Duration::from_secs(90)), at(100), 0.0);
        assert!((share.level(at(100)) - 0.7).abs() < 1e-9);
        assert_eq!(share.silence(at(100)), Duration::from_secs(90));
    }

    #[test]
    fn without_a_time_to_wait_the_silence_doubles_to_an_hour() {
        let mut share = Share::full(at(0));
        let mut now = 100;
        let mut silences = Vec::new();
        for _ in 0..8 {
            share.refused(None, at(now), 0.0);
            silences.push(share.silence(at(now)).as_secs());
            now += share.silence(at(now)).as_secs() + 1;
        }
        assert_eq!(silences, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        share.refused(None, at(now + 3600), 0.0);
        assert_eq!(share.silence(at(now + 3600)).as_secs(), 60, "a new story");
    }

    #[test]
    fn the_share_never_falls_to_nothing() {
        let mut share = Share::full(at(0));
        for i in 1..100 {
            share.refused(Some(Duration::from_secs(1)), at(i * 2), 0.0);
        }
        assert!(share.level(at(200)) >= FLOOR);
    }
}
