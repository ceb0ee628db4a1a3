//! Tests readings of an ordered list, page by page.

use std::sync::Arc;

use super::*;
use crate::{
    fixtures::{agent, at, date},
    model::known::Sighting,
};

mod omitted;
mod seams;

/// Returns rows with these dates, named by their places from `first` on.
fn rows(first: usize, dates: &[Option<i64>]) -> Vec<Agent> {
    let row = |(place, since): (usize, &Option<i64>)| Agent {
        status_since: since.map(date),
        ..agent(&format!("a{place}"), "", "Available")
    };
    (first..).zip(dates).map(row).collect()
}

/// Returns twenty dates, a second apart, the newest first.
fn newest_first(newest: i64) -> Vec<Option<i64>> {
    (0..20).map(|back| Some(newest - back)).collect()
}

fn roster(seen: u64, rows: Vec<Agent>) -> Roster {
    let mut roster = Roster::new(1);
    see(&mut roster, seen, rows);
    roster
}

fn see(roster: &mut Roster, seen: u64, rows: Vec<Agent>) {
    let sighting = |agent| Sighting {
        agent: Arc::new(agent),
        at: at(seen),
        by_sweep: true,
    };
    roster.see(rows.into_iter().map(sighting).collect());
}

fn page(number: u32, sent: u64, last: bool, rows: &[Agent]) -> DeltaPage<'_> {
    DeltaPage {
        as_of: at(sent),
        cached: Duration::ZERO,
        page: number,
        last,
        rows,
        skipped: 0,
    }
}

/// Returns a chain that began at 0 without agents.
fn begun(newest: i64) -> Delta {
    let mut delta = Delta::default();
    delta.begin(at(0), rows(0, &[Some(newest); 3]).iter());
    delta
}

fn complete(as_of: u64) -> Step {
    Step::Complete { as_of: at(as_of) }
}

#[test]
fn a_page_that_reaches_back_is_complete_and_proves_the_order() {
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    let rows = rows(0, &newest_first(8));
    assert_eq!(
        delta.take(page(1, 10, false, &rows), &nobody, MAX_PAGES),
        complete(10)
    );
    assert!(delta.is_proved());
}

#[test]
fn a_reading_that_does_not_reach_back_fails_after_three_pages() {
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    for (number, newest, step) in [
        (1, 100, Step::ReadOn(2)),
        (2, 82, Step::ReadOn(3)),
        (3, 64, Step::Failed),
    ] {
        let rows = rows(number as usize * 100, &newest_first(newest));
        assert_eq!(
            delta.take(page(number, 101, false, &rows), &nobody, MAX_PAGES),
            step
        );
    }
    let third = rows(0, &newest_first(15));
    assert_eq!(
        delta.take(page(1, 102, false, &third), &nobody, MAX_PAGES),
        complete(102),
        "the chain goes on"
    );
}

#[test]
fn ascending_dates_are_distrusted() {
    for dates in [[Some(1), Some(2)], [Some(1), None]] {
        let (mut delta, nobody) = (begun(0), Roster::new(1));
        let mut dates = dates.to_vec();
        dates.push(Some(0));
        let rows = rows(0, &dates);
        assert_eq!(
            delta.take(page(1, 5, true, &rows), &nobody, MAX_PAGES),
            Step::Distrusted(Doubt::Unordered),
            "{dates:?}"
        );
    }
}

#[test]
fn undated_rows_at_either_end_are_skipped_the_next_time() {
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    let undated = [None; 20];
    // Pages overlap: it begins with row 36.
    let third: Vec<_> = [None; 9]
        .into_iter()
        .chain(newest_first(5))
        .take(18)
        .collect();
    assert_eq!(
        delta.take(page(1, 9, false, &rows(0, &undated)), &nobody, MAX_PAGES),
        Step::ReadOn(2)
    );
    let second = &undated[..19];
    assert_eq!(
        delta.take(page(2, 9, false, &rows(19, second)), &nobody, MAX_PAGES),
        Step::ReadOn(3)
    );
    assert_eq!(
        delta.take(page(3, 9, false, &rows(40, &third)), &nobody, MAX_PAGES),
        complete(9)
    );
    assert_eq!(
        delta.first_page(),
        3,
        "45 undated rows end on the third page"
    );
    // Ten of them have a date now, so the third page has no undated rows any more.
    let dated = rows(40, &newest_first(8));
    assert_eq!(
        delta.take(page(3, 12, false, &dated), &nobody, MAX_PAGES),
        Step::ReadOn(2)
    );
    let second: Vec<_> = [None; 15]
        .into_iter()
        .chain(newest_first(11))
        .take(20)
        .collect();
    assert_eq!(
        delta.take(page(2, 12, false, &rows(20, &second)), &nobody, MAX_PAGES),
        Step::ReadOn(3)
    );
    let third = rows(60, &newest_first(8));
    assert_eq!(
        delta.take(page(3, 12, false, &third), &nobody, MAX_PAGES),
        complete(9)
    );
    // Undated rows at the end show that all dated rows were there.
    let last: Vec<_> = newest_first(11)
        .into_iter()
        .take(10)
        .chain([None; 10])
        .collect();
    assert_eq!(
        begun(-100).take(page(1, 12, false, &rows(0, &last)), &nobody, MAX_PAGES),
        complete(12)
    );
}

