//! The hour's requests: who may spend them, and what happens when none are left.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use openseat::{
    daemon::LEDGER_FILE,
    simulator::{Endpoint, TOKEN},
};

use crate::support::{
    CallTools, Program, TestDaemon, TestFolder, Time, ask, get, known, post, soon,
};

/// A daemon with so few requests that they can be counted: four for the cold start, and one as the reserve.
async fn frugal(calltools: &CallTools, home: &TestFolder, time: &Time) -> TestDaemon {
    home.set_token("main", TOKEN);
    let lines = calltools.account_with("requests_per_hour = 8\nreserve = 2", "max_age = \"25m\"");
    let daemon = home.start(time, &[lines]).await;
    daemon.ready().await;
    daemon
}

#[tokio::test]
async fn refreshes_spend_the_reserve_and_are_refused_when_it_is_spent() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = frugal(&calltools, &home, &time).await;
    assert_eq!(daemon.used().await, 4.0);
    let refresh = async || post(daemon.address, "/v1/queues/sales/refresh").await;
    for used in 5..=8 {
        assert_eq!(refresh().await.status, 200, "request {used} of 8");
        assert_eq!(daemon.used().await, f64::from(used));
    }
    let refused = refresh().await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(refused.json()["type"], "urn:openseat:problem:budget-spent");
    let wait = refused
        .header("retry-after")
        .and_then(|wait| wait.parse::<u64>().ok());
    assert!(
        wait.is_some_and(|wait| (3_500..3_700).contains(&wait)),
        "{wait:?}"
    );
    assert_eq!(calltools.simulator.requests(), 8);
    // Known data still answers, until it is too old.
    assert_eq!(daemon.decision("sales").await["reason"], "seats");
    time.pass_by(Duration::from_secs(1_600), Duration::from_secs(5))
        .await;
    let unknown = daemon.decision("sales").await;
    assert!(!known(&unknown), "{unknown}");
    assert_eq!(calltools.simulator.requests(), 8);
}

#[tokio::test]
async fn polling_leaves_the_reserve_alone() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = frugal(&calltools, &home, &time).await;
    time.pass_by(Duration::from_secs(3_000), Duration::from_secs(5))
        .await;
    assert_eq!(calltools.simulator.requests(), 6);
    assert_eq!(daemon.used().await, 6.0);
    let answer = post(daemon.address, "/v1/queues/sales/refresh").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// How many requests an hour allows, and how many are sent before something happens to the state folder.
const LIMIT: u64 = 40;
const SPENT: u64 = 35;

/// An account with a small hour, which does not poll during the test after the first polls.
fn small_hour(calltools: &CallTools) -> String {
    calltools.account_with("requests_per_hour = 40\nreserve = 34", "max_age = \"25m\"")
}

