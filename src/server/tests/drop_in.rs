use super::{
    contract::{documented, parameter},
    *,
};
use crate::{
    decision::snapshot::Snapshot,
    fixtures::{agent, available, opening_hours, raw},
    metrics::QueueMeters,
    model::{
        agent::Agent,
        names::{NamedQueue, Status},
    },
};

fn names() -> Arc<Names> {
    let status = |id: u64, name: &str| Status {
        id,
        name: name.into(),
        queue_action: None,
        raw: raw(&serde_json::json!({"id": id, "name": name})),
    };
    let queue = |id: u64, name: &str| NamedQueue {
        id,
        name: name.to_owned(),
        raw: raw(&serde_json::json!({"id": id, "name": name})),
    };
    Arc::new(Names {
        queues: Some(vec![queue(5450, "sales"), queue(5451, "support")]),
        statuses: Some(vec![status(1, "Available"), status(2, "Lunch")]),
    })
}

/// Two queues that share an agent, and a third one of another account.
async fn server_with_rows() -> (Server, AccountEnds) {
    let mut world = World::with(&["main/sales", "main/5451", "second/sales"]);
    let ends = world.account("main", TOKEN);
    ends.names.send_replace(names());
    world.account("second", "other-token");
    world
        .board
        .identify(&key("main/sales"), 5450, Some("sales".into()));
    world
        .board
        .identify(&key("second/sales"), 5450, Some("sales".into()));
    world.publish(
        "main/sales",
        vec![agent("7", "Ann", "Available"), agent("8", "Bob", "Lunch")],
    );
    world.clock.pass(Duration::from_secs(5));
    world.publish(
        "main/5451",
        vec![agent("7", "Ann", "Lunch"), agent("9", "Cy", "Available")],
    );
    world.publish("second/sales", vec![]);
    world.clock.pass(Duration::from_secs(2));
    (world.serve().await, ends)
}

async fn get(server: &Server, target: &str) -> Answer {
    server
        .ask("GET", target, &format!("Authorization: Token {TOKEN}\r\n"))
        .await
}

fn ids(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let rows = json["results"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer:?}"));
    rows.iter()
        .map(|row| row["app_user"].as_str().expect("an id").to_owned())
        .collect()
}

#[tokio::test]
async fn a_queues_agents_come_as_calltools_sent_them() {
    let (server, _ends) = server_with_rows().await;
    let answer = get(&server, "/api/agentstatuses/?queue=5450&page_size=250").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("age"), Some("7"));
    assert_eq!(
        answer.json(),
        serde_json::json!({"count": 2, "next": null, "previous": null, "results": [
            {"app_user": "7", "full_name": "Ann", "agent_status": "Available", "status": "Available",
             "queue_logged_in": true, "team": "north"},
            {"app_user": "8", "full_name": "Bob", "agent_status": "Lunch", "status": "Lunch",
             "queue_logged_in": true, "team": "north"},
        ]})
    );
    assert!(
        answer
            .body
            .starts_with("{\"count\":2,\"next\":null,\"previous\":null,\"results\":[")
    );
    // Configured by its id, which is not looked up yet.
    assert_eq!(
        ids(&get(&server, "/api/agentstatuses/?queue=5451").await),
        ["7", "9"]
    );
}

#[tokio::test]
async fn without_a_queue_every_agent_comes_once_with_the_newest_row() {
    let (server, _ends) = server_with_rows().await;
    let answer = get(&server, "/api/agentstatuses/").await;
    assert_eq!(ids(&answer), ["7", "8", "9"]);
    let ann = &answer.json()["results"][0];
    assert_eq!(ann["status"], "Lunch", "from the newer poll");
    assert_eq!(ann.get("queue_logged_in"), None, "an age needs a queue");
    assert_eq!(get(&server, "/api/agentstatuses/7/").await.json(), *ann);
    let nobody = get(&server, "/api/agentstatuses/10/").await;
    assert_eq!(
        (nobody.status, &*nobody.body),
        (404, "{\"detail\":\"Not found.\"}")
    );
}

