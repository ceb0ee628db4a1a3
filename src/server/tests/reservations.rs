//! Seats held for calls on their way.

use super::*;
use crate::{
    cluster::member::{Member, Published},
    decision::reservations::ReservationId,
    fixtures::available,
};

/// What a leader publishes.
type Log = mpsc::Receiver<Published>;

/// The leader of an account with one seat, and its log.
async fn leader() -> (Arc<Server>, Log) {
    let mut world = world(1);
    let (member, log) = Member::leading(world.clock.clone());
    world.accounts[0].member = Some(member);
    (Arc::new(world.serve().await), log)
}

/// Waits until a seat is to be logged.
async fn asked(log: &mut Log) -> oneshot::Sender<bool> {
    let (entry, done) = log.recv().await.expect("the leader publishes");
    assert_eq!(entry.held.len(), 1, "{entry:?}");
    done.expect("it waits")
}

impl Server {
    /// Requests a seat for the call `a`, and waits until it is to be logged.
    async fn starts_to_reserve(
        self: &Arc<Self>,
        log: &mut Log,
    ) -> (JoinHandle<Answer>, oneshot::Sender<bool>) {
        let server = Arc::clone(self);
        let mut answer = tokio::spawn(async move { server.reserve_for("a").await });
        tokio::select! {
            early = &mut answer => panic!("nothing is logged: {early:?}"),
            done = asked(log) => (answer, done),
        }
    }

    async fn release(&self, id: &str) -> Answer {
        let path = format!("/v1/reservations/{id}");
        self.ask("DELETE", &path, "").await
    }
}

