//! Tests which rows are passed on, and with which times.

use super::*;

#[test]
fn a_confirmed_row_is_as_old_as_the_look_that_showed_it_and_a_recalled_one_as_its_queue() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 5, vec![agent("a", "a", "Lunch")]);
    see(&mut roster, 20, vec![agent("a", "a", "Lunch")]);
    roster.confirm_changes(at(5), at(60));
    let known = |roster: &mut Roster| {
        let joined = roster.join(0).unwrap();
        (joined.everybody_as_of, joined.everybody_seen)
    };
    assert_eq!(known(&mut roster), (at(60), at(20)));
    for stored in [true, false] {
        let mut next = successor(&roster, 1, stored);
        assert_eq!(known(&mut next), (at(60), at(5)));
        see(&mut next, 70, vec![agent("a", "a", "Lunch")]);
        assert_eq!(known(&mut next), (at(70), at(70)));
    }
}

#[test]
fn rows_are_stored_with_the_time_of_their_confirmation() {
    let mut roster = Roster::new(1);
    let people = ["a", "b"].map(|id| agent(id, id, "Available"));
    poll(&mut roster, 0, 0, people.to_vec());
    let unpassed = |roster: &Roster, passed: &mut Passed| -> Vec<(String, u64)> {
        let rows = roster.unpassed(passed);
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|row| (row.agent.id.to_string(), row.at.boot.as_secs() - 1_000))
            .collect();
        rows.sort();
        rows
    };
    let stored = |roster: &Roster| unpassed(roster, &mut Passed::default());
    assert_eq!(stored(&roster), [], "the poll has it all");

    roster.confirm_changes(at(0), at(30));
    let both = [("a".to_owned(), 30), ("b".to_owned(), 30)];
    let mut passed = Passed::default();
    assert_eq!(unpassed(&roster, &mut passed), both);
    assert_eq!(unpassed(&roster, &mut passed), [], "nothing newer is known");

    // If a row was lost on its way to the file, the next process knows the old row, as of its confirmation.
    let mut next = Roster::new(1);
    next.recall_poll(0, roster.last_poll(0).unwrap());
    for row in roster.known_beside_polls() {
        next.recall(row);
    }
    see(&mut roster, 40, vec![agent("a", "a", "On a Call")]);
    roster.confirm_changes(at(0), at(50));
    for row in roster.known_beside_polls() {
        if *row.agent.id.0 == *"b" {
            next.recall(row);
        }
    }
    let moments = ["a", "b"].map(|id| next.newest(&AgentId(id.into())).unwrap().at);
    assert_eq!(moments, [at(30), at(50)]);
    assert_eq!(next.join(0).unwrap().as_of, at(30));

    roster.forget_changes();
    let looked = [("a".to_owned(), 40)];
    assert_eq!(
        stored(&roster),
        looked,
        "confirmations by lists no longer count"
    );
    next.forget_changes();
    next.forget_recalled();
    let polled = next.last_poll(0).unwrap().as_of;
    assert_eq!(
        next.join(0).unwrap().as_of,
        polled,
        "nor do those of an earlier task"
    );
}

#[test]
fn a_row_of_a_list_that_lags_is_passed_on_although_later_looks_were() {
    let mut roster = Roster::new(1);
    let people = ["a", "b"].map(|id| since(id, "Available", 0));
    poll(&mut roster, 0, 10, people.to_vec());
    sweep(&mut roster, 20, vec![since("a", "Lunch", 15)]);
    let mut passed = Passed::default();
    assert_eq!(roster.unpassed(&mut passed).len(), 1);
    // It shows a change of one agent, but not yet that of the other.
    let lags = vec![since("a", "Available", 0), since("b", "Lunch", 9)];
    sweep(&mut roster, 24, lags);
    let row = roster.newest(&AgentId("b".into())).unwrap();
    assert_eq!((row.agent.available, row.at), (Some(false), at(20)));
    let rows = roster.unpassed(&mut passed);
    let rows: Vec<_> = rows.iter().map(|row| (&*row.agent.id.0, row.at)).collect();
    assert_eq!(rows, [("b", at(20))]);
    assert_eq!(roster.unpassed(&mut passed).len(), 0);
}

#[test]
fn rows_that_are_taken_back_leave_no_queue_as_new_as_a_list_that_they_came_with() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 0, vec![agent("a", "a", "Available")]);
    see(&mut roster, 100, vec![agent("a", "a", "Lunch")]);
    roster.confirm_available(at(105), Vec::new());
    let mut next = successor(&roster, 1, false);
    next.recall_confirmed(roster.confirmed());
    assert_eq!(next.join(0).unwrap().as_of, at(105));
    // Not because the list of changes is refused: what it confirmed before was right.
    next.forget_changes();
    assert_eq!(next.join(0).unwrap().as_of, at(105));
    next.forget_recalled();
    let joined = next.join(0).unwrap();
    assert_eq!(
        (joined.as_of, joined.agents[0].available),
        (at(0), Some(true))
    );
}

