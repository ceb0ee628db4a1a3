//! Tests several nodes of a cluster, each with its account's task, against one simulated CallTools, in virtual time. The engine is the model of
//! its scripts.

use std::{collections::BTreeMap, sync::atomic::Ordering as AtomicOrdering};

use tokio::sync::oneshot;

use super::*;
use crate::{
    budget::Witness as _,
    cluster::{
        codec::{FORMAT, Reading, decode},
        engine::Engine,
        entry::Entry,
        member::Member,
        message::{Said, What},
        model::{Careful, Exchange},
        node::{Membership, Node, Settings as NodeSettings},
        task::Task,
    },
    config,
    decision::soon::rule::{Prediction, Terms},
};

mod alone;
mod checks;
mod clocks;
mod doubts;
mod feeds;
mod fresh;
mod guests;
mod messages;
mod names;
mod refusals;
mod rules;
mod soon;
mod stops;
mod takeovers;

const LEASE: Duration = Duration::from_secs(10);

/// A node with one account.
struct Running {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    budget: Arc<Budget>,
    reservations: Arc<Reservations>,
    member: Arc<Member>,
    health: watch::Receiver<Health>,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
    /// The rule and opening hours of each of its queues, as lines of config.
    rules: Vec<String>,
    /// Keeps the receiver of other nodes' messages alive.
    node: Arc<Node>,
    engine: Arc<Careful>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Refreshes a queue through this node. Returns how that ended, and after how long.
    async fn refresh(
        &self,
        fixture: &Fixture,
        place: usize,
    ) -> (Result<(), RefreshError>, Duration) {
        let (reply, refreshed) = oneshot::channel();
        let queue = fixture.keys[place].clone();
        let begun = tokio::time::Instant::now();
        self.asks.send(Ask::Refresh { queue, reply }).await.unwrap();
        (refreshed.await.unwrap(), begun.elapsed())
    }

    fn start(fixture: &Fixture, exchange: &Arc<Exchange>, name: &str) -> Self {
        Self::with(fixture, exchange, name, Known::default())
    }

    fn with(fixture: &Fixture, exchange: &Arc<Exchange>, name: &str, known: Known) -> Self {
        let all = fixture.queues.len();
        Self::of(fixture, exchange, name, known, all, 1000)
    }

    /// Starts a node whose config has only the first `queues` queues, and this limit.
    fn of(
        fixture: &Fixture,
        exchange: &Arc<Exchange>,
        name: &str,
        known: Known,
        queues: usize,
        limit: u32,
    ) -> Self {
        let queues = fixture.queues[..queues].to_vec();
        Self::configured(fixture, exchange, name, known, queues, limit)
    }

    /// Starts a node with these queues in its config, and this limit.
    fn configured(
        fixture: &Fixture,
        exchange: &Arc<Exchange>,
        name: &str,
        known: Known,
        queues: Vec<QueueSettings>,
        limit: u32,
    ) -> Self {
        Self::placed(fixture, exchange, name, known, queues, limit, |_| ())
    }

    /// Starts a node that knows nothing, without its member's task, which the test plays.
    fn without_task(fixture: &Fixture, exchange: &Arc<Exchange>) -> (Self, Task) {
        let (mut task, queues) = (None, fixture.queues.clone());
        let node = Self::placed(
            fixture,
            exchange,
            "one",
            Known::default(),
            queues,
            1000,
            |membership| task = membership.task.take(),
        );
        (node, task.expect("a new membership has its task"))
    }

