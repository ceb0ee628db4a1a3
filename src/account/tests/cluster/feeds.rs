//! Tests that a follower knows what the leader's lists confirm about agents whom they do not show, and no more than that.

use super::*;
use crate::{
    account::{feeds::Feed, news::ROWS_AGAIN, tests::feeds::large},
    cluster::entry::{Entry, Rows, SeenRow},
    fixtures::agent,
    model::known::Confirmed,
    simulator::{Ordering as SimulatedOrdering, Quirks},
};

/// An account: its name, the simulator's quirks, and the feeds that it uses in the end.
type Case = (&'static str, fn(&mut Quirks), &'static [Feed]);

/// How much later than the leader a follower may hear of something newer.
const LATE: Duration = Duration::from_secs(3);

/// Removes the members of the smallest queue from the account. Returns its place.
fn empty_a_queue(fixture: &Fixture) -> usize {
    fixture.simulator.world(|world| {
        let agents = world.agents();
        let queues_of = |id: &AgentId| world.agent(id).unwrap().queues;
        let members = |place: usize| {
            let is_in = |id: &&AgentId| {
                queues_of(id)
                    .iter()
                    .any(|(queue, _)| *queue == fixture.ids[place])
            };
            agents.iter().filter(is_in).cloned().collect::<Vec<_>>()
        };
        let smallest = fixture.places().min_by_key(|place| members(*place).len());
        let place = smallest.unwrap();
        for id in members(place) {
            world.remove_agent(&id);
        }
        place
    })
}

/// Returns as of when a node knows a queue.
fn as_of(node: &Running, fixture: &Fixture, place: usize) -> Duration {
    let snapshot = node.board.snapshot(&fixture.keys[place]);
    snapshot.map_or(Duration::ZERO, |snapshot| snapshot.as_of.boot)
}

