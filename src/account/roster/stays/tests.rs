use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::*;
use crate::{
    account::roster::Roster, clock::Moment, decision::soon::stay::Ended, fixtures::agent,
    model::known::Sighting,
};

const START: i64 = 1_795_341_600;

fn at(seconds: u64) -> Moment {
    let start = Moment {
        boot: Duration::from_secs(1_000),
        wall: Duration::from_secs(START as u64),
    };
    start.later(Duration::from_secs(seconds))
}

/// Returns Ann, in a status since `since`.
fn ann(status: &str, since: i64) -> Agent {
    Agent {
        status_since: Some(Timestamp::from_second(START + since).unwrap()),
        on_call: status == "On a Call",
        ..agent("ann", "Ann", status)
    }
}

fn poll(roster: &mut Roster, place: usize, seconds: u64, row: Agent) {
    let took = Duration::from_millis(300);
    roster.poll(place, at(seconds), took, true, vec![row]);
}

/// Applies a page of a sweep, or of a list of changes.
fn list(roster: &mut Roster, seconds: u64, row: Agent) {
    roster.see(vec![Sighting {
        agent: Arc::new(row),
        at: at(seconds),
        by_sweep: true,
    }]);
}

/// Takes the ended stays: their length, whether the agent was then available, and whether the agent took a call.
fn ends(roster: &mut Roster) -> Vec<(Option<u64>, bool, bool)> {
    let stays = roster.take_stays().into_iter();
    let ends = stays.filter_map(|stay| {
        let Ended { lasted, available } = stay.passed.ended?;
        Some((
            lasted.map(|lasted| lasted.as_secs()),
            available,
            stay.onto_call,
        ))
    });
    ends.collect()
}

#[test]
fn a_change_shown_by_several_lists_is_counted_once() {
    let mut roster = Roster::new(2);
    poll(&mut roster, 0, 5, ann("Post Call", 0));
    poll(&mut roster, 1, 6, ann("Post Call", 0));
    list(&mut roster, 7, ann("Post Call", 0));
    assert_eq!(ends(&mut roster), []);
    list(&mut roster, 22, ann("Available", 20));
    poll(&mut roster, 0, 23, ann("Available", 20));
    // A copy that lags.
    poll(&mut roster, 1, 24, ann("Post Call", 0));
    list(&mut roster, 26, ann("Available", 20));
    roster.forget_sweeps();
    poll(&mut roster, 1, 28, ann("Available", 20));
    assert_eq!(ends(&mut roster), [(Some(20), true, false)]);
    list(&mut roster, 60, ann("On a Call", 50));
    list(&mut roster, 95, ann("Post Call", 90));
    list(&mut roster, 112, ann("On a Call", 110));
    assert_eq!(ends(&mut roster), [(Some(20), false, true)]);
}

#[test]
fn a_stay_that_an_earlier_process_may_have_counted_is_not_counted_again() {
    let mut roster = Roster::new(1);
    roster.recall(Sighting {
        agent: Arc::new(ann("Post Call", 0)),
        at: at(5),
        by_sweep: true,
    });
    list(&mut roster, 22, ann("Available", 20));
    assert_eq!(ends(&mut roster), []);
    list(&mut roster, 60, ann("Post Call", 50));
    list(&mut roster, 82, ann("Available", 80));
    assert_eq!(ends(&mut roster), [(Some(30), true, false)]);
}

#[test]
fn an_agent_missing_from_the_available_ones_ends_no_stay() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 5, ann("Available", 0));
    roster.confirm_gone(at(30), &[AgentId("ann".into())]);
    roster.confirm_available(at(30), Vec::new());
    let stay = roster.stay(&AgentId("ann".into())).unwrap().stay;
    assert_eq!((stay.status(), stay.is_available()), ("Available", true));
    list(&mut roster, 40, ann("Post Call", 28));
    list(&mut roster, 50, ann("Available", 48));
    assert_eq!(ends(&mut roster), [(Some(20), true, false)]);
}

#[test]
fn a_stay_lasts_for_an_agent_who_is_not_on_a_list_of_changes() {
    let mut roster = Roster::new(1);
    poll(&mut roster, 0, 5, ann("Post Call", 0));
    let known = |roster: &Roster| {
        let known = roster.stay(&AgentId("ann".into())).unwrap();
        (known.lasted.boot, known.away.boot)
    };
    assert_eq!(known(&roster), (at(5).boot, at(5).boot));
    roster.confirm_changes(at(3), at(17));
    assert_eq!(known(&roster), (at(17).boot, at(17).boot));
    // As of then it is only known that Ann is not available.
    roster.confirm_available(at(18), Vec::new());
    assert_eq!(known(&roster), (at(17).boot, at(18).boot));
    roster.forget_changes();
    assert_eq!(known(&roster), (at(5).boot, at(18).boot));
    roster.forget_available();
    assert_eq!(known(&roster), (at(5).boot, at(5).boot));
}

#[test]
fn time_on_a_call_is_not_learnt() {
    let mut roster = Roster::new(1);
    list(&mut roster, 5, ann("On a Call", 0));
    list(&mut roster, 15, ann("On a Call", 0));
    list(&mut roster, 30, ann("Available", 28));
    assert_eq!(roster.take_stays(), []);
}

#[test]
fn a_stay_that_ended_unseen_long_after_the_last_look_is_not_learnt() {
    let mut roster = Roster::new(1);
    list(&mut roster, 5, ann("Post Call", 0));
    list(&mut roster, 200, ann("Available", 190));
    assert_eq!(
        ends(&mut roster),
        [],
        "other statuses may have come between"
    );
    // Looks are far apart, but the change is dated soon after the last of them.
    list(&mut roster, 400, ann("Post Call", 390));
    list(&mut roster, 600, ann("Available", 430));
    assert_eq!(ends(&mut roster), [(Some(40), true, false)]);
    // Lists of changes show that nothing came between.
    list(&mut roster, 610, ann("Post Call", 605));
    roster.confirm_changes(at(600), at(700));
    list(&mut roster, 720, ann("Available", 715));
    assert_eq!(ends(&mut roster), [(Some(110), true, false)]);
}
