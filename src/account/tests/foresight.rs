//! Tests what an account learns about calls at zero seats from its usual polls.

use std::collections::HashMap;

use super::*;
use crate::{
    account::feeds::Feed,
    config::Soon,
    decision::{
        Choice, decide_with,
        reservations::{DEFAULT_TTL, Holds, MAX_PER_QUEUE, Reserved},
        soon::{
            report::{AccountReport, State},
            rule::{Held, Off, Prediction, Terms},
            week::Calls,
        },
    },
    fixtures::Still,
    logged::listen,
    model::agent::Agent,
    simulator::{Ordering, Quirks, StatusForm, World},
};

/// Returns a queue that often has no seat, and whose agents spend 20 s in wrap-up on average.
pub(super) fn busy(seed: u64) -> Setting {
    Setting::new(WorldSettings {
        seed,
        queues: 1,
        agents: 8,
        shifts: false,
        mean_idle: Duration::from_secs(25),
        mean_call: Duration::from_secs(90),
        mean_wrap_up: Duration::from_secs(20),
        ..WorldSettings::lively()
    })
}

impl Fixture {
    /// Asks about a call every two seconds.
    async fn calls(&self, time: Duration) {
        let end = self.clock.now().boot + time;
        while self.clock.now().boot < end {
            sleep(2 * SECOND).await;
            self.question(0);
        }
    }

    fn report(&self) -> Arc<AccountReport> {
        self.health.borrow().soon.clone().expect("a report by now")
    }
}

#[tokio::test(start_paused = true)]
async fn situations_at_zero_seats_are_predicted_followed_and_reported() {
    let fixture = busy(3).start();
    fixture.calls(30 * MINUTE).await;
    let State::Measured(Err(too_new)) = fixture.report().queues[0].state else {
        panic!("{:?}", fixture.report());
    };
    assert!(too_new.to_string().contains("of 60 minutes"), "{too_new}");
    let early = fixture.report();
    let calls = early.queues[0].calls.unwrap();
    assert!(calls.came > 50, "{calls:?}");
    assert_eq!(calls.would, 0, "it would not act yet");
    let followed: u32 = early.tenths.iter().flatten().sum();
    assert!(followed > 20, "{early:?}");
    fixture.calls(4 * 60 * MINUTE).await;
    let report = fixture.report();
    let queue = &report.queues[0];
    assert_eq!(queue.state, State::Measured(Ok(())));
    let Calls {
        came,
        accepted,
        would,
        judged,
        found,
    } = queue.calls.unwrap();
    assert!(
        came > 500 && would > 30 && would < came && accepted == 0,
        "{queue:?}"
    );
    assert!(judged > would / 2 && judged <= would, "{queue:?}");
    assert!(found > judged / 2, "{queue:?}");
    assert!(
        queue.outcome().contains("soon would have accepted"),
        "{}",
        queue.outcome()
    );

    // Wrap-ups have no memory in this world, so predictions are never certain, and come true as often as they say.
    let (mut predicted, mut seen, mut all) = (0.0, 0.0, 0.0);
    for (tenth, [without, with]) in report.tenths.iter().enumerate() {
        let situations = f64::from(without + with);
        predicted += situations * (tenth as f64 + 0.5) / 10.0;
        seen += f64::from(*with);
        all += situations;
    }
    assert!(all > 300.0, "{report:?}");
    assert!(
        (predicted - seen).abs() / all < 0.1,
        "{predicted} {seen} {all}: {report:?}"
    );

    let text = fixture.metrics.render(Scrape::default(), Format::Text);
    let series = text
        .lines()
        .filter(|line| line.starts_with("openseat_soon_total{"));
    let sum: f64 = series
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(sum, all);
}

/// More seats than agents are held, so the situation that is predicted never comes. What an account sends does not depend on held seats.
fn hold_all_seats(fixture: &Fixture) {
    let now = fixture.clock.now();
    let accepted = Decision {
        accept: true,
        ..decide(&QueueState::default(), &fixtures::policy(), 0, now)
    };
    for key in &fixture.keys {
        let holds = fixture.reservations.queue(key);
        for call in 0..MAX_PER_QUEUE {
            let call = format!("call-{call}");
            holds.reserve(&call, 60 * MINUTE, now, |_| accepted);
        }
    }
}

