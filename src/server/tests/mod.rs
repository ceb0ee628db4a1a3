//! Tests of the whole server, over real sockets, with a board that the tests fill by hand.

mod access;
mod accounts;
mod agent_check;
mod bodies;
mod calls;
mod cardinality;
mod clients;
mod connections;
mod contract;
mod dashboard;
mod decisions;
mod drop_in;
mod fast_path;
mod fresh;
mod guards;
mod history;
mod opening;
mod overview;
mod pages;
mod probes;
mod queues;
mod reservations;
mod soon;
mod status_line;
mod tls;
mod trade;
mod unread;
mod watch_limits;
mod watching;

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{
    AccountHandle, App, Current, Deps, Limits, QueueRules, Tls, net::listen::bind, serve,
    serve_on_threads, watch_decisions,
};
use crate::{
    account::{Ask, Health, RefreshError},
    budget::Budget,
    clock::Clock,
    config::{self, BearerTokens, Listen, May},
    decision::{
        OnUnknown, Patience, Policy,
        board::{Board, QueueKey},
        reservations::Reservations,
    },
    fixtures::{Still, snapshot},
    metrics::Metrics,
    model::{agent::Agent, digest::Digest, fault::Fault, names::Names, quantity::Quantity},
    state::State,
};

/// The account's CallTools token.
const TOKEN: &str = "a1b2c3";
const MAX_AGE: Duration = Duration::from_secs(90);

/// Everything that the server needs; it is started last.
struct World {
    clock: Arc<Still>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    rules: HashMap<QueueKey, QueueRules>,
    accounts: Vec<AccountHandle>,
    bearer: Option<BearerTokens>,
    clients: Vec<(config::Client, BearerTokens)>,
    named_queues: Vec<config::NamedQueue>,
    allowed_hosts: Vec<String>,
    tls: Option<Tls>,
    limits: Limits,
    metrics_by_status: bool,
    stopping: CancellationToken,
    /// The number of threads; 0 serves in the test's own runtime.
    threads: usize,
    state: Option<Arc<State>>,
}

/// The receiving ends of an account's handle.
struct AccountEnds {
    names: watch::Sender<Arc<Names>>,
    token: watch::Sender<Option<Digest>>,
    health: watch::Sender<Health>,
    asks: mpsc::Receiver<Ask>,
}

impl World {
    /// Queues as `account/queue`, with a threshold of 0 and no accounts behind them.
    fn with(queues: &[&str]) -> Self {
        let keys: Vec<_> = queues.iter().map(|queue| key(queue)).collect();
        let rules = QueueRules {
            policy: Policy {
                threshold: Some(Quantity::ZERO),
                asks_threshold: false,
                max_age: Some(MAX_AGE),
                on_unknown: OnUnknown::Reject,
                hours: None,
            },
            counts_seats: true,
            patience: None,
            soon: config::Soon::default(),
            lines: None,
        };
        let clock = Arc::new(Still::new());
        Self {
            board: Arc::new(Board::new(keys.clone())),
            metrics: Arc::new(Metrics::new(keys.clone(), clock.now())),
            rules: keys.into_iter().map(|key| (key, rules.clone())).collect(),
            accounts: Vec::new(),
            bearer: None,
            clients: Vec::new(),
            named_queues: Vec::new(),
            allowed_hosts: Vec::new(),
            tls: None,
            limits: Limits::with_connections(1024),
            metrics_by_status: true,
            stopping: CancellationToken::new(),
            threads: 0,
            state: None,
            clock,
        }
    }

    fn rules(&mut self, queue: &str) -> &mut QueueRules {
        self.rules
            .get_mut(&key(queue))
            .expect("the queue is configured")
    }

    fn policy(&mut self, queue: &str) -> &mut Policy {
        &mut self.rules(queue).policy
    }

    /// Adds an account with this CallTools token.
    fn account(&mut self, name: &str, token: &str) -> AccountEnds {
        let (names, names_reader) = watch::channel(Arc::default());
        let (token, token_reader) = watch::channel(Some(Digest::new(token)));
        let (asks, requests) = mpsc::channel(1);
        let (health, health_reader) = watch::channel(Health {
            sweeps: true,
            feed: crate::account::feeds::Feed::Sweep,
            ..Health::default()
        });
        let limit = std::num::NonZeroU32::new(1000).expect("the limit is not 0");
        self.accounts.push(AccountHandle {
            name: name.into(),
            token: token_reader,
            budget: Arc::new(Budget::in_memory(limit, 50, self.clock.clone())),
            names: names_reader,
            health: health_reader,
            asks,
            member: None,
        });
        AccountEnds {
            names,
            token,
            health,
            asks: requests,
        }
    }

    fn publish(&self, queue: &str, agents: Vec<Agent>) {
        let now = self.clock.now();
        self.board.attempt(&key(queue), now);
        self.board.publish(&key(queue), snapshot(now, agents), now);
    }

    fn fail(&self, queue: &str, fault: Fault) {
        self.board.attempt(&key(queue), self.clock.now());
        self.board.fault(&key(queue), Some(Arc::new(fault)));
    }

    async fn serve(self) -> Server {
        self.serve_at(&Listen::Tcp(([127, 0, 0, 1], 0).into()))
            .await
    }

