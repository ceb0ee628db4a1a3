//! Tests where two pages of a reading meet.

use super::*;

/// Takes a page of a reading that is requested at 100. Its rows bear these dates, of which it has no more than were requested.
fn take(delta: &mut Delta, number: u32, dates: &[Option<i64>]) -> Step {
    let dates = &dates[..dates.len().min(delta.size_of(number) as usize)];
    let rows = rows(100 * number as usize, dates);
    delta.take(page(number, 100, false, &rows), &Roster::new(1), MAX_PAGES)
}

#[test]
fn a_page_that_does_not_meet_the_page_before_is_read_again_once() {
    let mut delta = begun(78);
    for is_met in [true, false, false, false] {
        assert_eq!(take(&mut delta, 1, &newest_first(100)), Step::ReadOn(2));
        // The last row of the first page is of 81. A change to 81 can be on neither.
        assert_eq!(take(&mut delta, 2, &newest_first(81)), Step::ReadOn(2));
        if is_met {
            assert_eq!(take(&mut delta, 2, &newest_first(82)), complete(0));
            delta = begun(78);
            continue;
        }
        let lags = delta.lagging + 1;
        let step = match lags >= MAX_LAGGING {
            true => Step::Distrusted(Doubt::Lagging),
            false => Step::Lagging,
        };
        assert_eq!(take(&mut delta, 2, &newest_first(80)), step);
        assert_eq!(delta.lagging, lags);
    }
    assert_eq!(delta.confirmed(), None);
}

#[test]
fn each_page_may_be_read_again_and_begins_with_half_of_the_page_before() {
    let mut delta = begun(45);
    for (number, newest, step, size) in [
        (1, 100, Step::ReadOn(2), 18),
        (2, 40, Step::ReadOn(2), 10),
        (2, 91, Step::ReadOn(3), 9),
        (3, 40, Step::ReadOn(3), 7),
        (3, 83, Step::Failed, 250),
    ] {
        assert_eq!(take(&mut delta, number, &newest_first(newest)), step);
        let next = if let Step::ReadOn(page) = step {
            page
        } else {
            1
        };
        assert_eq!(delta.size_of(next), size, "after page {number}");
    }
}

#[test]
fn a_list_whose_pages_have_more_rows_than_requested_cannot_overlap() {
    let mut delta = begun(65);
    assert_eq!(take(&mut delta, 1, &newest_first(100)), Step::ReadOn(2));
    assert_eq!(delta.size_of(2), 18);
    // They have twenty.
    let rows = rows(200, &newest_first(80));
    let second = page(2, 100, false, &rows);
    assert_eq!(delta.take(second, &Roster::new(1), MAX_PAGES), complete(0));
    // Nor do its undated rows, which may begin with a page.
    let mut delta = begun(65);
    assert_eq!(take(&mut delta, 1, &newest_first(100)), Step::ReadOn(2));
    let undated = self::rows(300, &[None; 20]);
    let second = page(2, 100, true, &undated);
    assert_eq!(
        delta.take(second, &Roster::new(1), MAX_PAGES),
        complete(100)
    );
}

#[test]
fn a_reading_of_several_pages_confirms_no_more_than_the_one_before_did() {
    let (mut delta, nobody) = (begun(15), Roster::new(1));
    let first = rows(100, &newest_first(29));
    let step = delta.take(page(1, 30, false, &first), &nobody, MAX_PAGES);
    assert_eq!(step, complete(30));
    // It lags behind a poll.
    delta.confirm(at(30), Some(at(20)));
    let next = rows(200, &newest_first(59));
    delta.take(page(1, 60, false, &next), &nobody, MAX_PAGES);
    let next = rows(300, &newest_first(41));
    let step = delta.take(page(2, 60, false, &next), &nobody, MAX_PAGES);
    assert_eq!(step, complete(20));
}

#[test]
fn all_pages_but_the_first_begin_before_the_end_of_the_page_before() {
    // The last number is how many dates at the end of each page are alike.
    for (rows, second, third, alike) in [
        (250, 246, 244, 1),
        (100, 97, 96, 1),
        (250, 207, 185, 40),
        (250, 167, 126, 80),
    ] {
        let dates = |size: usize| -> Vec<_> {
            let date = |place: usize| Some(1_000 - place.min(size - alike.min(size)) as i64);
            (0..size).map(date).collect()
        };
        let mut delta = begun(-10_000);
        assert_eq!(delta.size_of(1), 250);
        take(&mut delta, 1, &dates(rows));
        assert_eq!(
            (delta.size_of(2), delta.rows_before(2)),
            (second, second as usize)
        );
        let newer = dates(second as usize)
            .into_iter()
            .map(|date| date.map(|date| date + 1));
        // They end with as many equal dates again, or all are alike.
        let later: Vec<_> = newer.collect();
        assert_eq!(
            take(&mut delta, 2, &later),
            Step::ReadOn(3),
            "{rows} {alike}"
        );
        assert_eq!(delta.size_of(3), third, "{rows} {alike}");
    }
}

