//! Compares the join, and the members of queues, with a plain walk through all agents.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    fixtures::{agent, at},
    model::{
        agent::AgentId,
        known::Confirmed,
        names::{Names, Status},
    },
};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const STATUSES: [&str; 3] = ["Available", "On a Call", "Lunch"];

fn row(name: usize, status: usize, queue_logged_in: bool) -> Agent {
    Agent {
        queue_logged_in,
        ..agent(NAMES[name], NAMES[name], STATUSES[status])
    }
}

#[derive(Clone, Debug)]
enum Change {
    /// A poll of the queue lists these agents, with a status and whether they are logged in.
    Poll(usize, Vec<(usize, usize, bool)>),
    /// A page of the full list.
    Page(Vec<(usize, usize)>),
    /// A page that was requested some seconds ago, with dates of that long before.
    Dated(u64, Vec<(usize, usize)>),
    Whole,
    Changes,
    /// A reading of the lists of available agents some seconds ago, without these agents, and with others who may have slipped.
    Available(u64, Vec<usize>, Vec<usize>),
    /// Another node leads from now on.
    Follows,
    ForgetSweeps,
    ForgetQueue(usize),
    Swap,
    /// Lunch means ready from now on, or not.
    Meaning(bool),
}

fn any_change() -> impl Strategy<Value = Change> {
    let status = 0..STATUSES.len();
    let polled = prop::collection::vec((0..NAMES.len(), status.clone(), any::<bool>()), 0..5);
    let listed = prop::collection::vec((0..NAMES.len(), status), 0..5);
    let dated = (0..40_u64, listed.clone());
    let names = || prop::collection::vec(0..NAMES.len(), 0..3);
    prop_oneof![
        4 => (0..2_usize, polled).prop_map(|(queue, rows)| Change::Poll(queue, rows)),
        4 => listed.prop_map(Change::Page),
        2 => dated.prop_map(|(ago, rows)| Change::Dated(ago, rows)),
        1 => Just(Change::Whole),
        2 => Just(Change::Changes),
        2 => (0..20_u64, names(), names()).prop_map(|(ago, gone, slipped)| Change::Available(ago, gone, slipped)),
        1 => Just(Change::Follows),
        1 => Just(Change::ForgetSweeps),
        1 => (0..2_usize).prop_map(Change::ForgetQueue),
        1 => Just(Change::Swap),
        1 => any::<bool>().prop_map(Change::Meaning),
    ]
}

/// Keeps each agent once, as in CallTools' lists.
fn once<T>(rows: Vec<T>, name: impl Fn(&T) -> usize) -> Vec<T> {
    let mut seen = HashSet::new();
    let rows = rows.into_iter();
    rows.filter(|row| seen.insert(name(row))).collect()
}

fn apply(roster: &mut Roster, change: Change, now: Moment) {
    match change {
        Change::Poll(queue, rows) => {
            let rows = once(rows, |row| row.0).into_iter();
            let rows = rows.map(|(name, status, on)| row(name, status, on));
            roster.poll(queue, now, Duration::ZERO, true, rows.collect());
        }
        Change::Page(rows) => {
            let rows = once(rows, |row| row.0).into_iter();
            let rows = rows.map(|(name, status)| crate::model::known::Sighting {
                agent: Arc::new(row(name, status, false)),
                at: now,
                by_sweep: true,
            });
            roster.see(rows.collect());
        }
        Change::Dated(ago, rows) => {
            let at = now.earlier(Duration::from_secs(ago));
            let since = at.timestamp();
            let rows = once(rows, |row| row.0).into_iter();
            let rows = rows.map(|(name, status)| crate::model::known::Sighting {
                agent: Arc::new(Agent {
                    status_since: Some(since),
                    ..row(name, status, false)
                }),
                at,
                by_sweep: true,
            });
            roster.see(rows.collect());
        }
        Change::Whole => roster.swept(now.earlier(Duration::from_secs(30))),
        Change::Changes => roster.confirm_changes(now.earlier(Duration::from_secs(20)), now),
        Change::Available(ago, gone, slipped) => {
            let ids = |names: Vec<usize>| -> Vec<_> {
                let names = names.into_iter();
                names.map(|name| AgentId(NAMES[name].into())).collect()
            };
            roster.confirm_gone(now, &ids(gone));
            roster.confirm_available(now.earlier(Duration::from_secs(ago)), ids(slipped));
        }
        Change::Follows => roster.recall_confirmed(roster.confirmed()),
        Change::ForgetSweeps => roster.forget_sweeps(),
        Change::ForgetQueue(queue) => roster.forget_queue(queue),
        Change::Swap => roster.rearrange(&[Some(1), Some(0)]),
        Change::Meaning(is_ready) => {
            let action = if is_ready {
                "Set Ready"
            } else {
                "Set Not Ready"
            };
            let lunch = json!({"id": 1, "name": "Lunch", "queue_action": action});
            let lunch = Status::from_row(crate::fixtures::raw(&lunch)).unwrap();
            roster.read_again(&Names {
                queues: None,
                statuses: Some(vec![lunch]),
            });
        }
    }
}

