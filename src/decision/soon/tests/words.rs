//! What people read about the rule.

use super::*;
use crate::decision::soon::report::{QueueReport, State};

fn report(state: State, calls: Option<Calls>) -> QueueReport {
    QueueReport {
        queue: "sales".into(),
        terms: terms(5.0, 2.5),
        state,
        calls,
        arrives_within: None,
    }
}

#[test]
fn each_reason_why_it_does_not_act_is_said() {
    for (off, why) in [
        (
            Off::TooNew(seconds(1_799.0)),
            "it has learnt for 29 of 60 minutes",
        ),
        (
            Off::NoStays,
            "it has not yet seen how long a wrap-up or a break lasts; it cannot while nobody works, or if agents are only available or on calls",
        ),
        (
            Off::TooFewToTell(19),
            "it has learnt 19 of the 20 stays that show whether a status is short",
        ),
        (
            Off::NoShortStatus(412),
            "it has learnt 412 stays, but no status is known to be short: agents have no wrap-up status, are seldom in it, or stay in it for more than two minutes",
        ),
        (
            Off::FewStays(99),
            "it has learnt 99 of 100 stays in short statuses",
        ),
        (
            Off::QueueUnread,
            "the queue's own list of agents cannot be read",
        ),
        (
            Off::FeedNotProven,
            "the lists that statuses come from are not proven: they contradicted each other, or are on trial",
        ),
        (
            Off::BadlyCalibrated(0.594),
            "only 0.59 of the predicted agents were seen; it needs 0.6",
        ),
    ] {
        let standing = |state| report(state, None).standing();
        assert_eq!(
            standing(State::Asked(Err(off))),
            format!("soon is on, but does not act: {why}")
        );
        assert_eq!(
            standing(State::Measured(Err(off))),
            format!("soon is off; it could not act yet: {why}")
        );
    }
    for (state, words) in [
        (State::Asked(Ok(())), "soon is on"),
        (
            State::Measured(Ok(())),
            "soon is off; it is measured, and could be turned on",
        ),
        (
            State::OtherRule,
            "soon is not measured: the queue's own criteria do not count agents",
        ),
    ] {
        assert_eq!(report(state, None).standing(), words);
        assert_eq!(state.acts(), words == "soon is on");
        assert_eq!(state.is_on(), state == State::Asked(Ok(())));
    }
}

#[test]
fn a_node_that_does_not_lead_says_who_acts() {
    let report = QueueReport::of_leader("sales".into(), terms(5.0, 2.5));
    assert_eq!(
        report.standing(),
        "soon is on, but acts only on the account's leader"
    );
    assert_eq!(
        report.outcome(),
        "calls at zero seats are counted on the account's leader"
    );
    assert!(report.state.is_on() && !report.state.acts());
    assert_eq!(report.warning(), None);
}

#[test]
fn what_happened_at_zero_seats_is_one_sentence() {
    let calls = |came, accepted, would, judged, found| {
        Some(Calls {
            came,
            accepted,
            would,
            judged,
            found,
        })
    };
    let alike = "at zero seats (equal answers within 4 s count once)";
    for (calls, words) in [
        (
            None,
            "calls at zero seats are not counted here: 96 other queues of the account had some in the last 7 days, and there is no room for more"
                .to_owned(),
        ),
        (
            Some(Calls::default()),
            "in the last 7 days no call arrived at zero seats".to_owned(),
        ),
        (
            calls(412, 0, 131, 131, 110),
            format!(
                "in the last 7 days 412 calls were rejected {alike}; soon would have accepted 131, of which 84 % found an agent within 7.5 s"
            ),
        ),
        (
            calls(1, 0, 0, 0, 0),
            format!("in the last 7 days 1 call was rejected {alike}; soon would have accepted 0"),
        ),
        (
            calls(7, 0, 2, 0, 0),
            format!(
                "in the last 7 days 7 calls were rejected {alike}; soon would have accepted 2, but no look came in time to show how they ended"
            ),
        ),
        (
            calls(50, 20, 0, 12, 9),
            format!(
                "in the last 7 days 50 calls arrived {alike}; soon accepted 20, of which 75 % found an agent within 7.5 s (12 were followed)"
            ),
        ),
        (
            calls(50, 20, 5, 25, 25),
            format!(
                "in the last 7 days 50 calls arrived {alike}; soon accepted 20 and, while off, would have accepted 5, of which 100 % found an agent within 7.5 s"
            ),
        ),
    ] {
        assert_eq!(report(State::Asked(Ok(())), calls).outcome(), words);
    }
}

#[test]
fn a_lead_that_is_too_long_is_said() {
    let mut report = report(State::Asked(Ok(())), None);
    assert_eq!(report.warning(), None);
    report.arrives_within = Some(seconds(3.2));
    assert_eq!(
        report.warning().as_deref(),
        Some(
            "lead is 5 s, but half of the reserved calls reach their agent within 3 s: a lead that is too long costs calls, so shorten it"
        )
    );
}
