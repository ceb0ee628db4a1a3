//! Simulated CallTools for a thousand accounts, behind one TLS listener in this process. It accepts any number of connections and finds an account
//! with one lookup, so that it does not limit the measurement.

use std::{
    collections::HashMap,
    convert::Infallible,
    fs, io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use openseat::calltools::{Reply, Transport};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc::UnboundedSender, oneshot},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use crate::account::Account;

/// What is wrong with all answers of an account.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// No answer comes.
    Hang,
    /// Answers come at once, but the list never ends.
    Flood,
    /// Each answer is a list of 10 MB.
    Large,
}

/// An answer that is about to be sent. It waits until this is dropped.
pub struct Answered {
    pub body: Bytes,
    _sent: oneshot::Sender<()>,
}

/// The size of a large answer: below the size that openseat rejects.
const LARGE: usize = 10 * 1_000 * 1_000;

/// See the [module](self). Dropping it closes everything.
pub struct Upstream {
    pub base_url: String,
    desks: Arc<HashMap<String, Desk>>,
    connections: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// The endpoint of one account.
struct Desk {
    transport: Arc<dyn Transport>,
    trouble: Mutex<Option<Trouble>>,
    observer: Mutex<Option<UnboundedSender<Answered>>>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// Serves the accounts, and writes its certificate to a file.
    pub async fn start(accounts: &[Account], certificate: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let desk = |account: &Account| {
            let desk = Desk {
                transport: account.transport(),
                trouble: Mutex::new(None),
                observer: Mutex::new(None),
            };
            (account.authorization(), desk)
        };
        let desks: Arc<HashMap<_, _>> = Arc::new(accounts.iter().map(desk).collect());
        let base_url = format!("https://{address}/api/");
        let acceptor = acceptor(certificate).expect("a certificate");
        let connections = Arc::default();
        let task = tokio::spawn(accept(
            listener,
            acceptor,
            Arc::clone(&desks),
            base_url.clone().into(),
            Arc::clone(&connections),
        ));
        Self {
            base_url,
            desks,
            connections,
            task,
        }
    }

    /// Breaks all answers of the account from now on, or repairs them with `None`.
    pub fn set_trouble(&self, account: &Account, trouble: Option<Trouble>) {
        *self.desk(account).trouble.lock().expect("no panic") = trouble;
    }

    /// Announces each answer to the account, which is sent once the observer drops the announcement.
    pub fn announce(&self, account: &Account, observer: UnboundedSender<Answered>) {
        *self.desk(account).observer.lock().expect("no panic") = Some(observer);
    }

    /// How many connections were opened so far. Accounts share them.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    fn desk(&self, account: &Account) -> &Desk {
        &self.desks[&account.authorization()]
    }
}

fn acceptor(certificate: &Path) -> io::Result<TlsAcceptor> {
    openseat::process::tls::use_ring();
    let pair =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    fs::write(certificate, pair.cert.pem())?;
    let key =
        PrivateKeyDer::try_from(pair.signing_key.serialize_der()).map_err(io::Error::other)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    desks: Arc<HashMap<String, Desk>>,
    base_url: Arc<str>,
    opened: Arc<AtomicU64>,
) {
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("enough descriptors");
        opened.fetch_add(1, Relaxed);
        // Otherwise the last packet of an answer may wait until the others are acknowledged, which takes 40 ms.
        stream.set_nodelay(true).expect("a TCP socket");
        let (acceptor, desks) = (acceptor.clone(), Arc::clone(&desks));
        connections.spawn(connection(stream, acceptor, desks, Arc::clone(&base_url)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    desks: Arc<HashMap<String, Desk>>,
    base_url: Arc<str>,
) {
    // A client may disconnect at any time.
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let (desks, base_url) = (Arc::clone(&desks), Arc::clone(&base_url));
        async move { Ok::<_, Infallible>(answer(&desks, &base_url, request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

async fn answer(
    desks: &HashMap<String, Desk>,
    base_url: &str,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let authorization = request.headers()[header::AUTHORIZATION].to_str();
    let desk = &desks[authorization.expect("a token is text")];
    let trouble = *desk.trouble.lock().expect("no panic");
    if let Some(Trouble::Hang) = trouble {
        std::future::pending::<()>().await;
    }
    let target = request.uri().path_and_query().expect("a path").as_str();
    let target = target.trim_start_matches("/api/");
    let reply = desk.transport.get(target).await;
    let Reply {
        status,
        mut headers,
        mut body,
    } = reply.expect("the simulator is in this process and does not fail");
    let observer = desk.observer.lock().expect("no panic").clone();
    if let Some(observer) = observer {
        let (_sent, sent) = oneshot::channel();
        let body = body.clone();
        // Without an observer, nothing waits.
        if observer.send(Answered { body, _sent }).is_ok() {
            let _ = sent.await;
        }
    }
    if let Some(trouble) = trouble {
        (headers, body) = spoil(trouble, target, base_url, &body);
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Makes a good list endless or large.
fn spoil(trouble: Trouble, target: &str, base_url: &str, body: &[u8]) -> (HeaderMap, Bytes) {
    let mut list: Value = serde_json::from_slice(body).expect("the simulator sends JSON");
    match trouble {
        Trouble::Flood => {
            let (rest, page) = target.rsplit_once("&page=").unwrap_or((target, "1"));
            let next = page.parse::<u64>().map_or(2, |page| page + 1);
            list["count"] = json!(1_000_000);
            list["next"] = json!(format!("{base_url}{rest}&page={next}"));
        }
        Trouble::Hang | Trouble::Large => {
            let rows = list["results"].as_array_mut().expect("a list has rows");
            let filler = "x".repeat(LARGE / rows.len().max(1));
            for row in rows {
                row["note"] = json!(filler);
            }
        }
    }
    let mut headers = HeaderMap::new();
    let json = header::HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    (headers, list.to_string().into())
}