#[test]
fn a_list_without_dates_is_distrusted_but_an_empty_one_is_not() {
    let nobody = Roster::new(1);
    let undated = rows(0, &[None; 20]);
    let step = begun(0).take(page(1, 9, true, &undated), &nobody, MAX_PAGES);
    assert_eq!(step, Step::Distrusted(Doubt::Undated));
    let mut delta = Delta::default();
    delta.begin(at(0), [].iter());
    assert_eq!(
        delta.take(page(1, 9, true, &[]), &nobody, MAX_PAGES),
        complete(9)
    );
}

#[test]
fn an_older_answer_changes_nothing_and_three_in_a_row_are_too_many() {
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    let now = rows(0, &newest_first(8));
    assert_eq!(
        delta.take(page(1, 10, false, &now), &nobody, MAX_PAGES),
        complete(10)
    );
    let older = rows(0, &newest_first(5));
    assert_eq!(
        delta.take(page(1, 15, false, &older), &nobody, MAX_PAGES),
        Step::Lagging
    );
    let kept = DeltaPage {
        cached: Duration::from_secs(3),
        ..page(1, 17, false, &now)
    };
    assert_eq!(delta.take(kept, &nobody, MAX_PAGES), Step::Lagging);
    assert_eq!(
        delta.take(page(1, 20, false, &older), &nobody, MAX_PAGES),
        Step::Distrusted(Doubt::Lagging)
    );
}

#[test]
fn omitted_agents_are_noticed() {
    let listed = rows(0, &newest_first(40));
    let left_out = |count: usize| {
        let mut dates = newest_first(40);
        dates.extend((0..count).map(|n| Some(30 - n as i64)));
        rows(0, &dates)
    };
    let step = begun(20).take(
        page(1, 60, false, &listed),
        &roster(45, left_out(3)),
        MAX_PAGES,
    );
    assert_eq!(step, Step::Distrusted(Doubt::LeftOut));
    // A single agent may have been deleted, until another list shows them again.
    let mut delta = begun(23);
    let mut board = roster(45, left_out(1));
    assert_eq!(
        delta.take(page(1, 60, false, &listed), &board, MAX_PAGES),
        complete(60)
    );
    assert!(!delta.is_proved());
    assert_eq!(delta.absent(at(60)).count(), 1);
    see(&mut board, 65, left_out(1).split_off(20));
    let step = delta.take(page(1, 80, false, &listed), &board, MAX_PAGES);
    assert_eq!(step, Step::Distrusted(Doubt::LeftOut));
}

#[test]
fn a_late_commit_widens_the_overlap() {
    let mut delta = begun(0);
    let mut board = roster(1, rows(0, &newest_first(-10)));
    let now = rows(0, &newest_first(18));
    assert_eq!(
        delta.take(page(1, 20, true, &now), &board, MAX_PAGES),
        complete(20)
    );
    see(&mut board, 20, now);
    // Two agents changed at 12 after 11 and 10, and the last list did not show it. That is 4 s before its third newest date.
    let mut dates = newest_first(18);
    dates[7..9].fill(Some(12));
    let late = rows(0, &dates);
    assert_eq!(
        delta.take(page(1, 25, true, &late), &board, MAX_PAGES),
        complete(25)
    );
    assert_eq!(delta.overlap(), SignedDuration::from_secs(6));
}

