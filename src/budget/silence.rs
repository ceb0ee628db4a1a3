//! Pauses when CallTools asks for it.

use std::time::Duration;

use super::Budget;
use crate::clock::Moment;

impl Budget {
    /// Pauses after a 429 for as long as CallTools asks, and slows down afterwards. Returns when the pause ends.
    pub fn throttled(&self, wait: Option<Duration>) -> Moment {
        let until = self.refused(wait);
        if let Some(witness) = self.witness.as_deref() {
            witness.silenced(true, wait);
        }
        until
    }

    /// Pauses after a 5xx with `Retry-After`, which does not mean that the account's requests are spent.
    pub fn pause(&self, wait: Duration) {
        self.break_off(wait);
        if let Some(witness) = self.witness.as_deref() {
            witness.silenced(false, Some(wait));
        }
    }

    pub(super) fn refused(&self, wait: Option<Duration>) -> Moment {
        let owner = self.member.owner();
        let (is_news, share, until) = self.member.with(|book| {
            let now = book.now();
            let hour = book.hour(owner);
            hour.throttle.refused(wait, now, fastrand::f64());
            let is_news = !std::mem::replace(&mut hour.logged_others, true);
            let (share, until) = (hour.throttle.factor(now), hour.throttle.silent_until);
            book.throttle_changed(owner);
            (is_news, share, book.moment(until))
        });
        if is_news {
            tracing::warn!(
                account = self.account,
                share,
                "CallTools refused a request (429) although this budget had room: other software spends from this account, or \
                 requests_per_hour is too high; polling slows down until that ends"
            );
        }
        until
    }

    pub(super) fn break_off(&self, wait: Duration) {
        let owner = self.member.owner();
        self.member.with(|book| {
            let now = book.now();
            book.hour(owner).throttle.pause(wait, now, fastrand::f64());
            book.throttle_changed(owner);
        });
    }
}
