//! A daemon that speaks TLS, and whose certificate is renewed while calls arrive.

use std::{fs, path::PathBuf, process::Command};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd,
    generate_simple_self_signed,
};
use reqwest::Certificate;

use crate::support::{CallTools, TestDaemon, TestFolder, Time, soon};

/// Writes a new certificate and its key where the config expects them; returns the certificate, to be trusted.
fn renew(home: &TestFolder) -> Certificate {
    let names = ["localhost".to_owned()];
    let issued = generate_simple_self_signed(names).expect("a certificate");
    let write = |name, text| fs::write(home.path().join(name), text).expect("a file");
    write("cert.pem", issued.cert.pem());
    write("key.pem", issued.signing_key.serialize_pem());
    Certificate::from_der(issued.cert.der()).expect("a certificate")
}

/// A config with TLS that listens at this address.
fn config(calltools: &CallTools, home: &TestFolder, listen: &str) -> PathBuf {
    let path = home.config(&[calltools.account()]);
    let text = fs::read_to_string(&path).expect("the file exists");
    let tls = format!("\"{listen}\"\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"");
    fs::write(&path, text.replace("\"127.0.0.1:0\"", &tls)).expect("a config");
    path
}

/// A client that trusts only this certificate, on a connection of its own.
struct Trusting(reqwest::Client, String);

impl Trusting {
    fn new(daemon: &TestDaemon, trusted: &Certificate) -> Self {
        let client = openseat::process::tls::client_builder()
            .no_proxy()
            .tls_certs_only([trusted.clone()])
            .resolve("localhost", daemon.address)
            .pool_max_idle_per_host(0);
        let port = daemon.address.port();
        let client = client.build().expect("a client");
        Self(client, format!("https://localhost:{port}"))
    }

    /// The answer's status and text.
    async fn post(&self, target: &str) -> reqwest::Result<(u16, String)> {
        let url = format!("{}{target}", self.1);
        let answer = self.0.post(url).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

#[tokio::test]
async fn a_reload_uses_a_renewed_certificate_and_rejects_a_broken_one() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", openseat::simulator::TOKEN);
    let first = renew(&home);
    let path = config(&calltools, &home, "127.0.0.1:0");
    let daemon = TestDaemon::start(&path, &time).await;
    let by_first = Trusting::new(&daemon, &first);

    let second = renew(&home);
    let by_second = Trusting::new(&daemon, &second);
    by_second.post("/v1/reload").await.expect_err("not yet");
    // The config itself has not changed.
    let (status, body) = by_first.post("/v1/reload").await.expect("an answer");
    assert_eq!(status, 200, "{body}");
    by_first.post("/v1/reload").await.expect_err("no more");

    fs::write(home.path().join("key.pem"), "half a key").expect("a file");
    let (status, body) = by_second.post("/v1/reload").await.expect("the old one");
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("unusable-config"), "{body}");
    assert!(body.contains("key.pem has no whole private key"), "{body}");
    let again = by_second.post("/v1/reload").await;
    again.expect("the old one stays in force");
}

#[tokio::test]
async fn a_reload_keeps_a_good_certificate_if_the_new_one_is_out_of_date_or_does_not_match_its_key()
{
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", openseat::simulator::TOKEN);
    let good = renew(&home);
    let keep = |name: &str| fs::read(home.path().join(name)).expect("the file exists");
    let (cert, key) = (keep("cert.pem"), keep("key.pem"));
    let daemon = TestDaemon::start(&config(&calltools, &home, "127.0.0.1:0"), &time).await;
    let client = Trusting::new(&daemon, &good);

    for (from, to, expected) in [
        (2000, 2001, "the certificate expired at 2001-01-01"),
        (2990, 2991, "the certificate is not valid before 2990-01-01"),
    ] {
        let pair = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let issued = params.self_signed(&pair).expect("a certificate");
        fs::write(home.path().join("cert.pem"), issued.pem()).expect("a file");
        fs::write(home.path().join("key.pem"), pair.serialize_pem()).expect("a file");
        let (status, body) = client.post("/v1/reload").await.expect("the good one");
        assert_eq!(status, 422, "{body}");
        assert!(
            body.contains(expected) && body.contains("cert.pem"),
            "{body}"
        );
    }
    // The good certificate with another key.
    fs::write(home.path().join("cert.pem"), cert).expect("a file");
    let (status, body) = client.post("/v1/reload").await.expect("the good one");
    assert_eq!(status, 422, "{body}");
    assert!(body.contains("cannot be used together"), "{body}");
    fs::write(home.path().join("key.pem"), key).expect("a file");
    let (status, body) = client.post("/v1/reload").await.expect("the good one");
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn health_asks_over_tls_without_checking_the_certificate() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", openseat::simulator::TOKEN);
    renew(&home);
    let path = config(&calltools, &home, "127.0.0.1:0");
    let daemon = TestDaemon::start(&path, &time).await;
    // The certificate is renewed, but not yet in use.
    renew(&home);
    let path = config(&calltools, &home, &daemon.address.to_string());
    // It waits 3 s for the daemon, and a busy machine may be later.
    soon("a healthy daemon", async || {
        let mut health = Command::new(env!("CARGO_BIN_EXE_openseat"));
        health.env_clear().args(["health", "--live", "--config"]);
        health.arg(&path);
        let output = tokio::task::spawn_blocking(move || health.output()).await;
        let output = output.expect("no panic").expect("the program starts");
        output.status.success()
    })
    .await;
}

#[tokio::test]
async fn commands_print_the_daemons_address_with_its_scheme() {
    let home = TestFolder::new();
    let calltools = CallTools::start(&Time::new()).await;
    home.set_token("main", openseat::simulator::TOKEN);
    renew(&home);
    // Port 1 has no listener.
    let with_tls = config(&calltools, &home, "127.0.0.1:1");
    let with_tls = fs::read_to_string(with_tls).expect("the file exists");
    let plain = with_tls
        .replace("tls_cert", "# tls_cert")
        .replace("tls_key", "# tls_key");
    let socket = format!("unix:{}", home.path().join("openseat.sock").display());
    for (text, address) in [
        (with_tls.clone(), "https://127.0.0.1:1"),
        (
            with_tls.replace("127.0.0.1:1", "[::1]:1"),
            "https://[::1]:1",
        ),
        (plain.clone(), "http://127.0.0.1:1"),
        (plain.replace("127.0.0.1:1", &socket), &socket),
    ] {
        let path = home.path().join("of-the-command.toml");
        fs::write(&path, text).expect("a config");
        for command in ["health", "status"] {
            let mut asking = Command::new(env!("CARGO_BIN_EXE_openseat"));
            asking.env_clear().args([command, "--config"]).arg(&path);
            let output = tokio::task::spawn_blocking(move || asking.output()).await;
            let output = output.expect("no panic").expect("the program starts");
            let words = String::from_utf8(output.stderr).expect("UTF-8");
            assert!(
                words.contains(&format!("{address}: ")),
                "{command}: {words}"
            );
        }
    }
}

/// The certificates of two servers from one authority: each alone, and as a chain with the authority's.
struct Siblings {
    leaves: [(String, String); 2],
    authority: String,
}

impl Siblings {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let leaf = |name: &str| {
            let params = CertificateParams::new([name.to_owned()]).expect("a name");
            let key = KeyPair::generate().expect("a key");
            let leaf = params.signed_by(&key, &authority).expect("a certificate");
            (leaf.pem(), key.serialize_pem())
        };
        Self {
            leaves: [leaf("openseat.example"), leaf("other.example")],
            authority: authority.pem(),
        }
    }

    /// A certificate, or its whole chain, as PEM.
    fn pem(&self, which: usize, with_authority: bool) -> String {
        let leaf = &self.leaves[which].0;
        match with_authority {
            true => format!("{leaf}{}", self.authority),
            false => leaf.clone(),
        }
    }
}