/// Refreshes until this many requests have been sent in total.
async fn spend(address: SocketAddr, calltools: &CallTools, up_to: u64) {
    while calltools.simulator.requests() < up_to {
        let answer = post(address, "/v1/queues/sales/refresh").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Asks for sixty refreshes, far more than the hour has.
async fn try_sixty(address: SocketAddr, calltools: &CallTools, what: &str) {
    for _ in 0..60 {
        let answer = post(address, "/v1/queues/sales/refresh").await;
        // 504: the store with the queues' ids was lost too, and no request is left to look them up.
        assert!(
            [200, 429, 504].contains(&answer.status),
            "{what}: {answer:?}"
        );
    }
    let sent = calltools.simulator.requests();
    assert!(sent <= LIMIT, "{what}: {sent} of {LIMIT}");
}

fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
}

/// Something that people or other programs do to a state folder; they have an older copy of its ledger.
type Accident = (&'static str, fn(&Path, &Path));

fn accidents() -> [Accident; 5] {
    [
        ("every file deleted", |folder, _| empty(folder)),
        ("the folder removed", |folder, _| {
            fs::remove_dir_all(folder).expect("a folder");
        }),
        ("an older copy renamed over the ledger", |folder, copy| {
            fs::rename(copy, folder.join(LEDGER_FILE)).expect("one file system");
        }),
        ("an older copy written into the ledger", |folder, copy| {
            let old = fs::read(copy).expect("a copy");
            fs::write(folder.join(LEDGER_FILE), old).expect("the file can be written");
        }),
        ("its log deleted", |folder, _| {
            fs::remove_file(folder.join("budget.sqlite3-wal")).expect("a file");
        }),
    ]
}

#[tokio::test]
async fn no_accident_with_the_files_gives_an_hour_more_requests() {
    for (what, happen) in accidents() {
        let (time, home) = (Time::new(), TestFolder::new());
        let calltools = CallTools::start(&time).await;
        home.set_token("main", TOKEN);
        let daemon = home.start(&time, &[small_hour(&calltools)]).await;
        daemon.ready().await;
        let copy = home.path().join("copy");
        fs::copy(home.state().join(LEDGER_FILE), &copy).expect("a copy");
        spend(daemon.address, &calltools, SPENT).await;
        happen(&home.state(), &copy);
        try_sixty(daemon.address, &calltools, what).await;
        assert_eq!(
            calltools.simulator.requests(),
            LIMIT,
            "{what}: the rest may be spent"
        );
        // The next process does not overspend either, because everything was written again.
        soon("a ledger", async || {
            let is_well = !daemon.is_degraded("ledger").await;
            is_well && home.state().join(LEDGER_FILE).exists()
        })
        .await;
        daemon.stop().await;
        let daemon = home.start(&time, &[small_hour(&calltools)]).await;
        try_sixty(daemon.address, &calltools, what).await;
    }
}

#[tokio::test]
async fn a_check_in_an_emptied_folder_spends_no_second_hour() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    let daemon = home.start(&time, &[small_hour(&calltools)]).await;
    daemon.ready().await;
    spend(daemon.address, &calltools, SPENT).await;
    empty(&home.state());
    // The folder is still locked, so the command either asks the daemon, whose socket is soon back, or sends nothing.
    let mut check = Program::start(&home, &["check"]);
    let code = check.ended().await.code();
    assert!([Some(0), Some(1)].contains(&code), "{}", check.log());
    let (sent, used) = (calltools.simulator.requests(), daemon.used().await);
    assert!(used >= sent as f64, "{used} counted, {sent} sent");
    try_sixty(daemon.address, &calltools, "next to a check").await;
}

#[tokio::test]
async fn a_shell_that_holds_the_ledgers_lock_stops_neither_polls_nor_answers() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let shell = rusqlite::Connection::open(home.state().join(LEDGER_FILE)).expect("a ledger");
    shell.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let before = calltools.simulator.requests();
    time.until("four polls", async || {
        calltools.simulator.requests() >= before + 4
    })
    .await;
    let mut fastest = Duration::MAX;
    for target in ["/metrics", "/v1/accounts", "/metrics", "/v1/queues"] {
        let begun = openseat::clock::steady();
        assert_eq!(daemon.get(target).await.status, 200, "{target}");
        fastest = fastest.min(openseat::clock::steady() - begun);
    }
    // SQLite alone would have waited that long for the lock, each time. A pause may make one of them slow.
    assert!(fastest < Duration::from_secs(5), "{fastest:?}");
    assert!(daemon.is_degraded("ledger").await);
    // A request counts before it arrives, so one may be between the two.
    time.until("all requests", async || {
        daemon.used().await == calltools.simulator.requests() as f64
    })
    .await;
    shell.execute_batch("ROLLBACK").expect("a lock");
    drop(shell);
    time.until("a ledger", async || !daemon.is_degraded("ledger").await)
        .await;
    let used = daemon.used().await;
    drop(daemon);
    let daemon = calltools.daemon(&home, &time).await;
    assert!(daemon.used().await >= used, "everything was written again");
}

#[tokio::test]
async fn a_ledger_that_lost_its_end_in_a_kill_gives_no_second_hour() {
    let accidents = [
        ("the log is gone", None),
        ("a bit near the log's beginning", Some(100)),
        ("a bit in the log's first page", Some(3_000)),
    ];
    for (what, flipped) in accidents {
        let home = TestFolder::on_disk();
        home.set_token("main", TOKEN);
        let calltools = CallTools::start(&Time::new()).await;
        let config = home.config(&[small_hour(&calltools)]);
        let program = Program::run(&home, &config);
        let address = program.address().await;
        soon("ready", async || {
            get(address, "/readyz").await.status == 200
        })
        .await;
        spend(address, &calltools, SPENT).await;
        drop(program); // kill -9
        let log = home.state().join("budget.sqlite3-wal");
        match flipped {
            None => fs::remove_file(log).expect("the file exists"),
            Some(place) => flip(&log, place),
        }
        let program = Program::run(&home, &config);
        let address = program.address().await;
        try_sixty(address, &calltools, what).await;
        drop(program);
    }
}

fn flip(file: &Path, place: usize) {
    let mut bytes = fs::read(file).expect("a file");
    bytes[place] ^= 1;
    fs::write(file, bytes).expect("the file can be written");
}

#[tokio::test]
async fn another_name_and_another_spelling_of_the_address_share_one_hour() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    for name in ["main", "other", "third"] {
        home.set_token(name, TOKEN);
    }
    let daemon = home.start(&time, &[small_hour(&calltools)]).await;
    daemon.ready().await;
    spend(daemon.address, &calltools, SPENT).await;
    let base = calltools.serving.base_url();
    let port = base
        .split(':')
        .next_back()
        .and_then(|rest| rest.split('/').next());
    let port = port.expect("a port");
    let spellings = [
        ("other", format!("http://localhost:{port}/api/")),
        ("third", format!("http://LOCALHOST:{port}//api/")),
    ];
    for (name, spelling) in spellings {
        let renamed = small_hour(&calltools)
            .replace("name = \"main\"", &format!("name = \"{name}\""))
            .replace("main.token", &format!("{name}.token"))
            .replace(&base, &spelling);
        assert!(renamed.contains(&spelling), "{renamed}");
        home.config(&[renamed]);
        let answer = daemon.post("/v1/reload").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for _ in 0..60 {
            post(daemon.address, "/v1/queues/sales/refresh").await;
        }
        let sent = calltools.simulator.requests();
        assert!(sent <= LIMIT, "{name}: {sent} of {LIMIT}");
    }
}

