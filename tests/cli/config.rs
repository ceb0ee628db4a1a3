//! `openseat config`: checks, shows and writes configurations, and sends nothing.

use std::fs;

use crate::{fixture::Fixture, support::TestFolder};

const EXAMPLE: &str = include_str!("../../config.example.toml");

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_printed_unchanged_and_is_a_valid_config() {
    let fixture = Fixture::open().await;
    let output = fixture.run(&["config", "example"]).await.exits(0);
    assert_eq!((&*output.out, &*output.err), (EXAMPLE, ""));
    fixture.home.write("example.toml", &output.out);
    // It names files that this machine does not have.
    let output = fixture
        .run(&["config", "check", "--config", "example.toml"])
        .await
        .exits(2);
    output
        .stderr_has(&["account \"main\": the token file /etc/openseat/main.token cannot be read"]);
    let shown = fixture
        .run(&["config", "show", "--config", "example.toml"])
        .await
        .exits(0);
    shown.stdout_has(&["requests_per_hour = 1000\n", "threshold = 0\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shown_config_has_every_default_no_secret_and_the_same_meaning() {
    let fixture = Fixture::open().await;
    let shown = fixture.run(&["config", "show"]).await.exits(0);
    let shown = shown.stdout_has(&[
        "[server]\nlisten = [\"127.0.0.1:7717\"]\n",
        "[state]\ndir = ",
        "name = \"main\"\n",
        "requests_per_hour = 1000\nreserve = 50\n",
        "ordering_field = \"agent_status_modified_on\"\n",
        "queue = \"sales-queue\"\nthreshold = 0\n",
    ]);
    fixture.home.write("shown.toml", &shown.out);
    let again = fixture
        .run(&["config", "show", "--config", "shown.toml"])
        .await
        .exits(0);
    assert_eq!(again.out, shown.out);
    let good = fixture
        .run(&["config", "check", "--config", "shown.toml"])
        .await
        .exits(0);
    assert_eq!(good.out, "good: 1 account, 1 queue\n");
    // And it decides the same.
    let decision = |json: serde_json::Value| json["queues"][0]["accept"].clone();
    let first = decision(fixture.check(&["--json"]).await.exits(0).json());
    let second = fixture.check(&["--json", "--config", "shown.toml"]).await;
    assert_eq!(first, decision(second.exits(0).json()));
}

#[tokio::test(flavor = "multi_thread")]
async fn config_check_reads_every_file_that_the_config_names_and_lists_all_mistakes_at_once() {
    let fixture = Fixture::open().await;
    let server = "[server]\nbearer_token_file = \"./bearer.token\"\ntls_cert = \"./cert.pem\"\ntls_key = \"./key.pem\"\n\
        [[server.client]]\nname = \"buyer-7\"\ntoken_file = \"./buyer-7.token\"\n\
        [[server.client]]\nname = \"buyer-8\"\ntoken_file = \"./buyer-8.token\"\n\
        [[server.client]]\nname = \"buyer-9\"\ntoken_file = \"./buyer-9.token\"\n";
    let account = fixture.account("main", "\nqueue = \"sales-queue\"\n");
    let account = account.replace("token_file", "ca_file = \"./ca.pem\"\ntoken_file");
    let other = fixture.account("other", "\nqueue = \"sales-queue\"\n");
    let other = other.replace(
        "token_file = \"./other.token\"",
        "ca_file = \"./none.pem\"\ntoken_env = \"NO_SUCH_TOKEN\"",
    );
    let notify = "\n[[notify]]\nurl_file = \"./slack.url\"\non = [\"bad_token\"]\n";
    let cluster =
        "\n[cluster]\nurl = \"redis://redis.internal\"\npassword_file = \"./redis.password\"\n";
    let config = format!("{server}[state]\ndir = \"state\"\n{account}{other}{notify}{cluster}");
    fixture.home.write("openseat.toml", &config);
    fixture.home.write("main.token", "one two");
    fixture.home.write("ca.pem", "no certificate");
    fixture.home.write("cert.pem", "no certificate");
    fixture.home.write("key.pem", "no key");
    fixture.home.write("slack.url", "no address");
    fixture.home.write("buyer-7.token", "short");
    fixture
        .home
        .write("buyer-8.token", "0123456789abcdef0123456789abcdef");
    fixture
        .home
        .write("buyer-9.token", "0123456789abcdef0123456789abcdef");
    let output = fixture.run(&["config", "check"]).await.exits(2);
    assert_eq!(output.out, "");
    let output = output.stderr_has(&[
        "account \"main\": the token file ",
        "main.token has",
        "account \"main\": ca_file holds no certificate in PEM form",
        "warning: account \"other\": the environment variable NO_SUCH_TOKEN is not set",
        "account \"other\": ca_file ",
        "none.pem cannot be read",
        "the password file ",
        "redis.password cannot be read",
        "the bearer token file ",
        "bearer.token cannot be read",
        "client \"buyer-7\": the bearer token file ",
        "has fewer than 16 characters",
        "client \"buyer-9\": another caller has one of its tokens",
        "tls_cert ",
        "has no whole certificate in PEM form",
        "tls_key ",
        "has no whole private key in PEM form",
        "slack.url has no address; write one line such as https://",
    ]);
    assert!(!output.err.contains("buyer-8"), "{}", output.err);
    assert_eq!(output.err.lines().count(), 11, "{}", output.err);
    // The daemon does not start, and names the same mistakes.
    let started = fixture.run(&["run"]).await.exits(1);
    let lines = output.err.lines().map(|line| {
        let line = line.strip_prefix("openseat: ").unwrap_or(line);
        line.strip_prefix("warning: ").unwrap_or(line)
    });
    let named: Vec<_> = lines.filter(|line| !started.err.contains(line)).collect();
    assert!(named.is_empty(), "{named:?}\n{}", started.err);
    assert_eq!(started.err.lines().count(), 11, "{}", started.err);
    assert_eq!(fixture.calltools.simulator.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn good_files_pass_and_an_expired_certificate_is_a_warning() {
    let fixture = Fixture::open().await;
    let account = fixture.account("main", "\nqueue = \"sales-queue\"\n");
    let account = account.replace("token_file", "ca_file = \"./cert.pem\"\ntoken_file");
    let config = format!(
        "[server]\nbearer_token_file = \"./bearer.token\"\ntls_cert = \"./cert.pem\"\ntls_key = \"./key.pem\"\n\
         [state]\ndir = \"state\"\n{account}"
    );
    fixture.home.write("openseat.toml", &config);
    fixture
        .home
        .write("bearer.token", "0123456789abcdef0123456789abcdef");
    let write = |year: i32| {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fixture.home.write("cert.pem", &certificate.pem());
        fixture.home.write("key.pem", &key.serialize_pem());
    };
    write(2100);
    let output = fixture.run(&["config", "check"]).await.exits(0);
    assert_eq!(
        (&*output.out, &*output.err),
        ("good: 1 account, 1 queue\n", "")
    );
    write(2021);
    let output = fixture.run(&["config", "check"]).await.exits(0);
    output.stderr_has(&["warning: tls_cert "]);
    // A key that belongs to another certificate.
    let key = rcgen::KeyPair::generate().expect("a key");
    fixture.home.write("key.pem", &key.serialize_pem());
    let output = fixture.run(&["config", "check"]).await.exits(2);
    output.stderr_has(&["cannot be used together"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_show_report_all_mistakes_in_a_config() {
    let home = TestFolder::new();
    home.write(
        "openseat.toml",
        "[server]\nlisten = \"nowhere\"\n[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"TOKEN\"\ncolour = \"red\"\n[[account.queue]]\nqueue = \"a\"\nthreshold = -1\n",
    );
    for command in ["check", "show"] {
        let output = crate::fixture::run(home.path(), &["config", command], &[])
            .await
            .exits(2);
        let output = output.stderr_has(&[
            "openseat.toml:2:",
            "unknown key `colour`",
            "openseat.toml:10:",
        ]);
        assert_eq!(output.out, "");
    }
    fs::remove_file(home.path().join("openseat.toml")).expect("the file exists");
    let output = crate::fixture::run(home.path(), &["config", "check"], &[])
        .await
        .exits(2);
    output.stderr_has(&["openseat init"]);
}
