//! The join and who belongs where, against a walk through everybody.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{fixtures::agent, model::agent::AgentId};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const STATUSES: [&str; 3] = ["Available", "On a Call", "Lunch"];

fn at(seconds: u64) -> Moment {
    let start = Moment {
        boot: Duration::from_secs(1_000),
        wall: Duration::from_secs(1_795_341_600),
    };
    start.later(Duration::from_secs(seconds))
}

fn row(name: usize, status: usize, queue_logged_in: bool) -> Agent {
    Agent {
        queue_logged_in,
        ..agent(NAMES[name], NAMES[name], STATUSES[status])
    }
}

#[derive(Clone, Debug)]
enum Deed {
    /// A poll of the queue lists these, with a status and whether they are logged in.
    Poll(usize, Vec<(usize, usize, bool)>),
    /// A page of the full list.
    Page(Vec<(usize, usize)>),
    Whole,
    Changes,
    Available(Vec<usize>),
    ForgetSweeps,
    ForgetQueue(usize),
    Swap,
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let status = 0..STATUSES.len();
    let polled = prop::collection::vec((0..NAMES.len(), status.clone(), any::<bool>()), 0..5);
    let listed = prop::collection::vec((0..NAMES.len(), status), 0..5);
    prop_oneof![
        4 => (0..2_usize, polled).prop_map(|(queue, rows)| Deed::Poll(queue, rows)),
        4 => listed.prop_map(Deed::Page),
        1 => Just(Deed::Whole),
        2 => Just(Deed::Changes),
        2 => prop::collection::vec(0..NAMES.len(), 0..3).prop_map(Deed::Available),
        1 => Just(Deed::ForgetSweeps),
        1 => (0..2_usize).prop_map(Deed::ForgetQueue),
        1 => Just(Deed::Swap),
    ]
}

/// Each once, as in CallTools' lists.
fn once<T>(rows: Vec<T>, name: impl Fn(&T) -> usize) -> Vec<T> {
    let mut seen = HashSet::new();
    let rows = rows.into_iter();
    rows.filter(|row| seen.insert(name(row))).collect()
}

fn act(roster: &mut Roster, deed: Deed, now: Moment) {
    match deed {
        Deed::Poll(queue, rows) => {
            let rows = once(rows, |row| row.0).into_iter();
            let rows = rows.map(|(name, status, on)| row(name, status, on));
            roster.poll(queue, now, Duration::ZERO, true, rows.collect());
        }
        Deed::Page(rows) => {
            let rows = once(rows, |row| row.0).into_iter();
            let rows = rows.map(|(name, status)| crate::model::known::Sighting {
                agent: Arc::new(row(name, status, false)),
                at: now,
                by_sweep: true,
            });
            roster.see(rows.collect());
        }
        Deed::Whole => roster.swept(now.earlier(Duration::from_secs(30))),
        Deed::Changes => roster.confirm_changes(now.earlier(Duration::from_secs(20)), now),
        Deed::Available(gone) => {
            let gone: Vec<_> = gone
                .iter()
                .map(|name| AgentId(NAMES[*name].into()))
                .collect();
            roster.confirm_available(now, &gone);
        }
        Deed::ForgetSweeps => roster.forget_sweeps(),
        Deed::ForgetQueue(queue) => roster.forget_queue(queue),
        Deed::Swap => roster.rearrange(&[Some(1), Some(0)]),
    }
}

/// Rows and ages as they follow from each member by itself.
fn by_hand(
    roster: &Roster,
    place: usize,
) -> Option<(Vec<Agent>, Option<Duration>, Option<Duration>)> {
    let membership = roster.queues[place].as_ref()?;
    let members = || membership.members.iter();
    let newest = |member: &Member| roster.newest(&member.polled.id);
    let rows = members().map(|member| match newest(member) {
        Some(newest) if !Arc::ptr_eq(&newest.agent, &member.polled) => {
            joined(&newest.agent, &member.polled)
        }
        _ => Agent::clone(&member.polled),
    });
    let seen = |member: &Member| newest(member).map_or(membership.as_of, |newest| newest.at);
    let logged_in = members().filter(|member| member.polled.queue_logged_in);
    let of_seats = logged_in.map(|member| roster.confirmed.availability(seen(member)).boot);
    let of_all = members().map(|member| roster.confirmed.status(seen(member)).boot);
    Some((rows.collect(), of_seats.min(), of_all.min()))
}

fn assert_joined(roster: &mut Roster) {
    for place in 0..2 {
        let expected = by_hand(roster, place);
        let joined = roster.join(place);
        assert_eq!(expected.is_some(), joined.is_some());
        let (Some((rows, of_seats, of_all)), Some(joined)) = (expected, joined) else {
            continue;
        };
        let told = |agent: &Agent| {
            (
                agent.id.clone(),
                agent.status.clone(),
                agent.queue_logged_in,
                agent.raw.get().to_owned(),
            )
        };
        let shown: Vec<_> = joined.agents.iter().map(|agent| told(agent)).collect();
        assert_eq!(shown, rows.iter().map(told).collect::<Vec<_>>());
        if let Some(of_all) = of_all {
            assert_eq!(joined.everybody_as_of.boot, of_all);
            assert_eq!(joined.as_of.boot, of_seats.unwrap_or(of_all));
        }
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
        assert_eq!(roster.queues_of(&id), mine);
    }
    let everybody: HashSet<_> = roster.members().map(|(_, agent)| &agent.id).collect();
    assert!(
        roster
            .headcount()
            .is_none_or(|heads| heads == everybody.len())
    );
}

#[test]
fn a_queue_whose_rows_are_the_same_shows_the_same_rows_as_of_now() {
    let mut roster = Roster::new(2);
    act(
        &mut roster,
        Deed::Poll(0, vec![(0, 0, true), (1, 1, true)]),
        at(0),
    );
    act(&mut roster, Deed::Poll(1, vec![(2, 0, true)]), at(1));
    let before = [0, 1].map(|place| roster.join(place).unwrap());
    act(&mut roster, Deed::Page(vec![(0, 2), (1, 1), (2, 0)]), at(4));
    act(&mut roster, Deed::Page(vec![(0, 2), (1, 1), (2, 0)]), at(8));
    let after = [0, 1].map(|place| roster.join(place).unwrap());
    assert!(!Arc::ptr_eq(&before[0].agents, &after[0].agents));
    assert_eq!(after[0].agents[0].status.as_deref(), Some("Lunch"));
    // The row of a page says nothing about log-ins, so the first page is a change to the queue's own row.
    act(&mut roster, Deed::Page(vec![(2, 0)]), at(12));
    let later = roster.join(1).unwrap();
    assert!(Arc::ptr_eq(&after[1].agents, &later.agents));
    assert_eq!((after[1].as_of, later.as_of), (at(8), at(12)));
}

proptest! {
    #[test]
    fn the_join_is_what_each_member_says_whatever_came_before(
        deeds in prop::collection::vec(any_deed(), 1..40),
    ) {
        let mut roster = Roster::new(2);
        for (turn, deed) in deeds.into_iter().enumerate() {
            act(&mut roster, deed, at(100 + 7 * turn as u64));
            assert_joined(&mut roster);
        }
    }
}
