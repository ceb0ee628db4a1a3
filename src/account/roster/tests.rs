//! Tests which agents are where, which row counts, and who has left.

mod stray;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{strangers::MAX_STRANGERS, *};
use crate::{
    fixtures::{agent, at},
    model::{
        known::{Known, Sighting},
        names::Names,
    },
};

mod older;
mod passed;
mod told;

fn poll(roster: &mut Roster, place: usize, seconds: u64, agents: Vec<Agent>) {
    roster.poll(place, at(seconds), Duration::from_millis(300), true, agents);
}

fn sweep(roster: &mut Roster, seconds: u64, agents: Vec<Agent>) {
    see(roster, seconds, agents);
    roster.swept(at(seconds));
}

/// Applies a page of an incomplete sweep.
fn see(roster: &mut Roster, seconds: u64, agents: Vec<Agent>) {
    let sighting = |agent| Sighting {
        agent: Arc::new(agent),
        at: at(seconds),
        by_sweep: true,
    };
    roster.see(agents.into_iter().map(sighting).collect());
}

/// Returns an agent who has had this status since `seconds` after the start.
fn since(id: &str, status: &str, seconds: i64) -> Agent {
    let since = Timestamp::from_second(1_795_341_600 + seconds).unwrap();
    Agent {
        status_since: Some(since),
        ..agent(id, id, status)
    }
}

fn undated(id: &str, status: &str) -> Agent {
    Agent {
        status_since: None,
        ..agent(id, id, status)
    }
}

fn status<'a>(roster: &'a Roster, id: &str) -> Option<&'a str> {
    let newest = roster.newest(&AgentId(id.into()))?;
    newest.agent.status.as_deref()
}

/// Takes the departures: the agent, the queues, and by when the call's reservation was made.
fn departures(roster: &mut Roster) -> Vec<(String, Vec<usize>, Moment)> {
    let departures = roster.take_departures().into_iter();
    departures
        .map(|gone| (gone.agent.to_string(), gone.places, gone.made_by))
        .collect()
}

/// Returns the roster of the next task or, if `stored`, of the next process.
fn successor(roster: &Roster, queues: usize, stored: bool) -> Roster {
    let poll = |place| Some((place as u64, roster.poll_to_hand_over(place)?));
    let mut known = Known {
        queues: (0..queues).filter_map(poll).collect(),
        agents: roster.known_beside_polls(),
        ..Known::default()
    };
    known.undate_refuted();
    let mut next = Roster::new(queues);
    for sighting in known.agents {
        next.recall(sighting);
    }
    for (place, poll) in known.queues {
        next.recall_poll(place as usize, poll);
    }
    if !stored {
        for (id, presence) in roster.presences() {
            next.recall_presence(id.clone(), presence);
        }
    }
    next
}

fn logged_out(mut agent: Agent) -> Agent {
    agent.queue_logged_in = false;
    agent
}

fn available(joined: &Joined) -> Vec<(&str, Option<bool>, bool)> {
    let agents = joined.agents.iter();
    agents
        .map(|agent| (&*agent.id.0, agent.available, agent.queue_logged_in))
        .collect()
}

#[test]
fn a_row_from_one_queue_counts_in_all_queues_of_its_agent() {
    let mut roster = Roster::new(2);
    poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
    poll(
        &mut roster,
        1,
        10,
        vec![logged_out(agent("a", "A", "On a Call"))],
    );
    let joined = roster.join(0).unwrap();
    assert_eq!(
        available(&joined),
        [("a", Some(false), true)],
        "the current status, with the log-in of this queue"
    );
    assert_eq!((joined.as_of, joined.members_as_of), (at(10), at(0)));
}

