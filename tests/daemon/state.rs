//! A state folder that is full, read-only, missing, damaged, from the future, or somebody else's.

use std::{fs, time::Duration};

use openseat::{
    config::Config,
    daemon::{Daemon, HISTORY_FILE, LEDGER_FILE, STORE_FILE},
    simulator::TOKEN,
};

use crate::support::{CallTools, Disk, Home, Program, Running, Time, known, soon};

const MINUTE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_secs(5);

/// Room for the ledger and not much more.
const SMALL: u64 = 6 * 1024 * 1024;

async fn scene() -> (Time, Home, CallTools) {
    let time = Time::new();
    let calltools = CallTools::start(&time).await;
    (time, Home::new(), calltools)
}

/// Nothing was sent, and what is asked is answered all the same.
async fn assert_silent(daemon: &Running, calltools: &CallTools) {
    let decision = daemon
        .decides("sales", |decision| decision["reason"] == "budget_spent")
        .await;
    assert!(!known(&decision), "{decision}");
    assert_eq!(calltools.simulator.requests(), 0);
}

/// What was set aside, by the beginnings of the names.
fn set_aside(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.state()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut aside: Vec<_> = names
        .filter_map(|name| Some(name.to_str()?.split_once(".corrupt-")?.0.to_owned()))
        .collect();
    aside.sort();
    aside
}

fn damage(home: &Home, file: &str) {
    fs::create_dir_all(home.state()).expect("a folder");
    let nonsense = "no database at all, but long enough to be taken for one".repeat(100);
    fs::write(home.state().join(file), nonsense).expect("a file");
}

