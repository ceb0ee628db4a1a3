//! The account's hourly allowance, and the only door to the wire: a request is sent with a [`Permit`] or not at all.
//!
//! The promise: no 3600 s ever contain more than `requests_per_hour` requests. It holds across restarts, crashes, clock steps and suspend,
//! and through any disk failure while the process runs. The exception is a lost ledger: if the file is damaged or missing at a start, one hour
//! can hold up to twice as many.
//!
//! CallTools throttles with a sliding log, so we keep one too. A request counts before it is sent, and leaves the window 3600 s after its
//! *answer* came: CallTools counts from the arrival, which lies between the two.
//!
//! Memory decides, and the disk remembers:
//!
//! - [`window`]: one sliding hour, pure;
//! - [`book`]: all hours in memory, with their [owners](owner) and the budget's own clock; it decides;
//! - [`ledger`]: the file that keeps them for the next process;
//! - [`pace`]: spreads polling evenly;
//! - [`throttle`]: slows down after a 429;
//! - [`witness`]: in a cluster, tells the other nodes of each request before it is sent.

mod book;
mod cap;
mod ledger;
mod limits;
mod member;
mod owner;
mod pace;
mod permit;
mod silence;
#[cfg(test)]
mod tests;
mod throttle;
mod window;
mod witness;

use std::{fmt, num::NonZeroU32, sync::Arc, time::Duration};

pub use ledger::{Holder, Ledger, LedgerError};
pub use owner::{BudgetOwner, SharedBudget, origin};
pub use permit::{Admission, Permit};
pub use throttle::MAX_SILENCE;
pub use window::Mark;
pub use witness::{Admitted, Mirrored, Witness};

use serde::{Deserialize, Serialize};

use self::{
    book::Book,
    member::Member,
    owner::OwnerId,
    pace::Pace,
    window::{Allowance, HOUR, Time},
};
use crate::{
    clock::{Clock, Moment},
    model::fault::next_one,
};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Polling that does not wait for the pace: a first poll after a start, a further page of a list, a poll for a request that waits. It is spent
    /// from polling's part of the budget. After a lost ledger it is paced too.
    Unpaced,
    /// Background polling: up to `requests_per_hour` − `reserve`, at the pace.
    Poll,
    /// A person or a program requested it: up to `requests_per_hour`.
    OnDemand,
}

impl Purpose {
    /// Returns whether it is spent from polling's part.
    fn is_polling(self) -> bool {
        self != Purpose::OnDemand
    }
}

/// Why no permit is available now. Nodes of a cluster tell it each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is too early for the next poll.
    Pace,
    /// The window is full.
    Spent,
    /// Others spend from the account: CallTools asked for a pause with a 429, or leaves little for us.
    Throttled,
    /// CallTools has a problem of its own, and asked for a pause with a 5xx and Retry-After.
    Paused,
    /// Another node of the cluster sends the account's requests, or the cluster could not be told of this one.
    NotLeading,
}

/// No permit is available now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// The earliest time at which one may be available.
    pub until: Moment,
    /// Why.
    pub cause: Cause,
}

impl Refusal {
    /// Returns the time from now until then.
    pub fn wait(&self, now: Moment) -> Duration {
        self.until.boot.saturating_sub(now.boot)
    }

    /// Returns the message for people, with the remaining time.
    pub fn message(&self, now: Moment) -> String {
        format!("{self}{}", next_one(self.until, now))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cause {
            Cause::Pace => "it is not yet time for the next request",
            Cause::Spent => "the account's requests for this hour are spent",
            Cause::Throttled => {
                "others spend from this account, so CallTools asked for a pause (429)"
            }
            Cause::Paused => "CallTools has a problem of its own and asked for a pause",
            Cause::NotLeading => {
                "this node of the cluster may not send requests for the account now"
            }
        })
    }
}

/// The part of an hour's polling that the bucket can save up. 4 % was best in simulations of callers who wait.
const BUCKET: f64 = 0.04;

/// Even the smallest account may poll this many queues at once, up to half of its hour.
const FEW: u32 = 8;

/// The part of the even pace at which polling runs for an hour after a loss. Lost requests count as evenly spread, and may not have been.
const CAUTION: f64 = 0.75;

/// The state of an account's window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// `requests_per_hour`.
    pub limit: u32,
    /// Kept back from polling.
    pub reserve: u32,
    /// Requests in the last 3600 s, including those under way.
    pub used: u32,
    /// The part of the rate that openseat uses: 1 unless others spend from the account too.
    pub share: f64,
    /// Until when CallTools asked for a pause.
    pub throttled_until: Option<Moment>,
    /// The time between two requests of background polling at the current rate.
    pub period: Duration,
}

