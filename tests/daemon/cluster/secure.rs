//! An engine that speaks TLS.

use std::process::Command;

use openseat::cluster::local::LocalEngine;
use rcgen::{CertificateParams, KeyPair};

use super::{
    engines::{at_a_port, is_up, redis_cli},
    *,
};
use crate::tls::{Authority, authority};

/// An engine at a port that speaks only TLS, with a certificate from this authority for `localhost`.
async fn secure(folder: &TestFolder, authority: &Authority) -> (LocalEngine, u16) {
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    folder.write("cert.pem", &certificate.pem());
    folder.write("key.pem", &key.serialize_pem());
    let file = |name| folder.path().join(name).display().to_string();
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    at_a_port(async |port| {
        let port = port.to_string();
        let more = [
            ["--tls-port", &port],
            ["--tls-cert-file", &cert],
            ["--tls-key-file", &key],
            ["--tls-auth-clients", "no"],
        ];
        let server = LocalEngine::with(more.as_flattened()).expect("redis-server with TLS");
        let answers = || redis_cli(&server, &["ping"]).is_some();
        is_up(server.id(), answers).await.then_some(server)
    })
    .await
}

/// A node that trusts this authority and no other.
async fn trusting(authority: &Authority, port: u16, calltools: &CallTools) -> Node {
    with_variables(&[], authority, port, calltools).await
}

/// The same with more environment variables.
async fn with_variables(
    variables: &[(&str, &str)],
    authority: &Authority,
    port: u16,
    calltools: &CallTools,
) -> Node {
    let home = TestFolder::new();
    home.set_token("main", TOKEN);
    home.write("authority.pem", &authority.pem());
    let account = calltools.account_with("", "max_age = \"60s\"");
    let url = format!("rediss://localhost:{port}/0");
    let config = home.config(&[cluster(&url, 0, ""), account]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_openseat"));
    command.args(["run", "--config"]).arg(&config).env_clear();
    command.env("SSL_CERT_FILE", home.path().join("authority.pem"));
    command.envs(variables.iter().copied());
    let program = Program::launch(&home, command);
    let address = program.address().await;
    Node {
        home,
        config,
        program: Some(program),
        address,
        place: watch::Sender::new(Some(address)),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn an_engine_with_tls_is_used_if_its_certificate_is_trusted_and_refused_otherwise() {
    let calltools = CallTools::start(&Time::new()).await;
    let (good, foreign) = (authority("Test authority"), authority("Foreign authority"));
    let folder = TestFolder::new();
    let (_redis, port) = secure(&folder, &good).await;
    let stranger = trusting(&foreign, port, &calltools).await;
    let log = stranger.program.as_ref().expect("the process runs");
    let log = log.logs("the cluster's engine is lost").await;
    for words in [
        "certificate is from an authority that this machine does not trust",
        "SSL_CERT_FILE",
    ] {
        assert!(log.contains(words), "{log}");
    }

    let missing = [("SSL_CERT_DIR", "/nonexistent")];
    let misled = with_variables(&missing, &good, port, &calltools).await;
    let log = misled.program.as_ref().expect("the process runs");
    let log = log.logs("the cluster's engine is lost").await;
    assert!(
        log.contains("/nonexistent") && log.contains("SSL_CERT_DIR"),
        "{log}"
    );
    drop(misled);

    let node = trusting(&good, port, &calltools).await;
    soon("it leads and knows the queue", async || {
        node.leads().await && known(&node.decision().await)
    })
    .await;
    node.reaches_the_engine().await;
    // The other one still waits: it has sent nothing, and shows why.
    assert!(!stranger.leads().await && !known(&stranger.decision().await));
    assert_eq!(stranger.metric("openseat_cluster_up").await, Some(0.0));
}
