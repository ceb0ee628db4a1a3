//! "Why was this call rejected?", asked of the whole daemon: how a held seat ended, across a restart, and with a full disk.

use std::{fs, time::Duration};

use openseat::daemon::CALLS_FILE;
use serde_json::Value;

use crate::support::{CallTools, Disk, TestDaemon, TestFolder, Time, ask, known, soon};

/// Room for the ledger and little more, in bytes.
const SMALL: u64 = 6 * 1024 * 1024;

async fn setup() -> (Time, TestFolder, CallTools) {
    let time = Time::new();
    let calltools = CallTools::start(&time).await;
    (time, TestFolder::new(), calltools)
}

/// The answers about a call.
async fn call(daemon: &TestDaemon, id: &str) -> Vec<Value> {
    let answer = daemon.get(&format!("/v1/calls/{id}")).await;
    match answer.status {
        200 => answer.json()["answers"].as_array().expect("a list").clone(),
        404 => Vec::new(),
        _ => panic!("{answer:?}"),
    }
}

async fn reserve(daemon: &TestDaemon, id: &str) -> Value {
    let target = format!("/v1/queues/sales/decision?call_id={id}&reserve=10m&tag_campaign=solar");
    let answer = daemon.get(&target).await.json();
    assert_eq!(answer["accept"], true, "{answer}");
    answer["reservation"]["id"].clone()
}

#[tokio::test]
async fn how_a_held_seat_ended_is_found_and_survives_a_restart() {
    let (time, home, calltools) = setup().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    reserve(&daemon, "taken").await;
    let id = reserve(&daemon, "given-back").await;
    let full = daemon
        .get("/v1/queues/sales/decision?call_id=third")
        .await
        .json();
    assert_eq!(full["reason"], "reserved");
    // An agent takes a call, which ends the oldest reservation.
    time.pass(Duration::from_secs(5)).await;
    calltools.set_status(0, "On a Call");
    time.until("the departure", async || {
        call(&daemon, "taken").await[0]["reservation"]["ended"] == "answered"
    })
    .await;
    let path = format!("/v1/reservations/{}/release", id.as_str().expect("text"));
    assert_eq!(daemon.post(&path).await.status, 204);
    let check = async |daemon: &TestDaemon| {
        for (id, ended) in [("taken", "answered"), ("given-back", "released")] {
            let answers = call(daemon, id).await;
            assert_eq!(answers.len(), 1, "{answers:?}");
            let answer = &answers[0];
            assert_eq!(
                (&answer["accept"], &answer["reason"]),
                (&true.into(), &"seats".into())
            );
            assert_eq!(answer["tags"]["tag_campaign"], "solar");
            assert_eq!(answer["reservation"]["ended"], ended, "{answer}");
            assert!(answer["reservation"]["ended_at"].is_string());
        }
        let third = &call(daemon, "third").await[0];
        assert_eq!(
            (&third["accept"], &third["reason"]),
            (&false.into(), &"reserved".into())
        );
    };
    check(&daemon).await;
    daemon.stop().await;
    let daemon = calltools.daemon(&home, &time).await;
    check(&daemon).await;
    soon("the last calls", async || {
        let page = ask(
            daemon.address,
            "GET",
            "/queues/main/sales",
            "Accept: text/html\r\n",
        )
        .await;
        page.body.contains("/calls?call_id=given-back")
    })
    .await;
    use std::os::unix::fs::PermissionsExt as _;
    let file = fs::metadata(home.state().join(CALLS_FILE)).expect("a file");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let lost = "openseat_state_dropped_total{part=\"calls\"}";
    assert_eq!(daemon.metric(lost).await, Some(0.0));
}

#[tokio::test]
async fn without_a_state_folder_memory_knows_the_last_calls() {
    let (time, home, calltools) = setup().await;
    home.set_token("main", openseat::simulator::TOKEN);
    let config = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&config).expect("the file exists");
    let text = text.replace("dir = \"state\"", "dir = false");
    fs::write(&config, text).expect("a config");
    let daemon = TestDaemon::start(&config, &time).await;
    daemon.decides("sales", known).await;
    daemon.get("/v1/queues/sales/decision?call_id=a").await;
    assert_eq!(call(&daemon, "a").await.len(), 1);
    assert!(!home.state().exists());
}

#[tokio::test]
async fn a_record_that_is_deleted_while_it_runs_is_created_again() {
    let (time, home, calltools) = setup().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    let path = home.state().join(CALLS_FILE);
    assert!(!path.exists(), "no router has sent a call_id");
    daemon.get("/v1/queues/sales/decision?call_id=a").await;
    soon("a file", async || path.exists()).await;
    for companion in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.state().join(format!("{CALLS_FILE}{companion}")));
    }
    daemon.get("/v1/queues/sales/decision?call_id=b").await;
    soon("a new file", async || path.exists()).await;
    assert_eq!(call(&daemon, "b").await.len(), 1);
    daemon.stop().await;
    let daemon = calltools.daemon(&home, &time).await;
    assert_eq!(call(&daemon, "b").await.len(), 1);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_disk_that_was_read_only_at_the_start_shows_as_usable_without_a_call() {
    let (time, home, calltools) = setup().await;
    let folder = home.state();
    let disk = Disk::mount(&folder, SMALL);
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    daemon.get("/v1/queues/sales/decision?call_id=before").await;
    soon("a file", async || folder.join(CALLS_FILE).exists()).await;
    daemon.stop().await;
    disk.set_read_only(true);
    let daemon = calltools.daemon(&home, &time).await;
    soon("a failure", async || daemon.is_degraded("calls").await).await;
    disk.set_read_only(false);
    soon("the record to work", async || {
        !daemon.is_degraded("calls").await
    })
    .await;
    drop(daemon);
    drop(disk);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_full_disk_delays_no_decision_and_the_record_continues_once_there_is_room() {
    let (time, home, calltools) = setup().await;
    let folder = home.state();
    let disk = Disk::mount(&folder, SMALL);
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    daemon.get("/v1/queues/sales/decision?call_id=before").await;
    soon("a file", async || folder.join(CALLS_FILE).exists()).await;
    disk.fill();
    soon("a disk without room", async || {
        daemon
            .get("/v1/queues/sales/decision?call_id=meanwhile")
            .await;
        daemon.is_degraded("calls").await
    })
    .await;
    // While its writer tries again, the file may be closed, and to open it a reader needs room that is not there.
    let mut asked = 0;
    soon("the answers in memory", async || {
        let answer = daemon.get("/v1/calls/meanwhile").await;
        if answer.status == 200 {
            asked = answer.json()["answers"].as_array().map_or(0, Vec::len);
        }
        asked > 0
    })
    .await;
    disk.free();
    daemon.get("/v1/queues/sales/decision?call_id=after").await;
    soon("the record to work", async || {
        !daemon.is_degraded("calls").await
    })
    .await;
    let lost = "openseat_state_dropped_total{part=\"calls\"}";
    assert_eq!(daemon.metric(lost).await, Some(0.0));
    daemon.stop().await;
    let daemon = calltools.daemon(&home, &time).await;
    for (id, answers) in [("before", 1), ("meanwhile", asked), ("after", 1)] {
        assert_eq!(call(&daemon, id).await.len(), answers, "{id}");
    }
    drop(daemon);
    drop(disk);
}
