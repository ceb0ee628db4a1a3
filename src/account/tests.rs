//! An account's task against a simulated CallTools, in virtual time.

mod naming;

use std::{
    num::NonZeroU32,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::{BoxFuture, join_all};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use super::*;
use crate::{
    calltools::{Outgoing, Reply, Transport},
    clock::VirtualClock,
    decision::{
        Decision, OnUnknown, Policy, Reason,
        board::QueueState,
        criteria::{Condition, Criteria, Definition, Literal, Measure},
        decide,
    },
    metrics::{Format, Scrape},
    model::{agent::AgentId, quantity::Quantity},
    simulator::{InjectedFault, Settings, Simulator, SweepQuirk, TOKEN, WorldSettings},
};

mod floods;
mod reload;
mod start;
mod steps;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SEATS: Rule = Rule::Seats {
    forgotten_after: None,
};

/// A simulated account, and the task that polls it.
struct Stage {
    clock: Arc<VirtualClock>,
    simulator: Simulator,
    wire: Arc<Wire>,
    budget: Arc<Budget>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    reservations: Arc<Reservations>,
    health: watch::Receiver<Health>,
    ids: Vec<u64>,
    keys: Vec<QueueKey>,
    queues: Vec<Polled>,
    options: ScheduleOptions,
    asks: mpsc::Sender<Ask>,
    task: JoinHandle<anyhow::Result<()>>,
}

/// What a test changes about it.
struct Setting {
    world: WorldSettings,
    requests_per_hour: u32,
    options: ScheduleOptions,
    /// Rules of the last queues; the others count seats.
    rules: Vec<Rule>,
    max_age: Option<Duration>,
    sweep: SweepQuirk,
    /// The config has the queues' names rather than their ids.
    by_name: bool,
}

impl Setting {
    fn new(world: WorldSettings) -> Self {
        Self {
            world,
            requests_per_hour: 1000,
            options: ScheduleOptions {
                sweep: true,
                idle_pace: 1.0,
            },
            rules: Vec::new(),
            max_age: None,
            sweep: SweepQuirk::Whole,
            by_name: false,
        }
    }

    fn start(self) -> Stage {
        let clock = Arc::new(VirtualClock::default());
        let settings = Settings {
            latency: Duration::from_millis(300),
            ..Settings::new(self.world)
        };
        let simulator = Simulator::new(settings, clock.clone());
        simulator.quirks(|quirks| quirks.sweep = self.sweep);
        let limit = NonZeroU32::new(self.requests_per_hour).unwrap();
        let budget = Arc::new(Budget::in_memory(limit, 50, clock.clone()));
        let ids: Vec<u64> =
            simulator.world(|world| world.queues().iter().map(|queue| queue.id).collect());
        let names: Vec<String> = simulator.world(|world| {
            let names = world.queues().iter().map(|queue| queue.name.clone());
            names.collect()
        });
        let references: Vec<_> = ids
            .iter()
            .zip(&names)
            .map(|(id, name)| match self.by_name {
                true => QueueRef::Name(name.clone()),
                false => QueueRef::Id(*id),
            })
            .collect();
        let keys: Vec<_> = ids
            .iter()
            .zip(&names)
            .map(|(id, name)| match self.by_name {
                true => QueueKey::new("main", name.as_str()),
                false => QueueKey::new("main", id.to_string()),
            })
            .collect();
        let board = Arc::new(Board::new(keys.clone()));
        let metrics = Arc::new(Metrics::new(keys.clone(), clock.now()));
        let reservations = Arc::new(Reservations::new());
        let wire = Arc::new(Wire {
            inner: simulator.transport(TOKEN),
            sweeps_fail: AtomicBool::new(false),
            sweeps: Mutex::default(),
            sent: Mutex::default(),
        });
        let mut rules = vec![SEATS; ids.len() - self.rules.len()];
        rules.extend(self.rules);
        let queues = keys.iter().zip(references).zip(rules);
        let queues = queues.map(|((key, reference), rule)| Polled {
            key: key.clone(),
            reference,
            rule,
            threshold: Some(Quantity::ZERO),
            max_age: self.max_age,
        });
        let mut stage = Stage {
            task: tokio::spawn(async { Ok(()) }),
            queues: queues.collect(),
            options: self.options,
            clock,
            simulator,
            wire,
            budget,
            board,
            metrics,
            reservations,
            ids,
            keys,
            health: watch::channel(Health::default()).1,
            asks: mpsc::channel(1).0,
        };
        stage.employ(Known::default());
        stage
    }
}

impl Stage {
    /// Puts a task to work that begins with this knowledge, in the place of the one before it.
    fn employ(&mut self, known: Known) {
        self.task.abort();
        let (asks, wishes) = mpsc::channel(64);
        let (health, healths) = watch::channel(Health::default());
        let account = Account::new(Parts {
            payer: Payer {
                account: "main".to_owned(),
                identity: String::new(),
            },
            queues: self.queues.clone(),
            options: self.options,
            client: Client::new(
                self.wire.clone(),
                self.budget.clone(),
                self.clock.clone(),
                Arc::new(()),
            ),
            budget: self.budget.clone(),
            board: self.board.clone(),
            metrics: self.metrics.clone(),
            reservations: self.reservations.clone(),
            store: None,
            known,
            clock: self.clock.clone(),
            names: watch::Sender::new(Arc::default()),
            health,
            asks: wishes,
            token: None,
            pulse: crate::process::pulse::Pulses::default().begin("main"),
        });
        (self.asks, self.health) = (asks, healths);
        self.task = tokio::spawn(account.run(CancellationToken::new()));
    }

    /// Ends the task and starts another, with an empty board and what was kept.
    async fn restart(&mut self) {
        let (reply, known) = tokio::sync::oneshot::channel();
        self.asks.send(Ask::Known { reply }).await.unwrap();
        let known = known.await.unwrap();
        self.board = Arc::new(Board::new(self.keys.clone()));
        self.employ(known);
    }
}

/// The body of a page.
type Body = fn(u32) -> Value;

/// The way to the simulator, which remembers what went over it and can fail for sweeps alone.
#[derive(Debug)]
struct Wire {
    inner: Arc<dyn Transport>,
    sweeps_fail: AtomicBool,
    /// Bodies that take the place of the simulator's for the pages of sweeps.
    sweeps: Mutex<Option<Body>>,
    sent: Mutex<Vec<String>>,
}

fn is_sweep(path: &str) -> bool {
    path.starts_with("agentstatuses/") && !path.contains("queue=")
}

impl Transport for Wire {
    fn send<'a>(&'a self, request: Outgoing<'a>) -> BoxFuture<'a, Result<Reply, Fault>> {
        let path = request.path_and_query;
        self.sent.lock().unwrap().push(path.to_owned());
        if is_sweep(path) && self.sweeps_fail.load(Ordering::Relaxed) {
            return Box::pin(async { Err(Fault::down(Down::ServerError, "502")) });
        }
        if let (true, Some(body)) = (is_sweep(path), *self.sweeps.lock().unwrap()) {
            let page = path.split_once("&page=").map_or("1", |(_, page)| page);
            let body = body(page.parse().unwrap()).to_string();
            return Box::pin(async move {
                Ok(Reply {
                    status: StatusCode::OK,
                    headers: HeaderMap::new(),
                    body: body.into(),
                })
            });
        }
        self.inner.send(request)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stage {
    fn state(&self, place: usize) -> Arc<QueueState> {
        self.board.get(&self.keys[place]).unwrap()
    }

    fn decide(&self, place: usize) -> Decision {
        let policy = Policy {
            threshold: Some(Quantity::ZERO),
            max_age: None,
            on_unknown: OnUnknown::Reject,
        };
        decide(&self.state(place), &policy, 0, self.clock.now())
    }

    /// Decides, and counts it as a question.
    fn question(&self, place: usize) -> Decision {
        let decision = self.decide(place);
        let meters = self.metrics.queue(&self.keys[place]).unwrap();
        self.metrics.decision(&meters, &decision, Duration::ZERO);
        decision
    }

    fn places(&self) -> std::ops::Range<usize> {
        0..self.keys.len()
    }

    fn seats(&self, place: usize) -> Quantity {
        Quantity::from(self.simulator.seats(self.ids[place]) as u32)
    }

    /// Paths sent since this was last asked.
    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.wire.sent.lock().unwrap())
    }

    fn sweeps_sent(&self) -> usize {
        self.sent().iter().filter(|path| is_sweep(path)).count()
    }

    fn distrusted(&self) -> u64 {
        let text = self.metrics.render(Scrape::default(), Format::Text);
        let name = "openseat_sweeps_distrusted_total{account=\"main\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
    }

    fn between_sweeps(&self) -> Duration {
        self.budget.usual_period() * 4 / 3
    }

    fn status(&self, name: &str) -> u64 {
        self.simulator
            .world(|world| world.status_named(name).unwrap())
    }

    /// Somebody with seats in two queues at least.
    fn busy_agent(&self) -> (AgentId, Vec<usize>) {
        let (id, queues) = self.simulator.world(|world| {
            let agents = world.agents();
            let agents = agents.iter().map(|id| world.agent(id).unwrap());
            let mut agents =
                agents.filter(|agent| agent.queues.iter().filter(|(_, on)| *on).count() >= 2);
            let agent = agents.next().unwrap();
            (agent.id, agent.queues)
        });
        let places = queues
            .iter()
            .map(|(id, _)| self.ids.iter().position(|known| known == id).unwrap());
        (id, places.collect())
    }

    fn shows(&self, place: usize, agent: &AgentId) -> Option<bool> {
        let snapshot = self.state(place).snapshot.clone()?;
        let row = snapshot.agents.iter().find(|row| row.id == *agent)?;
        row.available
    }

    async fn watch(&self, time: Duration, mut look: impl FnMut(&Self)) {
        let end = self.clock.now().boot + time;
        while self.clock.now().boot < end {
            sleep(SECOND).await;
            look(self);
        }
    }

    /// What an answer says of its count, its age and its end must go together.
    fn assert_coherent(&self, place: usize) {
        let (decision, now) = (self.decide(place), self.clock.now());
        let max_age = self.state(place).planned_max_age;
        let is_valid = decision
            .valid_until
            .is_some_and(|until| until.wall >= now.wall);
        assert_eq!(decision.count.is_some(), is_valid, "{place}: {decision:?}");
        let is_young = decision.age.is_some_and(|age| age <= max_age);
        assert_eq!(decision.count.is_some(), is_young, "{place}: {decision:?}");
    }

    fn assert_all_known(&self) {
        for place in self.places() {
            let decision = self.decide(place);
            assert!(
                decision.reason.is_known(),
                "{place}: {decision:?} {:?}",
                self.state(place).fault
            );
        }
    }

    /// The world stands still, so what is known must be what is.
    fn assert_true(&self) {
        for place in self.places() {
            if let Some(count) = self.decide(place).count {
                assert_eq!(count, self.seats(place), "{place}");
            }
        }
    }
}

fn still(queues: usize, agents: usize) -> Setting {
    Setting::new(WorldSettings::still(queues, agents))
}

#[tokio::test(start_paused = true)]
async fn a_change_anywhere_is_on_the_board_of_all_queues_within_two_sweeps() {
    let stage = still(20, 60).start();
    sleep(2 * MINUTE).await;
    let (agent, places) = stage.busy_agent();
    for status in ["Available", "Not Available", "Available"] {
        let status = stage.status(status);
        stage
            .simulator
            .world(|world| world.set_status(&agent, status));
        sleep(stage.between_sweeps() * 2 + SECOND).await;
        let available = stage
            .simulator
            .world(|world| world.agent(&agent).unwrap().available);
        for place in &places {
            assert_eq!(stage.shows(*place, &agent), Some(available));
        }
        stage.assert_true();
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_seen_in_one_queue_counts_in_the_others_at_once() {
    let mut setting = still(20, 60);
    setting.options.sweep = false;
    let stage = setting.start();
    sleep(2 * MINUTE).await;
    let (agent, places) = stage.busy_agent();
    let was = stage.shows(places[0], &agent).unwrap();
    let status = stage.status(if was { "Not Available" } else { "Available" });
    stage
        .simulator
        .world(|world| world.set_status(&agent, status));
    let before: Vec<_> = places
        .iter()
        .map(|place| stage.state(*place).last_success)
        .collect();
    while stage.shows(places[0], &agent) == Some(was) {
        sleep(Duration::from_millis(50)).await;
    }
    let polled = places
        .iter()
        .zip(before)
        .filter(|(place, before)| stage.state(**place).last_success != *before);
    assert_eq!(polled.count(), 1, "one of its queues was polled");
    assert!(
        places
            .iter()
            .all(|place| stage.shows(*place, &agent) == Some(!was))
    );
    assert_eq!(stage.sweeps_sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn statuses_are_seconds_old_while_memberships_grow_minutes_old() {
    let stage = Setting::new(WorldSettings {
        queues: 20,
        agents: 60,
        ..WorldSettings::study()
    })
    .start();
    sleep(5 * MINUTE).await;
    let (mut oldest, mut oldest_members) = (Duration::ZERO, Duration::ZERO);
    stage
        .watch(5 * MINUTE, |stage| {
            for place in stage.places() {
                let decision = stage.decide(place);
                oldest = oldest.max(decision.age.unwrap());
                oldest_members = oldest_members.max(decision.membership_age.unwrap());
            }
        })
        .await;
    assert!(oldest < stage.between_sweeps() + 3 * SECOND, "{oldest:?}");
    let turn = stage.budget.usual_period() * 4 * 20;
    assert!(
        oldest_members > turn / 2 && oldest_members < turn * 2,
        "{oldest_members:?} of {turn:?}"
    );
    assert_eq!(stage.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lively_account_is_never_distrusted() {
    for seed in 1..3 {
        let world = WorldSettings {
            seed,
            queues: 20,
            agents: 60,
            ..WorldSettings::study()
        };
        let stage = Setting::new(world).start();
        sleep(20 * MINUTE).await;
        assert_eq!(stage.distrusted(), 0, "seed {seed}");
        assert!(stage.simulator.worst_sliding_hour() <= 1000);
    }
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_are_refused_are_given_up_for_an_hour() {
    for quirk in [SweepQuirk::Forbidden, SweepQuirk::NotFound] {
        let mut setting = still(20, 60);
        setting.sweep = quirk;
        let stage = setting.start();
        sleep(MINUTE).await;
        assert_eq!(
            (stage.sweeps_sent(), stage.distrusted()),
            (1, 1),
            "{quirk:?}"
        );
        stage
            .watch(50 * MINUTE, |stage| {
                stage.assert_all_known();
                stage.assert_true()
            })
            .await;
        assert_eq!(
            (stage.sweeps_sent(), stage.distrusted()),
            (0, 1),
            "said once"
        );
        // Polls have the whole budget meanwhile.
        assert_eq!(
            stage.state(0).planned_max_age,
            stage.budget.usual_period() * 20 * 3
        );
        stage
            .simulator
            .quirks(|quirks| quirks.sweep = SweepQuirk::Whole);
        sleep(15 * MINUTE).await;
        assert!(stage.sweeps_sent() > 30, "tried again, and used");
        assert_eq!(stage.distrusted(), 1);
        assert_eq!(stage.state(0).planned_max_age, MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_list_is_found_out_before_anything_of_it_is_served() {
    let mut setting = still(20, 60);
    setting.sweep = SweepQuirk::Stale;
    let stage = setting.start();
    let ready = stage.status("Available");
    stage.simulator.world(|world| world.set_everyone(ready));
    stage.watch(50 * MINUTE, Stage::assert_true).await;
    assert_eq!((stage.distrusted(), stage.sweeps_sent()), (1, 1));
    stage.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_goes_stale_later_is_found_out_by_polls() {
    let stage = still(20, 60).start();
    let ready = stage.status("Available");
    stage.simulator.world(|world| world.set_everyone(ready));
    sleep(10 * MINUTE).await;
    assert_eq!(stage.distrusted(), 0);
    stage
        .simulator
        .quirks(|quirks| quirks.sweep = SweepQuirk::Stale);
    sleep(3 * MINUTE).await;
    assert_eq!(stage.distrusted(), 1);
    stage.watch(10 * MINUTE, Stage::assert_true).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_leaves_people_out_is_found_out() {
    let mut setting = still(10, 60);
    setting.sweep = SweepQuirk::Partial;
    let stage = setting.start();
    stage.watch(50 * MINUTE, Stage::assert_true).await;
    assert_eq!(stage.distrusted(), 1);
    stage.assert_all_known();
    stage.sent();
    stage.watch(5 * MINUTE, Stage::assert_true).await;
    assert_eq!(stage.sweeps_sent(), 0);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_leaves_the_account_is_no_reason_for_distrust_and_soon_forgotten() {
    let stage = still(20, 60).start();
    sleep(5 * MINUTE).await;
    let (agent, places) = stage.busy_agent();
    stage.simulator.world(|world| world.remove_agent(&agent));
    // A slot for queues for each of theirs, and one for whichever was on its way.
    sleep(stage.budget.usual_period() * 4 * (places.len() as u32 + 2)).await;
    assert!(
        places
            .iter()
            .all(|place| stage.shows(*place, &agent).is_none())
    );
    stage
        .watch(10 * MINUTE, |stage| {
            stage.assert_all_known();
            stage.assert_true()
        })
        .await;
    assert_eq!(stage.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_keep_failing_while_polls_do_not_are_given_up() {
    let stage = still(30, 60).start();
    sleep(5 * MINUTE).await;
    stage.wire.sweeps_fail.store(true, Ordering::Relaxed);
    sleep(4 * MINUTE).await;
    assert_eq!(stage.distrusted(), 1);
    stage.watch(10 * MINUTE, Stage::assert_all_known).await;
}

/// A page of strangers, with a link to the next.
fn strangers(page: u32) -> Value {
    let row =
        |n| json!({"app_user": format!("{page}-{n}"), "status": "Available", "logged_in": true});
    let rows: Vec<_> = (0..20).map(row).collect();
    json!({"count": i64::MAX, "next": format!("?page={}", page + 1), "results": rows})
}

/// As if nobody were there, though the count says otherwise.
fn nobody(_: u32) -> Value {
    json!({"count": 300, "next": null, "results": []})
}

#[tokio::test(start_paused = true)]
async fn a_sweep_without_end_or_without_anybody_is_given_up() {
    // With few queues, half as many pages cost more than polling them; with many, the bounds of every list end it.
    for (body, queues, pages, distrusted) in [
        (strangers as Body, 40, 20, 0),
        (strangers, 400, 100, 1),
        (nobody, 40, 30, 1),
    ] {
        let stage = still(queues, 300).start();
        *stage.wire.sweeps.lock().unwrap() = Some(body);
        stage.watch(15 * MINUTE, |_| ()).await;
        let sweeps = stage.sweeps_sent();
        assert_eq!(
            stage.distrusted(),
            distrusted,
            "{queues} queues, {sweeps} pages"
        );
        assert!(sweeps <= pages, "{queues} queues: {sweeps} pages");
        stage.assert_true();
    }
}

fn custom(field: &str) -> Rule {
    let definition = Definition {
        field: field.to_owned(),
        measure: Some(Measure::Count),
        condition: Condition::GreaterThan,
        value: Some(Literal::Number(Quantity::ZERO)),
    };
    Rule::Custom(Arc::new(Criteria::compile(&definition).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn criteria_see_joined_rows_if_they_read_what_sweeps_tell_and_their_own_polls_if_not() {
    let mut setting = still(20, 60);
    setting.rules = vec![
        custom("$.results[?@.status=='Available' && @.queue_logged_in==true]"),
        custom("$.results[?@.status=='Available' && @.team]"),
    ];
    let stage = setting.start();
    let ready = stage.status("Available");
    sleep(10 * MINUTE).await;
    let snapshot = |place: usize| stage.state(place).snapshot.clone().unwrap();
    stage.simulator.world(|world| world.set_everyone(ready));
    let polled = snapshot(18).members_as_of;
    sleep(stage.between_sweeps() * 2 + SECOND).await;
    let count = |place| stage.decide(place).count.unwrap();
    assert_eq!(count(18), stage.seats(18), "joined, …");
    assert_eq!(snapshot(18).members_as_of, polled, "… and not polled");
    stage
        .watch(10 * MINUTE, |stage| {
            let own = stage.state(19).snapshot.clone().unwrap();
            assert_eq!(
                own.as_of, own.members_as_of,
                "renewed by its own polls alone"
            );
        })
        .await;
    let own = snapshot(19);
    assert_eq!(
        stage
            .state(19)
            .last_success
            .map(|at| at.longest_since(own.as_of) < SECOND * 5),
        Some(true)
    );
    stage.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_own_polls_fail_for_longer_than_max_age_becomes_unknown_and_not_before() {
    let stage = still(20, 60).start();
    sleep(5 * MINUTE).await;
    stage
        .simulator
        .world(|world| world.remove_queue(stage.ids[7]));
    let (mut known_until, mut failing_since) = (None, None);
    stage
        .watch(20 * MINUTE, |stage| {
            let (state, decision, now) = (stage.state(7), stage.decide(7), stage.clock.now());
            if state.fault.is_some() {
                failing_since.get_or_insert(now);
            }
            let failing = failing_since.map(|since| now.longest_since(since));
            stage.assert_coherent(7);
            if decision.reason.is_known() {
                assert!(known_until.is_none(), "it came back");
                // What was known when it began to fail may be used for as long as any knowledge.
                assert!(
                    failing.is_none_or(|failing| failing <= MINUTE + SECOND),
                    "{failing:?}"
                );
            } else {
                known_until.get_or_insert(now);
                assert_eq!(decision.reason, Reason::NoSuchQueue);
                assert!(failing.unwrap() > MINUTE - stage.between_sweeps() - SECOND);
            }
            for place in stage.places().filter(|place| *place != 7) {
                assert!(stage.decide(place).reason.is_known(), "{place}");
            }
        })
        .await;
    assert!(known_until.is_some(), "it was found out");
    assert_eq!(stage.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_single_failure_leaves_no_trace() {
    let stage = still(30, 60).start();
    sleep(5 * MINUTE).await;
    stage.simulator.inject(3, None, InjectedFault::WebPage(502));
    stage.watch(5 * MINUTE, Stage::assert_all_known).await;
    assert_eq!(stage.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_everything_is_known_again_at_once() {
    let stage = still(30, 60).start();
    sleep(10 * MINUTE).await;
    stage
        .simulator
        .inject(usize::MAX, None, InjectedFault::WebPage(502));
    sleep(10 * MINUTE).await;
    assert!(
        stage
            .places()
            .all(|place| stage.decide(place).reason == Reason::UpstreamDown
                || stage.decide(place).reason == Reason::TooOld)
    );
    stage.simulator.clear_faults();
    // The longest back-off, and a sweep.
    sleep(MINUTE + stage.between_sweeps() * 2).await;
    stage.watch(5 * MINUTE, Stage::assert_all_known).await;
    assert_eq!(stage.distrusted(), 0, "an outage is nothing against sweeps");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_calltools_asked_for_ends_for_all_queues_together() {
    let stage = still(30, 60).start();
    sleep(10 * MINUTE).await;
    stage
        .simulator
        .inject(1, None, InjectedFault::Throttled(Some(90 * SECOND)));
    sleep(85 * SECOND).await;
    assert_eq!(stage.decide(0).reason, Reason::Throttled);
    sleep(30 * SECOND).await;
    stage.watch(5 * MINUTE, Stage::assert_all_known).await;
}

#[tokio::test(start_paused = true)]
async fn max_age_follows_from_how_the_account_is_polled() {
    let stage = still(30, 60).start();
    sleep(MINUTE * 5).await;
    let period = stage.budget.usual_period();
    assert_eq!(stage.state(3).planned_max_age, MINUTE, "while swept");
    assert!(stage.state(3).planned_members_max_age >= period * 4 * 30 * 3);
    let mut setting = still(30, 60);
    setting.options.sweep = false;
    let stage = setting.start();
    sleep(MINUTE * 5).await;
    assert_eq!(
        stage.state(3).planned_max_age,
        period * 30 * 3,
        "three rounds"
    );
}

#[tokio::test(start_paused = true)]
async fn a_poor_account_with_one_queue_in_demand_knows_all_its_queues() {
    for sweep in [true, false] {
        let mut setting = still(20, 30);
        setting.requests_per_hour = 200;
        setting.options.sweep = sweep;
        let stage = setting.start();
        sleep(20 * MINUTE).await;
        stage
            .watch(100 * MINUTE, |stage| {
                stage.question(3);
                stage.assert_all_known();
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_account_is_polled_slowly_and_wakes_on_the_first_question() {
    let mut setting = still(20, 60);
    setting.options.idle_pace = 0.25;
    let stage = setting.start();
    sleep(20 * MINUTE).await;
    stage.sent();
    stage.watch(10 * MINUTE, Stage::assert_all_known).await;
    let slow = stage.sent().len();
    let earned = (10 * MINUTE).as_secs_f64() / stage.budget.usual_period().as_secs_f64();
    assert!((slow as f64) < earned * 0.3, "{slow} of {earned}");
    // In the midst of a wait.
    while stage.sent().is_empty() {
        sleep(Duration::from_millis(100)).await;
    }
    stage.question(0);
    sleep(2 * SECOND).await;
    assert!(!stage.sent().is_empty(), "awake");
}

const PRESSING: Staleness = Staleness {
    chance: 1.0,
    of_membership: 0.0,
};

/// Lets permits be saved up: somebody asks now and then who would wait.
async fn save_up(stage: &Stage) {
    for _ in 0..10 {
        stage
            .wait(
                0,
                Staleness {
                    chance: 1e-9,
                    ..PRESSING
                },
                Duration::ZERO,
            )
            .await;
        sleep(MINUTE).await;
    }
    assert!(stage.budget.fill() > 0.9, "{}", stage.budget.fill());
}

impl Stage {
    async fn wait(&self, place: usize, doubt: Staleness, longest: Duration) {
        wait_for_newer(&self.asks, &self.keys[place], doubt, longest).await;
    }

    /// Until just after a request was answered: the next one of the background is some seconds away.
    async fn quiet(&self) {
        self.sent();
        while self.sent().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
        self.simulator.set_latency(Duration::from_millis(200));
        sleep(3 * SECOND).await;
        self.sent();
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_who_ask_at_once_are_served_by_one_request() {
    let stage = still(20, 60).start();
    save_up(&stage).await;
    stage.quiet().await;
    let before = stage.state(5).snapshot.clone().unwrap().as_of;
    let began = stage.clock.now();
    join_all((0..50).map(|_| stage.wait(5, PRESSING, 5 * SECOND))).await;
    let took = stage.clock.now().longest_since(began);
    assert!(took > Duration::ZERO && took < 3 * SECOND, "{took:?}");
    assert_eq!(stage.sent().len(), 1);
    assert!(stage.state(5).snapshot.clone().unwrap().as_of.boot > before.boot);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_no_longer_than_asked_for() {
    let stage = still(20, 60).start();
    save_up(&stage).await;
    stage
        .simulator
        .inject(usize::MAX, None, InjectedFault::Hang);
    for ms in [0, 1, 50, 400] {
        let (began, longest) = (tokio::time::Instant::now(), Duration::from_millis(ms));
        stage.wait(5, PRESSING, longest).await;
        let waited = began.elapsed();
        assert!(
            waited <= longest + Duration::from_millis(2),
            "{waited:?} of {longest:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_will_not_be_asked_is_not_waited_for() {
    let stage = still(20, 60).start();
    save_up(&stage).await;
    stage.quiet().await;
    let began = tokio::time::Instant::now();
    stage.wait(5, Staleness::NONE, 5 * SECOND).await;
    assert!(began.elapsed() < SECOND, "no doubt");
    assert_eq!(stage.sent().len(), 0);
    // A queue that has just failed is not asked again for everybody who wonders.
    stage
        .simulator
        .world(|world| world.remove_queue(stage.ids[7]));
    for _ in 0..20 {
        stage.wait(7, Staleness::UNKNOWN, 5 * SECOND).await;
    }
    let of_it = stage.sent().into_iter().filter(|path| {
        path.contains(&format!("queue={}&", stage.ids[7]))
            || path.ends_with(&format!("queue={}", stage.ids[7]))
    });
    assert!(of_it.count() <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_doubt_about_who_belongs_to_a_queue_is_settled_by_polling_it() {
    let stage = still(20, 60).start();
    save_up(&stage).await;
    stage.quiet().await;
    stage.wait(5, Staleness::UNKNOWN, 5 * SECOND).await;
    let sent = stage.sent();
    assert!(sent.len() == 1 && !is_sweep(&sent[0]), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_questions_that_would_wait_spends_no_more_than_the_budget() {
    let stage = still(12, 30).start();
    for _ in 0..4200 {
        let places = [3, 5, 5];
        join_all(places.map(|place| stage.wait(place, PRESSING, Duration::from_millis(400)))).await;
        for place in places {
            stage.question(place);
        }
        sleep(SECOND / 2).await;
    }
    assert!(
        stage.simulator.worst_sliding_hour() <= 1000,
        "{}",
        stage.simulator.worst_sliding_hour()
    );
    assert_eq!(stage.simulator.throttled(), 0);
    stage.assert_all_known();
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_takes_a_call_ends_one_reservation_of_their_queues() {
    let stage = still(4, 12).start();
    let (agent, places) = stage.busy_agent();
    let set_status = |name| {
        let status = stage.status(name);
        stage
            .simulator
            .world(|world| world.set_status(&agent, status));
    };
    set_status("Available");
    sleep(MINUTE / 2).await;
    let calls = || {
        let held = stage.reservations.list(stage.clock.now());
        held.into_iter()
            .map(|(_, one)| one.call_id.into_string())
            .collect::<Vec<_>>()
    };
    for (place, call) in [(places[0], "first"), (places[1], "second")] {
        let holds = stage.reservations.queue(&stage.keys[place]);
        let accept = |_| Decision {
            accept: true,
            ..stage.decide(place)
        };
        holds.reserve(call, MINUTE, stage.clock.now(), accept);
        sleep(SECOND).await;
    }
    sleep(MINUTE / 6).await;
    assert_eq!(calls().len(), 2, "nobody has left");
    set_status("On a Call");
    sleep(MINUTE / 6).await;
    assert_eq!(calls(), ["second"], "it was one call");
}

#[tokio::test(start_paused = true)]
async fn what_one_task_knows_another_takes_over_with_its_age() {
    let stage = still(5, 20).start();
    sleep(2 * MINUTE).await;
    let (reply, known) = tokio::sync::oneshot::channel();
    stage.asks.send(Ask::Known { reply }).await.unwrap();
    let known = known.await.unwrap();
    assert_eq!(known.queues.len(), 5);
    assert!(!known.agents.is_empty(), "sweeps are newer than polls");
    let before: Vec<_> = stage.places().map(|place| stage.decide(place)).collect();
    stage.task.abort();
    sleep(7 * SECOND).await;

    let board = Arc::new(Board::new(stage.keys.clone()));
    let queues = stage.keys.iter().zip(&stage.ids).map(|(key, id)| Polled {
        key: key.clone(),
        reference: QueueRef::Id(*id),
        rule: SEATS,
        threshold: Some(Quantity::ZERO),
        max_age: None,
    });
    let account = Account::new(Parts {
        payer: Payer {
            account: "main".to_owned(),
            identity: String::new(),
        },
        // One queue fewer, and in another order.
        queues: queues.skip(1).rev().collect(),
        options: ScheduleOptions::default(),
        client: Client::new(
            stage.wire.clone(),
            stage.budget.clone(),
            stage.clock.clone(),
            Arc::new(()),
        ),
        budget: stage.budget.clone(),
        board: board.clone(),
        metrics: stage.metrics.clone(),
        store: None,
        known,
        reservations: Arc::default(),
        clock: stage.clock.clone(),
        names: watch::Sender::new(Arc::default()),
        health: watch::Sender::default(),
        asks: mpsc::channel(1).1,
        token: None,
        pulse: crate::process::pulse::Pulses::default().begin("another"),
    });
    for (key, was) in stage.keys.iter().zip(before).skip(1) {
        let state = board.get(key).unwrap();
        let snapshot = state
            .snapshot
            .clone()
            .expect("known before anything was asked");
        let now = stage.clock.now();
        assert_eq!(
            snapshot.measured.as_ref().unwrap().count,
            was.count.unwrap()
        );
        assert_eq!(
            now.longest_since(snapshot.as_of),
            was.age.unwrap() + 7 * SECOND
        );
        let polled = state.last_success.unwrap();
        assert!(
            now.longest_since(polled) > 7 * SECOND,
            "the poll was long ago"
        );
    }
    let none = board.get(&stage.keys[0]).unwrap();
    assert!(none.snapshot.is_none());
    drop(account);
}

#[tokio::test(start_paused = true)]
async fn lists_that_are_all_empty_at_once_are_told_once_and_shown() {
    let (logged, _guard) = crate::logged::listen();
    let stage = still(10, 40).start();
    sleep(5 * MINUTE).await;
    assert_eq!(stage.health.borrow().emptied, None);
    let members: Vec<_> = stage.simulator.world(|world| {
        let queues = world.queues().iter().map(|queue| queue.id);
        let queues: Vec<_> = queues.collect();
        let members = queues
            .into_iter()
            .map(|queue| (queue, world.agents_of(queue)));
        members.collect()
    });
    let people: std::collections::HashSet<_> =
        members.iter().flat_map(|(_, agents)| agents).collect();
    let begin = stage.clock.now();
    stage.simulator.world(|world| {
        for (queue, agents) in &members {
            for agent in agents {
                world.leave_queue(*queue, agent);
            }
        }
    });
    sleep(20 * MINUTE).await;
    let emptied = stage.health.borrow().emptied.expect("all is empty");
    assert_eq!(emptied.agents_before, people.len());
    assert!(emptied.since.boot >= begin.boot);
    let said = |words: &str| {
        let lines = logged.lines();
        lines.iter().filter(|line| line.contains(words)).count()
    };
    assert_eq!(said("list of agents is empty"), 1);
    let (queue, agents) = &members[3];
    let name = format!("{}", agents[0]);
    stage
        .simulator
        .world(|world| world.add_agent(&name, &[*queue]));
    sleep(10 * MINUTE).await;
    assert_eq!(stage.health.borrow().emptied, None);
    assert_eq!(said("there are agents in the queues again"), 1);
    assert_eq!(said("list of agents is empty"), 1);
}
