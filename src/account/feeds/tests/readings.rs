//! Tests which list is read next, and what a reading confirms.

use super::*;
use crate::account::looking::Looking;

impl World {
    /// Returns a queue that the account would poll because the list of changes omits one of its agents.
    fn queue_of_missing(&self, looking: &mut Looking) -> Option<usize> {
        let now = moment(self.now);
        let missing = looking.for_missing(self.feeds.absent(now), now);
        let name = missing.first()?.0.strip_prefix("agent-")?;
        Some(name.parse::<usize>().ok()? % 4)
    }

    /// Returns whether the roster shows a change after this time of the agent whom the list of changes omits.
    fn shows_a_miss(&self, time: u64) -> bool {
        let row = self.roster.newest(&AgentId("agent-007".into()));
        let date = row.and_then(|row| row.agent.status_since);
        date.is_some_and(|date| date.as_millisecond() > 1_795_341_600_000 + time as i64)
    }
}

#[test]
fn a_list_that_misses_changes_is_given_up_within_three_minutes() {
    let omit = [Lie::LeavesOut, Lie::LeavesOutOne];
    for lie in omit.into_iter().chain([Lie::DatesStandStill, Lie::Undated]) {
        for seed in 0..3 {
            let mut world = World::new(lie, seed);
            let (mut looking, mut used_since, mut missed_since) = (Looking::default(), None, None);
            while world.now < 10 * 60_000 {
                world.live(0);
                world.ask();
                if (world.now / 4_500).is_multiple_of(3) {
                    let turn = world.now as usize / 13_500 % 4;
                    let queue = world.queue_of_missing(&mut looking);
                    world.poll(queue.unwrap_or(turn));
                }
                world.check();
                match world.feeds.in_use() {
                    Feed::Delta => {
                        let used = *used_since.get_or_insert(world.now);
                        // That of one agent is noticed only once another list shows it.
                        if lie != Lie::LeavesOutOne || world.shows_a_miss(used) {
                            let since = *missed_since.get_or_insert(world.now);
                            assert!(world.now - since < 180_000, "{lie:?}, seed {seed}");
                        }
                    }
                    _ => (used_since, missed_since) = (None, None),
                }
            }
            assert!(world.delta_is_out(), "{lie:?}, seed {seed}");
        }
    }
}