#[test]
fn an_agent_who_becomes_unavailable_departs_from_their_logged_in_queues() {
    let mut roster = Roster::new(3);
    poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
    poll(
        &mut roster,
        1,
        1,
        vec![logged_out(agent("a", "A", "Available"))],
    );
    poll(&mut roster, 2, 2, vec![agent("b", "B", "On a Call")]);
    assert_eq!(departures(&mut roster), [], "nobody was known before");
    let mut unclear = agent("a", "A", "?");
    unclear.available = None;
    sweep(&mut roster, 3, vec![agent("b", "B", "Available")]);
    assert_eq!(departures(&mut roster), [], "b became available");
    sweep(&mut roster, 10, vec![agent("a", "A", "On a Call")]);
    sweep(&mut roster, 9, vec![agent("b", "B", "Post Call")]);
    assert_eq!(
        departures(&mut roster),
        [
            ("a".to_owned(), vec![0], at(10)),
            ("b".to_owned(), vec![2], at(9))
        ]
    );
    sweep(&mut roster, 20, vec![agent("a", "A", "Post Call")]);
    assert_eq!(departures(&mut roster), [], "already departed");
    sweep(&mut roster, 30, vec![agent("a", "A", "Available")]);
    sweep(&mut roster, 40, vec![unclear]);
    assert_eq!(departures(&mut roster), [], "the status is not understood");
}

#[test]
fn an_older_row_never_replaces_a_newer_one() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 10, vec![agent("a", "A", "On a Call")]);
    sweep(&mut roster, 5, vec![agent("a", "A", "Available")]);
    assert_eq!(
        available(&roster.join(0).unwrap()),
        [("a", Some(false), true)]
    );
}

#[test]
fn an_answer_is_as_old_as_the_oldest_status_that_it_uses() {
    let mut roster = Roster::new(1);
    poll(
        &mut roster,
        0,
        0,
        vec![
            agent("a", "A", "Available"),
            agent("b", "B", "Available"),
            logged_out(agent("c", "C", "Available")),
        ],
    );
    sweep(&mut roster, 20, vec![agent("a", "A", "Available")]);
    assert_eq!(roster.join(0).unwrap().as_of, at(0), "b was not seen again");
    sweep(&mut roster, 30, vec![agent("b", "B", "Available")]);
    assert_eq!(
        roster.join(0).unwrap().as_of,
        at(20),
        "and c does not matter"
    );
}

#[test]
fn an_empty_queue_is_as_old_as_the_last_look_at_all_agents() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 0, vec![]);
    sweep(&mut roster, 20, vec![agent("a", "A", "Available")]);
    let joined = roster.join(0).unwrap();
    assert_eq!((joined.as_of, joined.agents.len()), (at(20), 0));
}

#[test]
fn the_joined_row_has_the_log_in_of_its_own_queue() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
    let mut swept = agent("a", "A", "On a Call");
    let mut row: Map<String, Value> = serde_json::from_str(swept.raw.json().get()).unwrap();
    row.remove("queue_logged_in");
    row.insert("extra".to_owned(), 7.into());
    swept.raw = serde_json::value::to_raw_value(&row).unwrap().into();
    sweep(&mut roster, 20, vec![swept]);
    let joined = roster.join(0).unwrap();
    let row: Value = serde_json::from_str(joined.agents[0].raw.json().get()).unwrap();
    assert_eq!(
        (&row["queue_logged_in"], &row["extra"], &row["status"]),
        (&true.into(), &7.into(), &"On a Call".into())
    );
}

#[test]
fn forgetting_sweeps_returns_to_the_polls() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
    sweep(
        &mut roster,
        20,
        vec![agent("a", "A", "On a Call"), agent("z", "Z", "Available")],
    );
    roster.forget_sweeps();
    let joined = roster.join(0).unwrap();
    assert_eq!(
        (available(&joined), joined.as_of),
        (vec![("a", Some(true), true)], at(0))
    );
}

#[test]
fn an_unchanged_row_is_joined_once() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
    sweep(&mut roster, 20, vec![agent("a", "A", "On a Call")]);
    let first = roster.join(0).unwrap();
    sweep(&mut roster, 30, vec![agent("a", "A", "On a Call")]);
    let second = roster.join(0).unwrap();
    assert!(Arc::ptr_eq(&first.agents[0], &second.agents[0]));
    assert_eq!(second.as_of, at(30));
}

#[test]
fn an_agent_who_left_the_account_is_forgotten() {
    let mut roster = Roster::new(1);
    sweep(&mut roster, 0, vec![agent("a", "A", "Available")]);
    sweep(&mut roster, 5, vec![agent("b", "B", "Available")]);
    assert!(roster.newest(&AgentId("a".into())).is_none());
    assert!(roster.newest(&AgentId("b".into())).is_some());
}

