//! What CallTools can do in HTTP: what openseat answers meanwhile, how the answer explains it, and that it recovers by itself.

use std::time::Duration;

use openseat::simulator::{Endpoint, InjectedFault, RetryAfter, TOKEN};
use serde_json::Value;

use crate::{
    matrix,
    support::{CallTools, TestDaemon, TestFolder, Time, account, known, post, soon},
};

/// A daemon with two polled queues, and everything that it depends on.
struct Fixture {
    time: Time,
    home: TestFolder,
    calltools: CallTools,
    daemon: TestDaemon,
}

impl Fixture {
    async fn start() -> Self {
        Self::with("", "").await
    }

    async fn with(account_lines: &str, queue_lines: &str) -> Self {
        let (time, home) = (Time::new(), TestFolder::new());
        let calltools = CallTools::start(&time).await;
        home.set_token("main", TOKEN);
        let account = calltools.account_with(account_lines, queue_lines);
        let daemon = home.start(&time, &[account]).await;
        daemon.ready().await;
        Self {
            time,
            home,
            calltools,
            daemon,
        }
    }

    /// Gives every poll this fault from now on.
    fn inject(&self, fault: InjectedFault) {
        let polls = Some(Endpoint::AgentStatuses);
        self.calltools.simulator.inject(usize::MAX, polls, fault);
    }

    /// Follows a fault of all polls from its beginning to its end; returns the decision while the queue was unknown.
    async fn check_fault(&self, fault: InjectedFault, outcome: &str, reason: &str) -> Value {
        let before = self.daemon.decision("sales").await;
        assert!(known(&before), "{before}");
        self.inject(fault);
        self.time
            .until(outcome, async || self.daemon.outcomes(outcome).await > 0.0)
            .await;
        self.answers_until_too_old().await;
        let unknown = self.daemon.comes_to(&self.time, "sales", reason).await;
        self.is_unknown(&unknown).await;
        matrix::found(Some(outcome), reason);
        self.calltools.simulator.clear_faults();
        let healed = self.daemon.comes_to(&self.time, "sales", "seats").await;
        assert_eq!(healed["count"], 2);
        assert!(healed.get("detail").is_none(), "{healed}");
        unknown
    }

    /// Checks that a young snapshot keeps answering while polls fail, until it is too old.
    async fn answers_until_too_old(&self) {
        self.time
            .until("too old", async || {
                let decision = self.daemon.decision("sales").await;
                let age_ms = decision["age_ms"]
                    .as_u64()
                    .expect("the queue was known before");
                assert_eq!(known(&decision), age_ms <= 20_000, "{decision}");
                assert_eq!(
                    decision["reason"] == "seats",
                    age_ms <= 20_000,
                    "{decision}"
                );
                age_ms > 20_000
            })
            .await;
    }

    async fn is_unknown(&self, decision: &Value) {
        assert_eq!(decision["count"], Value::Null, "{decision}");
        assert_eq!(decision["accept"], false, "{decision}");
        assert!(decision["detail"].is_string(), "{decision}");
        let seats = "openseat_queue_seats{account=\"main\",queue=\"sales\"}";
        assert_eq!(
            self.daemon.metric(seats).await,
            None,
            "unknown is not a number"
        );
        // A fault of CallTools is no reason to restart openseat.
        assert_eq!(self.daemon.get("/livez").await.status, 200);
        assert_eq!(self.daemon.get("/readyz").await.status, 200);
    }
}

#[track_caller]
fn says(decision: &Value, words: &str) {
    let detail = decision["detail"]
        .as_str()
        .expect("an unknown is explained");
    assert!(detail.contains(words), "{detail}");
}

#[tokio::test]
async fn error_pages_of_load_balancers() {
    for status in [500, 502, 503, 504] {
        let fixture = Fixture::start().await;
        let unknown = fixture
            .check_fault(
                InjectedFault::WebPage(status),
                "server_error",
                "upstream_down",
            )
            .await;
        says(&unknown, &format!("CallTools answered {status}"));
    }
}

