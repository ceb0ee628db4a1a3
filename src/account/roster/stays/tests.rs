use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    account::roster::{Roster, Source, presence},
    clock::Moment,
    decision::soon::stay::Ended,
    fixtures::agent,
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

/// Returns a row of Ann without a status, since a date if there is one.
fn no_status(since: Option<i64>) -> Agent {
    Agent {
        status: None,
        available: Some(false),
        status_since: since.map(|since| Timestamp::from_second(START + since).unwrap()),
        on_call: false,
        ..ann("Available", 0)
    }
}

#[test]
fn a_copy_that_lags_behind_a_list_of_available_agents_changes_nothing_about_the_next_stay() {
    let mut roster = Roster::new(1);
    list(&mut roster, 5, ann("Post Call", 0));
    list(&mut roster, 22, ann("Available", 20));
    assert_eq!(ends(&mut roster), [(Some(20), true, false)]);
    roster.confirm_gone(at(30), &[AgentId("ann".into())]);
    roster.confirm_available(at(30), Vec::new());
    // It shows the stay that was counted, and then its end.
    list(&mut roster, 40, ann("Post Call", 0));
    list(&mut roster, 41, ann("Available", 20));
    assert_eq!(ends(&mut roster), []);
    roster.confirm_gone(at(42), &[AgentId("ann".into())]);
    list(&mut roster, 44, ann("Post Call", 0));
    // This one has begun before that look, and is seen to end soon after it has ended.
    list(&mut roster, 46, ann("Post Call", 28));
    list(&mut roster, 59, ann("Available", 58));
    assert_eq!(ends(&mut roster), [(Some(30), true, false)]);
}

#[test]
fn a_stay_ends_in_a_row_without_a_status_if_that_has_a_later_date() {
    let mut roster = Roster::new(1);
    list(&mut roster, 5, ann("Post Call", 0));
    list(&mut roster, 10, no_status(None));
    list(&mut roster, 12, no_status(Some(0)));
    list(&mut roster, 20, ann("Available", 18));
    assert_eq!(ends(&mut roster), [(Some(18), true, false)]);
    list(&mut roster, 40, ann("Post Call", 30));
    list(&mut roster, 60, no_status(Some(55)));
    list(&mut roster, 65, ann("Post Call", 63));
    list(&mut roster, 80, ann("Available", 73));
    let ended = ends(&mut roster);
    assert_eq!(ended[0], (Some(25), false, false));
    assert_eq!(ended[ended.len() - 1], (Some(10), true, false));
}

#[test]
fn an_agent_goes_from_no_status_onto_a_call_like_from_the_status_before() {
    for (before, onto_call) in [
        (Some("Post Call"), true),
        (Some("Available"), false),
        (Some("On a Call"), false),
        (None, false),
    ] {
        let mut roster = Roster::new(1);
        if let Some(before) = before {
            list(&mut roster, 5, ann(before, 0));
        }
        list(&mut roster, 12, no_status(Some(10)));
        list(&mut roster, 16, no_status(Some(15)));
        list(&mut roster, 25, ann("On a Call", 20));
        let calls = ends(&mut roster).into_iter().filter(|end| end.2).count();
        assert_eq!(calls, usize::from(onto_call), "{before:?}");
    }
}

#[test]
fn a_list_that_was_overtaken_ends_a_stay_if_its_date_is_later() {
    let mut roster = Roster::new(1);
    list(&mut roster, 5, ann("Post Call", 0));
    list(&mut roster, 22, ann("Post Call", 0));
    // Requested before the last one, and answered after it.
    list(&mut roster, 21, ann("On a Call", 20));
    list(&mut roster, 50, ann("Post Call", 40));
    assert_eq!(ends(&mut roster), [(Some(20), false, true)]);
    list(&mut roster, 52, ann("Available", 51));
    assert_eq!(
        ends(&mut roster),
        [(Some(11), true, false)],
        "the call was seen"
    );
    // Nor does it tell when the next stay began: its row was read later.
    list(&mut roster, 70, ann("Available", 51));
    list(&mut roster, 69, ann("Post Call", 75));
    list(&mut roster, 80, ann("Post Call", 75));
    let stay = roster.stay(&AgentId("ann".into())).unwrap().stay;
    assert_eq!(stay.began(), Some(at(75).boot));
    list(&mut roster, 85, ann("Available", 84));
    assert_eq!(ends(&mut roster), [(Some(9), true, false)]);
    // Nor does it make the stay before shorter than it was.
    list(&mut roster, 91, ann("Post Call", 87));
    list(&mut roster, 100, ann("Post Call", 87));
    list(&mut roster, 99, ann("Available", 105));
    assert_eq!(ends(&mut roster), [(Some(18), true, false)]);
}

