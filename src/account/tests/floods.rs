//! However a fault meets an account, the log stays short.

use super::*;
use crate::logged::listen;

/// Something that goes wrong.
#[derive(Clone, Debug)]
enum Woe {
    Always(InjectedFault),
    /// One request in so many fails.
    Sometimes(usize, InjectedFault),
    /// Half of the queues are deleted.
    Deleted,
    Spent,
}

/// Lines about queues wait a minute, then twice as long each time: seven times in this time, with a line for those that fail and one for those
/// that are polled again. Sweeps have two more, for their trust and its end.
const HANDFUL: usize = 16;

async fn lines_of_an_hour(woe: Woe) -> Vec<String> {
    let (logged, _guard) = listen();
    let fixture = still(30, 40).start();
    sleep(5 * MINUTE).await;
    match &woe {
        Woe::Always(fault) => fixture.simulator.inject(usize::MAX, None, fault.clone()),
        Woe::Sometimes(..) => {}
        Woe::Deleted => {
            for id in fixture.ids.iter().step_by(2) {
                fixture.simulator.world(|world| world.remove_queue(*id));
            }
        }
        Woe::Spent => {
            while let Ok(permit) = fixture.budget.permit(Purpose::OnDemand).await {
                drop(permit);
            }
        }
    }
    let mut seen = 0;
    for _ in 0..3600 {
        sleep(SECOND).await;
        if let Woe::Sometimes(of, fault) = &woe {
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
    for woe in [
        Woe::Always(InjectedFault::InvalidToken),
        Woe::Always(InjectedFault::Forbidden),
        Woe::Always(InjectedFault::NotFound),
        Woe::Always(InjectedFault::WebPage(502)),
        Woe::Always(InjectedFault::Throttled(Some(SECOND))),
        Woe::Always(InjectedFault::Throttled(None)),
        Woe::Always(InjectedFault::Hang),
        Woe::Always(InjectedFault::WrongShape),
        Woe::Deleted,
        Woe::Spent,
    ] {
        let lines = lines_of_an_hour(woe.clone()).await;
        assert!(lines.len() <= HANDFUL, "{woe:?}: {lines:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_comes_and_goes_for_an_hour_is_a_handful_of_lines() {
    for woe in [
        Woe::Sometimes(2, InjectedFault::WebPage(503)),
        Woe::Sometimes(10, InjectedFault::WebPage(503)),
        Woe::Sometimes(20, InjectedFault::InvalidToken),
        Woe::Sometimes(20, InjectedFault::Throttled(Some(SECOND))),
        Woe::Sometimes(5, InjectedFault::Forbidden),
        Woe::Sometimes(5, InjectedFault::BrokenJson),
    ] {
        let lines = lines_of_an_hour(woe.clone()).await;
        assert!(lines.len() <= HANDFUL, "{woe:?}: {lines:#?}");
    }
}

/// Seven 429s at a time when the own window is nearly empty: others spend. That is no queue's fault, and the hour is not spent.
#[tokio::test(start_paused = true)]
async fn others_who_spend_are_told_once_when_it_begins_and_once_when_it_ends() {
    let (logged, _guard) = listen();
    let fixture = still(30, 40).start();
    sleep(5 * MINUTE).await;
    fixture
        .simulator
        .inject(7, None, InjectedFault::Throttled(Some(SECOND)));
    let mut is_told = false;
    // From the lowest share to the full one it takes two hours.
    for _ in 0..18 * 60 {
        sleep(10 * SECOND).await;
        for place in fixture.places() {
            let reason = fixture.decide(place).reason;
            assert_ne!(reason, Reason::BudgetSpent);
            is_told |= reason == Reason::Throttled;
        }
    }
    let lines = logged.lines();
    let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    let begun = count("other software spends from this account, or requests_per_hour is too high");
    let ended = count("other software no longer seems to spend");
    assert_eq!((begun, ended), (1, 1), "{lines:#?}");
    assert_eq!(count("this hour are spent"), 0, "{lines:#?}");
    assert!(lines.len() <= HANDFUL, "{lines:#?}");
    assert!(is_told, "{lines:#?}");
}