#[tokio::test]
async fn status_sends_its_token_only_to_the_certificate_in_the_config() {
    let (time, home) = (Time::new(), TestFolder::new());
    let calltools = CallTools::start(&time).await;
    home.set_token("main", openseat::simulator::TOKEN);
    let siblings = Siblings::new();
    let write = |name, text: &str| fs::write(home.path().join(name), text).expect("a file");
    write("cert.pem", &siblings.pem(0, true));
    write("key.pem", &siblings.leaves[0].1);
    let daemon = TestDaemon::start(&config(&calltools, &home, "127.0.0.1:0"), &time).await;
    // The daemon needs no token, but accepts one.
    write("bearer", "0123456789abcdef");
    let path = config(&calltools, &home, &daemon.address.to_string());
    let text = fs::read_to_string(&path).expect("the file exists");
    let with_token = "bearer_token_file = \"./bearer\"\ntls_cert";
    // Without a state folder there is no control socket, so `status` uses TLS.
    let text = text.replace("[state]\ndir = \"state\"\n", "[state]\ndir = false\n");
    fs::write(&path, text.replace("tls_cert", with_token)).expect("a config");
    for (which, with_authority) in [(0, true), (0, false), (1, true), (1, false)] {
        write("cert.pem", &siblings.pem(which, with_authority));
        let mut status = Command::new(env!("CARGO_BIN_EXE_openseat"));
        status.env_clear().args(["status", "--config"]).arg(&path);
        let output = tokio::task::spawn_blocking(move || status.output()).await;
        let output = output.expect("no panic").expect("the program starts");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        let expected = match which {
            0 => "requests spent in the last hour",
            _ => "the TLS handshake failed; a renewed certificate",
        };
        assert!(text.contains(expected), "{which} {with_authority}: {text}");
    }
}
