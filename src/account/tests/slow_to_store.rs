//! Tests what happens while requests are slow to be stored, by a disk or by the other nodes of a cluster.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;
use crate::{
    budget::{Admitted, Ledger, Witness},
    calltools::{HttpSettings, HttpTransport},
    config::TokenSource,
};

/// How long a request takes to be stored on a bad day.
const STORED_IN: Duration = Duration::from_secs(7);

/// Stores requests slowly, or refuses them after that time.
#[derive(Debug, Default)]
struct Slow {
    is_slow: AtomicBool,
    refuses: AtomicBool,
}

impl Witness for Slow {
    fn leads(&self) -> bool {
        true
    }

    fn process(&self) -> u64 {
        1
    }

    fn admitted(&self, _: Admitted) -> BoxFuture<'_, bool> {
        Box::pin(async {
            if self.is_slow.load(Relaxed) {
                sleep(STORED_IN).await;
            }
            !self.refuses.load(Relaxed)
        })
    }

    fn may_send(&self, _: &Admitted) -> bool {
        true
    }

    fn answered(&self, _: &Admitted) {}

    fn goes_on_as(&self, _: &str) {}

    fn silenced(&self, _: bool, _: Option<Duration>) {}
}

/// Returns the budget of an account with this token.
fn budget(fixture: &Fixture, ledger: &Arc<Ledger>, account: &str, token: &str) -> Budget {
    let owner = BudgetOwner {
        account: account.to_owned(),
        identity: token.to_owned(),
    };
    let limit = NonZeroU32::new(1000).unwrap();
    Budget::new(ledger.clone(), owner, limit, 50, fixture.clock.clone())
}

/// Starts an account with such a witness, and waits until all of its queues are known.
async fn start() -> (Fixture, Arc<Slow>) {
    let (fixture, slow, _) = start_on_a_ledger().await;
    (fixture, slow)
}

async fn start_on_a_ledger() -> (Fixture, Arc<Slow>, Arc<Ledger>) {
    let slow = Arc::<Slow>::default();
    let mut fixture = still(3, 6).start();
    let ledger = Arc::new(Ledger::in_memory(&*fixture.clock));
    let budget = budget(&fixture, &ledger, "main", "own");
    fixture.budget = Arc::new(budget.with_witness(slow.clone()));
    fixture.start_task(Known::default());
    let is_known = |fixture: &Fixture| (0..3).all(|place| fixture.state(place).snapshot.is_some());
    fixture.until("all queues are known", is_known).await;
    fixture.watch(MINUTE, |_| ()).await;
    (fixture, slow, ledger)
}

/// Waits until a queue is polled, whose answer then takes some seconds. Returns its place.
async fn poll(fixture: &Fixture) -> usize {
    *fixture.wire.polls_take.lock().unwrap() = 8 * SECOND;
    fixture.sent();
    for _ in 0..600 {
        sleep(SECOND / 10).await;
        let sent = fixture.sent();
        let is_of = |id: &u64| {
            sent.iter()
                .any(|path| path.contains(&format!("queue={id}&")))
        };
        if let Some(place) = fixture.ids.iter().position(is_of) {
            return place;
        }
    }
    panic!("no queue was polled within a minute")
}