#[tokio::test]
async fn filters_behave_as_in_django_rest_framework() {
    let (server, _ends) = server_with_rows().await;
    assert_eq!(
        ids(&get(&server, "/api/agentstatuses/?agent_status=2").await),
        ["7", "8"]
    );
    assert_eq!(
        ids(&get(&server, "/api/agentstatuses/?agent_status=1&queue=5450").await),
        ["7"]
    );
    assert_eq!(
        ids(&get(&server, "/api/agentstatuses/?queue=&ordering=-pk").await),
        ["7", "8", "9"]
    );
    let choice = "Select a valid choice. That choice is not one of the available choices.";
    let cases = [
        (
            "queue=sales",
            serde_json::json!({"queue": ["Enter a number."]}),
        ),
        ("queue=99", serde_json::json!({"queue": [choice]})),
        (
            "agent_status=Lunch",
            serde_json::json!({"agent_status": ["Enter a number."]}),
        ),
        (
            "agent_status=99",
            serde_json::json!({"agent_status": [choice]}),
        ),
        (
            "team=3",
            serde_json::json!({"team": ["openseat cannot filter by team."]}),
        ),
    ];
    for (query, body) in cases {
        let answer = get(&server, &format!("/api/agentstatuses/?{query}")).await;
        assert_eq!((answer.status, answer.json()), (400, body), "{query}");
    }
}

#[tokio::test]
async fn a_status_filter_finds_rows_by_id_and_by_name() {
    let mut world = World::with(&["main/5450"]);
    let ends = world.account("main", TOKEN);
    let mut by_id = agent("7", "Ann", "Lunch");
    by_id.raw = raw(&serde_json::json!({"app_user": "7", "agent_status": 2})).into();
    let mut nothing = agent("8", "Bob", "");
    nothing.raw = raw(&serde_json::json!({"app_user": "8", "agent_status": null})).into();
    world.publish("main/5450", vec![by_id.clone(), nothing]);
    let server = world.serve().await;
    let target = "/api/agentstatuses/?agent_status=2";
    assert_eq!(
        ids(&get(&server, target).await),
        ["7"],
        "no names are needed for ids"
    );
    let rows = vec![by_id, agent("9", "Cy", "Lunch")];
    let now = server.clock.now();
    server
        .board
        .publish(&key("main/5450"), snapshot(now, rows), now);
    let answer = get(&server, target).await;
    assert_eq!(answer.status, 503, "the name of 2 is unknown: {answer:?}");
    ends.names.send_replace(names());
    assert_eq!(ids(&get(&server, target).await), ["7", "9"]);
}

#[tokio::test]
async fn a_status_filter_reads_every_form_of_an_id() {
    let mut world = World::with(&["main/5450"]);
    let ends = world.account("main", TOKEN);
    ends.names.send_replace(names());
    let forms = [
        serde_json::json!(2),
        serde_json::json!("2"),
        serde_json::json!(" Lunch "),
        serde_json::json!({"id": 2, "name": "Lunch"}),
        serde_json::json!({"id": "2"}),
        serde_json::json!("1"),
        serde_json::json!({"id": 1}),
        serde_json::json!(null),
    ];
    let rows = forms.iter().enumerate().map(|(n, form)| {
        let row = serde_json::json!({"app_user": n.to_string(), "agent_status": form});
        let mut agent = agent(&n.to_string(), "", "Lunch");
        agent.raw = raw(&row).into();
        agent
    });
    world.publish("main/5450", rows.collect());
    let server = world.serve().await;
    for (status, expected) in [(2, vec!["0", "1", "2", "3", "4"]), (1, vec!["5", "6"])] {
        let target = format!("/api/agentstatuses/?agent_status={status}");
        assert_eq!(ids(&get(&server, &target).await), expected, "{status}");
    }
}

/// The agent as a list of available agents leaves them that lacks them.
fn gone(agent: Agent) -> Agent {
    Agent {
        status: None,
        available: Some(false),
        status_since: None,
        raw: agent.raw.without_status(),
        ..agent
    }
}

#[tokio::test]
async fn a_status_filter_counts_nobody_whose_status_is_unknown_as_being_in_another() {
    let mut world = World::with(&["main/5450"]);
    let ends = world.account("main", TOKEN);
    let mut known = Names::clone(&names());
    for status in known
        .statuses
        .iter_mut()
        .flatten()
        .filter(|one| one.id == 1)
    {
        status.queue_action = Some("Set Ready".to_owned());
    }
    ends.names.send_replace(Arc::new(known));
    let agents = vec![
        agent("7", "Ann", "Available"),
        gone(agent("8", "Bob", "Available")),
        agent("9", "Cy", "Lunch"),
    ];
    world.publish("main/5450", agents);
    let server = world.serve().await;
    let list = "/api/agentstatuses/?queue=5450";
    let unknown = get(&server, &format!("{list}&agent_status=2")).await;
    assert_eq!(unknown.status, 503, "Bob may be at lunch");
    let detail = unknown.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.starts_with("openseat does not know the statuses"),
        "{detail}"
    );
    // Bob is known not to be available.
    let ready = get(&server, &format!("{list}&agent_status=1")).await;
    assert_eq!(ids(&ready), ["7"]);
    let all = get(&server, list).await;
    assert_eq!(ids(&all), ["7", "8", "9"]);
    let bob = &all.json()["results"][1];
    assert_eq!(bob["agent_status"], Value::Null);
    assert_eq!(bob["openseat_status_unknown"], true);
}

