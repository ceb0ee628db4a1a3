//! Runs three nodes that always want to spend, in virtual time, with the real code of lease, log, mirrors and budget. The engine is the model.
//!
//! An upstream counts arrivals. Through all faults of nodes, engine and clocks, no hour has more than the limit, and no two nodes lead at once. Each
//! part of the design is needed for that: without it, there is a fault that breaks the limit.

mod machine;
mod world;

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{
    machine::Machine,
    world::{Faults, Part, World, engine_troubles, replica_troubles},
};
use crate::{
    budget::Witness as _,
    cluster::member::{Member, Role},
};

const LIMIT: u32 = 60;
const LEASE: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);

/// The result of some simulated hours.
#[derive(Debug)]
struct Simulated {
    /// The most arrivals in any hour.
    most: usize,
    all: usize,
    /// How often two nodes led at once.
    twice: u32,
    granted: u32,
}

/// Simulates some hours of three nodes.
fn simulate(seed: u64, accounts: &'static [&'static str], faults: Faults, hours: u32) -> Simulated {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    fastrand::seed(seed);
    runtime.block_on(async {
        let world = World::with(seed, accounts);
        let machines = (0..3).map(|number| Machine::new(number, &world, faults).run());
        let machines: Vec<_> = machines.collect();
        tokio::select! {
            _ = futures_util::future::join_all(machines) => {}
            () = engine_troubles(Arc::clone(&world), faults) => {}
            () = replica_troubles(Arc::clone(&world), faults) => {}
            () = sleep(HOUR * hours) => {}
        }
        Simulated {
            most: world.max_in_an_hour(),
            all: world.arrivals.lock().unwrap().len(),
            twice: *world.twice.lock().unwrap(),
            granted: *world.granted.lock().unwrap(),
        }
    })
}

const ALL: Faults = Faults {
    pauses: true,
    forgets: true,
    stops: false,
    jumps: true,
    splits: true,
    restarts: true,
    fails_over: true,
    checks: true,
    without: None,
};

