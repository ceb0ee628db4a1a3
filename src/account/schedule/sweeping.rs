//! The state of sweeps: the page to read next, and whether sweeps are trusted.

use std::time::Duration;

use super::{Queue, Schedule, jobs::Job, retry::Attempts};
use crate::account::feeds::{FullList, Request};

/// Distrusted sweeps are tried again after this time: by then, the token may have more rights.
pub(in crate::account) const TRUST_AGAIN: Duration = Duration::from_secs(3600);

/// The part of the slots that a trial of lists takes while statuses come from polls: every other one.
pub(super) const TRIAL_PART: f64 = 0.5;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweeping {
    pub attempts: Attempts,
    /// The page to read next.
    pub page: u32,
    /// The pages of the last whole sweep; 1 before the first one, as in most accounts.
    pub pages: u32,
    /// Whether sweeps agree with the queues.
    pub trusted: bool,
    /// Whether sweeps contradicted the queues, and have not agreed with them since.
    pub distrusted: bool,
    /// The next request: a page of the full list, or of a feed that needs fewer requests.
    pub request: Request,
    /// Whether that is the next page of an unfinished list.
    pub reads_on: bool,
    /// The pages of a complete reading of such a feed, while one is used.
    pub feed_pages: Option<u32>,
    /// Whether a sweep was read to its end, or suspended.
    pub was_whole: bool,
    /// From when lists are tried that would pay, although the full list does not; `None` if there are none.
    pub tries_from: Option<Duration>,
    /// Whether they were tried when the last request was sent.
    pub is_tried: bool,
    pub not_before: Duration,
}

impl Schedule {
    /// Trusts sweeps, which have about this many pages, because an earlier run did.
    pub fn trusted_before(&mut self, pages: u32) {
        self.sweeping.pages = pages.max(1);
        self.sweeping.was_whole = true;
        self.trust();
    }

    /// Sets the next request for statuses, and the pages of a complete reading of a feed that replaces the full list.
    pub fn ask_next(&mut self, request: Request, reads_on: bool, feed_pages: Option<u32>) {
        self.sweeping.request = request;
        self.sweeping.reads_on = reads_on;
        self.sweeping.feed_pages = feed_pages;
    }

    /// Sets from when lists are tried that would pay, although the full list does not. A trial reads that from its start.
    pub fn try_lists(&mut self, from: Option<Duration>, now: Duration) {
        self.sweeping.tries_from = from;
        if !self.sweeps(now) {
            self.sweeping.page = 1;
        }
    }

    /// Returns the next request for statuses.
    pub fn status_job(&self) -> Job {
        match self.sweeping.request {
            Request::Full => Job::Sweep(self.sweeping.page),
            Request::Whole => Job::Whole,
            Request::Delta(page) => Job::Delta(page),
            Request::Available { status, page } => Job::Available(status, page),
        }
    }

    /// Returns whether a queue's statuses come only from its own polls.
    pub fn is_polled_alone(&self, queue: usize) -> bool {
        self.is_alone(&self.queues[queue])
    }

    pub(super) fn is_alone(&self, queue: &Queue) -> bool {
        let is_full_list_read = self.sweeping.feed_pages.is_none();
        queue.need.alone || queue.need.undated && !is_full_list_read
    }

    /// Returns the number of requests of a complete reading of the feed in use.
    pub fn status_pages(&self) -> u32 {
        match self.sweeping.request {
            // If it is not given in one piece, the next request shows that.
            Request::Whole => 1,
            _ => self.sweeping.feed_pages.unwrap_or(self.sweeping.pages),
        }
    }

    /// Returns whether statuses take several requests. Then callers do not wait for them, because their questions would take the feed's slots.
    pub fn statuses_take_long(&self, now: Duration) -> bool {
        self.sweeps(now) && !self.tries_lists(now) && self.status_pages() > 1
    }

    /// Returns the request that shows the statuses of a queue's agents, if a single one does.
    pub fn statuses_at_once(&self, queue: usize, now: Duration) -> Option<Job> {
        let is_whole = match self.sweeping.request {
            Request::Full | Request::Whole => self.sweeping.pages == 1 && self.sweeping.page == 1,
            _ => self.sweeping.feed_pages == Some(1) && !self.sweeping.reads_on,
        };
        let is_shown = self.sweeps(now)
            && self.sweeping.trusted
            && is_whole
            && !self.is_alone(&self.queues[queue]);
        is_shown.then(|| self.status_job())
    }

    /// Returns the state of the full list, for people.
    pub fn full_list(&self) -> FullList {
        FullList {
            is_off: !self.options.sweep,
            pays: self.sweep_pays(),
            most: self.most_pages(),
            bears_trials: self.polls_bear_a_trial(),
            is_trusted: self.sweeping.trusted,
        }
    }

    /// Returns whether sweeps are suspended.
    pub fn is_distrustful(&self, now: Duration) -> bool {
        now < self.sweeping.not_before
    }

    /// Records a page of a sweep; `next` is the page after it.
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

    /// Begins the next sweep, because the end of this one was not usable.
    pub fn sweep_from_the_start(&mut self) {
        self.sweeping.page = 1;
    }

    /// Trusts sweeps, because a whole sweep agrees with the queues.
    pub fn trust(&mut self) {
        self.sweeping.trusted = true;
        self.sweeping.distrusted = false;
    }

    /// Suspends sweeps for this long, because they contradict the queues or cannot be read.
    pub fn suspend(&mut self, now: Duration, lasts: Duration) {
        self.ask_next(Request::Full, false, None);
        self.sweeping.trusted = false;
        self.sweeping.distrusted = true;
        self.sweeping.was_whole = true;
        self.sweeping.page = 1;
        self.sweeping.not_before = now + lasts;
    }
}