async fn status(answer: JoinHandle<Answer>) -> u16 {
    let answer = answer.await.expect("no panic");
    if answer.status == 503 {
        assert_eq!(answer.problem(), "no-leader");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    answer.status
}

/// A queue with this many seats, and one that is unknown.
fn world(seats: usize) -> World {
    let mut world = World::with(&["main/sales", "main/dark"]);
    world.account("main", TOKEN);
    world.publish("main/sales", available(seats));
    world
}

impl Server {
    async fn reserve(&self, queue: &str, body: &str) -> Answer {
        let target = format!("/v1/queues/{queue}/reservations");
        self.post_json(&target, body).await
    }

    async fn reserve_for(&self, call: &str) -> Answer {
        self.reserve("sales", &format!(r#"{{"call_id":"{call}"}}"#))
            .await
    }

    async fn count(&self) -> (Value, Value) {
        let decision = self.get("/v1/queues/sales/decision").await.json();
        (decision["count"].clone(), decision["reason"].clone())
    }
}

#[tokio::test]
async fn a_seat_is_held_listed_and_released() {
    let server = world(2).serve().await;
    let made = server
        .reserve("sales", r#"{"call_id":"a84b4c76e66710","ttl":"30s"}"#)
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let reservation = made.json();
    let id = reservation["id"].as_str().expect("a name").to_owned();
    assert_eq!(
        made.body,
        format!(
            "{{\"id\":\"{id}\",\"call_id\":\"a84b4c76e66710\",\"queue\":\"sales\",\"queue_id\":null,\"account\":\"main\",\
             \"created_at\":\"2026-11-22T10:00:00.123Z\",\"expires_at\":\"2026-11-22T10:00:30.123Z\",\"count\":1,\"capacity\":1}}"
        )
    );
    assert_eq!(server.count().await, (1.into(), "seats".into()));
    for list in ["/v1/reservations", "/v1/queues/sales/reservations"] {
        let held = server.get(list).await.json();
        assert_eq!(held["reservations"][0]["id"], *id, "{list}");
        assert_eq!(held["reservations"][0].get("count"), None);
    }
    let elsewhere = server.get("/v1/queues/dark/reservations").await;
    assert_eq!(elsewhere.body, "{\"reservations\":[]}");
    let path = format!("/v1/reservations/{id}");
    assert_eq!(server.ask("DELETE", &path, "").await.status, 204);
    assert_eq!(server.count().await, (2.into(), "seats".into()));
    let again = server.ask("DELETE", &path, "").await;
    assert_eq!(
        (again.status, again.problem().as_str()),
        (404, "no-such-reservation")
    );
}

#[tokio::test]
async fn a_seat_is_also_released_by_post() {
    let server = world(1).serve().await;
    let id = server.reserve_for("a").await.json()["id"].clone();
    let path = format!("/v1/reservations/{}/release", id.as_str().expect("text"));
    assert_eq!(server.ask("POST", &path, "").await.status, 204);
    assert_eq!(server.ask("POST", &path, "").await.status, 404);
}

#[tokio::test]
async fn the_last_seat_is_held_once_and_the_rejection_says_why() {
    let server = world(1).serve().await;
    assert_eq!(server.reserve_for("a").await.status, 201);
    assert_eq!(server.count().await, (0.into(), "reserved".into()));
    let refused = server.reserve_for("b").await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (409, "no-seat")
    );
    let problem = refused.json();
    assert_eq!(
        (&problem["reason"], &problem["count"]),
        (&"reserved".into(), &0.into())
    );
    let again = server.reserve_for("a").await;
    assert_eq!(
        (again.status, again.json()["count"].clone()),
        (200, 0.into())
    );
}

#[tokio::test]
async fn unknown_seats_are_rejected_with_a_reason_and_no_count() {
    let server = world(1).serve().await;
    let refused = server.reserve("dark", r#"{"call_id":"a"}"#).await;
    let problem = refused.json();
    assert_eq!(
        (refused.status, &problem["reason"], &problem["count"]),
        (409, &"never_polled".into(), &Value::Null)
    );
}

#[tokio::test]
async fn a_seat_is_free_again_when_its_ttl_ends() {
    let server = world(1).serve().await;
    server.reserve_for("a").await;
    server.clock.pass(Duration::from_secs(44));
    assert_eq!(server.count().await, (0.into(), "reserved".into()));
    server.clock.pass(Duration::from_secs(1));
    assert_eq!(server.count().await, (1.into(), "seats".into()));
    let metrics = server.get("/metrics").await.body;
    for line in [
        "openseat_queue_reservations{account=\"main\",queue=\"sales\"} 0.0",
        "openseat_reservations_total{account=\"main\",queue=\"sales\"} 1",
        "openseat_reservations_ended_total{account=\"main\",queue=\"sales\",cause=\"expired\"} 1",
        "openseat_reservations_ended_total{account=\"main\",queue=\"sales\",cause=\"answered\"} 0",
        "openseat_decisions_total{account=\"main\",queue=\"sales\",result=\"accept\",reason=\"seats\"} 2",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
}

#[tokio::test]
async fn the_threshold_of_a_request_applies_to_its_reservation() {
    let server = world(2).serve().await;
    let target = "/v1/queues/sales/reservations?threshold=1";
    let first = server.post_json(target, r#"{"call_id":"a"}"#).await;
    assert_eq!(first.status, 201);
    let second = server.post_json(target, r#"{"call_id":"b"}"#).await;
    assert_eq!(second.json()["reason"], "reserved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_requests_at_once_three_get_the_three_seats() {
    let server = Arc::new(world(3).serve().await);
    let asks: Vec<_> = (0..100)
        .map(|call| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { server.reserve_for(&call.to_string()).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for ask in asks {
        statuses.push(ask.await.expect("no panic"));
    }
    statuses.sort();
    assert_eq!(statuses[..3], [201; 3]);
    assert_eq!(statuses[3..], [409; 97]);
}

#[tokio::test]
async fn a_malformed_request_is_rejected_with_the_reason() {
    let server = world(1).serve().await;
    let long = format!(r#"{{"call_id":"{}"}}"#, "x".repeat(257));
    for (body, words) in [
        ("", "the body is not JSON such as"),
        ("call_id=a", "the body is not JSON such as"),
        ("{}", "missing field `call_id`"),
        ("[]", "it is an array"),
        (r#" ["a","45s"]"#, "it is an array"),
        (r#"{"call_id":7}"#, "invalid type: integer `7`"),
        (r#"{"call_id":"a","tll":"5s"}"#, "unknown field `tll`"),
        (r#"{"call_id":""}"#, "\"call_id\" is empty"),
        (r#"{"call_id":"null"}"#, "when they have no id"),
        (
            r#"{"call_id":"{{call.id}}"}"#,
            "a placeholder that the router did not fill in",
        ),
        (
            r#"{"call_id":"%5BCALLER_ID%5D"}"#,
            "a placeholder that the router did not fill in",
        ),
        (&long, "has more than 256 characters"),
        (
            r#"{"call_id":"a","ttl":"45"}"#,
            "\"ttl\" must be a duration such as \"45s\"",
        ),
        (r#"{"call_id":"a","ttl":"999ms"}"#, "from 1s to 10m"),
        (r#"{"call_id":"a","ttl":"601s"}"#, "from 1s to 10m"),
    ] {
        let answer = server.reserve("sales", body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "bad-request")
        );
        let problem = answer.json();
        let detail = problem["detail"].as_str().expect("text");
        assert!(detail.contains(words), "{body}: {detail}");
    }
    let unknown = server.reserve("nowhere", r#"{"call_id":"a"}"#).await;
    assert_eq!(unknown.problem(), "unknown-queue");
    let large = server.reserve("sales", &" ".repeat(5_000)).await;
    assert_eq!(
        (large.status, large.problem().as_str()),
        (413, "body-too-large")
    );
    let wrong = server.ask("PUT", "/v1/queues/sales/reservations", "").await;
    assert_eq!(wrong.status, 405);
}

#[tokio::test]
async fn another_sites_page_can_neither_hold_nor_release_a_seat() {
    let server = world(1).serve().await;
    let headers = "Origin: http://evil.example\r\n";
    for (method, path) in [
        ("POST", "/v1/queues/sales/reservations"),
        ("DELETE", "/v1/reservations/0123"),
    ] {
        let answer = server.ask(method, path, headers).await;
        assert_eq!(answer.problem(), "foreign-origin", "{method}");
    }
}

#[tokio::test]
async fn a_seat_that_the_log_never_takes_is_given_to_no_request_for_its_call() {
    let (server, mut log) = leader().await;
    let (first, done) = server.starts_to_reserve(&mut log).await;
    let (second, again) = server.starts_to_reserve(&mut log).await;
    done.send(false).expect("it waits");
    again.send(false).expect("it waits");
    assert_eq!((status(first).await, status(second).await), (503, 503));
    assert_eq!(server.count().await, (1.into(), "seats".into()));
    // Its entry may be in the log nevertheless.
    let (entry, _) = log.recv().await.expect("the leader publishes");
    assert_eq!((entry.held.len(), entry.ended.len()), (0, 1));
    // Then the next leader holds the seat.
    assert!(!server.app.reservations.has_ended(&entry.ended[0]));
}

#[tokio::test]
async fn a_seat_is_released_only_if_no_request_for_its_call_got_it() {
    for is_first_refused_first in [true, false] {
        let (server, mut log) = leader().await;
        let (first, done) = server.starts_to_reserve(&mut log).await;
        let (second, again) = server.starts_to_reserve(&mut log).await;
        let (statuses, left) = if is_first_refused_first {
            done.send(false).expect("it waits");
            let first = status(first).await;
            again.send(true).expect("it waits");
            ((first, status(second).await), 1)
        } else {
            again.send(true).expect("it waits");
            let second = status(second).await;
            done.send(false).expect("it waits");
            ((status(first).await, second), 0)
        };
        let expected = [(201, 200), (503, 503)];
        assert_eq!(statuses, expected[left]);
        assert_eq!(server.count().await.0, left);
        let mut ended = 0;
        while let Ok((entry, _)) = log.try_recv() {
            ended += entry.ended.len();
        }
        assert_eq!(ended, [0, 2][left], "as often as it may be in the log");
    }
}

/// As long as a call's router waits for its seat.
const PATIENCE: Duration = Duration::from_millis(250);

#[tokio::test(start_paused = true)]
async fn a_seat_that_is_not_logged_in_time_is_refused_and_kept_for_its_call_only_if_it_is_logged() {
    for is_logged in [true, false] {
        let (server, mut log) = leader().await;
        let begun = tokio::time::Instant::now();
        let (first, done) = server.starts_to_reserve(&mut log).await;
        assert_eq!(status(first).await, 503);
        assert_eq!(begun.elapsed(), PATIENCE);
        // Until the log answers, no other call gets the seat, and its own only with another entry.
        assert_eq!(server.count().await, (0.into(), "reserved".into()));
        let (again, logged_again) = server.starts_to_reserve(&mut log).await;
        assert_eq!(status(again).await, 503);
        done.send(is_logged).expect("the log's answer still counts");
        logged_again.send(is_logged).expect("this one as well");
        if is_logged {
            let (third, done) = server.starts_to_reserve(&mut log).await;
            done.send(true).expect("it waits");
            assert_eq!(status(third).await, 200, "it has the seat");
            assert_eq!(server.count().await, (0.into(), "reserved".into()));
        } else {
            let (ended, _) = log.recv().await.expect("the leader publishes");
            assert_eq!(ended.ended.len(), 1);
            assert_eq!(server.count().await, (1.into(), "seats".into()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_seat_is_released_once_the_log_may_have_that_and_stays_held_otherwise() {
    for is_logged in [Some(true), Some(false), None] {
        let (server, mut log) = leader().await;
        let (made, done) = server.starts_to_reserve(&mut log).await;
        done.send(true).expect("it waits");
        let made = made.await.expect("no panic").json();
        let path = format!("/v1/reservations/{}", made["id"].as_str().unwrap());
        let release = || {
            let (server, path) = (Arc::clone(&server), path.clone());
            tokio::spawn(async move { server.ask("DELETE", &path, "").await })
        };
        let begun = tokio::time::Instant::now();
        let (early, (entry, done)) = (release(), log.recv().await.expect("it publishes"));
        assert_eq!(entry.ended.len(), 1, "{entry:?}");
        assert_eq!(server.count().await, (0.into(), "reserved".into()));
        assert_eq!(status(early).await, 503);
        assert_eq!(begun.elapsed(), PATIENCE);
        let done = done.expect("it waits");
        if let Some(is_logged) = is_logged {
            done.send(is_logged).expect("it counts");
            assert_eq!(status(release()).await, 404, "it is released already");
            assert_eq!(server.count().await, (1.into(), "seats".into()));
            let id = ReservationId::from_text(path.rsplit('/').next().unwrap());
            // Another leader may not have heard of it.
            assert_eq!(server.app.reservations.has_ended(&id), is_logged);
            continue;
        }
        drop(done);
        let (again, (_, done)) = (release(), log.recv().await.expect("it publishes"));
        assert_eq!(server.count().await, (0.into(), "reserved".into()));
        done.expect("it waits").send(true).expect("it counts");
        assert_eq!(status(again).await, 204);
        assert_eq!(server.count().await, (1.into(), "seats".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_is_known_to_have_ended_is_released_without_asking_any_leader() {
    for expires in [false, true] {
        let (server, mut log) = leader().await;
        let (made, done) = server.starts_to_reserve(&mut log).await;
        done.send(true).expect("it waits");
        let made = made.await.expect("no panic").json();
        let id = made["id"].as_str().expect("text");
        let now = server.clock.now();
        if !expires {
            let ended = [ReservationId::from_text(id)];
            server.app.reservations.ended_elsewhere(&ended, now);
        }
        // Now it follows a leader that does not answer.
        server.clock.pass(Duration::from_secs(7_200));
        let begun = tokio::time::Instant::now();
        assert_eq!(server.release(id).await.status, 404, "{expires}");
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let other = server.release("0123").await;
        assert_eq!(other.status, 503, "it may be held elsewhere");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_is_not_asked_for_a_seat_over_an_engine_that_does_not_answer() {
    for (is_up, took) in [(true, PATIENCE), (false, Duration::ZERO)] {
        let mut world = world(1);
        let (member, _log) = Member::leading_while(is_up, world.clock.clone());
        world.accounts[0].member = Some(member);
        let server = world.serve().await;
        server.clock.pass(Duration::from_secs(7_200));
        let begun = tokio::time::Instant::now();
        let released = server.release("0123").await;
        assert_eq!(released.status, 503);
        let words = "it is not known whether the seat is released; repeat the request";
        let detail = released.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.ends_with(words), "{detail}");
        assert_eq!(begun.elapsed(), took, "{is_up}");
        let begun = tokio::time::Instant::now();
        let reserved = server.reserve_for("a").await;
        assert_eq!(reserved.status, 503);
        let detail = reserved.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("gets the same seat"), "{detail}");
        assert_eq!(begun.elapsed(), took, "{is_up}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_of_the_leader_a_seat_is_refused_in_time_on_any_node() {
    // A follower whose leader does not answer.
    let (server, _log) = leader().await;
    server.clock.pass(Duration::from_secs(7_200));
    let begun = tokio::time::Instant::now();
    assert_eq!(server.reserve_for("a").await.status, 503);
    assert!(begun.elapsed() <= PATIENCE);
    // A leader that loses the lease while it waits for the log.
    let (server, mut log) = leader().await;
    let begun = tokio::time::Instant::now();
    let (first, done) = server.starts_to_reserve(&mut log).await;
    tokio::time::sleep(PATIENCE / 2).await;
    server.clock.pass(Duration::from_secs(7_200));
    done.send(false).expect("it waits");
    assert_eq!(status(first).await, 503);
    assert!(begun.elapsed() <= PATIENCE);
}

#[tokio::test]
async fn a_time_to_live_in_the_query_is_refused() {
    let server = world(1).serve().await;
    let body = r#"{"call_id":"a","ttl":"45s"}"#;
    let ask = async |query: &str| {
        let target = format!("/v1/queues/sales/reservations{query}");
        server.post_json(&target, body).await
    };
    let refused = ask("?ttl=5s").await;
    assert_eq!(
        (refused.status, &*refused.problem()),
        (400, "bad-parameter")
    );
    assert!(refused.body.contains("belongs in the body"), "{refused:?}");
    assert_eq!(ask("?caller=1").await.status, 201);
}