fn mixes() -> [(&'static str, Faults); 10] {
    let none = Faults::default();
    [
        ("none", none),
        (
            "pauses",
            Faults {
                pauses: true,
                ..none
            },
        ),
        (
            "forgets",
            Faults {
                forgets: true,
                ..none
            },
        ),
        (
            "jumps",
            Faults {
                jumps: true,
                ..none
            },
        ),
        (
            "splits",
            Faults {
                splits: true,
                ..none
            },
        ),
        (
            "restarts",
            Faults {
                restarts: true,
                ..none
            },
        ),
        (
            "fail-overs",
            Faults {
                fails_over: true,
                ..none
            },
        ),
        ("all", ALL),
        (
            "all but fail-overs",
            Faults {
                fails_over: false,
                ..ALL
            },
        ),
        (
            "all but splits",
            Faults {
                splits: false,
                ..ALL
            },
        ),
    ]
}

#[test]
fn no_hour_has_more_requests_than_the_limit_and_no_two_nodes_lead_at_once() {
    for (name, faults) in mixes() {
        // The combination of all faults needs more seeds.
        let seeds = if name == "all" { 2 } else { 1 };
        for seed in 0..seeds {
            holds(name, seed, &simulate(seed, &["main"], faults, 3));
        }
    }
}

fn holds(name: &str, seed: u64, simulated: &Simulated) {
    let case = format!("{name}, seed {seed}: {simulated:?}");
    assert!(simulated.most <= LIMIT as usize, "{case}");
    assert_eq!(simulated.twice, 0, "{case}");
    assert!(simulated.all >= LIMIT as usize, "{case}");
}

#[test]
fn without_the_requests_in_the_log_the_limit_breaks() {
    let faults = Faults {
        without: Some(Part::Log),
        ..ALL
    };
    for seed in 0..2 {
        let simulated = simulate(seed, &["main"], faults, 3);
        assert!(simulated.most > LIMIT as usize, "{seed}: {simulated:?}");
    }
}

#[test]
fn accounts_that_share_a_budget_share_its_hour_whichever_nodes_lead_them() {
    let none = Faults::default();
    let mut granted = 0;
    for (name, faults, seed) in [("none", none, 0), ("all", ALL, 0), ("all", ALL, 1)] {
        let simulated = simulate(seed, &["one", "two"], faults, 2);
        let case = format!("{name}, seed {seed}: {simulated:?}");
        assert!(simulated.most <= LIMIT as usize, "{case}");
        assert_eq!(simulated.twice, 0, "{case}");
        granted += simulated.granted;
    }
    // The node that leads an account is not always the one that counts.
    assert!(granted > 0);
}

#[test]
fn a_node_that_goes_on_alone_stays_within_the_hour_and_no_other_leads_meanwhile() {
    let faults = Faults {
        forgets: false,
        stops: true,
        ..ALL
    };
    for seed in 0..2 {
        holds("alone", seed, &simulate(seed, &["main"], faults, 3));
    }
}

#[test]
fn without_faults_the_whole_hour_is_used() {
    let simulated = simulate(7, &["main"], Faults::default(), 4);
    assert_eq!(simulated.most, LIMIT as usize);
    assert!(simulated.all >= 3 * LIMIT as usize, "{simulated:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_gone_is_replaced_within_its_lease_and_two_seconds() {
    let world = World::new(3);
    let first = tokio::spawn(Machine::new(0, &world, Faults::default()).run());
    until_led(&world).await;
    let second = tokio::spawn(Machine::new(1, &world, Faults::default()).run());
    sleep(LEASE).await;
    first.abort();
    let _ = first.await;
    world.leading.lock().unwrap().remove(0);
    let gone = Instant::now();
    until_led(&world).await;
    let elapsed = gone.elapsed();
    assert!(elapsed <= LEASE + Duration::from_secs(2), "{elapsed:?}");
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_still_has_the_lease_after_an_outage_leads_at_once() {
    let world = World::new(5);
    let only = tokio::spawn(Machine::new(0, &world, Faults::default()).run());
    until_led(&world).await;
    for outage in [9.5, 12.0, 60.0] {
        sleep(LEASE).await;
        *world.stopped_until.lock().unwrap() = world.seconds() + outage;
        sleep(Duration::from_secs_f64(outage)).await;
        let back = Instant::now();
        assert!(!is_led(&world), "{outage}");
        until_led(&world).await;
        let elapsed = back.elapsed();
        let longest = LEASE / 3 + Duration::from_secs(1);
        assert!(elapsed <= longest, "{outage}: {elapsed:?}");
    }
    only.abort();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_to_send_if_the_engine_forgets_without_a_leader() {
    let world = World::new(4);
    let first = tokio::spawn(Machine::new(0, &world, Faults::default()).run());
    until_led(&world).await;
    let second = tokio::spawn(Machine::new(1, &world, Faults::default()).run());
    sleep(LEASE * 2).await;
    let sent = || world.arrivals.lock().unwrap().len();
    first.abort();
    let _ = first.await;
    world.servers.lock().unwrap().models.clear();
    world.leading.lock().unwrap().remove(0);
    until_led(&world).await;
    let before = sent();
    assert!(before < LIMIT as usize / 2, "{before} were sent");
    sleep(HOUR / 4).await;
    assert_eq!(sent(), before, "the old leader may have sent the rest");
    sleep(HOUR).await;
    assert!(sent() > before, "an hour later that no longer counts");
    second.abort();
}

fn is_led(world: &World) -> bool {
    let leading = world.leading.lock().unwrap();
    let leads = |one: &Member| *one.role().borrow() == Role::Leading && one.leads();
    leading.iter().any(|(_, one)| leads(one))
}

async fn until_led(world: &World) {
    while !is_led(world) {
        sleep(Duration::from_millis(50)).await;
    }
}

/// Long enough to send a whole hour's requests.
const SPENDING: Duration = Duration::from_secs(600);

/// A few machines, of which a test starts, stops and disturbs single ones.
struct Scene {
    world: Arc<World>,
    machines: Vec<Arc<Machine>>,
    running: Vec<Option<JoinHandle<()>>>,
}

impl Scene {
    fn new(faults: Faults) -> Self {
        let world = World::new(1);
        let machines = (0..2).map(|number| Arc::new(Machine::new(number, &world, faults)));
        Self {
            machines: machines.collect(),
            running: vec![None, None],
            world,
        }
    }

    /// Starts a process of a machine.
    fn start(&mut self, number: usize) {
        let machine = Arc::clone(&self.machines[number]);
        let process = async move { machine.process(CancellationToken::new()).await };
        self.running[number] = Some(tokio::spawn(process));
    }

    /// Kills the process of a machine.
    async fn kill(&mut self, number: usize) {
        let process = self.running[number].take().unwrap();
        process.abort();
        let _ = process.await;
        let is_alive = |(_, one): &(_, Arc<Member>)| Arc::strong_count(one) > 1;
        self.world.leading.lock().unwrap().retain(is_alive);
    }

    fn sent(&self) -> usize {
        self.world.arrivals.lock().unwrap().len()
    }

    /// Starts both machines, so that the first leads and the second follows.
    async fn start_in_order(&mut self) {
        self.start(0);
        until_led(&self.world).await;
        self.start(1);
        sleep(LEASE * 2).await;
    }
}

/// The named node is restarted while the engine does not answer, and goes on alone. The other one has sent the whole hour. Returns the most arrivals in
/// any hour.
async fn alone_after_a_restart(without: Option<Part>) -> usize {
    let mut scene = Scene::new(Faults {
        stops: true,
        without,
        ..Faults::default()
    });
    scene.start_in_order().await;
    // The named node gives way to the other one, which needs its company.
    scene.kill(0).await;
    sleep(LEASE / 2).await;
    scene.start(0);
    sleep(SPENDING).await;
    assert_eq!(scene.sent(), LIMIT as usize);
    *scene.world.stopped_until.lock().unwrap() = scene.world.seconds() + 900.0;
    scene.kill(0).await;
    scene.start(0);
    sleep(SPENDING).await;
    scene.world.max_in_an_hour()
}

/// The engine forgets everything while a node is cut off. The leader stores what it has sent, and dies. Returns the same.
async fn heir_that_was_cut_off(without: Option<Part>) -> usize {
    let mut scene = Scene::new(Faults {
        without,
        ..Faults::default()
    });
    scene.start_in_order().await;
    let link = scene.world.link(1);
    *link.cut_until.lock().unwrap() = f64::MAX;
    sleep(SPENDING).await;
    assert_eq!(scene.sent(), LIMIT as usize);
    scene.world.servers.lock().unwrap().models.clear();
    // The leader looks twice, and no node leads before a whole lease has passed.
    sleep(LEASE * 4 / 5).await;
    scene.kill(0).await;
    *link.cut_until.lock().unwrap() = 0.0;
    until_led(&scene.world).await;
    sleep(SPENDING).await;
    scene.world.max_in_an_hour()
}

/// The replica lags while another node leads, and becomes the master after that node has died. Then the old leader wakes up. Returns the same.
async fn leader_that_slept_through_a_fail_over(without: Option<Part>) -> usize {
    let mut scene = Scene::new(Faults {
        fails_over: true,
        without,
        ..Faults::default()
    });
    scene.start_in_order().await;
    let before = scene.sent();
    assert!(before < LIMIT as usize / 2, "{before} were sent");
    let pause = 2.0 * SPENDING.as_secs_f64();
    let until = scene.world.seconds() + pause;
    *scene.world.link(0).paused_until.lock().unwrap() = until;
    scene.world.servers.lock().unwrap().begin_to_lag();
    sleep(SPENDING).await;
    scene.kill(1).await;
    scene.world.servers.lock().unwrap().fail_over();
    sleep(SPENDING * 2).await;
    scene.world.max_in_an_hour()
}

/// Runs a scene with and without a part. Only with it, the limit holds, and the whole hour is used.
async fn needs(scene: impl AsyncFn(Option<Part>) -> usize, part: Part) {
    assert_eq!(scene(None).await, LIMIT as usize);
    let most = scene(Some(part)).await;
    assert!(most > LIMIT as usize, "{most}");
}

#[tokio::test(start_paused = true)]
async fn without_the_others_requests_in_its_ledger_a_node_that_goes_on_alone_breaks_the_limit() {
    needs(alone_after_a_restart, Part::Ledger).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_mirrors_of_others_an_engine_that_forgets_breaks_the_limit() {
    needs(heir_that_was_cut_off, Part::Mirrors).await;
}

#[tokio::test(start_paused = true)]
async fn without_confirmations_a_fail_over_to_a_replica_that_lags_breaks_the_limit() {
    needs(leader_that_slept_through_a_fail_over, Part::Confirmations).await;
}
