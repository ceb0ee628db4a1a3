//! The simulator as a client sees it.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::*;
use crate::clock::VirtualClock;

const GOOD: &str = "Token simulated0token0of0a0simulated0account00";

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("JSON")
    }

    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn rows(&self) -> Vec<Value> {
        self.json()["results"].as_array().expect("a list").clone()
    }
}

fn simulator(world: WorldSettings) -> Simulator {
    Simulator::new(Settings::new(world), Arc::new(VirtualClock::default()))
}

fn still() -> Simulator {
    simulator(WorldSettings::still(3, 40))
}

fn send(
    simulator: &Simulator,
    method: Method,
    target: &str,
    authorization: Option<&str>,
) -> Answer {
    // One byte per letter, as headers are read.
    let bytes = |text: &str| text.chars().map(|letter| letter as u8).collect::<Vec<u8>>();
    let authorization = authorization.map(|text| HeaderValue::from_bytes(&bytes(text)).unwrap());
    let outcome = simulator.receive(&Request {
        method: &method,
        target,
        origin: ORIGIN,
        authorization: authorization.as_ref(),
    });
    let Outcome::Answer(reply, _) = outcome else {
        panic!("no answer to {target}");
    };
    Answer {
        status: reply.status,
        headers: reply.headers,
        text: String::from_utf8(reply.body.to_vec()).unwrap(),
    }
}

fn get(simulator: &Simulator, target: &str) -> Answer {
    send(simulator, Method::GET, target, Some(GOOD))
}

fn detail(answer: &Answer) -> String {
    answer.json()["detail"]
        .as_str()
        .expect("a detail")
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn credentials_are_checked_as_drf_checks_them() {
    let none = "Authentication credentials were not provided.";
    let spaces = "Invalid token header. Token string should not contain spaces.";
    let letters = "Invalid token header. Token string should not contain invalid characters.";
    let table = [
        (None, none),
        (Some(""), none),
        (Some("Bearer abc"), none),
        (Some("simulated0token0of0a0simulated0account00"), none),
        (
            Some("Token"),
            "Invalid token header. No credentials provided.",
        ),
        (Some("Token abc def"), spaces),
        (Some("Token Token abc"), spaces),
        (Some("Token schl\u{fc}ssel"), letters),
        (Some("Token schl\u{c3}\u{bc}ssel"), "Invalid token."),
        (Some("Token abc"), "Invalid token."),
        (
            Some("Token SIMULATED0TOKEN0OF0A0SIMULATED0ACCOUNT00"),
            "Invalid token.",
        ),
    ];
    let simulator = still();
    for (authorization, expected) in table {
        let answer = send(&simulator, Method::GET, "/api/queues/", authorization);
        assert_eq!(answer.status, 401, "{authorization:?}");
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), Some("Token"));
        assert_eq!(answer.text, json!({ "detail": expected }).to_string());
    }
    for spelling in [
        GOOD.to_owned(),
        GOOD.replace("Token", "token"),
        format!("{GOOD} "),
    ] {
        let answer = send(&simulator, Method::GET, "/api/queues/", Some(&spelling));
        assert_eq!(answer.status, 200, "{spelling:?}");
    }
    simulator.set_token("another");
    assert_eq!(detail(&get(&simulator, "/api/queues/")), "Invalid token.");
}

#[tokio::test(start_paused = true)]
async fn unauthorized_requests_cost_nothing_and_the_31st_of_30_waits_an_hour() {
    let simulator = still();
    simulator.set_limit(30);
    for _ in 0..21 {
        send(&simulator, Method::GET, "/api/queues/", Some("Token wrong"));
    }
    simulator.quirks(|quirks| quirks.statuses_forbidden = true);
    assert_eq!(get(&simulator, "/api/statuses/").status, 403);
    assert_eq!(simulator.in_window(), 0);
    // A page past the end, a wrong filter and a wrong method are detected behind the throttle.
    assert_eq!(get(&simulator, "/api/queues/?page=9").status, 404);
    assert_eq!(get(&simulator, "/api/agentstatuses/?queue=x").status, 400);
    let answer = send(&simulator, Method::PUT, "/api/queues/", Some(GOOD));
    assert_eq!(answer.status, 405);
    assert_eq!(detail(&answer), "Method \"PUT\" not allowed.");
    for n in 3..30 {
        assert_eq!(get(&simulator, "/api/queues/").status, 200, "request {n}");
    }
    let refused = get(&simulator, "/api/queues/");
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header(header::RETRY_AFTER), Some("3600"));
    let sentence = "Request was throttled. Expected available in 3600 seconds.";
    assert_eq!(detail(&refused), sentence);
    tokio::time::sleep(Duration::from_millis(3_599_500)).await;
    let refused = get(&simulator, "/api/queues/");
    assert_eq!(refused.header(header::RETRY_AFTER), Some("1"));
    let sentence = "Request was throttled. Expected available in 1 second.";
    assert_eq!(detail(&refused), sentence);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(get(&simulator, "/api/queues/").status, 200);
    assert_eq!(
        (simulator.throttled(), simulator.worst_sliding_hour()),
        (2, 54)
    );
    assert_eq!(simulator.requests(), 55);
}

