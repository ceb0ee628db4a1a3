//! The task that checks which queues the clients and recipients of the config name, once CallTools has said what its queues are called.
//!
//! The config alone cannot tell: a client may name a queue by the name or id that CallTools knows it by. A misspelt one would otherwise show only
//! when a router gets 403, or when a message is missing.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{app::App, named_queue::near};

/// The pause between two looks while names are missing. An operator reads the log later than that.
const PAUSE: Duration = Duration::from_secs(1);

/// Warns once for each config of what it names wrongly. `newest` returns the app of the newest config.
pub async fn check_spellings(newest: impl Fn() -> Arc<App>, stop: CancellationToken) {
    loop {
        let app = newest();
        // A stopped app has no successor.
        if stop.is_cancelled() || app.stopping.is_cancelled() {
            return;
        }
        let checking = async {
            check_when_known(&app).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.retired.cancelled() => {}
            () = checking => {}
        }
    }
}

async fn check_when_known(app: &App) {
    if app.named_queues.is_empty() {
        return;
    }
    let mut changes = app.board.changes();
    loop {
        changes.mark_unchanged();
        if is_known(app) {
            return check(app);
        }
        // The app holds the board, so its changes do not end.
        let _ = changes.changed().await;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether it is known what CallTools calls each queue of the config, or that it has no such queue.
fn is_known(app: &App) -> bool {
    let lists = app.accounts.iter().map(|account| account.names());
    let is_found =
        |state: &crate::decision::board::QueueState| state.id.is_some() || state.fault.is_some();
    lists.into_iter().all(|names| names.queues.is_some())
        && app.queues().iter().all(|queue| is_found(&app.state(queue)))
}

fn check(app: &App) {
    for named in &app.named_queues {
        let Err(error) = app.find_named(&named.queue) else {
            continue;
        };
        let near = near(app, &named.queue);
        tracing::warn!(
            place = named.place,
            queue = &*named.queue,
            %error,
            did_you_mean = near.first(),
            "the config names a queue that does not exist, or a name that several queues have, so this entry has no effect"
        );
    }
}
