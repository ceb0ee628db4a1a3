//! A budget's place in the book, under the account's name and identity.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Budget, Cause, Refusal,
    book::Book,
    ledger::Ledger,
    owner::{BudgetOwner, OwnerId},
};
use crate::clock::Clock;

/// When a node that may not send asks again: a lease changes hands within seconds.
const LOOK_FOR_LEASE: Duration = Duration::from_secs(1);

/// An owner's entry in the book. Dropping it leaves the book.
#[derive(Debug)]
pub(super) struct Member {
    /// The number of its owner, which changes with the account's token.
    owner: AtomicU64,
    pub ledger: Arc<Ledger>,
    pub clock: Arc<dyn Clock>,
}

impl Member {
    /// Stands for an owner that has entered the book.
    pub fn new(owner: OwnerId, ledger: Arc<Ledger>, clock: Arc<dyn Clock>) -> Self {
        Self {
            owner: AtomicU64::new(owner.0),
            ledger,
            clock,
        }
    }

    /// Returns its owner. One that has just left is in the book for another hour, and its hour is the same.
    pub fn owner(&self) -> OwnerId {
        OwnerId(self.owner.load(Ordering::Relaxed))
    }

    pub fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        self.ledger.with(self.clock.as_ref(), work)
    }

    /// Refuses while CallTools asks for a pause.
    pub fn refuse_in_silence(&self, book: &mut Book) -> Result<(), Refusal> {
        let now = book.now();
        let throttle = book.hour(self.owner()).throttle;
        let throttled = throttle.silence(now).map(|until| (until, Cause::Throttled));
        let paused = throttle.pause_end(now).map(|until| (until, Cause::Paused));
        match throttled.or(paused) {
            None => Ok(()),
            Some((until, cause)) => Err(Refusal {
                until: book.moment(until),
                cause,
            }),
        }
    }

    /// Refuses because another node sends the account's requests.
    pub fn not_leading(&self) -> Refusal {
        Refusal {
            until: self.clock.now().later(LOOK_FOR_LEASE),
            cause: Cause::NotLeading,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.with(|book| book.leave(self.owner()));
    }
}

impl Budget {
    /// Returns the account's name, and the identity of its token.
    pub fn owner(&self) -> BudgetOwner {
        self.member
            .with(|book| book.name(self.member.owner()).clone())
    }

    /// Continues under another identity, because the account has another token. Its hour is the same, and so is that of other accounts that have this
    /// token: their requests count together from now on.
    pub fn goes_on_as(&self, identity: String) {
        if let Some(witness) = &self.witness {
            witness.goes_on_as(&identity);
        }
        let owner = BudgetOwner {
            account: self.account.clone(),
            identity,
        };
        self.member.with(|book| {
            let id = book.enter(&owner, self.allowance);
            // It enters before it leaves, so its name connects both.
            let was = self.member.owner.swap(id.0, Ordering::Relaxed);
            book.leave(OwnerId(was));
            self.fit_pace(book);
        });
    }
}