    /// Starts the same. The test sees its place in the cluster first, and may take the member's task.
    fn placed(
        fixture: &Fixture,
        exchange: &Arc<Exchange>,
        name: &str,
        known: Known,
        queues: Vec<QueueSettings>,
        limit: u32,
        see: impl FnOnce(&mut Membership),
    ) -> Self {
        let keys: Vec<_> = queues.iter().map(|queue| queue.key.clone()).collect();
        let rules = queues.iter().map(|queue| {
            config::Queue::lines(&queue.reference, queue.hours.as_deref(), &queue.rule)
        });
        let rules = rules.collect();
        let settings = NodeSettings {
            name: name.to_owned(),
            lease: LEASE,
            alone: exchange.alone.lock().unwrap().clone(),
        };
        let engine = Careful::new(exchange);
        let used = Arc::clone(&engine) as Arc<dyn Engine>;
        let node = Arc::new(Node::new(used, settings, fixture.clock.clone()));
        exchange.introduce(&node);
        let (member, seat) = node.member(&"main".into(), "origin", "identity");
        let limit = NonZeroU32::new(limit).unwrap();
        let budget = Budget::in_memory(limit, 50, fixture.clock.clone());
        let budget = Arc::new(budget.with_witness(Arc::clone(&member) as Arc<_>));
        let mut membership = node.membership(seat.unwrap(), Some(budget.clone()));
        see(&mut membership);
        let board = Arc::new(Board::new(keys.clone()));
        let metrics = Arc::new(Metrics::new(keys, fixture.clock.now()));
        let reservations = Arc::new(Reservations::new());
        let (asks, asked) = mpsc::channel(64);
        let (health, healths) = watch::channel(Health::default());
        let stop = CancellationToken::new();
        let account = Account::new(Deps {
            owner: owner(),
            queues,
            options: fixture.options,
            client: Client::new(
                fixture.wire.clone(),
                budget.clone(),
                fixture.clock.clone(),
                Arc::new(()),
            ),
            budget: budget.clone(),
            board: board.clone(),
            metrics: metrics.clone(),
            reservations: reservations.clone(),
            store: fixture.store.clone(),
            cluster: Some(membership),
            known,
            clock: fixture.clock.clone(),
            names: watch::Sender::new(Arc::default()),
            health,
            asks: asked,
            token: None,
            heartbeat: crate::process::heartbeat::Heartbeats::default().begin("main"),
        });
        Self {
            board,
            metrics,
            budget,
            reservations,
            member,
            health: healths,
            asks,
            task: tokio::spawn(account.run(stop.clone())),
            stop,
            rules,
            node,
            engine,
        }
    }

    fn decide(&self, fixture: &Fixture, place: usize) -> Decision {
        let policy = fixtures::policy();
        let state = self.board.get(&fixture.keys[place]).unwrap();
        decide(&state, &policy, 0, fixture.clock.now())
    }

    /// Returns whether, within a minute, it would accept a call because an agent will be free soon. Then it names members who are not available yet.
    async fn foresees(&self, fixture: &Fixture) -> bool {
        let mut foresees = false;
        for _ in 0..600 {
            sleep(Duration::from_millis(100)).await;
            let state = self.board.get(&fixture.keys[0]).unwrap();
            let shown = state.snapshot.as_deref();
            let outlook = shown.and_then(|shown| shown.outlook.as_ref());
            let (Some(shown), Some(outlook)) = (shown, outlook) else {
                continue;
            };
            let any = Prediction::new(1.0, Terms::DEFAULT);
            for one in outlook.expected(&shown.agents, any, |_| false) {
                let agent = shown.agents.iter().find(|agent| agent.id == one.agent.id);
                let agent = agent.expect("a member");
                let status = agent.status.as_deref();
                assert_eq!(
                    (agent.available, status),
                    (Some(false), one.agent.status.as_deref())
                );
                let is_soon = one.free_by_ms.is_some();
                foresees |= is_soon && status == Some("Post Call");
            }
        }
        foresees
    }

