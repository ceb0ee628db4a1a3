//! What CallTools, or a server in its place, can do below HTTP and in its bodies.

use std::{io::Write, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    matrix,
    support::{
        Behaviour, LONG_TIMEOUTS, TestDaemon, TestFolder, Time, Wire, account, agents_page, known,
    },
};

struct Fixture {
    time: Time,
    wire: Wire,
    daemon: TestDaemon,
    _home: TestFolder,
}

const TOKEN: &str = "wire0token0wire0token0wire0token0wire000";

impl Fixture {
    async fn start() -> Self {
        Self::with(LONG_TIMEOUTS).await
    }

    async fn with(account_lines: &str) -> Self {
        Self::with_queue(account_lines, "max_age = \"20s\"").await
    }

    async fn with_queue(account_lines: &str, queue_lines: &str) -> Self {
        let (time, home, wire) = (Time::new(), TestFolder::new(), Wire::start().await);
        home.set_token("main", TOKEN);
        let queue = format!("queue = \"sales\"\n{queue_lines}");
        let account = account("main", &wire.base_url(), account_lines, &[&queue]);
        let daemon = home.start(&time, &[account]).await;
        daemon.decides("sales", known).await;
        Self {
            time,
            wire,
            daemon,
            _home: home,
        }
    }

    /// Starts with an account whose next request gets this reply, and waits for its outcome. Returns how many requests were sent by then.
    async fn refused(reply: &str, outcome: &str) -> (Self, usize) {
        let fixture = Self::start().await;
        fixture.wire.behave(Behaviour::Raw(reply.into()));
        let refused = async || fixture.daemon.outcomes(outcome).await > 0.0;
        fixture.time.until(outcome, refused).await;
        let asked = fixture.wire.heads().len();
        (fixture, asked)
    }

    /// Follows a fault from its beginning to its end: known while young, then unknown with the cause, then known again.
    async fn check_fault(&self, behaviour: Behaviour, outcome: &str) -> Value {
        self.wire.behave(behaviour);
        let happened = async || self.daemon.outcomes(outcome).await > 0.0;
        self.time.until(outcome, happened).await;
        let young = self.daemon.decision("sales").await;
        let age_ms = young["age_ms"]
            .as_u64()
            .expect("the queue was known before");
        assert_eq!(known(&young), age_ms <= 20_000, "{young}");
        let unknown = self
            .daemon
            .comes_to(&self.time, "sales", "upstream_down")
            .await;
        assert_eq!(unknown["count"], Value::Null);
        matrix::found(Some(outcome), "upstream_down");
        self.wire.behave(Behaviour::good());
        let healed = self.daemon.comes_to(&self.time, "sales", "seats").await;
        assert_eq!(healed["count"], 1);
        unknown
    }
}

fn gzipped(body: impl Fn(&mut flate2::write::GzEncoder<Vec<u8>>)) -> Behaviour {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    body(&mut encoder);
    let body = encoder.finish().expect("writing to memory cannot fail");
    Behaviour::response(
        "200 OK",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
        body,
    )
}

#[tokio::test]
async fn a_body_that_drips_ends_with_the_timeout() {
    let fixture = Fixture::with("timeout = \"2s\"").await;
    fixture.check_fault(Behaviour::Drip, "timeout").await;
}

#[tokio::test]
async fn half_a_body_and_then_nothing() {
    let fixture = Fixture::with("timeout = \"2s\"").await;
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"count\":".to_vec();
    fixture.check_fault(Behaviour::Stall(half), "timeout").await;
}

#[tokio::test]
async fn a_truncated_body_is_not_a_shorter_list() {
    let whole = agents_page(1..=3, 3, None).to_string();
    let cut = |head: &str| {
        Behaviour::Raw([head.as_bytes(), &whole.as_bytes()[..whole.len() - 2]].concat())
    };
    for (cut, outcome) in [
        (
            cut(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                whole.len()
            )),
            "connection_lost",
        ),
        (
            cut(&format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
                whole.len()
            )),
            "connection_lost",
        ),
        // If the end of the connection ends the body, only the JSON shows it.
        (
            cut("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
            "not_json",
        ),
    ] {
        Fixture::start().await.check_fault(cut, outcome).await;
    }
}

#[tokio::test]
async fn a_reset_connection() {
    Fixture::start()
        .await
        .check_fault(Behaviour::Reset, "connection_lost")
        .await;
}