#[test]
fn every_thirtieth_request_or_after_two_minutes_a_page_of_the_full_list_is_read() {
    let (mut feeds, rows) = (Feeds::default(), changes(250));
    (feeds.sweep_pages, feeds.whole) = (40, WholeList::Clipped);
    feeds.choice.proved(Feed::Delta);
    let pages = Pages {
        sweep: 40,
        available: 8,
        delta: 1.0,
    };
    assert!(feeds.choice.read(pages, || true));
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
fn only_an_agent_who_may_have_slipped_is_known_no_better_after_a_reading() {
    let (mut feeds, mut roster, rows) = within_a_reading();
    let busy = agent("busy", "Busy", STATUSES[1]);
    let polled = vec![busy.clone(), rows[250].clone()];
    roster.poll(0, moment(0), Duration::ZERO, true, polled);
    let take = |feeds: &mut Feeds, roster: &mut Roster, at, page, rows: &[Agent]| {
        let page = FilteredPage {
            as_of: moment(at),
            ..filtered_page(1, page, rows)
        };
        let taken = feeds.take_available(page, roster, moment(at + WAY));
        let seen = |agent: &Agent| Sighting {
            agent: Arc::new(agent.clone()),
            at: moment(at),
            by_sweep: true,
        };
        roster.see(rows.iter().map(seen).collect());
        feeds.confirm(&taken, None, roster);
    };
    take(&mut feeds, &mut roster, PERIOD, 2, &rows[250..]);
    // The first agent leaves after the first page.
    take(&mut feeds, &mut roster, 3 * PERIOD, 1, &rows[..250]);
    take(&mut feeds, &mut roster, 3 * PERIOD, 2, &rows[251..]);
    let slipped = roster.newest(&rows[250].id).unwrap();
    assert_eq!(slipped.agent.available, Some(true));
    assert_eq!(roster.known_as_of(slipped), moment(PERIOD));
    let busy = roster.newest(&busy.id).unwrap();
    assert_eq!(roster.known_as_of(busy), moment(3 * PERIOD));
    assert_eq!(roster.join(0).unwrap().as_of, moment(PERIOD));
    // The same is true on other nodes and in the next task.
    let confirmed = roster.confirmed();
    assert_eq!(confirmed.available, Some(moment(3 * PERIOD)));
    assert_eq!(confirmed.of_all().available, Some(moment(PERIOD)));
    // The next reading omits the agent, too.
    take(&mut feeds, &mut roster, 5 * PERIOD, 1, &rows[..250]);
    take(&mut feeds, &mut roster, 5 * PERIOD, 2, &rows[251..]);
    assert_eq!(roster.join(0).unwrap().as_of, moment(5 * PERIOD));
}

#[test]
fn only_pages_that_overlap_confirm_that_an_agent_is_away_whom_another_look_shows_available() {
    for (overlap, expected) in [(0, moment(0)), (4, moment(PERIOD))] {
        let (mut feeds, mut roster, rows) = within_a_reading();
        let since = |seconds: i64, status: &str| Agent {
            status_since: Some(Timestamp::from_second(1_795_341_580 + seconds).unwrap()),
            ..agent("busy", "Busy", status)
        };
        for (time, row) in [(0, since(9, STATUSES[1])), (1_000, since(0, STATUSES[0]))] {
            roster.see(vec![Sighting {
                agent: Arc::new(row),
                at: moment(time),
                by_sweep: true,
            }]);
        }
        let page = filtered_page(1, 2, &rows[250 - overlap..]);
        let taken = feeds.take_available(page, &roster, moment(PERIOD + WAY));
        feeds.confirm(&taken, None, &mut roster);
        let busy = roster.newest(&AgentId("busy".into())).unwrap();
        assert_eq!(busy.agent.available, Some(false));
        assert_eq!(roster.known_as_of(busy), expected, "{overlap}");
    }
}

#[test]
fn changes_are_read_on_until_they_replace_another_feed() {
    let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(250));
    feeds.set_ready_statuses(vec![ready(1)], &mut roster, moment(0));
    (feeds.sweep_pages, feeds.known_available) = (40, 2_000);
    feeds.choice.proved(Feed::Available);
    assert!(feeds.choose(&roster, moment(0)));
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
        assert_eq!(feeds.choose(&roster, moment(time + WAY)), reading == 5);
    }
    assert_eq!(feeds.in_use(), Feed::Delta);
}

#[test]
fn changes_that_take_nearly_as_many_pages_are_not_tried_again_and_again() {
    let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(250));
    feeds.set_ready_statuses(vec![ready(1)], &mut roster, moment(0));
    (feeds.sweep_pages, feeds.known_available) = (40, 1_500);
    feeds.choice.proved(Feed::Available);
    assert!(feeds.choose(&roster, moment(0)));
    assert_eq!((feeds.in_use(), feeds.pages()), (Feed::Available, 6));
    for (pages, is_tried) in [(5, false), (4, true)] {
        feeds.delta.end();
        feeds.delta.lengths.add(pages, moment(0));
        feeds.full_page(7, Some(8), moment(0), &rows, &roster);
        let (request, _) = feeds.next(moment(PERIOD));
        let is_delta = matches!(request, Request::Delta(_));
        assert_eq!(is_delta, is_tried, "{pages} pages");
    }
}

