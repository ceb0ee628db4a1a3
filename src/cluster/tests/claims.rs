//! Tests what a node claims for its account, and what a refusal means.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    budget::Witness as _,
    clock::VirtualClock,
    cluster::{
        member::claim_of,
        model::Exchange,
        node::{Node, Settings},
    },
};

const LEASE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_leader_claims_its_new_token_and_stops_if_another_account_has_it() {
    let exchange = Exchange::new();
    let settings = Settings {
        name: "one".to_owned(),
        lease: LEASE,
        alone: None,
    };
    let clock = Arc::new(VirtualClock::default());
    let node = Node::new(Arc::clone(&exchange) as Arc<_>, settings, clock);
    let (member, seat) = node.member(&"main".into(), "origin", "first");
    let mut membership = node.membership(seat.unwrap(), None);
    let task = membership.task.take().unwrap();
    let running = tokio::spawn(task.run(CancellationToken::new()));
    let claimed = |identity| {
        let accounts = &exchange.model.lock().unwrap().accounts;
        accounts.get(&claim_of(identity)).cloned()
    };
    sleep(LEASE * 3).await;
    assert!(member.leads());
    member.goes_on_as("second");
    sleep(LEASE).await;
    assert!(member.leads());
    for identity in ["first", "second"] {
        assert_eq!(claimed(identity).as_deref(), Some(member.key()));
    }
    let others = (claim_of("another's"), "another".to_owned());
    let accounts = |model: &mut crate::cluster::model::Model| model.accounts.extend([others]);
    accounts(&mut exchange.model.lock().unwrap());
    member.goes_on_as("another's");
    sleep(LEASE * 3).await;
    assert!(!member.leads());
    // A config that is read again has the same account, with its token.
    let (same, seat) = node.member(&"main".into(), "origin", "third");
    assert!(Arc::ptr_eq(&same, &member) && seat.is_none());
    sleep(LEASE * 3).await;
    assert!(member.leads());
    assert_eq!(claimed("third").as_deref(), Some(member.key()));
    running.abort();
}
