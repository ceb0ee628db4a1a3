//! The account's hourly allowance, and the only door to the wire: a request is sent with a [`Permit`] or not at all.
//!
//! The promise: at no moment do more than `requests_per_hour` requests lie in the 3600 s before it, over restarts, crashes, other
//! processes with the same state folder, clock steps and sleep. CallTools' throttle is a sliding log, so ours is one too. An
//! entry is written before its request is sent, and leaves the window 3600 s after its *answer* came: the far side counts
//! from the arrival, which lies somewhere between the two.
//!
//! - [`window`]: the arithmetic of the sliding hour, pure;
//! - [`ledger`]: the log on the disk, shared by processes;
//! - [`pace`]: how polling is spread evenly;
//! - [`share`]: what a 429 teaches.

mod ledger;
#[cfg(test)]
mod model;
mod pace;
mod share;
mod window;

use std::{
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use ledger::{Ledger, LedgerError, Payer};

use self::{ledger::Admission, pace::Pace, share::Share, window::Allowance, window::Window};
use crate::clock::{Clock, Moment};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first reading of a queue or of names after a start: from polling's part, but at once instead of at the pace.
    ColdStart,
    /// Background polling: up to `requests_per_hour` − `reserve`, at the pace.
    Poll,
    /// A person or a program asked for it: up to `requests_per_hour`.
    OnDemand,
}

impl Purpose {
    /// Whether polling's part pays.
    fn is_polling(self) -> bool {
        self != Purpose::OnDemand
    }
}

/// Why there is no permit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is not yet time for the next poll.
    Pace,
    /// The window is full.
    Spent,
    /// CallTools asked for silence with a 429.
    Throttled,
    /// The ledger could not be written, and what is not written down is not sent.
    Ledger,
}

/// There is no permit now, and how long until there may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The earliest time at which asking again makes sense.
    pub wait: Duration,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.cause {
            Cause::Pace => "it is not yet time for the next request",
            Cause::Spent => "the account's requests for this hour are spent",
            Cause::Throttled => "CallTools asked for a pause (429)",
            Cause::Ledger => {
                "the budget ledger cannot be written, and what is not written down is not sent"
            }
        };
        let next = match self.cause {
            Cause::Ledger => "it is tried again",
            _ => "the next one may be sent",
        };
        // Rounded up: "in 0 s" helps nobody.
        write!(f, "{why}; {next} in {} s", self.wait.as_secs_f64().ceil())
    }
}

/// How long to wait before a ledger that failed is tried again: long enough not to fill a log, short against `max_age`.
const LEDGER_RETRY: Duration = Duration::from_secs(5);

/// The part of an hour's polling that may be saved up in the bucket. Simulations of waiting questions were best with 4 %.
const BUCKET: f64 = 0.04;

/// So many queues may be polled at once by an account of any size, for half of its hour at most.
const FEW: u32 = 8;

/// The right to send one request. It is written down as spent already; dropping it unused gives nothing back.
#[derive(Debug)]
#[must_use = "a permit is a spent request"]
pub struct Permit {
    /// `None` for one that could not be written down.
    id: Option<i64>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
}

impl Permit {
    /// The answer has come, or never will: from now the request takes an hour to leave the window.
    pub async fn answered(self) {
        let Some(id) = self.id else { return };
        let outcome = blocking(move || self.ledger.answered(id, self.clock.as_ref())).await;
        if let Err(error) = outcome {
            // The entry stays as it was written before sending, and then leaves later than it must.
            tracing::warn!(%error, "an answer could not be written to the budget ledger");
        }
    }
}

/// The state of an account's window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// `requests_per_hour`.
    pub limit: u32,
    /// Kept back from polling.
    pub reserve: u32,
    /// Requests in the last 3600 s, those under way included.
    pub used: u32,
    /// The part of the rate that we allow ourselves: 1 unless others spend from the account too.
    pub share: f64,
    /// CallTools wants to hear nothing until then.
    pub throttled_until: Option<Moment>,
    /// The time between two requests of background polling at the present rate.
    pub period: Duration,
}

/// One account's budget. Shared by everything that may send a request.
#[derive(Debug)]
pub struct Budget {
    payer: Payer,
    allowance: Allowance,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    pace: Pace,
    share: Mutex<Share>,
}

impl Budget {
    /// An account's budget in a ledger that other accounts and processes may share.
    ///
    /// `reserve` must be less than `limit`, as the config makes sure.
    ///
    /// # Errors
    /// [`LedgerError`], where the ledger cannot be read.
    pub fn new(
        ledger: Arc<Ledger>,
        payer: Payer,
        limit: NonZeroU32,
        reserve: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LedgerError> {
        let allowance = Allowance {
            limit: limit.get(),
            reserve,
        };
        assert!(reserve < limit.get(), "the config makes sure of it");
        let now = clock.now();
        let throttle = ledger.unless_degraded(ledger.throttle(&payer, clock.as_ref()))?;
        let share = match throttle.flatten() {
            None => Share::full(now),
            Some(last) => Share::restored(last.share, now.earlier(last.age), last.wait),
        };
        let window = ledger.unless_degraded(ledger.window(&payer, clock.as_ref()))?;
        let window = window.unwrap_or_default();
        let rate = even_rate(&window, allowance, share.level(now), 0);
        Ok(Self {
            pace: Pace::new(Arc::clone(&clock), bucket_capacity(allowance), rate),
            payer,
            allowance,
            ledger,
            clock,
            share: Mutex::new(share),
        })
    }

    /// A budget that forgets at exit: where no state folder is configured, and for tests.
    pub fn in_memory(limit: NonZeroU32, reserve: u32, clock: Arc<dyn Clock>) -> Self {
        let ledger = Arc::new(Ledger::in_memory(clock.as_ref()));
        let payer = Payer {
            account: "main".to_owned(),
            identity: String::new(),
        };
        Self::new(ledger, payer, limit, reserve, clock).expect("a ledger in memory can be read")
    }

    /// A permit now, or the time to wait for one. The request is written down as spent before this returns.
    ///
    /// # Errors
    /// [`Refusal`], where it is not yet time, the window is full or CallTools asked for silence.
    pub async fn permit(&self, purpose: Purpose) -> Result<Permit, Refusal> {
        let silence = self.share().silence(self.clock.now());
        if !silence.is_zero() {
            return Err(Refusal {
                wait: silence,
                cause: Cause::Throttled,
            });
        }
        if purpose == Purpose::Poll {
            let paced = |wait| Refusal {
                wait,
                cause: Cause::Pace,
            };
            self.pace.take().map_err(paced)?;
        }
        let written = self.admit(purpose).await?;
        if let Some((_, window)) = &written {
            let level = self.share().level(self.clock.now());
            self.pace
                .fit(|in_hand| even_rate(window, self.allowance, level, in_hand));
        }
        Ok(Permit {
            id: written.map(|(id, _)| id),
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock),
        })
    }

