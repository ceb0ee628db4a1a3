//! The full list at once: `page_size=max`. Where CallTools gives it, a sweep costs one request for any roster. One public client asks so; nobody has
//! promised it. So it is tried once, where the list has more than one page, and given up where it is not answered in full. Pure.

use std::time::Duration;

use crate::{calltools::PAGE_SIZE, clock::Moment};

/// After a failure the list is read page by page for so long. Where the answer was a part of the list, nothing is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(3600);

/// Whether CallTools gives the full list at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WholeList {
    /// Nobody has asked.
    #[default]
    Untried,
    /// It does.
    Given,
    /// It gives a part.
    Clipped,
    /// It did not answer; not to be tried until then.
    Failed(Moment),
}

impl WholeList {
    /// Whether the next look at the full list asks for all of it, if its pages are so many.
    pub(super) fn is_worth_a_request(self, pages: u32, now: Moment) -> bool {
        match self {
            WholeList::Given => true,
            WholeList::Clipped => false,
            WholeList::Untried => pages > 1,
            WholeList::Failed(until) => pages > 1 && now.boot >= until.boot,
        }
    }

    /// An answer came with so many rows. Returns whether it is the whole list.
    pub(super) fn take(&mut self, rows: usize, is_last: bool, now: Moment) -> bool {
        // A list that has come down to a page is whole, too.
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

    /// No answer came.
    pub(super) fn give_up(&mut self, now: Moment) {
        *self = WholeList::Failed(now.later(TRY_AGAIN));
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
        // The sweep has one page now, and stays so if people leave.
        assert!(list.is_worth_a_request(1, now) && list.take(200, true, now));
        assert!(!list.take(250, false, now));
        assert!(!list.is_worth_a_request(3, now));
        assert!(list.is_worth_a_request(3, now.later(TRY_AGAIN)));
    }

    #[test]
    fn what_is_clipped_or_ignored_is_not_tried_again_and_what_fails_is_after_an_hour() {
        let now = VirtualClock::default().now();
        for (rows, is_last) in [(250, false), (25, false), (250, true), (0, true)] {
            let mut list = WholeList::default();
            assert!(!list.take(rows, is_last, now), "{rows} {is_last}");
            assert!(!list.is_worth_a_request(9, now.later(10 * TRY_AGAIN)));
        }
        let mut list = WholeList::default();
        list.give_up(now);
        assert!(!list.is_worth_a_request(9, now.later(TRY_AGAIN / 2)));
        assert!(list.is_worth_a_request(9, now.later(TRY_AGAIN)));
    }
}