/// Computes the rows and ages from each member alone.
fn plain_join(
    roster: &Roster,
    place: usize,
) -> Option<(Vec<Agent>, Option<Duration>, Option<Duration>)> {
    let membership = roster.queues[place].as_ref()?;
    let polled = || membership.polled.iter();
    let newest = |polled: &Agent| roster.newest(&polled.id);
    let rows = polled().map(|polled| match newest(polled) {
        Some(newest) if !Arc::ptr_eq(&newest.agent, polled) => joined(&newest.agent, polled),
        _ => Agent::clone(polled),
    });
    let seen = |polled: &Agent| newest(polled).map_or(membership.as_of, |newest| newest.at);
    let logged_in = polled().filter(|polled| polled.queue_logged_in);
    let availability = |polled: &Arc<Agent>| {
        let person = roster.people.get(&polled.id).unwrap();
        let known = match person.has_slipped {
            true => roster.omissions.status(seen(polled)),
            false => roster.omissions.availability(seen(polled)),
        };
        earlier(known, person.known_until()).boot
    };
    let of_seats = logged_in.map(availability).min();
    let of_seats = of_seats.or_else(|| polled().map(availability).min());
    let of_all = polled().map(|polled| {
        let person = roster.people.get(&polled.id).unwrap();
        earlier(roster.omissions.status(seen(polled)), person.known_until()).boot
    });
    Some((rows.collect(), of_seats, of_all.min()))
}

fn assert_joined(roster: &mut Roster) {
    for place in 0..2 {
        let expected = plain_join(roster, place);
        let joined = roster.join(place);
        assert_eq!(expected.is_some(), joined.is_some());
        let (Some((rows, of_seats, of_all)), Some(joined)) = (expected, joined) else {
            continue;
        };
        let fields = |agent: &Agent| {
            (
                agent.id.clone(),
                (agent.status.clone(), agent.available),
                agent.queue_logged_in,
                agent.raw.json().get().to_owned(),
            )
        };
        let shown: Vec<_> = joined.agents.iter().map(|agent| fields(agent)).collect();
        assert_eq!(shown, rows.iter().map(fields).collect::<Vec<_>>());
        if let (Some(of_all), Some(of_seats)) = (of_all, of_seats) {
            assert_eq!(joined.everybody_as_of.boot, of_all);
            assert_eq!(joined.as_of.boot, of_seats);
        }
        assert_eq!(joined.tally, Some(Tally::of(&joined.agents)));
        let again = roster.join(place).unwrap();
        assert!(
            Arc::ptr_eq(&again.agents, &joined.agents),
            "nothing changed"
        );
    }
    for name in NAMES {
        let id = AgentId(name.into());
        let mine = roster.members().filter(|(_, agent)| agent.id == id);
        let mine: Vec<_> = mine.map(|((place, _), _)| place).collect();
        assert_eq!(roster.queues_of(&id).collect::<Vec<_>>(), mine);
    }
    let everybody: HashSet<_> = roster.members().map(|(_, agent)| &agent.id).collect();
    assert!(
        roster
            .headcount()
            .is_none_or(|heads| heads == everybody.len())
    );
}