#[test]
fn changes_that_only_other_lists_show_end_its_trust() {
    let mut delta = begun(0);
    let now = rows(0, &newest_first(30));
    assert_eq!(
        delta.take(page(1, 31, true, &now), &Roster::new(1), MAX_PAGES),
        complete(31)
    );
    let board = roster(31, now);
    let same = rows(0, &newest_first(30));
    assert_eq!(delta.compare(&same, at(40), &board), None);
    // It need not have shown later changes.
    let later = rows(0, &[Some(35), Some(36), Some(37)]);
    assert_eq!(delta.compare(&later, at(40), &board), None);
    let mut changed = rows(0, &newest_first(30));
    for row in changed.iter_mut().skip(10).take(3) {
        row.available = Some(false);
    }
    assert_eq!(delta.compare(&changed, at(45), &board), Some(Doubt::Missed));
}

/// Compares with a list on which agent 10 changed at `since`, and lets the board take it.
fn change(delta: &mut Delta, board: &mut Roster, since: i64) -> Option<Doubt> {
    let seen = since as u64 + 30;
    let row = || rows(10, &[Some(since)]);
    let doubt = delta.compare(&row(), at(seen), board);
    see(board, seen, row());
    doubt
}

#[test]
fn an_agent_whose_changes_are_missed_twice_in_a_row_ends_its_trust() {
    for is_listed_between in [false, true] {
        let mut delta = begun(0);
        let now = rows(0, &newest_first(30));
        delta.take(page(1, 31, true, &now), &Roster::new(1), MAX_PAGES);
        let mut board = roster(31, now);
        let omit = |rows: &mut Vec<Agent>| drop(rows.remove(10));
        for (since, expected) in [
            (40, None),
            (80, (!is_listed_between).then_some(Doubt::LeftOut)),
        ] {
            let mut later = rows(0, &newest_first(since + 20));
            if !(is_listed_between && since == 80) {
                omit(&mut later);
            }
            let sent = since as u64 + 21;
            delta.take(page(1, sent, true, &later), &board, MAX_PAGES);
            assert_eq!(change(&mut delta, &mut board, since), expected, "{since}");
        }
    }
}

#[test]
fn the_length_of_readings_is_forgotten_after_an_hour_or_a_failure() {
    let read = || {
        let mut delta = begun(0);
        let nobody = Roster::new(1);
        delta.take(
            page(1, 31, false, &rows(0, &newest_first(30))),
            &nobody,
            MAX_PAGES,
        );
        delta.take(
            page(2, 31, false, &rows(20, &newest_first(12))),
            &nobody,
            MAX_PAGES,
        );
        delta
    };
    let mut delta = read();
    assert_eq!(delta.pages(), 2.0);
    delta.forget_chain();
    delta.lengths.forget_old(at(31 + 3_599));
    assert_eq!(delta.pages(), 2.0);
    delta.lengths.forget_old(at(31 + 3_600));
    assert_eq!(delta.pages(), 1.0);
    let mut delta = read();
    delta.end();
    assert_eq!(delta.pages(), 1.0);
}

#[test]
fn eight_dates_prove_the_order_and_ten_readings_with_fewer_are_too_many() {
    let nobody = Roster::new(1);
    let some = |count: usize| rows(0, &newest_first(100)[..count]);
    let mut delta = begun(100);
    let step = delta.take(page(1, 10, false, &some(8)), &nobody, MAX_PAGES);
    assert_eq!((step, delta.is_proved()), (complete(10), true));
    let (mut delta, few) = (begun(100), some(7));
    for reading in 1..10 {
        let step = delta.take(page(1, 10 * reading, false, &few), &nobody, MAX_PAGES);
        assert_eq!((step, delta.is_proved()), (complete(10 * reading), false));
    }
    let step = delta.take(page(1, 100, false, &few), &nobody, MAX_PAGES);
    assert_eq!(step, Step::Distrusted(Doubt::Unproven));
}

#[test]
fn the_overlap_is_half_as_long_again_as_the_delay_within_2_to_30_s() {
    let mut delta = begun(0);
    let seconds = SignedDuration::from_secs;
    assert_eq!(delta.overlap(), seconds(2));
    for (late, overlap) in [(1, 2), (4, 6), (20, 30), (21, 30), (3_600, 30)] {
        delta.late = Some((seconds(late), at(0)));
        assert_eq!(delta.overlap(), seconds(overlap), "{late} s");
    }
}

