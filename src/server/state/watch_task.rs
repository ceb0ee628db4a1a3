//! The task that notices changed decisions, for all streams.
//!
//! It checks all queues whenever the board has changed, or when time alone may have changed a decision. A burst of changes, such as a sweep that
//! renews every queue, takes one pass.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{app::App, decision_log::LastDecision};
use crate::{clock::Moment, decision::Decision};

/// Logs every change of a decision until the process stops. `newest` returns the app of the newest config.
pub async fn watch_decisions(newest: impl Fn() -> Arc<App>, stop: CancellationToken) {
    loop {
        let app = newest();
        // A stopped app has no successor.
        if stop.is_cancelled() || app.stopping.is_cancelled() {
            return;
        }
        watch_until_retired(app, &stop).await;
    }
}

async fn watch_until_retired(app: Arc<App>, stop: &CancellationToken) {
    let mut changes = app.board.changes();
    let looking = async {
        loop {
            // Before the pass, so that the next one sees changes during it.
            changes.mark_unchanged();
            let due = Instant::now() + look(&app);
            tokio::time::sleep(app.limits.watch.rest).await;
            // The app holds the board, so its changes do not end.
            let _ = tokio::time::timeout_at(due, changes.changed()).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = app.retired.cancelled() => {}
        () = looking => {}
    }
}

/// Checks all queues and logs changed decisions. Returns the time until the next pass, if nothing changes before.
pub fn look(app: &App) -> Duration {
    let mut next = app.limits.watch.look;
    let mut log = app.watch.log();
    let before = log.newest();
    // Under the lock, so that of two passes the later one is logged last.
    let now = app.clock.now();
    for queue in app.queues() {
        let state = app.state(queue);
        let decision = app.decide(queue, &state, &queue.policy);
        let ends = [
            time_left(&decision, now),
            queue.holds.next_end(now),
            decision.turns.map(|turns| turns.shortest_since(now)),
        ];
        next = ends.into_iter().flatten().fold(next, Duration::min);
        log.note(
            &queue.key,
            &queue.policy,
            LastDecision { state, decision },
            now,
        );
    }
    let has_grown = log.newest() > before;
    drop(log);
    if has_grown {
        app.watch.notify();
    }
    next
}

/// Returns how long a decision stays valid without new data; `None` if time does not change it.
fn time_left(decision: &Decision, now: Moment) -> Option<Duration> {
    let until = decision.usable_until().filter(|_| decision.is_fresh)?;
    // It is still valid at that very moment.
    Some(until.shortest_since(now) + Duration::from_millis(1))
}