#[test]
fn the_later_date_counts_or_without_dates_the_later_look() {
    let dated = |seconds| move |status: &str| since("a", status, seconds);
    let none = |status: &str| undated("a", status);
    type Row<'a> = &'a dyn Fn(&str) -> Agent;
    let (early, late) = (dated(100), dated(130));
    let cases: [(Row<'_>, Row<'_>, &str); 6] = [
        (&early, &late, "second"),
        (&late, &early, "first"),
        (&late, &late, "second"),
        (&late, &none, "second"),
        (&none, &early, "second"),
        (&none, &none, "second"),
    ];
    for (number, (first, second, newest)) in cases.into_iter().enumerate() {
        let mut roster = Roster::new(1);
        see(&mut roster, 200, vec![first("first")]);
        see(&mut roster, 204, vec![second("second")]);
        assert_eq!(status(&roster, "a"), Some(newest), "case {number}");
        // The same if the later look is answered first.
        let mut roster = Roster::new(1);
        see(&mut roster, 204, vec![second("second")]);
        see(&mut roster, 200, vec![first("first")]);
        assert_eq!(
            status(&roster, "a"),
            Some(newest),
            "case {number}, overtaken"
        );
    }
}

#[test]
fn earlier_dates_do_not_count_after_a_row_without_a_date() {
    let mut roster = Roster::new(1);
    see(&mut roster, 200, vec![since("a", "On a Call", 130)]);
    see(&mut roster, 204, vec![undated("a", "Post Call")]);
    see(&mut roster, 208, vec![since("a", "Available", 100)]);
    assert_eq!(status(&roster, "a"), Some("Post Call"));
    see(&mut roster, 212, vec![since("a", "Available", 131)]);
    assert_eq!(status(&roster, "a"), Some("Available"));
}

#[test]
fn a_copy_that_lags_makes_no_status_younger() {
    let mut roster = Roster::new(2);
    let before = || vec![since("a", "Available", 100), since("b", "Available", 100)];
    let after = || vec![since("a", "On a Call", 190), since("b", "Available", 100)];
    poll(&mut roster, 0, 200, after());
    poll(&mut roster, 0, 230, before());
    let joined = roster.join(0).unwrap();
    assert_eq!(status(&roster, "a"), Some("On a Call"));
    assert_eq!((joined.as_of, joined.members_as_of), (at(200), at(200)));
    // Neither in a sweep, nor for an unknown agent, nor for another queue.
    let mut page = before();
    page.push(since("new", "Available", 50));
    see(&mut roster, 234, page.clone());
    assert_eq!(roster.newest(&AgentId("new".into())).unwrap().at, at(200));
    poll(&mut roster, 1, 238, page);
    let joined = roster.join(1).unwrap();
    assert_eq!((joined.as_of, joined.members_as_of), (at(200), at(200)));
    assert_eq!(joined.agents.len(), 3, "it is the only poll of this queue");
    // A copy that does not lag renews all of it.
    poll(&mut roster, 0, 242, after());
    assert_eq!(roster.join(0).unwrap().as_of, at(242));
}

#[test]
fn a_date_that_goes_back_by_seconds_makes_only_its_agent_older() {
    let mut roster = Roster::new(2);
    poll(&mut roster, 0, 101, vec![since("ann", "Available", 103)]);
    poll(&mut roster, 1, 101, vec![since("bob", "Available", 50)]);
    let mut as_of = |seconds: u64| {
        let agents = vec![
            since("ann", "On Call", 101),
            since("bob", "Available", 50),
            since("eve", "Break", seconds as i64 - 1),
        ];
        sweep(&mut roster, seconds, agents);
        [0, 1].map(|place| roster.join(place).unwrap().as_of)
    };
    assert_eq!(as_of(110), [at(101); 2], "the list may lag");
    assert_eq!(as_of(120), [at(101), at(120)]);
}

#[test]
fn newer_rows_of_a_poll_count_although_it_shows_an_older_date() {
    let mut roster = Roster::new(1);
    let queue = |ann, bob: Agent| vec![since("ann", "Available", ann), bob];
    poll(
        &mut roster,
        0,
        104,
        queue(103, since("bob", "Available", 50)),
    );
    poll(
        &mut roster,
        0,
        110,
        queue(101, since("bob", "On Call", 108)),
    );
    assert_eq!(status(&roster, "bob"), Some("On Call"));
    let joined = roster.join(0).unwrap();
    assert_eq!((joined.as_of, joined.members_as_of), (at(104), at(104)));
    poll(&mut roster, 0, 120, queue(101, since("bob", "Break", 115)));
    let joined = roster.join(0).unwrap();
    assert_eq!((joined.as_of, joined.members_as_of), (at(104), at(120)));
}

