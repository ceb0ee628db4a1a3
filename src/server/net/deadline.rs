//! Deadlines that blame no client for a pause of ours.
//!
//! A process that was stopped (SIGSTOP, a machine that slept) finds all its deadlines passed when it goes on, and what clients sent meanwhile
//! not yet read. So a deadline that has passed is looked at twice: between the two, what has come is read. The time by which
//! we are late is given back.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, error::Elapsed, timeout, timeout_at};

/// Long enough to read what has come, short enough to matter to nobody.
const LOOK: Duration = Duration::from_millis(100);

/// How long to go on past a deadline that we noticed so late, of something that may take `limit`.
pub fn last_look(late: Duration, limit: Duration) -> Duration {
    LOOK + late.min(limit)
}

/// Does some work that waits for a client.
///
/// # Errors
/// The client took longer than `limit`.
pub async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let (mut work, until) = (pin!(work), Instant::now() + limit);
    if let Ok(done) = timeout_at(until, work.as_mut()).await {
        return Ok(done);
    }
    timeout(last_look(until.elapsed(), limit), work).await
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::oneshot,
        time::{advance, sleep},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn what_came_during_a_pause_is_read() {
        let (send, receive) = oneshot::channel();
        let work = tokio::spawn(within(LIMIT, receive));
        tokio::task::yield_now().await;
        advance(Duration::from_secs(600)).await;
        // The work hears of the time first.
        tokio::task::yield_now().await;
        send.send(()).expect("somebody waits");
        assert_eq!(work.await.expect("no panic"), Ok(Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_late_without_a_pause_is_cut_soon() {
        let begun = Instant::now();
        assert!(within(LIMIT, sleep(LIMIT + 2 * LOOK)).await.is_err());
        let took = begun.elapsed();
        assert!(took < LIMIT + 2 * LOOK, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn even_after_a_pause_nobody_is_waited_for_without_end() {
        let work = tokio::spawn(within(LIMIT, std::future::pending::<()>()));
        tokio::task::yield_now().await;
        advance(Duration::from_secs(600)).await;
        let resumed = Instant::now();
        assert!(work.await.expect("no panic").is_err());
        assert!(resumed.elapsed() < LIMIT + 2 * LOOK);
    }
}
