//! Tests which rows with older dates are believed.

use super::*;

fn id(name: &str) -> AgentId {
    AgentId(name.into())
}

/// Returns as of when it is known whether an agent is available, in seconds.
fn known(roster: &Roster, name: &str) -> u64 {
    let newest = roster.newest(&id(name)).unwrap();
    (roster.known_as_of(newest).boot - at(0).boot).as_secs()
}

/// Agents who changed one after another, each a second after the one before.
fn crowd(names: &[&str], status: &str, first: i64) -> Vec<Agent> {
    let dated = names.iter().zip(first..);
    dated
        .map(|(name, date)| since(name, status, date))
        .collect()
}

#[test]
fn a_page_with_several_later_changes_has_the_change_to_an_older_date() {
    for (others, expected) in [(2, "Available"), (3, "Lunch")] {
        let mut roster = Roster::new(1);
        see(&mut roster, 10, vec![since("ann", "Available", 15)]);
        let mut page = crowd(&["b", "c", "d"][..others], "Lunch", 27);
        page.push(since("ann", "Lunch", 12));
        see(&mut roster, 30, page);
        assert_eq!(status(&roster, "ann"), Some(expected), "{others}");
        assert_eq!(departures(&mut roster).len(), others - 2, "{others}");
    }
    // They are on another page, which may come from another copy.
    let mut roster = Roster::new(1);
    see(&mut roster, 10, vec![since("ann", "Available", 15)]);
    see(&mut roster, 30, crowd(&["b", "c", "d"], "Lunch", 27));
    see(&mut roster, 31, vec![since("ann", "Lunch", 12)]);
    assert_eq!(status(&roster, "ann"), Some("Available"));
}

#[test]
fn nothing_confirms_a_row_that_a_later_look_contradicts() {
    let mut roster = Roster::new(1);
    let far = 100_000;
    let rows = vec![since("ann", "Available", far), since("bob", "Lunch", 5)];
    poll(&mut roster, 0, 10, rows);
    roster.confirm_changes(at(10), at(20));
    assert_eq!((known(&roster, "ann"), known(&roster, "bob")), (20, 20));
    see(&mut roster, 25, vec![since("ann", "On a Call", 22)]);
    roster.confirm_changes(at(10), at(30));
    assert_eq!((known(&roster, "ann"), known(&roster, "bob")), (20, 30));
    let joined = roster.join(0).unwrap();
    assert_eq!((joined.as_of, joined.everybody_as_of), (at(20), at(20)));
    // The later date is shown again, so the other row was from a copy that lags.
    let mut again = roster.newest(&id("ann")).unwrap().agent.apart();
    see(&mut roster, 31, vec![again.clone()]);
    roster.confirm_changes(at(10), at(40));
    assert_eq!(known(&roster, "ann"), 40);
    assert_eq!(roster.join(0).unwrap().as_of, at(40));
    // Shown again and again, it may still be from a copy that lags, …
    again = since("ann", "On a Call", 50);
    for seconds in [52, 60, 90] {
        see(&mut roster, seconds, vec![again.clone()]);
        assert_eq!(known(&roster, "ann"), 40);
    }
    // … but no such copy shows changes that are later than everything that was known then.
    let mut page = crowd(&["b", "c", "d"], "Lunch", 60);
    page.push(again);
    see(&mut roster, 91, page);
    assert_eq!(status(&roster, "ann"), Some("On a Call"));
    roster.confirm_changes(at(10), at(100));
    assert_eq!(known(&roster, "ann"), 100);
}

#[test]
fn a_refuted_date_stays_refuted_in_the_next_task() {
    let mut roster = Roster::new(1);
    let rows = vec![since("ann", "Lunch", 100_000), since("bob", "Lunch", 5)];
    poll(&mut roster, 0, 10, rows);
    let again = since("ann", "Available", 50);
    see(&mut roster, 52, vec![again.clone()]);
    // Only as of the poll: its row may still be the newest.
    let next = successor(&roster, 1, true);
    assert_eq!(
        (status(&next, "ann"), known(&next, "ann")),
        (Some("Lunch"), 10)
    );
    let mut page = crowd(&["b", "c", "d"], "Lunch", 60);
    page.push(again);
    see(&mut roster, 91, page);
    assert_eq!(status(&roster, "ann"), Some("Available"));
    for stored in [true, false] {
        let mut next = successor(&roster, 1, stored);
        let told = (status(&next, "ann"), known(&next, "ann"));
        assert_eq!(told, (Some("Available"), 91), "stored: {stored}");
        let joined = next.join(0).unwrap();
        assert_eq!(available(&joined)[0], ("ann", Some(true), true));
    }
}

