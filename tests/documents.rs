//! The documents say what is there: every metric, endpoint, command, reason and config that README.md and docs/METRICS.md
//! name exists, and none is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use openseat::{
    cli::args::Cli,
    clock::{Clock, SystemClock},
    config::Config,
    daemon::Daemon,
    decision::Reason,
    metrics::STATUS_LABELS,
    simulator::{Settings, Simulator, TOKEN, WorldSettings},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const README: &str = include_str!("../README.md");
const METRICS: &str = include_str!("../docs/METRICS.md");

const RULES: &str = include_str!("../deploy/prometheus/openseat.rules.yml");
const DASHBOARD: &str = include_str!("../deploy/grafana/openseat.json");

/// Far more than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon and its simulated CallTools, both gone when dropped.
struct Running {
    address: SocketAddr,
    daemon: JoinHandle<()>,
    _calltools: openseat::simulator::Serving,
    _folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.daemon.abort();
    }
}

impl Running {
    async fn start() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let world = WorldSettings::lively();
        let simulator = Simulator::new(Settings::new(world), Arc::clone(&clock));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let calltools = simulator.serve(listener).expect("a simulator");
        let queue = simulator.world(|world| world.queues()[0].name.clone());
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nmax_connections = 2\n[state]\ndir = \"state\"\n\
             [[account]]\nname = \"main\"\nbase_url = \"{}\"\ntoken_file = \"./token\"\n\
             [[account.queue]]\nqueue = {}\n",
            calltools.base_url(),
            toml::Value::from(queue),
        );
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN).expect("a token");
        let path = folder.path().join("openseat.toml");
        let config = Config::parse(&text, &path, &|_| None).expect("a config");
        let daemon = Daemon::new(&config, clock).await.expect("a daemon");
        let address = daemon.listeners()[0].local_addr().expect("TCP");
        let daemon = tokio::spawn(async move {
            daemon
                .run(std::future::pending())
                .await
                .expect("it runs until it is dropped");
        });
        Self {
            address,
            daemon,
            _calltools: calltools,
            _folder: folder,
        }
    }

    /// Asks until there is an answer: while all connections are taken there is none.
    async fn ask(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        // Nothing is kept open: the test counts connections.
        let client = reqwest::Client::builder().no_proxy();
        let client = client.pool_max_idle_per_host(0).build().expect("a client");
        loop {
            if let Ok(response) = client.get(&url).send().await {
                let status = response.status().as_u16();
                return (status, response.text().await.expect("a text"));
            }
            tokio::task::yield_now().await;
        }
    }

    async fn ready(&self) {
        while self.ask("/readyz").await.0 != 200 {
            tokio::task::yield_now().await;
        }
    }

    async fn post(&self, path: &str, body: &'static str) -> u16 {
        let url = format!("http://{}{path}", self.address);
        let client = reqwest::Client::builder().no_proxy();
        let client = client.pool_max_idle_per_host(0).build().expect("a client");
        let answer = client.post(url).body(body).send().await;
        answer.expect("an answer").status().as_u16()
    }

    /// As a router does that sends a call.
    async fn hold_a_seat(&self) {
        let (_, queues) = self.ask("/v1/queues").await;
        let queues: serde_json::Value = serde_json::from_str(&queues).expect("JSON");
        let id = &queues["queues"][0]["queue_id"];
        let path = format!("/v1/queues/{id}/reservations");
        assert_eq!(self.post(&path, "{\"call_id\": \"a\"}").await, 201);
    }

    /// Opens more connections than may be: two that hold, one in case that an earlier one still counted, one too many.
    async fn overfill(&self) {
        let mut open = Vec::new();
        for _ in 0..4 {
            let connection = TcpStream::connect(self.address).await;
            open.push(connection.expect("a connection"));
        }
        let mut newest = open.pop().expect("four were opened");
        let read = newest.read(&mut [0]).await;
        assert!(!matches!(read, Ok(1..)), "nobody asked anything");
    }
}

/// A metric's type and labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// What a scrape in the text format shows.
fn scraped(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').expect("a name and a type");
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (name, labels) = sample(line);
            let family = ["", "_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|family| families.contains_key(*family));
            let family = family.unwrap_or_else(|| panic!("{line} belongs to no family"));
            let known = families.get_mut(family).expect("found just now");
            known.1.extend(labels.filter(|label| label != "le"));
        }
    }
    families
}

/// A sample's name and the names of its labels; good for label values without `,` and `=`.
fn sample(line: &str) -> (&str, impl Iterator<Item = String>) {
    let end = line.find(['{', ' ']).expect("a name");
    let labels = line[end..]
        .strip_prefix('{')
        .and_then(|rest| rest.split_once('}'));
    let labels = labels.map_or("", |(labels, _)| labels);
    let names = labels.split(',').filter_map(|label| label.split_once('='));
    (&line[..end], names.map(|(name, _)| name.to_owned()))
}

/// What the document's tables of metrics say.
fn documented() -> Families {
    let mut families = Families::new();
    for line in METRICS.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _] = cells[..] else {
            continue;
        };
        let Some(name) = quoted(name).next() else {
            continue;
        };
        let labels = quoted(labels).map(str::to_owned).collect();
        families.insert(name.to_owned(), (kind.to_owned(), labels));
    }
    families
}

/// What stands between backquotes, outside of blocks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A document without its blocks of code.
fn prose(document: &str) -> String {
    document.split("```").step_by(2).collect()
}

/// The blocks of code in a language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = document.split("```").skip(1).step_by(2);
    blocks
        .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'))
        .collect()
}