#[test]
fn a_node_that_follows_again_doubts_nobody_whom_its_leader_knows() {
    let mut roster = Roster::new(1);
    roster.poll(
        0,
        at(0),
        Duration::ZERO,
        true,
        vec![row(0, 0, true), row(1, 1, true)],
    );
    roster.confirm_available(at(20), vec![AgentId(NAMES[0].into())]);
    assert_eq!(roster.join(0).unwrap().as_of, at(0));
    let confirmed = roster.confirmed();
    assert_eq!(confirmed.available, Some(at(20)));
    assert_eq!(confirmed.of_all().available, Some(at(0)));
    roster.recall_confirmed(Confirmed {
        available: Some(at(40)),
        ..Confirmed::default()
    });
    assert_eq!(roster.join(0).unwrap().as_of, at(40));
}

#[test]
fn a_count_without_anyone_logged_in_is_as_old_as_the_last_look_at_who_is_available() {
    let mut roster = Roster::new(2);
    let logged_out = vec![(0, 0, false), (1, 1, false)];
    apply(&mut roster, Change::Poll(0, logged_out), at(0));
    roster.confirm_available(at(100), Vec::new());
    let joined = roster.join(0).unwrap();
    assert_eq!((joined.as_of, joined.everybody_as_of), (at(100), at(0)));
}

#[test]
fn an_unchanged_queue_shows_the_same_rows_with_newer_times() {
    let mut roster = Roster::new(2);
    apply(
        &mut roster,
        Change::Poll(0, vec![(0, 0, true), (1, 1, true)]),
        at(0),
    );
    apply(&mut roster, Change::Poll(1, vec![(2, 0, true)]), at(1));
    let before = [0, 1].map(|place| roster.join(place).unwrap());
    apply(
        &mut roster,
        Change::Page(vec![(0, 2), (1, 1), (2, 0)]),
        at(4),
    );
    apply(
        &mut roster,
        Change::Page(vec![(0, 2), (1, 1), (2, 0)]),
        at(8),
    );
    let after = [0, 1].map(|place| roster.join(place).unwrap());
    assert!(!Arc::ptr_eq(&before[0].agents, &after[0].agents));
    assert_eq!(after[0].agents[0].status.as_deref(), Some("Lunch"));
    // The row of a page does not have the log-in, so the first page differs from the queue's own row.
    apply(&mut roster, Change::Page(vec![(2, 0)]), at(12));
    let later = roster.join(1).unwrap();
    assert!(Arc::ptr_eq(&after[1].agents, &later.agents));
    assert_eq!((after[1].as_of, later.as_of), (at(8), at(12)));
}

/// The row of a list that says how long the agent has been idle.
fn idle(seconds: u64, status: &str, queue_logged_in: Option<bool>) -> Agent {
    let row = json!({"app_user": "a", "idle_time": seconds, "queue_logged_in": queue_logged_in});
    Agent {
        queue_logged_in: queue_logged_in == Some(true),
        raw: crate::fixtures::raw(&row).into(),
        ..agent("a", "a", status)
    }
}

fn see(roster: &mut Roster, row: Agent, now: u64) {
    roster.see(vec![crate::model::known::Sighting {
        agent: Arc::new(row),
        at: at(now),
        by_sweep: true,
    }]);
}

/// How long the agent has been idle, and whether they are logged in, by the row of each queue.
fn shown(roster: &mut Roster) -> [(u64, bool); 2] {
    [0, 1].map(|place| {
        let row = &roster.join(place).unwrap().agents[0];
        let json: serde_json::Value = serde_json::from_str(row.raw.json().get()).unwrap();
        let logged_in = json["queue_logged_in"].as_bool().unwrap();
        assert_eq!(row.queue_logged_in, logged_in);
        (json["idle_time"].as_u64().unwrap(), logged_in)
    })
}

