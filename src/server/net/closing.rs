//! Tells connections that the server is stopping, at no cost to requests before that.
//!
//! All waiters of a cancellation token share its lock, and all threads would contend for it if each request polled it. So a connection polls the
//! token once, to be woken, and then only reads a flag.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use tokio::task::coop::has_budget_remaining;
use tokio_util::sync::CancellationToken;

/// Whether connections should end.
#[derive(Debug, Default)]
pub struct Closing {
    /// Set before connections are woken.
    begun: AtomicBool,
    /// Wakes each connection once.
    pub begin_token: CancellationToken,
}

impl Closing {
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.begin_token.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}

/// Polls a future only if it may be ready or the waker has changed. For futures that are rarely ready, where the caller can tell cheaply.
#[derive(Debug)]
pub struct RarelyPolled<F> {
    future: F,
    waker: Option<Waker>,
}

impl<F: Future + Unpin> RarelyPolled<F> {
    pub fn new(future: F) -> Self {
        Self {
            future,
            waker: None,
        }
    }

    /// Returns the future for reading.
    pub fn get(&self) -> &F {
        &self.future
    }

    /// Returns the future for changing. It is polled next time.
    pub fn change(&mut self) -> &mut F {
        self.waker = None;
        &mut self.future
    }

    /// Polls the future if it may be ready (`due`).
    pub fn poll(&mut self, cx: &mut Context<'_>, due: bool) -> Poll<F::Output> {
        let waker = self.waker.as_ref();
        if !due && waker.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        // tokio defers a task without budget, and its waker is not kept.
        let is_kept = has_budget_remaining();
        self.waker = is_kept.then(|| cx.waker().clone());
        Pin::new(&mut self.future).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, time::Duration};

    use tokio::{
        task::coop::consume_budget,
        time::{sleep, timeout},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_its_budget_is_still_woken() {
        let timer = pin!(sleep(Duration::from_secs(1)));
        let mut timer = RarelyPolled::new(timer);
        let mut tired = true;
        let woken = poll_fn(|cx| {
            while std::mem::take(&mut tired) {
                let _ = pin!(consume_budget()).poll(cx);
                tired = has_budget_remaining();
            }
            let due = timer.get().is_elapsed();
            timer.poll(cx, due)
        });
        let ended = timeout(Duration::from_secs(2), woken).await;
        assert!(ended.is_ok(), "the task was not woken");
    }
}