#[tokio::test(start_paused = true)]
async fn a_429_can_give_its_wait_in_other_ways() {
    let simulator = still();
    simulator.set_limit(1);
    get(&simulator, "/api/queues/");
    simulator.quirks(|quirks| quirks.retry_after = RetryAfter::HttpDate);
    let answer = get(&simulator, "/api/queues/");
    // The virtual clock begins on a Sunday at ten.
    let date = "Sun, 22 Nov 2026 11:00:00 GMT";
    assert_eq!(answer.header(header::RETRY_AFTER), Some(date));
    simulator.quirks(|quirks| quirks.retry_after = RetryAfter::Absent);
    let answer = get(&simulator, "/api/queues/");
    assert_eq!(answer.header(header::RETRY_AFTER), None);
    assert!(detail(&answer).ends_with("in 3600 seconds."));
    simulator.quirks(|quirks| quirks.retry_after = RetryAfter::Seconds);
    simulator.set_limit(0);
    let answer = get(&simulator, "/api/queues/");
    assert_eq!(answer.header(header::RETRY_AFTER), None);
    assert_eq!(detail(&answer), "Request was throttled.");
}

#[tokio::test(start_paused = true)]
async fn invalid_requests_get_drfs_messages() {
    let simulator = still();
    let table = [
        (
            "agentstatuses/?queue=sales-queue",
            400,
            json!({"queue": ["Enter a number."]}),
        ),
        (
            "agentstatuses/?queue=1",
            400,
            json!({"queue": ["Select a valid choice. That choice is not one of the available choices."]}),
        ),
        (
            "agentstatuses/?queue=x&team=y",
            400,
            json!({"queue": ["Enter a number."], "team": ["Enter a number."]}),
        ),
        (
            "agentstatuses/?page=0",
            404,
            json!({"detail": "Invalid page."}),
        ),
        (
            "agentstatuses/?page=3",
            404,
            json!({"detail": "Invalid page."}),
        ),
        (
            "agentstatuses/?page=x",
            404,
            json!({"detail": "Invalid page."}),
        ),
        (
            "agentstatuses/nobody/",
            404,
            json!({"detail": "No AgentStatus matches the given query."}),
        ),
    ];
    for (path, status, body) in table {
        let answer = get(&simulator, &format!("/api/{path}"));
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (status, body),
            "{path}"
        );
        assert_eq!(
            answer.header(header::CONTENT_TYPE),
            Some("application/json")
        );
    }
    simulator.quirks(|quirks| {
        quirks.foreign_queue = ForeignQueue::Empty;
        quirks.statuses_forbidden = true;
    });
    let foreign = get(&simulator, "/api/agentstatuses/?queue=1").json();
    assert_eq!(foreign["count"], 0);
    assert_eq!(foreign["results"], json!([]));
    let forbidden = get(&simulator, "/api/statuses/");
    assert_eq!(forbidden.status, 403);
    assert_eq!(
        detail(&forbidden),
        "You do not have permission to perform this action."
    );
}

