use super::*;
use crate::{
    account::roster::STAY_BYTES,
    clock::Clock,
    decision::soon::{
        calibration::OPEN_BYTES,
        learnt::{MAX_STATUSES, STATUS_BYTES},
        outlook::Outlook,
        stay::{Ended, Passed},
        week::{MAX_QUEUES, RECORD_BYTES},
    },
    fixtures::Still,
    model::agent::AgentId,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Returns a stay of 20 s in wrap-up that has just ended.
fn wrap_up(available: bool, onto_call: bool, at: Moment) -> StayPassed {
    StayPassed {
        agent: AgentId("ann".into()),
        passed: Passed {
            status: "Wrap-up".into(),
            time: seconds(20),
            ended: Some(Ended {
                lasted: Some(seconds(20)),
                available,
            }),
        },
        onto_call,
        at: at.boot,
    }
}

/// Looks at a queue where no agent is free. Returns whether the settled predictions came true.
fn look(foresight: &mut Foresight, now: Moment) -> Vec<bool> {
    let settled = foresight.look(0, |_| Some(7), (now, Free::default), now);
    settled.iter().map(Outcome::seen).collect()
}

const LIKELY: AtZero = AtZero {
    likely: 0.9,
    terms: Terms::DEFAULT,
    before: Duration::ZERO,
};

/// An agent is likely to come, and the rule is off or on.
const OFF: (Option<AtZero>, State) = (Some(LIKELY), State::Measured(Ok(())));
const ON: (Option<AtZero>, State) = (Some(LIKELY), State::Asked(Ok(())));

fn came(foresight: &Foresight, now: Moment) -> u32 {
    let calls = foresight.record.calls(7, now);
    calls.expect("the queue is counted").came
}

/// Simulates calls every 20 s, each accepted by the rule and taken by its agent at once, so that no agent is ever seen free. If `others`, agents
/// also go from wrap-up straight to calls of other software.
fn closed_loop(others: bool) -> Foresight {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    for _ in 0..400 {
        if others {
            foresight.learn(wrap_up(false, true, clock.now()), || vec![0]);
        }
        foresight.count_calls((0, Some(7)), (0, 1), ON, clock.now());
        clock.pass(seconds(7));
        foresight.learn(wrap_up(false, true, clock.now()), || vec![0]);
        look(&mut foresight, clock.now());
        clock.pass(seconds(13));
        look(&mut foresight, clock.now());
    }
    foresight
}

#[test]
fn an_agent_who_takes_the_call_at_once_was_free_for_it() {
    let clock = Still::new();
    let later = clock.now().later(seconds(8_000));
    let foresight = closed_loop(false);
    assert_eq!(
        foresight.may_act(true, later),
        Ok(()),
        "its own success does not switch it off"
    );
    let calls = foresight.record.calls(7, later).unwrap();
    assert_eq!((calls.accepted, calls.judged, calls.found), (400, 400, 400));
}

#[test]
fn a_call_explains_only_one_agent() {
    let clock = Still::new();
    let later = clock.now().later(seconds(8_000));
    let foresight = closed_loop(true);
    // Half of the wrap-ups end in calls of other software, so they do not lead back to available.
    let stored = foresight.learnt.to_stored(later);
    let stored = serde_json::to_value(&stored).unwrap();
    let status = &stored["statuses"][0];
    let share = status["returns"].as_f64().unwrap() / status["ends"].as_f64().unwrap();
    assert!((share - 0.5).abs() < 0.1, "{share}");
}

#[test]
fn an_agent_who_takes_a_call_of_other_software_was_not_free() {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    foresight.count_calls((0, Some(7)), (1, 0), OFF, clock.now());
    clock.pass(seconds(7));
    foresight.learn(wrap_up(false, true, clock.now()), || vec![0]);
    assert!(look(&mut foresight, clock.now()).is_empty());
    clock.pass(seconds(5));
    assert_eq!(look(&mut foresight, clock.now()), [false]);
}

#[test]
fn a_call_that_the_rule_rejects_does_not_count_as_one_that_it_would_have_accepted() {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    let guarded = Err(Off::QueueUnread);
    for (state, would) in [
        (ON.1, 0),
        (State::Asked(guarded), 0),
        (State::Measured(guarded), 0),
        (OFF.1, 1),
    ] {
        clock.pass(seconds(20));
        foresight.count_calls((0, Some(7)), (1, 0), (Some(LIKELY), state), clock.now());
        let calls = foresight.record.calls(7, clock.now()).unwrap();
        assert_eq!((calls.accepted, calls.would), (0, would), "{state:?}");
        // The situation is followed, whoever decides.
        clock.pass(seconds(7));
        look(&mut foresight, clock.now());
        clock.pass(seconds(5));
        assert_eq!(look(&mut foresight, clock.now()), [false], "{state:?}");
    }
    assert_eq!(came(&foresight, clock.now()), 4);
}

#[test]
fn the_report_covers_a_week() {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    for _ in 0..9 {
        foresight.count_calls((0, Some(7)), (2, 0), OFF, clock.now());
        clock.pass(seconds(86_400));
    }
    let calls = foresight.record.calls(7, clock.now()).unwrap();
    assert_eq!(
        (calls.came, calls.would),
        (12, 12),
        "the day that has just begun has no calls"
    );
    clock.pass(seconds(6 * 86_400));
    let calls = foresight.record.calls(7, clock.now());
    assert_eq!(calls, Some(Calls::default()));
    // Counting continues after the wall clock was set back.
    clock.step_wall_back(seconds(3 * 86_400));
    foresight.count_calls((0, Some(7)), (2, 0), OFF, clock.now());
    assert_eq!(came(&foresight, clock.now()), 2 + 6);
}

#[test]
fn stored_knowledge_is_read_back_but_nonsense_is_not() {
    let clock = Still::new();
    let now = clock.now().later(seconds(8_000));
    let before = closed_loop(false);
    let stored = before.to_stored(BusyHours::default(), now);
    assert!(stored.len() < 16 * 1024, "{}", stored.len());
    let mut after = Foresight::new(1, now);
    assert!(after.recall(&stored, now).is_some());
    assert_eq!(after.may_act(true, now), Ok(()));
    assert_eq!(after.record, before.record);
    assert_eq!(after.learnt.short_stays(), before.learnt.short_stays());
    // Earlier versions did not store the busy hours.
    let (earlier, _) = stored.rsplit_once(",\"busy_hours\"").unwrap();
    assert!(after.recall(&format!("{earlier}}}"), now).is_some());
    for nonsense in [
        String::new(),
        "{}".to_owned(),
        stored.replace("\"ends\":", "\"ends\":-"),
        stored.replace("\"returns\":", "\"returns\":1e9"),
        stored.replacen("\"reached\":[", "\"reached\":[1,", 1),
    ] {
        let read = Foresight::new(1, now).recall(&nonsense, now);
        assert!(read.is_none(), "{nonsense}");
    }
}

#[test]
fn a_lead_longer_than_calls_take_is_reported_once() {
    let clock = Still::new();
    let mut foresight = Foresight::new(2, clock.now());
    let terms = Terms::new(seconds(5), seconds(5), 2.0).unwrap();
    for _ in 0..6 {
        assert_eq!(
            foresight.arrived(0, seconds(3), terms),
            None,
            "too few calls to tell"
        );
    }
    assert_eq!(foresight.arrived(0, seconds(3), terms), Some(seconds(3)));
    assert_eq!(foresight.arrived(0, seconds(3), terms), None);
    for _ in 0..20 {
        assert_eq!(foresight.arrived(1, seconds(9), terms), None);
    }
    let queue = |name: &str| (name.into(), None, terms, State::Measured(Ok(())));
    let report = foresight.report([queue("a"), queue("b")].into_iter(), clock.now());
    assert!(report.queues[0].warning().unwrap().contains("within 3 s"));
    assert_eq!(report.queues[1].warning(), None);
}

#[test]
fn many_questions_within_four_seconds_are_one_call_unless_they_reserve() {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    let mut decided = Decided {
        rejected: 100,
        accepted: 100,
    };
    let mut ask = |rejected, accepted, reserved| {
        decided.rejected += rejected;
        decided.accepted += accepted;
        clock.pass(seconds(1));
        foresight.new_calls(0, decided, reserved, clock.now())
    };
    assert_eq!(ask(5, 5, 0), (0, 0), "asked before this process counted");
    for _ in 0..2 {
        assert_eq!(ask(5, 0, 0), (1, 0));
        for _ in 0..3 {
            assert_eq!(ask(5, 0, 0), (0, 0));
        }
    }
    assert_eq!(ask(0, 5, 0), (0, 1), "another answer");
    assert_eq!(ask(0, 5, 0), (0, 0));
    assert_eq!(ask(0, 2, 2), (0, 2), "two calls");
}

#[test]
fn no_more_calls_find_an_agent_than_agents_come() {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    foresight.count_calls((0, Some(7)), (0, 3), ON, clock.now());
    for later in [7, 4] {
        clock.pass(seconds(later));
        let free = || Free {
            since: vec![clock.now().boot - seconds(1)],
            ..Free::default()
        };
        foresight.look(0, |_| Some(7), (clock.now(), free), clock.now());
    }
    let calls = foresight.record.calls(7, clock.now()).unwrap();
    assert_eq!((calls.judged, calls.found), (3, 1));
}

#[test]
fn counting_begins_anew_after_a_clock_was_far_in_the_future() {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    let year = seconds(365 * 86_400);
    let wrong = Moment {
        wall: clock.now().wall + year,
        ..clock.now()
    };
    foresight.count_calls((0, Some(7)), (2, 0), OFF, wrong);
    assert_eq!(came(&foresight, wrong), 2);
    assert_eq!(came(&foresight, clock.now()), 0);
    for _ in 0..9 {
        foresight.count_calls((0, Some(7)), (1, 0), OFF, clock.now());
        clock.pass(seconds(86_400));
    }
    assert_eq!(came(&foresight, clock.now()), 6, "the last days");
}

#[test]
fn a_queue_without_room_is_reported_as_not_counted() {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    let outcome = |foresight: &Foresight, id: u64| {
        let state = State::Measured(Ok(()));
        let queue = ("a".into(), Some(id), Terms::DEFAULT, state);
        let report = foresight.report([queue].into_iter(), clock.now());
        report.queues[0].outcome()
    };
    for id in 0..96 {
        assert!(outcome(&foresight, id).contains("no call arrived"));
        foresight.count_calls((0, Some(id)), (1, 0), OFF, clock.now());
    }
    foresight.count_calls((0, Some(96)), (1, 0), OFF, clock.now());
    assert_eq!(foresight.record.room(), MAX_QUEUES, "none is spare");
    assert!(outcome(&foresight, 95).contains("1 call was rejected"));
    assert!(outcome(&foresight, 96).contains("not counted"));
    assert!(outcome(&foresight, 97).contains("not counted"));
    clock.pass(seconds(8 * 86_400));
    assert!(outcome(&foresight, 97).contains("no call arrived"));
}

#[test]
fn what_an_account_keeps_takes_at_most_64_kib() {
    let (record, tenths) = RECORD_BYTES;
    assert!(size_of::<Foresight>() > tenths, "it has them");
    let counted = |queues: usize, statuses: usize| {
        let of_some = queues.min(MAX_QUEUES) * (record + size_of::<Measured>());
        let of_queues = queues * size_of::<Watched>() + of_some;
        size_of::<Foresight>() + statuses * STATUS_BYTES + OPEN_BYTES + of_queues
    };
    const MAX: usize = 64 * 1024;
    let most = counted(1_000, MAX_STATUSES);
    assert!(most <= 40 * 1024, "{most}");
    // The figures of the documentation, for what depends on the number of agents and queues.
    let outlook = Outlook::MAX_BYTES;
    assert_eq!(STAY_BYTES, 8);
    assert!((210..=230).contains(&outlook), "{outlook}");
    // The list of agents grows by doubling.
    let all = |queues, agents: usize, statuses| {
        let of_agents = agents.next_power_of_two() * STAY_BYTES;
        counted(queues, statuses) + of_agents + queues * outlook
    };
    for large in [all(100, 500, MAX_STATUSES), all(100, 2_000, 10)] {
        assert!(large <= MAX, "{large}");
    }
    let (more_statuses, larger) = (all(100, 2_000, MAX_STATUSES), all(300, 10_000, 10));
    let kib = [more_statuses, larger].map(|bytes: usize| bytes.div_ceil(1024));
    assert_eq!(kib, [68, 219]);
}

#[test]
fn a_name_that_means_another_queue_has_no_arrivals_yet() {
    let clock = Still::new();
    let mut foresight = Foresight::new(1, clock.now());
    let arrive = |foresight: &mut Foresight| {
        let told = (0..7).filter_map(|_| foresight.arrived(0, seconds(3), Terms::DEFAULT));
        told.count()
    };
    assert_eq!(arrive(&mut foresight), 1);
    foresight.forget_queue(0);
    assert_eq!(foresight.arrives_within(0, Terms::DEFAULT), None);
    assert_eq!(
        arrive(&mut foresight),
        1,
        "the other queue is told of once, too"
    );
}
