//! Tests nodes whose orders never end.

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::*;
use crate::{
    budget::Witness as _,
    cluster::{
        command::{Command, Reply},
        engine::EngineError,
        message::{Answer, Said},
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// An engine that is far away.
#[derive(Debug)]
struct Far(Arc<Exchange>);

impl Engine for Far {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            sleep(Duration::from_millis(20)).await;
            self.0.run(account, command).await
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.0.keeps_what_it_confirms()
    }
}

/// Always has an order for a node. Each takes a round trip to the engine.
fn keep_busy(member: &Arc<Member>) {
    let member = Arc::clone(member);
    tokio::spawn(async move {
        loop {
            let answer = Answer {
                id: 0,
                said: Said::Done,
            };
            member.answer("nobody".to_owned(), answer).await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_orders_never_end_keeps_its_lease_or_reads_the_log() {
    // Timers fire at whole milliseconds. In between, even a new one that is overdue is not ready at once.
    tokio::time::advance(Duration::from_micros(300)).await;
    let exchange = Exchange::new();
    let far = || Arc::new(Far(Arc::clone(&exchange))) as Arc<dyn Engine>;
    let (_one, leader, _) = start_on(far(), "identity");
    sleep(LEASE * 3).await;
    let (_two, follower, _) = start_on(far(), "identity");
    sleep(LEASE).await;
    [&leader, &follower].into_iter().for_each(keep_busy);
    for second in 0..LEASE.as_secs() * 3 {
        sleep(SECOND).await;
        assert!(leader.leads(), "{second}");
        let read = follower.status().up_to_date.unwrap();
        let ago = follower.clock.now().boot_since(read);
        assert!(ago < SECOND * 2, "{second}: {ago:?}");
    }
}