/// Returns what an account that knows how long wrap-ups last sends in each two seconds of 20 minutes, and how many situations it has followed.
async fn sent(setting: Setting, threshold: Option<f64>) -> (Vec<Vec<String>>, State, u32) {
    // Pauses after failures are random.
    fastrand::seed(7);
    let mut fixture = setting.start();
    match threshold.and_then(Quantity::new) {
        Some(threshold) => {
            let queues = &mut fixture.queues;
            queues
                .iter_mut()
                .for_each(|queue| queue.threshold = Some(threshold));
        }
        None => hold_all_seats(&fixture),
    }
    fixture.start_task(counted::learnt(fixture.clock.now()));
    let mut sent = Vec::new();
    for _ in 0..600 {
        fixture.calls(2 * SECOND).await;
        sent.push(fixture.sent());
    }
    let report = fixture.report();
    let followed = report.tenths.iter().flatten().sum();
    (sent, report.queues[0].state, followed)
}

#[tokio::test(start_paused = true)]
async fn no_request_is_sent_for_it() {
    // One queue is polled alone; of four, statuses come from sweeps.
    for queues in [1, 4] {
        let setting = |soon| Setting {
            soon,
            ..Setting::new(WorldSettings {
                queues,
                agents: 8 * queues,
                ..busy(5).world
            })
        };
        let (unmeasured, _, followed) = sent(setting(Soon::default()), None).await;
        assert_eq!(followed, 0, "nothing is predicted");
        let requests: usize = unmeasured.iter().map(Vec::len).sum();
        assert!(requests > 300, "{requests}");
        for (soon, threshold, expected) in [
            (ON, 0.0, State::Asked(Ok(()))),
            (Soon::default(), 0.0, State::Measured(Ok(()))),
            // The same, because agents are whole.
            (Soon::default(), 0.5, State::Measured(Ok(()))),
        ] {
            let (measured, state, followed) = sent(setting(soon), Some(threshold)).await;
            assert_eq!(state, expected);
            assert!(followed > 20, "{followed}");
            let mut both = measured.iter().zip(&unmeasured);
            let differs = both.position(|(one, other)| one != other);
            assert_eq!(differs, None, "{queues} {state:?}");
        }
    }
}

/// Twelve agents whose wrap-ups all take 20 s.
#[tokio::test(start_paused = true)]
async fn after_an_hour_as_many_agents_come_as_were_predicted() {
    let world = WorldSettings {
        agents: 12,
        wrap_up_parts: 0,
        // Often nobody is free.
        mean_idle: 10 * SECOND,
        ..busy(3).world
    };
    let fixture = Setting::new(world).start();
    fixture.calls(60 * MINUTE).await;
    let learning = fixture.report().tenths;
    fixture.calls(2 * 60 * MINUTE).await;
    let report = fixture.report();
    let (mut all, mut predicted, mut seen) = (0.0, 0.0, 0.0);
    for (tenth, (now, before)) in report.tenths.iter().zip(learning).enumerate() {
        let [without, with] = [0, 1].map(|kind| f64::from(now[kind] - before[kind]));
        let (situations, lower) = (without + with, tenth as f64 / 10.0);
        all += situations;
        predicted += situations * (lower + 0.05);
        seen += with;
        // Of fewer situations, the share that comes true differs more by chance.
        if situations >= 60.0 {
            let share = with / situations;
            let is_right = (lower - 0.05..=lower + 0.15).contains(&share);
            assert!(is_right, "{lower}: {share}: {report:?} {learning:?}");
        }
    }
    assert!(all > 300.0, "{report:?}");
    let error = (predicted - seen) / all;
    assert!(error.abs() <= 0.05, "{error}: {report:?} {learning:?}");
}

/// What an account has counted and learnt, to compare.
async fn counted(fixture: &Fixture) -> (AccountReport, HashMap<String, u64>) {
    let mut report = (*fixture.report()).clone();
    // Written as text and read, the last digits may differ.
    report.factor = (report.factor * 1e9).round();
    (report, stays(fixture).await)
}