#[test]
fn members_whom_the_last_whole_sweep_lacked_do_not_count_as_unknown() {
    let mut roster = Roster::new(2);
    poll(&mut roster, 0, 0, vec![agent("gone", "Gone", "Available")]);
    poll(&mut roster, 1, 100, vec![agent("a", "a", "Available")]);
    assert!(!roster.are_members_known_since(at(100), true));
    roster.swept(at(90));
    assert!(roster.are_members_known_since(at(100), true));
    assert!(!roster.are_members_known_since(at(101), true));
}

#[test]
fn an_agent_of_whom_lists_confirm_less_makes_no_other_queue_older_in_the_next_task() {
    let mut roster = Roster::new(4);
    poll(&mut roster, 0, 10, vec![since("ann", "Available", 100_000)]);
    poll(&mut roster, 1, 10, vec![since("bob", "Lunch", 5)]);
    poll(&mut roster, 2, 10, vec![since("eve", "Available", 5)]);
    // Nobody of the last queue is known, so it is as old as what is known of all agents.
    poll(&mut roster, 3, 10, Vec::new());
    roster.swept(at(12));
    // Ann's date was wrong, and Eve may have slipped between two pages.
    see(&mut roster, 25, vec![since("ann", "On a Call", 22)]);
    roster.confirm_available(at(30), vec![AgentId("eve".into())]);
    let as_of = |roster: &mut Roster| [0, 1, 2, 3].map(|place| roster.join(place).unwrap().as_of);
    let known = [at(10), at(30), at(10), at(12)];
    assert_eq!(as_of(&mut roster), known);
    assert_eq!(roster.confirmed().everybody, Some(at(12)));
    let all = roster.confirmed().of_all();
    assert_eq!(all.available, Some(at(10)), "for earlier versions");
    for polls_first in [true, false] {
        let mut next = Roster::new(4);
        let recall_polls = |next: &mut Roster| {
            for place in 0..4 {
                next.recall_poll(place, roster.poll_to_hand_over(place).unwrap());
            }
        };
        if polls_first {
            recall_polls(&mut next);
        }
        for row in roster.known_beside_polls() {
            next.recall(row);
        }
        next.recall_confirmed(roster.confirmed());
        // The names are read only now, and the last sweep is known.
        next.swept(at(12));
        next.forget_strangers(at(31));
        recall_polls(&mut next);
        assert_eq!(as_of(&mut next), known);
        next.confirm_available(at(40), Vec::new());
        assert_eq!(as_of(&mut next), [at(10), at(40), at(40), at(40)]);
        see(&mut next, 700, vec![since("ann", "On a Call", 22)]);
        assert_eq!(as_of(&mut next), [at(700), at(40), at(40), at(40)]);
    }
}

#[test]
fn of_agents_outside_the_queues_the_next_task_knows_only_what_is_known_of_all() {
    let mut roster = Roster::new(2);
    poll(&mut roster, 0, 10, vec![since("bob", "Lunch", 5)]);
    poll(&mut roster, 1, 10, Vec::new());
    let strangers = vec![
        since("ann", "Available", 100_000),
        since("eve", "Available", 5),
    ];
    sweep(&mut roster, 10, strangers);
    see(&mut roster, 25, vec![since("ann", "On a Call", 22)]);
    roster.confirm_available(at(30), vec![AgentId("eve".into())]);
    let as_of = |roster: &mut Roster| [0, 1].map(|place| roster.join(place).unwrap().as_of);
    assert_eq!(as_of(&mut roster), [at(30), at(10)]);
    assert_eq!(roster.confirmed().but, []);
    let mut next = successor(&roster, 2, false);
    next.recall_confirmed(roster.confirmed());
    assert_eq!(as_of(&mut next), [at(30), at(10)]);
}

#[test]
fn nobody_is_told_of_doubts_about_rows_that_were_taken_back() {
    let mut roster = Roster::new(1);
    let rows = || vec![since("ann", "Available", 100_000)];
    poll(&mut roster, 0, 10, rows());
    see(&mut roster, 25, vec![since("ann", "On a Call", 22)]);
    assert_eq!(roster.confirmed().but.len(), 1);
    roster.forget_sweeps();
    poll(&mut roster, 0, 30, rows());
    assert_eq!(roster.confirmed().but, []);
    // Nor about agents who were forgotten and have come back.
    see(&mut roster, 35, vec![since("ann", "On a Call", 22)]);
    poll(&mut roster, 0, 40, Vec::new());
    roster.forget_strangers(at(2_000));
    poll(&mut roster, 0, 2_001, rows());
    assert_eq!(roster.confirmed().but, []);
}
