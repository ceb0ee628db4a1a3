//! The full list in one piece: `page_size=max`. If CallTools gives it, a sweep costs one request for any roster. One public client does so, but
//! CallTools does not promise it. So it is tried once if the list has more than one page, and given up if the answer is incomplete. Pure.

use std::time::Duration;

use super::choice::FAILURE_LASTS;
use crate::{calltools::PAGE_SIZE, clock::Moment};

/// How long the list is read page by page after a refusal. If the answer was only a part of the list, it is never tried again.
const TRY_AGAIN: Duration = Duration::from_secs(3600);

/// Whether CallTools gives the full list in one piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WholeList {
    /// It was not tried.
    #[default]
    Untried,
    /// CallTools gives it.
    Given,
    /// CallTools gives only a part.
    Clipped,
    /// The request failed; it is not tried again until then.
    Failed(Moment),
}

impl WholeList {
    /// Returns whether to request all of a full list with this many pages next time.
    pub(super) fn is_worth_a_request(self, pages: u32, now: Moment) -> bool {
        match self {
            WholeList::Given => true,
            WholeList::Clipped => false,
            WholeList::Untried => pages > 1,
            WholeList::Failed(until) => pages > 1 && now.boot >= until.boot,
        }
    }

    /// Records an answer with this many rows. Returns whether it is the whole list.
    pub(super) fn take(&mut self, rows: usize, is_last: bool, now: Moment) -> bool {
        // A list that has shrunk to a page is still whole.
        let is_known = *self == WholeList::Given;
        let is_whole = is_last && (is_known || rows > PAGE_SIZE as usize);
        *self = match (is_whole, is_known) {
            (true, _) => WholeList::Given,
            (false, false) => WholeList::Clipped,
            // It was given before, so something has changed.
            (false, true) => WholeList::Failed(now.later(TRY_AGAIN)),
        };
        is_whole
    }

    /// Records that it could not be read, or was refused.
    pub(super) fn give_up(&mut self, is_refusal: bool, now: Moment) {
        let lasts = if is_refusal { TRY_AGAIN } else { FAILURE_LASTS };
        *self = WholeList::Failed(now.later(lasts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, VirtualClock};

    #[test]
    fn it_is_tried_once_and_used_while_it_is_whole() {
        let now = VirtualClock::default().now();
        let mut list = WholeList::default();
        assert!(!list.is_worth_a_request(1, now), "one page is whole");
        assert!(list.is_worth_a_request(3, now));
        assert!(list.take(700, true, now));
        // The sweep has one page now, even if agents leave.
        assert!(list.is_worth_a_request(1, now) && list.take(200, true, now));
        assert!(!list.take(250, false, now));
        assert!(!list.is_worth_a_request(3, now));
        assert!(list.is_worth_a_request(3, now.later(TRY_AGAIN)));
    }

    #[test]
    fn a_clipped_list_is_never_tried_again_and_a_refused_one_after_an_hour() {
        let now = VirtualClock::default().now();
        for (rows, is_last) in [(250, false), (25, false), (250, true), (0, true)] {
            let mut list = WholeList::default();
            assert!(!list.take(rows, is_last, now), "{rows} {is_last}");
            assert!(!list.is_worth_a_request(9, now.later(10 * TRY_AGAIN)));
        }
        for (is_refusal, lasts) in [(true, TRY_AGAIN), (false, FAILURE_LASTS)] {
            let mut list = WholeList::default();
            list.give_up(is_refusal, now);
            assert!(!list.is_worth_a_request(9, now.later(lasts / 2)));
            assert!(list.is_worth_a_request(9, now.later(lasts)));
        }
    }
}