#[tokio::test(start_paused = true)]
async fn knowledge_survives_a_restart_and_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let path = folder.path().join("state.sqlite3");
        Some(Arc::new(
            Store::open(&path, Arc::new(Still::new())).unwrap(),
        ))
    };
    let mut fixture = busy(3).start();
    fixture.store = open();
    fixture.start_task(Known::default());
    fixture.calls(90 * MINUTE).await;
    // Nothing more happens, and no queue is without a seat. Within ten minutes all of it is settled and stored.
    let available = fixture.status("Available");
    fixture.simulator.world(|world| {
        world.freeze();
        world.set_everyone(available);
    });
    sleep(21 * MINUTE).await;
    let before = counted(&fixture).await;
    let queue = &before.0.queues[0];
    let calls = queue.calls.unwrap();
    assert_eq!(queue.state, State::Measured(Ok(())));
    assert!(calls.came > 100 && calls.judged > 0, "{calls:?}");
    assert!(before.0.tenths.iter().flatten().sum::<u32>() > 100);
    assert!(before.1["Post Call"] > 100, "{:?}", before.1);

    // A reload hands it over.
    fixture.restart().await;
    sleep(7 * SECOND).await;
    assert_eq!(counted(&fixture).await, before);
    // The next process has only the store.
    let store = fixture.store.take().unwrap();
    fixture.task.abort();
    sleep(SECOND).await;
    store.finish(20 * SECOND);
    drop(store);
    fixture.store = open();
    fixture.start_task(Known::default());
    sleep(7 * SECOND).await;
    assert_eq!(counted(&fixture).await, before);
}

const ON: Soon = Soon {
    is_on: true,
    terms: Terms::DEFAULT,
};

/// Agents whose wrap-ups all take 20 s, and who take only calls that are offered to them.
fn exact() -> Setting {
    Setting {
        soon: ON,
        ..Setting::new(WorldSettings {
            mean_idle: Duration::from_secs(100 * 86_400),
            wrap_up_parts: 0,
            calls_without_status: 0,
            ..busy(3).world
        })
    }
}

impl Fixture {
    /// Decides about a call, which holds a seat if it is accepted.
    fn reserve(&self, call_id: &str) -> Reserved {
        let (state, now) = (self.state(0), self.clock.now());
        let policy = fixtures::policy();
        let decide = |held: Held<'_>| decide_with(&state, &policy, held, now);
        let holds = self.reservations.queue(&self.keys[0]);
        let reserved = holds.reserve(call_id, DEFAULT_TTL, now, decide);
        let meters = self.metrics.queue(&self.keys[0]).unwrap();
        let decision = reserved.decision().expect("each call asks once");
        self.metrics.decision(&meters, decision, Duration::ZERO);
        reserved
    }

