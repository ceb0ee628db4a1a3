//! Follows the full list, which the other feeds depend on.

use std::time::Duration;

use jiff::SignedDuration;

use super::{Feed, Feeds, Standing, WholeList, behind::Behind};
use crate::{
    account::roster::Roster,
    clock::Moment,
    model::{agent::Agent, known::Sighting},
};

/// If the full list does not pay, and no list does that it could prove, these are tried again after this time, …
const TRY_AGAIN: Duration = Duration::from_secs(3600);

/// … or after so many times as long as it took to read the full list, so that queues lose at most a twentieth of their polls.
const PAUSE_AFTER_TRIAL: u32 = 10;

/// The longest such pause: a reading that was interrupted for hours does not show how long one takes.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

impl Feeds {
    /// Records a page of the full list, before `roster` takes it. `next` is the page after it.
    pub fn full_page(
        &mut self,
        page: u32,
        next: Option<u32>,
        as_of: Moment,
        rows: &[Agent],
        roster: &Roster,
    ) {
        (self.since_full, self.full_at, self.tries) = (0, Some(as_of), 0);
        self.full_failed = false;
        if page == 1 {
            // While another list is in use, a page of the full list is read now and then. That takes longer than a trial.
            let is_at_once = self.in_use() == Feed::Sweep;
            (self.full_begun, self.full_again) = (is_at_once.then_some(as_of), None);
        }
        self.sweep_pages = match next {
            Some(next) => self.sweep_pages.max(next),
            None => page,
        };
        self.forget_old_changes(as_of);
        let available = rows.iter().filter(|row| row.available == Some(true));
        let earlier = if page == 1 { 0 } else { self.listed_available };
        self.listed_available = earlier + available.count();
        let is_start = page == 1 || self.in_use() == Feed::Available;
        if is_start
            && self.sweep_pages > 1
            && !self.delta.has_begun()
            && self.may_try(Feed::Delta, as_of)
            && self.may_gain(Feed::Delta)
        {
            self.delta.begin(as_of, rows.iter());
            let seen = roster.newest_rows().filter(|row| row.at.boot <= as_of.boot);
            let is_beside_others = self.in_use() == Feed::Available;
            self.delta
                .saw(seen.map(|row| &*row.agent), is_beside_others);
        }
    }

    /// Records the end of a full list that is trusted. Returns whether another feed is used from now on.
    pub fn full_list_ended(&mut self, roster: &Roster, now: Moment) -> bool {
        // Without another feed, the roster does not know which of the agents on earlier pages have gone.
        self.known_available = match self.in_use() {
            Feed::Sweep => self.listed_available,
            _ => roster.available(),
        };
        self.counted_at = Some(now);
        self.full_suspended = None;
        self.pause_trials(now);
        if self.in_use() == Feed::Sweep {
            self.prove_delta(now);
        }
        self.choose(roster, now)
    }

    /// Records that a reading of the full list has ended, at its end or before: only after a pause is it read again to try other lists.
    pub fn pause_trials(&mut self, now: Moment) {
        if self.full_again.is_some() {
            return;
        }
        if let Some(begun) = self.full_begun.take() {
            self.full_took = now.longest_since(begun);
        }
        let pause = self.full_took * PAUSE_AFTER_TRIAL;
        self.full_again = Some(now.later(pause.clamp(TRY_AGAIN, LONGEST_PAUSE)));
    }

    /// Trusts the list of changes, if it was proved.
    pub(super) fn prove_delta(&mut self, now: Moment) {
        if self.delta.is_proved() && self.may_try(Feed::Delta, now) {
            self.choice.proved(Feed::Delta);
            self.recalled = None;
        }
    }

    /// Records the answer to a request for the full list in one piece. Returns whether it is the whole list.
    pub fn take_whole(&mut self, rows: usize, is_last: bool, now: Moment) -> bool {
        self.unfinished = None;
        self.whole.take(rows, is_last, now)
    }

    /// Returns whether CallTools gives the full list in one piece.
    pub fn is_given_at_once(&self) -> bool {
        self.whole == WholeList::Given
    }

    /// Records that the full list cannot be read in one piece, or is refused.
    pub fn whole_failed(&mut self, is_refusal: bool, now: Moment) {
        self.unfinished = None;
        self.whole.give_up(is_refusal, now);
    }

    /// Takes the rows of deltas that were kept until the full list was trusted.
    pub fn take_kept(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.kept)
    }

    /// Records the look that [kept rows](Self::take_kept) lag behind.
    pub fn kept_rows_lag(&mut self, lag: Moment) {
        self.delta.lags_behind(lag);
    }

    /// Keeps rows until the full list is trusted.
    pub fn keep(&mut self, rows: Vec<Sighting>) {
        self.kept.extend(rows);
    }

    /// Records that a page of the full list could not be read while another feed is in use. It is read again when the next page would be due. Returns
    /// whether it is the first failure since a page was read.
    pub fn full_page_failed(&mut self, now: Moment) -> bool {
        (self.since_full, self.full_at) = (0, Some(now));
        !std::mem::replace(&mut self.full_failed, true)
    }

    /// Suspends the full list until then, and with it all feeds that depend on it.
    pub fn suspend_full_list(
        &mut self,
        standing: Standing,
        why: String,
        until: Moment,
        now: Moment,
    ) {
        self.full_suspended = Some((standing, why.into(), until));
        self.unfinished = None;
        self.delta.end();
        self.available.end();
        self.choice.suspended();
        self.pause_trials(now);
        self.recalled = None;
        self.kept.clear();
        (self.known_available, self.counted_at) = (0, None);
    }

    /// Continues after CallTools' dates have gone back by this time.
    pub fn stepped_back(&mut self, step: SignedDuration) {
        self.behind = Behind::default();
        self.delta.stepped_back(step);
        self.available.stepped_back();
    }
}