#[tokio::test]
async fn something_that_is_not_http() {
    let ssh = Behaviour::Raw(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n".to_vec());
    Fixture::start()
        .await
        .check_fault(ssh, "unexpected_status")
        .await;
}

#[tokio::test]
async fn a_small_body_that_unpacks_to_a_huge_one() {
    let megabyte = vec![b' '; 1 << 20];
    let bomb = gzipped(|encoder| {
        (0..64).for_each(|_| {
            encoder
                .write_all(&megabyte)
                .expect("writing to memory cannot fail")
        });
    });
    Fixture::start().await.check_fault(bomb, "too_large").await;
}

#[tokio::test]
async fn a_huge_body() {
    let huge = Behaviour::json(vec![b' '; (16 << 20) + 1]);
    Fixture::start().await.check_fault(huge, "too_large").await;
}

#[tokio::test]
async fn bodies_that_are_not_json() {
    let deep = "[".repeat(20_000);
    let bodies: [&[u8]; 7] = [
        b"{\"count\":1,",
        b"{\"count\":1,\"results\":[{\"app_user\":\"\xff\xfe\"}]}",
        b"{\"count\":NaN,\"results\":[]}",
        b"{\"count\":0,\"results\":[]} and more",
        b"{\"count\":0,\"count\":1,\"results\":[]}",
        deep.as_bytes(),
        b"<!doctype html><title>Maintenance</title>",
    ];
    let fixture = Fixture::start().await;
    for body in bodies {
        fixture.wire.behave(Behaviour::json(body));
        let unknown = fixture
            .daemon
            .comes_to(&fixture.time, "sales", "upstream_down")
            .await;
        assert_eq!(
            unknown["count"],
            Value::Null,
            "{}",
            String::from_utf8_lossy(&body[..20])
        );
        fixture.wire.behave(Behaviour::good());
        fixture
            .daemon
            .comes_to(&fixture.time, "sales", "seats")
            .await;
    }
}

#[tokio::test]
async fn json_without_a_list_of_agents_is_not_an_empty_queue() {
    let fixture = Fixture::start().await;
    for body in [
        json!({"detail": "moved"}),
        json!({"count": 0}),
        json!({"count": 0, "results": {}}),
        json!({"count": "none", "results": []}),
        json!("nobody"),
        json!(0),
        json!([1, 2, 3]),
        json!({"count": 1, "results": [{"name": "nobody"}]}),
    ] {
        fixture.wire.behave(Behaviour::json(body.to_string()));
        fixture
            .daemon
            .comes_to(&fixture.time, "sales", "upstream_down")
            .await;
        fixture.wire.behave(Behaviour::good());
        fixture
            .daemon
            .comes_to(&fixture.time, "sales", "seats")
            .await;
    }
}

#[tokio::test]
async fn a_next_page_at_another_host_is_requested_from_our_host() {
    let (fixture, elsewhere) = (Fixture::start().await, Wire::start().await);
    let next = format!(
        "{}agentstatuses/?page=2&page_size=250&queue=1",
        elsewhere.base_url()
    );
    fixture
        .wire
        .behave(Behaviour::Pages(Arc::new(move |page| match page {
            1 => agents_page(1..=2, 3, Some(next.clone())),
            _ => agents_page(3..=3, 3, None),
        })));
    let three = async || fixture.daemon.decision("sales").await["count"] == 3;
    fixture.time.until("both pages", three).await;
    assert_eq!(elsewhere.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn endless_pages_are_not_a_snapshot() {
    let fixture = Fixture::with(&format!("{LONG_TIMEOUTS}\nrequests_per_hour = 20000")).await;
    fixture.wire.behave(Behaviour::Pages(Arc::new(|page| {
        agents_page(
            [page],
            1_000_000,
            Some(format!("/api/agentstatuses/?page={}", page + 1)),
        )
    })));
    let before = fixture.wire.heads().len();
    fixture
        .daemon
        .comes_to(&fixture.time, "sales", "upstream_down")
        .await;
    let detail = fixture.daemon.decision("sales").await["detail"].to_string();
    assert!(detail.contains("does not end within 100 pages"), "{detail}");
    // A walk is a hundred pages at most, and the next one waits for its back-off.
    let asked = fixture.wire.heads().len() - before;
    assert!(asked >= 100, "{asked}");
}

#[tokio::test]
async fn rows_that_move_between_pages_are_counted_once() {
    let fixture = Fixture::start().await;
    // Agent 2 moves to the second page while the first is being read; nobody is missing.
    fixture
        .wire
        .behave(Behaviour::Pages(Arc::new(|page| match page {
            1 => agents_page(1..=2, 3, Some("/api/agentstatuses/?page=2".to_owned())),
            _ => agents_page(2..=3, 3, None),
        })));
    let three = async || fixture.daemon.decision("sales").await["count"] == 3;
    fixture.time.until("each agent once", three).await;
    let whole = fixture.daemon.get("/v1/queues/sales").await.json();
    assert_eq!(whole["complete"], true);
}

/// A page with this many available agents, and fields that the test chooses.
fn listing(agents: u32, fields: &Value) -> Behaviour {
    let mut page = agents_page(1..=agents, agents, None);
    let page_fields = page.as_object_mut().expect("an object");
    page_fields.extend(fields.as_object().expect("an object").clone());
    Behaviour::json(page.to_string())
}

#[tokio::test]
async fn u23_a_list_that_lacks_many_of_its_agents_is_not_a_snapshot() {
    let fixture = Fixture::start().await;
    for (agents, count, expected) in [
        (0, json!(8), "counts 8 agents and lists 0"),
        (3, json!(250), "counts 250 agents and lists 3"),
        (17, json!("20"), "counts 20 agents and lists 17"),
        (1, json!(2.0), "counts 2 agents and lists 1"),
    ] {
        fixture
            .wire
            .behave(listing(agents, &json!({"count": count})));
        let unknown = fixture
            .daemon
            .comes_to(&fixture.time, "sales", "upstream_down")
            .await;
        assert_eq!(unknown["count"], Value::Null);
        let detail = unknown["detail"].as_str().expect("an unknown is explained");
        assert!(detail.contains(expected), "{detail}");
        fixture.wire.behave(Behaviour::good());
        fixture
            .daemon
            .comes_to(&fixture.time, "sales", "seats")
            .await;
    }
}

#[tokio::test]
async fn u23_a_count_that_is_always_a_little_off_is_not_read_twice_each_time() {
    let fixture = Fixture::start().await;
    fixture.wire.behave(listing(20, &json!({"count": 21})));
    let twenty = async || fixture.daemon.decision("sales").await["count"] == 20;
    fixture.time.until("a short list", twenty).await;
    let (asked, polls) = (
        fixture.wire.heads().len(),
        fixture.daemon.outcomes("ok").await,
    );
    let incomplete = "openseat_incomplete_snapshots_total{account=\"main\",queue=\"sales\"}";
    let before = fixture
        .daemon
        .metric(incomplete)
        .await
        .expect("the metric exists");
    let five_more = async || fixture.daemon.metric(incomplete).await >= Some(before + 5.0);
    fixture.time.until("five more polls", five_more).await;
    let requests = fixture.wire.heads().len() - asked;
    assert!(requests <= 7, "{requests} requests, {polls} before");
    let whole = fixture.daemon.get("/v1/queues/sales").await.json();
    assert_eq!(whole["complete"], false);
}

#[tokio::test]
async fn u23_meaningless_counts_and_links_are_ignored() {
    let fixture = Fixture::start().await;
    for (agents, fields) in [
        (2, json!({"count": i64::MAX})),
        (3, json!({"count": -1})),
        (4, json!({"count": null, "next": ""})),
        (5, json!({"count": false, "next": false})),
        (6, json!({"count": "6", "next": 0})),
        (7, json!({"count": 1e300, "next": "  "})),
        // The list begins again.
        (8, json!({"next": "/api/agentstatuses/?page=2"})),
        (9, json!({"next": "/api/agentstatuses/?page=1"})),
    ] {
        fixture.wire.behave(listing(agents, &fields));
        let all = async || fixture.daemon.decision("sales").await["count"] == agents;
        fixture.time.until(&fields.to_string(), all).await;
        let whole = fixture.daemon.get("/v1/queues/sales").await.json();
        assert_eq!(whole["complete"], true, "{fields}");
    }
}

#[tokio::test]
async fn u14_an_odd_character_does_not_cost_the_list() {
    let fixture = Fixture::start().await;
    let page = |agents| agents_page(1..=agents, agents, None).to_string();
    let named = |agents, name: &[u8]| {
        let page = page(agents).replacen("Agent 1", "NAME", 1);
        let (before, after) = page.split_once("NAME").expect("a name");
        Behaviour::json([before.as_bytes(), name, after.as_bytes()].concat())
    };
    let cases: [(u32, &[u8], &str); 3] = [
        (4, br"\ud83d\ude00", "\u{1f600}"),
        (5, b"M\xfcller", "M\u{fffd}ller"),
        (6, b"\xed\xa0\xbd", "\u{fffd}\u{fffd}\u{fffd}"),
    ];
    for (agents, sent, shown) in cases {
        fixture.wire.behave(named(agents, sent));
        let all = async || fixture.daemon.decision("sales").await["count"] == agents;
        fixture.time.until(shown, all).await;
        let queue = fixture.daemon.get("/v1/queues/sales").await.json();
        let names = queue["agents"].as_array().expect("agents");
        assert!(names.iter().any(|agent| agent["name"] == shown), "{queue}");
    }
    // A byte-order mark at the beginning, and a field that openseat does not read.
    let odd_field = page(7).replacen("\"full_name\"", "\"x\":\"\\ud800\",\"full_name\"", 1);
    let marked = ["\u{feff}", &page(8)].concat();
    for (agents, body) in [(7, odd_field), (8, marked)] {
        fixture.wire.behave(Behaviour::json(body));
        let all = async || fixture.daemon.decision("sales").await["count"] == agents;
        fixture.time.until("all of them", all).await;
    }
}

#[tokio::test]
async fn a_cached_answer_is_as_old_as_it_says() {
    let list = agents_page(1..=3, 3, None).to_string();
    for headers in [
        "Age: 3000\r\n",
        "Age: 5\r\nAge: 3000\r\n",
        "Age: 10\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Age: 99999999999999999999\r\n",
    ] {
        let fixture = Fixture::start().await;
        fixture
            .wire
            .behave(Behaviour::response("200 OK", headers, &list));
        let unknown = fixture
            .daemon
            .comes_to(&fixture.time, "sales", "too_old")
            .await;
        assert_eq!(unknown["count"], Value::Null, "{headers}");
        fixture.wire.behave(Behaviour::good());
        fixture
            .daemon
            .comes_to(&fixture.time, "sales", "seats")
            .await;
    }
    // The first answer is always used, and one that is young enough.
    let fixture = Fixture::start().await;
    fixture
        .wire
        .behave(Behaviour::response("200 OK", "Age: 10\r\n", &list));
    let three = async || fixture.daemon.decision("sales").await["count"] == 3;
    fixture.time.until("a cached list", three).await;
    let age_ms = fixture.daemon.decision("sales").await["age_ms"].as_u64();
    assert!(age_ms >= Some(10_000), "{age_ms:?}");
    for head in fixture.wire.heads() {
        let head = head.to_lowercase();
        assert!(head.contains("\r\ncache-control: no-cache\r\n"), "{head}");
    }
}

#[tokio::test]
async fn u07_a_success_without_a_list_is_not_a_snapshot() {
    let fixture = Fixture::with("timeout = \"2s\"").await;
    let list = agents_page(1..=3, 3, None).to_string();
    for status in ["204 No Content", "206 Partial Content", "418 I'm a teapot"] {
        let behaviour = Behaviour::response(status, "Content-Type: application/json\r\n", &list);
        let unknown = fixture.check_fault(behaviour, "unexpected_status").await;
        let expected = format!("CallTools answered {status}");
        assert!(
            unknown["detail"].to_string().contains(&expected),
            "{unknown}"
        );
    }
    // Interim answers do not count, however many arrive.
    let flood = Behaviour::Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec());
    fixture.check_fault(flood, "timeout").await;
}

#[tokio::test]
async fn u04_a_429_counts_even_if_its_body_cannot_be_read() {
    let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 600\r\n";
    for rest in [
        "Content-Encoding: gzip\r\nConnection: close\r\n\r\nno gzip",
        "Content-Encoding: br\r\nConnection: close\r\n\r\n;",
        "Content-Length: 1000\r\n\r\n{\"detail\":",
        "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ] {
        let (fixture, asked) = Fixture::refused(&format!("{head}{rest}"), "throttled").await;
        fixture.time.pass(Duration::from_secs(120)).await;
        assert_eq!(fixture.wire.heads().len(), asked, "{rest}");
    }
}

/// Neither polls nor callers send anything until the time that CallTools named.
#[tokio::test]
async fn u06_a_server_that_names_a_time_is_left_alone_until_then() {
    let rest = "Content-Length: 4\r\nConnection: close\r\n\r\nsoon";
    for head in [
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 600\r\n",
        "HTTP/1.1 502 Bad Gateway\r\nretry-after:  600\r\n",
        "HTTP/1.1 500 Internal Server Error\r\nRETRY-AFTER: 600\r\nContent-Encoding: gzip\r\n",
    ] {
        let (fixture, asked) = Fixture::refused(&format!("{head}{rest}"), "server_error").await;
        let refresh = fixture.daemon.post("/v1/queues/sales/refresh").await;
        assert_eq!(refresh.status, 502, "{head}: {refresh:?}");
        assert!(refresh.header("retry-after").is_some(), "{refresh:?}");
        assert!(
            refresh.json()["detail"]
                .to_string()
                .contains("asked for a pause"),
            "{refresh:?}"
        );
        fixture.time.pass(Duration::from_secs(120)).await;
        assert_eq!(fixture.wire.heads().len(), asked, "{head}");
    }
}

#[tokio::test]
async fn u08_a_server_that_goes_away_and_comes_back() {
    let fixture = Fixture::start().await;
    let Fixture {
        time,
        wire,
        daemon,
        _home,
    } = fixture;
    let address = wire.address;
    drop(wire);
    time.until("a refusal", async || daemon.outcomes("refused").await > 0.0)
        .await;
    let unknown = daemon.comes_to(&time, "sales", "upstream_down").await;
    assert_eq!(unknown["count"], Value::Null);
    assert!(
        unknown["detail"].to_string().contains("firewall"),
        "{unknown}"
    );
    // An attempt costs a permit even without a listener: a firewall in between may have let it through.
    let wire = Wire::at(address).await;
    let healed = daemon.comes_to(&time, "sales", "seats").await;
    assert_eq!(healed["count"], 1);
    assert!(!wire.heads().is_empty());
}

#[tokio::test]
async fn u15_an_odd_row_is_skipped_and_many_odd_rows_are_a_fault() {
    let fixture = Fixture::start().await;
    let rows = |odd: &Value, times: usize| {
        let mut page = agents_page(1..=20, 20, None);
        let rows = page["results"].as_array_mut().expect("a list");
        rows[..times].fill(odd.clone());
        Behaviour::json(page.to_string())
    };
    let skipped = "openseat_skipped_rows_total{account=\"main\",queue=\"sales\"}";
    for odd in [
        Value::Null,
        json!([]),
        json!({}),
        json!({"app_user": null, "agent_status": 1}),
        json!({"app_user": "a", "agent_status": {"deep": true}, "status": 5}),
        json!({"app_user": "a", "agent_status": 1, "status": "Available", "queue_logged_in": "perhaps"}),
    ] {
        let before = fixture.daemon.metric(skipped).await.unwrap_or(0.0);
        fixture.wire.behave(rows(&odd, 1));
        let some = async || fixture.daemon.decision("sales").await["count"] == 19;
        fixture.time.until(&odd.to_string(), some).await;
        assert!(fixture.daemon.metric(skipped).await > Some(before), "{odd}");

        fixture.wire.behave(rows(&odd, 3));
        let unknown = fixture
            .daemon
            .comes_to(&fixture.time, "sales", "upstream_down")
            .await;
        assert_eq!(unknown["count"], Value::Null, "{odd}");
        fixture.wire.behave(Behaviour::good());
        fixture
            .daemon
            .comes_to(&fixture.time, "sales", "seats")
            .await;
    }
}

#[tokio::test]
async fn u19_an_encoding_that_was_not_requested_is_a_fault() {
    let fixture = Fixture::start().await;
    let list = agents_page(1..=3, 3, None).to_string();
    let mut twice = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    twice
        .write_all(list.as_bytes())
        .expect("writing to memory cannot fail");
    let once = twice.finish().expect("writing to memory cannot fail");
    let twice = gzipped(|encoder| {
        encoder
            .write_all(&once)
            .expect("writing to memory cannot fail")
    });
    // What brotli makes of an empty text: not JSON, and not an encoding that openseat can unpack.
    let brotli = Behaviour::response("200 OK", "Content-Encoding: br\r\n", b"\x3b");
    let mut cut = once.clone();
    cut.truncate(once.len() - 9);
    let cut = Behaviour::response("200 OK", "Content-Encoding: gzip\r\n", &cut);
    // Several gzip members in a row, under another spelling of the name, are one body.
    let mut members = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let (begin, end) = list.as_bytes().split_at(list.len() / 2);
    members
        .write_all(begin)
        .expect("writing to memory cannot fail");
    let mut members = members.finish().expect("writing to memory cannot fail");
    let mut second = flate2::write::GzEncoder::new(&mut members, flate2::Compression::fast());
    second
        .write_all(end)
        .expect("writing to memory cannot fail");
    second.finish().expect("writing to memory cannot fail");
    for coding in ["GZIP", "x-gzip", "identity, Gzip"] {
        let headers = format!("Content-Encoding: {coding}\r\n");
        let behaviour = Behaviour::response("200 OK", &headers, &members);
        fixture.wire.behave(behaviour);
        let three = async || fixture.daemon.decision("sales").await["count"] == 3;
        fixture.time.until(coding, three).await;
        fixture.wire.behave(Behaviour::good());
        let one = async || fixture.daemon.decision("sales").await["count"] == 1;
        fixture.time.until("one again", one).await;
    }
    for (behaviour, outcome) in [
        (twice, "not_json"),
        (brotli, "not_json"),
        (cut, "connection_lost"),
    ] {
        fixture.check_fault(behaviour, outcome).await;
    }
}

#[tokio::test]
async fn u20_only_the_page_number_of_a_next_link_is_used() {
    let fixture = Fixture::start().await;
    for link in [
        "http://user:secret@elsewhere.invalid/api/agentstatuses/?page=2",
        "https://127.0.0.1:1/?page=2&page_size=1&queue=99",
        "//elsewhere.invalid/?page=2",
        "javascript:fetch('//elsewhere.invalid')?page=2",
        "file:///etc/passwd?page=2#page=3",
        "?page=2",
    ] {
        fixture
            .wire
            .behave(Behaviour::Pages(Arc::new(move |page| match page {
                1 => agents_page(1..=2, 3, Some(link.to_owned())),
                _ => agents_page(3..=3, 3, None),
            })));
        let three = async || fixture.daemon.decision("sales").await["count"] == 3;
        fixture.time.until(link, three).await;
        fixture.wire.behave(Behaviour::good());
        let one = async || fixture.daemon.decision("sales").await["count"] == 1;
        fixture.time.until("one page again", one).await;
    }
    for head in fixture.wire.heads() {
        let ours = head.starts_with("GET /api/") && !head.contains("queue=99");
        assert!(ours && !head.contains("elsewhere"), "{head}");
    }
    let lost = Behaviour::json(agents_page(1..=2, 3, Some("/somewhere/".to_owned())).to_string());
    fixture.check_fault(lost, "unexpected_shape").await;
}

#[tokio::test]
async fn u27_a_connection_that_was_closed_while_idle_costs_one_request_but_no_snapshot() {
    // Longer than several polls take, also on a busy machine.
    let fixture = Fixture::with_queue(LONG_TIMEOUTS, "max_age = \"2m\"").await;
    fixture.wire.behave(Behaviour::Fickle);
    let lost = async || fixture.daemon.outcomes("connection_lost").await >= 3.0;
    fixture.time.until("lost connections", lost).await;
    let decision = fixture.daemon.decision("sales").await;
    assert!(known(&decision), "every other poll succeeds: {decision}");
    // A request that may have arrived is never sent again with the same permit.
    let sent = fixture.wire.heads().len() as f64;
    assert!(sent <= fixture.daemon.used().await);
    fixture.wire.behave(Behaviour::good());
    fixture
        .daemon
        .comes_to(&fixture.time, "sales", "seats")
        .await;
}

#[tokio::test]
async fn every_request_carries_only_the_token_and_our_name() {
    let fixture = Fixture::start().await;
    fixture.time.pass(Duration::from_secs(10)).await;
    let heads = fixture.wire.heads();
    assert!(heads.len() >= 3, "{heads:?}");
    for head in heads {
        let head = head.to_lowercase();
        assert!(head.starts_with("get /api/"), "{head}");
        assert!(
            head.contains(&format!("authorization: token {TOKEN}\r\n")),
            "{head}"
        );
        let agent = concat!("user-agent: openseat/", env!("CARGO_PKG_VERSION"), "\r\n");
        assert!(head.contains(agent), "{head}");
        assert!(!head.contains("cookie"), "{head}");
    }
}
