//! Notifications of the whole daemon, taken by a real HTTP server that fails at first, or hangs, or is gone for a while.

use std::{
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use openseat::simulator::InjectedFault;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::{CallTools, Home, Program, TestDaemon, Time, soon};

/// What every address of these tests has in it, and nothing that openseat writes may have.
const SECRET: &str = "T0SECRET0B0SECRET";

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq)]
enum Manner {
    /// This status, with these further headers.
    Answers(u16, &'static str),
    /// Nothing, ever.
    Hangs,
}

/// A server that people's messages and routers' pushes are sent to.
struct Recipient {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    /// Every request in the order of its arrival: its body, and whether it was answered with 200.
    requests: Arc<Mutex<Vec<(Value, bool)>>>,
    /// Requests under way now, and the most at once, by queue.
    crowd: Arc<Mutex<Vec<(String, usize, usize)>>>,
    task: JoinHandle<()>,
}

impl Drop for Recipient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recipient {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let manner = Arc::new(Mutex::new(Manner::Answers(200, "")));
        let (requests, crowd) = (Arc::default(), Arc::default());
        let (told, seen, met) = (Arc::clone(&manner), Arc::clone(&requests), Arc::clone(&crowd));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let parts = (Arc::clone(&told), Arc::clone(&seen), Arc::clone(&met));
                tokio::spawn(serve(stream, parts));
            }
        });
        Self {
            address,
            manner,
            requests,
            crowd,
            task,
        }
    }

    fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("no test panics in there") = manner;
    }

    /// Writes its address into a file of this name.
    fn address_into(&self, home: &Home, name: &str) {
        let url = format!("http://{}/services/{SECRET}?sig={SECRET}\n", self.address);
        home.write(name, &url);
    }

    /// The bodies that it answered with 200.
    fn taken(&self) -> Vec<Value> {
        let requests = self.requests.lock().expect("no test panics in there");
        let taken = requests.iter().filter(|(_, taken)| *taken);
        taken.map(|(body, _)| body.clone()).collect()
    }

    /// `event condition` of each message that it took.
    fn told(&self) -> Vec<String> {
        let word = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let told = |message: &Value| format!("{} {}", word(message, "event"), word(message, "condition"));
        self.taken().iter().map(told).collect()
    }

    /// How many requests there were, taken or not.
    fn attempts(&self) -> usize {
        self.requests.lock().expect("no test panics in there").len()
    }
}

type Parts = (
    Arc<Mutex<Manner>>,
    Arc<Mutex<Vec<(Value, bool)>>>,
    Arc<Mutex<Vec<(String, usize, usize)>>>,
);

async fn serve(mut stream: TcpStream, (told, seen, crowd): Parts) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        assert!(head.contains("content-type: application/json"), "{head}");
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length = length.lines().next().expect("a line").parse().expect("a number");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let queue = body["queue"].as_str().unwrap_or_default().to_owned();
        let manner = told.lock().expect("no test panics in there").clone();
        let taken = matches!(manner, Manner::Answers(200, _));
        seen.lock().expect("no test panics in there").push((body, taken));
        enter(&crowd, &queue);
        let Manner::Answers(status, headers) = manner else {
            // Until the client gives up.
            let _ = stream.read_u8().await;
            leave(&crowd, &queue);
            return Ok(());
        };
        // Long enough that a second request would meet the first.
        tokio::time::sleep(Duration::from_millis(1)).await;
        leave(&crowd, &queue);
        let answer = format!("HTTP/1.1 {status} x\r\n{headers}Content-Length: 2\r\n\r\nok");
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn enter(crowd: &Mutex<Vec<(String, usize, usize)>>, queue: &str) {
    let mut crowd = crowd.lock().expect("no test panics in there");
    if !crowd.iter().any(|(name, ..)| name == queue) {
        crowd.push((queue.to_owned(), 0, 0));
    }
    let of_queue = crowd.iter_mut().find(|(name, ..)| name == queue);
    let (_, now, most) = of_queue.expect("it was added");
    *now += 1;
    *most = (*most).max(*now);
}

fn leave(crowd: &Mutex<Vec<(String, usize, usize)>>, queue: &str) {
    let mut crowd = crowd.lock().expect("no test panics in there");
    let of_queue = crowd.iter_mut().find(|(name, ..)| name == queue);
    of_queue.expect("it has entered").1 -= 1;
}

