//! Tests a new config for a running account.

use tokio::sync::oneshot;

use super::*;
use crate::account::feeds::{Feed, Standing};

/// The maximum of requests beyond the pace: those due at the moment of a reload.
const SLACK: f64 = 3.0;

impl Fixture {
    /// Makes the task continue with these queues, as a reload does.
    pub(super) async fn take(&mut self, queues: Vec<QueueSettings>) {
        self.keys = queues.iter().map(|queue| queue.key.clone()).collect();
        self.ids = queues.iter().map(id_of_queue).collect();
        self.board.set_queues(self.keys.clone());
        self.metrics.count_for(self.keys.clone());
        let (reply, taken) = oneshot::channel();
        let terms = Terms {
            queues: queues.clone(),
            options: self.options,
            way: None,
            reply,
        };
        self.asks
            .send(Ask::Take(Box::new(terms)))
            .await
            .expect("the account runs");
        taken.await.expect("the account answers");
        self.board.retire_stale(&[]);
        self.board.drop_retired();
        self.queues = queues;
    }

    /// Returns the number of requests that the pace allows in this time.
    fn earned(&self, time: Duration) -> f64 {
        time.as_secs_f64() / self.budget.usual_period().as_secs_f64()
    }

    fn polls_of(&self, sent: &[String], id: u64) -> usize {
        let query = format!("queue={id}&");
        sent.iter().filter(|path| path.contains(&query)).count()
    }
}

fn id_of_queue(queue: &QueueSettings) -> u64 {
    match queue.reference {
        QueueRef::Id(id) => id,
        QueueRef::Name(_) => unreachable!("the fixture names its queues by their ids"),
    }
}