#[test]
fn a_list_that_was_overtaken_shows_a_change_no_earlier_than_the_last_look_before_it() {
    for (date, changed) in [(105, 105), (98, 100)] {
        let mut roster = Roster::new(1);
        list(&mut roster, 5, ann("Post Call", 0));
        list(&mut roster, 100, ann("Post Call", 0));
        roster.take_stays();
        list(&mut roster, 60, ann("On a Call", date));
        let ended = roster.take_stays();
        assert!(ended[0].onto_call);
        assert_eq!(ended[0].at, at(changed).boot);
    }
    let mut roster = Roster::new(1);
    list(&mut roster, 5, ann("Post Call", 0));
    list(&mut roster, 100, ann("Post Call", 0));
    list(&mut roster, 60, ann("Available", 250));
    assert_eq!(
        ends(&mut roster),
        [],
        "other statuses may have come in between"
    );
}

#[test]
fn a_copy_that_lags_behind_two_changes_ends_no_stay_a_second_time() {
    let mut roster = Roster::new(1);
    list(&mut roster, 1, ann("Break", -10));
    list(&mut roster, 5, ann("Post Call", 0));
    list(&mut roster, 22, ann("Available", 20));
    assert_eq!(ends(&mut roster).len(), 2);
    roster.confirm_gone(at(30), &[AgentId("ann".into())]);
    list(&mut roster, 30, ann("Break", -10));
    list(&mut roster, 36, ann("Post Call", 0));
    list(&mut roster, 56, ann("Available", 20));
    assert_eq!(ends(&mut roster), []);
    // The next one counts.
    list(&mut roster, 70, ann("Post Call", 65));
    list(&mut roster, 90, ann("Available", 85));
    assert_eq!(ends(&mut roster), [(Some(20), true, false)]);
}

#[test]
fn a_stay_keeps_the_new_name_of_its_status_while_its_row_shows_the_old_one() {
    let mut roster = Roster::new(1);
    list(&mut roster, 5, ann("Post Call", 0));
    roster.rename_stays(&[("Post Call".into(), "After call".into())]);
    roster.read_again(&crate::model::names::Names::default());
    let status = |roster: &Roster| {
        let stay = roster.stay(&AgentId("ann".into())).unwrap().stay;
        stay.status().to_owned()
    };
    assert_eq!(status(&roster), "After call");
    list(&mut roster, 10, ann("After call", 0));
    list(&mut roster, 22, ann("Available", 20));
    assert_eq!(ends(&mut roster), [(Some(20), true, false)]);
}

/// What is wrong with a look at Ann.
#[derive(Clone, Copy, Debug)]
enum Look {
    InOrder,
    /// Requested this many hundredths of a second before the last one.
    Overtaken(u64),
    /// From a copy that lags by this many seconds.
    Lagging(u32),
    WithoutStatus,
    FromFile,
    Gone,
}

/// Looks, and how many hundredths of a second after the last one they are.
fn looks() -> impl Strategy<Value = Vec<(u64, Look)>> {
    let look = prop_oneof![
        6 => Just(Look::InOrder),
        1 => (1..200_u64).prop_map(Look::Overtaken),
        1 => (1..60_u32).prop_map(Look::Lagging),
        1 => Just(Look::WithoutStatus),
        1 => Just(Look::FromFile),
        1 => Just(Look::Gone),
    ];
    prop::collection::vec((prop_oneof![1..700_u64, 1..12_000_u64], look), 1..80)
}