    /// Offers a call that arrives after the lead, and waits for an agent who takes it. Returns whether one does within the patience.
    async fn arrives(&self) -> bool {
        sleep(Terms::DEFAULT.lead()).await;
        for _ in 0..50 {
            let taken = |world: &mut World| world.offer_call(self.ids[0]);
            if self.simulator.world(taken).is_some() {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    }
}

/// When the row of each agent was read that the account knows.
fn rows_seen(known: &Known) -> HashMap<AgentId, Moment> {
    let polls = known.queues.iter().flat_map(|(_, poll)| {
        let agents = poll.agents.iter();
        agents.map(|agent| (agent.id.clone(), poll.as_of))
    });
    let others = known.agents.iter();
    let others = others.map(|row| (row.agent.id.clone(), row.at));
    let mut seen: HashMap<AgentId, Moment> = HashMap::new();
    for (id, at) in polls.chain(others) {
        let newest = seen.entry(id).or_insert(at);
        if at.boot > newest.boot {
            *newest = at;
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn nobody_is_expected_whose_status_is_too_old() {
    let teacher = busy(3).start();
    teacher.calls(90 * MINUTE).await;
    let learnt = teacher.knowledge().await.learnt;
    // Statuses come from the lists of available agents, so the statuses of the others are often minutes old.
    let mut fixture = Setting {
        soon: Soon {
            is_on: true,
            ..Soon::default()
        },
        ..feeds::large(8)
    }
    .start();
    let unordered = |quirks: &mut Quirks| quirks.ordering = Ordering::Off;
    fixture.simulator.quirks(unordered);
    fixture.start_task(Known {
        learnt,
        ..Known::default()
    });
    sleep(10 * MINUTE).await;
    assert_eq!(fixture.health.borrow().feed, Feed::Available);
    let any = Prediction::from_percent(0, Terms::DEFAULT);
    let (mut expected, mut are_some_old) = (0, false);
    for _ in 0..60 {
        sleep(5 * SECOND).await;
        let seen = rows_seen(&fixture.knowledge().await);
        let now = fixture.clock.now();
        let max_age = fixture.state(0).planned_max_age;
        are_some_old |= seen.values().any(|at| now.longest_since(*at) > 2 * max_age);
        for place in fixture.places() {
            let snapshot = fixture.state(place).snapshot.clone().unwrap();
            let Some(outlook) = &snapshot.outlook else {
                continue;
            };
            for one in outlook.expected(&snapshot.agents, any, |_| false) {
                let age = now.longest_since(seen[&one.agent.id]);
                assert!(age <= max_age, "{place}: {one:?} was seen {age:?} ago");
                expected += 1;
            }
        }
    }
    assert!(are_some_old && expected > 100, "{expected}");
}

/// The number of stays learnt in each status.
async fn stays(fixture: &Fixture) -> HashMap<String, u64> {
    let learnt = fixture.knowledge().await.learnt.unwrap();
    let learnt: Value = serde_json::from_str(&learnt).unwrap();
    let statuses = learnt["learnt"]["statuses"].as_array().unwrap().iter();
    let stays = statuses.map(|one| {
        let name = one["name"].as_str().unwrap().to_owned();
        (name, one["stays"].as_u64().unwrap())
    });
    stays.collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_follows_a_status_that_is_renamed() {
    for form in [StatusForm::Name, StatusForm::Id] {
        let fixture = busy(3).start();
        let quirk = |quirks: &mut Quirks| quirks.agent_status = form;
        fixture.simulator.quirks(quirk);
        fixture.calls(20 * MINUTE).await;
        let before = stays(&fixture).await["Post Call"];
        let id = fixture.status("Post Call");
        let rename = |world: &mut World| world.rename_status(id, "After call");
        assert!(fixture.simulator.world(rename));
        fixture.calls(40 * MINUTE).await;
        let after = stays(&fixture).await;
        assert_eq!(after.get("Post Call"), None, "{form:?}: {after:?}");
        let learnt = after["After call"];
        assert!(
            before > 20 && learnt > before + 20,
            "{form:?}: {before} {learnt}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn wrap_ups_of_several_minutes_are_no_short_status() {
    let world = WorldSettings {
        mean_wrap_up: 5 * MINUTE,
        ..busy(3).world
    };
    let fixture = Setting::new(world).start();
    fixture.calls(90 * MINUTE).await;
    let queue = &fixture.report().queues[0];
    let known: u64 = stays(&fixture).await.values().sum();
    assert!(known > 20, "{known}");
    assert_eq!(queue.state, State::Measured(Err(Off::NoShortStatus(known))));
    assert_eq!(queue.calls.unwrap().would, 0);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_was_seen_to_end_a_stay_it_is_not_said_that_no_status_is_short() {
    // A night, and a morning without calls.
    for status in ["Gone for the Day", "Available"] {
        let fixture = still(1, 8).start();
        let status = fixture.status(status);
        fixture.simulator.world(|world| world.set_everyone(status));
        fixture.calls(90 * MINUTE).await;
        let queue = &fixture.report().queues[0];
        assert_eq!(queue.state, State::Measured(Err(Off::NoStays)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_says_once_why_a_queue_that_asks_for_it_does_not_act_after_an_hour() {
    let (logged, _guard) = listen();
    let fixture = Setting {
        soon: ON,
        ..still(1, 8)
    }
    .start();
    let status = fixture.status("Gone for the Day");
    fixture.simulator.world(|world| world.set_everyone(status));
    let lines = || {
        let all = logged.lines().into_iter();
        let ours = all.filter(|line| line.contains("`soon`"));
        ours.collect::<Vec<_>>()
    };
    sleep(59 * MINUTE).await;
    assert!(lines().is_empty(), "{:?}", lines());
    sleep(2 * MINUTE).await;
    let expected = "has not yet seen how long a wrap-up";
    assert!(
        matches!(&*lines(), [line] if line.contains(expected)),
        "{:?}",
        lines()
    );
    sleep(3 * 60 * MINUTE).await;
    assert_eq!(lines().len(), 1, "{:?}", lines());
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_criteria_count_no_agents_is_not_measured() {
    let mut setting = busy(3);
    setting.rules = vec![custom("$.results[?@.queue_logged_in == true]")];
    let fixture = setting.start();
    fixture.calls(10 * MINUTE).await;
    let report = fixture.report();
    assert_eq!(report.queues[0].state, State::OtherRule);
    assert_eq!(report.queues[0].calls, Some(Calls::default()));
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_goes_from_wrap_up_onto_the_call_ends_its_reservation() {
    let fixture = exact().start();
    let holds = fixture.reservations.queue(&fixture.keys[0]);
    let (mut bets, mut taken, mut late) = (0, 0, 0);
    for call in 0..600 {
        sleep(4 * SECOND).await;
        let Reserved::Made(made, _) = fixture.reserve(&format!("call-{call}")) else {
            continue;
        };
        let came = fixture.arrives().await;
        if came {
            // Long before its time is up, and after the next looks.
            sleep(12 * SECOND).await;
        }
        let is_held = holds.list(fixture.clock.now()).contains(&made);
        let is_bet = made.prediction.is_some();
        bets += u32::from(is_bet);
        taken += u32::from(is_bet && came);
        late += u32::from(is_bet && came && is_held);
        let now = fixture.clock.now();
        let _ = fixture.reservations.release(&made.id, now);
    }
    assert!(bets > 20 && taken > bets * 2 / 3, "{taken} of {bets}");
    assert!(late <= taken / 20, "{late} of {taken} are still held");
    let Calls { judged, found, .. } = fixture.report().queues[0].calls.unwrap();
    let (seen, met) = (
        f64::from(found) / f64::from(judged),
        f64::from(taken) / f64::from(bets),
    );
    assert!((seen - met).abs() < 0.15, "{seen} {met}");
}

/// Asserts that calls of another queue count on no agent who is on a call. Returns whether a call counts on nobody any more.
fn assert_counts_on_nobody_on_a_call(fixture: &Fixture, holds: &Holds) -> bool {
    let snapshot = fixture.state(0).snapshot.clone().unwrap();
    let held = holds.list(fixture.clock.now());
    let is_away = |agent: &&Arc<Agent>| agent.on_call && agent.available == Some(false);
    for agent in snapshot.agents.iter().filter(is_away) {
        let mut counts_on = held.iter().map(|one| &one.counts_on);
        assert!(counts_on.all(|one| one.as_ref() != Some(&agent.id)));
    }
    held.iter().any(|one| one.counts_on.is_none())
}

#[tokio::test(start_paused = true)]
async fn a_call_of_another_queue_counts_on_no_agent_who_was_seen_on_a_call() {
    // Agents who take calls while they are available, and agents who take them at the end of their wrap-up.
    for setting in [busy(3), exact()] {
        let fixture = setting.start();
        let account = Arc::clone(&fixture.keys[0].account);
        let other = QueueKey::new(account, "other");
        let holds = fixture.reservations.queue(&other);
        let mut let_go = 0;
        for round in 0..100 {
            fixture.arrives().await;
            let now = fixture.clock.now();
            let snapshot = fixture.state(0).snapshot.clone().unwrap();
            let away = |agent: &&Arc<Agent>| !agent.on_call && agent.available == Some(false);
            for agent in snapshot.agents.iter().filter(away) {
                let call = format!("{round}-{}", agent.id);
                holds.reserve(&call, MINUTE, now, |_| on(agent.id.clone(), now));
            }
            for _ in 0..10 {
                sleep(SECOND).await;
                let_go += u32::from(assert_counts_on_nobody_on_a_call(&fixture, &holds));
            }
        }
        assert!(let_go > 20, "{let_go}");
    }
}

/// Accepts a call that counts on this agent.
fn on(agent: AgentId, now: Moment) -> Choice {
    let policy = fixtures::policy();
    let rejected = decide_with(&QueueState::default(), &policy, Held::default(), now);
    Choice {
        decision: Decision {
            accept: true,
            prediction: Some(Prediction::from_percent(83, Terms::DEFAULT)),
            ..rejected
        },
        counts_on: Some(agent),
    }
}
