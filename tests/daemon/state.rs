//! A state folder that is full, read-only, missing, damaged, from a newer version, or in use by another process.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
    time::Duration,
};

use openseat::{
    config::Config,
    daemon::{CALLS_FILE, Daemon, HISTORY_FILE, LEDGER_FILE, STORE_FILE},
    simulator::TOKEN,
};

use crate::support::{CallTools, Disk, Program, TestDaemon, TestFolder, Time, known, soon};

const MINUTE: Duration = Duration::from_secs(60);
/// A poll waits for the disk in real time, while this much simulated time passes with every 2 ms.
const STEP: Duration = Duration::from_secs(2);

/// Room for the ledger and little more, in bytes.
const SMALL: u64 = 6 * 1024 * 1024;

async fn setup() -> (Time, TestFolder, CallTools) {
    let time = Time::new();
    let calltools = CallTools::start(&time).await;
    (time, TestFolder::new(), calltools)
}

/// 950 polls an hour at three quarters of the even pace, plus an allowance, because steps make a simulated hour longer.
const CAREFUL_HOUR: u64 = 720;

/// Checks that polling continues without a burst, at three quarters of the even pace. `before` requests were sent before.
async fn assert_careful(daemon: &TestDaemon, calltools: &CallTools, time: &Time, before: u64) {
    daemon.comes_to(time, "sales", "seats").await;
    let at_once = calltools.simulator.requests() - before;
    assert!(at_once <= 10, "{at_once} at once");
    time.pass_by(30 * MINUTE, STEP).await;
    let sent = calltools.simulator.requests() - before;
    assert!(sent <= CAREFUL_HOUR / 2 + at_once, "{sent} in half an hour");
    // About 85 are due at the idle pace; a slow disk or a pause uses up some of the simulated time, maybe most of it.
    assert!(sent > 5, "{sent} in half an hour: polling had stopped");
    let decision = daemon.comes_to(time, "sales", "seats").await;
    assert!(known(&decision), "{decision}");
}

