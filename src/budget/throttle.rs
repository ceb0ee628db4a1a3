//! The throttle: slows down after a 429. If the window had room, other software spends from the account too.
//!
//! openseat then pauses for as long as CallTools asks, continues at a lower rate, and recovers slowly: additive increase,
//! multiplicative decrease, the rule that lets TCP connections share a line.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::window::Time;

/// The part of the rate that remains after a 429. Gentler than TCP's half, because half the rate makes all answers much older.
const DECREASE: f64 = 0.7;

/// The lowest part of the rate, so that polling never stops.
const FLOOR: f64 = 0.05;

/// Recovering from one 429 takes 36 minutes: slow compared with a window that empties within minutes, quick compared with a shift.
const INCREASE_PER_HOUR: f64 = 0.5;

/// The pause without a readable `Retry-After`. It doubles with each further 429.
const FIRST_SILENCE: Duration = Duration::from_secs(60);

/// The longest pause: after an hour, a sliding window is certainly empty.
pub const MAX_SILENCE: Duration = Duration::from_secs(3600);

/// After this long without a 429, the next pause is the first one again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// A wait this short, such as from `Retry-After: 0`, says little, so it is believed once. If another 429 follows, it means nothing, and further
/// refused requests could prolong a lock.
const HARDLY_A_WAIT: Duration = Duration::from_secs(1);

/// See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Throttle {
    /// The part of the rate that openseat may use, at `since`.
    pub factor: f64,
    /// When the last 429 came.
    pub since: Time,
    /// Nothing is sent until then, because of a 429.
    pub silent_until: Time,
    /// Nothing is sent until then, because of a 5xx with `Retry-After`.
    pub paused_until: Time,
    /// How many 429s in a row gave no time to wait.
    pub in_row: u32,
}

impl Default for Throttle {
    /// The full rate.
    fn default() -> Self {
        Self {
            factor: 1.0,
            since: Time::ZERO,
            silent_until: Time::ZERO,
            paused_until: Time::ZERO,
            in_row: 0,
        }
    }
}

impl Throttle {
    /// Returns a stored throttle, clamped to its bounds.
    pub fn restored(self, now: Time) -> Self {
        Self {
            factor: self.factor.clamp(FLOOR, 1.0),
            since: self.since.min(now),
            silent_until: self.silent_until.min(now + MAX_SILENCE),
            paused_until: self.paused_until.min(now + MAX_SILENCE),
            in_row: self.in_row,
        }
    }

    /// Returns the part of the rate that openseat may use now.
    pub fn factor(&self, now: Time) -> f64 {
        let hours = now.saturating_sub(self.since).as_secs_f64() / 3600.0;
        (self.factor + hours * INCREASE_PER_HOUR).min(1.0)
    }

    /// Returns the end of the pause after a 429, if one is in progress.
    pub fn silence(&self, now: Time) -> Option<Time> {
        (self.silent_until > now).then_some(self.silent_until)
    }

    /// Returns the end of the pause after a 5xx, if one is in progress.
    pub fn pause_end(&self, now: Time) -> Option<Time> {
        (self.paused_until > now).then_some(self.paused_until)
    }

    /// Records a 429 that asked for `wait`. `jitter` in 0..1 spreads clients that were refused together.
    pub fn refused(&mut self, wait: Option<Duration>, now: Time, jitter: f64) {
        // Requests under way at the same time are refused together: that is one event, and one step down.
        let same_event = self.silence(now).is_some();
        let again = self.silent_until > Time::ZERO && now <= self.silent_until + FORGIVEN_AFTER;
        let wait = wait.filter(|wait| same_event || !again || *wait > HARDLY_A_WAIT);
        let in_row = match wait {
            Some(_) => 0,
            None if same_event => self.in_row,
            None if now > self.silent_until + FORGIVEN_AFTER => 1,
            None => self.in_row + 1,
        };
        let asked =
            wait.unwrap_or_else(|| FIRST_SILENCE * 2u32.pow(in_row.saturating_sub(1).min(6)));
        self.factor = match same_event {
            true => self.factor(now),
            false => (self.factor(now) * DECREASE).max(FLOOR),
        };
        (self.since, self.in_row) = (now, in_row);
        self.silent_until = self.silent_until.max(end(asked, now, jitter));
    }

    /// Records a 5xx that asked for `wait`. It is no sign that others spend from the account, so the rate stays as it is.
    pub fn pause(&mut self, wait: Duration, now: Time, jitter: f64) {
        self.paused_until = self.paused_until.max(end(wait, now, jitter));
    }

    /// Joins the throttles of two accounts that turn out to share an hour: the longer pauses and the lower rate apply.
    pub fn join(&mut self, other: Throttle, now: Time) {
        let silent_until = self.silent_until.max(other.silent_until);
        let paused_until = self.paused_until.max(other.paused_until);
        if other.factor(now) < self.factor(now) {
            *self = other;
        }
        (self.silent_until, self.paused_until) = (silent_until, paused_until);
    }
}

/// Returns the end of a pause that starts now.
fn end(wait: Duration, now: Time, jitter: f64) -> Time {
    let wait = wait.min(MAX_SILENCE);
    now + wait + wait.mul_f64(0.05 * jitter).min(Duration::from_secs(10))
}
