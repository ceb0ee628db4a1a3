//! How much dashboard viewers slow down decisions: the 99th percentile of a decision, with and without viewers, in turn.

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

/// The pause between two decisions: a busy router's pace, far below what one thread can answer.
const BETWEEN: Duration = Duration::from_millis(2);

/// The page's script waits this long between two requests, plus a random time of at most `SPREAD_MS`.
const REST: Duration = Duration::from_millis(300);
const SPREAD_MS: u64 = 250;

/// After this long the script reads the page again, even without an event.
const PERIOD: Duration = Duration::from_secs(6);

/// Browsers that show the dashboard. Dropping this closes them.
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
    /// Opens this many pages and waits until each has been loaded once.
    pub async fn open(daemon: &Daemon, number: usize) -> Self {
        let (saw, mut seen) = mpsc::unbounded_channel();
        let tasks = (0..number).map(|_| {
            let (url, saw) = (daemon.url.clone(), saw.clone());
            tokio::spawn(async move { look(&url, &saw).await })
        });
        let tasks = tasks.collect();
        for _ in 0..number {
            seen.recv().await.expect("a viewer runs");
        }
        Self { tasks, seen }
    }

    /// How many pages were loaded since the last call.
    pub fn seen(&mut self) -> usize {
        let mut number = 0;
        while self.seen.try_recv().is_ok() {
            number += 1;
        }
        number
    }
}

/// Does what the page's script does: follows the stream, and reads the page again after a change or after some seconds.
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
        let _ = timeout(PERIOD, next_event(&mut stream)).await;
        sleep(Duration::from_millis(fastrand::u64(0..SPREAD_MS))).await;
    }
}

async fn next_event(stream: &mut Response) {
    loop {
        let chunk = stream.chunk().await.expect("a stream");
        let chunk = chunk.expect("the stream has no end");
        if chunk.windows(6).any(|window| window == b"event:") {
            return;
        }
    }
}

fn client() -> Client {
    // Sizes are measured as sent, so the client does not decompress.
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
    request.send().await.expect("a response")
}

/// The size of the dashboard's page in bytes: plain, and compressed as browsers get it.
pub async fn sizes(daemon: &Daemon) -> [usize; 2] {
    let plain = client()
        .get(&daemon.url)
        .header(header::ACCEPT, "text/html");
    let plain = plain.send().await.expect("a response").bytes().await;
    let packed = read(&client(), &daemon.url, None).await;
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    let packed = packed.bytes().await;
    [plain, packed].map(|page| page.expect("a page").len())
}

/// Asks for decisions during `time`, on one connection and from a thread of its own. Returns how long each took.
pub async fn decisions<Q>(daemon: &Daemon, queues: &[Q], time: Duration) -> Vec<Duration>
where
    Q: Display + Clone + Send + 'static,
{
    let (address, queues) = (daemon.url.replace("http://", ""), queues.to_vec());
    let asking = thread::spawn(move || {
        let mut stream = connect(&address).expect("the daemon listens");
        let (end, mut durations) = (Instant::now() + time, Vec::new());
        for queue in queues.iter().cycle() {
            if Instant::now() >= end {
                break;
            }
            let begun = Instant::now();
            decide(&mut stream, queue);
            durations.push(begun.elapsed());
            thread::sleep(BETWEEN);
        }
        durations
    });
    while !asking.is_finished() {
        sleep(BETWEEN).await;
    }
    asking.join().expect("every decision was answered")
}

/// Opens a connection for [`decide`].
pub fn connect(address: &str) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Asks for a decision, and returns the answer.
pub fn decide(stream: &mut BufReader<TcpStream>, queue: &impl Display) -> Vec<u8> {
    let request = format!("GET /v1/queues/{queue}/decision HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let sent = stream.get_mut().write_all(request.as_bytes());
    sent.expect("the request is sent");
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).expect("a status line");
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
    body
}

/// The 99th percentile, in milliseconds.
pub fn slowest(mut durations: Vec<Duration>) -> f64 {
    durations.sort();
    let at = (durations.len() * 99 / 100).min(durations.len().saturating_sub(1));
    durations
        .get(at)
        .map_or(0.0, |duration| duration.as_secs_f64() * 1e3)
}