fn members_as_of(fixture: &Fixture, place: usize) -> Duration {
    let state = fixture.state(place);
    state.snapshot.as_ref().unwrap().members_as_of.boot
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_applied_while_the_next_request_is_being_stored() {
    let (fixture, slow) = start().await;
    let place = poll(&fixture).await;
    let before = members_as_of(&fixture, place);
    slow.is_slow.store(true, Relaxed);
    // The next request is admitted within four seconds, before this answer comes, and not stored before it has come.
    sleep(9 * SECOND).await;
    assert!(members_as_of(&fixture, place) > before);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_while_it_is_stored_is_tried_again() {
    let (fixture, slow) = start().await;
    slow.is_slow.store(true, Relaxed);
    slow.refuses.store(true, Relaxed);
    fixture.sent();
    let used = fixture.budget.usage().used;
    fixture.watch(2 * MINUTE, |_| ()).await;
    let during = fixture.sent();
    // Those that were admitted before.
    assert!(during.len() <= 1, "{during:?}");
    // None was sent, so none counts, but the one that is being stored.
    let waiting = fixture.budget.usage().used - used;
    assert!(waiting <= 1, "{waiting}");
    slow.is_slow.store(false, Relaxed);
    slow.refuses.store(false, Relaxed);
    fixture.watch(MINUTE, |_| ()).await;
    let after = fixture.sent();
    assert!(after.len() >= 12, "the usual pace: {after:?}");
    assert!(fixture.state(0).fault.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_being_stored_when_polling_stops_does_not_count() {
    let (fixture, slow) = start().await;
    slow.is_slow.store(true, Relaxed);
    let is_storing = |used: u32| fixture.budget.usage().used > used;
    let used = fixture.budget.usage().used;
    fixture.sent();
    for _ in 0..100 {
        if is_storing(used) {
            break;
        }
        sleep(SECOND / 10).await;
    }
    assert!(is_storing(used) && fixture.sent().is_empty());
    fixture.stop.cancel();
    sleep(SECOND).await;
    assert!(fixture.task.is_finished());
    assert_eq!(fixture.budget.usage().used, used);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_meets_a_pause_while_it_is_stored_does_not_count() {
    let (fixture, slow) = start().await;
    slow.is_slow.store(true, Relaxed);
    let used = fixture.budget.usage().used;
    while fixture.budget.usage().used == used {
        sleep(SECOND / 10).await;
    }
    fixture.sent();
    fixture.budget.pause(5 * MINUTE);
    sleep(STORED_IN + SECOND).await;
    assert_eq!(fixture.sent(), [""; 0]);
    assert_eq!(fixture.budget.usage().used, used);
}

#[tokio::test(start_paused = true)]
async fn a_stored_request_is_withdrawn_if_no_job_is_due_any_more() {
    let (fixture, slow) = start().await;
    *fixture.wire.lie.lock().unwrap() = Some(|path, answer| {
        if path.contains("queue=") {
            *answer = Err(Fault::BadToken);
        }
    });
    poll(&fixture).await;
    slow.is_slow.store(true, Relaxed);
    let used = fixture.budget.usage().used;
    // The next request is admitted, then the token is refused, and then the request is stored.
    sleep(7 * SECOND).await;
    assert_eq!(fixture.budget.usage().used, used + 1);
    // The token is tried again two and a half seconds after that, or later.
    sleep(7 * SECOND / 2).await;
    assert_eq!(fixture.sent(), [""; 0]);
    assert_eq!(fixture.budget.usage().used, used);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_stored_during_a_reload_is_for_the_new_config() {
    let (mut fixture, slow) = start().await;
    slow.is_slow.store(true, Relaxed);
    let used = fixture.budget.usage().used;
    while fixture.budget.usage().used == used {
        sleep(SECOND / 10).await;
    }
    let kept = fixture.queues[2].clone();
    fixture.take(vec![kept]).await;
    slow.is_slow.store(false, Relaxed);
    fixture.sent();
    sleep(MINUTE).await;
    let sent = fixture.sent();
    let polls = sent.iter().filter(|path| path.contains("queue="));
    let own = format!("queue={}&", fixture.ids[0]);
    assert!(polls.clone().count() > 0, "{sent:?}");
    assert!(polls.clone().all(|path| path.contains(&own)), "{sent:?}");
}

/// Starts the same, beside another account whose hour is spent, and waits until a request is being stored.
async fn storing_beside_a_spent_hour() -> (Fixture, Arc<Slow>, Arc<Ledger>) {
    let (fixture, slow, ledger) = start_on_a_ledger().await;
    spend_the_hour(&budget(&fixture, &ledger, "other", "theirs")).await;
    slow.is_slow.store(true, Relaxed);
    let used = fixture.budget.usage().used;
    while fixture.budget.usage().used == used {
        sleep(SECOND / 10).await;
    }
    fixture.sent();
    (fixture, slow, ledger)
}

/// Makes the task continue with another budget, as a reload does that changes the account's name or token.
async fn take_budget(fixture: &mut Fixture, budget: Budget) {
    let budget = Arc::new(budget);
    let transport = HttpTransport::new(HttpSettings {
        base_url: "http://127.0.0.1/".parse().unwrap(),
        authorization: http::HeaderValue::from_static("Token x"),
        connect_timeout: SECOND,
        timeout: SECOND,
        proxy: None,
        trust: None,
    });
    let token = TokenKeeper::new(
        TokenSource::Env("NONE".to_owned()),
        "127.0.0.1".to_owned(),
        Arc::new(transport.unwrap()),
        budget.clone(),
        watch::Sender::default(),
    );
    let (clock, observer) = (fixture.clock.clone(), Arc::new(()));
    let way = Way {
        client: Client::new(fixture.wire.clone(), budget.clone(), clock, observer),
        budget: budget.clone(),
        token: Arc::new(token),
    };
    let (reply, taken) = tokio::sync::oneshot::channel();
    let terms = Terms {
        queues: fixture.queues.clone(),
        options: fixture.options,
        way: Some(way),
        reply,
    };
    let asks = &fixture.asks;
    asks.send(Ask::Take(Box::new(terms))).await.unwrap();
    taken.await.unwrap();
    fixture.budget = budget;
}

/// Checks that nothing is sent while the hour is spent, and that polling goes on afterwards.
async fn waits_for_the_hour(fixture: &Fixture, used: u32) {
    fixture.watch(MINUTE, |_| ()).await;
    assert_eq!(fixture.sent(), [""; 0]);
    assert_eq!(fixture.budget.usage().used, used - 1 + 1000);
    let fault = fixture.state(0).fault.clone();
    assert!(
        matches!(fault.as_deref(), Some(Fault::BudgetSpent { .. })),
        "{fault:?}"
    );
    fixture.watch(63 * MINUTE, |_| ()).await;
    assert!(fixture.sent().len() > 3);
    assert!(fixture.state(0).fault.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_being_stored_is_not_sent_with_a_token_whose_hour_is_spent() {
    let (fixture, ..) = storing_beside_a_spent_hour().await;
    let used = fixture.budget.usage().used;
    fixture.budget.goes_on_as("theirs".to_owned());
    waits_for_the_hour(&fixture, used).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_being_stored_is_not_sent_after_a_reload_with_such_a_token() {
    let (mut fixture, slow, ledger) = storing_beside_a_spent_hour().await;
    let used = fixture.budget.usage().used;
    let theirs = budget(&fixture, &ledger, "main", "theirs").with_witness(slow);
    take_budget(&mut fixture, theirs).await;
    waits_for_the_hour(&fixture, used).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_being_stored_is_sent_with_a_new_token_or_name_of_the_account() {
    for is_reloaded in [false, true] {
        let (mut fixture, slow, ledger) = storing_beside_a_spent_hour().await;
        match is_reloaded {
            false => fixture.budget.goes_on_as("new".to_owned()),
            true => {
                let renamed = budget(&fixture, &ledger, "acme", "own").with_witness(slow);
                take_budget(&mut fixture, renamed).await;
            }
        }
        // The next request takes longer: its permit comes after this one, and is stored as slowly.
        fixture.watch(STORED_IN, |_| ()).await;
        assert_eq!(fixture.sent().len(), 1, "{is_reloaded}");
    }
}
