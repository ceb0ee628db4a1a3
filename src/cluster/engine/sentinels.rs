//! Sentinels for tests, which all name the same master. They also answer as one.

use std::sync::Mutex;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// An engine that may be used, as far as its `INFO` says.
const INFO: &str = "redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n";

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Sentinels {
    ports: Vec<u16>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Sentinels {
    /// Starts Sentinels that name this master.
    pub async fn start(number: usize, master: &str) -> Self {
        let mut sentinels = Self {
            ports: Vec::new(),
            running: Mutex::default(),
        };
        for _ in 0..number {
            let (listener, port) = listener().await;
            sentinels.ports.push(port);
            let running = tokio::spawn(serve(listener, master.to_owned()));
            sentinels.running.lock().unwrap().push(running);
        }
        sentinels
    }

    /// Starts Sentinels and their master.
    pub async fn with_master(number: usize) -> Self {
        let (listener, port) = listener().await;
        let master = format!("127.0.0.1:{port}");
        tokio::spawn(serve(listener, master.clone()));
        Self::start(number, &master).await
    }

    /// Returns a URL that names all of them.
    pub fn url(&self) -> String {
        let hosts = self.ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let hosts: Vec<_> = hosts.collect();
        format!("redis-sentinel://{}/calls", hosts.join(","))
    }

    /// Ends the last ones.
    pub fn end_all_but(&self, living: usize) {
        let mut running = self.running.lock().unwrap();
        running.drain(living..).for_each(|one| one.abort());
    }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn serve(listener: TcpListener, master: String) {
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(answer(connection, master.clone()));
    }
}

/// Answers one command after the other, until the connection ends.
async fn answer(mut connection: TcpStream, master: String) {
    let (mut received, mut buffer) = (String::new(), [0; 4096]);
    while let Ok(length @ 1..) = connection.read(&mut buffer).await {
        received.push_str(&String::from_utf8_lossy(&buffer[..length]));
        while let Some((command, rest)) = command(&received) {
            let reply = reply(&command, &master);
            received = rest;
            if connection.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Returns the first command, if it is complete, and what follows it. Each of its words has a line for its length and one of its own.
fn command(received: &str) -> Option<(Vec<String>, String)> {
    let mut lines = received.split_inclusive("\r\n");
    let mut length = 0;
    let mut line = || {
        let line = lines.next().filter(|line| line.ends_with("\r\n"))?;
        length += line.len();
        Some(line.trim_end().to_owned())
    };
    let words: usize = line()?.strip_prefix('*')?.parse().ok()?;
    let words: Option<Vec<_>> = (0..words).map(|_| line().and_then(|_| line())).collect();
    let words = words?;
    Some((words, received[length..].to_owned()))
}

fn reply(command: &[String], master: &str) -> String {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    match command[0].to_uppercase().as_str() {
        "SENTINEL" => {
            let (host, port) = master.rsplit_once(':').unwrap();
            let fields = ["config-epoch", "1", "ip", host, "port", port].map(bulk);
            format!("*{}\r\n{}", fields.len(), fields.concat())
        }
        "INFO" => bulk(INFO),
        _ => "+OK\r\n".to_owned(),
    }
}