#[test]
fn rows_of_the_same_date_may_be_in_another_order_on_the_next_page() {
    // Five rows at the end of the first page are of 85.
    let mut dates = newest_first(100);
    dates[15..].fill(Some(85));
    for (newest, step) in [(85, Step::ReadOn(2)), (86, complete(0))] {
        let mut delta = begun(75);
        assert_eq!(take(&mut delta, 1, &dates), Step::ReadOn(2));
        assert_eq!(take(&mut delta, 2, &newest_first(newest)), step);
    }
    // So many agents have changed at once that the next page cannot begin before them.
    for newest in [84, 85] {
        let mut delta = begun(75);
        assert_eq!(take(&mut delta, 1, &[Some(85); 20]), Step::ReadOn(2));
        assert_eq!(take(&mut delta, 2, &newest_first(newest)), Step::Failed);
    }
}

#[test]
fn a_page_of_dated_rows_does_not_meet_a_page_of_undated_ones() {
    let mut delta = begun(4);
    assert_eq!(take(&mut delta, 1, &[None; 20]), Step::ReadOn(2));
    // The newest change may be before its first row.
    assert_eq!(take(&mut delta, 2, &newest_first(8)), Step::ReadOn(2));
    let mut dates = vec![None];
    dates.extend(&newest_first(8)[..18]);
    assert_eq!(take(&mut delta, 2, &dates), complete(100));
    // Nor does one without any date meet a page of dated rows.
    for undated in [&[None; 20][..], &[]] {
        let mut delta = begun(0);
        assert_eq!(take(&mut delta, 1, &newest_first(50)), Step::ReadOn(2));
        assert_eq!(take(&mut delta, 2, undated), Step::ReadOn(2));
    }
}

#[test]
fn a_gap_behind_the_last_reading_ends_only_the_look_for_missed_changes() {
    let mut delta = begun(90);
    let board = roster(31, rows(7, &[Some(-500)]));
    take(&mut delta, 1, &newest_first(95));
    let missed = rows(7, &[Some(80)]);
    assert_eq!(delta.compare(&missed, at(80), &board), None);
    assert_eq!(take(&mut delta, 1, &newest_first(110)), Step::ReadOn(2));
    assert_eq!(take(&mut delta, 2, &newest_first(60)), Step::ReadOn(2));
    assert_eq!(take(&mut delta, 2, &newest_first(60)), complete(100));
    // The next reading does not look for it again.
    assert_eq!(take(&mut delta, 1, &newest_first(112)), complete(100));
}

#[test]
fn a_later_page_does_not_hide_that_the_first_one_lags() {
    let mut delta = begun(5);
    assert_eq!(take(&mut delta, 1, &newest_first(18)), complete(100));
    delta.late = Some((SignedDuration::from_secs(18), at(100)));
    // The first page lacks the change to 18.
    assert_eq!(take(&mut delta, 1, &newest_first(17)), Step::ReadOn(2));
    assert_eq!(take(&mut delta, 2, &newest_first(19)), Step::ReadOn(3));
    assert_eq!(take(&mut delta, 3, &newest_first(3)), Step::Lagging);
}

#[test]
fn an_agent_who_moves_to_the_first_page_while_the_second_is_read_is_known_as_of_the_reading_before()
{
    let (mut delta, nobody) = (begun(0), Roster::new(1));
    for (number, sent, newest, step) in [
        (1, 10, 9, complete(10)),
        (1, 40, 39, Step::ReadOn(2)),
        // Who changed at 15 is not on it if they have changed again at 41.
        (2, 41, 22, complete(10)),
        (1, 50, 49, complete(50)),
    ] {
        let rows = rows(100 * number as usize, &newest_first(newest));
        let step_taken = delta.take(page(number, sent, false, &rows), &nobody, MAX_PAGES);
        assert_eq!(step_taken, step, "at {sent}");
    }
}
