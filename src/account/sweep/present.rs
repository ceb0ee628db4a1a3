//! CallTools' present, by the dates that it writes.
//!
//! Its dates may be in the local time of a zone, and our wall clock may be wrong. So the present is the latest date that rows have shown, and the
//! time since then by our boot clock. It may be earlier than it really is, if nobody has changed, but hardly later.

use std::time::Duration;

use jiff::SignedDuration;

use crate::{account::newest::Newest, clock::Moment, model::agent::Agent};

/// Half of the time for which a date counts. Local time is set back once a year, and statuses change within seconds in an account at work.
const HALF: Duration = Duration::from_secs(300);

/// See the [module](self). It keeps how far dates were ahead of our boot clock at most, when they were read.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// When this half began, …
    began: Option<Moment>,
    /// … the most in it, …
    most: Option<SignedDuration>,
    /// … and in the half before.
    before: Option<SignedDuration>,
}

impl Present {
    /// Learns from the rows of a page or a poll.
    pub fn learn(&mut self, rows: &[Agent], as_of: Moment) {
        let (Ok(boot), Ok(wall)) = (
            SignedDuration::try_from(as_of.boot),
            SignedDuration::try_from(as_of.wall),
        ) else {
            return;
        };
        self.forget(as_of);
        let dates = rows.iter().filter_map(|row| row.status_since);
        // A wrong date in the future is not the present.
        let latest = Newest::of(dates).sure();
        let ahead = latest.map(|date| date.as_duration().min(wall) - boot);
        self.most = self.most.max(ahead);
    }

    /// Returns how far CallTools' present is ahead of our boot clock, as far as known.
    pub fn ahead(&self) -> Option<SignedDuration> {
        self.most.max(self.before)
    }

    fn forget(&mut self, now: Moment) {
        let lasted = self.began.map(|began| now.boot_since(began));
        if lasted.is_none_or(|lasted| lasted >= HALF) {
            let is_recent = lasted.is_some_and(|lasted| lasted < 2 * HALF);
            self.before = self.most.take().filter(|_| is_recent);
            self.began = Some(now);
        }
    }
}
