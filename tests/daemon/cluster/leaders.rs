//! A leader that is killed, stopped or paused, and what callers of the other nodes notice.

use std::collections::BTreeSet;

use tokio::task::JoinHandle;

use super::*;

/// A lease that leaves time to ask everything while nobody leads, on a machine that pauses a process for seconds as well.
const LONG_LEASE: &str = "lease = \"30s\"";

/// Two nodes with such a lease that know the queue, the leader first.
async fn two_with_a_long_lease(
    redis: &LocalEngine,
    calltools: &CallTools,
    account: &str,
) -> [Node; 2] {
    let start = async |number| {
        let home = TestFolder::new();
        home.set_token("main", TOKEN);
        let account = calltools.account_with(account, "max_age = \"60s\"");
        let settings = cluster(&redis.url(), number, "").replace("lease = \"3s\"", LONG_LEASE);
        Node::run(home, settings, &account).await
    };
    let leader = start(0).await;
    soon("it leads", || leader.leads()).await;
    let follower = start(1).await;
    soon("it follows", async || known(&follower.decision().await)).await;
    soon("it knows all queues", async || {
        get(follower.address, "/readyz").await.status == 200
    })
    .await;
    [leader, follower]
}

fn problem(answer: &Answer) -> (u16, String) {
    let kind = answer.json()["type"].as_str().map(str::to_owned);
    let kind = kind.unwrap_or_default();
    (answer.status, kind.replace("urn:openseat:problem:", ""))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn while_nobody_leads_each_request_gets_the_documented_answer() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let [mut leader, follower] = two_with_a_long_lease(&redis, &calltools, "").await;
    let made = reserve(follower.address, "{\"call_id\":\"held\",\"ttl\":\"5m\"}").await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    soon("it knows that the seat is held", async || {
        follower.decision().await["capacity"] == 1
    })
    .await;
    leader.kill();

    let at = follower.address;
    let no_leader = (503, "no-leader".to_owned());
    let body = "{\"call_id\":\"call\"}";
    let one_url = "/v1/queues/sales/decision?call_id=call&reserve=45s";
    let release = format!("/v1/reservations/{id}");
    for answer in [
        post_json(at, "/v1/queues/sales/reservations", body).await,
        get(at, one_url).await,
        post(at, &format!("{release}/release")).await,
        ask(at, "DELETE", &release, "").await,
    ] {
        assert_eq!(problem(&answer), no_leader, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    }
    let refused = post(at, "/v1/queues/sales/refresh").await;
    assert_eq!(problem(&refused), (503, "cluster-down".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    for answered in [
        "/v1/queues/sales/decision",
        "/v1/queues/sales/decision?fresh=1ms&wait=300ms",
    ] {
        let answer = get(at, answered).await;
        let decision = answer.json();
        assert_eq!((answer.status, known(&decision)), (200, true));
        assert_eq!(decision["capacity"], 1, "{decision}");
    }
    assert_eq!(get(at, "/readyz").await.status, 200);
    assert!(!follower.leads().await, "all this was before a node led");

    soon("it leads", || follower.leads()).await;
    let again = reserve(at, "{\"call_id\":\"held\",\"ttl\":\"5m\"}").await;
    assert_eq!(again.json()["id"], *id);
    follower.is_refreshed().await;
}

/// A machine that is later than this, or a process that waits longer for a core, may itself keep a reservation waiting for too long.
const IN_TIME: Duration = Duration::from_millis(25);

/// How many leaders are stopped on a machine that is in time, and how many at most until then.
const STOPS: usize = 3;
const ROUNDS: usize = 12;

/// How long the engine and the nodes waited for a core in all: each by itself, because one that is late is enough. A node that is down has waited
/// for nothing.
fn waits(redis: &LocalEngine, nodes: &[Node]) -> Vec<Duration> {
    let nodes = nodes.iter().map(|node| node.program.as_ref());
    let nodes = nodes.map(|program| program.map(|program| program.pid()));
    let all = nodes.chain([Some(pid(redis))]);
    all.map(|pid| pid.map(waited).unwrap_or_default()).collect()
}

/// Asks for one seat after the other until it is told to stop, and returns the answers that are failures.
async fn ask_on(
    address: SocketAddr,
    name: String,
    stops: tokio::sync::watch::Receiver<bool>,
) -> Vec<Answer> {
    let mut failed = Vec::new();
    for call in 0.. {
        if *stops.borrow() {
            break;
        }
        let body = format!("{{\"call_id\":\"{name}-{call}\",\"ttl\":\"1s\"}}");
        let answer = post_json(address, "/v1/queues/sales/reservations", &body).await;
        if !holds(&answer) && answer.status != 409 {
            failed.push(answer);
        }
    }
    failed
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn no_reservation_fails_when_the_leader_is_stopped() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let mut nodes = three(&redis, &calltools, "").await;
    let mut stops_in_time = 0;
    for round in 0..ROUNDS {
        let stopped = leader(&nodes).await;
        let (lateness, before) = (Lateness::watch(), waits(&redis, &nodes));
        let (stop, stops) = tokio::sync::watch::channel(false);
        let callers = nodes
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != stopped);
        let callers = callers.map(|(place, node)| {
            let name = format!("{round}-{place}");
            tokio::spawn(ask_on(node.address, name, stops.clone()))
        });
        let callers: Vec<_> = callers.collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        nodes[stopped].signal(Signal::TERM);
        let program = nodes[stopped].program.as_mut().expect("it runs");
        assert!(program.ended().await.success());
        nodes[stopped].program = None;
        let _ = leader(&nodes).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.send_replace(true);
        let failed = join_all(callers).await;
        let failed: Vec<_> = failed
            .into_iter()
            .flat_map(|one| one.expect("no panic"))
            .collect();
        // A pause of any of them may cost a reservation. A round without one is never late.
        let waited = waits(&redis, &nodes).into_iter().zip(before);
        let waited = waited.map(|(now, before)| now.saturating_sub(before));
        let late = waited.chain([lateness.worst()]).max().unwrap_or_default();
        assert!(
            failed.is_empty() || late > IN_TIME,
            "late by {late:?}: {failed:#?}"
        );
        stops_in_time += usize::from(failed.is_empty());
        if stops_in_time == STOPS {
            return;
        }
        nodes[stopped].start_again().await;
        soon("it is back", async || {
            known(&nodes[stopped].decision().await)
        })
        .await;
    }
    println!(
        "this machine was in time in {stops_in_time} of {ROUNDS} rounds, so the others say nothing"
    );
}

/// The ids of the account's log.
fn log_of(redis: &LocalEngine) -> BTreeSet<(u64, u64)> {
    let keys = cuts::redis_cli(redis, &["--scan", "--pattern", "openseat:{*}:log"]);
    let key = keys.lines().find(|key| !key.contains("trial"));
    let entries = cuts::redis_cli(redis, &["xrange", key.expect("a log"), "-", "+"]);
    let id = |line: &str| {
        let (epoch, number) = line.split_once('-')?;
        Some((epoch.parse().ok()?, number.parse().ok()?))
    };
    entries.lines().filter_map(id).collect()
}

/// Holds an entry that a leader appends, and returns the request that it is for. Without an answer to its other commands, a leader opens a new
/// connection on which it appends nothing; then this tries again.
async fn hold_an_entry(way: &Way, leader: &Node) -> JoinHandle<Answer> {
    loop {
        soon("it leads", || leader.leads()).await;
        way.hold.send_replace(true);
        let address = leader.address;
        let refresh = async move { post(address, "/v1/queues/sales/refresh").await };
        let asked = tokio::spawn(refresh);
        for _ in 0..20 {
            if way.holds(b"openseat:bell:") {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        way.hold.send_replace(false);
        let _ = asked.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_paused_leader_wakes_to_nothing_but_following() {
    const LIMIT: usize = 60;
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let account = format!("requests_per_hour = {LIMIT}\nreserve = 50");
    let way = Way::to(&redis).await;
    let paused = Node::start_at(&way.url, &calltools, 0, &account).await;
    soon("it leads", || paused.leads()).await;
    let next = Node::start(&redis, &calltools, 1, &account).await;
    soon("it follows", async || known(&next.decision().await)).await;

    // The leader wants to append an entry, which waits on the way while the leader is paused and another one leads.
    let refused = hold_an_entry(&way, &paused).await;
    let before = paused.sent().await;
    paused.signal(Signal::STOP);
    soon("the other node leads", || next.leads()).await;
    next.is_refreshed().await;
    let epoch = log_of(&redis).last().expect("an entry").0;
    let olds = |(one, _): &(u64, u64)| *one < epoch;
    let of_before: Vec<_> = log_of(&redis).into_iter().filter(olds).collect();
    way.hold.send_replace(false);
    soon("it has arrived", async || !way.holds(b"openseat:bell:")).await;

    paused.signal(Signal::CONT);
    soon("it has noticed", async || !paused.leads().await).await;
    let refused = refused.await.expect("no panic");
    assert_ne!(refused.status, 200, "{refused:?}");
    calltools.set_status(0, "On a Call");
    next.is_refreshed().await;
    soon("it follows", async || paused.decision().await["count"] == 1).await;
    soon("the other node still leads", || next.leads()).await;
    assert!(!paused.leads().await);
    assert_eq!(paused.sent().await, before, "it sent nothing");
    let now: Vec<_> = log_of(&redis).into_iter().filter(olds).collect();
    assert!(
        now.iter().all(|one| of_before.contains(one)),
        "{now:?} {of_before:?}"
    );
    // Both know the whole hour, and neither asks for more.
    for _ in 0..LIMIT {
        for node in [&paused, &next] {
            let _ = post(node.address, "/v1/queues/sales/refresh").await;
        }
    }
    let all = calltools.simulator.requests() as usize;
    // A pause may cost an entry its answer. Then a request counts that was not sent.
    assert!(all <= LIMIT && all > LIMIT / 2, "{all}");
    assert_eq!(calltools.simulator.throttled(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn what_was_asked_of_a_leader_while_it_was_paused_has_no_effect_when_it_wakes() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    // Ten polls an hour in the background.
    let account = "requests_per_hour = 60\nreserve = 50";
    let [leader, follower] = two_with_a_long_lease(&redis, &calltools, account).await;
    let calls = async || get(follower.address, "/v1/reservations").await.body;
    let polls = || {
        let received = calltools.simulator.received();
        let of_support = |target: &str| target.contains("queue=2&") || target.ends_with("queue=2");
        received
            .iter()
            .filter(|one| of_support(&one.target))
            .count()
    };
    leader.signal(Signal::STOP);
    let target = "/v1/queues/sales/reservations";
    for call in 0..2 {
        let body = format!("{{\"call_id\":\"gone-{call}\",\"ttl\":\"5m\"}}");
        let refused = post_json(follower.address, target, &body).await;
        assert_eq!(problem(&refused), (503, "no-leader".to_owned()));
    }
    let refused = post(follower.address, "/v1/queues/support/refresh").await;
    assert_eq!(problem(&refused), (503, "cluster-down".to_owned()));
    // Longer than the last of them may have been put again.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = polls();
    leader.signal(Signal::CONT);

    // The leader hears this after the others.
    let body = "{\"call_id\":\"here\",\"ttl\":\"5m\"}";
    assert!(holds(&reserve(follower.address, body).await));
    soon("it knows that the seat is held", async || {
        calls().await.contains("here")
    })
    .await;
    let calls = calls().await;
    assert!(!calls.contains("gone"), "{calls}");
    assert_eq!(polls(), before);
}