/// One account's budget, shared by everything that may send a request.
#[derive(Debug)]
pub struct Budget {
    account: String,
    member: Arc<Member>,
    /// Of this node's config. The hour may have a smaller one.
    allowance: Allowance,
    pace: Arc<Pace>,
    /// How many accounts spend from the hour. Each polls at its part of the pace.
    accounts: u32,
    /// Keeps the account tied to those that it shares its budget with.
    _tie: Option<Arc<Member>>,
    /// Tells the other nodes of a cluster; `None` without one.
    witness: Option<Arc<dyn Witness>>,
}

impl Budget {
    /// Creates an account's budget in a ledger that other accounts share. Accounts whose [owners](BudgetOwner) share an hour spend from one window.
    ///
    /// # Panics
    /// If `reserve` is not less than `limit`. The config makes sure that it is.
    pub fn new(
        ledger: Arc<Ledger>,
        owner: BudgetOwner,
        limit: NonZeroU32,
        reserve: u32,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::shared(ledger, owner, limit, reserve, None, clock)
    }

    /// Creates the budget of an account that may share it with others.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn shared(
        ledger: Arc<Ledger>,
        owner: BudgetOwner,
        limit: NonZeroU32,
        reserve: u32,
        shared: Option<&SharedBudget>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let limit = limit.get();
        assert!(reserve < limit, "the config makes sure of it");
        let allowance = Allowance { limit, reserve };
        let accounts = shared.map_or(1, |shared| shared.accounts.get());
        let member = |owner| Member::new(owner, Arc::clone(&ledger), Arc::clone(&clock));
        let (id, tie, rate) = ledger.with(clock.as_ref(), |book| {
            // The tie first: from its first moment, the owner is in the hour of all that share the budget.
            let tie = shared.map(|shared| book.enter(&shared.tie(&owner), allowance));
            let id = book.enter(&owner, allowance);
            let allowed = book.hour(id).cap.applied_to(allowance);
            let rate = even_rate(book, id, allowed, 0) / f64::from(accounts);
            (id, tie, rate)
        });
        let capacity = bucket_capacity(allowance.for_polling() / accounts);
        Self {
            account: owner.account,
            pace: Arc::new(Pace::new(Arc::clone(&clock), capacity, rate)),
            member: Arc::new(member(id)),
            allowance,
            accounts,
            _tie: tie.map(member).map(Arc::new),
            witness: None,
        }
    }

    /// Creates a budget that forgets at exit: for a daemon without a state folder, and for tests.
    pub fn in_memory(limit: NonZeroU32, reserve: u32, clock: Arc<dyn Clock>) -> Self {
        let ledger = Arc::new(Ledger::in_memory(clock.as_ref()));
        let owner = BudgetOwner {
            account: "main".to_owned(),
            identity: String::new(),
        };
        Self::new(ledger, owner, limit, reserve, clock)
    }

    /// Returns a permit now, or the time at which one may be available. The request is stored as spent before this returns, unless the disk fails.
    ///
    /// # Errors
    /// [`Refusal`] if it is too early, the window is full or CallTools asked for a pause.
    pub async fn permit(&self, purpose: Purpose) -> Result<Permit, Refusal> {
        self.admit(purpose)?.stored().await
    }

    /// Spends a request now. It may be sent once it is [stored](Admission::stored), which takes as long as the disk, and the other nodes of a cluster, take.
    ///
    /// # Errors
    /// As [`permit`](Self::permit).
    pub fn admit(&self, purpose: Purpose) -> Result<Admission, Refusal> {
        // Read first: a window that becomes complete later did not decide.
        let decided = self
            .witness
            .as_ref()
            .is_some_and(|witness| witness.decides());
        let mut permit = self.spend(purpose)?;
        if let Some(witness) = &self.witness {
            let admitted = Admitted {
                number: permit.number,
                polling: permit.polling,
                at: self.member.clock.now(),
                decided,
            };
            permit.witness = Some((Arc::clone(witness), admitted));
        }
        Ok(Admission::new(permit))
    }

    /// Returns a permit that is not stored yet, and of which no other node knows.
    fn spend(&self, purpose: Purpose) -> Result<Permit, Refusal> {
        let owner = self.member.owner();
        let witness = self.witness.as_deref();
        if witness.is_some_and(|witness| !witness.leads()) {
            return Err(self.member.not_leading());
        }
        let process = witness.map(Witness::process);
        let (number, others_stopped) = self.member.with(|book| {
            self.member.refuse_in_silence(book)?;
            let paced =
                purpose == Purpose::Poll || purpose == Purpose::Unpaced && book.is_cautious();
            if paced && let Err(wait) = self.pace.take() {
                return Err(Refusal {
                    until: self.member.clock.now().later(wait),
                    cause: Cause::Pace,
                });
            }
            let allowance = self.allowance_in(book);
            let number = book
                .admit(owner, allowance, purpose, process)
                .map_err(|room_at| Refusal {
                    until: book.moment(room_at),
                    cause: Cause::Spent,
                })?;
            self.fit_pace(book);
            Ok((number, have_others_stopped(book, owner)))
        })?;
        if others_stopped {
            tracing::info!(
                account = self.account,
                "other software no longer seems to spend from this account; polling is back at its full pace"
            );
        }
        Ok(Permit {
            member: Arc::clone(&self.member),
            number,
            polling: purpose.is_polling(),
            witness: None,
        })
    }

    fn fit_pace(&self, book: &mut Book) {
        let (now, owner) = (book.now(), self.member.owner());
        let used = book.hour(owner).window.used();
        let accounts = f64::from(self.accounts);
        if self.pace.should_fit(now, used) {
            let allowance = self.allowance_in(book);
            self.pace
                .fit(|in_hand| even_rate(book, owner, allowance, in_hand) / accounts);
        }
    }

    /// Returns how many requests a start may send at once.
    pub fn burst(&self) -> u32 {
        burst(self.allowance().for_polling() / self.accounts)
    }

    /// Returns how full the bucket of saved permits is, 0 to 1.
    #[cfg(test)]
    pub fn fill(&self) -> f64 {
        self.pace.fill()
    }

    /// Returns the time between two requests of background polling without 429s, bursts and requests on demand.
    pub fn usual_period(&self) -> Duration {
        HOUR * self.accounts / self.allowance().for_polling()
    }

    /// Returns the time between two requests of background polling at the current rate.
    pub fn period(&self) -> Duration {
        self.pace.period()
    }

    /// Returns why polling is slow: others spend from the account, or the hour is nearly spent.
    pub fn slowed_by(&self) -> Cause {
        let owner = self.member.owner();
        self.member.with(|book| {
            let (now, cautious) = (book.now(), book.is_cautious());
            let allowance = self.allowance_in(book);
            let hour = book.hour(owner);
            let by_window = hour.window.even_rate(now, allowance, 0);
            match !cautious && our_rate(allowance, hour.throttle.factor(now)) < by_window {
                true => Cause::Throttled,
                false => Cause::Spent,
            }
        })
    }

    /// Returns the current state of the window.
    pub fn usage(&self) -> Usage {
        let (used, share, throttled_until) = self.member.with(|book| {
            let now = book.now();
            let hour = book.hour(self.member.owner());
            let (used, throttle) = (hour.window.used(), hour.throttle);
            let until = throttle.silence(now).map(|until| book.moment(until));
            (used, throttle.factor(now), until)
        });
        let Allowance { limit, reserve } = self.allowance();
        Usage {
            limit,
            reserve,
            used: used as u32,
            share,
            throttled_until,
            period: self.period(),
        }
    }
}