#[test]
fn a_row_that_two_polls_show_alike_is_none_of_a_sweep() {
    let mut roster = Roster::new(1);
    for seconds in [100, 110] {
        poll(&mut roster, 0, seconds, vec![since("ann", "Available", 50)]);
    }
    let beside = roster.known_beside_polls();
    assert!(beside.iter().all(|row| !row.by_sweep), "{beside:?}");
    sweep(&mut roster, 120, vec![since("ann", "Available", 50)]);
    let beside = roster.known_beside_polls();
    assert!(beside.iter().all(|row| row.by_sweep) && beside.len() == 1);
}

#[test]
fn a_poll_that_lags_behind_the_last_one_changes_no_membership() {
    let mut roster = Roster::new(1);
    let now = vec![
        since("a", "On a Call", 190),
        logged_out(since("b", "Available", 100)),
    ];
    let before = vec![
        since("a", "Available", 100),
        since("b", "Available", 100),
        since("c", "Available", 100),
    ];
    poll(&mut roster, 0, 200, now.clone());
    for seconds in [204, 212, 220] {
        poll(&mut roster, 0, seconds, before.clone());
        let joined = roster.join(0).unwrap();
        assert_eq!(
            available(&joined),
            [("a", Some(false), true), ("b", Some(true), false)]
        );
        assert_eq!(joined.members_as_of, at(200));
        poll(&mut roster, 0, seconds + 4, now.clone());
        assert_eq!(roster.join(0).unwrap().members_as_of, at(seconds + 4));
        assert_eq!(departures(&mut roster), []);
        roster.queues[0].as_mut().unwrap().as_of = at(200);
    }
}

#[test]
fn a_date_that_calltools_sets_back_counts_once_it_is_too_old_for_lag() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 0, vec![since("a", "On a Call", 9_999_999)]);
    for seconds in [5, 300, 600] {
        poll(&mut roster, 0, seconds, vec![since("a", "Available", 1)]);
        assert_eq!(status(&roster, "a"), Some("On a Call"));
        assert_eq!(roster.join(0).unwrap().as_of, at(0), "and it ages");
    }
    poll(&mut roster, 0, 601, vec![since("a", "Available", 1)]);
    assert_eq!(status(&roster, "a"), Some("Available"));
    assert_eq!(roster.join(0).unwrap().members_as_of, at(601));
    poll(&mut roster, 0, 605, vec![since("a", "Post Call", 0)]);
    assert_eq!(
        status(&roster, "a"),
        Some("Available"),
        "from now on as usual"
    );
}

#[test]
fn a_departure_is_counted_once_across_feeds_and_distrust() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
    sweep(&mut roster, 20, vec![agent("a", "A", "On a Call")]);
    assert_eq!(departures(&mut roster).len(), 1);
    roster.forget_sweeps();
    assert_eq!(status(&roster, "a"), Some("Available"), "back to the poll");
    poll(&mut roster, 0, 24, vec![agent("a", "A", "On a Call")]);
    sweep(&mut roster, 28, vec![agent("a", "A", "Post Call")]);
    assert_eq!(departures(&mut roster), [], "already counted");
    poll(&mut roster, 0, 40, vec![agent("a", "A", "Available")]);
    poll(&mut roster, 0, 44, vec![agent("a", "A", "On a Call")]);
    assert_eq!(departures(&mut roster).len(), 1, "the next departure");
}

#[test]
fn a_handover_is_no_departure_but_later_changes_are() {
    for stored in [false, true] {
        let mut first = Roster::new(1);
        poll(
            &mut first,
            0,
            0,
            vec![agent("a", "A", "Available"), agent("b", "B", "Available")],
        );
        sweep(
            &mut first,
            20,
            vec![agent("a", "A", "On a Call"), agent("b", "B", "Available")],
        );
        assert_eq!(departures(&mut first).len(), 1);
        let mut next = successor(&first, 1, stored);
        assert_eq!(departures(&mut next), []);
        poll(
            &mut next,
            0,
            40,
            vec![agent("a", "A", "Post Call"), agent("b", "B", "Post Call")],
        );
        // The next process does not know what the last one saw after it stored this, so only an older reservation can be for b's call.
        let made_by = if stored { at(20) } else { at(40) };
        assert_eq!(
            departures(&mut next),
            [("b".to_owned(), vec![0], made_by)],
            "stored: {stored}"
        );
    }
}