#[tokio::test]
async fn every_metric_is_documented_with_its_type_and_labels() {
    let work = async {
        let running = Running::start().await;
        running.ready().await;
        running.hold_a_seat().await;
        running.overfill().await;
        running.ask("/metrics").await
    };
    let (_, text) = tokio::time::timeout(PATIENCE, work).await.expect("in time");
    let (there, said) = (scraped(&text), documented());
    for (name, family) in &there {
        assert_eq!(Some(family), said.get(name), "docs/METRICS.md on {name}");
    }
    for name in said.keys() {
        assert!(
            there.contains_key(name),
            "docs/METRICS.md knows {name}, and a scrape does not"
        );
    }
    assert!(METRICS.contains(&format!("at most {STATUS_LABELS} of them")));
}

#[test]
fn rules_and_dashboard_name_metrics_that_there_are() {
    let known = documented();
    let samples = |name: &str| {
        let histogram = ["_bucket", "_sum", "_count"];
        let base = histogram.iter().find_map(|end| name.strip_suffix(end));
        known.contains_key(name) || base.is_some_and(|base| known.contains_key(base))
    };
    for (file, text) in [("the rules", RULES), ("the dashboard", DASHBOARD)] {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        let names: BTreeSet<_> = words
            .filter(|word| word.starts_with("openseat_") || word.starts_with("process_"))
            .collect();
        assert!(names.len() > 5, "{file}");
        for name in names {
            assert!(
                samples(name),
                "{file} know {name}, docs/METRICS.md does not"
            );
        }
    }
}

/// An expression or a rule's file without comments, line ends and indents.
fn flat(text: &str) -> String {
    let code = text.lines().filter_map(|line| line.split('#').next());
    let words = code.flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_expressions_that_are_shown_are_those_of_the_rules_which_are_tested() {
    let rules = flat(RULES);
    let blocks = blocks(METRICS, "promql");
    let shown = blocks.iter().flat_map(|block| block.split("\n\n"));
    let shown: Vec<_> = shown.map(flat).collect();
    assert!(shown.len() > 4);
    for expression in shown {
        let rule = [
            format!("expr: {expression} for:"),
            format!("expr: | {expression} for:"),
        ];
        assert!(
            rule.iter().any(|rule| rules.contains(rule)),
            "docs/METRICS.md shows an expression of no rule: {expression}"
        );
    }
}

#[test]
fn rules_and_dashboard_take_the_known_reasons_for_known() {
    for (file, text) in [("the rules", RULES), ("the dashboard", DASHBOARD)] {
        let text = text.replace("\\\"", "\"");
        let listed: Vec<_> = text.split("reason!~\"").skip(1).collect();
        assert!(!listed.is_empty(), "{file}");
        for list in listed {
            let list = list.split('"').next().expect("it is closed");
            for reason in Reason::ALL {
                let is_listed = list.split('|').any(|word| word == reason.word());
                assert_eq!(is_listed, reason.is_known(), "{file} on {reason}");
            }
        }
    }
}

#[tokio::test]
async fn every_endpoint_is_documented() {
    let work = async { Running::start().await.ask("/").await };
    let (_, index) = tokio::time::timeout(PATIENCE, work).await.expect("in time");
    let requests = index.lines().filter(|line| {
        ["GET ", "POST ", "DELETE "]
            .iter()
            .any(|method| line.starts_with(method))
    });
    let mut seen = 0;
    for line in requests {
        let request = line.split("  ").next().expect("a request").trim();
        assert!(
            README.contains(&format!("`{request}`")) || README.contains(&format!("`{request}?")),
            "README.md lacks {request}"
        );
        seen += 1;
    }
    assert!(seen > 10, "{index}");
}

#[test]
fn every_config_in_the_readme_is_taken() {
    let env = |name: &str| (name == "CALLTOOLS_API_TOKEN").then(|| TOKEN.to_owned());
    let configs = blocks(README, "toml");
    assert!(configs.len() > 1);
    for text in configs {
        let parsed = Config::parse(text, Path::new("README.md"), &env);
        parsed.unwrap_or_else(|error| panic!("{error}"));
    }
    let first = blocks(README, "toml")[0].lines().count();
    assert_eq!(first, 5, "the first config has five lines");
}

#[test]
fn every_command_in_the_readme_can_be_given() {
    let prose = prose(README);
    let blocks = blocks(README, "sh");
    let lines = blocks.iter().flat_map(|block| block.lines());
    let lines = lines.filter_map(|line| line.split('#').next());
    let commands = quoted(&prose).chain(lines).filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("openseat ")
            .or_else(|| line.strip_prefix("cargo run --release -- "))
    });
    let mut named = BTreeSet::new();
    for command in commands {
        let words = std::iter::once("openseat").chain(command.split_whitespace());
        if let Err(error) = Cli::try_parse_from(words) {
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{command}: {error}");
        }
        named.extend(command.split_whitespace().next().map(str::to_owned));
    }
    for command in Cli::command().get_subcommands() {
        assert!(
            named.contains(command.get_name()),
            "README.md lacks {}",
            command.get_name()
        );
    }
}

#[test]
fn every_reason_is_documented() {
    for reason in Reason::ALL {
        let row = format!("\n| `{reason}` |");
        assert!(README.contains(&row), "README.md lacks {reason}");
        assert!(
            METRICS.contains(&format!("`{reason}`")),
            "docs/METRICS.md lacks {reason}"
        );
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "tests/daemon/MATRIX.md",
        "deploy/routers/README.md",
        "docs/METRICS.md",
        "deploy/README.md",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in documents {
        let path = root.join(document);
        let text = std::fs::read_to_string(&path).expect(document);
        for link in text.split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap_or_default();
            let known = link.is_empty()
                || link.starts_with("https://")
                || path.with_file_name(link).exists();
            assert!(known, "{document} links to {link}");
        }
    }
}
