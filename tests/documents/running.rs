//! A daemon with a simulated CallTools, which examples are sent to.

use std::{sync::Arc, time::Duration};

use openseat::{
    clock::{Clock, SystemClock},
    simulator::{Serving, Settings, Simulator, TOKEN, WorldSettings},
};
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use crate::support::{TestDaemon, TestFolder, account};

/// The pause between two requests for a seat: so long that the daemon has time for the poll that finds one.
const PAUSE: Duration = Duration::from_millis(100);

/// Dropping it ends the daemon and the simulator.
pub struct Running {
    pub daemon: TestDaemon,
    _calltools: Serving,
    _home: TestFolder,
}

impl Running {
    pub async fn start() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let world = WorldSettings::lively();
        let simulator = Simulator::new(Settings::new(world), Arc::clone(&clock));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let calltools = simulator.serve(listener).expect("a simulator");
        let queue = simulator.world(|world| world.queues()[0].name.clone());
        let queue = format!("queue = {}", toml::Value::from(queue));
        let home = TestFolder::new();
        home.set_token("main", TOKEN);
        let main = account("main", &calltools.base_url(), "", &[&queue]);
        let config = home.config_of("max_connections = 2", &[main]);
        Self {
            daemon: TestDaemon::start_by(&config, clock).await,
            _calltools: calltools,
            _home: home,
        }
    }

    /// A request to the daemon. The client keeps no connection open, because the tests count connections.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let client = openseat::process::tls::client_builder().no_proxy();
        let client = client.pool_max_idle_per_host(0).build().expect("a client");
        client.request(method, format!("http://{}{path}", self.daemon.address))
    }

    /// Retries until there is an answer: while all connections are in use, none comes.
    pub async fn ask(&self, path: &str) -> (StatusCode, String) {
        loop {
            if let Ok(response) = self.request(Method::GET, path).send().await {
                return (response.status(), response.text().await.expect("a text"));
            }
            tokio::task::yield_now().await;
        }
    }

    pub async fn ready(&self) {
        while self.ask("/readyz").await.0 != StatusCode::OK {
            tokio::task::yield_now().await;
        }
    }

    async fn post(&self, path: &str, body: String) -> (StatusCode, String) {
        let answer = self.request(Method::POST, path).body(body).send().await;
        let answer = answer.expect("an answer");
        (answer.status(), answer.text().await.expect("a text"))
    }

    /// Reserves a seat, as a router does before it sends a call; returns the reservation's id. Agents come and go, and other examples hold seats for
    /// 45 s, so it may have to wait for one.
    pub async fn reserve(&self, call_id: &str) -> String {
        let body = serde_json::json!({ "call_id": call_id }).to_string();
        let target = "/v1/queues/sales-queue/reservations";
        let (mut status, mut text) = self.post(target, body.clone()).await;
        while status == StatusCode::CONFLICT {
            tokio::time::sleep(PAUSE).await;
            (status, text) = self.post(target, body.clone()).await;
        }
        assert_eq!(status, StatusCode::CREATED, "{text}");
        let made: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        made["id"].as_str().expect("an id").to_owned()
    }

    /// Opens more connections than allowed: two that hold, one in case an earlier one still counts, and one too many.
    pub async fn overfill(&self) {
        let mut open = Vec::new();
        for _ in 0..4 {
            let connection = TcpStream::connect(self.daemon.address).await;
            open.push(connection.expect("a connection"));
        }
        let mut newest = open.pop().expect("four were opened");
        let read = newest.read(&mut [0]).await;
        assert!(!matches!(read, Ok(1..)), "no request was sent");
    }
}
