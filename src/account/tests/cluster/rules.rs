//! Tests nodes whose configs have different rules for a queue.

use super::*;

#[tokio::test(start_paused = true)]
async fn each_node_counts_a_queue_and_holds_its_seats_by_its_own_rule() {
    let (fixture, exchange) = frozen(1);
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    let mut queues = fixture.queues.clone();
    queues[0].rule = custom("$.results[*]");
    let follower = Running::configured(&fixture, &exchange, "two", Known::default(), queues, 1000);
    let third = Running::start(&fixture, &exchange, "three");
    sleep(MINUTE).await;
    let count = |node: &Running| node.decide(&fixture, 0).count.unwrap().get() as usize;
    let (seats, all) = (count(&leader), count(&follower));
    assert_eq!(seats, fixture.seats(0).get() as usize);
    assert!(all > seats, "{all} agents are listed, {seats} have a seat");
    let mut made = 0;
    for call in 0..=all {
        let what = follower.reserve(&fixture, &format!("call-{call}"));
        let said = follower.member.ask(what, SECOND).await;
        made += usize::from(matches!(said, Some(Said::Made { .. })));
    }
    assert_eq!(made, all, "by the rule of the node that asks");
    let what = leader.reserve(&fixture, "another call");
    let said = third.member.ask(what, SECOND).await;
    assert!(matches!(said, Some(Said::Rejected(_))), "{said:?}");
    // The follower goes on with its own rule when it leads.
    drop((leader, third));
    follower.until_it_leads().await;
    sleep(MINUTE).await;
    assert_eq!(count(&follower), all);
}

#[tokio::test(start_paused = true)]
async fn a_reload_on_a_follower_keeps_what_the_leader_says_about_ages_and_faults() {
    let (mut fixture, exchange) = frozen(20);
    fixture.options.sweep = false;
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 2, 1000);
    sleep(3 * MINUTE).await;
    let state = |node: &Running| node.board.get(&fixture.keys[0]).unwrap();
    let planned = |node: &Running| state(node).planned_max_age.as_millis();
    assert!(planned(&leader) > 2 * 60 * 1000);
    assert_eq!(planned(&follower), planned(&leader));
    fixture
        .simulator
        .inject(usize::MAX, None, InjectedFault::Forbidden);
    sleep(5 * MINUTE).await;
    let mut queues = fixture.queues[..2].to_vec();
    queues[0].threshold = Some(Quantity::from(3_u32));
    follower.take(&fixture, &queues).await;
    assert_eq!(planned(&follower), planned(&leader));
    assert_eq!(state(&follower).fault, state(&leader).fault);
    assert!(state(&follower).fault.is_some());
    fixture.simulator.clear_faults();
    sleep(10 * MINUTE).await;
    assert_eq!(
        (&state(&leader).fault, &state(&follower).fault),
        (&None, &None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_name_means_another_keeps_its_ages_on_a_follower() {
    let mut setting = still(2, 20);
    setting.by_name = true;
    let (fixture, exchange) = (setting.start(), Exchange::new());
    fixture.task.abort();
    let (leader, follower) = pair(&fixture, &exchange).await;
    let state = |node: &Running| node.board.get(&fixture.keys[0]).unwrap();
    let id = state(&follower).id;
    fixture.swap_names();
    sleep(40 * MINUTE).await;
    assert_ne!(state(&follower).id, id);
    assert_eq!(state(&follower).id, state(&leader).id);
    assert_eq!(
        state(&follower).planned_max_age,
        state(&leader).planned_max_age
    );
    let decision = follower.decide(&fixture, 0);
    assert!(decision.reason.is_known(), "{decision:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_a_reload_adds_on_a_follower_is_known_at_once() {
    let (mut fixture, exchange) = frozen(20);
    fixture.options.sweep = false;
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 1, 1000);
    sleep(3 * MINUTE).await;
    fixture.sent();
    follower.take(&fixture, &fixture.queues[..2]).await;
    sleep(SECOND / 10).await;
    let (one, other) = (leader.decide(&fixture, 1), follower.decide(&fixture, 1));
    assert!(other.reason.is_known(), "{other:?}");
    assert_eq!(one.count, other.count);
    let state = |node: &Running| node.board.get(&fixture.keys[1]).unwrap();
    let planned = |node: &Running| state(node).planned_max_age.as_millis();
    assert_eq!(planned(&follower), planned(&leader));
    assert!(fixture.sent().len() <= 1);
}
