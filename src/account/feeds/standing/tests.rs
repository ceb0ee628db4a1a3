use Standing::*;

use super::*;
use crate::{
    account::{
        feeds::{Doubt, GivenUp},
        roster::Roster,
    },
    clock::{Clock, VirtualClock},
};

const TRUSTED: FullList = FullList {
    is_off: false,
    pays: true,
    most: 9,
    bears_trials: true,
    is_trusted: true,
};

fn now() -> Moment {
    VirtualClock::default().now()
}

/// Returns the feeds of an account whose full list of `pages` pages was read.
fn account(pages: u32) -> Feeds {
    let mut feeds = Feeds::default();
    let status = ReadyStatus {
        id: 7,
        name: "Available".into(),
    };
    feeds.set_ready_statuses(vec![status], &mut Roster::new(1), now());
    feeds.full_page(pages, None, now(), &[], &Roster::new(1));
    feeds
}

/// Returns the standings of delta, available, sweep and queues.
fn standings(feeds: &Feeds, full: FullList) -> [Standing; 4] {
    let feeds = feeds.standings(full, now());
    let order: Vec<_> = feeds.iter().map(|feed| feed.feed).collect();
    assert_eq!(
        order,
        [Feed::Delta, Feed::Available, Feed::Sweep, Feed::Queues]
    );
    let in_use = feeds.iter().filter(|feed| feed.standing == InUse);
    assert_eq!(in_use.count(), 1, "{feeds:?}");
    assert!(feeds.iter().all(|feed| !feed.why.is_empty()), "{feeds:?}");
    [0, 1, 2, 3].map(|place| feeds[place].standing)
}

#[test]
fn one_feed_is_in_use_and_the_others_say_why_they_are_not() {
    let off = FullList {
        is_off: true,
        ..TRUSTED
    };
    let too_long = FullList {
        pays: false,
        ..TRUSTED
    };
    let no_list_pays = FullList {
        most: 0,
        ..too_long
    };
    let unproved = FullList {
        is_trusted: false,
        ..TRUSTED
    };
    let small = [NoGain, NoGain, InUse, NoGain];
    for (pages, full, expected) in [
        (1, TRUSTED, small),
        (8, TRUSTED, [Untried, Untried, InUse, NoGain]),
        (8, unproved, [Untried, Untried, Untried, InUse]),
        (8, too_long, [Untried, Untried, NoGain, InUse]),
        (8, no_list_pays, [NoGain, NoGain, NoGain, InUse]),
        (8, off, [Impossible, Impossible, Impossible, InUse]),
    ] {
        let standings = standings(&account(pages), full);
        assert_eq!(standings, expected, "{pages} {full:?}");
    }
}

#[test]
fn a_feed_that_is_given_up_says_until_when() {
    let mut feeds = account(8);
    feeds.give_up(
        Feed::Delta,
        GivenUp::Doubted(Doubt::Unordered),
        &Roster::new(1),
        now(),
    );
    feeds.give_up(Feed::Available, GivenUp::Failed, &Roster::new(1), now());
    let stand = [Distrusted, Resting, InUse, NoGain];
    assert_eq!(standings(&feeds, TRUSTED), stand);
    let later = |minutes: u64| now().later(Duration::from_secs(60 * minutes));
    let standings = feeds.standings(TRUSTED, later(5));
    assert_eq!(standings[0].why, Doubt::Unordered.sentence());
    let boot = |place: usize| standings[place].until.unwrap().boot;
    assert!(boot(0) > boot(1), "an hour, and ten minutes");
    let standings = feeds.standings(TRUSTED, later(61));
    assert_eq!(
        (
            standings[0].standing,
            standings[1].standing,
            standings[0].until
        ),
        (Untried, Untried, None)
    );
    assert!(standings[0].why.contains("again"), "{}", standings[0].why);
}

#[test]
fn a_distrusted_full_list_says_why_and_until_when() {
    let mut feeds = account(1);
    let until = now().later(Duration::from_secs(60));
    feeds.suspend_full_list(Distrusted, "it lies".to_owned(), until, now());
    let full = FullList {
        is_trusted: false,
        ..TRUSTED
    };
    let sweep = feeds.standings(full, now()).remove(2);
    assert_eq!(
        (sweep.standing, &*sweep.why, sweep.until),
        (Distrusted, "it lies", Some(until))
    );
}

#[test]
fn the_filter_needs_a_ready_status_and_no_criteria_that_read_reasons() {
    let mut feeds = account(8);
    feeds.set_needs_reasons(true, &Roster::new(1), now());
    assert_eq!(standings(&feeds, TRUSTED)[1], Impossible);
    feeds.set_needs_reasons(false, &Roster::new(1), now());
    feeds.set_ready_statuses(Vec::new(), &mut Roster::new(1), now());
    assert_eq!(standings(&feeds, TRUSTED)[1], Impossible);
    assert_eq!(
        Feeds::planned(1, true, TRUSTED)[1].standing,
        Impossible,
        "a plan says so, too"
    );
}
