//! Continues the list of changes of an earlier task, which may have been the leader on another machine: a list of 10,000 agents is read for minutes
//! before it can begin anew.

use super::{CHANGES_FORGOTTEN, Feed, Feeds, Taken, omitted::CROSSING};
use crate::{
    account::{newest::Newest, roster::Roster},
    clock::Moment,
    model::known::Sighting,
};

impl Feeds {
    /// Begins the list of changes at what an earlier task knew of the whole account: `known` has the rows of trusted lists, each with the moment as
    /// of which it is known. `looked` is when the last of them may have been read, if that is known; `pages` is the length
    /// of the full list, as far as known.
    ///
    /// The chain begins at the earliest of these moments, unless some rows are older than any chain may be; it does not confirm these.
    pub fn begin_again(
        &mut self,
        known: &[Sighting],
        looked: Option<Moment>,
        pages: u32,
        now: Moment,
    ) {
        self.sweep_pages = self.sweep_pages.max(pages);
        let is_new = |at: &Moment| now.longest_since(*at) < CHANGES_FORGOTTEN;
        let looks = || {
            let listed = known.iter().filter(|row| row.by_sweep);
            listed.map(|row| row.at).filter(is_new)
        };
        let begin = looks().min_by_key(|at| at.boot);
        let (Some(begin), Some(newest)) = (begin, looks().max_by_key(|at| at.boot)) else {
            return;
        };
        let dates = Newest::of(known.iter().filter_map(|row| row.agent.status_since));
        // Of fewer dates, all may be wrong ones in the future.
        if dates.sure().is_some() {
            self.delta.begin_again(begin, &dates, looked.unwrap_or(now));
            self.recalled = Some(newest);
        }
    }

    /// Returns whether a reading proves the list of changes without a new full list: it agrees with the recalled rows of lists, all of which were
    /// seen long enough before to be compared with it.
    ///
    /// It proves nothing if a member was last seen before the chain began, since the list would not confirm what is known of them.
    pub(super) fn is_recalled_list_proof(&self, taken: &Taken, roster: &Roster) -> bool {
        let (Taken::Changes { as_of }, Some(newest)) = (taken, self.recalled) else {
            return false;
        };
        let can_compare = as_of.boot.saturating_sub(newest.boot) >= CROSSING;
        let confirmed = self.delta.confirmed();
        can_compare && confirmed.is_some_and(|(base, _)| roster.are_members_known_since(base, true))
    }

    /// Forgets recalled changes, because the list does not reach back to them. It begins anew at the next full list.
    pub(super) fn forget_recalled(&mut self) {
        self.recalled = None;
        self.delta.forget_chain();
    }

    /// Forgets a list of changes that is not in use and was not read for a while.
    pub(super) fn forget_old_changes(&mut self, now: Moment) {
        let is_old = |as_of: Moment| now.longest_since(as_of) >= CHANGES_FORGOTTEN;
        self.delta.lengths.forget_old(now);
        if self.in_use() != Feed::Delta && self.delta.as_of().is_some_and(is_old) {
            self.delta.forget_chain();
            self.choice.forget(Feed::Delta);
            self.recalled = None;
        }
    }
}
