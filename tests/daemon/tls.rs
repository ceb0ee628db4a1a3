//! Invalid certificates in front of a healthy CallTools.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring::default_provider,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::support::{Answer, LONG_TIMEOUTS, TestDaemon, TestFolder, Time, Wire, account, known};

/// What a client gets at the connection.
#[derive(Clone)]
enum Front {
    /// TLS with a certificate, and CallTools upstream of it.
    Shows(Arc<ServerConfig>),
    /// These bytes; then the connection is closed.
    Says(&'static [u8]),
}

/// Terminates TLS in front of a server.
struct Gate {
    port: u16,
    front: Arc<Mutex<Front>>,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    async fn before(wire: &Wire, front: Front) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let front = Arc::new(Mutex::new(front));
        let (shown, upstream) = (Arc::clone(&front), wire.address);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let front = shown.lock().expect("no holder panics").clone();
                tokio::spawn(async move {
                    match front {
                        Front::Says(bytes) => stream.write_all(bytes).await,
                        Front::Shows(config) => {
                            let mut stream = TlsAcceptor::from(config).accept(stream).await?;
                            let mut calltools = TcpStream::connect(upstream).await?;
                            tokio::io::copy_bidirectional(&mut stream, &mut calltools)
                                .await
                                .map(|_| ())
                        }
                    }
                });
            }
        });
        Self { port, front, task }
    }

    fn set(&self, front: Front) {
        *self.front.lock().expect("no holder panics") = front;
    }
}

pub type Authority = CertifiedIssuer<'static, KeyPair>;

pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new([]).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

/// A server with a certificate from this authority, changed as the test wants.
fn shows(authority: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Front {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("key and certificate match");
    Front::Shows(Arc::new(config))
}

/// A daemon that trusts `authority`, and its CallTools upstream a gate.
struct Fixture {
    time: Time,
    wire: Wire,
    gate: Gate,
    daemon: TestDaemon,
    home: TestFolder,
}

impl Fixture {
    async fn start(authority: &Authority, front: Front) -> Self {
        let (time, home, wire) = (Time::new(), TestFolder::new(), Wire::start().await);
        let gate = Gate::before(&wire, front).await;
        home.set_token("main", "tls0token0tls0token0tls0token0tls0token0");
        std::fs::write(home.path().join("ca.pem"), authority.pem()).expect("a file");
        let base_url = format!("https://localhost:{}/api/", gate.port);
        let lines = format!("{LONG_TIMEOUTS}\nca_file = \"./ca.pem\"");
        let queue = ["queue = \"sales\"\nmax_age = \"20s\""];
        let daemon = home
            .start(&time, &[account("main", &base_url, &lines, &queue)])
            .await;
        Self {
            time,
            wire,
            gate,
            daemon,
            home,
        }
    }

    /// Reloads with this text in the file of authorities. Returns the answer.
    async fn trust(&self, pem: &str) -> Answer {
        std::fs::write(self.home.path().join("ca.pem"), pem).expect("a file");
        self.daemon.post("/v1/reload").await
    }
}

#[tokio::test]
async fn u10_an_invalid_certificate_is_never_accepted() {
    let (ours, foreign, forged) = (authority("ours"), authority("foreign"), authority("ours"));
    let good = || shows(&ours, "localhost", |_| {});
    let fixture = Fixture::start(&ours, good()).await;
    fixture.daemon.decides("sales", known).await;
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
    };
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(2999, 1, 1);
    for (what, front, says) in [
        (
            "expired",
            shows(&ours, "localhost", expired),
            "expired on 2020-02-01",
        ),
        (
            "not yet valid",
            shows(&ours, "localhost", early),
            "is not valid before 2999-01-01",
        ),
        (
            "another host's",
            shows(&ours, "elsewhere.test", |_| {}),
            "is not valid for localhost, but for elsewhere.test",
        ),
        (
            "a stranger's",
            shows(&foreign, "localhost", |_| {}),
            "is from an authority that this machine does not trust",
        ),
        (
            "another authority with the name of ours",
            shows(&forged, "localhost", |_| {}),
            "has a wrong signature",
        ),
        // A fatal alert, protocol_version: a server that is too old for TLS 1.2.
        (
            "too old",
            Front::Says(b"\x15\x03\x01\x00\x02\x02\x46"),
            "protocol version",
        ),
        (
            "no TLS",
            Front::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "the server's answer is not TLS",
        ),
        (
            "an authority's own",
            shows(&ours, "localhost", |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            "is an authority's own certificate, which a server may not use",
        ),
        (
            "a client's",
            shows(&ours, "localhost", |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "is not for use by a server",
        ),
    ] {
        fixture.gate.set(front);
        let unknown = fixture
            .daemon
            .comes_to(&fixture.time, "sales", "upstream_down")
            .await;
        let detail = unknown["detail"].as_str().expect("an unknown is explained");
        assert!(
            detail.contains("no secure connection to localhost"),
            "{what}: {detail}"
        );
        assert!(detail.contains(says), "{what}: {detail}");
        assert!(fixture.daemon.outcomes("tls").await > 0.0, "{what}");
        // No HTTP was sent any more.
        let heads = fixture.wire.heads().len();
        fixture.time.pass(Duration::from_secs(20)).await;
        assert_eq!(fixture.wire.heads().len(), heads, "{what}");
        fixture.gate.set(good());
        let healed = fixture
            .daemon
            .comes_to(&fixture.time, "sales", "seats")
            .await;
        assert_eq!(healed["count"], 1, "{what}");
    }
}

#[tokio::test]
async fn a_reload_trusts_the_authorities_that_are_in_the_file_now() {
    let (ours, foreign) = (authority("ours"), authority("foreign"));
    let fixture = Fixture::start(&foreign, shows(&ours, "localhost", |_| {})).await;
    let (daemon, time) = (&fixture.daemon, &fixture.time);
    daemon.comes_to(time, "sales", "upstream_down").await;
    let reloaded = fixture.trust(&ours.pem()).await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    assert_eq!(reloaded.json()["accounts_started"][0], "main");
    daemon.comes_to(time, "sales", "seats").await;
    let again = fixture.trust(&ours.pem()).await;
    assert_eq!(again.json()["accounts_started"], serde_json::json!([]));

    let refused = fixture.trust("rubbish").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let detail = refused.json()["detail"].to_string();
    assert!(
        detail.contains("account \\\"main\\\": ca_file holds no certificate"),
        "{detail}"
    );
    let heads = fixture.wire.heads().len();
    time.pass(Duration::from_secs(60)).await;
    assert!(known(&daemon.decision("sales").await));
    assert!(fixture.wire.heads().len() > heads);

    // No connection from before is used any more.
    assert_eq!(fixture.trust(&foreign.pem()).await.status, 200);
    let heads = fixture.wire.heads().len();
    daemon.comes_to(time, "sales", "upstream_down").await;
    assert_eq!(fixture.wire.heads().len(), heads);
}