#[tokio::test]
async fn the_age_is_that_of_the_oldest_row_and_not_of_the_statuses() {
    let mut world = World::with(&["main/5450", "main/5451"]);
    let _ends = world.account("main", TOKEN);
    let server = {
        let now = world.clock.now();
        let seconds = |seconds| now.earlier(Duration::from_secs(seconds));
        let confirmed = |agent| Snapshot {
            rows_as_of: seconds(600),
            members_as_of: seconds(900),
            ..snapshot(seconds(2), vec![agent])
        };
        let ann = agent("7", "Ann", "Available");
        world
            .board
            .publish(&key("main/5450"), confirmed(ann.clone()), now);
        world
            .board
            .publish(&key("main/5451"), confirmed(gone(ann)), now);
        world.serve().await
    };
    for (target, age) in [
        ("agentstatuses/?queue=5450", "600"),
        // All but the status is from a row that may be as old as the poll of the queue.
        ("agentstatuses/?queue=5451", "900"),
        ("agentstatuses/", "900"),
        ("agentstatuses/7/", "900"),
    ] {
        let answer = get(&server, &format!("/api/{target}")).await;
        assert_eq!(
            (answer.status, answer.header("age")),
            (200, Some(age)),
            "{target}"
        );
    }
    // Whether agents are available must be known as of `max_age`.
    server.clock.pass(MAX_AGE);
    let answer = get(&server, "/api/agentstatuses/?queue=5450").await;
    assert_eq!(answer.status, 503, "{answer:?}");
}

/// One queue with this many agents.
async fn of_rows(rows: usize) -> (Server, AccountEnds) {
    let mut world = World::with(&["main/5450"]);
    let ends = world.account("main", TOKEN);
    world.publish("main/5450", available(rows));
    (world.serve().await, ends)
}

#[tokio::test]
async fn pages_behave_as_in_django_rest_framework() {
    let (server, _ends) = of_rows(700).await;
    let page = async |query: &str| {
        let answer = get(&server, &format!("/api/agentstatuses/?{query}")).await;
        let (rows, json) = (ids(&answer), answer.json());
        assert_eq!(json["count"], 700);
        (
            rows.len(),
            rows[0].clone(),
            json["next"].clone(),
            json["previous"].clone(),
        )
    };
    let url = |query: &str| Value::from(format!("http://localhost/api/agentstatuses/?{query}"));
    assert_eq!(
        page("queue=5450").await,
        (25, "id-0".into(), url("page=2&queue=5450"), Value::Null)
    );
    assert_eq!(
        page("queue=5450&page_size=1000&page=2").await,
        (
            250,
            "id-250".into(),
            url("page=3&page_size=1000&queue=5450"),
            url("page_size=1000&queue=5450")
        )
    );
    let (rows, first, next, previous) = page("page_size=max&page=3").await;
    assert_eq!((rows, &*first, next), (200, "id-500", Value::Null));
    assert_eq!(previous, url("page=2&page_size=max"));
    assert_eq!(page("page_size=max&page=last").await.1, "id-500");
    for odd in ["page_size=0", "page_size=-1", "page_size=many"] {
        assert_eq!(page(odd).await.0, 25, "{odd}");
    }
    for odd in [
        "page=0",
        "page=29",
        "page=two",
        "page=-1",
        "page=99999999999999999999",
    ] {
        let answer = get(&server, &format!("/api/agentstatuses/?{odd}")).await;
        assert_eq!(
            (answer.status, &*answer.body),
            (404, "{\"detail\":\"Invalid page.\"}"),
            "{odd}"
        );
    }
}