#[test]
fn a_departure_that_an_earlier_process_counted_is_not_counted_again() {
    let mut first = Roster::new(1);
    poll(&mut first, 0, 0, vec![agent("a", "A", "Available")]);
    sweep(&mut first, 20, vec![agent("a", "A", "On a Call")]);
    let counted = first.take_departures().remove(0);
    // The file has the poll and the counted departure, but not yet the sweep.
    let mut next = Roster::new(1);
    next.recall_poll(0, first.last_poll(0).unwrap());
    next.recall_presence(counted.agent, counted.seen);
    poll(&mut next, 0, 40, vec![agent("a", "A", "On a Call")]);
    assert_eq!(departures(&mut next), []);
}

#[test]
fn a_status_with_a_new_meaning_is_no_departure() {
    let statuses = |action: &str| {
        let row = crate::fixtures::raw(
            &serde_json::json!({"id": 1, "name": "Available", "queue_action": action}),
        );
        Names {
            queues: None,
            statuses: Some(vec![crate::model::names::Status::from_row(row).unwrap()]),
        }
    };
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
    roster.read_again(&statuses("Set Not Ready"));
    let joined = roster.join(0).unwrap();
    assert_eq!(available(&joined), [("a", Some(false), true)]);
    assert_eq!(joined.as_of, at(0), "no new look");
    // A poll that was under way still has the old meaning, and the next one has the new meaning.
    let mut unready = agent("a", "A", "Available");
    unready.available = Some(false);
    poll(&mut roster, 0, 4, vec![agent("a", "A", "Available")]);
    poll(&mut roster, 0, 8, vec![unready]);
    assert_eq!(departures(&mut roster), []);
    roster.read_again(&statuses("Set Ready"));
    assert_eq!(
        available(&roster.join(0).unwrap()),
        [("a", Some(true), true)]
    );
    poll(&mut roster, 0, 12, vec![agent("a", "A", "On a Call")]);
    assert_eq!(departures(&mut roster).len(), 1);
}

#[test]
fn agents_without_a_queue_are_forgotten_after_half_an_hour_even_without_sweeps() {
    let mut roster = Roster::new(1);
    let knows = |roster: &Roster, id: &str| roster.people.get(&AgentId(id.into())).is_some();
    poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
    for seconds in (4..=1_800).step_by(4) {
        poll(&mut roster, 0, seconds, vec![agent("b", "B", "Available")]);
        assert!(knows(&roster, "a"), "{seconds}");
    }
    for seconds in (1_804..=1_864).step_by(4) {
        poll(&mut roster, 0, seconds, vec![agent("b", "B", "Available")]);
    }
    assert!(!knows(&roster, "a") && knows(&roster, "b"));
}

#[test]
fn lists_that_show_other_agents_each_time_do_not_fill_the_memory() {
    let mut roster = Roster::new(1);
    let strangers =
        |from: usize| (from..from + 10_000).map(|n| undated(&n.to_string(), "Available"));
    for round in 0..6 {
        see(
            &mut roster,
            round * 61,
            strangers(round as usize * 10_000).collect(),
        );
        poll(
            &mut roster,
            0,
            round * 61 + 1,
            vec![agent("a", "A", "Available")],
        );
        let max = MAX_STRANGERS + 10_000;
        assert!(roster.people.len() <= max, "{}", roster.people.len());
    }
    assert!(status(&roster, "a").is_some() && status(&roster, "59999").is_some());
    assert!(
        status(&roster, "20000").is_none(),
        "the first to be forgotten"
    );
}

/// An agent's life: the seconds at which the status changes, starting with available.
type Life = Vec<i64>;

/// Returns the agent's row in a copy of CallTools' data as of this second.
fn row_of(id: &str, life: &Life, as_of: i64) -> Agent {
    let changes = life.iter().take_while(|change| **change <= as_of).count();
    let start = changes.checked_sub(1).map_or(0, |last| life[last]);
    let status = ["Available", "On a Call"][changes % 2];
    since(id, status, start)
}

