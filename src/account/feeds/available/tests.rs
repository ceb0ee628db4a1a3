//! Tests readings of filtered lists.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    fixtures::{agent, at},
    model::known::Sighting,
};

fn rows(names: std::ops::Range<usize>, status: &str) -> Vec<Agent> {
    let row = |n| agent(&format!("a{n}"), "", status);
    names.map(row).collect()
}

/// Lets three of these agents have changed lately.
fn changed_lately(mut rows: Vec<Agent>) -> Vec<Agent> {
    let lately = Some(jiff::Timestamp::constant(1_795_341_900, 0));
    rows[..3]
        .iter_mut()
        .for_each(|row| row.status_since = lately);
    rows
}

fn roster(rows: Vec<Agent>) -> Roster {
    let mut roster = Roster::new(1);
    let sighting = |agent| Sighting {
        agent: Arc::new(agent),
        at: at(0),
        by_sweep: true,
    };
    roster.see(rows.into_iter().map(sighting).collect());
    roster
}

fn page(number: u32, last: bool, rows: &[Agent]) -> FilteredPage<'_> {
    FilteredPage {
        as_of: at(10),
        status: 1,
        page: number,
        last,
        rows,
        skipped: 0,
    }
}

fn available(names: &[&str]) -> Available {
    let statuses = names.iter().zip(1..).map(|(name, id)| ReadyStatus {
        id,
        name: (*name).into(),
    });
    let mut available = Available::default();
    available.set_statuses(statuses.collect());
    available
}

#[test]
fn agents_who_are_not_on_the_complete_list_are_no_longer_available() {
    let mut feed = available(&["Available"]);
    let board = roster(rows(0..30, "Available"));
    let listed = rows(2..30, "Available");
    let (first, second) = (&listed[..20], &listed[19..]);
    assert_eq!(feed.next_page(), Some((1, 1)));
    assert_eq!(
        feed.take(page(1, false, first), board.available(), &board),
        Step::ReadOn
    );
    assert_eq!(feed.next_page(), Some((1, 2)));
    let Step::Complete {
        as_of,
        listed: 28,
        mut gone,
        ..
    } = feed.take(page(2, true, second), board.available(), &board)
    else {
        panic!("it is complete");
    };
    gone.sort();
    assert_eq!((as_of, gone.len(), &*gone[0].0), (at(10), 2, "a0"));
    assert_eq!((feed.pages(), feed.proved), (Some(2), true));
}

#[test]
fn each_ready_status_has_its_own_list() {
    let mut feed = available(&["Available", "Ready for chats"]);
    let mut both = rows(0..10, "Available");
    let others = |names| {
        let mut others = rows(names, "Ready for chats");
        others.iter_mut().for_each(|row| row.available = Some(true));
        others
    };
    both.extend(others(10..20));
    let board = roster(both);
    let first = rows(0..10, "Available");
    assert_eq!(
        feed.take(page(1, true, &first), board.available(), &board),
        Step::ReadOn
    );
    assert_eq!(feed.next_page(), Some((2, 1)));
    let others = others(10..20);
    let second = FilteredPage {
        status: 2,
        ..page(1, true, &others)
    };
    let step = feed.take(second, board.available(), &board);
    assert_eq!(
        step,
        Step::Complete {
            as_of: at(10),
            listed: 20,
            gone: Vec::new(),
            slipped: Vec::new(),
            has_edges: false,
        }
    );
}

#[test]
fn an_ignored_filter_is_noticed_at_once() {
    let mut feed = available(&["Available"]);
    let mut everybody = rows(0..10, "Available");
    everybody.extend(rows(10..20, "Not Available"));
    let step = feed.take(page(1, true, &everybody), 10, &roster(Vec::new()));
    assert_eq!(step, Step::Distrusted(Doubt::Unfiltered));
}

#[test]
fn a_list_that_does_not_fit_the_known_statuses_is_not_used() {
    let mut feed = available(&["Available"]);
    let board = roster(rows(0..100, "Available"));
    let few = rows(0..50, "Available");
    for step in [Step::Misfit, Step::Misfit, Step::Failed] {
        assert_eq!(
            feed.take(page(1, true, &few), board.available(), &board),
            step
        );
    }
}

#[test]
fn a_later_list_may_be_longer_but_not_far_shorter_than_what_is_known() {
    let mut feed = available(&["Available"]);
    let board = roster(rows(0..100, "Available"));
    for (listed, is_used) in [
        (0..100, true),
        (0..0, false),
        (0..70, true),
        (0..60, false),
        (0..60, false),
        (0..300, true),
    ] {
        let (listed, shown) = (rows(listed.clone(), "Available"), listed);
        let step = feed.take(page(1, true, &listed), board.available(), &board);
        let expected = matches!(step, Step::Complete { .. });
        assert_eq!(expected, is_used, "{shown:?}: {step:?}");
    }
}

