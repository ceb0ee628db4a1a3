//! Tests that the log stays short, for any fault of an account.

use super::*;
use crate::logged::listen;

/// A problem of the account.
#[derive(Clone, Debug)]
enum Problem {
    Always(InjectedFault),
    /// One request in this many fails.
    Sometimes(usize, InjectedFault),
    /// Half of the queues are deleted.
    Deleted,
    Spent,
}

/// Lines about queues wait a minute, then twice as long each time: seven times in this time, each with a line for failing queues and one for queues
/// that are polled again. Sweeps add two lines, for gaining and losing trust.
const HANDFUL: usize = 16;

async fn lines_of_an_hour(problem: Problem) -> Vec<String> {
    let (logged, _guard) = listen();
    let fixture = still(30, 40).start();
    sleep(5 * MINUTE).await;
    match &problem {
        Problem::Always(fault) => fixture.simulator.inject(usize::MAX, None, fault.clone()),
        Problem::Sometimes(..) => {}
        Problem::Deleted => {
            for id in fixture.ids.iter().step_by(2) {
                fixture.simulator.world(|world| world.remove_queue(*id));
            }
        }
        Problem::Spent => {
            spend_the_hour(&fixture.budget).await;
        }
    }
    let mut seen = 0;
    for _ in 0..3600 {
        sleep(SECOND).await;
        if let Problem::Sometimes(of, fault) = &problem {
            seen += fixture.sent().len();
            if seen >= *of {
                seen = 0;
                fixture.simulator.inject(1, None, fault.clone());
            }
        }
        for place in fixture.places().step_by(7) {
            fixture.assert_coherent(place);
        }
    }
    fixture.simulator.clear_faults();
    sleep(10 * MINUTE).await;
    logged.lines()
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_lasts_for_an_hour_is_a_handful_of_lines() {
    for problem in [
        Problem::Always(InjectedFault::InvalidToken),
        Problem::Always(InjectedFault::Forbidden),
        Problem::Always(InjectedFault::NotFound),
        Problem::Always(InjectedFault::WebPage(502)),
        Problem::Always(InjectedFault::Throttled(Some(SECOND))),
        Problem::Always(InjectedFault::Throttled(None)),
        Problem::Always(InjectedFault::Hang),
        Problem::Always(InjectedFault::WrongShape),
        Problem::Deleted,
        Problem::Spent,
    ] {
        let lines = lines_of_an_hour(problem.clone()).await;
        assert!(lines.len() <= HANDFUL, "{problem:?}: {lines:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_comes_and_goes_for_an_hour_is_a_handful_of_lines() {
    for problem in [
        Problem::Sometimes(2, InjectedFault::WebPage(503)),
        Problem::Sometimes(10, InjectedFault::WebPage(503)),
        Problem::Sometimes(20, InjectedFault::InvalidToken),
        Problem::Sometimes(20, InjectedFault::Throttled(Some(SECOND))),
        Problem::Sometimes(5, InjectedFault::Forbidden),
        Problem::Sometimes(5, InjectedFault::BrokenJson),
    ] {
        let lines = lines_of_an_hour(problem.clone()).await;
        assert!(lines.len() <= HANDFUL, "{problem:?}: {lines:#?}");
    }
}

/// Seven 429s while openseat's own window is nearly empty: others spend. That is no queue's fault, and the hour is not spent.
#[tokio::test(start_paused = true)]
async fn other_spenders_are_logged_once_when_they_start_and_once_when_they_stop() {
    let (logged, _guard) = listen();
    let fixture = still(30, 40).start();
    sleep(5 * MINUTE).await;
    fixture
        .simulator
        .inject(7, None, InjectedFault::Throttled(Some(SECOND)));
    let mut is_shown = false;
    // Recovering from the lowest share takes two hours.
    for _ in 0..18 * 60 {
        sleep(10 * SECOND).await;
        for place in fixture.places() {
            let reason = fixture.decide(place).reason;
            assert_ne!(reason, Reason::BudgetSpent);
            is_shown |= reason == Reason::Throttled;
        }
    }
    let lines = logged.lines();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    let begun = count("other software spends from this account, or requests_per_hour is too high");
    let ended = count("other software no longer seems to spend");
    assert_eq!((begun, ended), (1, 1), "{lines:#?}");
    assert_eq!(count("this hour are spent"), 0, "{lines:#?}");
    assert!(lines.len() <= HANDFUL, "{lines:#?}");
    assert!(is_shown, "{lines:#?}");
}