#[test]
fn no_status_is_older_because_changes_replace_another_feed() {
    let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(250));
    feeds.set_ready_statuses(vec![ready(1)], &mut roster, moment(0));
    (feeds.sweep_pages, feeds.known_available) = (40, 2_000);
    feeds.choice.proved(Feed::Available);
    assert!(feeds.choose(&roster, moment(0)));
    // The list of changes begins after this agent was seen and was missing from the lists of available agents.
    let absent = agent("absent", "Absent", STATUSES[1]);
    let id = absent.id.clone();
    roster.poll(0, moment(0), Duration::ZERO, true, vec![absent]);
    roster.confirm_available(moment(0), Vec::new());
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
                roster.confirm_available(moment(time), Vec::new());
            }
            other => panic!("{other:?}"),
        }
        feeds.choose(&roster, now);
        let known = roster.known_as_of(roster.newest(&id).unwrap());
        let age = moment(time).boot.saturating_sub(known.boot);
        assert!(age <= Duration::from_millis(3 * PERIOD), "{age:?}");
    }
    assert_eq!(feeds.in_use(), Feed::Delta);
}

#[test]
fn changes_replace_no_feed_that_was_given_up_before_they_cover_everybody() {
    let doubted = GivenUp::Doubted(Doubt::LeftOut);
    for gives_up in [Some(GivenUp::Failed), Some(doubted), None] {
        let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(250));
        feeds.set_ready_statuses(vec![ready(1)], &mut roster, moment(0));
        (feeds.sweep_pages, feeds.known_available) = (40, 2_000);
        feeds.choice.proved(Feed::Available);
        assert!(feeds.choose(&roster, moment(0)));
        let absent = vec![agent("absent", "Absent", STATUSES[1])];
        roster.poll(0, moment(0), Duration::ZERO, true, absent);
        feeds.full_page(7, Some(8), moment(WAY), &rows, &roster);
        let taken = feeds.take_delta(changes_page(PERIOD, &rows), &roster, moment(PERIOD));
        feeds.confirm(&taken, None, &mut roster);
        assert_eq!(feeds.trust(Feed::Delta), Trust::Trusted);
        let now = moment(2 * PERIOD);
        if let Some(why) = gives_up {
            if why != GivenUp::Failed {
                roster.confirm_available(moment(PERIOD), Vec::new());
            }
            let taken = feeds.give_up(Feed::Available, why, &roster, now);
            feeds.confirm(&taken, None, &mut roster);
        } else {
            roster.confirm_available(moment(PERIOD), Vec::new());
            feeds.set_needs_reasons(true, &roster, now);
        }
        assert_eq!(feeds.in_use(), Feed::Sweep);
        roster.swept(moment(2 * PERIOD));
        assert!(feeds.full_list_ended(&roster, moment(3 * PERIOD)));
        assert_eq!(feeds.in_use(), Feed::Delta);
    }
}

