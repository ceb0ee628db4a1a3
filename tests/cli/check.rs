//! `openseat check`: what it shows, what it costs, and what it says if something is wrong.

use std::{fs, num::NonZeroU32, sync::Arc, time::Duration};

use openseat::{
    budget::{Budget, BudgetOwner, Ledger, Purpose},
    clock::{Clock, SystemClock},
    daemon,
    simulator::{Endpoint, InjectedFault, QueueAction, Quirks},
};
use serde_json::Value;

use crate::fixture::{CANARY, COLOUR, Fixture, Output, WRONG};

#[tokio::test(flavor = "multi_thread")]
async fn check_shows_the_agents_the_count_the_decision_and_the_cost() {
    let fixture = Fixture::open().await;
    let output = fixture.check(&[]).await.exits(0);
    let rows: Vec<_> = output.out.lines().collect();
    let verdict = "main/sales-queue  accept  1 seat is more than the threshold of 0";
    assert_eq!((rows[0], rows.last()), (verdict, Some(&verdict)));
    let rows = &rows[2..];
    assert_eq!(rows[0], format!("main/sales-queue  id {}", fixture.queue));
    // Agents with seats first, then the others who are logged in.
    for (row, start) in [
        (2, "   agent          status     available  logged in "),
        (4, "●  Ada Lovelace   Available  yes        yes "),
        (5, "   Blaise Pascal  On a Call  no         yes "),
        (6, "   Carl Gauß      Available  yes        no "),
    ] {
        assert!(rows[row].starts_with(start), "{}", output.out);
    }
    let output = output.stdout_has(&[
        "\naccept  1 seat is more than the threshold of 0\n",
        "\nmain: 3 requests for this check; 3 of 1000 spent in the last hour, 997 left\n",
    ]);
    assert_eq!(output.err, "");
    assert_eq!(fixture.calltools.simulator.requests(), 3);
    for file in fs::read_dir(fixture.path("state")).expect("the ledger is there") {
        let bytes = fs::read(file.expect("a file").path()).expect("the file can be read");
        let mut windows = bytes.windows(CANARY.len());
        assert!(!windows.any(|window| window == CANARY.as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_who_cannot_matter_are_counted_and_listed_only_with_all() {
    let fixture = Fixture::open().await;
    fixture.calltools.simulator.world(|world| {
        let agent = world.add_agent("Émilie du Châtelet", &[fixture.queue]);
        let lunch = world.status_named("Lunch").expect("a usual status");
        assert!(world.set_status(&agent, lunch));
        assert!(world.set_logged_in(fixture.queue, &agent, false));
    });
    let hidden = "and 1 agent not logged in to this queue; --all lists them\n";
    let output = fixture.check(&[]).await.exits(0).stdout_has(&[hidden]);
    assert!(!output.out.contains("Émilie"), "{}", output.out);
    let output = fixture.check(&["--all"]).await.exits(0);
    let output = output.stdout_has(&["   Émilie du Châtelet  Lunch      no         no "]);
    assert!(!output.out.contains("--all"), "{}", output.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reject_is_not_a_failure() {
    let fixture = Fixture::open().await;
    fixture.configure(&fixture.account("main", "\nqueue = \"sales-queue\"\nthreshold = 1\n"));
    let output = fixture.check(&["sales-queue"]).await.exits(0);
    output.stdout_has(&["\nreject  1 seat is not more than the threshold of 1\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_decision_the_agents_the_requests_and_the_budget() {
    let fixture = Fixture::open().await;
    let json = fixture.check(&["--json"]).await.exits(0).json();
    assert_eq!(json["ok"], true);
    let queue = &json["queues"][0];
    for (key, expected) in [
        ("queue", Value::from("sales-queue")),
        ("queue_id", fixture.queue.into()),
        ("account", "main".into()),
        ("accept", true.into()),
        ("reason", "seats".into()),
        ("count", 1.into()),
        ("threshold", 0.into()),
        ("ok", true.into()),
        ("name", "sales-queue".into()),
        ("complete", true.into()),
        ("criteria", Value::Null),
        ("fault", Value::Null),
        ("requests", 1.into()),
    ] {
        assert_eq!(queue[key], expected, "{key}");
    }
    for key in ["as_of", "valid_until", "age_ms", "took_ms"] {
        assert!(!queue[key].is_null(), "{key}");
    }
    let seats = queue["agents"].as_array().expect("agents").iter();
    let seats: Vec<_> = seats
        .map(|agent| {
            (
                agent["name"].as_str().expect("a name"),
                agent["seat"] == true,
            )
        })
        .collect();
    assert_eq!(
        seats,
        [
            ("Ada Lovelace", true),
            ("Blaise Pascal", false),
            ("Carl Gauß", false)
        ]
    );
    let budget = serde_json::json!({
        "requests_per_hour": 1000, "reserve": 50, "used": 3, "left": 997, "shared": true,
        "throttled_until": null,
    });
    assert_eq!(queue["budget"], budget);
    let account = serde_json::json!({
        "account": "main", "requests": 3, "budget": budget, "statuses_fault": null, "feeds": null,
    });
    assert_eq!(json["accounts"], serde_json::json!([account]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_queue_is_answered_with_the_existing_queues() {
    let fixture = Fixture::open().await;
    let (sales, billing) = (
        fixture.queue,
        fixture
            .calltools
            .simulator
            .world(|world| world.add_queue("Billing")),
    );
    fixture.configure(&fixture.account("main", "\nqueue = \"Sales-Queue\"\n"));
    let output = fixture.check(&[]).await.exits(1);
    output.stdout_has(&[
        "unknown  the account has no queue named \"Sales-Queue\"",
        &format!(
            "did you mean \"sales-queue\"? The account has: \"sales-queue\" (id {sales}), \"Billing\" (id {billing})\n"
        ),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_queue_does_not_affect_the_others() {
    let fixture = Fixture::open().await;
    let missing = "[[account.queue]]\nqueue = \"Sales-Queue\"\n";
    let foreign = "[[account.queue]]\nqueue = 999\n";
    let account = fixture.account("main", "\nqueue = \"sales-queue\"\n");
    fixture.configure(&format!("{account}{missing}{foreign}"));
    let output = fixture.check(&[]).await.exits(1);
    output.stdout_has(&[
        "accept  1 seat is more than",
        "unknown  the account has no queue named \"Sales-Queue\" (no_such_queue); with nothing else to go by, the daemon would reject",
        "What to do: queue names are case-sensitive; did you mean \"sales-queue\"?",
        "unknown  the account has no queue with the id 999 (no_such_queue)",
        "What to do: compare the id with",
        "main: 4 requests for this check",
    ]);
    let json = fixture
        .check(&["--json", "Sales-Queue"])
        .await
        .exits(1)
        .json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["queues"][0]["count"], Value::Null);
    assert_eq!(json["queues"][0]["agents"], Value::Null);
    assert_eq!(json["queues"][0]["fault"]["kind"], "no_such_queue");
    // The queue that was asked for failed; the others do not matter.
    fixture.check(&["sales-queue"]).await.exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_detected_with_one_request_and_does_not_affect_other_accounts() {
    let fixture = Fixture::open().await;
    fixture.home.set_token("lab", WRONG);
    let lab = fixture.account("lab", "\nqueue = \"sales-queue\"\n");
    let lab = format!("{lab}[[account.queue]]\nqueue = 77\n");
    let main = fixture.account("main", &format!("\nqueue = {}\n", fixture.queue));
    fixture.configure(&format!("{lab}{main}"));
    let output = fixture.check(&[]).await.exits(1);
    let output = output.stdout_has(&[
        "unknown  CallTools does not accept the token (bad_token)",
        "What to do: check that the token was copied whole",
        "lab: 1 request for this check; 1 of 1000",
        "accept  1 seat is more than",
        "main: 2 requests for this check; 2 of 1000",
    ]);
    // The fault of both queues appears at the beginning, in the middle and at the end.
    assert_eq!(output.out.matches("bad_token").count(), 6, "{}", output.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_the_way_are_reported_with_advice() {
    let fixture = Fixture::open().await;
    for (fault, endpoint, expected, requests) in [
        (
            InjectedFault::Forbidden,
            Endpoint::AgentStatuses,
            "What to do: ask a CallTools administrator",
            3,
        ),
        (
            InjectedFault::WebPage(200),
            Endpoint::Queues,
            "What to do: check the silo or base_url, and any proxy",
            2,
        ),
        (
            InjectedFault::WebPage(503),
            Endpoint::AgentStatuses,
            "(upstream_down)",
            3,
        ),
        (
            InjectedFault::Redirect("http://elsewhere.example/".to_owned()),
            Endpoint::Queues,
            "What to do: use the silo",
            1,
        ),
        (
            InjectedFault::Throttled(None),
            Endpoint::Statuses,
            "(throttled)",
            2,
        ),
    ] {
        // The pause that a 429 asks for is remembered.
        let _ = fs::remove_dir_all(fixture.path("state"));
        fixture.calltools.simulator.clear_faults();
        fixture
            .calltools
            .simulator
            .inject(usize::MAX, Some(endpoint), fault.clone());
        let before = fixture.calltools.simulator.requests();
        fixture.check(&[]).await.exits(1).stdout_has(&[expected]);
        assert_eq!(
            fixture.calltools.simulator.requests() - before,
            requests,
            "{fault:?}"
        );
    }
    // The last pause is still in force.
    let before = fixture.calltools.simulator.requests();
    let output = fixture.check(&[]).await.exits(1);
    output.stdout_has(&[
        "unknown  others spend from this account, so CallTools asked for a pause (429); the next one may be sent in ",
    ]);
    assert_eq!(fixture.calltools.simulator.requests(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_statuses_are_only_a_note_if_names_are_enough() {
    let fixture = Fixture::open().await;
    fixture.calltools.simulator.quirks(|quirks| {
        *quirks = Quirks {
            statuses_forbidden: true,
            agent_status: openseat::simulator::StatusForm::Name,
            ..Quirks::default()
        }
    });
    fixture.check(&[]).await.exits(0).stdout_has(&[
        "accept  1 seat is more than",
        "Note: statuses/ could not be read",
    ]);
}

/// The wait that the output tells, in seconds.
fn seconds_until_the_next(output: &Output) -> Option<u32> {
    let (_, rest) = output.out.split_once("; the next one may be sent in ")?;
    rest.split(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_hour_is_reported_with_the_wait_and_nothing_is_sent() {
    let fixture = Fixture::open().await;
    let account = fixture.account("main", "\nqueue = \"sales-queue\"\n");
    let account = account.replace(
        "[[account.queue]]",
        "requests_per_hour = 2\nreserve = 1\n[[account.queue]]",
    );
    fixture.configure(&account);
    // Another process has spent the hour: the same account in the same ledger.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let path = fixture.path("state").join(daemon::LEDGER_FILE);
    let ledger = Arc::new(Ledger::keep(&path, Arc::clone(&clock)).expect("a ledger"));
    let owner = BudgetOwner {
        account: "main".to_owned(),
        identity: String::new(),
    };
    let limit = NonZeroU32::new(2).expect("two");
    let budget = Budget::new(Arc::clone(&ledger), owner, limit, 1, clock);
    for _ in 0..2 {
        let permit = budget.permit(Purpose::OnDemand).await;
        permit.expect("room").answered();
    }
    ledger.finish(Duration::from_secs(20));
    let output = fixture.check(&[]).await.exits(1);
    // An hour and a second, less what the start of the program took.
    let wait = seconds_until_the_next(&output);
    assert!(
        wait.is_some_and(|wait| (3_400..=3_602).contains(&wait)),
        "{output:?}"
    );
    output.stdout_has(&[
        "unknown  the account's requests for this hour are spent; the next one may be sent in ",
        " s (budget_spent)",
        "What to do: wait, or poll fewer queues",
        "main: 0 requests for this check; 2 of 2 spent in the last hour, 0 left",
    ]);
    assert_eq!(fixture.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_reported_with_the_time_left_and_nothing_is_sent() {
    let fixture = Fixture::open().await;
    let simulator = &fixture.calltools.simulator;
    let silence = InjectedFault::Throttled(Some(Duration::from_secs(900)));
    simulator.inject(1, None, silence);
    let output = fixture.check(&[]).await.exits(1);
    output.stdout_has(&[
        "unknown  others spend from this account, so CallTools refuses requests (429)",
    ]);
    assert_eq!(simulator.requests(), 1);
    for _ in 0..2 {
        let output = fixture.check(&[]).await.exits(1);
        let left = seconds_until_the_next(&output);
        assert!(
            left.is_some_and(|left| (800..=990).contains(&left)),
            "{output:?}"
        );
        output.stdout_has(&[
            "CallTools asked for a pause",
            "main: 0 requests for this check",
            "; CallTools asked for a pause until 20",
        ]);
    }
    let json = fixture.check(&["--json"]).await.exits(1).json();
    assert_eq!(json["ok"], false);
    assert!(json["accounts"][0]["budget"]["throttled_until"].is_string());
    assert_eq!(simulator.requests(), 1, "nothing more is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_state_folder_the_daemons_requests_are_not_known() {
    let fixture = Fixture::open().await;
    let account = fixture.account("main", "\nqueue = \"sales-queue\"\n");
    fs::write(fixture.path("openseat.toml"), account).expect("the file can be written");
    let output = fixture.check(&[]).await.exits(0);
    output
        .stdout_has(&["997 left; without [state] dir this does not count a daemon's requests"])
        .stderr_has(&["warning: no [state] dir is set"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_criteria_show_what_they_evaluated() {
    let fixture = Fixture::open().await;
    let queue = |rule: &str| {
        fixture.account(
            "main",
            &format!("\nqueue = \"sales-queue\"\n[account.queue.accept]\n{rule}"),
        )
    };
    fixture.configure(&queue(
        "field = \"results[?@.status == 'Available']\"\ncondition = \"greater_than\"\nvalue = 1\n",
    ));
    let output = fixture.check(&[]).await.exits(0).stdout_has(&[
        "field      results[?@.status == 'Available']\n",
        "measure    count\n",
        "condition  greater_than 1\n",
        "measured   2\n",
        "selected   2 nodes\n",
        "accept  the condition holds",
    ]);
    assert!(
        !output.out.contains('●'),
        "it is not clear who counts: {}",
        output.out
    );

    // A field that no row has.
    fixture.configure(&queue(
        "field = \"results[*].queue_loged_in\"\ncondition = \"greater_than\"\n",
    ));
    fixture.check(&[]).await.exits(0).stdout_has(&[
        "measured   0\n",
        "reject  the condition does not hold",
        "Note: the path selects nothing in 3 rows: nobody fits it, or a field is misspelt; a row has ",
        ", queue_logged_in, ",
    ]);

    // A type that does not fit is a failure.
    fixture.configure(&queue(
        "field = \"results[0].full_name\"\nmeasure = \"value\"\ncondition = \"greater_than\"\n",
    ));
    let output = fixture.check(&[]).await.exits(1);
    output.stdout_has(&["unknown  the criteria do not fit what CallTools sent: `results[0].full_name` is text where a number is needed"]);
    let json = fixture.check(&["--json"]).await.exits(1).json();
    assert_eq!(json["queues"][0]["criteria"]["selected"], 1);
    assert_eq!(json["queues"][0]["criteria"]["measure"], "value");
    assert_eq!(json["queues"][0]["agents"][0]["seat"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_statuses_can_be_called_anything() {
    let fixture = Fixture::open().await;
    fixture.calltools.simulator.world(|world| {
        let agent = world.add_agent("\x1b[31mRed\u{202e}", &[fixture.queue]);
        let status = world.add_status("Lunch\nbreak", QueueAction::SetNotReady);
        world.set_status(&agent, status);
    });
    let output = fixture.check(&[]).await.exits(0);
    let output = output.stdout_has(&["\u{fffd}[31mRed\u{fffd}", "Lunch\u{fffd}break"]);
    assert!(!output.out.contains(COLOUR) && !output.out.contains('\u{202e}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_several_pages_costs_a_request_for_each() {
    let fixture = Fixture::open().await;
    fixture.calltools.simulator.world(|world| {
        for number in 0..600 {
            world.add_agent(&format!("Agent {number}"), &[fixture.queue]);
        }
    });
    let json = fixture.check(&["--json"]).await.exits(0).json();
    assert_eq!(json["queues"][0]["requests"], 3);
    assert_eq!(
        json["queues"][0]["agents"].as_array().map(Vec::len),
        Some(603)
    );
    // Prints more than a pipe holds, to readers who take a line or nothing.
    for reader in ["head -1", "true"] {
        for command in ["check --json", "check", "completions zsh", "plan --json"] {
            let command = format!("openseat {command} | {reader}");
            fixture.shell(&command).await.has_no_warnings();
        }
    }
    for command in [
        "check",
        "check --json",
        "check --curl",
        "plan",
        "completions bash",
    ] {
        fixture
            .shell(&format!("openseat {command} >&-"))
            .await
            .exits(0);
        fixture
            .shell(&format!("openseat {command} 2>&- >/dev/null"))
            .await
            .exits(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_without_a_daemon_sets_a_damaged_ledger_aside_and_counts_the_hour_as_spent() {
    let fixture = Fixture::open().await;
    let account = fixture.account("main", "\nqueue = \"sales-queue\"\n");
    fixture.configure(&account);
    let path = fixture.path("state").join(daemon::LEDGER_FILE);
    fs::create_dir_all(fixture.path("state")).expect("a folder");
    fs::write(&path, "no database ".repeat(1_000)).expect("a file");
    // It opens the folder as the daemon would. Requests that leave the lost hour meanwhile may be spent.
    for _ in 0..3 {
        fixture.check(&[]).await;
    }
    let sent = fixture.calltools.simulator.requests();
    assert!(sent <= 4, "{sent}");
    let aside = fs::read_dir(fixture.path("state")).expect("a folder");
    let aside = aside.flatten().map(|entry| entry.file_name());
    assert!(aside.into_iter().any(|name| {
        name.to_string_lossy()
            .starts_with("budget.sqlite3.corrupt-")
    }));
}