#[tokio::test]
async fn requests_for_agents_are_demand_but_no_decisions() {
    let (server, _ends) = server_with_rows().await;
    let queues = ["main/sales", "main/5451", "second/sales"];
    let meters = queues.map(|queue| server.app.metrics.queue(&key(queue)).unwrap());
    let asked = || [0, 1, 2].map(|n| meters[n].asked());
    for (target, expected) in [
        ("agentstatuses/?queue=5450", [1, 0, 0]),
        (
            "agentstatuses/?queue=5450&agent_status=1&page_size=1",
            [2, 0, 0],
        ),
        ("agentstatuses/", [3, 1, 0]),
        ("agentstatuses/7/", [4, 2, 0]),
        ("queues/", [4, 2, 0]),
        ("statuses/", [4, 2, 0]),
        ("agentstatuses/?queue=99", [4, 2, 0]),
    ] {
        get(&server, &format!("/api/{target}")).await;
        assert_eq!(asked(), expected, "{target}");
    }
    server.clock.pass(MAX_AGE + Duration::from_secs(1));
    let answer = get(&server, "/api/agentstatuses/?queue=5450").await;
    assert_eq!((answer.status, asked()), (503, [5, 2, 0]));
    server.get("/api/agentstatuses/?queue=5450").await; // Without a token.
    assert_eq!(asked(), [5, 2, 0]);
    let decided = |meters: &QueueMeters| meters.decided().map(|(_, _, count)| count).sum::<u64>();
    assert_eq!(meters.map(|meters| decided(&meters)), [0, 0, 0]);
}

#[tokio::test]
async fn unknown_is_not_an_empty_list() {
    let mut world = World::with(&["main/sales", "main/support"]);
    let ends = world.account("main", TOKEN);
    world.board.identify(&key("main/sales"), 5450, None);
    world.publish("main/sales", available(2));
    let server = world.serve().await;
    for target in [
        "queues/",
        "statuses/",
        "agentstatuses/",
        "agentstatuses/?queue=5451",
        "agentstatuses/id-9/",
    ] {
        let answer = get(&server, &format!("/api/{target}")).await;
        assert_eq!(answer.status, 503, "{target}");
        assert!(
            answer.json()["detail"]
                .as_str()
                .expect("words")
                .starts_with("openseat "),
            "{answer:?}"
        );
    }
    assert_eq!(
        get(&server, "/api/agentstatuses/id-1/").await.status,
        200,
        "the other queue is known"
    );
    assert_eq!(
        get(&server, "/api/agentstatuses/?queue=5450").await.status,
        200
    );
    server.clock.pass(MAX_AGE + Duration::from_secs(1));
    let answer = get(&server, "/api/agentstatuses/?queue=5450").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer
            .body
            .contains("of queue \\\"sales\\\" now: the newest snapshot is older"),
        "{}",
        answer.body
    );

    ends.names.send_replace(names());
    let queues = get(&server, "/api/queues/?page_size=1").await.json();
    assert_eq!(
        queues["results"],
        serde_json::json!([{"id": 5450, "name": "sales"}])
    );
    assert_eq!(
        queues["next"],
        "http://localhost/api/queues/?page=2&page_size=1"
    );
    assert_eq!(get(&server, "/api/statuses/").await.json()["count"], 2);
}

#[tokio::test]
async fn a_queue_that_calltools_does_not_have_hides_no_wrong_id() {
    let mut world = World::with(&["main/sales", "main/nosuch"]);
    let ends = world.account("main", TOKEN);
    let status = async |server: &Server, id: u64| {
        let target = format!("/api/agentstatuses/?queue={id}");
        get(server, &target).await.status
    };
    world
        .board
        .identify(&key("main/sales"), 5450, Some("sales".into()));
    world.publish("main/sales", vec![]);
    let server = world.serve().await;
    assert_eq!(status(&server, 5451).await, 503, "it may be nosuch");
    ends.names.send_replace(names());
    assert_eq!(status(&server, 5451).await, 400, "it is support");
    assert_eq!(status(&server, 5452).await, 503, "it is not on the list");
    assert_eq!(status(&server, 5450).await, 200);
}

