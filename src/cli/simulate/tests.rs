use std::{sync::Arc, time::Duration};

use clap::Parser;

use super::*;
use crate::{
    cli::args::{Cli, Command},
    clock::VirtualClock,
};

fn parse(flags: &[&str]) -> Result<args::Simulate, clap::Error> {
    let words = ["openseat", "simulate"].iter().chain(flags);
    match Cli::try_parse_from(words)?.command {
        Command::Simulate(options) => Ok(options),
        other => panic!("{other:?}"),
    }
}

/// A client and an account that was started with these flags, served over HTTP.
struct Running {
    serving: crate::simulator::Serving,
    client: reqwest::Client,
}

impl Running {
    async fn start(flags: &[&str]) -> Self {
        let quick = ["--latency", "0s", "--seats", "1", "--agents", "300"];
        let options = parse(&[&quick[..], flags].concat()).expect("good flags");
        let simulator = start(&options, Arc::new(VirtualClock::default())).expect("it starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let serving = simulator.serve(listener).expect("it serves");
        let client = crate::process::tls::client_builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(5))
            .build()
            .expect("a client");
        Self { serving, client }
    }

    async fn get(&self, path: &str) -> reqwest::Result<(u16, String)> {
        let request = self
            .client
            .get(format!("{}{path}", self.serving.base_url()));
        let token = format!("Token {}", crate::simulator::TOKEN);
        let answer = request.header("Authorization", token).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    async fn rows(&self, path: &str) -> Vec<serde_json::Value> {
        let (status, body) = self.get(path).await.expect("an answer");
        assert_eq!(status, 200, "{body}");
        let list: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        list["results"].as_array().expect("rows").clone()
    }
}

#[tokio::test]
async fn each_kind_of_fault_can_be_asked_for() {
    for (kind, status, begins) in [
        ("401", 401, r#"{"detail":"Invalid token."}"#),
        ("403:5m", 403, r#"{"detail":"You do not"#),
        ("404", 404, r#"{"detail":"Not found."}"#),
        (
            "429=90s",
            429,
            r#"{"detail":"Request was throttled. Expected available in 90"#,
        ),
        ("500", 500, "<!doctype html>"),
        ("503:5m", 503, "<!doctype html>"),
        ("html", 200, "<!doctype html>"),
        ("redirect", 302, ""),
        ("half-body", 200, r#"{"count":3"#),
        ("wrong-shape", 200, r#"{"agents""#),
        ("empty-body", 200, ""),
        ("no-rows", 200, r#"{"count":0"#),
        ("ok", 200, r#"{"count":6"#),
        ("slow=1ms", 200, r#"{"count":6"#),
    ] {
        let running = Running::start(&["--fault", kind]).await;
        let (said, body) = running.get("queues/").await.expect("an answer");
        assert_eq!(said, status, "{kind}");
        assert!(body.starts_with(begins), "{kind}: {body}");
    }
    let running = Running::start(&["--fault", "reset"]).await;
    assert!(running.get("queues/").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn faults_follow_one_another() {
    let flags = ["--fault", "ok:1m", "--fault", "503:5m", "--fault", "401"];
    let options = parse(&flags).expect("good flags");
    let simulator = start(&options, Arc::new(VirtualClock::default())).expect("it starts");
    let transport = simulator.transport(crate::simulator::TOKEN);
    let mut seen = Vec::new();
    for _ in 0..8 {
        let reply = transport.get("queues/").await.expect("an answer");
        seen.push(reply.status.as_u16());
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(seen, [200, 503, 503, 503, 503, 503, 401, 401]);
}

#[tokio::test]
async fn wrong_faults_are_explained() {
    for (fault, said) in [
        ("teapot", "unknown kind \"teapot\"; write one of ok, 401"),
        ("503:soon", "\"soon\" is not a duration"),
        ("404=5s", "404 takes no value"),
        ("600", "unknown kind"),
    ] {
        let error = parse(&["--fault", fault]).expect_err(fault).to_string();
        assert!(error.contains(said), "{error}");
    }
    let options = parse(&["--fault", "503", "--fault", "401"]).expect("each is well formed");
    let error =
        start(&options, Arc::new(VirtualClock::default())).expect_err("the first never ends");
    assert!(error.to_string().contains("never ends"), "{error}");
    for flags in [
        ["--filter", "maybe"],
        ["--undated", "101"],
        ["--lag", "old"],
    ] {
        parse(&flags).expect_err(flags[0]);
    }
}

#[tokio::test]
async fn quirks_show_in_the_answers() {
    let newest = "agentstatuses/?ordering=-agent_status_modified_on&page_size=250";
    let date =
        |row: &serde_json::Value| row["agent_status_modified_on"].as_str().map(str::to_owned);
    let nulls_first = Running::start(&["--undated", "30"])
        .await
        .rows(newest)
        .await;
    let dates: Vec<_> = nulls_first.iter().map(date).collect();
    let nulls = dates.iter().take_while(|date| date.is_none()).count();
    assert!((60..120).contains(&nulls), "{nulls}");
    assert!(dates[nulls..].iter().all(Option::is_some));
    assert!(dates[nulls..].is_sorted_by(|a, b| a >= b), "{dates:?}");
    let nulls_last = ["--undated", "30", "--nulls", "smallest"];
    assert!(date(&Running::start(&nulls_last).await.rows(newest).await[0]).is_some());
    let plain = Running::start(&[])
        .await
        .rows("agentstatuses/?page_size=250")
        .await;
    let off = Running::start(&["--ordering", "off"])
        .await
        .rows(newest)
        .await;
    let users = |rows: &[serde_json::Value]| -> Vec<_> {
        rows.iter().map(|row| row["app_user"].clone()).collect()
    };
    assert_eq!(users(&off), users(&plain));
    let seconds = Running::start(&["--dates", "seconds"])
        .await
        .rows(newest)
        .await;
    assert_eq!(date(&seconds[0]).map(|date| date.len()), Some(20));
    let endless = Running::start(&["--endless-pages"]).await;
    let (_, body) = endless.get("queues/?page=7").await.expect("an answer");
    assert!(
        body.contains("page=8") && body.contains("sales-queue"),
        "{body}"
    );
    let forbidden = Running::start(&["--statuses-forbidden"]).await;
    assert_eq!(forbidden.get("statuses/").await.expect("an answer").0, 403);
    let whole = Running::start(&["--bare-array"]).await;
    assert!(
        whole
            .get("queues/")
            .await
            .expect("an answer")
            .1
            .starts_with('[')
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_shows_the_state_of_some_time_ago() {
    let options = parse(&["--seats", "0", "--agents", "0", "--lag", "30s"]).expect("good flags");
    let simulator = start(&options, Arc::new(VirtualClock::default())).expect("it starts");
    let queue = simulator.queue_id("sales-queue").expect("the first queue");
    let agent = simulator.world(|world| world.add_agent("Ada", &[queue]));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let lunch = simulator.world(|world| {
        let lunch = world.status_named("Lunch").expect("a status");
        world.set_status(&agent, lunch);
        lunch
    });
    let transport = simulator.transport(crate::simulator::TOKEN);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let reply = transport.get("agentstatuses/").await.expect("an answer");
        let list: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        seen.push(list["results"][0]["agent_status"] == lunch);
        tokio::time::sleep(Duration::from_secs(12)).await;
    }
    assert_eq!(seen, [false, false, false, true]);
}
