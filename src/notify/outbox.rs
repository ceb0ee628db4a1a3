//! The messages waiting for one recipient. They are sent in order, one at a time, until it takes them.
//!
//! A message that the recipient refuses is given up sooner than one that does not reach it. The outbox is bounded. If it is full, the oldest
//! message is lost, since the newest ones describe the present.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{backoff, webhook::Undelivered};
use crate::clock::Moment;

/// The most messages that wait. A day on which everything breaks and recovers has some dozens.
const MAX_WAITING: usize = 64;

/// How long to try to reach a recipient. Older messages are of no use.
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// How long to try while the recipient refuses, from its first refusal: enough time to correct the address and reload.
const MAX_AGE_REFUSED: Duration = Duration::from_secs(3600);

/// The longest wait between two attempts: soon enough after an outage, and 300 attempts a day.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// A message in the form that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub json: Bytes,
    pub made: Moment,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    under_way: bool,
    failures: u32,
    /// Since when the recipient has refused every attempt.
    refused_since: Option<Moment>,
    /// Nothing is sent before then.
    rest_until: Option<Instant>,
}

/// The consequence of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It will be tried again.
    Again,
    /// It is given up.
    Lost,
}

impl Outbox {
    /// Starts with the messages of an earlier run.
    pub fn with(waiting: impl IntoIterator<Item = Waiting>) -> Self {
        let mut outbox = Self::default();
        for one in waiting {
            outbox.add(one);
        }
        outbox
    }

    /// Adds a message. Returns whether another one was dropped to make room.
    pub fn add(&mut self, message: Waiting) -> bool {
        self.waiting.push_back(message);
        if self.waiting.len() <= MAX_WAITING {
            return false;
        }
        // The first one may be in flight, and its outcome must find it in first place.
        self.waiting.remove(usize::from(self.under_way));
        true
    }

    /// The message to send now. It is in flight from then on.
    pub fn due(&mut self, now: Instant) -> Option<Bytes> {
        if self.under_way || self.rest_until.is_some_and(|until| now < until) {
            return None;
        }
        let first = self.waiting.front()?;
        self.under_way = true;
        Some(first.json.clone())
    }

    /// Returns when something may be due.
    pub fn next(&self) -> Option<Instant> {
        let idle = !self.under_way && !self.waiting.is_empty();
        self.rest_until.filter(|_| idle)
    }

    /// The recipient has taken the message in flight.
    pub fn sent(&mut self) {
        self.waiting.pop_front();
        self.under_way = false;
        self.failures = 0;
        self.refused_since = None;
        self.rest_until = None;
    }

    /// The message in flight did not arrive.
    pub fn failed(&mut self, why: &Undelivered, now: Moment, at: Instant) -> Verdict {
        self.under_way = false;
        self.failures = self.failures.saturating_add(1);
        let wait = backoff::wait(self.failures, MAX_WAIT);
        self.rest_until = Some(at + wait.max(why.wait.unwrap_or_default()));
        let age = self.waiting.front().map(|first| now.boot_since(first.made));
        let age = age.unwrap_or_default();
        self.refused_since = match why.refused {
            true => self.refused_since.or(Some(now)),
            false => None,
        };
        // A message that was made since then has been refused for as long as it exists.
        let refused_for = self
            .refused_since
            .map(|since| now.boot_since(since).min(age));
        if age <= MAX_AGE && refused_for <= Some(MAX_AGE_REFUSED) {
            return Verdict::Again;
        }
        self.waiting.pop_front();
        Verdict::Lost
    }

    /// The address may have changed, so the next attempt is due at once.
    pub fn retry(&mut self) {
        self.refused_since = None;
        self.rest_until = None;
    }