/// Lets the list of changes begin on a floor with `rate` changes a second, while lists of this many available agents are in use. Returns when it
/// replaces them.
fn replaced_at(rate: u64, available: usize) -> Duration {
    /// One of four requests polls a queue.
    const NEXT: u64 = PERIOD * 4 / 3;
    let (mut feeds, mut roster) = (Feeds::default(), Roster::new(1));
    feeds.set_ready_statuses(vec![ready(1)], &mut roster, moment(0));
    (feeds.sweep_pages, feeds.known_available) = (40, available);
    feeds.choice.proved(Feed::Available);
    assert!(feeds.choose(&roster, moment(0)));
    let row = |n: u64| Agent {
        status_since: Some(Timestamp::from_millisecond((n * 1_000 / rate) as i64).unwrap()),
        ..agent(&format!("agent-{}", n % 10_000), "", STATUSES[0])
    };
    // The list at a time, without the rows before a place.
    let list = |time: u64, place: u64| -> Vec<Agent> {
        let newest = 10_000 + time * rate / 1_000 - place;
        (newest - 249..=newest).rev().map(row).collect()
    };
    let seen = |agent: Agent| Sighting {
        agent: Arc::new(agent),
        at: moment(0),
        by_sweep: true,
    };
    roster.see(list(0, 0).into_iter().map(seen).collect());
    feeds.full_page(7, Some(8), moment(WAY), &list(0, 5_000), &roster);
    let mut time = 0;
    while feeds.in_use() == Feed::Available {
        time += NEXT;
        match feeds.next(moment(time)).0 {
            Request::Delta(number) => {
                let size = feeds.size_of_changes(number);
                let rows = list(time, u64::from((number - 1) * size));
                let page = DeltaPage {
                    page: number,
                    ..changes_page(time, &rows[..size as usize])
                };
                let taken = feeds.take_delta(page, &roster, moment(time + WAY));
                feeds.confirm(&taken, None, &mut roster);
            }
            Request::Available { .. } => {
                roster.confirm_available(moment(time), Vec::new());
                time += (u64::from(feeds.pages()) - 1) * NEXT;
                feeds.sent(Feed::Available);
            }
            other => panic!("{other:?} at {time}: changes are never used"),
        }
        let trust = feeds.trust(Feed::Delta);
        assert!(!matches!(trust, Trust::Resting(_)), "at {time}");
        if feeds.unfinished.is_none() {
            feeds.choose(&roster, moment(time + WAY));
        }
    }
    assert_eq!(feeds.in_use(), Feed::Delta);
    Duration::from_millis(time)
}

#[test]
fn a_busy_floors_changes_replace_lists_that_take_eight_pages() {
    replaced_at(19, 2_000);
}

#[test]
fn changes_replace_lists_that_take_two_pages_although_the_first_reading_takes_as_many() {
    let replaced = replaced_at(13, 400);
    assert!(replaced < Duration::from_secs(60), "{replaced:?}");
}

#[test]
fn a_new_ready_status_is_not_known_before_its_agents_are_listed() {
    let (mut feeds, mut roster) = (Feeds::default(), Roster::new(1));
    roster.confirm_available(moment(0), Vec::new());
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

#[test]
fn changes_that_are_kept_until_sweeps_are_trusted_are_no_misses() {
    let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(250));
    feeds.full_page(1, Some(2), moment(0), &rows, &roster);
    let changed = &rows[100..103];
    let hour = jiff::SignedDuration::from_hours(1);
    let before = changed.iter().map(|row| Agent {
        status_since: row.status_since.map(|date| date - hour),
        ..row.clone()
    });
    roster.poll(0, moment(PERIOD), Duration::ZERO, true, before.collect());
    let (as_of, now) = (moment(2 * PERIOD), moment(3 * PERIOD));
    let taken = feeds.take_delta(changes_page(2 * PERIOD, &rows), &roster, now);
    assert_eq!(taken, Taken::Changes { as_of });
    let seen = |agent: &Agent| Sighting {
        agent: Arc::new(agent.clone()),
        at: as_of,
        by_sweep: true,
    };
    feeds.keep(rows.iter().map(seen).collect());
    assert_eq!(feeds.compare(changed, now, &roster, now), None);
    // Without these rows, the list would have missed the changes.
    feeds.take_kept();
    assert!(feeds.compare(changed, now, &roster, now).is_some());
}

