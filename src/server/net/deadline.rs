//! Deadlines that allow for a pause of our process.
//!
//! After a pause (SIGSTOP, a suspended machine) all deadlines have passed, and what clients sent in the meantime is still unread. So a passed
//! deadline is extended once, by the length of the pause and a moment for reading waiting bytes.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, error::Elapsed, timeout, timeout_at};

/// Long enough to read waiting bytes, and too short to matter.
const LOOK: Duration = Duration::from_millis(100);

/// How long to extend a deadline that was noticed `late`, for something that may take `limit`.
pub fn last_look(late: Duration, limit: Duration) -> Duration {
    LOOK + late.min(limit)
}

/// Runs work that waits for a client.
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
    async fn data_that_arrived_during_a_pause_is_read() {
        let (send, receive) = oneshot::channel();
        let work = tokio::spawn(within(LIMIT, receive));
        tokio::task::yield_now().await;
        advance(Duration::from_secs(600)).await;
        // Let the work notice the time first.
        tokio::task::yield_now().await;
        send.send(()).expect("the work waits");
        assert_eq!(work.await.expect("no panic"), Ok(Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_pause_a_late_client_is_cut_soon() {
        let begun = Instant::now();
        assert!(within(LIMIT, sleep(LIMIT + 2 * LOOK)).await.is_err());
        let elapsed = begun.elapsed();
        assert!(elapsed < LIMIT + 2 * LOOK, "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_the_wait_ends_too() {
        let work = tokio::spawn(within(LIMIT, std::future::pending::<()>()));
        tokio::task::yield_now().await;
        advance(Duration::from_secs(600)).await;
        let resumed = Instant::now();
        assert!(work.await.expect("no panic").is_err());
        assert!(resumed.elapsed() < LIMIT + 2 * LOOK);
    }
}