#[tokio::test]
async fn a_maintenance_page_with_status_200() {
    let fixture = Fixture::start().await;
    let unknown = fixture
        .check_fault(InjectedFault::WebPage(200), "not_json", "upstream_down")
        .await;
    says(&unknown, "web page");
}

#[tokio::test]
async fn a_404_with_a_web_page() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let simulator = calltools.simulator.clone();
    simulator.inject(usize::MAX, None, InjectedFault::WebPage(404));
    let daemon = calltools.daemon(&home, &time).await;
    let decision = daemon
        .decides("sales", |decision| decision["reason"] == "upstream_down")
        .await;
    says(&decision, "silo or base_url");
    simulator.clear_faults();
    daemon.comes_to(&time, "sales", "seats").await;
}

#[tokio::test]
async fn no_permission() {
    let fixture = Fixture::start().await;
    let unknown = fixture
        .check_fault(InjectedFault::Forbidden, "no_permission", "no_permission")
        .await;
    says(&unknown, "ask a CallTools administrator");
}

#[tokio::test]
async fn a_404_in_the_apis_own_words() {
    let fixture = Fixture::start().await;
    let unknown = fixture
        .check_fault(InjectedFault::NotFound, "no_such_queue", "no_such_queue")
        .await;
    says(&unknown, "compare the id");
}

#[tokio::test]
async fn a_hang() {
    let fixture = Fixture::with("timeout = \"2s\"", "").await;
    let unknown = fixture
        .check_fault(InjectedFault::Hang, "timeout", "upstream_down")
        .await;
    says(&unknown, "did not send its complete answer within 2s");
}

#[tokio::test]
async fn an_answer_that_breaks_off() {
    let fixture = Fixture::start().await;
    fixture
        .check_fault(InjectedFault::BrokenJson, "not_json", "upstream_down")
        .await;
}

#[tokio::test]
async fn json_of_another_shape_is_not_an_empty_queue() {
    let fixture = Fixture::start().await;
    fixture
        .check_fault(
            InjectedFault::WrongShape,
            "unexpected_shape",
            "upstream_down",
        )
        .await;
}

#[tokio::test]
async fn an_empty_body() {
    let fixture = Fixture::start().await;
    fixture
        .check_fault(InjectedFault::EmptyBody, "not_json", "upstream_down")
        .await;
}

