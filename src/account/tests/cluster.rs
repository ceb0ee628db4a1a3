//! Several nodes of a cluster, each with its account's task, against one simulated CallTools, in virtual time. The engine is the model of its scripts.

use std::sync::atomic::Ordering as AtomicOrdering;

use tokio::sync::oneshot;

use super::*;
use crate::{
    budget::Witness as _,
    cluster::{
        engine::Engine,
        member::Member,
        message::{Said, What},
        model::Exchange,
        node::{Node, Settings as NodeSettings},
    },
};

const LEASE: Duration = Duration::from_secs(10);

/// A node with one account.
struct Running {
    board: Arc<Board>,
    budget: Arc<Budget>,
    reservations: Arc<Reservations>,
    member: Arc<Member>,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
    /// Keeps what others send to it alive.
    _node: Arc<Node>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    fn start(stage: &Stage, exchange: &Arc<Exchange>, name: &str) -> Self {
        Self::with(stage, exchange, name, Known::default())
    }

    fn with(stage: &Stage, exchange: &Arc<Exchange>, name: &str, known: Known) -> Self {
        let settings = NodeSettings {
            name: name.to_owned(),
            lease: LEASE,
        };
        let engine = Arc::clone(exchange) as Arc<dyn Engine>;
        let node = Arc::new(Node::new(engine, settings, stage.clock.clone()));
        exchange.introduce(&node);
        let (member, seat) = node.member(&"main".into(), "origin", "identity");
        let limit = NonZeroU32::new(1000).unwrap();
        let budget = Budget::in_memory(limit, 50, stage.clock.clone());
        let budget = Arc::new(budget.with_witness(Arc::clone(&member) as Arc<_>));
        let board = Arc::new(Board::new(stage.keys.clone()));
        let reservations = Arc::new(Reservations::new());
        let (asks, asked) = mpsc::channel(64);
        let stop = CancellationToken::new();
        let account = Account::new(Deps {
            owner: BudgetOwner {
                account: "main".to_owned(),
                identity: String::new(),
            },
            queues: stage.queues.clone(),
            options: stage.options,
            client: Client::new(
                stage.wire.clone(),
                budget.clone(),
                stage.clock.clone(),
                Arc::new(()),
            ),
            budget: budget.clone(),
            board: board.clone(),
            metrics: Arc::new(Metrics::new(stage.keys.clone(), stage.clock.now())),
            reservations: reservations.clone(),
            store: None,
            cluster: Some(node.membership(seat.unwrap(), budget.clone())),
            known,
            clock: stage.clock.clone(),
            names: watch::Sender::new(Arc::default()),
            health: watch::channel(Health::default()).0,
            asks: asked,
            token: None,
            heartbeat: crate::process::heartbeat::Heartbeats::default().begin("main"),
        });
        Self {
            board,
            budget,
            reservations,
            member,
            asks,
            task: tokio::spawn(account.run(stop.clone())),
            stop,
            _node: node,
        }
    }

    fn decide(&self, stage: &Stage, place: usize) -> Decision {
        let policy = Policy {
            threshold: Some(Quantity::ZERO),
            max_age: None,
            on_unknown: OnUnknown::Reject,
            hours: None,
        };
        let state = self.board.get(&stage.keys[place]).unwrap();
        decide(&state, &policy, 0, stage.clock.now())
    }

    /// Whether it would accept a call in this minute because somebody will be free soon.
    async fn foresees(&self, stage: &Stage) -> bool {
        let mut foresees = false;
        for _ in 0..600 {
            sleep(Duration::from_millis(100)).await;
            let state = self.board.get(&stage.keys[0]).unwrap();
            foresees |= state
                .snapshot
                .as_deref()
                .is_some_and(|shown| shown.outlook.is_some());
        }
        foresees
    }

