//! Notifications of the whole daemon to a real HTTP server that fails at first, hangs, or is gone for a while.

use std::{fs, time::Duration};

use openseat::simulator::InjectedFault;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    recipient::{Manner, Recipient, SECRET, behind_tls},
    support::{CallTools, Program, TestDaemon, TestFolder, Time, get, soon},
};

/// A daemon whose config has these tables after the account.
async fn daemon(calltools: &CallTools, home: &TestFolder, time: &Time, notify: &str) -> TestDaemon {
    home.set_token("main", openseat::simulator::TOKEN);
    let path = home.config(&[calltools.account(), notify.to_owned()]);
    let daemon = TestDaemon::start(&path, time).await;
    daemon.ready().await;
    daemon
}

/// A daemon, its recipients and the time. Time advances only while nothing is in flight to them, because a request that times out in virtual time
/// would be sent again.
struct Fixture<'a> {
    time: &'a Time,
    daemon: &'a TestDaemon,
    recipients: &'a [&'a Recipient],
    /// The attempts before this daemon.
    before: usize,
}

impl<'a> Fixture<'a> {
    fn new(time: &'a Time, daemon: &'a TestDaemon, recipients: &'a [&'a Recipient]) -> Self {
        let mut fixture = Self {
            time,
            daemon,
            recipients,
            before: 0,
        };
        fixture.before = fixture.attempts();
        fixture
    }

    fn attempts(&self) -> usize {
        let attempts = self.recipients.iter().map(|recipient| recipient.attempts());
        attempts.sum::<usize>() - self.before
    }

    /// How many notifications had this outcome.
    async fn count(&self, outcome: &str) -> usize {
        let sample = format!("openseat_notifications_total{{outcome=\"{outcome}\"}}");
        self.daemon
            .metric(&sample)
            .await
            .expect("the metric exists from the start") as usize
    }

    async fn quiet(&self) {
        soon("the end of everything in flight", async || {
            self.count("sent").await + self.count("failed").await == self.attempts()
        })
        .await;
    }

    async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        for _ in 0..2000 {
            self.quiet().await;
            if condition() {
                return;
            }
            self.time.pass(Duration::from_millis(500)).await;
        }
        panic!("timed out: {what}");
    }

    async fn pass(&self, seconds: u64) {
        // Real time passes as well, and on a busy machine much of it.
        let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
        while tokio::time::Instant::now() < end {
            self.quiet().await;
            self.time.pass(Duration::from_millis(500)).await;
        }
        self.quiet().await;
    }
}

/// CallTools refuses the token from now on.
fn refuse(calltools: &CallTools) {
    let fault = InjectedFault::InvalidToken;
    calltools.simulator.inject(usize::MAX, None, fault);
}

const FAULTS: &str = "\n[[notify]]\nurl_file = \"./chat.url\"\non = [\"bad_token\", \"upstream_down\"]\nafter = \"10s\"\n";

#[tokio::test]
async fn a_refused_token_and_its_end_are_each_reported_once_to_a_recipient_that_fails_at_first() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    chat.address_into(&home, "chat.url");
    chat.behave(Manner::Answers(500, ""));
    let daemon = daemon(&calltools, &home, &time, FAULTS).await;
    let recipients = [&chat];
    let fixture = Fixture::new(&time, &daemon, &recipients);
    refuse(&calltools);
    fixture
        .until("three attempts", || chat.attempts() >= 3)
        .await;
    assert_eq!(chat.taken(), [] as [Value; 0]);
    chat.behave(Manner::Answers(200, ""));
    fixture
        .until("a message", || !chat.taken().is_empty())
        .await;
    fixture.pass(60).await;
    assert_eq!(chat.messages(), ["began bad_token"], "once");
    calltools.simulator.clear_faults();
    fixture.until("its end", || chat.taken().len() > 1).await;
    fixture.pass(30).await;
    assert_eq!(chat.messages(), ["began bad_token", "ended bad_token"]);
    let [began, ended] = &chat.taken()[..] else {
        panic!("two messages");
    };
    let text = began["text"].as_str().expect("a text");
    for words in [
        "account \"main\"",
        "does not accept the token",
        "What to do",
    ] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(began["id"], ended["id"]);
    assert_eq!(fixture.count("sent").await, 2);
    assert_eq!(fixture.count("failed").await, chat.attempts() - 2);
}