#[tokio::test]
async fn a_disk_that_fills_up_stops_neither_the_ledger_nor_the_polls() {
    let (time, home, calltools) = scene().await;
    let folder = home.state();
    let Some(disk) = Disk::mount(&folder, SMALL) else {
        return;
    };
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    disk.fill();
    time.pass_by(70 * MINUTE, STEP).await;
    // An hour and more of polls went into the room that the ledger has in advance.
    assert!(!daemon.is_degraded("ledger").await);
    assert!(calltools.simulator.requests() > 200, "at the idle pace");
    // A poll of a busy machine may be under way just now.
    time.until("an answer from polls that go on", async || {
        daemon.decision("sales").await["reason"] == "seats"
    })
    .await;
    // What was not that careful is done without, and comes back by itself.
    time.until("a part without room", async || {
        daemon.is_degraded("history").await || daemon.is_degraded("snapshots").await
    })
    .await;
    disk.free();
    time.until("all parts back", async || {
        !daemon.is_degraded("history").await && !daemon.is_degraded("snapshots").await
    })
    .await;
    daemon.stop().await;
    let used = calltools.daemon(&home, &time).await.used().await;
    assert!(used > 200.0, "the ledger knows of them: {used}");
    drop(disk);
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_counts_the_hour_as_spent_until_there_is_room() {
    let (time, home, calltools) = scene().await;
    let folder = home.state();
    let Some(disk) = Disk::mount(&folder, SMALL) else {
        return;
    };
    disk.fill();
    let daemon = calltools.daemon(&home, &time).await;
    assert!(daemon.is_degraded("ledger").await);
    assert_silent(&daemon, &calltools).await;
    time.pass_by(30 * MINUTE, STEP).await;
    assert_silent(&daemon, &calltools).await;
    disk.free();
    let decision = daemon.comes_to(&time, "sales", "seats").await;
    assert!(known(&decision));
    assert!(!daemon.is_degraded("ledger").await);
    drop(disk);
}

#[tokio::test]
async fn a_folder_that_is_read_only_is_done_without_and_at_a_trickle_after_an_hour() {
    let (time, home, calltools) = scene().await;
    let folder = home.state();
    let Some(disk) = Disk::mount(&folder, SMALL) else {
        return;
    };
    disk.set_read_only(true);
    let daemon = calltools.daemon(&home, &time).await;
    assert!(daemon.is_degraded("ledger").await);
    time.pass_by(59 * MINUTE, STEP).await;
    assert_silent(&daemon, &calltools).await;
    // A quarter of the reserve of 50 in each hour from now on.
    time.pass_by(124 * MINUTE, STEP).await;
    let trickled = calltools.simulator.requests();
    assert!((18..=26).contains(&trickled), "{trickled}");
    assert!(calltools.simulator.worst_sliding_hour() <= 12);
    disk.set_read_only(false);
    time.until("a ledger", async || !daemon.is_degraded("ledger").await)
        .await;
    drop(disk);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told_with_its_path_and_heals() {
    let (time, home, calltools) = scene().await;
    fs::write(home.state(), "in the way").expect("a file");
    let daemon = calltools.daemon(&home, &time).await;
    assert!(daemon.is_degraded("ledger").await);
    assert_silent(&daemon, &calltools).await;
    fs::remove_file(home.state()).expect("it is there");
    daemon.comes_to(&time, "sales", "seats").await;
    assert!(!daemon.is_degraded("ledger").await);
}

#[tokio::test]
async fn a_damaged_ledger_is_set_aside_and_counts_the_hour_as_spent() {
    let (time, home, calltools) = scene().await;
    damage(&home, LEDGER_FILE);
    let daemon = calltools.daemon(&home, &time).await;
    assert_silent(&daemon, &calltools).await;
    assert_eq!(daemon.used().await, 1000.0, "all that there may be");
    assert_eq!(set_aside(&home), [LEDGER_FILE]);
    // A restart does not make it forget what it does not know.
    drop(daemon);
    let daemon = calltools.daemon(&home, &time).await;
    time.pass_by(59 * MINUTE, STEP).await;
    assert_silent(&daemon, &calltools).await;
    time.pass_by(4 * MINUTE, STEP).await;
    daemon.decides("sales", known).await;
}

#[tokio::test]
async fn a_ledger_that_is_trusted_after_all_lets_polls_begin() {
    let (time, home, calltools) = scene().await;
    damage(&home, LEDGER_FILE);
    let daemon = calltools.daemon(&home, &time).await;
    assert_silent(&daemon, &calltools).await;
    let clock = time.clock();
    let ledger = openseat::daemon::open_ledger(&home.state(), clock.as_ref()).expect("a ledger");
    assert!(ledger.trust(clock.as_ref()).expect("it can be written"));
    assert!(
        !ledger.trust(clock.as_ref()).expect("it can be written"),
        "it is already"
    );
    time.pass(MINUTE + STEP).await;
    daemon.decides("sales", known).await;
}

#[tokio::test]
async fn a_ledger_that_is_removed_while_it_runs_is_no_new_budget() {
    let (time, home, calltools) = scene().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let before = calltools.simulator.requests();
    fs::remove_file(home.state().join(LEDGER_FILE)).expect("it is there");
    time.until("a ledger that knows nothing", async || {
        daemon.used().await == 1000.0
    })
    .await;
    drop(daemon);
    let daemon = calltools.daemon(&home, &time).await;
    time.pass_by(30 * MINUTE, STEP).await;
    assert!(calltools.simulator.requests() <= before + 2);
    assert_eq!(daemon.used().await, 1000.0);
}

#[tokio::test]
async fn a_ledger_that_is_damaged_while_it_runs_under_counts_nothing() {
    let (time, home, calltools) = scene().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    damage(&home, LEDGER_FILE);
    time.pass(MINUTE).await;
    drop(daemon);
    let daemon = calltools.daemon(&home, &time).await;
    time.pass(MINUTE).await;
    let (used, sent) = (daemon.used().await, calltools.simulator.requests());
    assert!(used >= sent as f64, "{used} used, {sent} sent");
}

#[tokio::test]
async fn a_damaged_store_or_history_is_set_aside_and_harms_nothing_else() {
    let (time, home, calltools) = scene().await;
    damage(&home, STORE_FILE);
    damage(&home, HISTORY_FILE);
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    time.pass(STEP * 3).await;
    soon("both files", async || {
        set_aside(&home) == [HISTORY_FILE, STORE_FILE]
    })
    .await;
    for part in ["ledger", "snapshots", "history"] {
        assert!(!daemon.is_degraded(part).await, "{part}");
    }
}

#[tokio::test]
async fn a_ledger_from_a_newer_openseat_is_refused_and_left_alone() {
    let (time, home, calltools) = scene().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    daemon.stop().await;
    let path = home.state().join(LEDGER_FILE);
    let newer = rusqlite::Connection::open(&path).expect("a ledger");
    newer
        .pragma_update(None, "user_version", 99)
        .expect("it can be written");
    drop(newer);
    home.set_token("main", TOKEN);
    let config = Config::load(&home.config(&[calltools.account()])).expect("it is good");
    let error = Daemon::new(&config, time.clock()).await.map(drop);
    let error = format!("{:#}", error.expect_err("it is from the future"));
    assert!(
        error.contains("budget.sqlite3") && error.contains("newer openseat"),
        "{error}"
    );
    assert!(set_aside(&home).is_empty());
}

#[tokio::test]
async fn a_second_daemon_with_the_same_folder_is_told_so_and_ends() {
    let (_, home, calltools) = scene().await;
    home.set_token("main", TOKEN);
    let config = home.config(&[calltools.account()]);
    let first = Program::run(&home, &config);
    let address = first.address().await;
    let elsewhere = Home::new();
    let config = config.to_str().expect("a plain path");
    let mut second = Program::start(&elsewhere, &["run", "--config", config]);
    assert_eq!(second.ended().await.code(), Some(1));
    let log = second.log();
    assert!(
        log.contains("another openseat is running with the state folder"),
        "{log}"
    );
    assert_eq!(crate::support::get(address, "/livez").await.status, 200);
}
