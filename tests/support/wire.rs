//! A CallTools that can misbehave below HTTP, where the simulator cannot. It answers `queues/` and `statuses/` normally; the test chooses the
//! answer to a request for agents.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The response to a request for agents.
#[derive(Clone)]
pub enum Behaviour {
    /// These bytes, then the connection ends.
    Raw(Vec<u8>),
    /// These bytes, and then nothing more.
    Stall(Vec<u8>),
    /// One byte every 200 ms, forever.
    Drip,
    /// These bytes again and again, forever.
    Flood(Vec<u8>),
    /// A good answer on a connection that stays open, and is closed when the next request arrives on it.
    Fickle,
    /// The connection is reset.
    Reset,
    /// A body for each requested page.
    Pages(Arc<dyn Fn(u32) -> Value + Send + Sync>),
}

impl Behaviour {
    /// 200 with this JSON text.
    pub fn json(body: impl AsRef<[u8]>) -> Self {
        Self::response("200 OK", "Content-Type: application/json\r\n", body)
    }

    /// A response with this status, headers and body.
    pub fn response(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        Behaviour::Raw(response(status, headers, body.as_ref()))
    }

    /// A good list: one agent with a seat.
    pub fn good() -> Self {
        Behaviour::Pages(Arc::new(|_| agents_page(1..=1, 1, None)))
    }
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A page of available agents with these ids.
pub fn agents_page(
    numbers: impl IntoIterator<Item = u32>,
    count: u32,
    next: Option<String>,
) -> Value {
    let rows = numbers.into_iter().map(|n| {
        json!({"app_user": format!("agent-{n}"), "full_name": format!("Agent {n}"), "agent_status": 1,
               "status": "Available", "logged_in": true, "queue_logged_in": true})
    });
    json!({"count": count, "next": next, "previous": null, "results": rows.collect::<Vec<_>>()})
}

/// The server.
pub struct Wire {
    pub address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// Starts a server that behaves well until a test changes that.
    pub async fn start() -> Self {
        Self::at(([127, 0, 0, 1], 0).into()).await
    }

    /// The same at a given address, such as that of an earlier server.
    pub async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("the socket is bound");
        let behaviour = Arc::new(Mutex::new(Behaviour::good()));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (current, seen) = (Arc::clone(&behaviour), Arc::clone(&heads));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&current), Arc::clone(&seen)));
            }
        });
        Self {
            address,
            behaviour,
            heads,
            task,
        }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("no holder panics") = behaviour;
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no holder panics").clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    current: Arc<Mutex<Behaviour>>,
    seen: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    seen.lock().expect("no holder panics").push(head.clone());
    let target = head.split(' ').nth(1).unwrap_or_default();
    let behaviour = current.lock().expect("no holder panics").clone();
    let good = match target {
        _ if target.contains("/queues/") => {
            Some(json!({"count": 1, "next": null, "previous": null,
            "results": [{"id": 1, "name": "sales"}]}))
        }
        _ if target.contains("/statuses/") => {
            Some(json!({"count": 1, "next": null, "previous": null,
            "results": [{"id": 1, "name": "Available", "queue_action": "Set Ready"}]}))
        }
        _ => None,
    };
    match good {
        Some(body) => stream.write_all(&json_response(&body)).await,
        None => misbehave(stream, behaviour, page_of(target), &seen).await,
    }
}

fn json_response(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    response(
        "200 OK",
        "Content-Type: application/json\r\n",
        body.as_bytes(),
    )
}

async fn misbehave(
    mut stream: TcpStream,
    behaviour: Behaviour,
    page: u32,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    match behaviour {
        Behaviour::Raw(bytes) => stream.write_all(&bytes).await,
        Behaviour::Stall(bytes) => {
            stream.write_all(&bytes).await?;
            std::future::pending().await
        }
        Behaviour::Drip => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                .await?;
            loop {
                stream.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Behaviour::Flood(bytes) => loop {
            stream.write_all(&bytes).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        },
        Behaviour::Fickle => {
            let body = agents_page(1..=1, 1, None).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await?;
            let head = read_head(&mut stream).await?;
            seen.lock().expect("no holder panics").push(head);
            Ok(())
        }
        Behaviour::Reset => stream.set_zero_linger(),
        Behaviour::Pages(page_body) => stream.write_all(&json_response(&page_body(page))).await,
    }
}

fn page_of(target: &str) -> u32 {
    let mut parts = target.split(['?', '&']);
    let page = parts.find_map(|part| part.strip_prefix("page="));
    page.map_or(1, |page| page.parse().expect("pages are numbers"))
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
