//! `openseat check --report` and `openseat simulate --like`.

use std::{fs, time::Duration};

use openseat::simulator::InjectedFault;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    fixture::{CANARY, Fixture, run},
    support::{Program, TestFolder, soon},
};

fn written(home: &TestFolder, name: &str) -> String {
    fs::read_to_string(home.path().join(name)).expect("a report")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_what_was_found_and_contains_no_names() {
    let fixture = Fixture::open().await;
    let output = fixture.check(&["--report", "report.json"]).await.exits(0);
    let text = output.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in [
        "main: 10 requests queues queues/ can be read and has 1 entries",
        "people 2 of 3 listed are available; of these, 0 are on a call, and 0 others are not ready",
        "an unknown queue is refused (400)",
        "not judged default page size, ",
        "written to report.json: names, ids, tokens and hosts in it are replaced",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{}", output.out);
    }
    output.has_no_warnings();
    assert_eq!(fixture.calltools.simulator.requests(), 10);
    let text = written(&fixture.home, "report.json");
    let address = fixture.calltools.serving.address().to_string();
    let queue = fixture.calltools.simulator.queue_id("sales-queue");
    let ids = fixture.calltools.simulator.world(|world| world.agents());
    let ids = ids.iter().map(ToString::to_string);
    let names = ["Lovelace", "Pascal", "Gauß", "sales", CANARY, &*address].map(str::to_owned);
    for name in names.into_iter().chain(ids) {
        assert!(!text.contains(&name), "{name} is in:\n{text}");
    }
    assert!(queue.is_some_and(|id| !text.contains(&format!("queue={id}&"))));
    let report = json(&text);
    assert_eq!(report["found"]["unknown_queue"], "refused");
    // The simulator is served over HTTP, so its clock is seen too.
    let ahead = report["found"]["clock_ahead_seconds"].as_i64();
    assert!(ahead.is_some_and(|ahead| ahead.abs() <= 2), "{ahead:?}");
    assert_eq!(report["answers"][2]["rows"], 3);
    assert_eq!(
        report["answers"][2]["body"]["results"][0]["full_name"],
        "Person 1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_replaced_and_no_request_is_spent_on_a_report_that_cannot_be_written() {
    let fixture = Fixture::open().await;
    fixture.home.write("report.json", "mine");
    let output = fixture.check(&["--report", "report.json"]).await.exits(2);
    output.stderr_has(&["report.json exists already; remove it, or name another file"]);
    assert_eq!(written(&fixture.home, "report.json"), "mine");
    let output = fixture
        .check(&["--report", "nowhere/report.json"])
        .await
        .exits(2);
    output.stderr_has(&["nowhere/report.json cannot be written"]);
    let output = fixture
        .check(&["--report", "r.json", "sale"])
        .await
        .exits(2);
    output.stderr_has(&["no queue \"sale\" is configured"]);
    fixture.configure(&format!(
        "{}{}",
        fixture.account("main", "\nqueue = \"sales-queue\"\n"),
        fixture.account("other", "\nqueue = \"sales-queue\"\n")
    ));
    let output = fixture.check(&["--report", "r.json"]).await.exits(2);
    output.stderr_has(&["a report is about one account; name a queue of it, such as main/sales-queue or other/sales-queue"]);
    assert!(!fixture.path("r.json").exists());
    assert_eq!(fixture.calltools.simulator.requests(), 0);
    for other in ["--json", "--all", "--curl"] {
        fixture.check(&["--report", "r.json", other]).await.exits(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_interrupted_leaves_no_file() {
    let fixture = Fixture::open().await;
    let simulator = &fixture.calltools.simulator;
    simulator.inject(1, None, InjectedFault::Hang);
    let mut check = Program::start(&fixture.home, &["check", "--report", "report.json"]);
    soon("a request", async || simulator.requests() > 0).await;
    check.signal(Signal::INT);
    check.ended().await;
    assert!(!fixture.path("report.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_pause_nothing_is_sent_and_the_time_left_is_shown() {
    let fixture = Fixture::open().await;
    let simulator = &fixture.calltools.simulator;
    simulator.inject(
        1,
        None,
        InjectedFault::Throttled(Some(Duration::from_secs(900))),
    );
    let output = fixture.check(&["--report", "report.json"]).await.exits(1);
    output.stderr_has(&[
        "no report was made: others spend from this account",
        "What to do: ",
    ]);
    assert_eq!(simulator.requests(), 1);
    // The pause is in the state folder, for the next command and for a daemon.
    for _ in 0..2 {
        let output = fixture.check(&["--report", "report.json"]).await.exits(1);
        let left = output.err.split("the next one may be sent in ").nth(1);
        let left = left.and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        assert!(left.is_some_and(|left| left > 800), "{output:?}");
        assert_eq!(output.out, "");
    }
    assert_eq!(simulator.requests(), 1);
    assert!(!fixture.path("report.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_in_the_middle_leaves_a_report_of_what_came_before() {
    let fixture = Fixture::open().await;
    let simulator = &fixture.calltools.simulator;
    let pause = InjectedFault::Throttled(Some(Duration::from_secs(900)));
    simulator.inject(1, Some(openseat::simulator::Endpoint::AgentStatuses), pause);
    let output = fixture.check(&["--report", "report.json"]).await.exits(1);
    output.stdout_has(&[
        "main: 3 requests",
        "not complete  others spend from this account",
    ]);
    let report = json(&written(&fixture.home, "report.json"));
    assert_eq!(report["answers"].as_array().map(Vec::len), Some(2));
    assert_eq!(simulator.requests(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_asks_within_its_budget() {
    let fixture = Fixture::open().await;
    let _daemon = fixture.daemon().await;
    // The command has no token of its own.
    fs::remove_file(fixture.path("main.token")).expect("the file exists");
    let output = fixture
        .check(&["--report", "report.json", "sales-queue"])
        .await
        .exits(0);
    output.stdout_has(&["main: 10 requests\n", "written to report.json"]);
    let report = json(&written(&fixture.home, "report.json"));
    assert_eq!(report["stopped"], Value::Null);
    // During a pause the daemon sends nothing.
    let simulator = &fixture.calltools.simulator;
    let pause = InjectedFault::Throttled(Some(Duration::from_secs(900)));
    simulator.inject(1, None, pause);
    soon("a pause", async || {
        simulator
            .received()
            .last()
            .is_some_and(|last| last.status.is_some_and(|status| status == 429))
    })
    .await;
    let before = simulator.requests();
    let output = fixture.check(&["--report", "again.json"]).await.exits(1);
    output.stderr_has(&["no report was made: ", "; the next one may be sent in "]);
    assert!(!fixture.path("again.json").exists());
    assert_eq!(simulator.requests(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulator_like_the_report_gives_the_same_report() {
    let fixture = Fixture::open().await;
    fixture.calltools.simulator.quirks(|quirks| {
        quirks.foreign_queue = openseat::simulator::ForeignQueue::Empty;
        quirks.dates = openseat::simulator::DateForm::Spaced;
        quirks.count_off_by = 2;
    });
    fixture.check(&["--report", "report.json"]).await.exits(0);
    let home = TestFolder::new();
    let path = fixture.path("report.json");
    let path = path.to_str().expect("a plain path");
    let _simulator = Program::start(
        &home,
        &["simulate", "--listen", "127.0.0.1:0", "--like", path],
    );
    let welcome = || written(&home, "stdout.txt");
    soon("a welcome", async || welcome().contains("Ctrl-C stops it.")).await;
    let welcome = welcome();
    let line = |key: &str| {
        let rest = welcome.split(key).nth(1).expect("a value");
        rest.split('"').next().expect("an end").to_owned()
    };
    let queue = welcome.split("sales-queue").next().expect("an id");
    let queue = queue.split_whitespace().last().expect("a number");
    home.set_token("main", openseat::simulator::TOKEN);
    home.write(
        "openseat.toml",
        &format!(
            "[state]\ndir = \"state\"\n[[account]]\nname = \"main\"\nbase_url = \"{}\"\n\
             token_file = \"./main.token\"\n[[account.queue]]\nqueue = {queue}\n",
            line("base_url = \"")
        ),
    );
    run(home.path(), &["check", "--report", "again.json"], &[])
        .await
        .exits(0);
    let (first, again) = (
        written(&fixture.home, "report.json"),
        written(&home, "again.json"),
    );
    let found = [json(&first), json(&again)].map(|report| report["found"].clone());
    for key in [
        "agents",
        "queues",
        "unknown_queue",
        "dates",
        "count",
        "envelope",
    ] {
        assert_eq!(found[0][key], found[1][key], "{key}: {again}");
    }
    assert_eq!(found[1]["count"]["off_by"], 2);
}