#[tokio::test]
async fn a_connection_that_is_closed_without_an_answer() {
    let fixture = Fixture::start().await;
    fixture
        .check_fault(InjectedFault::Dropped, "connection_lost", "upstream_down")
        .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_gets_no_token() {
    let fixture = Fixture::start().await;
    let elsewhere = CallTools::start(&fixture.time).await;
    let target = format!("{}agentstatuses/", elsewhere.serving.base_url());
    let unknown = fixture
        .check_fault(InjectedFault::Redirect(target), "redirect", "upstream_down")
        .await;
    says(&unknown, "redirects are not followed");
    assert_eq!(elsewhere.simulator.requests(), 0);
}

#[tokio::test]
async fn an_empty_list_is_an_answer_and_not_a_fault() {
    let fixture = Fixture::start().await;
    fixture.inject(InjectedFault::NoRows);
    let decision = fixture
        .daemon
        .comes_to(&fixture.time, "sales", "below_threshold")
        .await;
    assert_eq!(decision["count"], 0);
}

#[tokio::test]
async fn the_operator_chooses_what_an_unknown_queue_answers() {
    for (choice, seats, accept) in [
        ("reject", true, false),
        ("accept", false, true),
        ("last", true, true),
        ("last", false, false),
    ] {
        let fixture = Fixture::with("", &format!("on_unknown = \"{choice}\"")).await;
        if !seats {
            for agent in [0, 1] {
                fixture.calltools.set_status(agent, "On a Call");
            }
            fixture
                .daemon
                .comes_to(&fixture.time, "sales", "below_threshold")
                .await;
        }
        fixture.inject(InjectedFault::WebPage(503));
        let decision = fixture
            .daemon
            .comes_to(&fixture.time, "sales", "upstream_down")
            .await;
        assert_eq!(decision["accept"], accept, "{choice}, seats: {seats}");
        assert_eq!(decision["count"], Value::Null);
    }
}

#[tokio::test]
async fn a_revoked_token_is_recognized_and_a_new_one_needs_no_restart() {
    let fixture = Fixture::start().await;
    fixture
        .calltools
        .simulator
        .set_token("rotated0token0of0the0same0account0000000");
    fixture.answers_until_too_old().await;
    let unknown = fixture
        .daemon
        .comes_to(&fixture.time, "support", "bad_token")
        .await;
    says(&unknown, "check that the token was copied whole");
    fixture
        .is_unknown(
            &fixture
                .daemon
                .comes_to(&fixture.time, "sales", "bad_token")
                .await,
        )
        .await;

    // A partly written token, as rotation scripts may leave, is not used; the old one is kept.
    fixture.home.set_token("main", "");
    fixture.time.pass(Duration::from_secs(30)).await;
    assert_eq!(
        fixture.daemon.decision("sales").await["reason"],
        "bad_token"
    );
    fixture
        .home
        .set_token("main", "  Token rotated0token0of0the0same0account0000000\n");
    let healed = fixture
        .daemon
        .comes_to(&fixture.time, "sales", "seats")
        .await;
    assert_eq!(healed["count"], 2);
}

#[tokio::test]
async fn a_bad_token_is_retried_less_and_less_often() {
    let fixture = Fixture::start().await;
    let (simulator, time) = (&fixture.calltools.simulator, &fixture.time);
    simulator.set_token("rotated0token0of0the0same0account0000000");
    fixture.daemon.comes_to(time, "sales", "bad_token").await;
    let first = simulator.requests();
    time.pass_by(Duration::from_secs(1_800), Duration::from_secs(1))
        .await;
    // After 5, 10, 20 … 300 s, each up to halved by jitter: 17 to 6 in half an hour, for both queues together. While a request waits for a slow disk
    // or a busy machine, much of that half hour may pass.
    let tries = simulator.requests() - first;
    assert!(
        (1..=18).contains(&tries),
        "{tries} attempts in half an hour"
    );
    // Time is advanced here even while a busy machine has yet to send a request, so an attempt may come late. `hours` checks the waits to the
    // second, in virtual time.
    let gaps = gaps(&fixture.calltools, tries as usize);
    assert!(
        gaps.iter().all(|gap| *gap <= Duration::from_secs(600)),
        "{gaps:?}"
    );
}

#[tokio::test]
async fn a_corrected_token_ends_the_wait_of_the_whole_account() {
    enum Way {
        Reload,
        Refresh,
        File,
    }
    for way in [Way::Reload, Way::Refresh, Way::File] {
        let fixture = Fixture::start().await;
        let (simulator, time) = (&fixture.calltools.simulator, &fixture.time);
        simulator.set_token("rotated0token0of0the0same0account0000000");
        fixture.daemon.comes_to(time, "sales", "bad_token").await;
        // By now the next attempt is minutes away.
        time.pass_by(Duration::from_secs(1_800), Duration::from_secs(1))
            .await;
        const NEW: &str = "rotated0token0of0the0same0account0000000";
        let post = match way {
            Way::Reload => {
                fixture.home.set_token("main", NEW);
                Some("/v1/reload")
            }
            // CallTools accepts the old token again.
            Way::Refresh => {
                simulator.set_token(openseat::simulator::TOKEN);
                Some("/v1/queues/support/refresh")
            }
            Way::File => {
                fixture.home.set_token("main", NEW);
                None
            }
        };
        if let Some(target) = post {
            assert_eq!(fixture.daemon.post(target).await.status, 200, "{target}");
        }
        // The clock is left alone, so that a slow machine has all the time it needs for two polls and the pace between them. An attempt in the
        // back-off would come after 150 s or more.
        let mended = tokio::time::Instant::now();
        for queue in ["sales", "support"] {
            let has_seats = |decision: &Value| decision["reason"] == "seats";
            fixture.daemon.decides(queue, has_seats).await;
        }
        let waited = mended.elapsed();
        assert!(waited <= Duration::from_secs(100), "{post:?}: {waited:?}");
    }
}

/// The times between the newest requests.
fn gaps(calltools: &CallTools, newest: usize) -> Vec<Duration> {
    let received = calltools.simulator.received();
    let at: Vec<_> = received[received.len() - newest..]
        .iter()
        .map(|request| request.at)
        .collect();
    at.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// The time between two requests of an account with the default budget: 1,000 an hour, less the reserve of 50.
const USUAL_PERIOD: Duration = Duration::from_millis(3_600_000 / 950);

/// How many requests arrive in the next `time`.
async fn requests_in(fixture: &Fixture, time: Duration) -> u64 {
    let before = fixture.calltools.simulator.requests();
    fixture.time.pass(time).await;
    fixture.calltools.simulator.requests() - before
}

#[tokio::test]
async fn a_429_is_followed_by_the_pause_it_asks_for_and_a_slower_pace() {
    for form in [RetryAfter::Seconds, RetryAfter::HttpDate] {
        let fixture = Fixture::start().await;
        fixture
            .calltools
            .simulator
            .quirks(|quirks| quirks.retry_after = form);
        fixture.calltools.simulator.inject(
            1,
            None,
            InjectedFault::Throttled(Some(Duration::from_secs(100))),
        );
        let throttled = async || fixture.daemon.outcomes("throttled").await > 0.0;
        let simulator = &fixture.calltools.simulator;
        fixture.time.until("a 429", throttled).await;
        let refused = simulator.requests();
        // Longer than `max_age`, and shorter than the pause.
        fixture.time.pass(Duration::from_secs(60)).await;
        let unknown = fixture.daemon.decision("sales").await;
        assert_eq!(unknown["reason"], "throttled", "{unknown}");
        says(&unknown, "others spend from this account");
        says(&unknown, "the next one may be sent in");
        says(&unknown, "find out what else uses this account's API");
        fixture
            .daemon
            .comes_to(&fixture.time, "sales", "seats")
            .await;
        let resumed = simulator.requests();
        let enough = async || simulator.requests() >= resumed + 12;
        fixture.time.until("a dozen requests", enough).await;
        // Only the pause is a gap of this length. A Retry-After with a date has whole seconds.
        let gaps = gaps(
            &fixture.calltools,
            (simulator.requests() - refused) as usize + 1,
        );
        let silence = gaps.iter().max().expect("there are gaps");
        assert!(*silence >= Duration::from_secs(98), "{form:?}: {gaps:?}");
        // A busy machine can only delay requests, so the pace is measured by their smallest distance. Each may be late by some steps of the test's
        // time, which matters little over eleven gaps.
        let pace = gaps[gaps.len() - 11..].iter().sum::<Duration>() / 11;
        assert!(pace > USUAL_PERIOD.mul_f64(1.2), "{form:?}: {pace:?}");
        let share = fixture
            .daemon
            .metric("openseat_budget_share_ratio{account=\"main\"}")
            .await;
        assert!(
            share.is_some_and(|share| (0.7..0.8).contains(&share)),
            "{share:?}"
        );
    }
}

#[tokio::test]
async fn a_429_without_a_time_is_followed_by_a_pause_of_a_minute() {
    let fixture = Fixture::start().await;
    fixture
        .calltools
        .simulator
        .inject(1, None, InjectedFault::Throttled(None));
    let throttled = async || fixture.daemon.outcomes("throttled").await > 0.0;
    fixture.time.until("a 429", throttled).await;
    // Another poll that was in flight may have arrived.
    assert!(requests_in(&fixture, Duration::from_secs(5)).await <= 1);
    // Refused requests may prolong a lock, so nothing may be sent: no refresh, no fresh data, no look-up for a new config's names.
    let before = fixture.calltools.simulator.requests();
    for _ in 0..5 {
        let refreshed = fixture.daemon.post("/v1/queues/sales/refresh").await;
        assert_eq!(refreshed.status, 429, "{refreshed:?}");
        assert!(refreshed.header("retry-after").is_some(), "{refreshed:?}");
        let target = "/v1/queues/sales/decision?fresh=0s&wait=1ms";
        assert_eq!(fixture.daemon.get(target).await.status, 200);
        assert_eq!(fixture.daemon.post("/v1/reload").await.status, 200);
        fixture.time.pass(Duration::from_secs(10)).await;
    }
    assert_eq!(fixture.calltools.simulator.requests(), before);
    assert_eq!(
        fixture.daemon.decision("sales").await["reason"],
        "throttled"
    );
    fixture
        .daemon
        .comes_to(&fixture.time, "sales", "seats")
        .await;
}

#[tokio::test]
async fn a_daemon_reports_that_calltools_is_down_at_the_start_and_recovers() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let simulator = calltools.simulator.clone();
    simulator.inject(usize::MAX, None, InjectedFault::WebPage(503));
    let daemon = calltools.daemon(&home, &time).await;
    daemon.ready().await;
    let decision = daemon
        .decides("sales", |decision| decision["reason"] == "upstream_down")
        .await;
    says(&decision, "503");
    assert_eq!(decision["as_of"], Value::Null);
    simulator.clear_faults();
    daemon.comes_to(&time, "sales", "seats").await;
    daemon.comes_to(&time, "support", "seats").await;
}

#[tokio::test]
async fn a_fault_of_one_queue_leaves_the_others_alone_and_a_refresh_reports_it() {
    let fixture = Fixture::start().await;
    fixture
        .calltools
        .simulator
        .world(|world| world.remove_queue(2));
    fixture
        .daemon
        .comes_to(&fixture.time, "support", "no_such_queue")
        .await;
    fixture
        .daemon
        .comes_to(&fixture.time, "sales", "seats")
        .await;
    let answer = post(fixture.daemon.address, "/v1/queues/support/refresh").await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(answer.json()["type"], "urn:openseat:problem:no-such-queue");
}

#[tokio::test]
async fn a_port_without_a_listener() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    let lines = calltools.account();
    calltools.serving.stop().await;
    home.set_token("main", TOKEN);
    let daemon = home.start(&time, &[lines]).await;
    let decision = daemon
        .decides("sales", |decision| decision["reason"] == "upstream_down")
        .await;
    says(&decision, "no connection to 127.0.0.1");
    says(&decision, "firewall");
}