#[test]
fn changes_that_are_kept_until_sweeps_are_trusted_are_not_late() {
    let (mut feeds, mut roster, rows) = (Feeds::default(), Roster::new(1), changes(300));
    feeds.full_page(1, Some(2), moment(0), &rows[50..], &roster);
    let hour = jiff::SignedDuration::from_hours(1);
    let before = Agent {
        status_since: rows[40].status_since.map(|date| date - hour),
        ..rows[40].clone()
    };
    roster.poll(0, moment(PERIOD), Duration::ZERO, true, vec![before]);
    // The first page shows the agent's change, and so does the second, to which it is not new. The third reaches back by a few seconds, which is enough.
    for (reading, listed) in [(2, 30..280), (3, 20..270), (4, 0..30)] {
        let as_of = moment(reading * PERIOD);
        let page = changes_page(reading * PERIOD, &rows[listed.clone()]);
        let taken = feeds.take_delta(page, &roster, as_of);
        assert_eq!(taken, Taken::Changes { as_of }, "{reading}");
        let seen = |agent: &Agent| Sighting {
            agent: Arc::new(agent.clone()),
            at: as_of,
            by_sweep: true,
        };
        feeds.keep(rows[listed].iter().map(seen).collect());
    }
}

#[test]
fn the_full_list_itself_shows_how_many_are_available() {
    let mut feeds = Feeds::default();
    let rows = |names: std::ops::Range<usize>| -> Vec<Agent> {
        let row = |n| agent(&format!("agent-{n:03}"), "", STATUSES[0]);
        names.map(row).collect()
    };
    let mut roster = Roster::new(1);
    let seen = |agent: Agent| Sighting {
        agent: Arc::new(agent),
        at: moment(0),
        by_sweep: true,
    };
    // The roster does not know that some have gone since their page was read.
    roster.see(rows(0..100).into_iter().map(seen).collect());
    for _ in 0..2 {
        feeds.full_page(1, Some(2), moment(0), &rows(0..10), &roster);
        feeds.count_available(&roster, moment(10 * 60_000));
        feeds.full_page(2, None, moment(0), &rows(10..15), &roster);
        feeds.full_list_ended(&roster, moment(0));
        assert_eq!(feeds.known_available, 15);
    }
}

#[test]
fn changes_that_were_not_read_for_a_while_are_tried_from_the_start_again() {
    let (mut feeds, roster, rows) = (Feeds::default(), Roster::new(1), changes(300));
    feeds.full_page(1, Some(2), moment(0), &rows[..250], &roster);
    assert_eq!(feeds.next(moment(PERIOD)).0, Request::Delta(1));
    feeds.take_delta(
        changes_page(PERIOD, &rows[..250]),
        &roster,
        moment(PERIOD + WAY),
    );
    // The whole list comes at once, so nothing takes fewer requests.
    assert!(feeds.take_whole(300, true, moment(2 * PERIOD)));
    feeds.full_page(1, None, moment(2 * PERIOD), &rows, &roster);
    feeds.full_list_ended(&roster, moment(2 * PERIOD));
    assert_eq!(feeds.trust(Feed::Delta), Trust::Trusted);
    // Long after that it is clipped.
    let (sent, now) = (moment(900_000), moment(900_000 + WAY));
    assert!(!feeds.take_whole(250, false, now));
    feeds.full_page(1, Some(2), sent, &rows[..250], &roster);
    assert_eq!(feeds.in_use(), Feed::Sweep);
    assert_eq!(feeds.trust(Feed::Delta), Trust::Untried);
    assert_eq!(feeds.next(now).0, Request::Delta(1));
    assert_eq!(feeds.delta.as_of(), Some(sent));
}

#[test]
fn the_pause_after_a_trial_is_of_ten_readings_and_at_most_six_hours() {
    let hour = 3_600_000;
    let (mut feeds, roster, rows) = (Feeds::default(), Roster::new(1), changes(300));
    let mut pause = |took: u64| {
        feeds.full_page(1, Some(2), moment(0), &rows[..250], &roster);
        feeds.pause_trials(moment(took));
        // A reading that has ended once does not prolong it.
        feeds.pause_trials(moment(2 * took));
        feeds.full_again.unwrap().boot_since(moment(took))
    };
    assert_eq!(pause(60_000), Duration::from_millis(hour));
    assert_eq!(pause(hour / 4), Duration::from_millis(10 * hour / 4));
    assert_eq!(pause(hour), Duration::from_millis(6 * hour));
}