    async fn until_it_leads(&self) -> Duration {
        let begun = tokio::time::Instant::now();
        while !self.member.leads() {
            assert!(begun.elapsed() < 10 * MINUTE, "it never leads");
            sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    /// Asks the leader to hold a seat for a call, and asserts that it does.
    async fn hold_seat(&self, fixture: &Fixture, call: &str) {
        let what = self.reserve(fixture, call);
        let answer = self.member.ask(what, SECOND).await;
        assert!(matches!(answer, Some(Said::Made { .. })), "{answer:?}");
    }

    /// Takes these queues, as a reload does.
    async fn take(&self, fixture: &Fixture, queues: &[QueueSettings]) {
        let keys: Vec<_> = queues.iter().map(|queue| queue.key.clone()).collect();
        self.board.set_queues(keys.clone());
        self.metrics.count_for(keys);
        let (reply, taken) = oneshot::channel();
        let terms = crate::account::Terms {
            queues: queues.to_vec(),
            options: fixture.options,
            way: None,
            reply,
        };
        self.asks.send(Ask::Take(Box::new(terms))).await.unwrap();
        taken.await.unwrap();
        self.board.retire_stale(&[]);
        self.board.drop_retired();
    }

    fn reserve(&self, fixture: &Fixture, call: &str) -> What {
        self.reserve_in(fixture, 0, call)
    }

    fn reserve_in(&self, fixture: &Fixture, place: usize, call: &str) -> What {
        What::Reserve {
            queue: fixture.keys[place].queue.to_string(),
            call_id: call.to_owned(),
            ttl_ms: 45_000,
            threshold: Some(0.0),
            max_age_ms: None,
            on_unknown: OnUnknown::Reject,
            rule: self.rules.get(place).cloned(),
        }
    }
}

/// Starts a CallTools without a task of its own, and an engine.
fn fixture(queues: usize, agents: usize) -> (Fixture, Arc<Exchange>) {
    let fixture = Setting::new(WorldSettings {
        queues,
        agents,
        ..WorldSettings::default()
    })
    .start();
    fixture.task.abort();
    (fixture, Exchange::new())
}

/// Starts the same, but no agent takes a call, and five seats are open.
fn frozen(queues: usize) -> (Fixture, Arc<Exchange>) {
    let (fixture, exchange) = fixture(queues, 20);
    fixture.simulator.world(|world| {
        world.freeze();
        world.set_seats(5);
    });
    (fixture, exchange)
}

/// How to read what nodes have written to the engine.
fn reading(fixture: &Fixture) -> Reading {
    let now = fixture.clock.now();
    Reading {
        asked: now,
        now,
        engine: Duration::from_secs(1_795_000_000), // Where the model's clock begins.
        suspect_since: None,
        is_old: true,
        format: FORMAT,
    }
}

/// Returns what the leader publishes in the next two minutes.
async fn published(fixture: &Fixture, exchange: &Exchange) -> Vec<Entry> {
    let log = || exchange.model.lock().unwrap().log.clone();
    let (begun, _) = log().pop_last().unwrap();
    let mut published = BTreeMap::new();
    for _ in 0..120 {
        sleep(SECOND).await;
        let reading = reading(fixture);
        for (position, (_, packed)) in log().split_off(&begun.next()) {
            published.insert(position, decode(&packed, &reading).unwrap());
        }
    }
    published.into_values().collect()
}

/// Starts a leader and a follower, and waits until both know everything.
async fn pair(fixture: &Fixture, exchange: &Arc<Exchange>) -> (Running, Running) {
    let leader = Running::start(fixture, exchange, "one");
    leader.until_it_leads().await;
    let follower = Running::start(fixture, exchange, "two");
    sleep(MINUTE).await;
    assert!(leader.member.leads() && !follower.member.leads());
    (leader, follower)
}

#[tokio::test(start_paused = true)]
async fn a_follower_shows_the_leaders_polls_with_their_true_age_and_sends_nothing() {
    let (fixture, exchange) = fixture(3, 30);
    let (leader, follower) = pair(&fixture, &exchange).await;
    for _ in 0..200 {
        sleep(SECOND).await;
        for place in fixture.places() {
            let (one, other) = (
                leader.decide(&fixture, place),
                follower.decide(&fixture, place),
            );
            assert_eq!(one.reason.is_known(), other.reason.is_known());
            let (one, other) = (one.age.unwrap(), other.age.unwrap());
            // Never younger, and at most slightly older, unless newer rows are under way.
            assert!(other + Duration::from_millis(2) >= one, "{other:?} {one:?}");
            assert!(other <= one + SECOND * 3, "{other:?} {one:?}");
        }
    }
    sleep(SECOND).await;
    assert_eq!(leader.budget.usage().used, follower.budget.usage().used);
    assert_eq!(fixture.sent().len() as u32, leader.budget.usage().used);
}

#[tokio::test(start_paused = true)]
async fn a_killed_leader_is_replaced_and_all_decisions_stay_known() {
    let (fixture, exchange) = fixture(3, 30);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let spent = leader.budget.usage().used;
    drop(leader);
    let _ = fixture.sent();
    let killed = tokio::time::Instant::now();
    while fixture.sent().is_empty() {
        assert!(killed.elapsed() < 10 * MINUTE, "polls never continue");
        for place in fixture.places() {
            let decision = follower.decide(&fixture, place);
            assert!(decision.reason.is_known(), "{decision:?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    let elapsed = killed.elapsed();
    assert!(
        elapsed <= LEASE + SECOND * 2,
        "polls continued after {elapsed:?}"
    );
    // Nothing of the hour is forgotten.
    assert!(follower.budget.usage().used > spent);
    sleep(MINUTE).await;
    let decision = follower.decide(&fixture, 0);
    assert!(decision.reason.is_known() && decision.age.unwrap() < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn each_seat_goes_to_one_call_whichever_nodes_the_calls_ask() {
    let (fixture, exchange) = frozen(1);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let third = Running::start(&fixture, &exchange, "three");
    sleep(MINUTE).await;
    let seats = leader.decide(&fixture, 0).count.unwrap().get() as usize;
    assert!(seats > 0);
    let asked = (0..100).map(|call| {
        let node = if call % 2 == 0 { &follower } else { &third };
        let what = node.reserve(&fixture, &format!("call-{call}"));
        node.member.ask(what, SECOND * 5)
    });
    let answers: Vec<_> = join_all(asked).await;
    let made = |answer: &Option<Said>| match answer {
        Some(Said::Made { id }) => Some(id.clone()),
        Some(Said::Rejected(_)) => None,
        other => panic!("{other:?}"),
    };
    let ids: Vec<_> = answers.iter().filter_map(made).collect();
    assert_eq!(ids.len(), seats);
    sleep(SECOND).await;
    let now = fixture.clock.now();
    for node in [&leader, &follower, &third] {
        assert_eq!(node.reservations.list(now).len(), seats);
    }
    // If asked again on another node, a call gets its own seat.
    let place = answers
        .iter()
        .position(|answer| made(answer).is_some())
        .unwrap();
    let other = if place % 2 == 0 { &third } else { &follower };
    let again = other.reserve(&fixture, &format!("call-{place}"));
    let again = other.member.ask(again, SECOND).await;
    let Some(Said::AlreadyHeld { id, .. }) = again else {
        panic!("{again:?}")
    };
    assert_eq!(Some(id.clone()), made(&answers[place]));
    // A seat that is released on another node is held by none.
    let release = What::Release { id };
    assert_eq!(
        other.member.ask(release, SECOND).await,
        Some(Said::Released(true))
    );
    sleep(SECOND * 2).await;
    let now = fixture.clock.now();
    for node in [&leader, &follower, &third] {
        assert!(node.reservations.list(now).len() < seats);
    }
}

#[tokio::test(start_paused = true)]
async fn held_seats_outlive_the_leader_that_held_them() {
    let (fixture, exchange) = frozen(1);
    let (leader, follower) = pair(&fixture, &exchange).await;
    follower.hold_seat(&fixture, "call").await;
    drop(leader);
    follower.until_it_leads().await;
    let held = follower.reservations.list(fixture.clock.now());
    assert_eq!(held.len(), 1);
    assert_eq!(&*held[0].1.call_id, "call");
}

#[tokio::test(start_paused = true)]
async fn without_the_engine_no_node_sends_and_all_report_that() {
    let (fixture, exchange) = fixture(2, 20);
    let (leader, follower) = pair(&fixture, &exchange).await;
    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    sleep(LEASE).await;
    assert!(!leader.member.leads());
    let _ = fixture.sent();
    sleep(MINUTE * 20).await;
    assert_eq!(fixture.sent(), Vec::<String>::new());
    for node in [&leader, &follower] {
        let decision = node.decide(&fixture, 0);
        assert_eq!(decision.reason, Reason::ClusterDown);
    }
    exchange.is_down.store(false, AtomicOrdering::Relaxed);
    sleep(LEASE * 2 + MINUTE).await;
    assert!(leader.member.leads() || follower.member.leads());
    for node in [&leader, &follower] {
        assert!(node.decide(&fixture, 0).reason.is_known());
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_forgets_costs_no_request_and_no_seat() {
    let (fixture, exchange) = frozen(2);
    let (leader, follower) = pair(&fixture, &exchange).await;
    follower.hold_seat(&fixture, "call").await;
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
    assert_eq!(leads.reservations.list(fixture.clock.now()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_leader_after_an_engine_forgot_knows_the_mirrors_of_gone_nodes() {
    let (fixture, exchange) = frozen(2);
    let (leader, follower) = pair(&fixture, &exchange).await;
    follower.hold_seat(&fixture, "call").await;
    let spent = leader.budget.usage().used;
    assert!(spent > 5, "{spent}");
    *exchange.model.lock().unwrap() = crate::cluster::model::Model::default();
    // Each node looks once per third of a lease, and none leads within a whole lease.
    sleep(LEASE / 2).await;
    drop((leader, follower));
    let heir = Running::start(&fixture, &exchange, "heir");
    heir.until_it_leads().await;
    let used = heir.budget.usage().used;
    assert!(used >= spent, "{used} of {spent}");
    assert_eq!(heir.reservations.list(fixture.clock.now()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_starting_node_does_not_report_that_the_engine_is_down() {
    let (fixture, exchange) = fixture(1, 5);
    let node = Running::start(&fixture, &exchange, "one");
    let begun = tokio::time::Instant::now();
    while !node.member.leads() {
        assert!(begun.elapsed() < 10 * MINUTE, "it never leads");
        let reason = node.decide(&fixture, 0).reason;
        assert_ne!(reason, Reason::ClusterDown);
        sleep(Duration::from_millis(1)).await;
    }
}

/// Starts an account that counts on agents who will be free. Returns what it has learnt, for two nodes.
async fn foreseeing() -> (Fixture, Known, Known) {
    let soon = crate::config::Soon {
        is_on: true,
        ..Default::default()
    };
    let setting = Setting {
        soon,
        ..super::foresight::busy(3)
    };
    let fixture = setting.start();
    sleep(90 * MINUTE).await;
    let (known, same) = (fixture.knowledge().await, fixture.knowledge().await);
    fixture.task.abort();
    (fixture, known, same)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_lead_foresees_and_reports_nothing() {
    let (fixture, known, same) = foreseeing().await;
    let exchange = Exchange::new();
    let leader = Running::with(&fixture, &exchange, "one", known);
    leader.until_it_leads().await;
    let follower = Running::with(&fixture, &exchange, "two", same);
    assert!(leader.foresees(&fixture).await);
    // Neither after a reload on a follower …
    let outlook = |node: &Running| {
        let state = node.board.get(&fixture.keys[0]).unwrap();
        state.snapshot.as_ref().unwrap().outlook.clone()
    };
    let mut queues = fixture.queues.clone();
    for longer in 1..=60 {
        let lead = Terms::DEFAULT.lead() + Duration::from_millis(longer);
        queues[0].soon.terms = Terms::new(lead, SECOND * 5, 2.0).unwrap();
        follower.take(&fixture, &queues).await;
        assert!(outlook(&follower).is_none());
        sleep(SECOND).await;
    }
    // … nor on one that has led.
    assert!(leader.health.borrow().soon.is_some());
    exchange.is_down.store(true, AtomicOrdering::Relaxed);
    sleep(LEASE).await;
    assert!(!leader.member.leads());
    assert_eq!(leader.health.borrow().soon, None);
    assert!(outlook(&leader).is_none());
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_counts_on_agents_who_will_be_free() {
    let (fixture, known, same) = foreseeing().await;
    let exchange = Exchange::new();
    let leader = Running::with(&fixture, &exchange, "one", known);
    leader.until_it_leads().await;
    let follower = Running::with(&fixture, &exchange, "two", same);
    let (leads, follows) = tokio::join!(leader.foresees(&fixture), follower.foresees(&fixture));
    assert!(leads && !follows);
    drop(leader);
    follower.until_it_leads().await;
    assert!(follower.foresees(&fixture).await);
    // A node that joined later continues from what they learnt.
    let heir = Running::start(&fixture, &exchange, "three");
    sleep(MINUTE).await;
    assert!(!heir.member.leads());
    drop(follower);
    heir.until_it_leads().await;
    assert!(heir.foresees(&fixture).await);
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_a_follower_alone_is_polled_while_that_node_lives() {
    let (fixture, exchange) = fixture(2, 20);
    let leader = Running::of(&fixture, &exchange, "one", Known::default(), 1, 1000);
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 2, 1000);
    sleep(MINUTE).await;
    assert!(leader.member.leads() && !follower.member.leads());
    let mut oldest = Duration::ZERO;
    for _ in 0..120 {
        sleep(SECOND).await;
        let decision = follower.decide(&fixture, 1);
        assert!(decision.reason.is_known(), "{decision:?}");
        oldest = oldest.max(decision.age.unwrap());
    }
    assert!(oldest < MINUTE, "{oldest:?}");
    // The leader decides about its seats, but does not answer questions about it.
    let queue = fixture.keys[1].queue.to_string();
    assert!(leader.board.find(None, &queue, |_| true).is_err());
    let seats = follower.decide(&fixture, 1).count.unwrap().get() as usize;
    let mut made = 0;
    for call in 0..=seats {
        let answer = follower
            .member
            .ask(
                follower.reserve_in(&fixture, 1, &format!("call-{call}")),
                SECOND,
            )
            .await;
        made += usize::from(matches!(answer, Some(Said::Made { .. })));
    }
    assert_eq!(made, seats);
    // Once the follower is gone, its queue is no longer polled.
    drop(follower);
    sleep(2 * MINUTE).await;
    assert!(leader.board.get(&fixture.keys[1]).is_none());
    assert!(leader.decide(&fixture, 0).reason.is_known());
}

#[tokio::test(start_paused = true)]
async fn questions_on_a_follower_are_demand_for_the_leader() {
    let (fixture, exchange) = fixture(12, 60);
    let (leader, follower) = pair(&fixture, &exchange).await;
    let decision = follower.decide(&fixture, 3);
    let key = &fixture.keys[3];
    let queue = format!("queue={}&", fixture.ids[3]);
    let mut polls = [0, 0];
    for is_asked in [false, true] {
        fixture.sent();
        for _ in 0..600 {
            sleep(SECOND).await;
            if is_asked {
                let meters = follower.metrics.queue(key).unwrap();
                follower
                    .metrics
                    .decision(&meters, &decision, Duration::ZERO);
            }
        }
        let sent = fixture.sent();
        let sent = sent.iter().filter(|one| one.contains(&queue)).count();
        polls[usize::from(is_asked)] = sent;
    }
    let [quiet, busy] = polls;
    assert!(
        quiet > 0 && busy > quiet * 3 / 2,
        "{quiet} polls without questions, {busy} with"
    );
    assert!(leader.member.leads());
}

#[tokio::test(start_paused = true)]
async fn of_two_limits_the_smaller_one_holds_while_its_node_lives() {
    let (fixture, exchange) = fixture(1, 10);
    let leader = Running::of(&fixture, &exchange, "one", Known::default(), 1, 1000);
    leader.until_it_leads().await;
    let follower = Running::of(&fixture, &exchange, "two", Known::default(), 1, 60);
    sleep(MINUTE).await;
    assert_eq!(leader.budget.usage().limit, 60);
    assert_eq!(follower.budget.usage().limit, 60);
    sleep(10 * MINUTE).await;
    let used = leader.budget.usage().used;
    assert!(used <= 60, "{used}");
    drop(follower);
    sleep(MINUTE).await;
    assert_eq!(leader.budget.usage().limit, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_read_another_versions_log_does_not_lead() {
    use std::io::Write as _;
    let (fixture, exchange) = fixture(1, 10);
    let leader = Running::start(&fixture, &exchange, "one");
    leader.until_it_leads().await;
    sleep(MINUTE).await;
    leader.stop.cancel();
    sleep(SECOND).await;
    let newer = |model: &mut crate::cluster::model::Model| {
        let json = br#"{"format":99,"at":0,"wall":0,"unheard_of":true}"#;
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(json).unwrap();
        let (last, (time, _)) = model.log.last_key_value().unwrap();
        let (next, time) = (last.next(), *time);
        model.log.insert(next, (time, packed.finish().unwrap()));
        next
    };
    let unread = newer(&mut exchange.model.lock().unwrap());
    let late = Running::start(&fixture, &exchange, "two");
    for _ in 0..120 {
        sleep(SECOND).await;
        assert!(!late.member.leads());
    }
    let status = late.member.status();
    assert_eq!(
        status.trouble(fixture.clock.now()),
        Some(crate::cluster::trouble::Trouble::NoLeader)
    );
    assert!(status.up_to_date.is_none());
    // A node that reads it replaces it by a checkpoint in time; here, it is as if it had never been.
    exchange.model.lock().unwrap().log.remove(&unread);
    late.until_it_leads().await;
}
