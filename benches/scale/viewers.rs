//! What people who look at the dashboard cost those who decide: the 99th percentile of a decision, with viewers and without, in turns.

use std::{
    fmt::Display,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use reqwest::{Client, Response, StatusCode, header};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::process::Daemon;

/// Between two decisions: a busy router's pace, far from what one thread can answer.
const BETWEEN: Duration = Duration::from_millis(2);

/// What the page's script keeps between two requests, and the longest it waits before it asks.
const REST: Duration = Duration::from_millis(300);
const SPREAD_MS: u64 = 250;

/// After this long the script asks again, whatever it was told.
const PERIOD: Duration = Duration::from_secs(6);

/// Browsers that show the dashboard. Dropping them closes it.
pub struct Viewers {
    tasks: Vec<JoinHandle<()>>,
    seen: mpsc::UnboundedReceiver<usize>,
}

impl Drop for Viewers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Viewers {
    /// Opens so many pages and waits until each has been read once.
    pub async fn open(daemon: &Daemon, number: usize) -> Self {
        let (saw, mut seen) = mpsc::unbounded_channel();
        let tasks = (0..number).map(|_| {
            let (url, saw) = (daemon.url.clone(), saw.clone());
            tokio::spawn(async move { look(&url, &saw).await })
        });
        let tasks = tasks.collect();
        for _ in 0..number {
            seen.recv().await.expect("somebody looks");
        }
        Self { tasks, seen }
    }

    /// How many pages were read since the last call.
    pub fn seen(&mut self) -> usize {
        let mut number = 0;
        while self.seen.try_recv().is_ok() {
            number += 1;
        }
        number
    }
}

/// As the page's script does it: follows the stream, and reads the page again when something has changed or some seconds have passed.
async fn look(url: &str, saw: &mpsc::UnboundedSender<usize>) {
    let client = client();
    let stream = client.get(format!("{url}/v1/watch")).send().await;
    let mut stream = stream.expect("a stream");
    let mut tag = None;
    loop {
        let page = read(&client, url, tag.as_ref()).await;
        if page.status() != StatusCode::NOT_MODIFIED {
            assert_eq!(page.status(), StatusCode::OK);
            tag = page.headers().get(header::ETAG).cloned();
        }
        let size = page.bytes().await.expect("a page").len();
        if saw.send(size).is_err() {
            return;
        }
        sleep(REST).await;
        let _ = timeout(PERIOD, told(&mut stream)).await;
        sleep(Duration::from_millis(fastrand::u64(0..SPREAD_MS))).await;
    }
}

async fn told(stream: &mut Response) {
    loop {
        let part = stream.chunk().await.expect("a stream");
        let part = part.expect("it goes on");
        if part.windows(6).any(|window| window == b"event:") {
            return;
        }
    }
}

fn client() -> Client {
    // What is sent is weighed as it is sent.
    let client = openseat::process::tls::client_builder()
        .no_proxy()
        .no_gzip()
        .build();
    client.expect("a client")
}

async fn read(client: &Client, url: &str, tag: Option<&header::HeaderValue>) -> Response {
    let mut request = client
        .get(url)
        .header(header::ACCEPT, "text/html")
        .header(header::ACCEPT_ENCODING, "gzip");
    if let Some(tag) = tag {
        request = request.header(header::IF_NONE_MATCH, tag);
    }
    request.send().await.expect("an answer")
}

/// How large the dashboard's page is, plain and as browsers get it.
pub async fn sizes(daemon: &Daemon) -> [usize; 2] {
    let plain = client()
        .get(&daemon.url)
        .header(header::ACCEPT, "text/html");
    let plain = plain.send().await.expect("an answer").bytes().await;
    let packed = read(&client(), &daemon.url, None).await;
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    let packed = packed.bytes().await;
    [plain, packed].map(|page| page.expect("a page").len())
}

/// How long decisions took that were asked for during `time`, on one connection, by a thread that does nothing else.
pub async fn decisions<Q>(daemon: &Daemon, queues: &[Q], time: Duration) -> Vec<Duration>
where
    Q: Display + Clone + Send + 'static,
{
    let (address, queues) = (daemon.url.replace("http://", ""), queues.to_vec());
    let asking = thread::spawn(move || {
        let stream = TcpStream::connect(&address).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let mut stream = BufReader::new(stream);
        let (end, mut took) = (Instant::now() + time, Vec::new());
        for queue in queues.iter().cycle() {
            if Instant::now() >= end {
                break;
            }
            let begun = Instant::now();
            decide(&mut stream, queue);
            took.push(begun.elapsed());
            thread::sleep(BETWEEN);
        }
        took
    });
    while !asking.is_finished() {
        sleep(BETWEEN).await;
    }
    asking.join().expect("it was answered")
}

fn decide(stream: &mut BufReader<TcpStream>, queue: &impl Display) {
    let request = format!("GET /v1/queues/{queue}/decision HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let sent = stream.get_mut().write_all(request.as_bytes());
    sent.expect("it is sent");
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).expect("an answer");
    assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).expect("a header");
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
}

/// The 99th percentile, in milliseconds.
pub fn slowest(mut took: Vec<Duration>) -> f64 {
    took.sort();
    let at = (took.len() * 99 / 100).min(took.len().saturating_sub(1));
    took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}