#[tokio::test]
async fn an_agent_of_a_closed_queue_is_unknown_instead_of_missing() {
    let mut world = World::with(&["main/5450", "main/5451"]);
    let _ends = world.account("main", TOKEN);
    // It opens ten minutes after the tests begin.
    world.policy("main/5451").hours = opening_hours(&["Sun 05:10-05:20"], "America/New_York");
    world.publish("main/5450", vec![agent("7", "Ann", "Available")]);
    let server = world.serve().await;
    let ask = async |id: &str| get(&server, &format!("/api/agentstatuses/{id}/")).await;
    assert_eq!(ask("7").await.status, 200);
    let bob = ask("8").await;
    assert_eq!(bob.status, 503, "{bob:?}");
    assert_eq!(
        bob.json()["detail"],
        "openseat does not know the agents of queue \"5451\" now: the queue is closed until Sun 05:10 in America/New_York."
    );
    server.clock.pass(Duration::from_secs(600));
    let now = server.clock.now();
    for (queue, id) in [("main/5450", "7"), ("main/5451", "8")] {
        let rows = vec![agent(id, "", "Available")];
        server.board.publish(&key(queue), snapshot(now, rows), now);
    }
    assert_eq!(ask("8").await.status, 200);
    assert_eq!(ask("9").await.status, 404);
}

#[tokio::test]
async fn wrong_tokens_are_refused_as_in_django_rest_framework() {
    let (server, ends) = server_with_rows().await;
    let missing = "Authentication credentials were not provided.";
    let cases = [
        ("", missing),
        ("Authorization: Bearer a1b2c3\r\n", missing),
        (
            "Authorization: Token\r\n",
            "Invalid token header. No credentials provided.",
        ),
        (
            "Authorization: Token a1b 2c3\r\n",
            "Invalid token header. Token string should not contain spaces.",
        ),
        ("Authorization: Token wrong\r\n", "Invalid token."),
    ];
    for target in [
        "/api/agentstatuses/",
        "/api/agentstatuses/7/",
        "/api/queues/",
        "/api/statuses/",
    ] {
        for (headers, words) in cases {
            let answer = server.ask("GET", target, headers).await;
            assert_eq!(
                (answer.status, answer.json()),
                (401, serde_json::json!({"detail": words}))
            );
            assert_eq!(answer.header("www-authenticate"), Some("Token"));
        }
    }
    assert_eq!(get(&server, "/api/queues/").await.status, 200);
    // CallTools does not read the body of a GET of any length.
    for (token, status) in [("wrong", 401), (TOKEN, 200)] {
        let request = format!(
            "GET /api/queues/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token {token}\r\nContent-Length: 9000000\r\n\r\n"
        );
        assert_eq!(server.raw(&request).await.status, status, "{token}");
    }
    ends.token.send_replace(Some(Digest::new("rotated")));
    assert_eq!(get(&server, "/api/queues/").await.status, 401);
    let rotated = server
        .ask("GET", "/api/queues/", "Authorization: token  rotated\r\n")
        .await;
    assert_eq!(rotated.status, 200);
    ends.token.send_replace(None);
    assert_eq!(get(&server, "/api/queues/").await.status, 401);
}

#[tokio::test]
async fn each_token_opens_only_its_own_account() {
    let (server, _ends) = server_with_rows().await;
    let second = server
        .ask(
            "GET",
            "/api/agentstatuses/?queue=5450",
            "Authorization: Token other-token\r\n",
        )
        .await;
    assert_eq!(second.json()["count"], 0, "known to be empty");
    assert_eq!(
        get(&server, "/api/agentstatuses/?queue=5450").await.json()["count"],
        2
    );
}

