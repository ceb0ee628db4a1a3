//! However a fault meets an account, the log stays short.

use super::*;
use crate::logged::listen;

/// Something that goes wrong.
#[derive(Clone, Debug)]
enum Woe {
    Always(Mishap),
    /// One request in so many fails.
    Sometimes(usize, Mishap),
    /// Half of the queues are deleted.
    Deleted,
    Spent,
}

/// Lines about queues wait a minute, then twice as long each time: seven times in this time, with a line for those that fail and one for those
/// that are polled again. Sweeps have two more, for their trust and its end.
const HANDFUL: usize = 16;

async fn lines_of_an_hour(woe: Woe) -> Vec<String> {
    let (logged, _guard) = listen();
    let stage = still(30, 40).start();
    sleep(5 * MINUTE).await;
    match &woe {
        Woe::Always(mishap) => stage.simulator.mishap(usize::MAX, None, mishap.clone()),
        Woe::Sometimes(..) => {}
        Woe::Deleted => {
            for id in stage.ids.iter().step_by(2) {
                stage.simulator.world(|world| world.remove_queue(*id));
            }
        }
        Woe::Spent => {
            while let Ok(permit) = stage.budget.permit(Purpose::OnDemand).await {
                drop(permit);
            }
        }
    }
    let mut seen = 0;
    for _ in 0..3600 {
        sleep(SECOND).await;
        if let Woe::Sometimes(of, mishap) = &woe {
            seen += stage.sent().len();
            if seen >= *of {
                seen = 0;
                stage.simulator.mishap(1, None, mishap.clone());
            }
        }
        for place in stage.places().step_by(7) {
            stage.assert_coherent(place);
        }
    }
    stage.simulator.clear_mishaps();
    sleep(10 * MINUTE).await;
    logged.lines()
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_lasts_for_an_hour_is_a_handful_of_lines() {
    for woe in [
        Woe::Always(Mishap::InvalidToken),
        Woe::Always(Mishap::Forbidden),
        Woe::Always(Mishap::NotFound),
        Woe::Always(Mishap::WebPage(502)),
        Woe::Always(Mishap::Throttled(Some(SECOND))),
        Woe::Always(Mishap::Throttled(None)),
        Woe::Always(Mishap::Hang),
        Woe::Always(Mishap::WrongShape),
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
        Woe::Sometimes(2, Mishap::WebPage(503)),
        Woe::Sometimes(10, Mishap::WebPage(503)),
        Woe::Sometimes(20, Mishap::InvalidToken),
        Woe::Sometimes(20, Mishap::Throttled(Some(SECOND))),
        Woe::Sometimes(5, Mishap::Forbidden),
        Woe::Sometimes(5, Mishap::BrokenJson),
    ] {
        let lines = lines_of_an_hour(woe.clone()).await;
        assert!(lines.len() <= HANDFUL, "{woe:?}: {lines:#?}");
    }
}

/// Seven 429s at a time when the own window is nearly empty: others spend. That is no queue's fault, and the hour is not spent.
#[tokio::test(start_paused = true)]
async fn others_who_spend_are_told_once_when_it_begins_and_once_when_it_ends() {
    let (logged, _guard) = listen();
    let stage = still(30, 40).start();
    sleep(5 * MINUTE).await;
    stage
        .simulator
        .mishap(7, None, Mishap::Throttled(Some(SECOND)));
    let mut is_told = false;
    // From the lowest share to the full one it takes two hours.
    for _ in 0..18 * 60 {
        sleep(10 * SECOND).await;
        for place in stage.places() {
            let reason = stage.decide(place).reason;
            assert_ne!(reason, Reason::BudgetSpent);
            is_told |= reason == Reason::Throttled;
        }
    }
    let lines = logged.lines();
    let count = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    let begun = count("others spend from this account, or requests_per_hour is too high");
    let ended = count("others no longer spend from this account");
    assert_eq!((begun, ended), (1, 1), "{lines:#?}");
    assert_eq!(count("this hour are spent"), 0, "{lines:#?}");
    assert!(lines.len() <= HANDFUL, "{lines:#?}");
    assert!(is_told, "{lines:#?}");
}
