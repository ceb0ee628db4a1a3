use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair};
use reqwest::Certificate;

use super::*;
use crate::{config::TlsFiles, fixtures::available, server::TlsError};

/// Far more than loopback needs on a busy machine, and less than a head may take in these tests.
const AT_ONCE: Duration = Duration::from_secs(30);

/// How long a head may take where nothing may wait for it.
const VERY_LONG: Duration = Duration::from_secs(60);

/// A certificate for `localhost` and its key, in files.
struct Files {
    folder: tempfile::TempDir,
    files: TlsFiles,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name| folder.path().join(name);
        let files = TlsFiles {
            cert: place("cert.pem"),
            key: place("key.pem"),
        };
        Self { folder, files }
    }

    /// Writes a new certificate, changed by `change`; returns it, to be trusted.
    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let names = ["localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let cert = params.self_signed(&key).expect("a certificate");
        write(&self.files.cert, &cert.pem());
        write(&self.files.key, &key.serialize_pem());
        Certificate::from_der(cert.der()).expect("a certificate")
    }

    fn renew(&self) -> Certificate {
        self.issue(|_| {})
    }

    fn read(&self) -> Result<Tls, TlsError> {
        Tls::read(&self.files, Still::new().now())
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
}

/// A client that trusts only this certificate, and keeps no connection.
fn client(server: &Server, trusted: &Certificate) -> reqwest::Client {
    crate::process::tls::client_builder()
        .no_proxy()
        .tls_certs_only([trusted.clone()])
        .resolve(
            "localhost",
            server.address.expect("the server listens on TCP"),
        )
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

async fn ask(server: &Server, trusted: &Certificate) -> reqwest::Result<String> {
    let port = server.address.expect("the server listens on TCP").port();
    let url = format!("https://localhost:{port}/v1/queues/sales/decision?format=text");
    client(server, trusted).get(url).send().await?.text().await
}

fn world(files: &Files) -> World {
    let mut world = World::with(&["main/sales"]);
    world.tls = Some(files.read().expect("a certificate"));
    world.publish("main/sales", available(1));
    world
}

#[tokio::test]
async fn a_decision_comes_over_tls() {
    let files = Files::new();
    let trusted = files.renew();
    let metrics = {
        let world = world(&files);
        let metrics = world.metrics.clone();
        let server = world.serve().await;
        let answer = ask(&server, &trusted).await.expect("an answer");
        assert!(answer.starts_with("accept"), "{answer}");
        metrics
    };
    assert!(!metrics_text(&metrics).contains("openseat_connections_dropped_total{"));
}

#[tokio::test]
async fn a_cookie_set_over_our_tls_is_secure_whatever_the_headers_say() {
    let files = Files::new();
    let trusted = files.renew();
    let mut world = world(&files);
    world.bearer = Some("s3cret".into());
    let server = world.serve().await;
    let port = server.address.expect("the server listens on TCP").port();
    for path in ["login", "logout"] {
        let request = client(&server, &trusted).post(format!("https://localhost:{port}/{path}"));
        let request = request
            .header("X-Forwarded-Proto", "http")
            .body("token=s3cret");
        let answer = request.send().await.expect("an answer");
        let cookie = answer.headers().get("set-cookie").expect("a cookie");
        let cookie = cookie.to_str().expect("text");
        assert!(cookie.ends_with("; Secure"), "{path}: {cookie}");
    }
}

#[tokio::test]
async fn plain_http_at_a_tls_port_is_refused_at_once_and_counted() {
    let files = Files::new();
    let other = Files::new().renew();
    files.renew();
    let mut world = world(&files);
    world.limits.head = VERY_LONG;
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let refused = tokio::time::timeout(AT_ONCE, server.get("/livez")).await;
    assert_eq!(refused.expect("the answer comes at once").status, 0);
    assert!(dropped(&metrics, "tls_failed", 1));
    // So is a client that trusts another certificate.
    ask(&server, &other)
        .await
        .expect_err("the client does not trust the certificate");
    let counted = async {
        while !dropped(&metrics, "tls_failed", 2) {
            tokio::task::yield_now().await;
        }
    };
    let counted = tokio::time::timeout(AT_ONCE, counted).await;
    counted.expect("the client sends an alert");
}

#[tokio::test]
async fn a_stalled_handshake_is_cut_and_delays_no_other_client() {
    let files = Files::new();
    let trusted = files.renew();
    let mut world = world(&files);
    // Long enough for a whole handshake on a busy machine.
    world.limits.head = Duration::from_secs(2);
    let metrics = world.metrics.clone();
    let server = world.serve().await;
    let mut stalls = server.connect().await;
    // The beginning of a handshake.
    stalls
        .write_all(&[0x16, 3, 1])
        .await
        .expect("the connection is open");
    assert!(
        ask(&server, &trusted).await.is_ok(),
        "other clients do not wait for it"
    );
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(AT_ONCE, stalls.read_to_end(&mut rest)).await;
    let _ = cut.expect("the connection is closed");
    assert!(dropped(&metrics, "slow_request", 1));
}

#[tokio::test]
async fn a_stop_waits_for_no_handshake() {
    let files = Files::new();
    files.renew();
    let mut world = world(&files);
    world.limits.head = VERY_LONG;
    world.limits.drain = VERY_LONG;
    let mut server = world.serve().await;
    let _silent = server.connect().await;
    server.stop.cancel();
    let ended = tokio::time::timeout(AT_ONCE, &mut server.task).await;
    ended
        .expect("the server stops in time")
        .expect("the server stops without an error");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_after_the_app_was_replaced() {
    let files = Files::new();
    let first = files.renew();
    let server = world(&files).serve().await;
    assert!(ask(&server, &first).await.is_ok());
    let second = files.renew();
    assert!(ask(&server, &second).await.is_err(), "not in force yet");
    let next = world(&files);
    let app = next.app();
    server.current.replace(app);
    assert!(ask(&server, &second).await.is_ok());
    assert!(
        ask(&server, &first).await.is_err(),
        "the old certificate is still used"
    );
}

#[tokio::test]
async fn unix_sockets_stay_plain() {
    let files = Files::new();
    files.renew();
    let path = files.folder.path().join("socket");
    let _server = world(&files).serve_at(&Listen::Unix(path.clone())).await;
    let stream = tokio::net::UnixStream::connect(path).await;
    let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = exchange(stream.expect("the server listens"), request).await;
    assert_eq!(answer.status, 200);
}

#[test]
fn invalid_certificate_files_are_rejected_without_showing_a_key() {
    let (files, other) = (Files::new(), Files::new());
    files.renew();
    other.renew();
    let key = fs::read_to_string(&files.files.key).expect("a key");
    let secret = key.lines().nth(1).expect("a line of Base64").to_owned();
    let cut: String = key.chars().take(key.len() / 2).collect();
    let own = |path: &Path| fs::read_to_string(path).expect("a file");
    for (text, words) in [
        (own(&other.files.key), "cannot be used together"),
        (own(&files.files.cert), "has no whole private key"),
        (cut, "has no whole private key"),
        (key.replace("PRIVATE", "ENCRYPTED PRIVATE"), "passphrase"),
        (format!("-----BEGIN {secret}\n"), "has no whole private key"),
        ("k".repeat(200_000), "it has more than 131072 bytes"),
    ] {
        write(&files.files.key, &text);
        let error = files.read().expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains(&secret), "{error}");
    }
    for (text, words) in [
        ("", "has no whole certificate"),
        (key.as_str(), "has no whole certificate"),
    ] {
        write(&files.files.cert, text);
        let error = files.read().expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    fs::remove_file(&files.files.cert).expect("the file exists");
    let error = files.read().expect_err("the file is missing").to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn the_drop_ins_second_page_uses_tls_like_the_first() {
    let files = Files::new();
    let trusted = files.renew();
    let mut world = world(&files);
    world.account("main", TOKEN);
    world.publish("main/sales", available(30));
    let server = world.serve().await;
    let port = server.address.expect("the server listens on TCP").port();
    let client = client(&server, &trusted);
    let mut url = Some(format!(
        "https://localhost:{port}/api/agentstatuses/?page_size=20"
    ));
    let mut rows = 0;
    while let Some(page) = url {
        let request = client
            .get(page)
            .header("authorization", format!("Token {TOKEN}"));
        let answer = request.send().await.expect("an answer").text().await;
        let page: Value = serde_json::from_str(&answer.expect("a text")).expect("JSON");
        rows += page["results"].as_array().expect("rows").len();
        url = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(rows, 30);
}
