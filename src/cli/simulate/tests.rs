use std::{sync::Arc, time::Duration};

use clap::Parser;
use serde_json::Value;

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
        let options = parse(&[&quick[..], flags].concat()).expect("valid flags");
        let simulator =
            start(&options, None, Arc::new(VirtualClock::default())).expect("the simulator starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let serving = simulator.serve(listener).expect("the simulator serves");
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

    async fn rows(&self, path: &str) -> Vec<Value> {
        let (status, body) = self.get(path).await.expect("an answer");
        assert_eq!(status, 200, "{body}");
        let list: Value = serde_json::from_str(&body).expect("JSON");
        list["results"].as_array().expect("rows").clone()
    }
}

#[tokio::test]
async fn each_kind_of_fault_can_be_requested() {
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
        let (actual, body) = running.get("queues/").await.expect("an answer");
        assert_eq!(actual, status, "{kind}");
        assert!(body.starts_with(begins), "{kind}: {body}");
    }
    let running = Running::start(&["--fault", "reset"]).await;
    assert!(running.get("queues/").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn faults_follow_one_another() {
    let flags = ["--fault", "ok:1m", "--fault", "503:5m", "--fault", "401"];
    let options = parse(&flags).expect("valid flags");
    let simulator =
        start(&options, None, Arc::new(VirtualClock::default())).expect("the simulator starts");
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
    for (fault, expected) in [
        ("teapot", "unknown kind \"teapot\"; write one of ok, 401"),
        ("503:soon", "\"soon\" is not a duration"),
        ("404=5s", "404 takes no value"),
        ("600", "unknown kind"),
    ] {
        let error = parse(&["--fault", fault]).expect_err(fault).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let options = parse(&["--fault", "503", "--fault", "401"]).expect("each is well formed");
    let error =
        start(&options, None, Arc::new(VirtualClock::default())).expect_err("the first never ends");
    assert!(error.to_string().contains("never ends"), "{error}");
    for flags in [
        ["--filter", "maybe"],
        ["--undated", "101%"],
        ["--lag", "old"],
        ["--speed", "0"],
        ["--speed", "1e-300"],
        ["--speed", "1000001"],
        ["--speed", "NaN"],
        ["--latency", "500000000000y"],
    ] {
        parse(&flags).expect_err(flags[0]);
    }
}

#[tokio::test]
async fn quirks_show_in_the_answers() {
    let newest = "agentstatuses/?ordering=-agent_status_modified_on&page_size=250";
    let date = |row: &Value| row["agent_status_modified_on"].as_str().map(str::to_owned);
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
    let users =
        |rows: &[Value]| -> Vec<_> { rows.iter().map(|row| row["app_user"].clone()).collect() };
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

/// An answer's status, headers and body, to a request sent `later` on the simulator's clock.
async fn answer_of(flags: &[&str], later: Duration, path: &str) -> (u16, http::HeaderMap, Value) {
    let quick = ["--latency", "0s", "--agents", "300"];
    let options = parse(&[&quick[..], flags].concat()).expect("valid flags");
    let simulator =
        start(&options, None, Arc::new(VirtualClock::default())).expect("the simulator starts");
    let transport = simulator.transport(crate::simulator::TOKEN);
    transport.get(path).await.expect("a first answer");
    tokio::time::sleep(later).await;
    let reply = transport.get(path).await.expect("an answer");
    let body = serde_json::from_slice(&reply.body).expect("JSON");
    (reply.status.as_u16(), reply.headers, body)
}

const ALL: &str = "agentstatuses/?page_size=250";
const NEWEST: &str = "agentstatuses/?ordering=-agent_status_modified_on&page_size=250";

const NEWEST_100: &str = "agentstatuses/?ordering=-agent_status_modified_on&page_size=100";

/// What a flag changes in the answer: a path, and whether an answer shows it.
type Case = (&'static [&'static str], &'static str, fn(&Value) -> bool);

fn rows(list: &Value) -> &Vec<Value> {
    list["results"].as_array().expect("rows")
}

fn is_newest_first(list: &Value) -> bool {
    let date = |row: &Value| row["agent_status_modified_on"].as_str().map(str::to_owned);
    rows(list).iter().map(date).is_sorted_by(|a, b| a >= b)
}

#[tokio::test(start_paused = true)]
async fn each_quirk_of_lists_and_rows_can_be_requested() {
    let cases: [Case; 16] = [
        (&["--foreign", "3600000"], ALL, |list| {
            list["detail"].is_string()
        }),
        (
            &["--filter", "off"],
            "agentstatuses/?agent_status=627",
            |list| list["count"] == 300,
        ),
        (&["--sweep", "stale"], ALL, |list| {
            rows(list).iter().all(|row| row["status"] != "Available")
        }),
        (
            &["--foreign-queue", "empty"],
            "agentstatuses/?queue=1",
            |list| list["count"] == 0,
        ),
        (&["--count-off-by", "-3"], ALL, |list| list["count"] == 297),
        (&["--links-origin", "http://10.0.0.7"], ALL, |list| {
            list["next"]
                .as_str()
                .is_some_and(|next| next.starts_with("http://10.0.0.7/api/"))
        }),
        (&["--agent-status", "name"], ALL, |list| {
            rows(list)[0]["agent_status"].is_string()
        }),
        (&["--app-user", "number"], ALL, |list| {
            rows(list)[0]["app_user"] == 31_001
        }),
        (&["--queue-logged-in", "always"], ALL, |list| {
            rows(list)[0]["queue_logged_in"].is_boolean()
        }),
        (&["--ordering", "ascending-only"], NEWEST, |list| {
            !is_newest_first(list)
        }),
        (&["--ordering-name", "modified"], NEWEST, |list| {
            !is_newest_first(list)
        }),
        (
            &["--ordering-name", "modified"],
            "agentstatuses/?ordering=-modified&page_size=250",
            is_newest_first,
        ),
        (
            &["--page-size-max", "whole"],
            "agentstatuses/?page_size=max",
            |list| rows(list).len() == 300,
        ),
        (&["--calls-without-status", "100%"], ALL, |list| {
            rows(list)
                .iter()
                .any(|row| row["status"] == "Available" && row["live_calls_count"] == 1)
        }),
        (&["--still-dates", "100%"], NEWEST, |list| {
            let date = |row: &Value| row["agent_status_modified_on"].as_str().map(str::to_owned);
            let newest = date(&rows(list)[0]);
            // From before the virtual clock's day began at ten.
            newest.is_some_and(|date| date.as_str() < "2026-11-22T10:00:00")
        }),
        (&["--clocks-apart", "3h"], NEWEST, |list| {
            // The virtual clock's day began at ten.
            rows(list)[0]["agent_status_modified_on"]
                .as_str()
                .is_some_and(|date| date > "2026-11-22T12:30")
        }),
    ];
    for (flags, path, shows) in cases {
        let (_, _, plain) = answer_of(&[], Duration::from_secs(60), path).await;
        let (_, _, list) = answer_of(flags, Duration::from_secs(60), path).await;
        assert!(shows(&list), "{flags:?}");
        assert!(!shows(&plain), "{flags:?} changes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_gives_its_wait_as_requested() {
    for (flag, wait) in [
        ("seconds", Some("3540")),
        ("http-date", Some("Sun, 22 Nov 2026 11:00:00 GMT")),
        ("absent", None),
    ] {
        let flags = ["--requests-per-hour", "1", "--retry-after", flag];
        let (status, headers, _) = answer_of(&flags, Duration::from_secs(60), ALL).await;
        let retry_after = headers
            .get("retry-after")
            .map(|value| value.to_str().expect("text"));
        assert_eq!((status, retry_after), (429, wait));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_repeats_an_answer_with_its_age() {
    let flags = ["--cache", "30s"];
    let age = |headers: &http::HeaderMap| {
        headers
            .get("age")
            .map(|age| age.to_str().expect("text").to_owned())
    };
    let (_, headers, _) = answer_of(&flags, Duration::from_secs(20), ALL).await;
    assert_eq!(age(&headers).as_deref(), Some("20"));
    let (_, headers, _) = answer_of(&flags, Duration::from_secs(31), ALL).await;
    assert_eq!(age(&headers), None);
}

/// Whether each of `count` answers, a second apart, shows that an agent went to lunch before the first of them.
async fn lunch_seen(flags: &[&str], count: usize) -> Vec<bool> {
    let still = ["--seats", "0", "--agents", "0", "--latency", "0s"];
    let options = parse(&[&still[..], flags].concat()).expect("valid flags");
    let simulator =
        start(&options, None, Arc::new(VirtualClock::default())).expect("the simulator starts");
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
    for _ in 0..count {
        let reply = transport.get("agentstatuses/").await.expect("an answer");
        let list: Value = serde_json::from_slice(&reply.body).expect("JSON");
        seen.push(list["results"][0]["agent_status"] == lunch);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn a_replica_shows_an_earlier_state() {
    let seen = lunch_seen(&["--lag", "30s"], 60).await;
    let first = seen.iter().position(|&seen| seen);
    assert!(
        first.is_some_and(|first| (29..=31).contains(&first)),
        "{first:?}"
    );
    assert!(seen.is_sorted(), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn some_answers_lag_and_some_changes_appear_late() {
    let some = lunch_seen(&["--lag", "1m", "--lag-share", "50%"], 20).await;
    assert!(some.contains(&true) && some.contains(&false), "{some:?}");
    let any = ["--lag", "20s", "--lag-varies"];
    let any = lunch_seen(&any, 40).await;
    assert!(!any.is_sorted(), "each answer lags differently: {any:?}");
    assert!(any[20..].iter().all(|&seen| seen), "at most 20 s: {any:?}");
    let late = lunch_seen(&["--late-commits", "20s"], 20).await;
    assert!(!late[0] && late[19] && late.is_sorted(), "{late:?}");
    assert!(lunch_seen(&[], 1).await[0]);
}

#[tokio::test(start_paused = true)]
async fn rows_can_move_between_pages_by_option() {
    for flags in [
        &["--rows-move"][..],
        &["--dates", "seconds", "--seats", "0", "--ties", "random"],
    ] {
        let options =
            parse(&[&["--latency", "0s", "--agents", "300"], flags].concat()).expect("valid flags");
        let simulator =
            start(&options, None, Arc::new(VirtualClock::default())).expect("the simulator starts");
        let transport = simulator.transport(crate::simulator::TOKEN);
        let mut torn = 0;
        for _ in 0..20 {
            let mut users = std::collections::HashSet::new();
            for page in [1, 2, 3] {
                let path = format!("{NEWEST_100}&page={page}");
                let reply = transport.get(&path).await.expect("an answer");
                let list: Value = serde_json::from_slice(&reply.body).expect("JSON");
                users.extend(rows(&list).iter().map(|row| row["app_user"].to_string()));
            }
            torn += usize::from(users.len() < 300);
        }
        assert!(torn > 5, "{flags:?}: {torn}");
    }
}