#[tokio::test]
async fn a_restart_neither_repeats_nor_forgets_a_message() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    chat.address_into(&home, "chat.url");
    let recipients = [&chat];
    let first = daemon(&calltools, &home, &time, FAULTS).await;
    let fixture = Fixture::new(&time, &first, &recipients);
    refuse(&calltools);
    fixture.until("a message", || chat.taken().len() == 1).await;
    if !first.stop().await {
        return;
    }
    let path = home.path().join("openseat.toml");
    let second = TestDaemon::start(&path, &time).await;
    let fixture = Fixture::new(&time, &second, &recipients);
    fixture.pass(60).await;
    assert_eq!(chat.messages(), ["began bad_token"], "no second message");
    // The message about its end has not yet been delivered when this daemon stops.
    chat.behave(Manner::Answers(503, ""));
    calltools.simulator.clear_faults();
    let attempts = chat.attempts();
    fixture
        .until("an attempt", || chat.attempts() > attempts)
        .await;
    if !second.stop().await {
        return;
    }
    chat.behave(Manner::Answers(200, ""));
    let third = TestDaemon::start(&path, &time).await;
    let fixture = Fixture::new(&time, &third, &recipients);
    fixture.until("its end", || chat.taken().len() == 2).await;
    fixture.pass(60).await;
    assert_eq!(chat.messages(), ["began bad_token", "ended bad_token"]);
}

#[tokio::test]
async fn a_reload_replaces_addresses_without_losing_conditions_that_last() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, old, new) = (
        CallTools::start(&time).await,
        Recipient::start().await,
        Recipient::start().await,
    );
    old.address_into(&home, "chat.url");
    let daemon = daemon(&calltools, &home, &time, FAULTS).await;
    let recipients = [&old, &new];
    let fixture = Fixture::new(&time, &daemon, &recipients);
    refuse(&calltools);
    fixture.until("a message", || old.taken().len() == 1).await;
    new.address_into(&home, "chat.url");
    home.config(&[calltools.account(), FAULTS.replace("\"10s\"", "\"15s\"")]);
    assert_eq!(daemon.post("/v1/reload").await.status, 200);
    fixture.pass(60).await;
    assert_eq!(new.messages(), [] as [&str; 0], "no second message");
    calltools.simulator.clear_faults();
    fixture.until("its end", || new.taken().len() == 1).await;
    assert_eq!(old.messages(), ["began bad_token"]);
    assert_eq!(new.messages(), ["ended bad_token"]);
    // A file without an address changes nothing.
    home.write("chat.url", "not an address");
    let refused = daemon.post("/v1/reload").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("chat.url"), "{refused:?}");
}

#[tokio::test]
async fn no_seats_are_reported_while_calls_arrive() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    chat.address_into(&home, "chat.url");
    let notify = "\n[[notify]]\nurl_file = \"./chat.url\"\non = [\"no_seats\"]\nafter = \"20s\"\nqueues = [\"sales\"]\n";
    let daemon = daemon(&calltools, &home, &time, notify).await;
    let recipients = [&chat];
    let fixture = Fixture::new(&time, &daemon, &recipients);
    for agent in 0..2 {
        calltools.set_status(agent, "Not Available");
    }
    fixture.pass(60).await;
    assert_eq!(chat.attempts(), 0, "nobody asks");
    for queue in ["sales", "support"] {
        assert_eq!(daemon.decision(queue).await["reason"], "below_threshold");
    }
    fixture.until("a message", || chat.taken().len() == 1).await;
    assert_eq!(chat.taken()[0]["queues"], serde_json::json!(["sales"]));
    calltools.set_status(0, "Available");
    fixture.until("its end", || chat.taken().len() == 2).await;
    assert_eq!(chat.messages(), ["began no_seats", "ended no_seats"]);
}

const PUSHES: &str = "\n[[notify]]\nurl_file = \"./router.url\"\non = [\"decision\"]\n";

