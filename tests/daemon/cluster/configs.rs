//! Nodes whose configs differ: each is answered about its own queues, and the smallest limit holds.

use super::*;
use crate::support::{LONG_TIMEOUTS, account as account_lines};

async fn node(
    redis: &LocalEngine,
    calltools: &CallTools,
    number: usize,
    limit: u32,
    queues: &[&str],
) -> Node {
    let home = TestFolder::new();
    home.set_token("main", TOKEN);
    let more = format!("{LONG_TIMEOUTS}\nrequests_per_hour = {limit}");
    let queues: Vec<_> = queues
        .iter()
        .map(|queue| format!("queue = \"{queue}\"\nmax_age = \"15m\""))
        .collect();
    let queues: Vec<_> = queues.iter().map(String::as_str).collect();
    let lines = account_lines("main", &calltools.serving.base_url(), &more, &queues);
    Node::run(home, cluster(&redis.url(), number, ""), &lines).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn each_node_is_answered_about_its_own_queues_and_the_smallest_limit_holds() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let leader = node(&redis, &calltools, 0, 1_000, &["sales"]).await;
    soon("it leads", || leader.leads()).await;
    let follower = node(&redis, &calltools, 1, 300, &["support"]).await;
    let support = async |node: &Node| get(node.address, "/v1/queues/support/decision").await;
    soon("the follower knows its queue", async || {
        known(&support(&follower).await.json())
    })
    .await;
    soon("it still leads", || leader.leads()).await;
    assert!(!follower.leads().await);
    assert_eq!(support(&leader).await.status, 404);
    let listed = get(leader.address, "/v1/queues").await.body;
    assert!(!listed.contains("support"), "{listed}");
    let body = "{\"call_id\":\"call\"}";
    soon("the leader holds a seat in it", async || {
        let target = "/v1/queues/support/reservations";
        holds(&post_json(follower.address, target, body).await)
    })
    .await;
    for node in [&leader, &follower] {
        soon("the smallest limit holds", async || {
            let limit = "openseat_budget_limit_requests{account=\"main\"}";
            node.metric(limit).await == Some(300.0)
        })
        .await;
    }
    let log = leader.program.as_ref().expect("the process runs");
    log.logs("another node has a smaller requests_per_hour")
        .await;
}

/// The ids of the held seats that a node lists.
async fn held(node: &Node) -> Vec<String> {
    let listed = get(node.address, "/v1/reservations").await.json();
    let seats = listed["reservations"].as_array().expect("a list").iter();
    let id = |seat: &Value| seat["id"].as_str().expect("an id").to_owned();
    seats.map(id).collect()
}

async fn reload(node: &Node) {
    let answer = post(node.address, "/v1/reload").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn a_reload_forgets_no_seat_in_a_queue_that_only_another_node_has() {
    let (redis, time) = (start(), Time::new());
    let calltools = CallTools::start(&time).await;
    let leader = node(&redis, &calltools, 0, 1_000, &["sales"]).await;
    soon("it leads", || leader.leads()).await;
    let follower = node(&redis, &calltools, 1, 1_000, &["support"]).await;
    soon("the follower knows its queue", async || {
        let support = get(follower.address, "/v1/queues/support/decision").await;
        known(&support.json())
    })
    .await;
    let target = "/v1/queues/support/reservations";
    let ask = async |call: &str| {
        let mut status = 503;
        let body = format!("{{\"call_id\":\"{call}\",\"ttl\":\"10m\"}}");
        soon("the leader answers", async || {
            status = post_json(follower.address, target, &body).await.status;
            status != 503
        })
        .await;
        status
    };
    assert!(matches!(ask("call").await, 200 | 201));
    let sales = reserve(leader.address, "{\"call_id\":\"other\",\"ttl\":\"10m\"}").await;
    assert!(holds(&sales), "{sales:?}");
    for node in [&leader, &follower] {
        soon("both nodes know both seats", async || {
            held(node).await.len() == 2
        })
        .await;
    }
    let before = held(&leader).await;
    for node in [&leader, &follower] {
        reload(node).await;
        // The follower has the leader's news once it has what this poll learns.
        soon("a poll", async || {
            post(follower.address, "/v1/queues/support/refresh")
                .await
                .status
                == 200
        })
        .await;
        assert_eq!(held(&leader).await, before);
        assert_eq!(held(&follower).await, before);
    }
    assert_eq!(ask("another").await, 409, "there is one seat");
}