#[tokio::test(start_paused = true)]
async fn a_follower_knows_what_lists_confirm_by_omission_until_it_is_doubted() {
    let cases: [Case; 4] = [
        ("on one page", |_| {}, &[Feed::Sweep]),
        ("ordered", |_| {}, &[Feed::Delta]),
        (
            "filtered",
            |quirks| quirks.ordering = SimulatedOrdering::Off,
            &[Feed::Available],
        ),
        (
            "doubted",
            |quirks| quirks.still_dates_percent = 30,
            &[Feed::Delta, Feed::Sweep, Feed::Available],
        ),
    ];
    for (name, quirks, expected) in cases {
        let mut setting = large(31);
        setting.world.mean_idle = 40 * SECOND;
        if expected == [Feed::Sweep] {
            setting.page_limit = None;
            setting.world.agents = 240;
            // It reads a field that changes without a date, which lists of changes do not confirm by omission.
            setting.rules = vec![custom("$.results[?(@.live_calls_count == 0)]")];
        }
        let fixture = setting.start();
        fixture.task.abort();
        fixture.simulator.quirks(quirks);
        let (empty, exchange) = (empty_a_queue(&fixture), Exchange::new());
        let (leader, follower) = pair(&fixture, &exchange).await;
        let (mut used, mut late) = (Vec::new(), vec![Duration::ZERO; fixture.keys.len()]);
        let mut left = 120;
        for second in 0..20 * 60 {
            if left == 0 {
                break;
            }
            left -= i32::from(used.ends_with(expected));
            sleep(SECOND).await;
            let feed = leader.health.borrow().feed;
            if used.last() != Some(&feed) {
                used.push(feed);
                continue; // What it doubts is on its way to the follower.
            }
            for place in fixture.places() {
                let (one, other) = (
                    as_of(&leader, &fixture, place),
                    as_of(&follower, &fixture, place),
                );
                assert!(
                    other <= one + Duration::from_millis(2),
                    "{name}, {place}, {second} s, {used:?}: {other:?} is newer than {one:?}"
                );
                late[place] = match one.saturating_sub(other) <= LATE {
                    true => Duration::ZERO,
                    false => late[place] + SECOND,
                };
                assert!(
                    late[place] < LATE,
                    "{name}, {place}, {second} s, {used:?}: {other:?} is older than {one:?}"
                );
            }
        }
        assert!(used.ends_with(expected), "{name}: {used:?}");
        for node in [&leader, &follower] {
            let decision = node.decide(&fixture, empty);
            assert_eq!(decision.count, Some(Quantity::ZERO), "{name}: {decision:?}");
            assert!(decision.age.unwrap() < 10 * SECOND, "{name}: {decision:?}");
        }
        drop(leader);
        let leads_with = |feed| expected.ends_with(&[feed]);
        for second in 0..3 * 60 {
            sleep(SECOND).await;
            for place in fixture.places() {
                let decision = follower.decide(&fixture, place);
                let is_known = decision.reason.is_known();
                assert!(is_known, "{name}, {place}, {second} s: {decision:?}");
                // The list of changes continues where the last leader left it.
                let (age, is_late) = (decision.age.unwrap(), second > 20);
                let is_old = is_late && leads_with(Feed::Delta) && age > 25 * SECOND;
                assert!(!is_old, "{name}, {place}, {second} s: {decision:?}");
            }
        }
        assert!(follower.member.leads());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_of_the_list_of_changes_sends_only_its_rows_to_all_nodes() {
    let mut setting = large(31);
    setting.world.mean_idle = 40 * SECOND;
    let fixture = setting.start();
    fixture.task.abort();
    let exchange = Exchange::new();
    let (leader, follower) = pair(&fixture, &exchange).await;
    for _ in 0..20 * 60 {
        if leader.health.borrow().feed == Feed::Delta {
            break;
        }
        sleep(SECOND).await;
    }
    // Rows from before may still be on their way.
    sleep(MINUTE / 2).await;
    assert_eq!(leader.health.borrow().feed, Feed::Delta);
    let _ = fixture.sent();
    let published = published(&fixture, &exchange).await;
    let requests = fixture.sent().len();
    let rows: usize = published.iter().map(|entry| entry.seen.len()).sum();
    let everybody = 260;
    assert!(requests > 20, "{requests}");
    assert!(
        rows > 0 && rows < requests * 60,
        "{rows} rows in {requests} requests, of {everybody} agents"
    );

    // A node that reads a checkpoint hears the rest, too.
    let new = Running::start(&fixture, &exchange, "three");
    sleep(10 * SECOND).await;
    for second in 0..60 {
        sleep(SECOND).await;
        for place in fixture.places() {
            let known = [&leader, &follower, &new].map(|node| as_of(node, &fixture, place));
            let [leads, follows, is_new] = known;
            assert!(
                is_new <= leads + Duration::from_millis(2),
                "{place}, {second} s: {known:?}"
            );
            assert!(is_new + LATE >= follows, "{place}, {second} s: {known:?}");
        }
    }
}

/// A queue's poll of a minute ago, with an available agent or without any.
fn polled(fixture: &Fixture, place: usize, names: &[&str]) -> Entry {
    let rows = Rows {
        as_of: fixture.clock.now().earlier(MINUTE),
        took: SECOND,
        complete: true,
        rows: names
            .iter()
            .map(|name| agent(name, name, "Available").raw)
            .collect(),
    };
    Entry {
        polls: vec![(fixture.ids[place], rows)],
        ..Entry::default()
    }
}

/// A row that no version can read.
fn unread(fixture: &Fixture) -> SeenRow {
    SeenRow {
        agent: AgentId("ann".into()),
        at: fixture.clock.now(),
        by_sweep: true,
        is_look: true,
        is_covered: false,
        row: crate::model::raw::RawRow::from(serde_json::value::to_raw_value("no row").unwrap()),
    }
}

#[tokio::test(start_paused = true)]
async fn what_lists_confirm_says_nothing_about_rows_that_cannot_be_read() {
    let (fixture, exchange) = fixture(2, 1);
    let (node, mut task) = Running::without_task(&fixture, &exchange);
    let known = || {
        let now = fixture.clock.now().boot;
        [0, 1].map(|place| now - as_of(&node, &fixture, place) < MINUTE / 2)
    };
    let confirmed = || {
        let now = Some(fixture.clock.now());
        Some(Confirmed {
            everybody: now,
            available: now,
            but: Vec::new(),
        })
    };
    let hear = async |task: &mut Task, entry: Entry| {
        task.hear(entry);
        sleep(SECOND).await;
    };
    hear(&mut task, polled(&fixture, 0, &["ann"])).await;
    hear(&mut task, polled(&fixture, 1, &[])).await;
    assert_eq!(known(), [false, false]);
    let both = Entry {
        confirmed: confirmed(),
        ..Entry::default()
    };
    hear(&mut task, both).await;
    assert_eq!(known(), [true, true]);

    let half_read = Entry {
        seen: vec![unread(&fixture)],
        confirmed: confirmed(),
        ..Entry::default()
    };
    hear(&mut task, half_read).await;
    assert_eq!(known(), [false, false]);
    let later = Entry {
        confirmed: confirmed(),
        ..Entry::default()
    };
    hear(&mut task, later).await;
    assert_eq!(known(), [false, false], "the row is still missing");
    // A newer row of the agent may be readable, so it asks for all rows now and then.
    for asked in 1..4 {
        sleep(ROWS_AGAIN).await;
        assert_eq!(task.ordered(), asked);
    }
    let whole = Entry {
        whole: true,
        confirmed: confirmed(),
        ..polled(&fixture, 0, &["ann"])
    };
    let asked = task.ordered();
    hear(&mut task, whole).await;
    assert_eq!(known(), [true, true]);
    sleep(2 * ROWS_AGAIN).await;
    assert_eq!(task.ordered(), asked);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_could_not_read_a_row_knows_all_again_soon_after_a_newer_one() {
    let (fixture, exchange) = fixture(30, 60);
    let (leader, follower) = pair(&fixture, &exchange).await;
    sleep(5 * MINUTE).await;
    assert!(leader.health.borrow().sweeps);
    let tell = async |row| {
        let entry = Entry {
            seen: vec![row],
            ..Entry::default()
        };
        leader.member.publish(entry).await;
        sleep(SECOND).await;
    };
    tell(unread(&fixture)).await;
    let behind = || {
        let behind = |place: &usize| {
            as_of(&follower, &fixture, *place) + LATE < as_of(&leader, &fixture, *place)
        };
        fixture.places().filter(behind).count()
    };
    assert!(behind() > 0);
    tell(SeenRow {
        row: agent("ann", "Ann", "Lunch").raw,
        ..unread(&fixture)
    })
    .await;
    sleep(ROWS_AGAIN).await;
    let mut late = Duration::ZERO;
    for second in 0..120 {
        sleep(SECOND).await;
        late = if behind() > 0 {
            late + SECOND
        } else {
            Duration::ZERO
        };
        assert!(late < LATE, "{second} s: {}", behind());
    }
}
