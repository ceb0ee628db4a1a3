//! Tests which list is read next, and what a reading confirms.

use super::*;

#[test]
fn every_thirtieth_request_or_after_two_minutes_a_page_of_the_full_list_is_read() {
    let (mut feeds, rows) = (Feeds::default(), changes(250));
    (feeds.sweep_pages, feeds.whole) = (40, WholeList::Clipped);
    feeds.choice.proved(Feed::Delta);
    assert!(feeds.choose(moment(0)));
    feeds.full_page(7, Some(8), moment(0), &rows, &Roster::new(1));
    for second in 1..30 {
        let (request, _) = feeds.next(moment(second * 1_000));
        assert_eq!(request, Request::Delta(1), "request {second}");
        feeds.sent(Feed::Delta);
    }
    assert_eq!(feeds.next(moment(30_000)).0, Request::Full);
    feeds.full_page(8, Some(9), moment(30_000), &rows, &Roster::new(1));
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
    let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(250));
    feeds.set_ready_statuses(vec![ready(1)], &mut roster, moment(0));
    (feeds.sweep_pages, feeds.known_available) = (40, 2_000);
    feeds.choice.proved(Feed::Available);
    assert!(feeds.choose(moment(0)));
    assert_eq!((feeds.in_use(), feeds.pages()), (Feed::Available, 8));
    feeds.full_page(7, Some(8), moment(0), &rows, &roster);
    for reading in 1..=5 {
        let time = reading * PERIOD;
        let (request, _) = feeds.next(moment(time));
        // Now it is a candidate, whose readings follow one another.
        if reading == 4 {
            assert_eq!(request, Request::Available { status: 1, page: 1 });
            feeds.sent(Feed::Available);
        } else {
            assert_eq!(request, Request::Delta(1), "reading {reading}");
            feeds.take_delta(changes_page(time, &rows), &roster, moment(time + WAY));
        }
        assert_eq!(feeds.choose(moment(time + WAY)), reading == 5);
    }
    assert_eq!(feeds.in_use(), Feed::Delta);
}

#[test]
fn no_status_is_older_because_changes_replace_another_feed() {
    let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(250));
    feeds.set_ready_statuses(vec![ready(1)], &mut roster, moment(0));
    (feeds.sweep_pages, feeds.known_available) = (40, 2_000);
    feeds.choice.proved(Feed::Available);
    assert!(feeds.choose(moment(0)));
    // The list of changes begins after this agent was seen and was missing from the lists of available agents.
    let absent = agent("absent", "Absent", STATUSES[1]);
    let id = absent.id.clone();
    roster.poll(0, moment(0), Duration::ZERO, true, vec![absent]);
    roster.confirm_available(moment(0));
    feeds.full_page(7, Some(8), moment(WAY), &rows, &roster);
    let mut time = 0;
    while feeds.in_use() == Feed::Available {
        time += PERIOD;
        assert!(time < 20 * PERIOD, "changes are never used");
        let now = moment(time + WAY);
        match feeds.next(moment(time)).0 {
            Request::Delta(1) => {
                let taken = feeds.take_delta(changes_page(time, &rows), &roster, now);
                feeds.confirm(&taken, None, &mut roster);
            }
            Request::Available { .. } => {
                feeds.sent(Feed::Available);
                roster.confirm_available(moment(time));
            }
            other => panic!("{other:?}"),
        }
        feeds.choose(now);
        let known = roster.known_as_of(roster.newest(&id).unwrap());
        let age = moment(time).boot.saturating_sub(known.boot);
        assert!(age <= Duration::from_millis(3 * PERIOD), "{age:?}");
    }
    assert_eq!(feeds.in_use(), Feed::Delta);
}

#[test]
fn a_new_ready_status_is_not_known_before_its_agents_are_listed() {
    let (mut feeds, mut roster) = (Feeds::default(), Roster::new(1));
    roster.confirm_available(moment(0));
    feeds.set_ready_statuses(vec![ready(1), ready(2)], &mut roster, moment(0));
    let known = roster.confirmed().available;
    assert_eq!(known, Some(moment(0)), "an earlier task filtered by them");
    feeds.set_ready_statuses(vec![ready(2)], &mut roster, moment(1));
    assert_eq!(roster.confirmed().available, Some(moment(0)));
    feeds.set_ready_statuses(vec![ready(2), ready(3)], &mut roster, moment(2));
    assert_eq!(roster.confirmed().available, None);
}

#[test]
fn changes_begin_at_the_newest_date_of_any_row_although_the_first_page_is_dormant() {
    let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(500));
    let seen = |agent: &Agent| Sighting {
        agent: Arc::new(agent.clone()),
        at: moment(0),
        by_sweep: true,
    };
    roster.see(rows[250..].iter().map(seen).collect());
    let week = jiff::SignedDuration::from_hours(7 * 24);
    let dormant = changes(250).into_iter().map(|agent| Agent {
        status_since: agent.status_since.map(|date| date - week),
        id: AgentId(format!("dormant-{}", agent.id.0).into()),
        ..agent
    });
    let dormant: Vec<_> = dormant.collect();
    feeds.full_page(1, Some(2), moment(0), &dormant, &roster);
    // The last of these rows changed half a minute before the newest of those that were seen.
    let listed = &rows[..283];
    let taken = feeds.take_delta(changes_page(PERIOD, listed), &roster, moment(PERIOD + WAY));
    let as_of = moment(PERIOD);
    assert_eq!(taken, Taken::Changes { as_of });
}