#[tokio::test]
async fn each_change_of_an_answer_is_pushed_in_order_and_a_hanging_recipient_delays_no_other() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, router, hanging) = (
        CallTools::start(&time).await,
        Recipient::start().await,
        Recipient::start().await,
    );
    router.address_into(&home, "router.url");
    hanging.address_into(&home, "hanging.url");
    hanging.behave(Manner::Hangs);
    let router_gets = format!("{PUSHES}queues = [\"support\"]\n");
    let notify = format!(
        "{router_gets}{}",
        router_gets.replace("router.url", "hanging.url")
    );
    let daemon = daemon(&calltools, &home, &time, &notify).await;
    let of_support = |recipient: &Recipient| {
        let known = recipient
            .taken()
            .into_iter()
            .filter(|push| push["queue"] == "support" && push["count"].is_number());
        let mut accepts: Vec<_> = known.map(|push| push["accept"] == true).collect();
        // A request that times out while the machine is busy is sent twice.
        accepts.dedup();
        accepts
    };
    let mut expected = Vec::new();
    for _ in 0..3 {
        for (status, accept) in [("Available", true), ("Not Available", false)] {
            calltools.set_status(1, status);
            expected.push(accept);
            time.until("a push", async || {
                of_support(&router).len() == expected.len()
            })
            .await;
        }
    }
    assert_eq!(of_support(&router), expected);
    let last = router.taken().pop().expect("a push");
    for key in [
        "reason",
        "count",
        "threshold",
        "as_of",
        "age_ms",
        "valid_until",
        "capacity",
        "queue_id",
    ] {
        assert!(
            last.get(key).is_some(),
            "the decision's own JSON has {key}: {last}"
        );
    }
    let crowd = router.crowd.lock().expect("no holder panics").clone();
    assert!(crowd.iter().all(|(.., most)| *most == 1), "{crowd:?}");
    assert_eq!(of_support(&hanging), [] as [bool; 0]);
    // Once it answers, it gets the newest answer and none of those in between.
    hanging.behave(Manner::Answers(200, ""));
    time.until("the newest", async || !of_support(&hanging).is_empty())
        .await;
    assert_eq!(of_support(&hanging), [false]);
    let replaced = daemon
        .metric("openseat_notifications_total{outcome=\"replaced\"}")
        .await;
    assert!(replaced > Some(0.0), "{replaced:?}");
    hanging.behave(Manner::Hangs);
    let before = hanging.attempts();
    calltools.set_status(1, "Available");
    time.until("a push that hangs", async || {
        hanging.attempts() > before && of_support(&router).last() == Some(&true)
    })
    .await;
    // While it hangs, the other recipient gets its push at once. Time does not advance, so nothing times out.
    let failed = "openseat_notifications_total{outcome=\"failed\"}";
    let failures = daemon.metric(failed).await;
    let target = "/v1/queues/support/reservations";
    let held = daemon.post_json(target, "{\"call_id\":\"a\"}").await;
    assert_eq!(held.status, 201, "{held:?}");
    soon("a push", async || {
        let last = router.taken().pop();
        last.is_some_and(|push| push["reason"] == "reserved")
    })
    .await;
    assert_eq!(
        daemon.metric(failed).await,
        failures,
        "the recipient still hangs"
    );
    // The push that hangs is dropped.
    daemon.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_requested_pause_is_kept() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, chat, elsewhere) = (
        CallTools::start(&time).await,
        Recipient::start().await,
        Recipient::start().await,
    );
    chat.address_into(&home, "chat.url");
    let location: &'static str = format!("Location: http://{}/\r\n", elsewhere.address).leak();
    chat.behave(Manner::Answers(307, location));
    let daemon = daemon(&calltools, &home, &time, FAULTS).await;
    let recipients = [&chat];
    let fixture = Fixture::new(&time, &daemon, &recipients);
    refuse(&calltools);
    fixture.until("an attempt", || chat.attempts() >= 1).await;
    chat.behave(Manner::Answers(429, "Retry-After: 100\r\n"));
    let before = chat.attempts();
    fixture
        .until("another attempt", || chat.attempts() > before)
        .await;
    fixture.pass(80).await;
    assert_eq!(chat.attempts(), before + 1, "the recipient asked for 100 s");
    assert_eq!(elsewhere.attempts(), 0);
}

