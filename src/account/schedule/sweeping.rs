//! The sweep of the whole account: the page to read next, and whether sweeps are trusted.

use std::time::Duration;

use super::{Schedule, retry::Attempts};

/// Sweeps that could not be trusted are tried again after this long: somebody may have given the token more rights.
pub(super) const TRUST_AGAIN: Duration = Duration::from_secs(3600);

/// The sweep of the whole account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweeping {
    pub attempts: Attempts,
    /// The page to read next.
    pub page: u32,
    /// Pages of the last whole sweep; one until the first is whole, as most accounts have.
    pub pages: u32,
    /// Sweeps have proved true.
    pub trusted: bool,
    /// Sweeps were found wanting, and have not proved true since.
    pub distrusted: bool,
    /// One was read to its end, or given up.
    pub was_whole: bool,
    pub not_before: Duration,
}

impl Schedule {
    /// An earlier run has seen sweeps prove true. As far as is known they take so many pages.
    pub fn trusted_before(&mut self, pages: u32) {
        self.sweeping.pages = pages.max(1);
        self.sweeping.was_whole = true;
        self.trust();
    }

    /// Whether one request, a sweep, tells the statuses of a queue's agents.
    pub fn sweep_tells(&self, queue: usize, now: Duration) -> bool {
        self.sweeps(now)
            && self.sweeping.trusted
            && self.sweeping.pages == 1
            && self.sweeping.page == 1
            && !self.queues[queue].need.alone
    }

    /// Whether sweeps were found wanting, and are not yet to be tried again.
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

    /// A whole sweep proved true.
    pub fn trust(&mut self) {
        self.sweeping.trusted = true;
        self.sweeping.distrusted = false;
    }

    /// Sweeps are not to be believed, or not to be had: queue polls alone for a good while.
    pub fn distrust(&mut self, now: Duration) {
        self.sweeping.trusted = false;
        self.sweeping.distrusted = true;
        self.sweeping.was_whole = true;
        self.sweeping.page = 1;
        self.sweeping.not_before = now + TRUST_AGAIN;
    }
}