#[test]
fn a_row_that_cannot_be_read_may_show_any_change() {
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    let now = rows(0, &newest_first(15));
    let broken = DeltaPage {
        skipped: 1,
        ..page(1, 20, false, &now)
    };
    assert_eq!(delta.take(broken, &nobody, MAX_PAGES), Step::Lagging);
    // The next reading has to reach back as far, and shows the change if its row can be read.
    let next = rows(0, &newest_first(18));
    assert_eq!(
        delta.take(page(1, 25, false, &next), &nobody, MAX_PAGES),
        Step::ReadOn(2)
    );
    let second = rows(20, &newest_first(0));
    assert_eq!(
        delta.take(page(2, 25, false, &second), &nobody, MAX_PAGES),
        complete(0)
    );
    for step in [Step::Lagging, Step::Lagging, Step::Failed] {
        let now = rows(0, &newest_first(30));
        let broken = DeltaPage {
            skipped: 1,
            ..page(1, 32, true, &now)
        };
        assert_eq!(delta.take(broken, &nobody, MAX_PAGES), step);
    }
}

#[test]
fn a_chain_without_any_date_begins_at_its_first_reading() {
    let (mut delta, nobody) = (Delta::default(), Roster::new(1));
    let first = rows(0, &newest_first(8));
    // All of two dates may be wrong ones in the future.
    for begin in [vec![None], vec![Some(86_400), Some(86_000)]] {
        delta.begin(at(0), rows(0, &begin).iter());
        let step = delta.take(page(1, 10, false, &first), &nobody, MAX_PAGES);
        assert_eq!(step, complete(10));
        assert_eq!(
            delta.confirmed(),
            Some((at(10), at(10))),
            "earlier changes may be on later pages"
        );
    }
    // Unless that is the whole list.
    delta.begin(at(0), rows(0, &[None]).iter());
    assert_eq!(
        delta.take(page(1, 10, true, &first), &nobody, MAX_PAGES),
        complete(10)
    );
    assert_eq!(delta.confirmed(), Some((at(0), at(0))));
    delta.confirm(at(10), None);
    assert_eq!(delta.confirmed(), Some((at(0), at(10))));
}

/// Returns twenty dates, of which the first is a day ahead.
fn stray_first(newest: i64) -> Vec<Option<i64>> {
    dates_after(86_400, newest)
}

/// Returns this date and nineteen that end with `newest`.
fn dates_after(stray: i64, newest: i64) -> Vec<Option<i64>> {
    let mut dates = newest_first(newest + 1);
    dates[0] = Some(stray);
    dates
}

#[test]
fn a_list_that_lags_is_noticed_beside_a_date_in_the_future() {
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    let now = rows(0, &stray_first(30));
    assert_eq!(
        delta.take(page(1, 31, true, &now), &nobody, MAX_PAGES),
        complete(31)
    );
    let older = rows(0, &stray_first(20));
    let lagging = delta.take(page(1, 35, true, &older), &nobody, MAX_PAGES);
    assert_eq!(lagging, Step::Lagging);
    // Or by a change that another list has shown.
    let board = roster(34, rows(50, &[Some(33)]));
    let lagging = delta.take(page(1, 45, true, &now), &board, MAX_PAGES);
    assert_eq!(lagging, Step::Lagging);
}

#[test]
fn a_date_in_the_future_does_not_make_a_reading_complete() {
    a_stray_does_not_make_a_reading_complete(86_400);
}

#[test]
fn neither_does_a_date_that_is_ahead_by_an_hour() {
    a_stray_does_not_make_a_reading_complete(3_600);
}

fn a_stray_does_not_make_a_reading_complete(stray: i64) {
    let stray_first = |newest| dates_after(stray, newest);
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    let first = rows(0, &stray_first(10));
    assert_eq!(
        delta.take(page(1, 11, false, &first), &nobody, MAX_PAGES),
        complete(11)
    );
    // Many have changed, so some may have fallen off the page.
    let many = rows(0, &stray_first(60));
    assert_eq!(
        delta.take(page(1, 61, false, &many), &nobody, MAX_PAGES),
        Step::ReadOn(2)
    );
    let next = rows(20, &newest_first(43));
    assert_eq!(
        delta.take(page(2, 61, false, &next), &nobody, MAX_PAGES),
        Step::ReadOn(3)
    );
    let last = rows(40, &newest_first(25));
    assert_eq!(
        delta.take(page(3, 61, false, &last), &nobody, MAX_PAGES),
        complete(11)
    );
    // The chain may also begin at such a date.
    let mut delta = Delta::default();
    delta.begin(at(0), first.iter());
    assert_eq!(
        delta.take(page(1, 61, false, &many), &nobody, MAX_PAGES),
        Step::ReadOn(2)
    );
}

