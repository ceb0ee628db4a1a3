//! Where an account's statuses come from, and why not from a better list.

use maud::{Markup, html};

use super::zone::Zone;
use crate::account::feeds::{FeedStanding, Standing};

/// A sentence about the feed in use, and one about each better feed that is not used.
pub(super) fn sentences(feeds: &[FeedStanding], zone: &Zone) -> Markup {
    let is_in_use = |feed: &&FeedStanding| feed.standing == Standing::InUse;
    let Some(in_use) = feeds.iter().find(is_in_use) else {
        return html! {};
    };
    let better = feeds.iter().take_while(|feed| !is_in_use(feed));
    let better = better.filter(|feed| feed.standing != Standing::NoGain);
    html! {
        " Statuses come from " (in_use.feed.noun()) "."
        @for feed in better {
            " Not used"
            @if let Some(until) = feed.until { " until " (zone.time(until)) }
            ": " (feed.feed.noun()) " (" (feed.why) ")."
        }
    }
}