#[test]
fn a_wrong_date_is_refuted_as_soon_if_the_next_task_comes_between() {
    let mut roster = Roster::new(1);
    let rows = vec![since("ann", "Available", 100_000), since("bob", "Lunch", 5)];
    poll(&mut roster, 0, 10, rows);
    let again = since("ann", "On a Call", 22);
    see(&mut roster, 25, vec![again.clone()]);
    let mut next = successor(&roster, 1, false);
    next.looked_at(roster.last_look().unwrap());
    next.recall_confirmed(roster.confirmed());
    // This look was requested before the one that contradicts it.
    see(&mut next, 20, vec![since("ann", "Available", 100_000)]);
    next.confirm_available(at(30), Vec::new());
    assert_eq!(known(&next, "ann"), 10);
    see(&mut next, 32, vec![again.clone()]);
    assert_eq!(known(&next, "ann"), 10);
    let mut page = crowd(&["b", "c", "d"], "Lunch", 37);
    page.push(again);
    see(&mut next, 40, page);
    let told = (status(&next, "ann"), known(&next, "ann"));
    assert_eq!(told, (Some("On a Call"), 40));
}

#[test]
fn a_date_that_another_queues_poll_refuted_stays_refuted_in_the_next_task() {
    let mut roster = Roster::new(2);
    let rows = vec![since("ann", "Lunch", 100_000), since("bob", "Lunch", 5)];
    poll(&mut roster, 0, 10, rows);
    let again = since("ann", "Available", 50);
    see(&mut roster, 52, vec![again.clone()]);
    let mut page = crowd(&["b", "c", "d"], "Lunch", 60);
    page.push(again);
    poll(&mut roster, 1, 91, page);
    assert_eq!(status(&roster, "ann"), Some("Available"));
    let next = successor(&roster, 2, false);
    let told = (status(&next, "ann"), known(&next, "ann"));
    assert_eq!(told, (Some("Available"), 91));
}

#[test]
fn a_change_that_is_not_taken_from_a_list_that_seems_to_lag_leaves_its_agent_in_doubt() {
    let mut roster = Roster::new(1);
    // The date is ahead by some minutes, so the next lists seem to lag.
    let ahead = since("ann", "Lunch", 300);
    poll(
        &mut roster,
        0,
        10,
        vec![ahead, since("bob", "On a Call", 5)],
    );
    roster.confirm_available(at(20), Vec::new());
    let rows = [since("ann", "Available", 28), since("bob", "Available", 27)];
    see(&mut roster, 30, rows.to_vec());
    roster.confirm_changes(at(10), at(40));
    let told = (status(&roster, "bob"), known(&roster, "bob"));
    assert_eq!(told, (Some("On a Call"), 20));
    // A list that does not lag shows it.
    let mut page = crowd(&["b", "c", "d"], "Lunch", 310);
    page.push(since("bob", "Available", 27));
    see(&mut roster, 320, page);
    let told = (status(&roster, "bob"), known(&roster, "bob"));
    assert_eq!(told, (Some("Available"), 320));
}

#[test]
fn a_copy_that_lags_for_minutes_is_not_believed_however_often_it_is_read() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut roster = Roster::new(1);
    let mut page = crowd(&names, "Lunch", 0);
    page.push(since("ann", "Available", 3));
    see(&mut roster, 10, page.clone());
    let mut current = crowd(&names, "On a Call", 60);
    current.push(since("ann", "On a Call", 68));
    see(&mut roster, 70, current);
    for seconds in (75..500).step_by(5) {
        see(&mut roster, seconds, page.clone());
        assert_eq!(status(&roster, "ann"), Some("On a Call"), "{seconds}");
        assert_eq!(known(&roster, "ann"), 70, "{seconds}");
    }
}

#[test]
fn in_a_quiet_account_the_changes_of_the_last_hour_do_not_show_that_a_copy_does_not_lag() {
    let mut roster = Roster::new(1);
    let changes = [("b", 840), ("c", 800), ("d", 700), ("e", 250), ("f", 50)];
    let others = || changes.map(|(name, date)| since(name, "Lunch", date));
    let mut page = others().to_vec();
    page.push(since("ann", "On a Call", 999));
    see(&mut roster, 1_000, page);
    let mut lagging = others().to_vec();
    lagging.push(since("ann", "Available", -1_000));
    for seconds in [1_004, 1_008, 1_012] {
        see(&mut roster, seconds, lagging.clone());
        assert_eq!(status(&roster, "ann"), Some("On a Call"));
        assert_eq!(known(&roster, "b"), 1_000, "the whole list lags");
    }
}