#[test]
fn a_date_in_the_future_that_is_corrected_shows_no_lag() {
    for is_on_the_page in [true, false] {
        let mut delta = begun(0);
        let stray = rows(0, &stray_first(18));
        let mut board = roster(1, rows(0, &newest_first(0)));
        assert_eq!(
            delta.take(page(1, 20, true, &stray), &board, MAX_PAGES),
            complete(20)
        );
        see(&mut board, 20, stray);
        for seconds in [40, 45, 50] {
            let mut dates = newest_first(19);
            dates[0] = dates[1];
            let mut now = rows(0, &dates);
            now[0].id = AgentId("somebody else".into());
            if is_on_the_page {
                now[4].id = AgentId("a0".into());
            }
            let step = delta.take(page(1, seconds, true, &now), &board, MAX_PAGES);
            assert_eq!(step, complete(seconds), "{is_on_the_page}");
        }
    }
}

#[test]
fn a_date_in_the_future_makes_no_change_due() {
    let mut delta = begun(0);
    let now = rows(0, &stray_first(30));
    let nobody = Roster::new(1);
    assert_eq!(
        delta.take(page(1, 31, true, &now), &nobody, MAX_PAGES),
        complete(31)
    );
    let board = roster(31, now);
    // They have changed since.
    let later = rows(1, &[Some(35), Some(36), Some(37)]);
    assert_eq!(delta.compare(&later, at(40), &board), None);
    // Nor does it make any late.
    let next = rows(0, &stray_first(50));
    assert_eq!(
        delta.take(page(1, 51, true, &next), &board, MAX_PAGES),
        complete(51)
    );
    assert_eq!(delta.overlap(), MIN_OVERLAP);
}

#[test]
fn the_first_change_for_hours_shows_no_lag() {
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    let hours = |hours: &[i64]| {
        let dates: Vec<_> = hours.iter().map(|hour| Some(hour * 3_600)).collect();
        rows(0, &dates)
    };
    for list in [[8, 7, 7, 0], [10, 7, 7, 0], [12, 10, 7, 0]] {
        let sent = list[0] as u64 * 3_600 + 1;
        let list = hours(&list);
        let step = delta.take(page(1, sent, true, &list), &nobody, MAX_PAGES);
        assert_eq!(step, complete(sent));
    }
}

#[test]
fn beside_other_lists_the_first_reading_reaches_back_beyond_what_a_copy_may_lag() {
    let nobody = Roster::new(1);
    for (is_beside_others, pages, as_of) in [(false, 1, 9), (true, 3, 0)] {
        let mut delta = Delta::default();
        delta.begin(at(0), rows(0, &[Some(0); 3]).iter());
        delta.saw([].iter(), is_beside_others);
        let mut step = Step::Failed;
        for number in 1..=pages {
            let listed = rows(
                number as usize * 20,
                &newest_first(26 - 18 * i64::from(number)),
            );
            step = delta.take(page(number, 9, false, &listed), &nobody, MAX_PAGES);
        }
        assert_eq!(step, complete(as_of));
    }
}

#[test]
fn a_first_reading_that_lags_or_cannot_be_read_leaves_the_next_one_long() {
    let nobody = Roster::new(1);
    for skipped in [0, 1] {
        let mut delta = Delta::default();
        delta.begin(at(0), rows(0, &[Some(0); 3]).iter());
        delta.saw([].iter(), true);
        let newest = if skipped == 0 { -40 } else { 6 };
        let listed = rows(0, &newest_first(newest));
        let first = DeltaPage {
            skipped,
            ..page(1, 7, true, &listed)
        };
        assert_eq!(delta.take(first, &nobody, MAX_PAGES), Step::Lagging);
        for (number, step) in [(1, Step::ReadOn(2)), (2, Step::ReadOn(3)), (3, complete(0))] {
            let newest = 26 - 18 * i64::from(number);
            let listed = rows(number as usize * 20, &newest_first(newest));
            let page = page(number, 9, false, &listed);
            assert_eq!(delta.take(page, &nobody, MAX_PAGES), step);
        }
        assert_eq!(delta.pages(), 1.0, "its length says nothing about others");
    }
}