fn added(id: u64) -> QueueSettings {
    QueueSettings {
        key: QueueKey::new("main", id.to_string()),
        reference: QueueRef::Id(id),
        rule: SEATS,
        threshold: Some(Quantity::ZERO),
        max_age: None,
        hours: None,
        soon: crate::config::Soon::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn ten_edits_in_three_minutes_cost_nothing() {
    let mut fixture = still(60, 120).start();
    sleep(20 * MINUTE).await;
    fixture.assert_all_known();
    fixture.sent();
    let planned: Vec<_> = fixture
        .places()
        .map(|place| fixture.state(place).planned_max_age)
        .collect();
    for edit in 0..10_u32 {
        let mut queues = fixture.queues.clone();
        match edit % 5 {
            0 => queues[7].threshold = Some(Quantity::from(edit)),
            1 => queues[8].max_age = Some(90 * SECOND),
            2 => queues[9].rule = custom("$.results[?@.status == 'Available']"),
            3 => queues.reverse(),
            _ => drop(queues.pop()),
        }
        fixture.take(queues).await;
        fixture.assert_all_known();
        for _ in 0..18 {
            sleep(SECOND).await;
            fixture.assert_all_known();
        }
        for place in fixture.places() {
            let state = fixture.state(place);
            let is = state.planned_max_age;
            assert!(is <= planned[0], "{place}: {is:?}");
            assert_eq!(state.max_age, fixture.queues[place].max_age, "{place}");
        }
    }
    let (sent, earned) = (fixture.sent().len() as f64, fixture.earned(3 * MINUTE));
    assert!(
        sent <= earned + SLACK,
        "{sent} requests in a time that earns {earned}"
    );
    assert_eq!(fixture.distrusted(), 0);
}

/// While one config replaces another, requests are answered by the policy of either, before and after the task has taken the new rule.
#[tokio::test(start_paused = true)]
async fn no_answer_compares_the_count_of_one_config_with_the_threshold_of_another() {
    let mut fixture = still(3, 40).start();
    sleep(MINUTE).await;
    let (seats, listed) = (
        fixture.seats(0),
        fixture.state(0).snapshot.as_ref().unwrap().agents.len(),
    );
    let listed = Quantity::from(listed);
    assert!(seats < listed, "{seats:?} {listed:?}");
    // Neither config accepts, and the threshold of the first is below the count of the second.
    let mut first = fixture.queues.clone();
    first[0].threshold = Some(seats);
    let mut second = first.clone();
    (second[0].rule, second[0].threshold) = (custom("$.results[*]"), Some(listed));
    let mut third = second.clone();
    third[0].threshold = Some(seats);
    let decide = |fixture: &Fixture, threshold, asks_threshold| {
        let policy = Policy {
            threshold,
            asks_threshold,
            ..policy(None)
        };
        super::decide(&fixture.state(0), &policy, 0, fixture.clock.now())
    };
    for (queues, count, accepts) in [
        (&first, seats, false),
        (&second, listed, false),
        (&first, seats, false),
        (&second, listed, false),
        (&third, listed, true),
    ] {
        fixture.take(queues.clone()).await;
        for threshold in [Some(seats), Some(listed), None] {
            let decision = decide(&fixture, threshold, false);
            let expected = (accepts, Some(count), queues[0].threshold);
            let is = (decision.accept, decision.count, decision.threshold);
            assert_eq!(is, expected, "{threshold:?}");
        }
        let decision = decide(&fixture, Some(Quantity::ZERO), true);
        assert!(decision.accept, "the request's own threshold counts");
    }
}

#[tokio::test(start_paused = true)]
async fn an_added_queue_costs_one_poll_and_a_removed_one_none() {
    let mut fixture = still(60, 120).start();
    sleep(20 * MINUTE).await;
    let new = fixture
        .simulator
        .world(|world| world.add_queue("a new queue"));
    let mut queues = fixture.queues.clone();
    queues.truncate(50);
    queues.insert(0, added(new));
    fixture.sent();
    fixture.take(queues).await;
    sleep(2 * SECOND).await;
    let sent = fixture.sent();
    assert_eq!(fixture.polls_of(&sent, new), 1, "{sent:?}");
    assert!(sent.len() <= 3, "{sent:?}");
    fixture.assert_all_known();
    fixture.assert_true();
    fixture
        .watch(10 * MINUTE, |fixture| {
            fixture.assert_all_known();
            fixture.assert_true();
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn polls_under_way_find_their_queues_at_new_places() {
    let mut fixture = still(30, 60).start();
    // Polls of the start are under way while the queues change places, and some are removed.
    for step in 0..20 {
        sleep(SECOND / 10).await;
        let mut queues = fixture.queues.clone();
        queues.rotate_left(step % 7);
        if step % 5 == 4 {
            queues.pop();
        }
        fixture.take(queues).await;
        fixture.assert_true();
    }
    sleep(10 * SECOND).await;
    fixture.assert_all_known();
    fixture.assert_true();
    assert_eq!(fixture.distrusted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_needs_polls_costs_one_only_if_the_last_is_too_old() {
    let mut fixture = still(10, 40).start();
    sleep(5 * MINUTE).await;
    fixture.sent();
    let mut queues = fixture.queues.clone();
    for (queue, field) in queues.iter_mut().zip([
        "$.results[?@.status == 'Available']",
        "$.results[?@.queue_logged_in == true]",
        "$.results[?@.full_name]",
    ]) {
        queue.rule = custom(field);
    }
    fixture.take(queues.clone()).await;
    sleep(2 * SECOND).await;
    fixture.assert_all_known();
    let sent = fixture.sent().len();
    assert!(sent <= 4, "{sent} requests for three new rules");
    // Data that is young enough is not requested again.
    queues[2].rule = custom("$.results[?@.first_name]");
    fixture.take(queues).await;
    fixture.assert_all_known();
    sleep(2 * SECOND).await;
    let sent = fixture.sent().len();
    assert!(
        sent <= 1,
        "{sent} requests for a rule that reads young rows"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_reads_reasons_ends_the_use_of_lists_of_available_agents() {
    let mut fixture = feeds::large(1).start();
    fixture
        .simulator
        .quirks(|quirks| quirks.ordering = crate::simulator::Ordering::Off);
    sleep(10 * MINUTE).await;
    assert_eq!(fixture.health.borrow().feed, Feed::Available);
    let mut queues = fixture.queues.clone();
    queues[0].rule = custom("$.results[?@.status == 'On a Call']");
    fixture.take(queues).await;
    // A row without a status counts as no other status.
    let on_call = |fixture: &Fixture| {
        let queue = fixture.ids[0];
        let calls = fixture.simulator.world(|world| {
            let agents = world.agents_of(queue).into_iter();
            let calls = agents.filter(|id| world.agent(id).unwrap().on_call);
            calls.count() as f64
        });
        (fixture.decide(0).count, calls)
    };
    fixture
        .watch(2 * MINUTE, |fixture| {
            let (count, calls) = on_call(fixture);
            let is_near = |count: Quantity| count.get() * 3.0 >= calls;
            assert!(count.is_none_or(is_near), "{count:?}, {calls} calls");
        })
        .await;
    let health = fixture.health.borrow().clone();
    assert_ne!(health.feed, Feed::Available);
    assert_eq!(health.feeds[1].standing, Standing::Impossible);
    assert!(on_call(&fixture).0.is_some(), "the sweep shows it");
}

#[tokio::test(start_paused = true)]
async fn questions_before_a_task_started_are_no_new_demand() {
    let fixture = still(3, 6).start();
    sleep(5 * SECOND).await;
    for _ in 0..1_000 {
        fixture.question(1);
    }
    let queue = QueueAtWork::new(1, &fixture.metrics, &fixture.keys[1]);
    assert_eq!((queue.meters.asked(), queue.asked), (1_000, 1_000));
    assert!(!queue.is_asked_again());
}

#[tokio::test(start_paused = true)]
async fn a_queue_with_another_name_keeps_what_it_has_although_its_task_is_late() {
    let mut setting = still(3, 6);
    setting.by_name = true;
    let fixture = setting.start();
    sleep(MINUTE).await;
    fixture.assert_all_known();
    let mut queues = fixture.queues.clone();
    queues[0] = added(fixture.ids[0]);
    let (was, is) = (&fixture.keys[0], queues[0].key.clone());
    // The config takes effect, and only then the task comes to it.
    let keys = queues.iter().map(|queue| queue.key.clone());
    fixture.board.set_queues(keys);
    fixture.board.retire_stale(&[Arc::clone(&was.account)]);
    fixture.board.drop_retired();
    let (reply, taken) = oneshot::channel();
    let terms = Terms {
        queues,
        options: fixture.options,
        way: None,
        reply,
    };
    let _ = fixture.asks.send(Ask::Take(Box::new(terms))).await;
    taken.await.expect("the account answers");
    let state = fixture.board.get(&is).expect("it is on the board");
    assert!(state.snapshot.is_some());
}