#[test]
fn dates_that_have_gone_back_do_not_return_with_the_next_task() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let hour = 3_600;
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 10, crowd(&names, "Available", 0));
    let mut page = crowd(&names, "Available", -hour);
    roster.stepped_back(roster.step_back(&page).unwrap());
    let dates = |agents: &[Arc<Agent>]| agents.iter().map(|agent| agent.status_since).collect();
    let shown: Vec<_> = dates(&roster.join(0).unwrap().agents);
    assert_eq!(
        shown,
        page.iter()
            .map(|agent| agent.status_since)
            .collect::<Vec<_>>()
    );
    let mut next = successor(&roster, 1, true);
    page[0] = since("a", "On a Call", 12 - hour);
    see(&mut next, 20, page);
    assert_eq!(
        (status(&next, "a"), known(&next, "a")),
        (Some("On a Call"), 20)
    );
    assert_eq!(next.join(0).unwrap().as_of, at(20));
}

#[test]
fn a_stay_goes_on_after_dates_have_gone_back() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let hour = 3_600;
    let mut roster = Roster::new(1);
    see(&mut roster, 10, crowd(&names, "Post Call", 0));
    let page = crowd(&names, "Post Call", -hour);
    let step = roster.step_back(&page).unwrap();
    roster.stepped_back(step);
    see(&mut roster, 15, page);
    see(&mut roster, 20, vec![since("a", "Available", 17 - hour)]);
    see(&mut roster, 30, vec![since("a", "Post Call", 28 - hour)]);
    let stay = roster.stay(&id("a")).unwrap().stay;
    assert!(stay.began() >= Some(at(20).boot), "it is the second one");
    // A single date that was wrong.
    see(&mut roster, 40, vec![since("b", "Available", 100_000)]);
    let mut page = crowd(&["c", "d", "e", "f"], "Lunch", 50 - hour);
    page.push(since("b", "Post Call", 45 - hour));
    see(&mut roster, 60, page.clone());
    for row in &mut page {
        row.status_since = row
            .status_since
            .map(|date| date + SignedDuration::from_secs(30));
    }
    see(&mut roster, 90, page);
    let stay = roster.stay(&id("b")).unwrap().stay;
    assert_eq!(stay.status(), "Post Call");
}

#[test]
fn a_list_of_available_agents_confirms_that_an_agent_is_not_on_it() {
    let mut roster = Roster::new(1);
    let rows = vec![since("ann", "On a Call", 9), since("bob", "Available", 5)];
    see(&mut roster, 10, rows);
    see(&mut roster, 15, vec![since("ann", "Available", 3)]);
    let mut read = |seconds| {
        roster.confirm_available(at(seconds), Vec::new());
        roster.settle_absent(at(seconds));
        known(&roster, "ann")
    };
    assert_eq!(read(14), 10, "this list was requested before");
    assert_eq!(read(20), 20);
}

#[test]
fn dates_that_all_go_back_by_the_same_time_are_no_lag() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let hour = 3_600;
    let begun = || {
        let mut roster = Roster::new(1);
        see(&mut roster, 10, crowd(&names, "Available", 0));
        roster
    };
    let mut roster = begun();
    let mut page = crowd(&names, "Available", -hour);
    page[0] = since("a", "On a Call", 12 - hour);
    let step = roster.step_back(&page).unwrap();
    assert_eq!(step.as_secs(), -hour);
    roster.stepped_back(step);
    assert_eq!(roster.step_back(&page), None, "once");
    see(&mut roster, 15, page);
    assert_eq!(status(&roster, "a"), Some("On a Call"));
    assert_eq!((known(&roster, "a"), known(&roster, "b")), (15, 15));
    // A few wrong dates, other statuses, or a copy that lags.
    let roster = begun();
    let mut page = crowd(&names, "Available", 0);
    page.truncate(5);
    assert_eq!(roster.step_back(&page), None);
    for row in &mut page[..2] {
        row.status_since = row
            .status_since
            .map(|date| date - SignedDuration::from_secs(hour));
    }
    assert_eq!(roster.step_back(&page), None);
    assert_eq!(roster.step_back(&crowd(&names, "Lunch", -hour)), None);
    assert_eq!(roster.step_back(&crowd(&names, "Available", -60)), None);
}
