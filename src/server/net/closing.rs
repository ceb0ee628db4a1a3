//! How connections hear that the server stops, at no cost to what they do until then.
//!
//! A token's lock is shared by all who wait for it; polled with every request, it would be what all threads meet at. So a connection
//! polls it once, to be woken, and after that looks at a flag.

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use tokio::task::coop::has_budget_remaining;
use tokio_util::sync::CancellationToken;

/// The wish that connections end.
#[derive(Debug, Default)]
pub struct Closing {
    /// Set before anybody is woken.
    begun: AtomicBool,
    pub told: CancellationToken,
}

impl Closing {
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.told.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}

/// A future that is ready seldom, and that somebody else can tell of: polled only when it is, or to be heard by another waker.
#[derive(Debug)]
pub struct Seldom<F> {
    future: F,
    waker: Option<Waker>,
}

impl<F: Future + Unpin> Seldom<F> {
    pub fn new(future: F) -> Self {
        Self {
            future,
            waker: None,
        }
    }

    /// The future, to look at.
    pub fn get(&self) -> &F {
        &self.future
    }

    /// The future, to change when it is ready: it is polled next time.
    pub fn change(&mut self) -> &mut F {
        self.waker = None;
        &mut self.future
    }

    /// `due`: it may be ready by now.
    pub fn poll(&mut self, cx: &mut Context<'_>, due: bool) -> Poll<F::Output> {
        let waker = self.waker.as_ref();
        if !due && waker.is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        // A task that has done enough for one turn is put off without being heard.
        let heard = has_budget_remaining();
        self.waker = heard.then(|| cx.waker().clone());
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
    async fn a_task_that_has_done_enough_for_one_turn_is_woken_all_the_same() {
        let timer = pin!(sleep(Duration::from_secs(1)));
        let mut timer = Seldom::new(timer);
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
        assert!(ended.is_ok(), "it slept on");
    }
}