/// The token that replaces the first one.
const NEW_TOKEN: &str = "new0token0new0token0new0token0new0token0";

/// Replaces an account's token, in CallTools and in its file.
fn rotate(calltools: &CallTools, home: &TestFolder) {
    calltools.simulator.set_token(NEW_TOKEN);
    home.set_token("main", NEW_TOKEN);
}

async fn reload(daemon: &TestDaemon) -> serde_json::Value {
    let answer = daemon.post("/v1/reload").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until the daemon uses the new token, which its drop-in accepts as well.
async fn uses_the_new_token(daemon: &TestDaemon) {
    let header = format!("Authorization: Token {NEW_TOKEN}\r\n");
    soon("the new token", async || {
        let answer = ask(daemon.address, "GET", "/api/queues/", &header).await;
        answer.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_new_token_and_then_a_new_name_share_one_hour() {
    for (what, is_refused, restarts) in [
        ("a reload, and another", false, false),
        ("a reload, and a restart", false, true),
        ("a refusal, and a reload", true, false),
        ("a refusal, and a restart", true, true),
    ] {
        let (time, home) = (Time::new(), TestFolder::new());
        let calltools = CallTools::start(&time).await;
        home.set_token("main", TOKEN);
        let mut daemon = home.start(&time, &[small_hour(&calltools)]).await;
        daemon.ready().await;
        spend(daemon.address, &calltools, SPENT).await;
        rotate(&calltools, &home);
        if is_refused {
            let refused = daemon.post("/v1/queues/sales/refresh").await;
            assert_ne!(refused.status, 200, "{what}: {refused:?}");
        } else {
            reload(&daemon).await;
        }
        uses_the_new_token(&daemon).await;
        let renamed = small_hour(&calltools).replace("name = \"main\"", "name = \"acme\"");
        home.config(&[renamed]);
        if restarts {
            daemon.stop().await;
            daemon = TestDaemon::start(&home.path().join("openseat.toml"), &time).await;
        } else {
            let told = reload(&daemon).await;
            assert_eq!(told["accounts_renamed"][0]["to"], "acme", "{what}: {told}");
            assert!(known(&daemon.decision("sales").await), "{what}");
        }
        try_sixty(daemon.address, &calltools, what).await;
        let used = "openseat_budget_used_requests{account=\"acme\"}";
        let (used, sent) = (daemon.metric(used).await, calltools.simulator.requests());
        assert_eq!(used, Some(sent as f64), "{what}");
    }
}

#[tokio::test]
async fn an_account_that_gets_the_token_of_another_shares_its_hour() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    home.set_token("lab", "revoked0token0of0another0account");
    let main = small_hour(&calltools);
    let lab = main
        .replace("name = \"main\"", "name = \"lab\"")
        .replace("main.token", "lab.token");
    let daemon = home.start(&time, &[main, lab]).await;
    daemon.ready().await;
    while calltools.simulator.requests() < SPENT {
        let answer = daemon.post("/v1/queues/main/sales/refresh").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    home.set_token("lab", TOKEN);
    reload(&daemon).await;
    for _ in 0..30 {
        for account in ["lab", "main"] {
            let target = format!("/v1/queues/{account}/sales/refresh");
            let status = daemon.post(&target).await.status;
            // 502: lab has not tried its new token yet. 504: it has no request left to look up its queues.
            assert!(
                [200, 429, 502, 504].contains(&status),
                "{account}: {status}"
            );
        }
    }
    assert_eq!(calltools.simulator.requests(), LIMIT);
    for account in ["lab", "main"] {
        let used = format!("openseat_budget_used_requests{{account=\"{account}\"}}");
        assert_eq!(daemon.metric(&used).await, Some(LIMIT as f64), "{account}");
    }
}

#[tokio::test]
async fn a_restart_after_a_new_token_answers_at_once_and_reads_no_names() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = calltools.daemon(&home, &time).await;
    daemon.decides("sales", known).await;
    rotate(&calltools, &home);
    reload(&daemon).await;
    time.pass(Duration::from_secs(2)).await;
    daemon.stop().await;
    let names = calltools.simulator.requests_to(Endpoint::Queues);
    let daemon = home.start(&time, &[calltools.account()]).await;
    let first = daemon.decision("sales").await;
    assert!(known(&first), "{first}");
    time.pass(Duration::from_secs(5)).await;
    assert_eq!(calltools.simulator.requests_to(Endpoint::Queues), names);
}