#[tokio::test(start_paused = true)]
async fn paths_are_treated_as_django_treats_them() {
    let simulator = still();
    let answer = send(
        &simulator,
        Method::GET,
        "/api/agentstatuses?queue=5450",
        None,
    );
    assert_eq!(answer.status, 301);
    let location = "/api/agentstatuses/?queue=5450";
    assert_eq!(answer.header(header::LOCATION), Some(location));
    for unknown in [
        "/",
        "/api/",
        "/api/agents/",
        "/agentstatuses/",
        "/api/queues/1/2/",
    ] {
        let answer = get(&simulator, unknown);
        assert_eq!(answer.status, 404, "{unknown}");
        assert!(answer.text.starts_with("<!doctype html>"), "{unknown}");
    }
    assert_eq!(simulator.requests_to(Endpoint::Other), 6);
    assert_eq!(simulator.in_window(), 0);
}

/// All pages of a list, following its links.
fn all_pages(simulator: &Simulator, first: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut target = first.to_owned();
    loop {
        let answer = get(simulator, &target);
        assert_eq!(answer.status, 200, "{target}");
        rows.extend(answer.rows());
        match answer.json()["next"].as_str() {
            Some(next) => target = next.strip_prefix(ORIGIN).expect("our origin").to_owned(),
            None => return rows,
        }
    }
}

