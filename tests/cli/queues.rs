//! `openseat queues`: what it lists, what that costs, and which process asks.

use std::{fs, time::Duration};

use openseat::simulator::{Endpoint, InjectedFault};

use crate::fixture::{Fixture, WRONG};

/// The lines of a table, with one space between columns.
fn rows(out: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    out.lines().map(words).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_costs_one_request_and_seats_one_more_for_the_statuses_and_each_queue() {
    let fixture = Fixture::open().await;
    let simulator = &fixture.calltools.simulator;
    let billing = simulator.world(|world| world.add_queue("Rückrufe"));
    let sales = fixture.queue;
    let output = fixture.run(&["queues"]).await.exits(0);
    let listed = rows(&output.out);
    assert_eq!((&*listed[0], &*listed[1]), ("main", "id queue"));
    let expected = [
        format!("{sales} sales-queue"),
        format!("{billing} Rückrufe"),
        "1 request spent".to_owned(),
    ];
    assert_eq!(listed[3..6], expected, "{}", output.out);
    assert_eq!(simulator.requests(), 1);

    let output = fixture.run(&["queues", "--seats"]).await.exits(0);
    let listed = rows(&output.out);
    assert_eq!(listed[1], "id queue agents seats");
    let expected = [
        format!("{sales} sales-queue 3 1"),
        format!("{billing} Rückrufe 0 0"),
        "4 requests spent".to_owned(),
    ];
    assert_eq!(listed[3..6], expected, "{}", output.out);
    assert_eq!(simulator.requests(), 1 + 4);
    assert_eq!(simulator.requests_to(Endpoint::AgentStatuses), 2);

    let json = fixture
        .run(&["queues", "--seats", "--json"])
        .await
        .exits(0)
        .json();
    let expected = serde_json::json!([{
        "account": "main",
        "queues": [
            { "id": sales, "name": "sales-queue", "agents": 3, "seats": 1 },
            { "id": billing, "name": "Rückrufe", "agents": 0, "seats": 0 },
        ],
        "cause": null,
        "advice": null,
        "uncounted": null,
        "requests": 4,
    }]);
    assert_eq!(json, expected);
    output.has_no_warnings();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_cannot_be_counted_is_listed_without_numbers() {
    let fixture = Fixture::open().await;
    let simulator = &fixture.calltools.simulator;
    simulator.inject(1, Some(Endpoint::AgentStatuses), InjectedFault::Forbidden);
    let output = fixture.run(&["queues", "--seats"]).await.exits(0);
    let row = format!("{} sales-queue ? ?", fixture.queue);
    assert!(rows(&output.out).contains(&row), "{}", output.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_cost_more_than_the_reserve_are_counted_only_with_yes() {
    let fixture = Fixture::open().await;
    let simulator = &fixture.calltools.simulator;
    // The statuses and three queues take four requests, and the reserve is three.
    for name in ["billing", "claims"] {
        simulator.world(|world| world.add_queue(name));
    }
    let queues = "\nqueue = \"sales-queue\"\n";
    let reserve = "requests_per_hour = 100\nreserve = 3\n[[account.queue]]";
    let account = fixture.account("main", queues);
    fixture.configure(&account.replace("[[account.queue]]", reserve));

    let output = fixture.run(&["queues", "--seats"]).await.exits(1);
    let output = output.stdout_has(&[
        "sales-queue",
        "not counted  counting the seats of 3 queues takes at least 4 requests, and `reserve` keeps back 3 for this; 99 of the hour's 100 are left\n",
        "What to do: ",
        "--yes",
        "1 request spent",
    ]);
    assert_eq!(rows(&output.out)[1], "id queue");
    assert_eq!(simulator.requests(), 1);
    let json = fixture.run(&["queues", "--seats", "--json"]).await.exits(1);
    assert!(json.json()[0]["uncounted"].is_string());

    let output = fixture.run(&["queues", "--seats", "--yes"]).await.exits(0);
    assert!(rows(&output.out).contains(&format!("{} sales-queue 3 1", fixture.queue)));
    assert_eq!(simulator.requests(), 1 + 1 + 5);
    let output = fixture.run(&["queues", "--yes"]).await.exits(2);
    output.stderr_has(&["--seats"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_costs_one_request_and_does_not_affect_other_accounts() {
    let fixture = Fixture::open().await;
    fixture.home.set_token("other", WRONG);
    fixture.configure(&format!(
        "{}{}",
        fixture.account("other", "\nqueue = \"sales-queue\"\n"),
        fixture.account("main", "\nqueue = \"sales-queue\"\n")
    ));
    let output = fixture.run(&["queues", "--seats"]).await.exits(1);
    let listed = rows(&output.out);
    let expected = ["other", "unknown CallTools does not accept the token"];
    assert_eq!(listed[..2], expected);
    assert!(listed[2].starts_with("What to do: check that the token was copied whole"));
    assert_eq!(listed[3], "1 request spent");
    let row = format!("{} sales-queue 3 1", fixture.queue);
    assert!(listed.contains(&row), "{}", output.out);
    assert_eq!(fixture.calltools.simulator.requests(), 1 + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_during_a_pause_or_without_a_token_or_a_config() {
    let fixture = Fixture::open().await;
    let simulator = &fixture.calltools.simulator;
    simulator.inject(
        1,
        None,
        InjectedFault::Throttled(Some(Duration::from_secs(900))),
    );
    fixture.run(&["queues"]).await.exits(1);
    let output = fixture.run(&["queues"]).await.exits(1);
    let output = output.stdout_has(&["; the next one may be sent in ", "0 requests spent"]);
    output.has_no_warnings();
    assert_eq!(simulator.requests(), 1);
    fs::remove_file(fixture.path("main.token")).expect("the file exists");
    let output = fixture.run(&["queues"]).await.exits(2);
    output.stderr_has(&["account \"main\": the token file ", "cannot be read"]);
    fs::write(fixture.path("openseat.toml"), "[[account]]\n").expect("the file can be written");
    let output = fixture.run(&["queues"]).await.exits(2);
    output.stderr_has(&["`name` is missing"]);
    assert_eq!(simulator.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_asks_with_its_token_and_budget() {
    let fixture = Fixture::open().await;
    let _daemon = fixture.daemon().await;
    fs::remove_file(fixture.path("main.token")).expect("the file exists");
    let simulator = &fixture.calltools.simulator;
    let before = simulator.requests_to(Endpoint::Queues);
    let output = fixture.run(&["queues"]).await.exits(0);
    output.stdout_has(&["sales-queue", "1 request spent"]);
    assert_eq!(simulator.requests_to(Endpoint::Queues), before + 1);
    let output = fixture.run(&["queues", "--seats"]).await.exits(0);
    assert!(rows(&output.out).contains(&format!("{} sales-queue 3 1", fixture.queue)));
    // More queues than the reserve of 50 can pay for.
    simulator.world(|world| {
        for n in 0..50 {
            world.add_queue(&format!("queue-{n}"));
        }
    });
    let output = fixture.run(&["queues", "--seats"]).await.exits(1);
    output.stdout_has(&["not counted  counting the seats of 51 queues takes at least 52 requests"]);
    let output = fixture.run(&["queues", "--seats", "--yes"]).await.exits(0);
    output.stdout_has(&["53 requests spent"]);
    // The daemon's token has become invalid meanwhile: CallTools' current answer counts.
    simulator.set_token("another");
    let output = fixture.run(&["queues"]).await.exits(1);
    output.stdout_has(&["unknown  CallTools does not accept the token"]);
}