    /// The messages that wait, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment {
        boot: Duration::from_secs(500_000),
        wall: Duration::from_secs(1_795_341_600),
    };

    fn message(text: &str) -> Waiting {
        Waiting {
            json: Bytes::copy_from_slice(text.as_bytes()),
            made: START,
        }
    }

    fn failure(refused: bool) -> Undelivered {
        Undelivered {
            why: String::new(),
            refused,
            wait: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_sent_one_at_a_time_in_order_with_a_back_off() {
        let mut outbox = Outbox::with([message("a"), message("b")]);
        let mut waits = Vec::new();
        for _ in 0..3 {
            let now = Instant::now();
            assert_eq!(outbox.due(now).as_deref(), Some(&b"a"[..]));
            assert_eq!(outbox.due(now), None, "one is under way");
            assert_eq!(outbox.failed(&failure(false), START, now), Verdict::Again);
            assert_eq!(outbox.due(now), None, "a back-off");
            let next = outbox.next().expect("the message is retried");
            waits.push(next - now);
            tokio::time::advance(next - now).await;
        }
        assert!(waits.is_sorted(), "{waits:?}");
        assert_eq!(outbox.due(Instant::now()).as_deref(), Some(&b"a"[..]));
        outbox.sent();
        assert_eq!(outbox.due(Instant::now()).as_deref(), Some(&b"b"[..]));
        outbox.sent();
        assert_eq!(outbox.due(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_requested_by_the_recipient_is_kept() {
        let mut outbox = Outbox::with([message("a")]);
        let now = Instant::now();
        outbox.due(now);
        let wait = Some(Duration::from_secs(90));
        let undelivered = Undelivered {
            wait,
            ..failure(false)
        };
        outbox.failed(&undelivered, START, now);
        assert!(outbox.next() >= Some(now + Duration::from_secs(90)));
    }

    /// Tries to send the first message, which fails this long after it was made, however the wall clock was set meanwhile.
    async fn fail(outbox: &mut Outbox, age: Duration, refused: bool) -> Verdict {
        let rests = outbox
            .next()
            .map(|next| next.saturating_duration_since(Instant::now()));
        tokio::time::advance(rests.unwrap_or_default()).await;
        assert!(outbox.due(Instant::now()).is_some());
        let now = Moment {
            wall: START.wall - MAX_AGE,
            ..START.later(age)
        };
        outbox.failed(&failure(refused), now, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn refused_messages_are_given_up_after_an_hour_and_undelivered_ones_after_a_day() {
        for (refused, max_age) in [(true, MAX_AGE_REFUSED), (false, MAX_AGE)] {
            let mut outbox = Outbox::with([message("a"), message("b")]);
            let second = Duration::from_secs(1);
            for (age, verdict) in [
                (Duration::ZERO, Verdict::Again),
                (max_age, Verdict::Again),
                (max_age + second, Verdict::Lost),
            ] {
                assert_eq!(fail(&mut outbox, age, refused).await, verdict);
            }
            assert_eq!(outbox.waiting().count(), 1, "the next one is not held up");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_hour_of_refusals_begins_with_the_first_of_them() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let mut outbox = Outbox::with([message("a")]);
        // An outage of two hours, a refusal, another failure, and then only refusals.
        for (age, refused) in [
            (0, false),
            (120, true),
            (170, false),
            (190, true),
            (250, true),
        ] {
            let verdict = fail(&mut outbox, minutes(age), refused).await;
            assert_eq!(verdict, Verdict::Again, "{age}");
        }
        // A reload may have corrected the address.
        outbox.retry();
        for (age, verdict) in [
            (255, Verdict::Again),
            (315, Verdict::Again),
            (316, Verdict::Lost),
        ] {
            assert_eq!(
                fail(&mut outbox, minutes(age), true).await,
                verdict,
                "{age}"
            );
        }
        // A message that comes now has an hour of its own.
        let made = START.later(minutes(320));
        outbox.add(Waiting {
            made,
            ..message("b")
        });
        for (age, verdict) in [
            (321, Verdict::Again),
            (380, Verdict::Again),
            (381, Verdict::Lost),
        ] {
            assert_eq!(
                fail(&mut outbox, minutes(age), true).await,
                verdict,
                "{age}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_do_not_prolong_the_day() {
        let mut outbox = Outbox::with([message("a")]);
        let age = MAX_AGE + Duration::from_secs(1);
        assert_eq!(fail(&mut outbox, age, true).await, Verdict::Lost);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_outbox_loses_the_oldest_but_not_the_one_in_flight() {
        let mut outbox = Outbox::default();
        for number in 0..MAX_WAITING {
            assert!(!outbox.add(message(&number.to_string())));
        }
        outbox.due(Instant::now());
        assert!(outbox.add(message("new")));
        let mut left = outbox.waiting().map(|one| one.json.clone());
        assert_eq!(
            left.next().as_deref(),
            Some(&b"0"[..]),
            "the message in flight stays"
        );
        assert_eq!(left.next().as_deref(), Some(&b"2"[..]));
        assert_eq!(left.last().as_deref(), Some(&b"new"[..]));
    }
}