    async fn serve_at(self, listen: &Listen) -> Server {
        let listener = bind(listen).await.expect("a free port is free");
        let address = listener.local_addr();
        let (clock, board) = (self.clock.clone(), self.board.clone());
        let (stopping, threads) = (self.stopping.clone(), self.threads);
        let app = self.app();
        let stop = CancellationToken::new();
        let current = Current::new(app.clone());
        let newest = current.clone();
        tokio::spawn(watch_decisions(move || newest.app(), stop.clone()));
        let serving = (current.clone(), stop.clone());
        let task = match threads {
            0 => tokio::spawn(serve(listener, serving.0, serving.1)),
            threads => tokio::spawn(async move {
                let ended = serve_on_threads(threads, vec![listener], serving.0, serving.1);
                ended.await.expect("the threads end without an error");
            }),
        };
        Server {
            address,
            task,
            stop,
            app,
            current,
            clock,
            board,
            stopping,
        }
    }

    fn app(self) -> Arc<App> {
        // As in the daemon, the record of calls sees how reservations end.
        let reservations = match &self.state {
            Some(state) => Reservations::new().seen_by(state.calls.clone()),
            None => Reservations::new(),
        };
        Arc::new(App::new(Deps {
            board: self.board,
            queue_rules: self.rules,
            accounts: self.accounts,
            metrics: self.metrics,
            reservations: Arc::new(reservations),
            clock: self.clock,
            state: self.state,
            bearer: self.bearer,
            clients: self.clients,
            named_queues: self.named_queues,
            allowed_hosts: self.allowed_hosts,
            tls: self.tls,
            limits: self.limits,
            metrics_by_status: self.metrics_by_status,
            stopping: self.stopping,
            heartbeats: Default::default(),
            reloads: None,
            control: axum::Router::new(),
        }))
    }
}

fn key(queue: &str) -> QueueKey {
    let (account, queue) = queue.split_once('/').expect("account/queue");
    QueueKey::new(account, queue)
}

/// A server that runs until it is dropped.
struct Server {
    address: Option<SocketAddr>,
    task: JoinHandle<()>,
    stop: CancellationToken,
    app: Arc<App>,
    current: Arc<Current>,
    clock: Arc<Still>,
    board: Arc<Board>,
    stopping: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    fn pages(&self) -> Arc<super::dashboard::Pages> {
        self.current.site().pages.clone()
    }

    async fn connect(&self) -> TcpStream {
        let address = self.address.expect("the server listens on TCP");
        TcpStream::connect(address)
            .await
            .expect("the server listens")
    }

    /// Sends exactly these bytes and reads until the server closes.
    async fn raw(&self, request: &str) -> Answer {
        exchange(self.connect().await, request).await
    }

    async fn ask(&self, method: &str, target: &str, headers: &str) -> Answer {
        self.raw(&format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await
    }

    /// Sends a JSON body.
    async fn post_json(&self, target: &str, body: &str) -> Answer {
        let length = body.len();
        self.raw(&format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "").await
    }
}

/// Sends a request and reads the whole answer. A server that closes early, while the request is still being sent, is not an error: its answer
/// counts.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    let _ = stream.write_all(request.as_bytes()).await;
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text).await;
    let answer = Answer::parse(&String::from_utf8(text).expect("answers are UTF-8"));
    contract::check(request, &answer);
    answer
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    /// Names are in lower case. Several values of a name have a comma between them.
    headers: HashMap<String, String>,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut headers = HashMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let values: &mut String = headers.entry(name.to_lowercase()).or_default();
            if !values.is_empty() {
                *values += ", ";
            }
            *values += value;
        }
        Self {
            status: status.map_or(0, |status| status.parse().expect("a status is a number")),
            headers,
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The last part of a problem's type.
    fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        let kind = problem["type"].as_str().expect("a problem has a type");
        kind.trim_start_matches("urn:openseat:problem:").to_owned()
    }
}

/// The next refresh that the server requests: its queue, and where to send its result.
async fn refresh_of(
    ends: &mut AccountEnds,
) -> (QueueKey, oneshot::Sender<Result<(), RefreshError>>) {
    match ends.asks.recv().await.expect("the server asks") {
        Ask::Refresh { queue, reply } => (queue, reply),
        other => panic!("not a refresh: {other:?}"),
    }
}

fn metrics_text(metrics: &Metrics) -> String {
    metrics.render(
        crate::metrics::Scrape::default(),
        crate::metrics::Format::Text,
    )
}

fn dropped(metrics: &Metrics, cause: &str, count: u32) -> bool {
    let line = format!("openseat_connections_dropped_total{{cause=\"{cause}\"}} {count}\n");
    metrics_text(metrics).contains(&line)
}

/// A client of the config, with its token: `token-of-` and its name.
fn client(
    name: &str,
    may: May,
    queues: Option<&[&str]>,
    in_url: bool,
) -> (config::Client, BearerTokens) {
    let queues = queues.map(|queues| queues.iter().map(|&queue| queue.into()).collect());
    let config = config::Client {
        name: name.into(),
        token_file: "unused".into(),
        queues,
        may,
        in_url,
    };
    (config, (&*format!("token-of-{name}")).into())
}
