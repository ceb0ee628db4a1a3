//! A client for one request: it sends exactly what it is given, and does not keep connections, retry or follow redirects.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::TIMEOUT;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no answer: {text:?}")),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    /// The value of a header; `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(": ").map(str::len);
        let line = self.head.lines().find(|line| value(line).is_some())?;
        Some(&line[name.len() + 2..])
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub async fn get(address: SocketAddr, target: &str) -> Answer {
    ask(address, "GET", target, "").await
}

pub async fn post(address: SocketAddr, target: &str) -> Answer {
    ask(address, "POST", target, "").await
}

/// Sends a JSON body.
pub async fn post_json(address: SocketAddr, target: &str, body: &str) -> Answer {
    let headers = format!("Content-Length: {}\r\n", body.len());
    let head = head("POST", target, &headers);
    send(address, format!("{head}{body}")).await
}

/// Sends a request with these headers, each ended by a line break.
pub async fn ask(address: SocketAddr, method: &str, target: &str, headers: &str) -> Answer {
    send(address, head(method, target, headers)).await
}

fn head(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

/// Asks a server that may be killed or paused. Returns `None` if there is no answer within this time.
pub async fn ask_within(
    within: Duration,
    address: SocketAddr,
    method: &str,
    target: &str,
) -> Option<Answer> {
    let exchanged = exchange(address, head(method, target, ""));
    let text = tokio::time::timeout(within, exchanged).await.ok()?.ok()?;
    (!text.is_empty()).then(|| Answer::parse(&text))
}

async fn send(address: SocketAddr, request: String) -> Answer {
    let text = tokio::time::timeout(TIMEOUT, exchange(address, request)).await;
    let text = text.expect("an answer in time");
    Answer::parse(&text.expect("the server listens"))
}

async fn exchange(address: SocketAddr, request: String) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let _ = stream.write_all(request.as_bytes()).await;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    Ok(String::from_utf8(text).expect("answers are UTF-8"))
}
