//! Tests which list is read next, and what a reading confirms.

use super::*;

#[test]
fn every_thirtieth_request_or_after_two_minutes_a_page_of_the_full_list_is_read() {
    let (mut feeds, rows) = (Feeds::default(), changes(250));
    (feeds.sweep_pages, feeds.whole) = (40, WholeList::Clipped);
    feeds.choice.proved(Feed::Delta);
    assert!(feeds.choose(moment(0)));
    feeds.full_page(7, Some(8), moment(0), &rows);
    for second in 1..30 {
        let (request, _) = feeds.next(moment(second * 1_000));
        assert_eq!(request, Request::Delta(1), "request {second}");
        feeds.sent(Feed::Delta);
    }
    assert_eq!(feeds.next(moment(30_000)).0, Request::Full);
    feeds.full_page(8, Some(9), moment(30_000), &rows);
    assert_eq!(feeds.next(moment(149_999)).0, Request::Delta(1));
    assert_eq!(feeds.next(moment(150_000)).0, Request::Full);
}

#[test]
fn nobody_is_known_better_after_an_agent_may_have_slipped() {
    let (mut feeds, mut roster, rows) = within_a_reading();
    let take = |feeds: &mut Feeds, roster: &mut Roster, at, page, rows: &[Agent]| {
        let page = FilteredPage {
            as_of: moment(at),
            ..filtered_page(1, page, rows)
        };
        let taken = feeds.take_available(page, roster, moment(at + WAY));
        feeds.confirm(&taken, None, roster);
    };
    take(&mut feeds, &mut roster, PERIOD, 2, &rows[250..]);
    // The first agent leaves after the first page.
    take(&mut feeds, &mut roster, 3 * PERIOD, 1, &rows[..250]);
    take(&mut feeds, &mut roster, 3 * PERIOD, 2, &rows[251..]);
    let slipped = roster.newest(&rows[250].id).unwrap();
    assert_eq!(slipped.agent.available, Some(true));
    assert_eq!(roster.known_as_of(slipped), moment(PERIOD));
}

#[test]
fn changes_are_read_on_until_they_replace_another_feed() {
    let (mut feeds, roster, rows) = (Feeds::default(), Roster::new(1), changes(250));
    feeds.set_ready_statuses(vec![ready(1)], &roster, moment(0));
    (feeds.sweep_pages, feeds.known_available) = (40, 2_000);
    feeds.choice.proved(Feed::Available);
    assert!(feeds.choose(moment(0)));
    assert_eq!((feeds.in_use(), feeds.pages()), (Feed::Available, 8));
    feeds.full_page(7, Some(8), moment(0), &rows);
    for reading in 1..=5 {
        let time = reading * PERIOD;
        let (request, _) = feeds.next(moment(time));
        assert_eq!(request, Request::Delta(1), "reading {reading}");
        feeds.take_delta(changes_page(time, &rows), &roster, moment(time + WAY));
        // Now it is a candidate, whose readings follow one another.
        assert_eq!(feeds.choose(moment(time + WAY)), reading == 5);
    }
    assert_eq!(feeds.in_use(), Feed::Delta);
}
