//! The account's hourly allowance, and the only door to the wire: a request is sent with a [`Permit`] or not at all.

use std::{sync::Arc, time::Duration};

use crate::clock::{Clock, Moment};

/// What a request is for: polling stops short of the reserve, people and their refreshes may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Background polling: up to `requests_per_hour` − `reserve`.
    Poll,
    /// A person or a program asked for it: up to `requests_per_hour`.
    OnDemand,
}

/// Why there is no permit now, and how long until there may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account's requests are spent for the next {} s", .wait.as_secs().max(1))]
pub struct Refusal {
    /// The earliest time at which asking again makes sense.
    pub wait: Duration,
    /// CallTools said so (429), rather than our own ledger.
    pub throttled: bool,
}

/// The right to send one request. It is written down as spent already; dropping it unused gives nothing back.
#[derive(Debug)]
#[must_use = "a permit is a spent request"]
pub struct Permit {}

impl Permit {
    /// The answer has come, or never will: from now the request takes 3600 s to leave the window.
    pub async fn answered(self) {}
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
    /// The part of the limit that we allow ourselves: 1 unless others spend from the account too.
    pub share: f64,
    /// CallTools wants to hear nothing until then.
    pub throttled_until: Option<Moment>,
}

/// One account's budget. Shared by everything that may send a request.
#[derive(Debug)]
pub struct Budget {
    clock: Arc<dyn Clock>,
}

impl Budget {
    /// A budget that forgets at exit: for tests, and where no state folder is configured.
    pub fn in_memory(_limit: std::num::NonZeroU32, _reserve: u32, clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    /// A permit now, or the time to wait for one. Written down before this returns.
    ///
    /// # Errors
    /// [`Refusal`], where the window is full or CallTools asked for silence.
    pub async fn permit(&self, _purpose: Purpose) -> Result<Permit, Refusal> {
        let _ = self.clock.now();
        Ok(Permit {})
    }

    /// CallTools answered 429: silence for as long as it asks, and a smaller share afterwards.
    pub async fn throttled(&self, _wait: Option<Duration>) {}

    /// The state of the window now.
    pub async fn usage(&self) -> Usage {
        unimplemented!("comes next")
    }
}