/// The files that were set aside, by the beginnings of their names.
fn set_aside(home: &TestFolder) -> Vec<String> {
    let entries = fs::read_dir(home.state()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut aside: Vec<_> = names
        .filter_map(|name| Some(name.to_str()?.split_once(".corrupt-")?.0.to_owned()))
        .collect();
    aside.sort();
    aside
}

fn damage(home: &TestFolder, file: &str) {
    fs::create_dir_all(home.state()).expect("a folder");
    let nonsense = "not a database, but long enough to look like one".repeat(100);
    fs::write(home.state().join(file), nonsense).expect("a file");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_disk_that_fills_up_stops_neither_the_ledger_nor_the_polls() {
    let (time, home, calltools) = setup().await;
    let folder = home.state();
    let disk = Disk::mount(&folder, SMALL);
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    disk.fill();
    time.pass_by(70 * MINUTE, STEP).await;
    // More than an hour of polls fitted into the space that the ledger has reserved. A write that took longer than a second may have been reported.
    soon("a good ledger", async || {
        !daemon.is_degraded("ledger").await
    })
    .await;
    assert!(calltools.simulator.requests() > 100, "at the idle pace");
    // On a busy machine a poll may be in progress just now.
    time.until("an answer from polls that continue", async || {
        daemon.decision("sales").await["reason"] == "seats"
    })
    .await;
    // Files without reserved space cannot be used meanwhile, and recover by themselves.
    time.until("a part without room", async || {
        daemon.is_degraded("history").await || daemon.is_degraded("store").await
    })
    .await;
    disk.free();
    time.until("all parts back", async || {
        !daemon.is_degraded("history").await && !daemon.is_degraded("store").await
    })
    .await;
    daemon.stop().await;
    let used = calltools.daemon(&home, &time).await.used().await;
    assert!(used > 100.0, "the ledger has them: {used}");
    drop(disk);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_disk_that_is_full_at_the_start_makes_polling_careful_and_stops_nothing() {
    let (time, home, calltools) = setup().await;
    let folder = home.state();
    let disk = Disk::mount(&folder, SMALL);
    disk.fill();
    let daemon = calltools.daemon(&home, &time).await;
    assert!(daemon.is_degraded("ledger").await);
    assert_careful(&daemon, &calltools, &time, 0).await;
    assert!(daemon.is_degraded("ledger").await);
    disk.free();
    time.until("a ledger", async || !daemon.is_degraded("ledger").await)
        .await;
    let used = daemon.used().await;
    daemon.stop().await;
    let next = calltools.daemon(&home, &time).await.used().await;
    // Meanwhile one of the evenly spent requests leaves the window every four seconds.
    assert!((next - used).abs() < 50.0, "{used} before, {next} after");
    drop(disk);
}

#[tokio::test]
#[ignore = "needs root"]
async fn with_a_read_only_folder_polling_continues_and_each_start_is_careful() {
    let (time, home, calltools) = setup().await;
    let folder = home.state();
    let disk = Disk::mount(&folder, SMALL);
    disk.set_read_only(true);
    // Nothing can be stored for the next process. Even so, twenty starts must not each have a burst.
    let begun = time.clock().now();
    for n in 1..=20 {
        let daemon = calltools.daemon(&home, &time).await;
        assert!(daemon.is_degraded("ledger").await);
        daemon.comes_to(&time, "sales", "seats").await;
        let sent = calltools.simulator.requests();
        let passed = time.clock().now().boot - begun.boot;
        let even = CAREFUL_HOUR as f64 * passed.as_secs_f64() / 3600.0;
        assert!(
            sent as f64 <= even + 2.0,
            "{sent} requests after {n} starts in {passed:?}"
        );
    }
    let before = calltools.simulator.requests();
    let daemon = calltools.daemon(&home, &time).await;
    assert_careful(&daemon, &calltools, &time, before).await;
    disk.set_read_only(false);
    time.until("a ledger", async || !daemon.is_degraded("ledger").await)
        .await;
    drop(disk);
}

#[tokio::test]
async fn a_folder_that_cannot_be_created_is_reported_with_its_path_and_recovers() {
    let (time, home, calltools) = setup().await;
    fs::write(home.state(), "in the way").expect("a file");
    let daemon = calltools.daemon(&home, &time).await;
    assert!(daemon.is_degraded("ledger").await);
    daemon.comes_to(&time, "sales", "seats").await;
    fs::remove_file(home.state()).expect("the file exists");
    time.until("a ledger", async || !daemon.is_degraded("ledger").await)
        .await;
    assert!(home.state().join(LEDGER_FILE).exists());
}

#[tokio::test]
async fn a_damaged_ledger_is_set_aside_and_the_hour_counts_as_evenly_spent() {
    let (time, home, calltools) = setup().await;
    damage(&home, LEDGER_FILE);
    let begun = time.clock().now();
    let daemon = calltools.daemon(&home, &time).await;
    assert!(
        daemon.used().await >= 990.0,
        "the whole hour counts as spent"
    );
    assert_eq!(set_aside(&home), [LEDGER_FILE]);
    daemon.comes_to(&time, "sales", "seats").await;
    // A restart does not make it forget that the hour is unknown.
    drop(daemon);
    let before = calltools.simulator.requests();
    assert!(before <= 10, "{before}");
    let daemon = calltools.daemon(&home, &time).await;
    assert!(daemon.used().await >= 990.0);
    assert_careful(&daemon, &calltools, &time, before).await;
    // What counts as spent leaves the window as if it had been sent, evenly: half of it after half an hour.
    let used = daemon.used().await;
    let sent = calltools.simulator.requests() as f64;
    let passed = time.clock().now().boot - begun.boot;
    let left = 990.0 * (1.0 - passed.as_secs_f64() / 3600.0);
    let is_even = (used - sent - left).abs() <= 60.0;
    assert!(is_even, "{used} used, {sent} sent, {left} left");
}

#[tokio::test]
async fn a_ledger_that_is_deleted_while_it_runs_is_written_again_completely() {
    let (time, home, calltools) = setup().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let ledger = home.state().join(LEDGER_FILE);
    fs::remove_file(&ledger).expect("the file exists");
    time.until("a ledger", async || ledger.exists()).await;
    soon("a good ledger", async || {
        !daemon.is_degraded("ledger").await
    })
    .await;
    let sent = calltools.simulator.requests() as f64;
    assert!(daemon.used().await >= sent);
    drop(daemon);
    let daemon = calltools.daemon(&home, &time).await;
    assert!(daemon.used().await >= sent);
    assert!(daemon.used().await < 50.0, "nothing was lost");
}

#[tokio::test]
async fn a_ledger_that_is_damaged_while_it_runs_loses_no_request() {
    let (time, home, calltools) = setup().await;
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
    let (time, home, calltools) = setup().await;
    damage(&home, STORE_FILE);
    damage(&home, HISTORY_FILE);
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    time.pass(STEP * 3).await;
    soon("both files", async || {
        set_aside(&home) == [HISTORY_FILE, STORE_FILE]
    })
    .await;
    // A write that takes longer than a second is reported until the next one.
    for part in ["ledger", "store", "history"] {
        soon(part, async || !daemon.is_degraded(part).await).await;
    }
}

#[tokio::test]
async fn seats_stay_held_across_a_restart_although_the_file_was_deleted() {
    let (time, home, calltools) = setup().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    let reserve = async |call: &str| {
        let body = format!(r#"{{"call_id":"{call}","ttl":"10m"}}"#);
        let made = daemon
            .post_json("/v1/queues/sales/reservations", &body)
            .await;
        assert_eq!(made.status, 201, "{made:?}");
    };
    reserve("before").await;
    for companion in ["", "-wal", "-shm"] {
        let path = home.state().join(format!("{STORE_FILE}{companion}"));
        fs::remove_file(path).expect("the file exists");
    }
    soon("a new file", async || {
        home.state().join(STORE_FILE).exists()
    })
    .await;
    soon("the store to work", async || {
        !daemon.is_degraded("store").await
    })
    .await;
    if !daemon.stop().await {
        return;
    }
    let daemon = calltools.daemon(&home, &time).await;
    let held = daemon.get("/v1/reservations").await.json();
    let held = held["reservations"].as_array().expect("a list");
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(held[0]["call_id"], "before");
}

#[tokio::test]
async fn a_ledger_from_a_newer_openseat_is_refused_and_left_alone() {
    let (time, home, calltools) = setup().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    daemon.stop().await;
    let path = home.state().join(LEDGER_FILE);
    let newer = rusqlite::Connection::open(&path).expect("a ledger");
    newer
        .pragma_update(None, "user_version", 99)
        .expect("the file can be written");
    drop(newer);
    home.set_token("main", TOKEN);
    let config = Config::load(&home.config(&[calltools.account()])).expect("the config is valid");
    let error = Daemon::new(&config, time.clock()).await.map(drop);
    let error = format!(
        "{:#}",
        error.expect_err("the ledger is from a newer version")
    );
    assert!(
        error.contains("budget.sqlite3") && error.contains("newer openseat"),
        "{error}"
    );
    assert!(set_aside(&home).is_empty());
}

#[tokio::test]
async fn a_second_daemon_with_the_same_folder_says_so_and_exits() {
    let (_, home, calltools) = setup().await;
    home.set_token("main", TOKEN);
    let config = home.config(&[calltools.account()]);
    let first = Program::run(&home, &config);
    let address = first.address().await;
    let elsewhere = TestFolder::new();
    let config = config.to_str().expect("a plain path");
    let mut second = Program::start(&elsewhere, &["run", "--config", config]);
    assert_eq!(second.ended().await.code(), Some(1));
    let log = second.log();
    let holder = format!(
        "another openseat (process {}) runs with the state folder",
        first.pid()
    );
    assert!(log.contains(&holder), "{log}");
    assert!(log.contains("waiting up to 5 s for it to stop"), "{log}");
    let lines = log
        .lines()
        .filter(|line| line.contains("state folder"))
        .count();
    assert!(
        lines <= 2,
        "one line about the wait, one about its end: {log}"
    );
    assert_eq!(crate::support::get(address, "/livez").await.status, 200);
}

#[tokio::test]
async fn a_folder_with_every_file_of_a_daemon_is_made_private_again() {
    let (time, home, calltools) = setup().await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    daemon.get("/v1/queues/sales/decision?call_id=a").await;
    for file in [LEDGER_FILE, STORE_FILE, HISTORY_FILE, CALLS_FILE] {
        soon(file, async || home.state().join(file).exists()).await;
    }
    // A crash, so that everything stays where it is.
    drop(daemon);
    let files = fs::read_dir(home.state()).expect("a folder");
    let files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    assert!(files.len() > 5, "{files:?}");
    let mode = |path: &Path| {
        let found = fs::metadata(path).expect("it exists");
        found.permissions().mode() & 0o777
    };
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    files.iter().for_each(|file| open(file, 0o644));
    open(&home.state(), 0o755);
    let _daemon = calltools.daemon(&home, &time).await;
    assert_eq!(mode(&home.state()), 0o700, "all files are openseat's");
    // The socket is created again, a little later.
    for file in files.iter().filter(|file| file.is_file()) {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
}

/// Nobody on this machine.
const USER: u32 = 47_110;
const GROUP: u32 = 47_111;

#[tokio::test]
#[ignore = "needs root"]
async fn files_that_root_creates_belong_to_the_owner_of_the_folder() {
    let (time, home, calltools) = setup().await;
    fs::create_dir(home.state()).expect("a folder");
    chown(home.state(), Some(USER), Some(GROUP)).expect("root may do that");
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    daemon.get("/v1/queues/sales/decision?call_id=a").await;
    for file in [LEDGER_FILE, STORE_FILE, HISTORY_FILE, CALLS_FILE] {
        let log = home.state().join(format!("{file}-wal"));
        soon(file, async || log.exists()).await;
    }
    // A crash, so that everything stays where it is.
    drop(daemon);
    let files = fs::read_dir(home.state()).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    let files: Vec<_> = files.filter(|path| path.is_file()).collect();
    assert!(files.len() >= 13, "{files:?}");
    for file in files {
        let found = fs::metadata(&file).expect("it exists");
        assert_eq!((found.uid(), found.gid()), (USER, GROUP), "{file:?}");
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_ledger_of_another_user_is_reported_with_what_to_do() {
    let (home, calltools) = (
        TestFolder::of_any_user(),
        CallTools::start(&Time::new()).await,
    );
    home.set_token("main", TOKEN);
    let config = home.config(&[calltools.account()]);
    let ledger = home.state().join(LEDGER_FILE);
    fs::create_dir(home.state()).expect("a folder");
    // Other users may not be allowed to enter the folder of the build.
    let program = home.path().join("openseat");
    fs::copy(env!("CARGO_BIN_EXE_openseat"), &program).expect("a copy");
    for entry in fs::read_dir(home.path()).expect("a folder") {
        chown(entry.expect("an entry").path(), Some(USER), None).expect("root may do that");
    }
    chown(home.path(), Some(USER), None).expect("root may do that");
    fs::write(&ledger, "").expect("a file");
    fs::set_permissions(&ledger, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let mut command = Command::new(program);
    command.args(["run", "--config"]).arg(config);
    command.uid(USER).gid(USER).env_clear();
    let program = Program::launch(&home, command);
    let advice = format!(
        "permission denied: it belongs to root, and openseat runs as user {USER}; as root, run `chown {USER} {}*`",
        ledger.display()
    );
    program.logs(&advice).await;
    program.logs("the budget ledger is lost").await;
}
