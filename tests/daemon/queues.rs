//! How queues are named in the config: by name, by id, misspelt, ambiguously.

use std::time::Duration;

use openseat::simulator::{Endpoint, ForeignQueue, LoggedInField, StatusForm, TOKEN, UserForm};

use crate::support::{CallTools, LONG_TIMEOUTS, TestDaemon, TestFolder, Time, account, known};

async fn polling(calltools: &CallTools, home: &TestFolder, time: &Time, queue: &str) -> TestDaemon {
    home.set_token("main", TOKEN);
    let account = account(
        "main",
        &calltools.serving.base_url(),
        LONG_TIMEOUTS,
        &[queue],
    );
    home.start(time, &[account]).await
}

#[tokio::test]
async fn a_queue_by_its_id_needs_no_list_of_queues() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = polling(&calltools, &home, &time, "queue = 1").await;
    daemon.decides("1", known).await;
    assert_eq!(calltools.simulator.requests_to(Endpoint::Queues), 0);
}

#[tokio::test]
async fn a_misspelt_name_gets_the_nearest_spelling_and_recovers_when_the_queue_is_renamed() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = polling(&calltools, &home, &time, "queue = \"Sales\"").await;
    let known = "openseat_queue_known{account=\"main\",queue=\"Sales\"}";
    assert_eq!(daemon.metric(known).await, Some(0.0), "at the first scrape");
    let decision = daemon
        .decides("Sales", |decision| decision["reason"] == "no_such_queue")
        .await;
    assert_eq!(daemon.metric(known).await, Some(0.0), "an alert needs it");
    let detail = decision["detail"]
        .as_str()
        .expect("an unknown is explained");
    assert!(
        detail.contains("case-sensitive; did you mean \"sales\"?"),
        "{detail}"
    );
    assert_eq!(
        daemon.get("/readyz").await.status,
        200,
        "a known fault is an answer"
    );

    calltools
        .simulator
        .world(|world| world.rename_queue(1, "Sales"));
    daemon.comes_to(&time, "Sales", "seats").await;
    assert_eq!(daemon.metric(known).await, Some(1.0));
}

#[tokio::test]
async fn a_misspelt_name_does_not_delay_other_queues() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    let queues = ["queue = \"Sales\"", "queue = \"sales\""];
    let account = account(
        "main",
        &calltools.serving.base_url(),
        LONG_TIMEOUTS,
        &queues,
    );
    let daemon = home.start(&time, &[account]).await;
    // Time stands still, so there can be no back-off between the start and the first snapshot.
    daemon.decides("sales", known).await;
    assert_eq!(calltools.simulator.requests_to(Endpoint::Statuses), 1);
}

#[tokio::test]
async fn a_name_shared_by_two_queues_must_be_given_as_an_id() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    calltools.simulator.world(|world| world.add_queue("sales"));
    let daemon = polling(&calltools, &home, &time, "queue = \"sales\"").await;
    let decision = daemon
        .decides("sales", |decision| decision["reason"] == "no_such_queue")
        .await;
    let detail = decision["detail"]
        .as_str()
        .expect("an unknown is explained");
    assert!(
        detail.contains("2 queues named \"sales\"") && detail.contains("1, 3"),
        "{detail}"
    );
}

#[tokio::test]
async fn an_unknown_id_is_refused_or_has_no_agents() {
    for (quirk, reason) in [
        (ForeignQueue::Refused, "no_such_queue"),
        (ForeignQueue::Empty, "below_threshold"),
    ] {
        let (time, home) = (Time::new(), TestFolder::new());
        let calltools = CallTools::start(&time).await;
        calltools
            .simulator
            .quirks(|quirks| quirks.foreign_queue = quirk);
        let daemon = polling(&calltools, &home, &time, "queue = 987654").await;
        daemon
            .decides("987654", |decision| decision["reason"] == reason)
            .await;
    }
}

#[tokio::test]
async fn a_queue_that_is_created_again_is_found_by_its_name() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let daemon = polling(&calltools, &home, &time, "queue = \"sales\"").await;
    daemon.decides("sales", known).await;
    let id = calltools.simulator.world(|world| {
        let id = world.add_queue("sales");
        let agents = world.agents();
        world.set_logged_in(id, &agents[0], true);
        world.remove_queue(1);
        id
    });
    time.until("the new id", async || {
        daemon.decision("sales").await["queue_id"] == id
    })
    .await;
    time.until("its count", async || {
        daemon.decision("sales").await["count"] == 1
    })
    .await;
}

#[tokio::test]
async fn agents_are_read_in_every_form() {
    for status in [StatusForm::Id, StatusForm::Name, StatusForm::Null] {
        for user in [
            UserForm::Uuid,
            UserForm::Number,
            UserForm::Url,
            UserForm::Object,
        ] {
            let (time, home) = (Time::new(), TestFolder::new());
            let calltools = CallTools::start(&time).await;
            calltools.simulator.quirks(|quirks| {
                quirks.agent_status = status;
                quirks.app_user = user;
                quirks.queue_logged_in = LoggedInField::Never;
            });
            let daemon = polling(&calltools, &home, &time, "queue = 1").await;
            let decision = daemon.decides("1", known).await;
            assert_eq!(decision["count"], 2, "{status:?} {user:?}");
        }
    }
}

#[tokio::test]
async fn without_the_list_of_statuses_the_name_available_counts() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    calltools.simulator.quirks(|quirks| {
        quirks.statuses_forbidden = true;
        quirks.agent_status = StatusForm::Name;
    });
    calltools.set_status(0, "Not Available");
    let daemon = polling(&calltools, &home, &time, "queue = \"sales\"").await;
    let decision = daemon.decides("sales", known).await;
    assert_eq!(decision["count"], 1);
}

#[tokio::test]
async fn a_renamed_status_keeps_its_meaning() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    calltools.simulator.world(|world| {
        let available = world.status_named("Available").expect("the status exists");
        world.rename_status(available, "Offen")
    });
    let daemon = polling(&calltools, &home, &time, "queue = \"sales\"").await;
    assert_eq!(daemon.decides("sales", known).await["count"], 2);
    // And a day later, when the names are read again.
    time.pass(Duration::from_secs(5)).await;
    assert_eq!(daemon.decision("sales").await["count"], 2);
}