    /// The request's number in the ledger, and the window with it; `None` for one that may be sent unwritten.
    async fn admit(&self, purpose: Purpose) -> Result<Option<(i64, Window)>, Refusal> {
        let (ledger, payer) = (Arc::clone(&self.ledger), self.payer.clone());
        let (allowance, clock) = (self.allowance, Arc::clone(&self.clock));
        match blocking(move || ledger.admit(&payer, allowance, purpose, clock.as_ref())).await {
            Ok(Admission::Granted { id, window }) => Ok(Some((id, window))),
            Ok(Admission::Unwritten) => Ok(None),
            Ok(Admission::Full { wait }) => Err(Refusal {
                wait,
                cause: Cause::Spent,
            }),
            Err(error) => {
                // The ledger has told of it, once.
                tracing::debug!(account = self.payer.account, %error, "no permit");
                Err(Refusal {
                    wait: LEDGER_RETRY,
                    cause: Cause::Ledger,
                })
            }
        }
    }

    /// CallTools answered 429: silence for as long as it asks, and a smaller share afterwards.
    pub async fn throttled(&self, wait: Option<Duration>) {
        let now = self.clock.now();
        let share = {
            let mut share = self.share();
            share.refused(wait, now, fastrand::f64());
            *share
        };
        let (ledger, payer, clock) = (
            Arc::clone(&self.ledger),
            self.payer.clone(),
            Arc::clone(&self.clock),
        );
        let level = share.level(now);
        let kept = blocking(move || {
            ledger.set_throttle(&payer, share.whole_silence(), level, clock.as_ref())
        })
        .await;
        if let Err(error) = kept {
            tracing::warn!(%error, "a restart would forget that CallTools asked for a pause");
        }
    }

    /// Requests that may be saved up, and that a start may send at once.
    pub fn burst(&self) -> u32 {
        burst(self.allowance.for_polling())
    }

    /// How full the bucket of permits that polling has saved up is, 0 to 1.
    pub fn fill(&self) -> f64 {
        self.pace.fill()
    }

    /// The time between two requests of background polling on a day without 429s, bursts and people who ask.
    pub fn usual_period(&self) -> Duration {
        window::HOUR / self.allowance.for_polling()
    }

    /// The time between two requests of background polling at the present rate.
    pub fn period(&self) -> Duration {
        self.pace.period()
    }

    /// The state of the window now.
    ///
    /// # Errors
    /// [`LedgerError`], where the ledger cannot be read.
    pub async fn usage(&self) -> Result<Usage, LedgerError> {
        let (ledger, payer, clock) = (
            Arc::clone(&self.ledger),
            self.payer.clone(),
            Arc::clone(&self.clock),
        );
        let window = blocking(move || ledger.window(&payer, clock.as_ref())).await?;
        let (share, now) = (*self.share(), self.clock.now());
        let silence = share.silence(now);
        Ok(Usage {
            limit: self.allowance.limit,
            reserve: self.allowance.reserve,
            used: window.used(self.allowance),
            share: share.level(now),
            throttled_until: (!silence.is_zero()).then(|| now.later(silence)),
            period: self.period(),
        })
    }

    fn share(&self) -> MutexGuard<'_, Share> {
        // Each change is one assignment.
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the window bears and what our share of the account allows, whichever is less.
fn even_rate(window: &Window, allowance: Allowance, share: f64, in_hand: u32) -> f64 {
    let ours = share * f64::from(allowance.for_polling()) / window::HOUR.as_secs_f64();
    window.even_rate(allowance, in_hand).min(ours)
}

/// Requests that an account may send at once, where polling has so many an hour: a part of them, so that no start spends the hour. Small budgets
/// may a little more, since one queue at once would leave the second unknown for minutes.
pub fn burst(for_polling: u32) -> u32 {
    let part = (f64::from(for_polling) * BUCKET) as u32;
    part.max(FEW.min(for_polling / 2)).max(1)
}

fn bucket_capacity(allowance: Allowance) -> NonZeroU32 {
    let capacity = (f64::from(allowance.for_polling()) * BUCKET) as u32;
    NonZeroU32::new(capacity).unwrap_or(NonZeroU32::MIN)
}

/// SQLite waits for the disk, so it runs where waiting harms nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and takes us with it.
            Err(_) => std::future::pending().await,
        },
    }
}