    async fn until_it_leads(&self) -> Duration {
        let begun = tokio::time::Instant::now();
        while !self.member.leads() {
            sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    fn reserve(&self, stage: &Stage, call: &str) -> What {
        What::Reserve {
            queue: stage.keys[0].queue.to_string(),
            call_id: call.to_owned(),
            ttl_ms: 45_000,
            threshold: Some(0.0),
            max_age_ms: None,
            on_unknown: OnUnknown::Reject,
        }
    }
}

/// A CallTools without a task of its own, and an engine.
fn stage(queues: usize, agents: usize) -> (Stage, Arc<Exchange>) {
    let stage = Setting::new(WorldSettings {
        queues,
        agents,
        ..WorldSettings::default()
    })
    .start();
    stage.task.abort();
    (stage, Exchange::new())
}

/// A leader and a follower who know everything.
async fn pair(stage: &Stage, exchange: &Arc<Exchange>) -> (Running, Running) {
    let leader = Running::start(stage, exchange, "one");
    leader.until_it_leads().await;
    let follower = Running::start(stage, exchange, "two");
    sleep(MINUTE).await;
    assert!(leader.member.leads() && !follower.member.leads());
    (leader, follower)
}

#[tokio::test(start_paused = true)]
async fn a_follower_shows_what_the_leader_polls_with_its_true_age_and_sends_nothing() {
    let (stage, exchange) = stage(3, 30);
    let (leader, follower) = pair(&stage, &exchange).await;
    for _ in 0..200 {
        sleep(SECOND).await;
        for place in stage.places() {
            let (one, other) = (leader.decide(&stage, place), follower.decide(&stage, place));
            assert_eq!(one.reason.is_known(), other.reason.is_known());
            let (one, other) = (one.age.unwrap(), other.age.unwrap());
            // Never younger, and a moment older at most, unless newer rows are just under way.
            assert!(other + Duration::from_millis(2) >= one, "{other:?} {one:?}");
            assert!(other <= one + SECOND * 3, "{other:?} {one:?}");
        }
    }
    sleep(SECOND).await;
    assert_eq!(leader.budget.usage().used, follower.budget.usage().used);
    assert_eq!(stage.sent().len() as u32, leader.budget.usage().used);
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_and_no_decision_turns_unknown_meanwhile() {
    let (stage, exchange) = stage(3, 30);
    let (leader, follower) = pair(&stage, &exchange).await;
    let spent = leader.budget.usage().used;
    drop(leader);
    let _ = stage.sent();
    let killed = tokio::time::Instant::now();
    while stage.sent().is_empty() {
        for place in stage.places() {
            let decision = follower.decide(&stage, place);
            assert!(decision.reason.is_known(), "{decision:?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    let took = killed.elapsed();
    assert!(took <= LEASE + SECOND * 2, "polls went on after {took:?}");
    // Nothing of the hour is forgotten.
    assert!(follower.budget.usage().used > spent);
    sleep(MINUTE).await;
    let decision = follower.decide(&stage, 0);
    assert!(decision.reason.is_known() && decision.age.unwrap() < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_leader_hands_over_at_once() {
    let (stage, exchange) = stage(2, 20);
    let (leader, follower) = pair(&stage, &exchange).await;
    leader.stop.cancel();
    let took = follower.until_it_leads().await;
    // The follower looks each third of a lease.
    assert!(took <= LEASE / 3 + SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn exactly_as_many_calls_get_a_seat_as_there_are_whichever_node_they_ask() {
    let (stage, exchange) = stage(1, 20);
    // Nobody takes a call meanwhile.
    stage.simulator.world(|world| {
        world.freeze();
        world.set_seats(5);
    });
    let (leader, follower) = pair(&stage, &exchange).await;
    let third = Running::start(&stage, &exchange, "three");
    sleep(MINUTE).await;
    let seats = leader.decide(&stage, 0).count.unwrap().get() as usize;
    assert!(seats > 0);
    let asked = (0..100).map(|call| {
        let node = if call % 2 == 0 { &follower } else { &third };
        let what = node.reserve(&stage, &format!("call-{call}"));
        node.member.ask(what, SECOND * 5)
    });
    let said: Vec<_> = join_all(asked).await;
    let made = |said: &Option<Said>| match said {
        Some(Said::Made { id }) => Some(id.clone()),
        Some(Said::Rejected(_)) => None,
        other => panic!("{other:?}"),
    };
    let ids: Vec<_> = said.iter().filter_map(made).collect();
    assert_eq!(ids.len(), seats);
    sleep(SECOND).await;
    let now = stage.clock.now();
    for node in [&leader, &follower, &third] {
        assert_eq!(node.reservations.list(now).len(), seats);
    }
    // Asked again on another node, a call gets its own.
    let place = said.iter().position(|said| made(said).is_some()).unwrap();
    let other = if place % 2 == 0 { &third } else { &follower };
    let again = other.reserve(&stage, &format!("call-{place}"));
    let again = other.member.ask(again, SECOND).await;
    let Some(Said::AlreadyHeld { id, .. }) = again else {
        panic!("{again:?}")
    };
    assert_eq!(Some(id.clone()), made(&said[place]));
    // Released on another node than it was made, and no node holds it any more.
    let release = What::Release { id };
    assert_eq!(
        other.member.ask(release, SECOND).await,
        Some(Said::Released(true))
    );
    sleep(SECOND * 2).await;
    let now = stage.clock.now();
    for node in [&leader, &follower, &third] {
        assert!(node.reservations.list(now).len() < seats);
    }
}

#[tokio::test(start_paused = true)]
async fn held_seats_outlive_the_leader_that_held_them() {
    let (stage, exchange) = stage(1, 20);
    // Nobody takes a call meanwhile.
    stage.simulator.world(|world| {
        world.freeze();
        world.set_seats(5);
    });
    let (leader, follower) = pair(&stage, &exchange).await;
    let what = follower.reserve(&stage, "call");
    let said = follower.member.ask(what, SECOND).await;
    assert!(matches!(said, Some(Said::Made { .. })), "{said:?}");
    drop(leader);
    follower.until_it_leads().await;
    let held = follower.reservations.list(stage.clock.now());
    assert_eq!(held.len(), 1);
    assert_eq!(&*held[0].1.call_id, "call");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_asked_of_a_follower_is_polled_by_the_leader() {
    let (stage, exchange) = stage(2, 20);
    let (_leader, follower) = pair(&stage, &exchange).await;
    let (reply, refreshed) = oneshot::channel();
    let before = stage.clock.now();
    let queue = stage.keys[1].clone();
    let ask = Ask::Refresh { queue, reply };
    follower.asks.send(ask).await.unwrap();
    assert_eq!(refreshed.await.unwrap(), Ok(()));
    let state = follower.board.get(&stage.keys[1]).unwrap();
    let snapshot = state.snapshot.as_ref().unwrap();
    assert!(snapshot.members_as_of.boot + SECOND >= before.boot);
}

#[tokio::test(start_paused = true)]
async fn without_the_engine_nobody_sends_and_that_is_what_is_wrong() {
    let (stage, exchange) = stage(2, 20);
    let (leader, follower) = pair(&stage, &exchange).await;
    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    sleep(LEASE).await;
    assert!(!leader.member.leads());
    let _ = stage.sent();
    sleep(MINUTE * 20).await;
    assert_eq!(stage.sent(), Vec::<String>::new());
    for node in [&leader, &follower] {
        let decision = node.decide(&stage, 0);
        assert_eq!(decision.reason, Reason::ClusterDown);
    }
    exchange.is_down.store(false, AtomicOrdering::Relaxed);
    sleep(LEASE * 2 + MINUTE).await;
    assert!(leader.member.leads() || follower.member.leads());
    for node in [&leader, &follower] {
        assert!(node.decide(&stage, 0).reason.is_known());
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_forgets_costs_no_request_and_no_seat() {
    let (stage, exchange) = stage(2, 20);
    // Nobody takes a call meanwhile.
    stage.simulator.world(|world| {
        world.freeze();
        world.set_seats(5);
    });
    let (leader, follower) = pair(&stage, &exchange).await;
    let what = follower.reserve(&stage, "call");
    let said = follower.member.ask(what, SECOND).await;
    assert!(matches!(said, Some(Said::Made { .. })), "{said:?}");
    let spent = leader.budget.usage().used;
    *exchange.model.lock().unwrap() = crate::cluster::model::Model::default();
    sleep(LEASE * 2).await;
    let leads = if leader.member.leads() {
        &leader
    } else {
        &follower
    };
    assert!(leads.member.leads());
    assert!(leads.budget.usage().used >= spent);
    assert_eq!(leads.reservations.list(stage.clock.now()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_leads_after_an_engine_forgot_knows_what_nodes_that_are_gone_had_laid_down() {
    let (stage, exchange) = stage(2, 20);
    stage.simulator.world(|world| {
        world.freeze();
        world.set_seats(5);
    });
    let (leader, follower) = pair(&stage, &exchange).await;
    let what = follower.reserve(&stage, "call");
    let said = follower.member.ask(what, SECOND).await;
    assert!(matches!(said, Some(Said::Made { .. })), "{said:?}");
    let spent = leader.budget.usage().used;
    assert!(spent > 5, "{spent}");
    *exchange.model.lock().unwrap() = crate::cluster::model::Model::default();
    // Each looks every third of a lease, and nobody leads within a whole one.
    sleep(LEASE / 2).await;
    drop((leader, follower));
    let heir = Running::start(&stage, &exchange, "heir");
    heir.until_it_leads().await;
    let used = heir.budget.usage().used;
    assert!(used >= spent, "{used} of {spent}");
    assert_eq!(heir.reservations.list(stage.clock.now()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_does_not_say_that_the_engine_is_gone() {
    let (stage, exchange) = stage(1, 5);
    let node = Running::start(&stage, &exchange, "one");
    while !node.member.leads() {
        let reason = node.decide(&stage, 0).reason;
        assert_ne!(reason, Reason::ClusterDown);
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_counts_on_agents_who_will_be_free() {
    let soon = crate::config::Soon {
        is_on: true,
        ..Default::default()
    };
    let setting = Setting {
        soon,
        ..super::foresight::busy(3)
    };
    let stage = setting.start();
    sleep(90 * MINUTE).await;
    let (known, same) = (stage.what_it_knows().await, stage.what_it_knows().await);
    stage.task.abort();
    let exchange = Exchange::new();
    let leader = Running::with(&stage, &exchange, "one", known);
    leader.until_it_leads().await;
    let follower = Running::with(&stage, &exchange, "two", same);
    let (leads, follows) = tokio::join!(leader.foresees(&stage), follower.foresees(&stage));
    assert!(leads && !follows);
    drop(leader);
    follower.until_it_leads().await;
    assert!(follower.foresees(&stage).await);
}
