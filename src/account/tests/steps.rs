//! Tests the detailed log lines about an account's work, which are off by default.

use tracing::{Level, subscriber::DefaultGuard};

use super::*;
use crate::logged::{Logged, listen, listen_to};

/// Returns the lines that contain this text.
fn with<'l>(lines: &'l [String], text: &str) -> Vec<&'l String> {
    lines.iter().filter(|line| line.contains(text)).collect()
}

/// Returns the lines of some minutes in which some polls fail.
async fn lines_of_minutes(listen: impl FnOnce() -> (Logged, DefaultGuard)) -> Vec<String> {
    let (logged, _guard) = listen();
    let fixture = still(3, 6).start();
    sleep(2 * MINUTE).await;
    fixture
        .simulator
        .inject(2, None, InjectedFault::WebPage(502));
    sleep(2 * MINUTE).await;
    logged.lines()
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_poll_is_logged_in_detail_if_requested() {
    let lines = lines_of_minutes(|| listen_to(Level::TRACE)).await;
    let of_lists = with(&lines, "reading a list").into_iter();
    let (ended, begun): (Vec<_>, Vec<_>) =
        of_lists.partition(|line| line.contains("finished reading a list"));
    assert!(begun.len() > 10, "{lines:#?}");
    assert!(begun.len() - ended.len() <= 1, "{begun:#?} {ended:#?}");
    assert!(
        begun
            .iter()
            .chain(&ended)
            .all(|line| line.starts_with("DEBUG"))
    );
    for list in ["statuses", "agents of main/", "all agents, page 1"] {
        let of_list = format!("list=\"{list}");
        assert!(!with(&lines, &of_list).is_empty(), "{list}: {lines:#?}");
    }
    assert_eq!(with(&lines, "error=").len(), 2, "{ended:#?}");
    for step in ["the schedule's choice", "the board has changed"] {
        let logged = with(&lines, step);
        assert!(!logged.is_empty(), "{step}");
        assert!(
            logged.iter().all(|line| line.starts_with("TRACE")),
            "{step}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn steps_are_not_logged_by_default() {
    let lines = lines_of_minutes(listen).await;
    let detailed = lines
        .iter()
        .filter(|line| line.contains("TRACE") || line.contains("DEBUG"));
    assert_eq!(detailed.count(), 0, "{lines:#?}");
}