/// Returns the rate that both the window and our share of the account allow; lower after a loss.
fn even_rate(book: &mut Book, owner: OwnerId, allowance: Allowance, in_hand: u32) -> f64 {
    let (now, cautious) = (book.now(), book.is_cautious());
    let hour = book.hour(owner);
    let ours = our_rate(allowance, hour.throttle.factor(now));
    let rate = hour.window.even_rate(now, allowance, in_hand).min(ours);
    if cautious { rate * CAUTION } else { rate }
}

fn our_rate(allowance: Allowance, share: f64) -> f64 {
    share * f64::from(allowance.for_polling()) / HOUR.as_secs_f64()
}

/// Returns whether the share is full again and this was not logged yet.
fn have_others_stopped(book: &mut Book, owner: OwnerId) -> bool {
    let now: Time = book.now();
    let hour = book.hour(owner);
    let have_stopped = hour.logged_others && hour.throttle.factor(now) >= 1.0;
    hour.logged_others &= !have_stopped;
    have_stopped
}

/// Returns how many requests an account may send at once if polling has `for_polling` an hour: only a part, so that a start never spends the
/// whole hour. Small budgets may send a little more; polling one queue at a time would leave the second unknown for minutes.
pub fn burst(for_polling: u32) -> u32 {
    let part = (f64::from(for_polling) * BUCKET) as u32;
    part.max(FEW.min(for_polling / 2)).max(1)
}

fn bucket_capacity(for_polling: u32) -> NonZeroU32 {
    let capacity = (f64::from(for_polling) * BUCKET) as u32;
    NonZeroU32::new(capacity).unwrap_or(NonZeroU32::MIN)
}