/// A daemon whose config has these tables beside the account.
async fn daemon(calltools: &CallTools, home: &Home, time: &Time, notify: &str) -> TestDaemon {
    home.set_token("main", openseat::simulator::TOKEN);
    let path = home.config(&[calltools.account(), notify.to_owned()]);
    let daemon = TestDaemon::start(&path, time).await;
    daemon.ready().await;
    daemon
}

/// Pushes time on until `condition` holds. Slower than [`Time::until`], so that no request of a notification times out meanwhile.
async fn pushed_until(time: &Time, what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        time.pass(Duration::from_millis(500)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("in vain: {what}");
}

const FAULTS: &str = "\n[[notify]]\nurl_file = \"./chat.url\"\non = [\"bad_token\", \"upstream_down\"]\nafter = \"10s\"\n";

#[tokio::test]
async fn a_refused_token_is_told_once_and_so_is_its_end_to_a_recipient_that_fails_at_first() {
    let (time, home) = (Time::new(), Home::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    chat.address_into(&home, "chat.url");
    chat.behave(Manner::Answers(500, ""));
    let daemon = daemon(&calltools, &home, &time, FAULTS).await;
    calltools.simulator.inject(usize::MAX, None, InjectedFault::InvalidToken);
    pushed_until(&time, "three attempts", || chat.attempts() >= 3).await;
    assert_eq!(chat.taken(), [] as [Value; 0]);
    chat.behave(Manner::Answers(200, ""));
    pushed_until(&time, "a message", || !chat.taken().is_empty()).await;
    time.pass(Duration::from_secs(120)).await;
    assert_eq!(chat.told(), ["began bad_token"], "once");
    calltools.simulator.clear_faults();
    pushed_until(&time, "its end", || chat.taken().len() > 1).await;
    time.pass(Duration::from_secs(120)).await;
    assert_eq!(chat.told(), ["began bad_token", "ended bad_token"]);
    let [began, ended] = &chat.taken()[..] else {
        panic!("two messages");
    };
    let text = began["text"].as_str().expect("a text");
    for words in ["account \"main\"", "does not accept the token", "What to do"] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!((&began["id"], &began["account"]), (&ended["id"], &"main".into()));
    let count = |outcome| daemon.metric(outcome);
    let sent = count("openseat_notifications_total{outcome=\"sent\"}").await;
    let failed = count("openseat_notifications_total{outcome=\"failed\"}").await;
    assert_eq!(sent, Some(2.0));
    assert!(failed >= Some(3.0), "{failed:?}");
}

#[tokio::test]
async fn a_restart_neither_repeats_nor_forgets_a_message() {
    let (time, home) = (Time::new(), Home::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    chat.address_into(&home, "chat.url");
    let first = daemon(&calltools, &home, &time, FAULTS).await;
    calltools.simulator.inject(usize::MAX, None, InjectedFault::InvalidToken);
    pushed_until(&time, "a message", || chat.taken().len() == 1).await;
    // Another condition, whose message cannot be delivered before the end.
    first.stop().await;
    let path = home.path().join("openseat.toml");
    let second = TestDaemon::start(&path, &time).await;
    time.pass(Duration::from_secs(120)).await;
    assert_eq!(chat.told(), ["began bad_token"], "not repeated");
    chat.behave(Manner::Answers(503, ""));
    calltools.simulator.clear_faults();
    let attempts = chat.attempts();
    pushed_until(&time, "an attempt", || chat.attempts() > attempts).await;
    second.stop().await;
    chat.behave(Manner::Answers(200, ""));
    let _third = TestDaemon::start(&path, &time).await;
    pushed_until(&time, "its end", || chat.taken().len() == 2).await;
    time.pass(Duration::from_secs(120)).await;
    assert_eq!(chat.told(), ["began bad_token", "ended bad_token"]);
}

#[tokio::test]
async fn a_reload_exchanges_addresses_without_losing_what_lasts() {
    let (time, home) = (Time::new(), Home::new());
    let (calltools, old, new) = (
        CallTools::start(&time).await,
        Recipient::start().await,
        Recipient::start().await,
    );
    old.address_into(&home, "chat.url");
    let daemon = daemon(&calltools, &home, &time, FAULTS).await;
    calltools.simulator.inject(usize::MAX, None, InjectedFault::InvalidToken);
    pushed_until(&time, "a message", || old.taken().len() == 1).await;
    new.address_into(&home, "chat.url");
    home.config(&[calltools.account(), FAULTS.replace("\"10s\"", "\"15s\"")]);
    assert_eq!(daemon.post("/v1/reload").await.status, 200);
    time.pass(Duration::from_secs(60)).await;
    assert_eq!(new.told(), [] as [&str; 0], "the same condition is not told again");
    calltools.simulator.clear_faults();
    pushed_until(&time, "its end", || new.taken().len() == 1).await;
    assert_eq!((old.told().len(), new.told()), (1, vec!["ended bad_token".to_owned()]));
    // A file without an address changes nothing.
    home.write("chat.url", "not an address");
    let refused = daemon.post("/v1/reload").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("chat.url"), "{refused:?}");
}

#[tokio::test]
async fn no_seats_are_told_while_questions_come() {
    let (time, home) = (Time::new(), Home::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    chat.address_into(&home, "chat.url");
    let notify = "\n[[notify]]\nurl_file = \"./chat.url\"\non = [\"no_seats\"]\nafter = \"20s\"\nqueues = [\"sales\"]\n";
    let daemon = daemon(&calltools, &home, &time, notify).await;
    for agent in 0..2 {
        calltools.set_status(agent, "Offline");
    }
    time.pass(Duration::from_secs(60)).await;
    assert_eq!(chat.attempts(), 0, "nobody asks");
    for _ in 0..30 {
        let _ = daemon.decision("sales").await;
        let _ = daemon.decision("support").await;
        time.pass(Duration::from_secs(1)).await;
    }
    pushed_until(&time, "a message", || chat.taken().len() == 1).await;
    assert_eq!(chat.taken()[0]["queues"], serde_json::json!(["sales"]));
    calltools.set_status(0, "Available");
    pushed_until(&time, "its end", || chat.taken().len() == 2).await;
    assert_eq!(chat.told(), ["began no_seats", "ended no_seats"]);
}

const PUSHES: &str = "\n[[notify]]\nurl_file = \"./router.url\"\non = [\"decision\"]\n";

/// `queue accept` of each push.
fn pushed(recipient: &Recipient) -> Vec<(String, bool)> {
    let push = |push: &Value| (push["queue"].as_str().unwrap_or_default().to_owned(), push["accept"] == true);
    recipient.taken().iter().map(push).collect()
}

#[tokio::test]
async fn each_change_of_an_answer_is_pushed_in_order_and_a_receiver_that_hangs_holds_up_nobody() {
    let (time, home) = (Time::new(), Home::new());
    let (calltools, router, hanging) = (
        CallTools::start(&time).await,
        Recipient::start().await,
        Recipient::start().await,
    );
    router.address_into(&home, "router.url");
    hanging.address_into(&home, "hanging.url");
    hanging.behave(Manner::Hangs);
    let hangs = PUSHES.replace("router.url", "hanging.url");
    let notify = format!("{PUSHES}queues = [\"support\"]\n{hangs}");
    let daemon = daemon(&calltools, &home, &time, &notify).await;
    let is = |accept| move |decision: &Value| decision["accept"] == accept && decision["count"].is_number();
    let mut expected = Vec::new();
    for round in 0..3 {
        for (status, accept) in [("Available", true), ("Offline", false)] {
            calltools.set_status(1, status);
            pushed_until(&time, "a push", || pushed(&router).last() == Some(&("support".to_owned(), accept))).await;
            daemon.decides("support", is(accept)).await;
            expected.push(("support".to_owned(), accept));
        }
        assert!(round < 3);
    }
    let known: Vec<_> = router.taken().into_iter().filter(|push| push["count"].is_number()).collect();
    let known: Vec<_> = known.iter().map(|push| push["accept"] == true).collect();
    assert_eq!(known, [true, false, true, false, true, false]);
    let last = router.taken().pop().expect("a push");
    for key in ["reason", "count", "threshold", "as_of", "age_ms", "valid_until", "capacity", "queue_id"] {
        assert!(last.get(key).is_some(), "the decision's own JSON has {key}: {last}");
    }
    let crowd = hanging.crowd.lock().expect("no test panics in there").clone();
    assert!(!crowd.is_empty() && crowd.iter().all(|(.., most)| *most == 1), "{crowd:?}");
    // Once it answers it gets the newest answer, and none of those in between.
    hanging.behave(Manner::Answers(200, ""));
    pushed_until(&time, "the newest", || pushed(&hanging).iter().any(|(queue, _)| queue == "support")).await;
    let of_support: Vec<_> = pushed(&hanging).into_iter().filter(|(queue, _)| queue == "support").collect();
    assert_eq!(of_support, [("support".to_owned(), false)]);
    let replaced = daemon.metric("openseat_notifications_total{outcome=\"replaced\"}").await;
    assert!(replaced > Some(0.0), "{replaced:?}");
    hanging.behave(Manner::Hangs);
    calltools.set_status(1, "Available");
    pushed_until(&time, "a hanging push", || pushed(&router).last().is_some_and(|(_, accept)| *accept)).await;
    // The push that hangs is dropped.
    daemon.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_pause_that_is_asked_for_is_kept() {
    let (time, home) = (Time::new(), Home::new());
    let (calltools, chat, elsewhere) = (
        CallTools::start(&time).await,
        Recipient::start().await,
        Recipient::start().await,
    );
    chat.address_into(&home, "chat.url");
    let location: &'static str = format!("Location: http://{}/\r\n", elsewhere.address).leak();
    chat.behave(Manner::Answers(307, location));
    let _daemon = daemon(&calltools, &home, &time, FAULTS).await;
    calltools.simulator.inject(usize::MAX, None, InjectedFault::InvalidToken);
    pushed_until(&time, "an attempt", || chat.attempts() >= 1).await;
    chat.behave(Manner::Answers(429, "Retry-After: 100\r\n"));
    let before = chat.attempts();
    pushed_until(&time, "another attempt", || chat.attempts() > before).await;
    let paused = chat.attempts();
    time.pass(Duration::from_secs(80)).await;
    assert_eq!(chat.attempts(), paused, "it asked for 100 s");
    assert_eq!(elsewhere.attempts(), 0);
}

/// The program itself, since its log and its exit code matter.
#[tokio::test]
async fn the_address_is_in_no_log_line_answer_metric_or_file() {
    let (time, home) = (Time::new(), Home::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    home.set_token("main", openseat::simulator::TOKEN);
    chat.address_into(&home, "chat.url");
    chat.behave(Manner::Answers(404, ""));
    // Nothing listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = gone.local_addr().expect("it is bound").port();
    drop(gone);
    home.write("gone.url", &format!("https://localhost:{port}/services/{SECRET}\n"));
    calltools.simulator.inject(usize::MAX, None, InjectedFault::InvalidToken);
    let notify = FAULTS.replace("10s", "0s");
    let gone = notify.replace("chat", "gone");
    let path = home.config(&[calltools.account(), notify, gone]);
    let text = fs::read_to_string(&path).expect("a config");
    fs::write(&path, text).expect("a config");
    let config = path.to_str().expect("a plain path");
    let arguments = ["run", "--config", config, "--log-level", "trace", "--log-format", "json"];
    let program = Program::start(&home, &arguments);
    let address = program.address().await;
    soon("attempts", async || chat.attempts() > 0).await;
    soon("a line about each", async || {
        program.log().matches("a notification could not be delivered").count() >= 2
    })
    .await;
    let pages = ["/metrics", "/v1/accounts", "/readyz?verbose", "/"];
    for page in pages {
        let answer = crate::support::get(address, page).await;
        assert!(!answer.body.contains(SECRET), "{page}");
    }
    let log = program.log();
    let lines = log.lines().filter(|line| line.contains(SECRET));
    assert_eq!(lines.collect::<Vec<_>>(), [] as [&str; 0]);
    drop(program);
    for entry in fs::read_dir(home.state()).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).unwrap_or_default();
        let found = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }
    for arguments in [&["notify", "test"][..], &["config", "show"]] {
        let mut command = home.command(arguments);
        let output = command.output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("chat.url") && !said.contains(SECRET), "{said}");
    }
}

#[tokio::test]
async fn notify_test_reports_who_takes_a_message() {
    let (time, home) = (Time::new(), Home::new());
    let (calltools, chat) = (CallTools::start(&time).await, Recipient::start().await);
    home.set_token("main", openseat::simulator::TOKEN);
    chat.address_into(&home, "chat.url");
    home.config(&[calltools.account(), FAULTS.to_owned()]);
    let run = async || {
        let mut command = home.command(&["notify", "test"]);
        let output = tokio::task::spawn_blocking(move || command.output());
        output.await.expect("no panic").expect("it runs")
    };
    let output = run().await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("took the message"), "{output:?}");
    assert_eq!(chat.taken()[0]["event"], "test");
    assert!(chat.taken()[0]["text"].as_str().is_some_and(|text| text.contains("test")));
    chat.behave(Manner::Answers(404, ""));
    let output = run().await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said.contains("it answered 404"), "{said}");
    home.write("chat.url", "http://192.0.2.1/readable");
    let output = run().await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    home.config(&[calltools.account()]);
    assert_eq!(run().await.status.code(), Some(1), "there is nobody");
}