#[test]
fn a_page_that_was_not_requested_next_belongs_to_no_reading() {
    let mut feed = available(&["Available"]);
    let board = roster(rows(0..100, "Available"));
    let listed = rows(0..100, "Available");
    let pages: Vec<_> = listed.chunks(25).collect();
    for number in 1..=2 {
        let page = page(number, false, pages[number as usize - 1]);
        assert_eq!(feed.take(page, 100, &board), Step::ReadOn);
    }
    // The statuses change while the third page is under way.
    let statuses = [(1, "Available"), (2, "Ready for chats")];
    let statuses = statuses.map(|(id, name)| ReadyStatus {
        id,
        name: name.into(),
    });
    assert!(feed.set_statuses(statuses.to_vec()));
    assert_eq!(
        feed.take(page(3, false, pages[2]), 100, &board),
        Step::Stray
    );
    assert_eq!(feed.next_page(), Some((1, 1)));
    let other = FilteredPage {
        status: 2,
        ..page(1, true, pages[0])
    };
    assert_eq!(feed.take(other, 100, &board), Step::Stray);
}

#[test]
fn agents_with_a_new_ready_status_are_no_misses_of_earlier_lists() {
    let mut feed = available(&["Available"]);
    let board = roster(rows(0..30, "Available"));
    let listed = changed_lately(rows(0..27, "Available"));
    for seconds in [10, 60] {
        let page = FilteredPage {
            as_of: at(seconds),
            ..page(1, true, &listed)
        };
        feed.take(page, 30, &board);
    }
    assert!(feed.set_statuses(vec![ReadyStatus {
        id: 2,
        name: "Ready for chats".into(),
    }]));
    let mut others = rows(27..30, "Ready for chats");
    others.iter_mut().for_each(|row| row.available = Some(true));
    assert_eq!(feed.compare(&others, at(61)), None);
}

#[test]
fn the_first_reading_is_not_compared_with_what_its_own_pages_showed() {
    let mut feed = available(&["Available"]);
    // Everybody has changed since the full list was read.
    let mut board = roster(rows(0..30, "Available"));
    let listed = rows(30..60, "Available");
    let (first, second) = (&listed[..20], &listed[19..]);
    let step = feed.take(page(1, false, first), 30, &board);
    assert_eq!(step, Step::ReadOn);
    let seen = |agent: &Agent| Sighting {
        agent: Arc::new(agent.clone()),
        at: at(10),
        by_sweep: true,
    };
    board.see(first.iter().map(seen).collect());
    let step = feed.take(page(2, true, second), 30, &board);
    assert!(
        matches!(&step, Step::Complete { gone, .. } if gone.len() == 30),
        "{step:?}"
    );
}

#[test]
fn agents_whom_two_readings_omit_end_its_trust() {
    let mut feed = available(&["Available"]);
    let board = roster(rows(0..30, "Available"));
    let listed = changed_lately(rows(3..30, "Available"));
    let polled = rows(0..3, "Available");
    for (seconds, doubt) in [(10, None), (60, Some(Doubt::Missed))] {
        let page = FilteredPage {
            as_of: at(seconds),
            ..page(1, true, &listed)
        };
        let step = feed.take(page, board.available(), &board);
        assert!(matches!(step, Step::Complete { .. }), "{step:?}");
        assert_eq!(feed.compare(&polled, at(seconds + 1)), doubt);
    }
}

#[test]
fn single_dates_in_the_future_end_no_trust() {
    let mut feed = available(&["Available"]);
    let board = roster(rows(0..30, "Available"));
    let mut listed = rows(3..30, "Available");
    for row in &mut listed[..2] {
        row.status_since = Some(jiff::Timestamp::constant(1_795_428_000, 0));
    }
    for seconds in [10, 60] {
        let page = FilteredPage {
            as_of: at(seconds),
            ..page(1, true, &listed)
        };
        feed.take(page, board.available(), &board);
    }
    // They came after the last reading, or left after it.
    assert_eq!(feed.compare(&rows(0..3, "Available"), at(61)), None);
    assert_eq!(feed.compare(&rows(20..30, "On a Call"), at(61)), None);
}

/// Reads a list of two pages that was requested at this second. Returns whether all are known as of then, and who is gone.
fn read(
    feed: &mut Available,
    board: &Roster,
    seconds: u64,
    pages: [&[Agent]; 2],
) -> (bool, String) {
    let page = |number: u32| FilteredPage {
        as_of: at(seconds),
        ..page(number, number == 2, pages[number as usize - 1])
    };
    assert_eq!(feed.take(page(1), board.available(), board), Step::ReadOn);
    let step = feed.take(page(2), board.available(), board);
    let Step::Complete { slipped, gone, .. } = step else {
        panic!("{step:?}")
    };
    let gone: Vec<&str> = gone.iter().map(|id| &*id.0).collect();
    (slipped.is_empty(), gone.join(" "))
}

