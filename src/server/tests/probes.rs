use super::*;
use crate::{
    account::PresentFault,
    cluster::member::{Member, NodeStatus, Status},
    fixtures::available,
    model::fault::{Down, NoSuchQueue},
};

#[tokio::test]
async fn ready_once_every_queue_has_a_snapshot_or_a_known_fault() {
    let world = World::with(&["main/a", "main/b"]);
    world.publish("main/a", available(1));
    let server = world.serve().await;
    assert_eq!(server.get("/livez").await.status, 200);
    let answer = server.get("/readyz?verbose").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.body,
        "not ready\nmain/a: ok\nmain/b: unknown: never_polled\n"
    );

    server
        .board
        .fault(&key("main/b"), Some(Arc::new(Fault::BadToken)));
    let answer = server.get("/readyz?verbose").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        "ready\nmain/a: ok\nmain/b: unknown: CallTools does not accept the token\n"
    );
    assert_eq!(server.get("/readyz").await.body, "ready\n");

    server.stopping.cancel();
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn verbose_readiness_shows_an_accounts_fault_once_and_its_effect_on_each_queue() {
    let mut world = World::with(&["main/a", "main/b", "main/slaes", "lab/c"]);
    let main = world.account("main", TOKEN);
    let _lab = world.account("lab", "b2");
    world.publish("main/a", available(1));
    world.publish("lab/c", available(1));
    let fault = Arc::new(Fault::down(Down::Dns, "no such host"));
    main.health.send_modify(|health| {
        health.fault = Some(PresentFault {
            fault: Arc::clone(&fault),
            since: world.clock.now(),
        });
    });
    for queue in ["main/a", "main/b"] {
        world.fail(queue, Fault::clone(&fault));
    }
    world.fail("main/slaes", Fault::NoSuchQueue(NoSuchQueue::Id(7)));
    world.clock.pass(Duration::from_secs(61));
    let server = world.serve().await;
    let answer = server.get("/readyz?verbose").await;
    assert_eq!(answer.status, 200);
    let lines: Vec<_> = answer.body.lines().collect();
    assert_eq!(lines[1], format!("account main: {fault} (for 1m 1s)"));
    assert_eq!(lines[2], "account lab: ok");
    assert_eq!(lines[3], "main/a: known from before: see its account");
    assert_eq!(lines[4], "main/b: unknown: see its account");
    assert!(
        lines[5].starts_with("main/slaes: unknown: "),
        "{}",
        lines[5]
    );
    assert!(lines[5].contains('7'), "{}", lines[5]);
    assert_eq!(lines[6], "lab/c: ok");
    assert_eq!(server.get("/readyz").await.body, "ready\n");
}

#[tokio::test]
async fn a_cluster_is_shown_by_the_probe_the_accounts_and_the_overview() {
    let node = |name: &str, leads, behind| NodeStatus {
        name: name.to_owned(),
        leads,
        behind,
    };
    let mut world = World::with(&["main/a"]);
    let _main = world.account("main", TOKEN);
    world.publish("main/a", available(1));
    let status = Status {
        asked: true,
        up: true,
        epoch: 3,
        up_to_date: Some(world.clock.now()),
        nodes: vec![node("router-1", true, 0), node("<b>", false, 7)],
        ..Status::default()
    };
    world.accounts[0].member = Some(Member::of_status(status, world.clock.clone()));
    let server = world.serve().await;
    let ready = async || server.get("/readyz?verbose").await.body;
    let standing = "router-1 leads; nodes: router-1, <b> (7 entries behind); ";
    let line = format!("\ncluster main: ok: {standing}this node is up to date\n");
    let body = ready().await;
    assert!(body.contains(&line), "{body}");
    let cluster = server.get("/v1/accounts").await.json()["accounts"][0]["cluster"].clone();
    assert_eq!(cluster["leader"], "router-1");
    assert_eq!(
        (&cluster["nodes"][1]["entries_behind"], &cluster["trouble"]),
        (&7.into(), &Value::Null)
    );
    let page = server.page("/").await.body;
    assert!(page.contains("In the cluster, router-1 leads"), "{page}");
    assert!(
        !page.contains("<b>,") && page.contains("&lt;b&gt; (7"),
        "{page}"
    );

    server.clock.pass(Duration::from_secs(31));
    let line = "cluster main: this node is behind the cluster's log (look at this node's log";
    let body = ready().await;
    assert!(body.contains(line), "{body}");
    assert!(body.contains("this node is 31 s behind"), "{body}");
    let cluster = server.get("/v1/accounts").await.json()["accounts"][0]["cluster"].clone();
    assert_eq!(cluster["lag_ms"], 31_000);
    assert_eq!(
        cluster["trouble"]["message"],
        "this node is behind the cluster's log"
    );
    let words = server.words("/").await;
    let expected = "This node is behind the cluster's log: look at";
    assert!(words.contains(expected), "{words}");
    assert_eq!(
        server.get("/readyz").await.status,
        200,
        "the node still answers"
    );
}

#[tokio::test]
async fn metrics_are_answered_even_if_no_thread_can_be_started() {
    let server = World::with(&["main/sales"]).serve().await;
    let starves = &server.app.scrapes.starves;
    starves.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("openseat_queue_known"));
}

#[tokio::test]
async fn metrics_come_in_the_requested_format() {
    let world = World::with(&["main/sales"]);
    world.publish("main/sales", available(3));
    let server = world.serve().await;
    server.get("/v1/queues/sales/decision").await;
    let text = server.get("/metrics").await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    for line in [
        "# TYPE openseat_decisions_total counter",
        "openseat_decisions_total{account=\"main\",queue=\"sales\",result=\"accept\",reason=\"seats\"} 1",
        "openseat_queue_seats{account=\"main\",queue=\"sales\"} 3.0",
        "openseat_open_connections 1",
    ] {
        assert!(
            text.body.lines().any(|found| found == line),
            "{line} in\n{}",
            text.body
        );
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let open = server.ask("GET", "/metrics", accept).await;
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_front_page_lists_the_endpoints_for_people_and_for_curl() {
    let server = World::with(&["main/sales"]).serve().await;
    let text = server.get("/").await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(text.body.contains("GET /v1/queues/{queue}/decision"));
    let html = server.ask("GET", "/", "Accept: text/html,*/*\r\n").await;
    assert_eq!(
        html.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(html.body.contains("?queue=a&amp;queue=b</td>"));
}
