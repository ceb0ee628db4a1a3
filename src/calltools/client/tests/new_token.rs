//! Tests a token that changes between the permit and the request.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;

use super::{Heard, page_of};
use crate::{
    budget::{Admitted, Budget, BudgetOwner, Cause, Ledger, Purpose, Witness},
    calltools::{Client, Reply, RequestError, Transport},
    clock::VirtualClock,
    model::{fault::Fault, names::Names},
};

/// A new token that comes while a request is created. It ends the permits that were given before.
#[derive(Debug, Default)]
struct NewToken {
    came: AtomicBool,
    sent: AtomicBool,
}

impl Transport for NewToken {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        self.came.store(true, Ordering::Relaxed);
        Box::pin(async {
            self.sent.store(true, Ordering::Relaxed);
            Ok(page_of(&[], 1, 0))
        })
    }
}

impl Witness for NewToken {
    fn leads(&self) -> bool {
        true
    }

    fn process(&self) -> u64 {
        1
    }

    fn admitted(&self, _: Admitted) -> BoxFuture<'_, bool> {
        Box::pin(async { true })
    }

    fn may_send(&self, _: &Admitted) -> bool {
        !self.came.load(Ordering::Relaxed)
    }

    fn answered(&self, _: &Admitted) {}

    fn goes_on_as(&self, _: &str) {}

    fn silenced(&self, _: bool, _: Option<Duration>) {}
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_token_that_came_after_its_permit_is_not_sent() {
    let clock = Arc::new(VirtualClock::default());
    let token = Arc::new(NewToken::default());
    let budget = Budget::in_memory(NonZeroU32::new(10).unwrap(), 0, clock.clone());
    let budget = Arc::new(budget.with_witness(token.clone()));
    let client = Client::new(token.clone(), budget, clock, Arc::new(Heard::default()));
    let names = Names::default();
    let list = client.agents(1, &names, Purpose::OnDemand, None).await;
    assert!(list.is_err());
    assert!(!token.sent.load(Ordering::Relaxed));
}

/// The token of another account, which comes while a request is created.
#[derive(Debug)]
struct AnotherToken {
    budget: Arc<Budget>,
    sent: AtomicBool,
}

impl Transport for AnotherToken {
    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        self.budget.goes_on_as("another".to_owned());
        Box::pin(async {
            self.sent.store(true, Ordering::Relaxed);
            Ok(page_of(&[], 1, 0))
        })
    }
}

/// Reads a list of two accounts with ten requests an hour, of which the other has spent some. Returns why it could not, and how many requests then count.
async fn read_beside(spent: u32) -> (Option<Cause>, u32) {
    let clock = Arc::new(VirtualClock::default());
    let ledger = Arc::new(Ledger::in_memory(&*clock));
    let limit = NonZeroU32::new(10).unwrap();
    let [budget, other] = ["main", "another"].map(|name| {
        let owner = BudgetOwner {
            account: name.to_owned(),
            identity: name.to_owned(),
        };
        Arc::new(Budget::new(ledger.clone(), owner, limit, 0, clock.clone()))
    });
    for _ in 0..spent {
        let permit = other.permit(Purpose::OnDemand).await.unwrap();
        permit.answered();
    }
    let transport = Arc::new(AnotherToken {
        budget: budget.clone(),
        sent: AtomicBool::default(),
    });
    let (wire, observer) = (transport.clone(), Arc::new(Heard::default()));
    let client = Client::new(wire, budget.clone(), clock, observer);
    let names = Names::default();
    let list = client.agents(1, &names, Purpose::OnDemand, None);
    let refused = match list.await {
        Err(RequestError::Refused(refusal)) => Some(refusal.cause),
        other => other.map(|_| None).unwrap(),
    };
    assert_eq!(transport.sent.load(Ordering::Relaxed), refused.is_none());
    (refused, budget.usage().used)
}

#[tokio::test(start_paused = true)]
async fn a_request_with_the_token_of_another_account_needs_room_in_its_hour() {
    assert_eq!(read_beside(9).await, (None, 10));
    assert_eq!(read_beside(10).await, (Some(Cause::Spent), 10));
}