#[test]
fn an_agent_who_may_have_slipped_to_a_page_that_was_read_is_gone_if_the_next_reading_omits_them_too()
 {
    let mut feed = available(&["Available"]);
    let all = rows(0..30, "Available");
    let board = roster(all.clone());
    let mut read = |seconds, first: &[Agent], second: &[Agent]| {
        read(&mut feed, &board, seconds, [first, second])
    };
    let none = String::new;
    assert_eq!(read(10, &all[..20], &all[20..]), (true, none()));
    // Agent 3 leaves while the second page is under way, so agent 20 slips to the first.
    assert_eq!(read(20, &all[..20], &all[21..]), (false, none()));
    let without_3: Vec<_> = [&all[..3], &all[4..21]].concat();
    assert_eq!(read(30, &without_3, &all[21..]), (true, "a3".to_owned()));
    // Agent 21 was the first of the second page, and has left.
    assert_eq!(read(40, &without_3, &all[22..]), (false, "a3".to_owned()));
    let (known, gone) = read(50, &without_3, &all[22..]);
    assert!(known && gone.split(' ').count() == 2, "{gone}");
    // The end of the last page is no edge.
    let (known, gone) = read(60, &without_3, &all[22..29]);
    assert!(known && gone.split(' ').count() == 3, "{gone}");
}

#[test]
fn nobody_slips_between_pages_that_share_an_agent() {
    let mut feed = available(&["Available"]);
    let all = rows(0..30, "Available");
    let board = roster(all.clone());
    let mut read = |seconds, first: &[Agent], second: &[Agent]| {
        read(&mut feed, &board, seconds, [first, second])
    };
    assert_eq!(read(10, &all[..20], &all[18..]), (true, String::new()));
    // Agents 18 and 20 have left.
    let without_18: Vec<_> = [&all[..18], &all[19..20]].concat();
    let without_20: Vec<_> = [&all[19..20], &all[21..]].concat();
    let (known, gone) = read(20, &without_18, &without_20);
    assert!(known && gone.split(' ').count() == 2, "{gone}");
    // Now all rows of the overlap have moved, and agent 21 may be among them.
    assert!(!read(30, &without_18, &all[22..]).0);
    // An agent who has come again since may be anywhere.
    let again = [&all[22..], &changed_lately(all[17..20].to_vec())].concat();
    assert!(read(40, &all[..22], &all[22..]).0);
    assert!(!read(50, &all[..21], &again).0);
}

#[test]
fn an_agent_who_has_come_since_the_last_reading_may_have_slipped_too() {
    let mut feed = available(&["Available"]);
    let all = rows(0..30, "Available");
    let (first, second) = (&all[..20], &all[20..]);
    let mut board = roster(all.clone());
    read(&mut feed, &board, 10, [first, second]);
    // A poll shows another agent, who may be anywhere in the list.
    let came = rows(30..31, "Available");
    board.poll(0, at(15), Duration::ZERO, true, came);
    let slipped = read(&mut feed, &board, 20, [first, second]);
    assert_eq!(slipped, (false, String::new()));
    let gone = read(&mut feed, &board, 30, [first, second]);
    assert_eq!(gone, (true, "a30".to_owned()));
    // If nobody can have slipped, one reading is enough.
    board.poll(0, at(35), Duration::ZERO, true, rows(30..31, "Available"));
    let gone = read(&mut feed, &board, 40, [first, &all[19..]]);
    assert_eq!(gone, (true, "a30".to_owned()));
}

#[test]
fn agents_before_all_others_or_behind_them_may_have_slipped_if_a_page_ends_there() {
    let all = rows(0..30, "Available");
    let new = rows(30..50, "Available");
    // The first or the second page has only agents who have come since.
    for pages in [[&all[..20], &new[..10]], [&new, &all[20..]]] {
        let mut feed = available(&["Available"]);
        let board = roster(all.clone());
        read(&mut feed, &board, 10, [&all[..20], &all[20..]]);
        let slipped = read(&mut feed, &board, 20, pages);
        assert_eq!(slipped, (false, String::new()));
        let (known, gone) = read(&mut feed, &board, 30, pages);
        assert!(known && gone.split(' ').count() >= 10, "{gone}");
    }
}

#[test]
fn a_reading_with_a_row_that_cannot_be_read_says_nothing_about_the_others() {
    let mut feed = available(&["Available"]);
    let board = roster(rows(0..30, "Available"));
    let listed = rows(1..30, "Available");
    let broken = FilteredPage {
        skipped: 1,
        ..page(1, true, &listed)
    };
    for step in [Step::Misfit, Step::Misfit, Step::Failed] {
        assert_eq!(feed.take(broken, 30, &board), step);
    }
}