#[tokio::test]
async fn tls_to_a_server_that_speaks_plain_http() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", TOKEN);
    let url = calltools.serving.base_url().replace("http:", "https:");
    let lines = account(
        "main",
        &url,
        "connect_timeout = \"5s\"",
        &["queue = \"sales\""],
    );
    let daemon = home.start(&time, &[lines]).await;
    let decision = daemon
        .decides("sales", |decision| decision["reason"] == "upstream_down")
        .await;
    says(&decision, "no secure connection to 127.0.0.1");
    assert_eq!(
        calltools.simulator.requests(),
        0,
        "nothing was sent in plain text"
    );
}

#[tokio::test]
async fn a_silo_that_does_not_exist() {
    let (time, home) = (Time::new(), TestFolder::new());
    home.set_token("main", TOKEN);
    let lines = account(
        "main",
        "https://openseat.invalid/api/",
        "",
        &["queue = \"sales\""],
    );
    let daemon = home.start(&time, &[lines]).await;
    let decision = daemon
        .decides("sales", |decision| decision["reason"] == "upstream_down")
        .await;
    says(&decision, "check the spelling of the silo");
}

#[tokio::test]
async fn a_list_that_does_not_match_its_count_is_read_again_then_served_and_counted() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    calltools
        .simulator
        .quirks(|quirks| quirks.count_off_by = -1);
    let daemon = calltools.daemon(&home, &time).await;
    let decision = daemon.decides("sales", known).await;
    assert_eq!(decision["count"], 2);
    let incomplete = "openseat_incomplete_snapshots_total{account=\"main\",queue=\"sales\"}";
    soon("a metric", async || {
        daemon.metric(incomplete).await >= Some(1.0)
    })
    .await;
    assert_eq!(
        daemon.get("/v1/queues/sales").await.json()["complete"],
        false
    );
}

#[tokio::test]
async fn a_bare_list_without_an_envelope() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    calltools
        .simulator
        .quirks(|quirks| quirks.bare_array = true);
    let daemon = calltools.daemon(&home, &time).await;
    let decision = daemon.decides("sales", known).await;
    assert_eq!(decision["count"], 2);
}
