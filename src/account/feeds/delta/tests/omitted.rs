//! Tests what other lists show of agents whom the list omits.

use super::*;

/// Lets another list show a change to this date that a list missed, and reads that list three times. It shows the agent in one of the readings, on
/// this page, or never. Returns the list, the board, the pages of each reading, and its result.
fn look_again_for(since: i64, listed: Option<(u64, u32)>) -> (Delta, Roster, Vec<(u32, Step)>) {
    let mut delta = begun(0);
    let first = rows(0, &newest_first(30));
    delta.take(page(1, 31, true, &first), &Roster::new(1), MAX_PAGES);
    let mut board = roster(31, vec![omitted(-500)]);
    assert_eq!(delta.compare(&[omitted(since)], at(40), &board), None);
    see(&mut board, 40, vec![omitted(since)]);
    let readings = [45, 50, 60].map(|sent| read(&mut delta, &board, sent, listed));
    let readings = readings.to_vec();
    assert_eq!(delta.pages(), 1.0, "it took no longer to reach back");
    (delta, board, readings)
}

/// Reads the list. It shows the agent if this is the `listed` reading, on that page. Returns the number of pages, and the result.
fn read(delta: &mut Delta, board: &Roster, sent: u64, listed: Option<(u64, u32)>) -> (u32, Step) {
    for number in 1.. {
        let newest = sent as i64 - 18 * i64::from(number - 1);
        let first = 1000 * sent as usize + 20 * number as usize;
        let mut rows = rows(first, &newest_first(newest));
        if listed == Some((sent, number)) {
            rows[8 + 2 * number as usize].id = AgentId("omitted".into());
        }
        let page = page(number, sent, false, &rows);
        match delta.take(page, board, MAX_PAGES) {
            Step::ReadOn(_) => {}
            step => return (number, step),
        }
    }
    unreachable!()
}

/// The row of an agent whom the list omits, with this date.
fn omitted(since: i64) -> Agent {
    Agent {
        id: AgentId("omitted".into()),
        ..rows(0, &[Some(since)]).remove(0)
    }
}

#[test]
fn a_reading_reaches_back_to_a_change_that_only_other_lists_have_shown() {
    // The look may have crossed with the first reading.
    for (since, listed, second, third, doubt) in [
        (20, None, 2, 3, Some(Doubt::LeftOut)),
        (20, Some((50, 1)), 1, 1, None),
        (20, Some((50, 2)), 2, 1, None),
        // The agent was between two pages, or moved to the first one while the second was read.
        (20, Some((60, 3)), 2, 3, None),
        (20, Some((60, 1)), 2, 1, None),
        // It is too long ago.
        (-100, None, 1, 1, None),
    ] {
        let expected = [
            (1, complete(45)),
            (second, complete(50)),
            (third, complete(60)),
        ];
        let told = format!("{since} {listed:?}");
        let (mut delta, board, readings) = look_again_for(since, listed);
        assert_eq!(readings, expected, "{told}");
        // They may have been deleted before the second reading, and a copy that lags shows them still.
        let mut look = |seconds| delta.compare(&[omitted(since)], at(seconds), &board);
        assert_eq!(look(89), None, "{told}");
        assert_eq!(look(90), doubt, "{told}");
    }
}

#[test]
fn a_later_change_that_the_list_still_lacks_proves_as_much_as_the_one_that_it_missed() {
    let (mut delta, mut board, _) = look_again_for(20, None);
    let look = |delta: &mut Delta, board: &mut Roster, seconds| {
        let doubt = delta.compare(&[omitted(70)], at(seconds), board);
        see(board, seconds, vec![omitted(70)]);
        doubt
    };
    assert_eq!(look(&mut delta, &mut board, 92), None, "it is not due yet");
    for (sent, listed, doubt, as_of) in [
        (105, None, Some(Doubt::LeftOut), 60),
        (110, Some((110, 1)), None, 110),
    ] {
        let (_, step) = read(&mut delta, &board, sent, listed);
        assert_eq!(step, complete(as_of));
        assert_eq!(look(&mut delta, &mut board, sent + 1), doubt, "{sent}");
    }
}

#[test]
fn an_agent_who_was_deleted_after_a_missed_change_does_not_end_the_trust_in_the_list() {
    let (mut delta, board, readings) = look_again_for(20, None);
    assert_eq!(readings.last(), Some(&(3, complete(60))));
    let asked_for = |delta: &Delta, seconds| delta.absent(at(seconds)).count();
    assert_eq!((asked_for(&delta, 89), asked_for(&delta, 90)), (0, 1));
    for seconds in [95, 105, 115, 300] {
        let others = rows(2000, &newest_first(seconds as i64 - 50));
        assert_eq!(delta.compare(&others, at(seconds), &board), None);
        let list = rows(3000, &newest_first(seconds as i64));
        let step = delta.take(page(1, seconds, true, &list), &board, MAX_PAGES);
        assert_eq!(step, complete(seconds));
    }
}

#[test]
fn a_reading_that_cannot_reach_back_to_a_missed_change_serves_as_any_other() {
    for is_answered in [true, false] {
        let mut delta = begun(0);
        let first = rows(0, &newest_first(30));
        delta.take(page(1, 31, true, &first), &Roster::new(1), MAX_PAGES);
        let board = roster(31, vec![omitted(-500)]);
        assert_eq!(delta.compare(&[omitted(20)], at(33), &board), None);
        let next = rows(100, &newest_first(45));
        let step = delta.take(page(1, 45, false, &next), &board, MAX_PAGES);
        assert_eq!(step, Step::ReadOn(2));
        match is_answered {
            // A row of the second page cannot be read. The reading needs none of its rows.
            true => {
                let second = rows(200, &newest_first(27));
                let page = DeltaPage {
                    skipped: 1,
                    ..page(2, 45, false, &second)
                };
                assert_eq!(delta.take(page, &board, MAX_PAGES), complete(45));
            }
            // The next one does not ask for it again.
            false => {
                delta.interrupted();
                let next = rows(300, &newest_first(45));
                let step = delta.take(page(1, 50, false, &next), &board, MAX_PAGES);
                assert_eq!(step, complete(50));
            }
        }
    }
}