#[test]
fn a_poll_keeps_its_login_when_its_row_was_handed_over_as_the_newest_and_is_renewed() {
    let mut roster = Roster::new(2);
    let row = || idle(1, "Available", Some(true));
    roster.poll(0, at(0), Duration::ZERO, true, vec![row()]);
    see(&mut roster, row(), 5); // A list has confirmed it.
    let mut next = Roster::new(2);
    for sighting in roster.known_beside_polls() {
        next.recall(sighting);
    }
    next.recall_poll(0, roster.last_poll(0).unwrap());
    let mut newer = idle(9, "Available", None);
    newer.queue_logged_in = true; // The dialer's login, since the row does not say.
    see(&mut next, newer, 9);
    assert_eq!(next.join(0).unwrap().as_of, at(9));
    let polled = next.as_polled(0).unwrap().agents[0].raw.json();
    assert_eq!(polled.get(), row().raw.json().get());
}

#[test]
fn a_row_that_differs_only_in_a_counter_is_renewed_in_place() {
    let mut roster = Roster::new(2);
    for (place, logged_in) in [(0, true), (1, false)] {
        let row = idle(1, "Available", Some(logged_in));
        roster.poll(place, at(place as u64), Duration::ZERO, true, vec![row]);
    }
    see(&mut roster, idle(5, "Available", None), 5);
    assert_eq!(shown(&mut roster), [(5, true), (5, false)]);
    let lists = |roster: &mut Roster| [0, 1].map(|place| roster.join(place).unwrap().agents);
    let are_same = |one: &[Arc<[Arc<Agent>]>; 2], other: &[Arc<[Arc<Agent>]>; 2]| {
        Arc::ptr_eq(&one[0], &other[0]) && Arc::ptr_eq(&one[1], &other[1])
    };
    let before = lists(&mut roster);
    see(&mut roster, idle(9, "Available", None), 9);
    assert_eq!(shown(&mut roster), [(9, true), (9, false)]);
    assert!(are_same(&before, &lists(&mut roster)));
    assert_eq!(roster.join(0).unwrap().as_of, at(9));
    let polled = roster.as_polled(0).unwrap().agents[0].raw.json();
    assert_eq!(
        polled.get(),
        idle(1, "Available", Some(true)).raw.json().get()
    );
    // A poll's own row has the log-in, so it is never renewed.
    let row = idle(10, "Available", Some(true));
    roster.poll(0, at(10), Duration::ZERO, true, vec![row]);
    see(&mut roster, idle(11, "Available", None), 11);
    assert_eq!(shown(&mut roster), [(11, true), (11, false)]);
    let polled = roster.as_polled(0).unwrap().agents[0].raw.json();
    assert_eq!(
        polled.get(),
        idle(10, "Available", Some(true)).raw.json().get()
    );

    let before = lists(&mut roster);
    see(&mut roster, idle(0, "Lunch", None), 12);
    let after = lists(&mut roster);
    assert!(!Arc::ptr_eq(&before[1], &after[1]));
    assert_eq!(
        before[1][0].status.as_deref(),
        Some("Available"),
        "a published row keeps its facts"
    );
    roster.rules_read_rows(true);
    see(&mut roster, idle(3, "Lunch", None), 15);
    assert!(
        !are_same(&after, &lists(&mut roster)),
        "a rule may count otherwise now"
    );
    assert_eq!(shown(&mut roster), [(3, true), (3, false)]);
}

#[test]
fn a_queue_is_as_old_as_a_row_that_is_known_less_and_less() {
    let mut roster = Roster::new(2);
    // Both pages show the second agent's status before, and the queue's agent in another one.
    let page = || Change::Page(vec![(0, 1), (1, 0)]);
    let changes = [
        Change::Poll(0, vec![(0, 0, false)]),
        Change::Dated(8, vec![(2, 0), (1, 0)]),
        Change::Changes,
        page(),
        Change::Changes,
        page(),
        Change::Available(0, Vec::new(), Vec::new()),
    ];
    for (turn, change) in (0..).zip(changes) {
        apply(&mut roster, change, at(100 + 7 * turn));
        assert_joined(&mut roster);
    }
}

proptest! {
    #[test]
    fn the_join_equals_the_plain_join_after_any_changes(
        changes in prop::collection::vec(any_change(), 1..40),
    ) {
        let mut roster = Roster::new(2);
        for (turn, change) in changes.into_iter().enumerate() {
            apply(&mut roster, change, at(100 + 7 * turn as u64));
            assert_joined(&mut roster);
        }
    }
}
