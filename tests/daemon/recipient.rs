//! A server that receives notifications. A test can make it fail or hang, and it records every request.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring::default_provider, pki_types::PrivatePkcs8KeyDer},
};

use crate::support::TestFolder;

/// Part of every address in these tests, which nothing that openseat writes may contain.
pub const SECRET: &str = "T0SECRET0B0SECRET";

/// How the server answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Manner {
    /// It answers with this status and these additional headers.
    Answers(u16, &'static str),
    /// It never answers.
    Hangs,
}

/// A server that receives messages and pushes.
pub struct Recipient {
    pub address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    /// Every request in the order of arrival: its body, and whether it was answered with 200.
    requests: Arc<Mutex<Vec<(Value, bool)>>>,
    /// By queue: requests in progress, and the most at once.
    pub crowd: Arc<Mutex<Vec<(String, usize, usize)>>>,
    task: JoinHandle<()>,
}

impl Drop for Recipient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recipient {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("the socket is bound");
        let manner = Arc::new(Mutex::new(Manner::Answers(200, "")));
        let (requests, crowd) = (Arc::default(), Arc::default());
        let (manner_now, seen, busy) = (
            Arc::clone(&manner),
            Arc::clone(&requests),
            Arc::clone(&crowd),
        );
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let parts = (
                    Arc::clone(&manner_now),
                    Arc::clone(&seen),
                    Arc::clone(&busy),
                );
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

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("no holder panics") = manner;
    }

    /// Writes its address into a file of this name.
    pub fn address_into(&self, home: &TestFolder, name: &str) {
        let url = format!("http://{}/services/{SECRET}?sig={SECRET}\n", self.address);
        home.write(name, &url);
    }

    /// The bodies that it answered with 200.
    pub fn taken(&self) -> Vec<Value> {
        let requests = self.requests.lock().expect("no holder panics");
        let taken = requests.iter().filter(|(_, taken)| *taken);
        taken.map(|(body, _)| body.clone()).collect()
    }

    /// `event condition` of each message that it answered with 200.
    pub fn messages(&self) -> Vec<String> {
        let text =
            |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let line =
            |message: &Value| format!("{} {}", text(message, "event"), text(message, "condition"));
        self.taken().iter().map(line).collect()
    }

    /// How many requests there were, including those that failed.
    pub fn attempts(&self) -> usize {
        self.requests.lock().expect("no holder panics").len()
    }
}

type Parts = (
    Arc<Mutex<Manner>>,
    Arc<Mutex<Vec<(Value, bool)>>>,
    Arc<Mutex<Vec<(String, usize, usize)>>>,
);

async fn serve(mut stream: TcpStream, (manner, seen, crowd): Parts) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        assert!(head.contains("content-type: application/json"), "{head}");
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length = length
            .lines()
            .next()
            .expect("a line")
            .parse()
            .expect("a number");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let queue = body["queue"].as_str().unwrap_or_default().to_owned();
        let manner = manner.lock().expect("no holder panics").clone();
        let taken = matches!(manner, Manner::Answers(200, _));
        seen.lock().expect("no holder panics").push((body, taken));
        enter(&crowd, &queue);
        let Manner::Answers(status, headers) = manner else {
            // Until the client gives up.
            let _ = stream.read_u8().await;
            leave(&crowd, &queue);
            return Ok(());
        };
        // Long enough that a second request would overlap the first.
        tokio::time::sleep(Duration::from_millis(1)).await;
        leave(&crowd, &queue);
        let answer = format!("HTTP/1.1 {status} x\r\n{headers}Content-Length: 2\r\n\r\nok");
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn enter(crowd: &Mutex<Vec<(String, usize, usize)>>, queue: &str) {
    let mut crowd = crowd.lock().expect("no holder panics");
    if !crowd.iter().any(|(name, ..)| name == queue) {
        crowd.push((queue.to_owned(), 0, 0));
    }
    let of_queue = crowd.iter_mut().find(|(name, ..)| name == queue);
    let (_, now, most) = of_queue.expect("the queue has an entry");
    *now += 1;
    *most = (*most).max(*now);
}

fn leave(crowd: &Mutex<Vec<(String, usize, usize)>>, queue: &str) {
    let mut crowd = crowd.lock().expect("no holder panics");
    let of_queue = crowd.iter_mut().find(|(name, ..)| name == queue);
    of_queue.expect("the queue has an entry").1 -= 1;
}

/// Terminates TLS in front of a recipient, for the name `localhost`. Returns the port and the self-signed certificate.
pub async fn behind_tls(recipient: &Recipient) -> (u16, String) {
    let issued =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key.into())
        .expect("a key that fits");
    let (acceptor, behind) = (TlsAcceptor::from(Arc::new(config)), recipient.address);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("the socket is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut recipient = TcpStream::connect(behind).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut recipient).await
            });
        }
    });
    (port, issued.cert.pem())
}
