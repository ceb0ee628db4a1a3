//! A client of `/v1/watch` that remembers its position, on an independent HTTP library.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{sync::mpsc, task::JoinHandle};

use super::TIMEOUT;

/// One event.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

impl Event {
    /// The queue, reason and count of a decision.
    pub fn decision(&self) -> (&str, &str, &Value) {
        assert_eq!(self.name, "decision", "{self:?}");
        let text = |key: &str| self.data[key].as_str().expect("a text");
        (text("queue"), text("reason"), &self.data["count"])
    }

    /// The counts of a snapshot.
    pub fn counts(&self) -> Vec<Value> {
        assert_eq!(self.name, "snapshot", "{self:?}");
        let decisions = self.data["decisions"].as_array().expect("a list");
        let count = |decision: &Value| decision["count"].clone();
        decisions.iter().map(count).collect()
    }
}

/// A stream that is being read.
#[derive(Debug)]
pub struct Events {
    events: mpsc::UnboundedReceiver<(Option<String>, Event)>,
    reader: JoinHandle<()>,
    /// The id of the last event.
    pub last: Option<String>,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Events {
    /// Connects, with the last event's id from an earlier stream, if there was one.
    pub async fn watch(address: SocketAddr, query: &str, last: Option<&str>) -> Self {
        let client = openseat::process::tls::client_builder().no_proxy().build();
        let url = format!("http://{address}/v1/watch{query}");
        let mut request = client.expect("a client").get(url);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{response:?}");
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            events,
            reader: tokio::spawn(read(response, sender)),
            last: last.map(str::to_owned),
        }
    }

    /// The next event, if one has arrived.
    pub fn try_next(&mut self) -> Option<Event> {
        let (id, event) = self.events.try_recv().ok()?;
        self.last = id.or(self.last.take());
        Some(event)
    }

    /// Waits in real time for the next event; `None` once the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        let next = tokio::time::timeout(TIMEOUT, self.events.recv()).await;
        let (id, event) = next.expect("an event or an end in time")?;
        self.last = id.or(self.last.take());
        Some(event)
    }
}

async fn read(
    mut response: reqwest::Response,
    events: mpsc::UnboundedSender<(Option<String>, Event)>,
) {
    let mut text = String::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        text.push_str(str::from_utf8(&bytes).expect("ASCII in these tests"));
        while let Some((block, rest)) = text.split_once("\n\n") {
            if let Some(event) = parse(block)
                && events.send(event).is_err()
            {
                return;
            }
            text = rest.to_owned();
        }
    }
}

/// A block with data; hints and comments have none.
fn parse(block: &str) -> Option<(Option<String>, Event)> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let data = serde_json::from_str(field("data: ")?).expect("data is JSON");
    let name = field("event: ").expect("every event has a name").to_owned();
    Some((field("id: ").map(str::to_owned), Event { name, data }))
}