fn app_users(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["app_user"].to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn seven_hundred_agents_fill_three_clipped_pages() {
    let simulator = simulator(WorldSettings::still(1, 700));
    for (query, pages) in [
        ("", 28),
        ("?page_size=250", 3),
        ("?page_size=max", 3),
        ("?page_size=99999999999999999999", 3),
        ("?page_size=0", 28),
        ("?page_size=-1", 28),
        ("?page_size=many", 28),
        ("?page_size=", 28),
        ("?page_size=100", 7),
    ] {
        let before = simulator.requests();
        let mut users = app_users(&all_pages(
            &simulator,
            &format!("/api/agentstatuses/{query}"),
        ));
        assert_eq!(simulator.requests() - before, pages, "{query}");
        assert_eq!(users.len(), 700, "{query}");
        users.sort();
        users.dedup();
        assert_eq!(users.len(), 700, "{query}");
    }
    let last = get(&simulator, "/api/agentstatuses/?page=last&page_size=250");
    assert_eq!(last.rows().len(), 200);
    let received = simulator.received();
    let newest = received.last().expect("many");
    assert_eq!(newest.target, "/api/agentstatuses/?page=last&page_size=250");
    assert_eq!(
        (newest.endpoint, newest.status),
        (Endpoint::AgentStatuses, Some(StatusCode::OK))
    );
}

#[tokio::test(start_paused = true)]
async fn links_are_sorted_absolute_and_lead_back() {
    let simulator = still();
    let first = get(&simulator, "/api/agentstatuses/?queue=5450&page_size=5").json();
    let next = "https://east-1.calltools.io/api/agentstatuses/?page=2&page_size=5&queue=5450";
    assert_eq!(first["next"], next);
    assert_eq!(first["previous"], Value::Null);
    simulator.quirks(|quirks| quirks.links_origin = Some("http://10.0.0.7:8000".to_owned()));
    let second = get(
        &simulator,
        "/api/agentstatuses/?queue=5450&page_size=5&page=2",
    )
    .json();
    let previous = "http://10.0.0.7:8000/api/agentstatuses/?page_size=5&queue=5450";
    assert_eq!(second["previous"], previous);
}

#[tokio::test(start_paused = true)]
async fn rows_can_move_between_pages() {
    let simulator = simulator(WorldSettings::still(1, 100));
    simulator.quirks(|quirks| quirks.rows_move = true);
    let (mut doubled, mut missing) = (0, 0);
    for _ in 0..50 {
        let mut users = app_users(&all_pages(&simulator, "/api/agentstatuses/"));
        let rows = users.len();
        users.sort();
        users.dedup();
        doubled += usize::from(rows > users.len());
        missing += usize::from(users.len() < 100);
    }
    assert!(
        doubled > 5 && missing > 5,
        "{doubled} doubled, {missing} missing"
    );
    simulator.quirks(|quirks| quirks.count_off_by = -1);
    assert_eq!(get(&simulator, "/api/agentstatuses/").json()["count"], 99);
}

#[tokio::test(start_paused = true)]
async fn rows_match_the_world() {
    let simulator = simulator(WorldSettings::lively());
    for queue in simulator.world(|world| world.queues().to_vec()) {
        let rows = all_pages(
            &simulator,
            &format!("/api/agentstatuses/?queue={}", queue.id),
        );
        let ready = simulator
            .world(|world| world.status_named("Available"))
            .unwrap();
        let seats = rows.iter().filter(|row| {
            assert_eq!(row["ready"] == true, row["agent_status"] == ready);
            assert_eq!(row["status"] == "Available", row["agent_status"] == ready);
            row["agent_status"] == ready && row["queue_logged_in"] == true
        });
        assert_eq!(seats.count(), simulator.seats(queue.id));
        let members = simulator.world(|world| world.agents_of(queue.id));
        let members: Vec<String> = members.iter().map(|id| format!("\"{id}\"")).collect();
        assert_eq!(app_users(&rows), members);
    }
    let row = &get(&simulator, "/api/agentstatuses/").rows()[0];
    let since = row["agent_status_modified_on"].as_str().unwrap();
    assert!(since.parse::<jiff::Timestamp>().is_ok(), "{since}");
    assert!(since.ends_with('Z') && since.len() == 27, "{since}");
    assert!(row.as_object().unwrap().len() > 30);
    let id = row["app_user"].as_str().unwrap();
    let alone = get(&simulator, &format!("/api/agentstatuses/{id}/"));
    assert_eq!(&alone.json(), row);
}

#[tokio::test(start_paused = true)]
async fn filters_leave_out_rows_that_do_not_match() {
    let simulator = simulator(WorldSettings::lively());
    let ready = simulator
        .world(|world| world.status_named("Available"))
        .unwrap();
    let rows = all_pages(
        &simulator,
        &format!("/api/agentstatuses/?agent_status={ready}"),
    );
    assert!(!rows.is_empty() && rows.iter().all(|row| row["status"] == "Available"));
    let team = all_pages(&simulator, "/api/agentstatuses/?team=2");
    assert!(!team.is_empty() && team.iter().all(|row| row["team"] == 2));
    simulator.quirks(|quirks| quirks.status_filter_ignored = true);
    let rows = all_pages(
        &simulator,
        &format!("/api/agentstatuses/?agent_status={ready}"),
    );
    assert_eq!(rows.len(), 120);
}

#[tokio::test(start_paused = true)]
async fn the_other_lists_have_their_fields() {
    let simulator = simulator(WorldSettings::lively());
    let queue = &get(&simulator, "/api/queues/").rows()[0];
    assert_eq!(
        (&queue["id"], &queue["name"]),
        (&json!(5450), &json!("sales-queue"))
    );
    let statuses = get(&simulator, "/api/statuses/").rows();
    let actions: Vec<_> = statuses
        .iter()
        .map(|row| {
            (
                row["name"].as_str().unwrap(),
                row["queue_action"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        actions[..5],
        [
            ("Available", "Set Ready"),
            ("Not Available", "Set Not Ready"),
            ("Post Call", "Set Not Ready"),
            ("On a Call", "No Action"),
            ("Lunch", "Set Not Ready"),
        ]
    );
    let calls = all_pages(&simulator, "/api/livephonecalls/");
    let on_calls = all_pages(&simulator, "/api/agentstatuses/");
    let on_calls = on_calls.iter().filter(|row| row["live_calls_count"] == 1);
    assert_eq!(calls.len(), on_calls.count());
    assert!(calls.iter().any(|call| call["inbound"] == true));
}

#[tokio::test(start_paused = true)]
async fn accounts_write_the_same_facts_differently() {
    let simulator = still();
    let row = |change: fn(&mut Quirks), target: &str| {
        simulator.quirks(|quirks| {
            *quirks = Quirks::default();
            change(quirks);
        });
        get(&simulator, target).rows()[0].clone()
    };
    let (all, queue) = ("/api/agentstatuses/", "/api/agentstatuses/?queue=5450");
    let plain = row(|_| (), all);
    assert!(plain["agent_status"].is_u64() && plain.get("queue_logged_in").is_none());
    assert!(row(|_| (), queue)["queue_logged_in"].is_boolean());
    let named = row(|quirks| quirks.agent_status = StatusForm::Name, all);
    assert_eq!(named["agent_status"], plain["status"]);
    let null = row(|quirks| quirks.agent_status = StatusForm::Null, all);
    assert_eq!(null["agent_status"], Value::Null);
    assert_eq!(
        row(|quirks| quirks.app_user = UserForm::Number, all)["app_user"],
        31_001
    );
    let url = row(|quirks| quirks.app_user = UserForm::Url, all);
    let uuid = plain["app_user"].as_str().unwrap();
    assert!(
        url["app_user"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/{uuid}/"))
    );
    let object = row(|quirks| quirks.app_user = UserForm::Object, all);
    assert_eq!(object["app_user"]["id"], uuid);
    let spaced = row(|quirks| quirks.dates = DateForm::Spaced, all);
    let since = spaced["agent_status_modified_on"].as_str().unwrap();
    assert_eq!((since.len(), &since[10..11]), (19, " "));
    let never = row(
        |quirks| quirks.queue_logged_in = LoggedInField::Never,
        queue,
    );
    assert!(never.get("queue_logged_in").is_none());
    let always = row(|quirks| quirks.queue_logged_in = LoggedInField::Always, all);
    assert!(always["queue_logged_in"].is_boolean());
    simulator.quirks(|quirks| quirks.bare_array = true);
    let bare = get(&simulator, "/api/agentstatuses/?page=7").json();
    assert_eq!(bare.as_array().map(Vec::len), Some(40));
}

#[tokio::test(start_paused = true)]
async fn sweeps_can_be_useless() {
    let simulator = simulator(WorldSettings::lively());
    let sweep = |sweep: SweepQuirk| {
        simulator.quirks(|quirks| quirks.sweep = sweep);
        assert_eq!(
            get(&simulator, "/api/agentstatuses/?queue=5450").status,
            200
        );
        get(&simulator, "/api/agentstatuses/?page_size=250")
    };
    assert_eq!(sweep(SweepQuirk::Forbidden).status, 403);
    assert_eq!(sweep(SweepQuirk::NotFound).status, 404);
    assert_eq!(sweep(SweepQuirk::Partial).rows().len(), 96);
    assert_eq!(sweep(SweepQuirk::Whole).rows().len(), 120);
    let stale = sweep(SweepQuirk::Stale).rows();
    assert_eq!(stale.len(), 120);
    assert!(
        stale
            .iter()
            .all(|row| row["status"] != "Available" && row["ready"] == false)
    );
}

#[tokio::test(start_paused = true)]
async fn faults_hit_the_next_requests() {
    let simulator = still();
    let bad_gateway = InjectedFault::WebPage(502);
    let table = [
        (
            InjectedFault::InvalidToken,
            401,
            r#"{"detail":"Invalid token."}"#,
        ),
        (InjectedFault::Forbidden, 403, r#"{"detail":"You do not"#),
        (InjectedFault::NotFound, 404, r#"{"detail":"Not found."}"#),
        (
            InjectedFault::Throttled(None),
            429,
            r#"{"detail":"Request was throttled."}"#,
        ),
        (bad_gateway, 502, "<!doctype html>"),
        (InjectedFault::WebPage(200), 200, "<!doctype html>"),
        (
            InjectedFault::Redirect("https://elsewhere.example/".to_owned()),
            302,
            "",
        ),
        (InjectedFault::BrokenJson, 200, r#"{"count":3"#),
        (InjectedFault::WrongShape, 200, r#"{"agents""#),
        (InjectedFault::EmptyBody, 200, ""),
        (InjectedFault::NoRows, 200, r#"{"count":0"#),
    ];
    for (fault, _, _) in &table {
        simulator.inject(1, Some(Endpoint::Queues), fault.clone());
    }
    for (fault, status, begins) in table {
        assert_eq!(get(&simulator, "/api/statuses/").status, 200);
        let answer = get(&simulator, "/api/queues/");
        assert_eq!(answer.status, status, "{fault:?}");
        assert!(
            answer.text.starts_with(begins),
            "{fault:?}: {}",
            answer.text
        );
    }
    simulator.inject(
        1,
        None,
        InjectedFault::Throttled(Some(Duration::from_millis(1_500))),
    );
    let answer = get(&simulator, "/api/queues/");
    assert_eq!(answer.header(header::RETRY_AFTER), Some("2"));
    simulator.inject(usize::MAX, None, InjectedFault::WebPage(503));
    assert_eq!(get(&simulator, "/api/queues/").status, 503);
    simulator.clear_faults();
    assert_eq!(get(&simulator, "/api/queues/").status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_transport_lives_in_virtual_time() {
    let settings = Settings {
        latency: Duration::from_millis(300),
        ..Settings::new(WorldSettings::study())
    };
    let simulator = Simulator::new(settings, Arc::new(VirtualClock::default()));
    let transport = simulator.transport(TOKEN);
    let started = tokio::time::Instant::now();
    for _ in 0..500 {
        let reply = transport.get("agentstatuses/?page_size=250").await.unwrap();
        assert_eq!(reply.status, 200);
    }
    let mean = started.elapsed().as_secs_f64() / 500.0;
    assert!((0.27..0.33).contains(&mean), "mean latency {mean}");
    let reply = simulator.transport("wrong").get("queues/").await.unwrap();
    assert_eq!(reply.status, 401);
    let reply = simulator
        .transport("no\nheader")
        .get("queues/")
        .await
        .unwrap();
    assert_eq!(reply.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_hang_ends_with_the_clients_timeout() {
    let simulator = still();
    let transport = simulator.transport(TOKEN);
    simulator.inject(1, None, InjectedFault::Hang);
    simulator.inject(1, None, InjectedFault::Slow(Duration::from_secs(11)));
    simulator.inject(1, None, InjectedFault::Dropped);
    simulator.inject(1, None, InjectedFault::Slow(Duration::from_secs(9)));
    let kind = |fault| match fault {
        Fault::UpstreamDown { kind, .. } => kind,
        other => panic!("{other:?}"),
    };
    let started = tokio::time::Instant::now();
    assert_eq!(
        kind(transport.get("queues/").await.unwrap_err()),
        Down::TimeOut
    );
    assert_eq!(started.elapsed(), TIMEOUT);
    assert_eq!(
        kind(transport.get("queues/").await.unwrap_err()),
        Down::TimeOut
    );
    let lost = transport.get("queues/").await.unwrap_err();
    assert_eq!(kind(lost), Down::ConnectionLost);
    assert_eq!(transport.get("queues/").await.unwrap().status, 200);
    let statuses: Vec<_> = simulator.received().iter().map(|r| r.status).collect();
    assert_eq!(statuses[0], None);
}

#[tokio::test(start_paused = true)]
async fn a_fast_simulator_scales_its_limit() {
    let settings = Settings {
        speed: 60.0,
        requests_per_hour: 2,
        ..Settings::new(WorldSettings::lively())
    };
    let simulator = Simulator::new(settings, Arc::new(VirtualClock::default()));
    for expected in [200, 200, 429] {
        assert_eq!(get(&simulator, "/api/queues/").status, expected);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(simulator.now(), Duration::from_secs(3_600));
    assert_eq!(get(&simulator, "/api/queues/").status, 200);
    assert_eq!(simulator.worst_sliding_hour(), 3);
}

#[tokio::test]
async fn two_accounts_are_served_over_one_socket() {
    let clock = || Arc::new(VirtualClock::default());
    let main = Simulator::new(Settings::new(WorldSettings::still(1, 700)), clock());
    let other = Settings {
        token: "another".to_owned(),
        ..Settings::new(WorldSettings::still(2, 3))
    };
    let other = Simulator::new(other, clock());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = serve(listener, vec![main.clone(), other.clone()]).unwrap();
    let client = crate::process::tls::client_builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let get = |path: &str, authorization: &str| {
        let request = client.get(format!("{}{path}", serving.base_url()));
        request.header("Authorization", authorization).send()
    };
    let page = get("agentstatuses/?page_size=1000", GOOD).await.unwrap();
    let page: Value = serde_json::from_slice(&page.bytes().await.unwrap()).unwrap();
    assert_eq!(page["count"], 700);
    assert_eq!(page["results"].as_array().unwrap().len(), 250);
    let next = format!("{}agentstatuses/?page=2&page_size=1000", serving.base_url());
    assert_eq!(page["next"], next);
    let page = get("queues/", "Token another").await.unwrap();
    let page: Value = serde_json::from_slice(&page.bytes().await.unwrap()).unwrap();
    assert_eq!(page["count"], 2);
    assert_eq!(get("queues/", "Token neither").await.unwrap().status(), 401);
    assert_eq!(get("queues", GOOD).await.unwrap().status(), 301);
    other.inject(1, None, InjectedFault::Dropped);
    assert!(get("queues/", "Token another").await.is_err());
    assert_eq!((main.requests(), other.requests()), (3, 2));
    let address = serving.address();
    serving.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