/// The real program, because its log and its exit code matter.
#[tokio::test]
async fn the_address_is_in_no_log_line_answer_metric_or_file() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    home.set_token("main", openseat::simulator::TOKEN);
    chat.address_into(&home, "chat.url");
    chat.behave(Manner::Answers(404, ""));
    // Nothing listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = gone.local_addr().expect("the socket is bound").port();
    drop(gone);
    home.write(
        "gone.url",
        &format!("https://localhost:{port}/services/{SECRET}\n"),
    );
    refuse(&calltools);
    let notify = FAULTS.replace("10s", "0s");
    let gone = notify.replace("chat", "gone");
    let path = home.config(&[calltools.account(), notify, gone]);
    let config = path.to_str().expect("a plain path");
    let arguments = [
        "run",
        "--config",
        config,
        "--log-level",
        "trace",
        "--log-format",
        "json",
    ];
    let program = Program::start(&home, &arguments);
    let address = program.address().await;
    soon("attempts", async || chat.attempts() > 0).await;
    soon("a line about each", async || {
        program
            .log()
            .matches("a notification could not be delivered")
            .count()
            >= 2
    })
    .await;
    let pages = ["/metrics", "/v1/accounts", "/readyz?verbose", "/"];
    for page in pages {
        let answer = get(address, page).await;
        assert!(!answer.body.contains(SECRET), "{page}");
    }
    let log = program.log();
    let lines = log.lines().filter(|line| line.contains(SECRET));
    assert_eq!(lines.collect::<Vec<_>>(), [] as [&str; 0]);
    drop(program);
    for entry in fs::read_dir(home.state()).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).unwrap_or_default();
        let found = bytes
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }
    for arguments in [&["notify", "test"][..], &["config", "show"]] {
        let mut command = home.command(arguments);
        let output = command.output().expect("the program runs");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(
            text.contains("chat.url") && !text.contains(SECRET),
            "{text}"
        );
    }
}

#[tokio::test]
async fn notify_test_reports_which_recipients_accept_a_message() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    home.set_token("main", openseat::simulator::TOKEN);
    chat.address_into(&home, "chat.url");
    home.config(&[calltools.account(), FAULTS.to_owned()]);
    let run = async || {
        let mut command = home.command(&["notify", "test"]);
        let output = tokio::task::spawn_blocking(move || command.output());
        output.await.expect("no panic").expect("the program runs")
    };
    let output = run().await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("accepted the message"),
        "{output:?}"
    );
    assert_eq!(chat.taken()[0]["event"], "test");
    assert!(
        chat.taken()[0]["text"]
            .as_str()
            .is_some_and(|text| text.contains("test"))
    );
    chat.behave(Manner::Answers(404, ""));
    let output = run().await;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text.contains("it answered 404"), "{text}");
    home.write("chat.url", "http://192.0.2.1/readable");
    let output = run().await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    home.config(&[calltools.account()]);
    assert_eq!(
        run().await.status.code(),
        Some(1),
        "no recipient is configured"
    );
}

#[tokio::test]
async fn a_recipient_needs_a_certificate_that_this_machine_trusts() {
    let (time, home) = (Time::new(), TestFolder::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    let (port, certificate) = behind_tls(&chat).await;
    let (_, other) = behind_tls(&chat).await;
    home.set_token("main", openseat::simulator::TOKEN);
    home.write("trusted.pem", &certificate);
    home.write("other.pem", &other);
    home.write("chat.url", &format!("https://localhost:{port}/{SECRET}"));
    home.config(&[calltools.account(), FAULTS.to_owned()]);
    for (authorities, taken) in [("other.pem", false), ("trusted.pem", true)] {
        let mut command = home.command(&["notify", "test"]);
        command.env("SSL_CERT_FILE", home.path().join(authorities));
        command.env("SSL_CERT_DIR", "/nonexistent");
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("the program runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), taken, "{authorities}: {output:?}");
        assert_eq!(text.contains("no secure connection"), !taken, "{text}");
        assert_eq!(chat.attempts(), usize::from(taken), "{authorities}");
    }
}
