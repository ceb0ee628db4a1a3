//! Walks over a CallTools made of a few closures, in virtual time.

mod new_token;
mod odd_pages;

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json, value::RawValue};

use tokio::time::sleep;

use super::{pager::MAX_WAIT, *};
use crate::{
    budget::Cause,
    calltools::{
        Everyone, Reply, Tally,
        list::{MAX_LIST_BYTES, MAX_PAGES},
    },
    clock::VirtualClock,
    model::fault::{Down, NoSuchQueue},
};

/// How long each request takes.
const LATENCY: Duration = Duration::from_millis(200);

type Answer = Box<dyn Fn(u32, usize) -> Result<Reply, Fault> + Send + Sync>;

/// Answers each request by its page number and by how many requests came before it.
struct Fake {
    answer: Answer,
    paths: Mutex<Vec<String>>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Fake {
    fn paths(&self) -> Vec<String> {
        self.paths
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Transport for Fake {
    fn get<'a>(&'a self, path_and_query: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(async move {
            sleep(LATENCY).await;
            let (_, page) = path_and_query.split_once("&page=").unwrap_or_default();
            let before = self.paths().len();
            self.paths
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(path_and_query.to_owned());
            (self.answer)(page.parse().unwrap_or(1), before)
        })
    }
}

/// What an observer has seen.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(Endpoint, &'static str, Duration)>>);

impl Observer for Heard {
    fn request(&self, endpoint: Endpoint, outcome: &'static str, took: Duration) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((endpoint, outcome, took));
    }
}

struct World {
    client: Client,
    fake: Arc<Fake>,
    heard: Arc<Heard>,
    budget: Arc<Budget>,
    clock: Arc<VirtualClock>,
}

fn world(
    requests_per_hour: u32,
    answer: impl Fn(u32, usize) -> Result<Reply, Fault> + Send + Sync + 'static,
) -> World {
    let clock = Arc::new(VirtualClock::default());
    let limit = NonZeroU32::new(requests_per_hour).unwrap();
    let budget = Arc::new(Budget::in_memory(limit, 0, clock.clone()));
    let fake = Arc::new(Fake {
        answer: Box::new(answer),
        paths: Mutex::default(),
    });
    let heard = Arc::new(Heard::default());
    let client = Client::new(fake.clone(), budget.clone(), clock.clone(), heard.clone());
    World {
        client,
        fake,
        heard,
        budget,
        clock,
    }
}

impl World {
    async fn agents(&self) -> Result<AgentList, RequestError> {
        let names = Names::default();
        self.client
            .agents(5450, &names, Purpose::OnDemand, None)
            .await
    }

    async fn used(&self) -> u32 {
        self.budget.usage().used
    }
}

fn reply(status: StatusCode, body: &Value) -> Reply {
    Reply {
        status,
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_string()),
    }
}

fn agent(id: usize) -> Value {
    json!({"app_user": id, "full_name": format!("Agent {id}"), "status": "Available", "queue_logged_in": true})
}

/// The page of a list as CallTools would return it.
fn page_of(list: &[Value], page: u32, count: usize) -> Reply {
    let from = (page as usize - 1) * 250;
    if from > 0 && from >= list.len() {
        return reply(StatusCode::NOT_FOUND, &json!({"detail": "Invalid page."}));
    }
    let to = list.len().min(from + 250);
    let next = (to < list.len()).then(|| format!("http://elsewhere/api/?page={}", page + 1));
    let body = json!({"count": count, "next": next, "previous": null, "results": list[from..to]});
    reply(StatusCode::OK, &body)
}

fn agents(count: usize) -> Vec<Value> {
    (0..count).map(agent).collect()
}

fn ids(list: &AgentList) -> Vec<usize> {
    let id = |agent: &Agent| agent.id.0.parse().unwrap();
    list.rows.iter().map(id).collect()
}

#[tokio::test(start_paused = true)]
async fn seven_hundred_agents_come_in_three_requests() {
    let list = agents(700);
    let world = world(1000, move |page, _| Ok(page_of(&list, page, 700)));
    let before = world.clock.now();
    let list = world.agents().await.unwrap();
    assert_eq!(ids(&list), (0..700).collect::<Vec<_>>());
    assert!(list.complete);
    assert_eq!(list.requests, 3);
    assert_eq!(list.notes, Notes::default());
    assert_eq!(list.as_of, before);
    assert_eq!(list.took, 3 * LATENCY);
    assert_eq!(
        world.fake.paths(),
        [
            "agentstatuses/?queue=5450&page_size=250",
            "agentstatuses/?queue=5450&page_size=250&page=2",
            "agentstatuses/?queue=5450&page_size=250&page=3",
        ]
    );
    assert_eq!(world.used().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_permit_in_hand_pays_for_the_first_request() {
    let list = agents(3);
    let world = world(1000, move |page, _| Ok(page_of(&list, page, 3)));
    let permit = world.budget.permit(Purpose::OnDemand).await.unwrap();
    let names = Names::default();
    let list = world
        .client
        .agents(1, &names, Purpose::Poll, Some(permit))
        .await;
    assert_eq!(list.unwrap().rows.len(), 3);
    assert_eq!(world.used().await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_moves_between_pages_is_kept_once_and_one_that_was_missed_is_found_again() {
    // While the first list is read, agent 0 moves to the end: 250 slips from page 2 to page 1, unseen.
    let before = agents(500);
    let mut after = agents(500);
    after.rotate_left(1);
    let world = world(1000, move |page, nth| {
        let list = if nth == 0 { &before } else { &after };
        Ok(page_of(list, page, 500))
    });
    let list = world.agents().await.unwrap();
    let mut seen = ids(&list);
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
    assert!(list.complete);
    assert_eq!(list.requests, 4);
    assert_eq!(list.took, 2 * LATENCY, "the first reading is not used");
}

fn began(oddity: Oddity) -> Vec<Change> {
    let began = true;
    vec![Change { oddity, began }]
}

fn ended(oddity: Oddity) -> Vec<Change> {
    let began = false;
    vec![Change { oddity, began }]
}

/// Reads a queue's list. Returns how many requests it took, what has changed, and how many agents there are.
async fn reads(world: &World) -> (u32, Vec<Change>, usize) {
    let list = world.agents().await.unwrap();
    (list.requests, list.changes, list.rows.len())
}

#[tokio::test(start_paused = true)]
async fn a_count_that_never_matches_is_read_twice_once_and_reported_once() {
    for off in [-2_i64, -1, 1, 19] {
        let count = Arc::new(Mutex::new(260 + off));
        let shown = Arc::clone(&count);
        let list = agents(260);
        let world = world(1000, move |page, _| {
            Ok(page_of(&list, page, *shown.lock().unwrap() as usize))
        });
        let miscounted = Oddity::Miscounted;
        assert_eq!(reads(&world).await, (4, began(miscounted), 260), "{off}");
        assert!(!world.agents().await.unwrap().complete);
        assert_eq!(reads(&world).await, (2, vec![], 260), "{off}");
        // Off in another way: rows may have slipped, so it is read again. It is still the same oddity.
        *count.lock().unwrap() += 3;
        assert_eq!(reads(&world).await, (4, vec![], 260), "{off}");
        assert_eq!(reads(&world).await, (2, vec![], 260), "{off}");
        *count.lock().unwrap() = 260;
        assert_eq!(reads(&world).await, (2, ended(miscounted), 260), "{off}");
        assert_eq!(reads(&world).await, (2, vec![], 260), "{off}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_count_that_is_turned_off_is_ignored() {
    for count in [
        json!(i64::MAX),
        json!(-1),
        json!(null),
        json!(false),
        json!(1e12),
    ] {
        let list = agents(3);
        let shown = count.clone();
        let world = world(1000, move |_, _| {
            let body = json!({"count": shown, "next": "", "results": list});
            Ok(reply(StatusCode::OK, &body))
        });
        assert_eq!(reads(&world).await, (1, vec![], 3), "{count}");
        assert!(world.agents().await.unwrap().complete, "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lacks_many_is_a_fault_and_then_costs_one_request() {
    for (rows, count) in [(0, 8), (3, 250), (1, 2), (8, 9), (200, 250)] {
        let list = agents(rows);
        let world = world(1000, move |page, _| Ok(page_of(&list, page, count)));
        for requests in [2, 3, 4] {
            let words = format!("CallTools counts {count} agents and lists {rows} of them");
            assert_eq!(world.agents().await.unwrap_err().to_string(), words);
            assert_eq!(world.used().await, requests);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lacks_many_for_a_moment_is_read_once_more() {
    let list = agents(20);
    let world = world(1000, move |page, nth| match nth {
        0 => Ok(page_of(&list[..3], page, 20)),
        _ => Ok(page_of(&list, page, 20)),
    });
    assert_eq!(reads(&world).await, (2, vec![], 20));
}

#[tokio::test(start_paused = true)]
async fn the_more_complete_of_two_readings_is_used() {
    let list = agents(20);
    let world = world(1000, move |page, nth| match nth {
        0 => Ok(page_of(&list[..19], page, 20)),
        _ => Ok(page_of(&list[..2], page, 20)),
    });
    assert_eq!(reads(&world).await, (2, began(Oddity::Miscounted), 19));
}

/// A reply that a cache has kept for this many seconds.
fn kept(mut reply: Reply, seconds: u64) -> Reply {
    reply.headers.insert(header::AGE, seconds.into());
    reply
}

#[tokio::test(start_paused = true)]
async fn a_list_is_as_old_as_its_oldest_page_and_a_cache_is_reported_once() {
    let cached = Arc::new(Mutex::new(true));
    let is_cached = Arc::clone(&cached);
    let list = agents(700);
    let world = world(1000, move |page, _| {
        let reply = page_of(&list, page, 700);
        let age = [0, 10, 3000, 20][page as usize];
        Ok(match *is_cached.lock().unwrap() {
            true => kept(reply, age),
            false => reply,
        })
    });
    for changes in [began(Oddity::Cached), vec![]] {
        let asked = world.clock.now();
        let list = world.agents().await.unwrap();
        let oldest = asked.later(LATENCY).earlier(Duration::from_secs(3000));
        assert_eq!((list.as_of, list.changes), (oldest, changes));
        assert_eq!(list.took, 3 * LATENCY);
    }
    *cached.lock().unwrap() = false;
    let asked = world.clock.now();
    let list = world.agents().await.unwrap();
    assert_eq!((list.as_of, list.changes), (asked, ended(Oddity::Cached)));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_everybody_is_as_old_as_its_age_too() {
    let list = agents(3);
    let world = world(1000, move |page, _| Ok(kept(page_of(&list, page, 3), 3000)));
    let asked = world.clock.now();
    let permit = world.budget.permit(Purpose::OnDemand).await.unwrap();
    let listed = world
        .client
        .roster_page(Everyone::Listed, 1, &Names::default(), permit)
        .await;
    assert_eq!(
        listed.unwrap().as_of,
        asked.earlier(Duration::from_secs(3000))
    );
}

/// Reads everybody, page after page. Returns how many pages it took, and the fault that ended it.
async fn sweep(world: &World) -> (u32, Option<Fault>) {
    let (mut tally, mut number) = (Tally::default(), 1);
    loop {
        let permit = world.budget.permit(Purpose::OnDemand).await.unwrap();
        let names = Names::default();
        let page = world
            .client
            .roster_page(Everyone::Listed, number, &names, permit)
            .await;
        let mut page = page.unwrap();
        match (tally.add(number, &mut page), page.next) {
            (Ok(()), Some(next)) => number = next,
            (Ok(()), None) => return (number, None),
            (Err(fault), _) => return (number, Some(fault)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_has_the_limits_of_any_list() {
    let list = agents(700);
    let whole = world(1000, move |page, _| Ok(page_of(&list, page, 700)));
    assert_eq!(sweep(&whole).await, (3, None));
    assert_eq!(sweep(&whole).await, (3, None), "each sweep is counted anew");

    let next = |page: u32| format!("?page={}", page + 1);
    let endless = world(1000, move |page, _| {
        let body = json!({"next": next(page), "results": [agent(page as usize)]});
        Ok(reply(StatusCode::OK, &body))
    });
    let (pages, fault) = sweep(&endless).await;
    assert_eq!((pages, fault.unwrap().as_str()), (MAX_PAGES, "too_large"));

    let ballast = "x".repeat(MAX_LIST_BYTES / 3);
    let heavy = world(1000, move |page, _| {
        let mut row = agent(page as usize);
        row["ballast"] = json!(ballast);
        let body = json!({"next": next(page), "results": [row]});
        Ok(reply(StatusCode::OK, &body))
    });
    let (pages, fault) = sweep(&heavy).await;
    assert_eq!((pages, fault.unwrap().as_str()), (3, "too_large"));

    let list = agents(300);
    let again = world(1000, move |page, _| {
        let mut body = json!({"count": 300, "next": next(page), "results": list[..250]});
        if page == 2 {
            body["results"] = json!(list[250..]);
        }
        Ok(reply(StatusCode::OK, &body))
    });
    assert_eq!(sweep(&again).await, (3, None));

    let list = agents(3);
    let short = world(1000, move |page, _| Ok(page_of(&list, page, 250)));
    let (pages, fault) = sweep(&short).await;
    assert_eq!((pages, fault.unwrap().as_str()), (1, "incomplete"));
}

#[tokio::test(start_paused = true)]
async fn a_second_reading_that_fails_leaves_the_first() {
    let list = agents(260);
    let world = world(1000, move |page, nth| match nth {
        0 | 1 => Ok(page_of(&list, page, 261)),
        _ => Err(Fault::down(Down::TimeOut, "no answer")),
    });
    let list = world.agents().await.unwrap();
    assert_eq!((list.rows.len(), list.complete), (260, false));
    assert_eq!(list.requests, 3);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_shrinks_ends_at_the_404() {
    // Ten agents leave between the pages, and with them the second page.
    let (before, after) = (agents(255), agents(245));
    let world = world(1000, move |page, nth| {
        let list = if nth == 0 { &before } else { &after };
        Ok(page_of(list, page, list.len()))
    });
    let list = world.agents().await.unwrap();
    // 255 were counted and 250 seen: it is read again, and then matches.
    assert_eq!((list.rows.len(), list.complete), (245, true));
    assert_eq!(list.requests, 3);
}

#[tokio::test(start_paused = true)]
async fn pages_that_begin_again_end_the_list_and_endless_pages_are_a_fault() {
    let list = agents(300);
    // Past its end the list is page 1 once more, with its link to page 2.
    let again = world(1000, move |page, _| {
        let page = if page == 2 { 2 } else { 1 };
        let mut body: Value = serde_json::from_slice(&page_of(&list, page, 300).body).unwrap();
        body["next"] = json!(format!("?page={}", page + 1));
        Ok(reply(StatusCode::OK, &body))
    });
    assert_eq!(reads(&again).await, (3, vec![], 300));

    let endless = world(1000, move |page, _| {
        let next = format!("?page={}", page + 1);
        let body = json!({"count": 1, "next": next, "results": [agent(page as usize)]});
        Ok(reply(StatusCode::OK, &body))
    });
    match endless.agents().await {
        Err(RequestError::Fault(Fault::UpstreamDown { kind, .. })) => {
            assert_eq!(kind, Down::TooLarge)
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(endless.used().await, MAX_PAGES);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_enormous_rows_is_a_fault() {
    let ballast = "x".repeat(MAX_LIST_BYTES / 3);
    let world = world(1000, move |page, _| {
        let mut row = agent(page as usize);
        row["ballast"] = json!(ballast);
        let body = json!({"count": 9, "next": format!("?page={}", page + 1), "results": [row]});
        Ok(reply(StatusCode::OK, &body))
    });
    let error = world.agents().await.unwrap_err();
    assert!(matches!(
        error,
        RequestError::Fault(Fault::UpstreamDown {
            kind: Down::TooLarge,
            ..
        })
    ));
    assert_eq!(world.used().await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_the_middle_publishes_nothing() {
    let list = agents(700);
    let world = world(1000, move |page, _| match page {
        3 => Ok(reply(StatusCode::BAD_GATEWAY, &json!(null))),
        page => Ok(page_of(&list, page, 700)),
    });
    let error = world.agents().await.unwrap_err();
    assert_eq!(error.to_string(), "CallTools answered 502 Bad Gateway");
    let heard = world.heard.0.lock().unwrap().clone();
    let outcomes: Vec<_> = heard.iter().map(|(_, outcome, _)| *outcome).collect();
    assert_eq!(outcomes, ["ok", "ok", "server_error"]);
    assert!(
        heard.iter().all(|(endpoint, _, took)| {
            (*endpoint, *took) == (Endpoint::AgentStatuses, LATENCY)
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_spent_in_the_middle_publishes_nothing() {
    let list = agents(700);
    let world = world(2, move |page, _| Ok(page_of(&list, page, 700)));
    match world.agents().await {
        Err(RequestError::Refused(refusal)) => assert_eq!(refusal.cause, Cause::Spent),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.used().await, 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_permit_nothing_is_sent() {
    let list = agents(1);
    let world = world(1, move |page, _| Ok(page_of(&list, page, 1)));
    assert!(world.agents().await.is_ok());
    assert!(matches!(
        world.agents().await,
        Err(RequestError::Refused(_))
    ));
    assert_eq!(world.fake.paths().len(), 1);
}

/// Reads three pages at the pace of polling, after a first permit that is already there.
async fn paced(requests_per_hour: u32) -> Duration {
    let list = agents(700);
    let world = world(requests_per_hour, move |page, _| {
        Ok(page_of(&list, page, 700))
    });
    let permit = world.budget.permit(Purpose::Unpaced).await.unwrap();
    let names = Names::default();
    let list = world
        .client
        .agents(5450, &names, Purpose::Poll, Some(permit))
        .await
        .unwrap();
    assert_eq!((list.rows.len(), world.used().await), (700, 3));
    list.took
}

#[tokio::test(start_paused = true)]
async fn a_walk_keeps_to_the_pace_unless_it_would_never_end() {
    let brisk = paced(1000).await;
    assert!(
        brisk > Duration::from_secs(6) && brisk < MAX_WAIT,
        "{brisk:?}"
    );
    // One request in ten minutes: the list would be an hour old before it is complete.
    let slow = paced(6).await;
    assert_eq!(slow, 3 * LATENCY);
}

#[tokio::test(start_paused = true)]
async fn a_walk_waits_for_half_a_minute_in_all() {
    let list = agents(5_000);
    let world = world(1000, move |page, _| Ok(page_of(&list, page, 5_000)));
    let permit = world.budget.permit(Purpose::Unpaced).await.unwrap();
    let names = Names::default();
    let list = world
        .client
        .agents(5450, &names, Purpose::Poll, Some(permit))
        .await
        .unwrap();
    assert_eq!(list.rows.len(), 5_000);
    // Twenty pages at the pace of one every 3.6 s would take more than a minute.
    let longest = MAX_WAIT + 20 * LATENCY;
    assert!(list.took <= longest, "{:?}", list.took);
    assert!(list.took > MAX_WAIT / 2, "{:?}", list.took);
}

#[tokio::test(start_paused = true)]
async fn a_request_leaves_the_window_an_hour_after_its_answer() {
    let list = agents(1);
    let world = world(1, move |page, _| Ok(page_of(&list, page, 1)));
    world.agents().await.unwrap();
    tokio::time::advance(Duration::from_secs(3599)).await;
    assert!(matches!(
        world.agents().await,
        Err(RequestError::Refused(_))
    ));
    // Unanswered, it would stay for another minute.
    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(world.agents().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_429_pauses_the_budget() {
    let world = world(1000, |_, _| {
        let mut throttled = reply(StatusCode::TOO_MANY_REQUESTS, &json!({}));
        let wait = HeaderValue::from_static("120");
        throttled.headers.insert(header::RETRY_AFTER, wait);
        Ok(throttled)
    });
    let now = world.clock.now();
    let Err(RequestError::Fault(Fault::Throttled { until: Some(until) })) = world.agents().await
    else {
        panic!("CallTools asked for a pause");
    };
    // Up to a twentieth more, so that requests that were refused together are not retried together.
    let silence = until.shortest_since(now).as_secs();
    assert!((120..=126).contains(&silence), "{silence}");
    match world.agents().await {
        Err(RequestError::Refused(refusal)) => assert_eq!(refusal.cause, Cause::Throttled),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.fake.paths().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_503_with_a_time_pauses_the_budget_at_the_same_share() {
    let world = world(1000, |_, _| {
        let mut down = reply(StatusCode::SERVICE_UNAVAILABLE, &json!({}));
        let wait = HeaderValue::from_static("120");
        down.headers.insert(header::RETRY_AFTER, wait);
        Ok(down)
    });
    assert!(matches!(world.agents().await, Err(RequestError::Fault(_))));
    match world.agents().await {
        Err(RequestError::Refused(refusal)) => assert_eq!(refusal.cause, Cause::Paused),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        world.budget.usage().share,
        1.0,
        "no other software is to blame"
    );
    tokio::time::advance(Duration::from_secs(127)).await;
    assert!(matches!(world.agents().await, Err(RequestError::Fault(_))));
    assert_eq!(world.fake.paths().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_calltools_refuses_is_named() {
    let body = json!({"queue": ["Select a valid choice. That choice is not one of the available choices."]});
    let world = world(1000, move |_, _| Ok(reply(StatusCode::BAD_REQUEST, &body)));
    let no_queue = Fault::NoSuchQueue(NoSuchQueue::Id(5450));
    assert_eq!(
        world.agents().await.unwrap_err(),
        RequestError::Fault(no_queue)
    );
}

#[tokio::test(start_paused = true)]
async fn oddities_in_rows_are_recorded() {
    let mut list = agents(20);
    for row in &mut list[..12] {
        row["agent_status"] = row["app_user"].clone();
    }
    list[3].as_object_mut().unwrap().remove("queue_logged_in");
    list[3]["logged_in"] = json!(true);
    list[19] = json!({"full_name": "Nobody"});
    let statuses = json!({"id": 5, "name": "Lunch"}).to_string();
    let names = Names {
        queues: None,
        statuses: Some(vec![
            Status::from_row(RawValue::from_string(statuses).unwrap()).unwrap(),
        ]),
    };
    let world = world(1000, move |page, _| Ok(page_of(&list, page, 20)));
    let list = world
        .client
        .agents(1, &names, Purpose::OnDemand, None)
        .await
        .unwrap();
    assert_eq!(list.rows.len(), 19);
    assert_eq!(list.requests, 1, "reading again would not mend a row");
    assert!(!list.complete);
    assert!(list.notes.queue_login_unclear && !list.notes.queue_login_assumed);
    assert!(!list.rows[3].queue_logged_in, "unknown is not a seat");
    assert_eq!(list.notes.skipped, 1);
    assert_eq!(list.notes.unknown_statuses.len(), MAX_UNKNOWN_STATUSES);
    assert!(!list.notes.unknown_statuses.contains("5"));
}

#[tokio::test(start_paused = true)]
async fn a_changed_api_does_not_read_as_no_agents() {
    let renamed = json!([{"user": 1, "state": "Available"}, {"user": 2, "state": "Available"}]);
    let world = world(1000, move |_, _| Ok(reply(StatusCode::OK, &renamed)));
    match world.agents().await {
        Err(RequestError::Fault(Fault::UpstreamDown { kind, .. })) => {
            assert_eq!(kind, Down::UnexpectedShape);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn names_are_looked_up_completely() {
    let list: Vec<_> = (0..300)
        .map(|id| json!({"id": id, "name": format!("Q{id}"), "queue_action": "Set Ready"}))
        .collect();
    let world = world(1000, move |page, _| Ok(page_of(&list, page, 300)));
    let queues = world.client.queues(Purpose::Unpaced, None).await.unwrap();
    let statuses = world.client.statuses(Purpose::Unpaced, None).await.unwrap();
    assert_eq!((queues.len(), statuses.len()), (300, 300));
    assert_eq!(queues[299].name, "Q299");
    assert_eq!(statuses[0].is_ready(), Some(true));
    assert_eq!(
        world.fake.paths(),
        [
            "queues/?page_size=250",
            "queues/?page_size=250&page=2",
            "statuses/?page_size=250",
            "statuses/?page_size=250&page=2",
        ]
    );
}

#[test]
fn a_client_can_be_shared_by_tasks() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send>(_: impl FnOnce(&'static Client, &'static Names) -> T) {}
    shared::<Client>();
    sent(|client, names| client.agents(1, names, Purpose::Poll, None));
}
