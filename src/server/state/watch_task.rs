//! The task that notices changed decisions, for all streams.
//!
//! It checks the queues whenever the board has changed, or when time alone may have changed a decision. A burst of changes, such as a sweep that
//! renews every queue, takes one pass. Of thousands of queues few change within a pass, so it decides only about those that may have changed.

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
    let mut found = Vec::new();
    let looking = async {
        loop {
            // Before the pass, so that the next one sees changes during it.
            changes.mark_unchanged();
            let due = Instant::now() + pass(&app, &mut found);
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

/// What a pass found of a queue without held seats that matter: the state that its decision is based on, and until when it lasts, as boot time.
#[derive(Clone, Copy)]
struct Found {
    version: u64,
    until: Duration,
}

/// Checks all queues and logs changed decisions. Returns the time until the next pass, if nothing changes before.
pub fn look(app: &App) -> Duration {
    pass(app, &mut Vec::new())
}

/// Checks the queues that may have changed since the last pass, which `found` this.
fn pass(app: &App, found: &mut Vec<Option<Found>>) -> Duration {
    found.resize(app.queues().len(), None);
    let mut next = app.limits.watch.look;
    let mut log = app.watch.log();
    let before = log.newest();
    // Under the lock, so that of two passes the later one is logged last.
    let now = app.clock.now();
    for (queue, found) in app.queues().iter().zip(found) {
        // Before the state and the decision, so that a change after it is noticed by the next pass.
        let (version, has_holds) = (queue.version.number(), queue.holds.matter());
        let is_same = |known: &Found| version == known.version && now.boot < known.until;
        if let Some(known) = found.filter(is_same)
            && !has_holds
        {
            next = next.min(known.until - now.boot);
            continue;
        }
        let state = app.state(queue);
        let decision = app.decide(queue, &state, &queue.rules.policy);
        let ends = [
            time_left(&decision, now),
            queue.holds.next_end(now),
            decision.turns.map(|turns| turns.shortest_since(now)),
        ];
        let ends = ends.into_iter().flatten();
        let lasts = ends.fold(app.limits.watch.look, Duration::min);
        next = next.min(lasts);
        let has_holds = has_holds || queue.holds.matter();
        *found = (!has_holds).then(|| Found {
            version,
            until: now.boot.saturating_add(lasts),
        });
        log.note(
            &queue.key,
            &queue.rules.policy,
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
