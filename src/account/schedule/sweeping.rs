//! The sweep of the whole account: the page to read next, and whether sweeps are trusted.

use std::time::Duration;

use super::{Schedule, retry::Attempts};

/// Distrusted sweeps are tried again after this time: the token may have more rights by then.
pub(super) const TRUST_AGAIN: Duration = Duration::from_secs(3600);

/// The sweep of the whole account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweeping {
    pub attempts: Attempts,
    /// The page to read next.
    pub page: u32,
    /// Pages of the last whole sweep. Before the first it is one, as in most accounts.
    pub pages: u32,
    /// Sweeps agree with the queues.
    pub trusted: bool,
    /// Sweeps contradicted the queues, and have not agreed with them since.
    pub distrusted: bool,
    /// A sweep was read to its end, or suspended.
    pub was_whole: bool,
    pub not_before: Duration,
}

impl Schedule {
    /// An earlier run trusted sweeps. They have about this many pages.
    pub fn trusted_before(&mut self, pages: u32) {
        self.sweeping.pages = pages.max(1);
        self.sweeping.was_whole = true;
        self.trust();
    }

    /// Whether a sweep of one request shows the statuses of a queue's agents.
    pub fn sweep_tells(&self, queue: usize, now: Duration) -> bool {
        self.sweeps(now)
            && self.sweeping.trusted
            && self.sweeping.pages == 1
            && self.sweeping.page == 1
            && !self.queues[queue].need.alone
    }

    /// Whether sweeps are suspended.
    pub fn is_distrustful(&self, now: Duration) -> bool {
        now < self.sweeping.not_before
    }

    /// A page of a sweep was taken in; `next` is the page after it.
    pub fn swept(&mut self, page: u32, next: Option<u32>) {
        self.sweeping.page = next.unwrap_or(1);
        match next {
            None => {
                self.sweeping.pages = page;
                self.sweeping.was_whole = true;
            }
            Some(next) => self.sweeping.pages = self.sweeping.pages.max(next),
        }
    }

    /// A whole sweep agrees with the queues.
    pub fn trust(&mut self) {
        self.sweeping.trusted = true;
        self.sweeping.distrusted = false;
    }

    /// Suspends sweeps for a while, because they contradict the queues or cannot be read.
    pub fn distrust(&mut self, now: Duration) {
        self.sweeping.trusted = false;
        self.sweeping.distrusted = true;
        self.sweeping.was_whole = true;
        self.sweeping.page = 1;
        self.sweeping.not_before = now + TRUST_AGAIN;
    }
}