#[derive(Clone, Debug)]
enum Step {
    /// A poll of the queue or a page of a sweep with these agents, from a copy with this lag. The request was sent this long ago.
    List {
        swept: bool,
        lag: i64,
        ago: u64,
        agents: [bool; 3],
    },
    Pass(u64),
    Distrust,
    /// Another task takes over.
    Handover,
}

fn any_step() -> impl Strategy<Value = Step> {
    let list = (any::<bool>(), 0..60_i64, 0..8_u64, any::<[bool; 3]>());
    prop_oneof![
        8 => list.prop_map(|(swept, lag, ago, agents)| Step::List { swept, lag, ago, agents }),
        3 => (1..9_u64).prop_map(Step::Pass),
        1 => Just(Step::Distrust),
        1 => Just(Step::Handover),
    ]
}

fn any_life() -> impl Strategy<Value = Life> {
    let changes = prop::collection::vec(1..600_i64, 0..12);
    changes.prop_map(|mut changes| {
        changes.sort_unstable();
        changes.dedup();
        changes
    })
}

proptest! {
    /// In any order of lists from lagging copies: no row is replaced by one with an older date, no status looks younger than the look that
    /// showed it, and no departure is counted twice or made up.
    #[test]
    fn no_order_of_lists_reverts_a_status_or_counts_a_departure_twice(
        lives in [any_life(), any_life(), any_life()],
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let ids = ["a", "b", "c"];
        let mut roster = Roster::new(1);
        let mut now = 100;
        let mut shown: HashMap<(usize, Option<Timestamp>), u64> = HashMap::new();
        let mut counted: HashSet<(String, Option<Timestamp>)> = HashSet::new();
        for step in steps {
            let before = ids.map(|id| {
                let newest = roster.newest(&AgentId(id.into()));
                newest.and_then(|newest| newest.agent.status_since)
            });
            let is_distrust = matches!(step, Step::Distrust);
            match step {
                Step::Pass(seconds) => now += seconds,
                Step::Distrust => roster.forget_sweeps(),
                Step::Handover => roster = successor(&roster, 1, false),
                Step::List { swept, lag, ago, agents } => {
                    let look = now - ago;
                    let there = (0..3).filter(|n| agents[*n]);
                    let rows: Vec<_> = there
                        .map(|n| (n, row_of(ids[n], &lives[n], look as i64 - lag)))
                        .collect();
                    for (n, row) in &rows {
                        let latest = shown.entry((*n, row.status_since)).or_default();
                        *latest = look.max(*latest);
                    }
                    let rows = rows.into_iter().map(|(_, row)| row).collect();
                    if swept {
                        see(&mut roster, look, rows);
                    } else {
                        poll(&mut roster, 0, look, rows);
                    }
                }
            }
            for (n, id) in ids.iter().enumerate() {
                let Some(newest) = roster.newest(&AgentId((*id).into())) else { continue };
                let since = newest.agent.status_since;
                prop_assert!(is_distrust || since >= before[n], "{id} was reverted");
                let latest = at(shown[&(n, since)]);
                prop_assert!(newest.at.boot <= latest.boot, "{id} looks younger than it is");
            }
            for departure in roster.take_departures() {
                let n = ids.iter().position(|id| *id == &*departure.agent.0).unwrap();
                let since = departure.seen.since;
                let changes = lives[n].iter().step_by(2);
                let real = changes.map(|change| Timestamp::from_second(1_795_341_600 + change).unwrap());
                prop_assert!(real.into_iter().any(|change| Some(change) == since), "it never happened");
                prop_assert!(counted.insert((departure.agent.to_string(), since)), "counted twice");
            }
        }
    }
}

#[test]
fn a_kept_answer_makes_nobody_available_whom_a_later_list_lacked() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 1, vec![since("a", "Lunch", -60)]);
    roster.confirm_available(at(20), Vec::new());
    let available = |roster: &mut Roster| {
        let joined = roster.join(0).unwrap();
        (joined.agents[0].available, joined.as_of)
    };
    // A cache has kept this page for a few seconds.
    see(&mut roster, 15, vec![since("a", "Available", 14)]);
    assert_eq!(available(&mut roster), (Some(false), at(20)));
    see(&mut roster, 21, vec![since("a", "Available", 14)]);
    assert_eq!(available(&mut roster), (Some(true), at(21)));
}
