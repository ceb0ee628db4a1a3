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
    budget::{Admitted, Budget, Purpose, Witness},
    calltools::{Client, Reply, Transport},
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
