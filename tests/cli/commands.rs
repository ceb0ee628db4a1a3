//! What all commands share: colours, output that cannot be written, mistakes that stop them before they ask; and `plan`.

use std::{
    fs,
    process::{Command, Stdio},
};

use tokio::task::spawn_blocking;

use crate::fixture::{COLOUR, Fixture, run};

#[tokio::test(flavor = "multi_thread")]
async fn colours_and_the_spinner_are_for_terminals() {
    let fixture = Fixture::open().await;
    for arguments in [&["check"] as &[&str], &["plan"], &["check", "xyz"]] {
        let output = fixture.run(arguments).await;
        assert!(
            !output.out.contains(COLOUR) && !output.err.contains(COLOUR),
            "{output:?}"
        );
        assert!(!output.err.contains("asking"), "{output:?}");
        let forced = [("CLICOLOR_FORCE", "1")];
        let output = run(fixture.home.path(), arguments, &forced).await;
        assert!(
            output.out.contains(COLOUR) || arguments.contains(&"xyz"),
            "{output:?}"
        );
        let both = [("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")];
        let output = run(fixture.home.path(), arguments, &both).await;
        assert!(!output.out.contains(COLOUR), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_cannot_be_written_is_reported_and_is_a_failure() {
    let fixture = Fixture::open().await;
    for arguments in [
        &["check"] as &[&str],
        &["check", "--json"],
        &["check", "--curl"],
        &["plan"],
        &["plan", "--json"],
        &["completions", "bash"],
        &["--help"],
        &["check", "--help"],
        &["--version"],
        &["demo", "--listen", "127.0.0.1:0"],
        &["simulate", "--listen", "127.0.0.1:0"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
        let full = fs::File::create("/dev/full").expect("Linux has it");
        let folder = fixture.home.path().to_owned();
        command.args(arguments).env_clear().current_dir(folder);
        command
            .stdout(full)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().expect("the program runs");
        let output = spawn_blocking(move || child.wait_with_output()).await;
        let output = output.expect("no panic").expect("the program runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {err}");
        assert!(
            err.contains("standard output cannot be written: No space left on device"),
            "{arguments:?}: {err}"
        );
        assert_eq!(
            err.matches("No space left").count(),
            1,
            "{arguments:?}: {err}"
        );
    }
    // A reader that closes the pipe early is not an error.
    let output = fixture.shell("openseat completions bash | true").await;
    assert!(output.err.is_empty(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_levels_are_checked_with_a_suggestion() {
    let fixture = Fixture::open().await;
    let output = fixture
        .run(&["--log-level", "debgu", "plan"])
        .await
        .exits(2);
    output.stderr_has(&["there is no log level \"debgu\"; did you mean debug?"]);
    for (level, code) in [
        ("WARNING", 0),
        ("Openseat=debug", 0),
        ("warnning", 2),
        ("", 0),
    ] {
        let output = run(fixture.home.path(), &["plan"], &[("OPENSEAT_LOG", level)]).await;
        let output = output.exits(code);
        assert_eq!(
            output.err.contains("did you mean warn"),
            code == 2,
            "{output:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_is_unset_and_a_wrong_one_is_named() {
    let fixture = Fixture::open().await;
    for variable in ["OPENSEAT_CONFIG", "OPENSEAT_LOG", "OPENSEAT_LOG_FORMAT"] {
        let output = run(fixture.home.path(), &["plan"], &[(variable, "")]).await;
        output.exits(0);
    }
    for (variable, value) in [("OPENSEAT_LOG", "debgu"), ("OPENSEAT_LOG_FORMAT", "jsn")] {
        for (command, code) in [("plan", 2), ("run", 78)] {
            let output = run(fixture.home.path(), &[command], &[(variable, value)]).await;
            let output = output.exits(code);
            let named = format!("The value comes from the environment variable {variable}.");
            output.stderr_has(&[value, &named]);
        }
    }
    let flag = ["--log-level", "debgu", "plan"];
    let output = run(fixture.home.path(), &flag, &[("OPENSEAT_LOG", "info")]).await;
    let output = output.exits(2);
    assert!(!output.err.contains("environment variable"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_that_prevent_any_request_exit_with_2() {
    let fixture = Fixture::open().await;
    let output = fixture.check(&["sales-quene", "xyz"]).await.exits(2);
    let output = output.stderr_has(&[
        "openseat: no queue \"sales-quene\" is configured; did you mean sales-queue?",
        "no queue \"xyz\" is configured\nconfigured are main/sales-queue",
    ]);
    assert_eq!(output.out, "");

    fs::remove_file(fixture.path("main.token")).expect("the file exists");
    let output = fixture.check(&[]).await.exits(2);
    output.stderr_has(&[
        "openseat: account \"main\": the token file ",
        "main.token cannot be read",
    ]);

    let wrong = fixture.account(
        "main",
        "\nqueue = \"a\"\ntreshold = 1\n[[account.queue]]\nmax_age = 5\n",
    );
    fixture.configure(&wrong);
    for command in ["check", "plan"] {
        let output = fixture.run(&[command]).await.exits(2);
        output.stderr_has(&[
            "`treshold`",
            "did you mean `threshold`?",
            "`max_age`",
            "`queue` is missing",
        ]);
        fixture
            .run(&[command, "--config", "nowhere.toml"])
            .await
            .exits(2)
            .stderr_has(&["nowhere.toml"]);
    }
    assert_eq!(fixture.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_that_cannot_be_used_is_a_failure_with_advice() {
    let fixture = Fixture::open().await;
    fs::write(fixture.path("state"), "a file").expect("the file can be written");
    let output = fixture.check(&[]).await.exits(1);
    output.stderr_has(&["run it as the daemon's user", "the state folder"]);
    assert_eq!(fixture.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_shows_what_to_expect_without_a_request() {
    let fixture = Fixture::open().await;
    let queues = "\nqueue = \"sales-queue\"\nmax_age = \"11s\"\n[[account.queue]]\nqueue = 5450\n";
    let budget = "requests_per_hour = 1000\nreserve = 100\n[[account.queue]]";
    let account = fixture
        .account("main", queues)
        .replacen("[[account.queue]]", budget, 1);
    fixture.configure(&account);
    fs::remove_file(fixture.path("main.token")).expect("the file exists");
    let output = fixture.run(&["plan"]).await.exits(0);
    let expected = "\
main: 1000 requests an hour, 100 of them kept back; polling has 900, one every 4 s

queue        pages  statuses every  members every  mean age  worst age  max_age          fits
──────────────────────────────────────────────────────────────────────────────────────────────
sales-queue      1             8 s            8 s     4.5 s      8.5 s  11 s             yes
5450             1             8 s            8 s     4.5 s      8.5 s  1 min (default)  yes

Everything fits.
soon is off for sales-queue, 5450; it is measured all the same, and `openseat status` shows what it would gain.
This assumes one page (250 agents) for each queue.
With two pages each, openseat would poll every 16 s, and answers would be 9 s old on average and 17 s at worst: sales-queue would not fit.
Statuses come from polls of the queues: polling the queues one by one is as fast.
";
    assert_eq!(output.out, expected);
    let json = fixture.run(&["plan", "--json"]).await.exits(0).json();
    assert_eq!(json["fits"], true);
    let account = &json["accounts"][0];
    assert_eq!(account["polls_per_hour"], 900);
    assert_eq!(account["feeds"][3]["standing"], "in_use");
    assert_eq!(account["period_ms"], 4_000);
    let queue = serde_json::json!({
        "queue": "sales-queue", "pages": 1, "interval_ms": 8_000, "membership_interval_ms": 8_000, "mean_age_ms": 4_500, "worst_age_ms": 8_500,
        "max_age_ms": 11_000, "max_age_is_default": false, "fits": true, "soon": false,
    });
    assert_eq!(account["queues"][0], queue);
    assert_eq!(account["two_pages"]["fits"], false);
    assert_eq!(account["two_pages"]["queues"][0]["worst_age_ms"], 17_000);
    assert!(!fixture.path("state").exists());
    assert_eq!(fixture.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_names_the_queues_that_have_opening_hours() {
    let fixture = Fixture::open().await;
    let hours =
        "open = [\"Mon-Fri 08:00-18:00\", \"Sat 09:00-12:00\"]\ntime_zone = \"America/New_York\"\n";
    let queues = format!("\nqueue = \"sales-queue\"\n{hours}[[account.queue]]\nqueue = 5450\n");
    fixture.configure(&fixture.account("main", &queues));
    let output = fixture.run(&["plan"]).await.exits(0);
    output.stdout_has(&[
        "\nOutside of opening hours a queue rejects and is not polled: \
         sales-queue (Mon-Fri 08:00-18:00, Sat 09:00-12:00 in America/New_York). \
         The table is for the time when all queues are open.\n",
    ]);
    let json = fixture.run(&["plan", "--json"]).await.exits(0).json();
    let queues = &json["accounts"][0]["queues"];
    let open = serde_json::json!(["Mon-Fri 08:00-18:00", "Sat 09:00-12:00"]);
    assert_eq!(queues[0]["open"], open);
    assert_eq!(queues[0]["time_zone"], "America/New_York");
    assert!(queues[1].get("open").is_none(), "{queues}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_says_what_does_not_fit_and_what_to_do() {
    let fixture = Fixture::open().await;
    let budget = "requests_per_hour = 1000\nreserve = 100\n[[account.queue]]";
    let tight = fixture.account("main", "\nqueue = \"sales-queue\"\nmax_age = \"4s\"\n");
    fixture.configure(&tight.replace("[[account.queue]]", budget));
    let output = fixture.run(&["plan"]).await.exits(1);
    output.stdout_has(&[
        "  NO\n",
        "sales-queue does not fit: its answers get 4.5 s old and max_age is 4 s, so it would be unknown at times; set max_age to \"5s\" or more",
    ]);
    let json = fixture.run(&["plan", "--json"]).await.exits(1).json();
    assert_eq!(json["fits"], false);
    assert_eq!(
        json["accounts"][0]["advice"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_help_with_examples_and_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in [
        "run",
        "check",
        "plan",
        "health",
        "status",
        "demo",
        "simulate",
        "completions",
        "man",
    ] {
        let output = run(folder.path(), &[command, "--help"], &[]).await.exits(0);
        output.stdout_has(&["Example", &format!("  openseat {command}")]);
    }
    run(folder.path(), &["--help"], &[])
        .await
        .exits(0)
        .stdout_has(&["Examples:\n"]);
    for shell in ["bash", "zsh", "fish"] {
        let output = run(folder.path(), &["completions", shell], &[])
            .await
            .exits(0);
        output.stdout_has(&["openseat", "check", "simulate"]);
    }
    run(folder.path(), &["man", "pages"], &[]).await.exits(0);
    let page = |name: &str| fs::read_to_string(folder.path().join("pages").join(name));
    assert!(
        page("openseat.1")
            .expect("a page")
            .contains("openseat\\-run(1)")
    );
    assert!(
        page("openseat-run.1")
            .expect("a page")
            .contains("Exit codes")
    );
    run(folder.path(), &["check", "--json", "--curl"], &[])
        .await
        .exits(2);
}