#[tokio::test]
async fn the_bearer_token_works_too_if_there_is_one_account() {
    for (accounts, status) in [(1, 200), (2, 401)] {
        let mut world = World::with(&["main/5450"]);
        world.bearer = Some("s3cret".into());
        world.publish("main/5450", available(1));
        let _ends: Vec<_> = (0..accounts)
            .map(|n| {
                world.account(
                    if n == 0 { "main" } else { "second" },
                    &format!("token-{n}"),
                )
            })
            .collect();
        let server = world.serve().await;
        let answer = server
            .ask(
                "GET",
                "/api/agentstatuses/",
                "Authorization: Token s3cret\r\n",
            )
            .await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_as_in_django() {
    let (server, _ends) = server_with_rows().await;
    let moved = server.get("/api/agentstatuses?queue=5450&page=2").await;
    assert_eq!(
        (moved.status, moved.header("location")),
        (301, Some("/api/agentstatuses/?queue=5450&page=2"))
    );
    assert_eq!(
        server
            .get("/api/agentstatuses/a%2Fb")
            .await
            .header("location"),
        Some("/api/agentstatuses/a%2Fb/")
    );
    let answer = get(&server, "/api/campaigns/").await;
    assert_eq!(
        (answer.status, &*answer.body),
        (404, "{\"detail\":\"Not found.\"}")
    );
    let answer = server.ask("DELETE", "/api/queues/", "").await;
    assert_eq!(
        (answer.status, &*answer.body),
        (405, "{\"detail\":\"Method \\\"DELETE\\\" not allowed.\"}")
    );
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    let head = server
        .ask(
            "HEAD",
            "/api/queues/",
            &format!("Authorization: Token {TOKEN}\r\n"),
        )
        .await;
    assert_eq!((head.status, &*head.body), (200, ""));
}

/// A queue whose list takes two pages.
fn long_list() -> World {
    let mut world = World::with(&["main/5450"]);
    world.account("main", TOKEN);
    world.publish("main/5450", available(30));
    world
}

async fn links(server: &Server, headers: &str) -> (String, String) {
    let link = async |page: u32, name: &str| {
        let target = format!("/api/agentstatuses/?page={page}");
        let headers = format!("Authorization: Token {TOKEN}\r\n{headers}");
        let answer = server.ask("GET", &target, &headers).await;
        let link = answer.json()[name].as_str().map(str::to_owned);
        link.unwrap_or_else(|| panic!("{answer:?}"))
    };
    (link(1, "next").await, link(2, "previous").await)
}

#[tokio::test]
async fn links_have_the_scheme_and_host_that_the_client_of_a_proxy_used() {
    let server = long_list().serve().await;
    let by_proxy = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: seats.example:8443\r\n";
    let base = "https://seats.example:8443/api/agentstatuses/";
    assert_eq!(
        links(&server, by_proxy).await,
        (format!("{base}?page=2"), base.to_owned())
    );
    let base = "http://localhost/api/agentstatuses/";
    for odd in [
        "",
        "X-Forwarded-Host: a.example, b.example\r\nX-Forwarded-Proto: ftp\r\n",
        "X-Forwarded-Host: user@evil.example\r\nX-Forwarded-Proto: https, http\r\n",
        "Forwarded: proto=https;host=evil.example\r\n",
    ] {
        let plain = (format!("{base}?page=2"), base.to_owned());
        assert_eq!(links(&server, odd).await, plain, "{odd}");
    }
}

/// Numbers as people and programs write them, and texts that are not numbers.
const NUMBERS: [&str; 30] = [
    "",
    "0",
    "1",
    "01",
    "001",
    "2",
    "3",
    "1000",
    "5450",
    "05450",
    " 5450",
    "5450 ",
    "  1  ",
    " ",
    "+1",
    "-1",
    "1.0",
    "1e0",
    "0x1",
    "1_0",
    "1 0",
    "1\n",
    "\t1",
    "١",
    "last",
    " last",
    "Last",
    "max",
    "one",
    "99999999999999999999999999",
];

#[tokio::test]
async fn filters_and_pages_are_accepted_exactly_as_documented() {
    let (server, _ends) = server_with_rows().await;
    let path = "/api/agentstatuses/";
    for name in ["page", "queue", "agent_status"] {
        let fits = documented(parameter(path, name));
        for text in NUMBERS {
            let value: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let answer = get(&server, &format!("{path}?page_size=1&{name}={value}")).await;
            let is_taken = match name {
                // There are three pages; further ones do not exist, however they are written.
                "page" => match text.trim_matches(' ').parse() {
                    Ok(0_u128 | 4..) => {
                        assert_eq!(answer.status, 404, "{text:?}");
                        continue;
                    }
                    _ => answer.status == 200,
                },
                // A number that is not a queue's id is accepted as a number and rejected as a choice.
                _ => !answer.body.contains("Enter a number."),
            };
            assert_eq!(is_taken, fits(text), "{name} {text:?} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_huge_page_size_is_clipped_and_a_page_size_that_is_no_number_is_ignored() {
    let (server, _ends) = of_rows(300).await;
    for (size, rows) in [
        ("250", 250),
        ("251", 250),
        ("99999999999999999999999999", 250),
        ("max", 250),
        ("%20100%20", 100),
        ("+100", 100),
        ("%2B100", 25),
        ("1e2", 25),
        ("0", 25),
        ("", 25),
    ] {
        let target = format!("/api/agentstatuses/?page_size={size}");
        assert_eq!(ids(&get(&server, &target).await).len(), rows, "{size}");
    }
}