proptest! {
    /// What is kept for each agent leads to the same stays and departures as if all of it were kept.
    #[test]
    fn what_is_shared_with_the_last_look_changes_no_stay(
        life in prop::collection::vec((0..5_usize, 1..90_u64), 1..30),
        looks in looks(),
        is_dated in any::<bool>(),
    ) {
        let mut changes = Vec::new();
        let mut start = 0;
        for (status, lasts) in life {
            changes.push((start, ["Available", "Post Call", "On a Call", "Lunch", ""][status]));
            start += lasts;
        }
        let (mut roster, mut exact, mut last) = (Roster::new(1), None, None);
        let mut all = Vec::new();
        let mut now = 0;
        for (passes, look) in looks {
            now += passes;
            let (mut seen, mut shown) = (now, now / 100);
            match look {
                Look::Overtaken(by) if is_dated => seen = now.saturating_sub(passes + by),
                Look::Lagging(by) if is_dated => shown = shown.saturating_sub(by.into()),
                _ => {}
            }
            let place = changes.partition_point(|(start, _)| *start <= shown);
            let (since, status) = changes[place.saturating_sub(1)];
            let mut row = match status {
                "" => no_status(Some(since as i64)),
                status => ann(status, since as i64),
            };
            if matches!(look, Look::WithoutStatus) {
                row = no_status(None);
            }
            row.status_since = row.status_since.filter(|_| is_dated);
            let moment = at(0).later(Duration::from_nanos(seen * 10_000_000 + 7_654_321));
            let newest = roster.newest(&row.id).cloned();
            let was_available = newest.as_ref().is_some_and(|row| row.agent.available == Some(true));
            if matches!(look, Look::Gone) {
                // Only such agents can be missing from lists of available ones.
                if was_available {
                    roster.confirm_gone(moment, &[row.id]);
                    let gone = Presence::from_agent(&no_status(None), moment, false);
                    presence::follow(&mut last, gone.unwrap());
                }
                continue;
            }
            // A copy that lags counts if no date is known that is later than its own, or not for long.
            let refutes = |row: &Sighting| {
                row.agent.status_since.is_some() && moment.boot < row.at.boot + Duration::from_secs(600)
            };
            let is_refuted = newest.as_ref().is_none_or(refutes);
            if matches!(look, Look::Lagging(_)) && is_dated && !is_refuted {
                continue;
            }
            let source = match look {
                Look::FromFile => Source::Memory,
                _ => Source::Look,
            };
            let seen = Presence::from_agent(&row, moment, source == Source::Memory).unwrap();
            let lasted = newest.map(|newest| newest.at.boot);
            all.extend(follow(&mut exact, &row, &seen, lasted));
            presence::follow(&mut last, seen);
            let agent = Arc::new(row);
            roster.take_row(Sighting { agent, at: moment, by_sweep: true }, source);
            prop_assert_eq!(roster.presences().next().map(|(_, seen)| seen), last.clone());
        }
        let kept = roster.take_stays();
        let facts = |stay: &StayPassed| {
            let ended = stay.passed.ended.map(|ended| (ended.lasted.is_some(), ended.available));
            (stay.passed.status.clone(), ended, stay.onto_call)
        };
        prop_assert_eq!(
            kept.iter().map(facts).collect::<Vec<_>>(),
            all.iter().map(facts).collect::<Vec<_>>()
        );
        for (kept, exact) in kept.iter().zip(&all) {
            let lasted = |stay: &StayPassed| stay.passed.ended.and_then(|ended| ended.lasted);
            // Times from five minutes on are not told apart. Without dates, a change is in the middle of such a time.
            let lasted = [kept, exact].map(|stay| lasted(stay).unwrap_or_default());
            let times = [
                ([kept.passed.time, exact.passed.time], Duration::from_secs(150)),
                (lasted, Duration::from_secs(300)),
            ];
            for ([kept, exact], long) in times {
                let is_same = kept.abs_diff(exact) < Duration::from_millis(21);
                let are_long = kept.min(exact) > long;
                prop_assert!(is_same || are_long, "{:?} {:?}", kept, exact);
            }
        }
    }
}
