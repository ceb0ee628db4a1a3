//! The config in force as TOML, with every default. It has no secrets, since it only names where they are.

use std::{fmt::Write as _, path::Path, time::Duration};

use super::{
    Account, Client, Cluster, Config, Listen, Notify, Queue, QueueRef, Rule, Server, Subscription,
    TokenSource, value::shown,
};
use crate::{
    calltools::address::is_readable_by_others,
    decision::criteria::{Criteria, Literal},
    model::{digest::Digest, hours::OpeningHours},
};

impl Config {
    /// Returns the config as a file. Keys that are off are left out.
    pub fn to_toml(&self) -> String {
        let mut text = Table::new("[server]");
        server(&mut text, &self.server);
        for one in &self.server.clients {
            text.header("[[server.client]]");
            client(&mut text, one);
        }
        text.header("[state]");
        match &self.state_dir {
            Some(folder) => text.text("dir", folder.display()),
            None => text.line("dir", false),
        }
        text.line("history_days", self.history_days);
        if let Some(one) = &self.cluster {
            text.header("[cluster]");
            cluster(&mut text, one);
        }
        accounts(&mut text, &self.accounts);
        for one in &self.notify {
            text.header("[[notify]]");
            notify(&mut text, one);
        }
        text.0
    }

    /// Returns a digest of all settings of the accounts and their queues: two processes that read the same file get the same. Of files it has the
    /// names only, since their folders may be relative to where a process was started.
    pub fn digest_of_accounts(&self) -> String {
        let mut text = Table(String::new());
        accounts(&mut text, &self.accounts);
        let line = |line: &str| match line.split_once("_file = ") {
            Some((key, path)) => format!("{key} {}\n", path.rsplit('/').next().unwrap_or(path)),
            None => format!("{line}\n"),
        };
        let lines: String = text.0.lines().map(line).collect();
        Digest::new(lines).short()
    }
}

fn accounts(text: &mut Table, accounts: &[Account]) {
    for one in accounts {
        text.header("[[account]]");
        account(text, one);
        for one in &one.queues {
            text.header("[[account.queue]]");
            queue(text, one);
        }
    }
}

fn cluster(text: &mut Table, cluster: &Cluster) {
    text.text("url", &cluster.url);
    text.optional(
        "password_file",
        cluster
            .password_file
            .as_deref()
            .map(std::path::Path::display),
    );
    text.text("prefix", &cluster.prefix);
    text.duration("lease", Some(cluster.lease));
    text.line("replicas", cluster.replicas);
    text.text("node", &cluster.node);
    text.optional("alone", cluster.alone.as_ref());
}

/// Lines of TOML under construction.
struct Table(String);

impl Table {
    fn new(header: &str) -> Self {
        Self(format!("{header}\n"))
    }

    fn header(&mut self, header: &str) {
        let _ = writeln!(self.0, "\n{header}");
    }

    fn line(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: impl std::fmt::Display) {
        self.line(key, quoted(value));
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let values: Vec<_> = values.map(quoted).collect();
        self.line(key, format!("[{}]", values.join(", ")));
    }

    fn remark(&mut self, remark: &str) {
        let _ = writeln!(self.0, "# {remark}");
    }

    fn optional(&mut self, key: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn duration(&mut self, key: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.line(key, shown(value));
        }
    }
}

fn quoted(value: impl std::fmt::Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

fn server(text: &mut Table, server: &Server) {
    text.list("listen", server.listen.iter().map(Listen::to_string));
    let path = |path: &std::path::PathBuf| path.display().to_string();
    text.optional(
        "bearer_token_file",
        server.bearer_token_file.as_ref().map(path),
    );
    let is_open = server
        .listen
        .iter()
        .any(|listen| listen.beyond_loopback().is_some());
    let agent_check = server.agent_check_listen.map(Listen::Tcp);
    let is_open = is_open || agent_check.is_some_and(|listen| listen.beyond_loopback().is_some());
    text.line(
        "insecure_no_auth",
        is_open && server.bearer_token_file.is_none(),
    );
    text.list("allowed_hosts", server.allowed_hosts.iter().cloned());
    text.optional("tls_cert", server.tls.as_ref().map(|tls| path(&tls.cert)));
    text.optional("tls_key", server.tls.as_ref().map(|tls| path(&tls.key)));
    text.line("max_connections", server.max_connections);
    text.optional("agent_check_listen", server.agent_check_listen);
    text.line("threads", server.threads);
    text.line("metrics_by_status", server.metrics_by_status);
}

fn client(text: &mut Table, client: &Client) {
    text.text("name", &client.name);
    text.text("token_file", client.token_file.display());
    if let Some(queues) = &client.queues {
        text.list("queues", queues.iter().map(ToString::to_string));
    }
    text.text("may", serde_word(&client.may));
    text.line("in_url", client.in_url);
}

fn account(text: &mut Table, account: &Account) {
    let upstream = &account.upstream;
    text.text("name", &account.name);
    text.text("base_url", &upstream.base_url);
    let plain_http = is_readable_by_others(&upstream.base_url);
    text.line("insecure_plain_http", plain_http);
    match &upstream.token {
        TokenSource::File(path) | TokenSource::Credential(path) => {
            text.text("token_file", path.display());
        }
        TokenSource::Env(name) => text.text("token_env", name),
    }
    text.line("requests_per_hour", account.requests_per_hour);
    text.line("reserve", account.reserve);
    text.optional("budget", account.budget.as_ref().map(|budget| &budget.name));
    text.line("sweep", account.schedule.sweep);
    text.line("idle_pace", account.schedule.idle_pace);
    text.text("ordering_field", &upstream.ordering_field);
    text.duration("timeout", Some(upstream.timeout));
    text.duration("connect_timeout", Some(upstream.connect_timeout));
    text.optional("proxy", upstream.proxy.as_ref());
    text.optional(
        "ca_file",
        upstream.ca_file.as_ref().map(|path| path.display()),
    );
}

impl Queue {
    /// Writes what other nodes of a cluster need to know of a queue: its name, its opening hours and its rule.
    pub fn lines(reference: &QueueRef, hours: Option<&OpeningHours>, rule: &Rule) -> String {
        let mut text = Table::new("[[account.queue]]");
        name(&mut text, reference);
        opening(&mut text, hours);
        counted(&mut text, rule);
        text.0
    }

    /// Reads a queue that [`lines`](Self::lines) wrote, on this machine or another.
    pub fn from_lines(lines: &str) -> Option<Self> {
        let text = format!(
            "[[account]]\nname = \"main\"\nbase_url = \"http://127.0.0.1\"\ntoken_env = \"T\"\n{lines}"
        );
        let config = Config::parse(&text, Path::new("another node's"), &|_| None).ok()?;
        let account = config.accounts.into_iter().next()?;
        account.queues.into_iter().next()
    }
}

fn name(text: &mut Table, reference: &QueueRef) {
    match reference {
        QueueRef::Id(id) => text.line("queue", id),
        QueueRef::Name(name) => text.text("queue", name),
    }
}

fn opening(text: &mut Table, hours: Option<&OpeningHours>) {
    if let Some(hours) = hours {
        text.list("open", hours.entries());
        text.text("time_zone", hours.zone());
    }
}

fn counted(text: &mut Table, rule: &Rule) {
    match rule {
        Rule::Seats(rule) => {
            text.duration("forgotten_after", rule.forgotten_after);
            text.line("count_on_call", rule.count_on_call);
        }
        Rule::Custom(criteria) => accept(text, criteria),
    }
}

fn queue(text: &mut Table, queue: &Queue) {
    name(text, &queue.reference);
    let built_in = matches!(queue.rule, Rule::Seats(_));
    if let (true, Some(threshold)) = (built_in, queue.threshold) {
        text.line("threshold", threshold);
    }
    match queue.max_age {
        Some(max_age) => text.duration("max_age", Some(max_age)),
        None => text.remark("max_age follows from the budget; `openseat plan` shows it"),
    }
    text.text("on_unknown", serde_word(&queue.on_unknown));
    opening(text, queue.hours.as_deref());
    text.duration("fresh", queue.patience.map(|patience| patience.fresh));
    text.duration("wait", queue.patience.map(|patience| patience.wait));
    text.line("soon", queue.soon.is_on);
    text.duration("lead", Some(queue.soon.terms.lead()));
    text.duration("patience", Some(queue.soon.terms.patience()));
    text.line("cost", queue.soon.terms.cost());
    counted(text, &queue.rule);
}

fn accept(text: &mut Table, criteria: &Criteria) {
    let definition = criteria.definition();
    text.header("[account.queue.accept]");
    text.text("field", &definition.field);
    text.text("measure", criteria.measured_by());
    text.text("condition", definition.condition);
    match &definition.value {
        Some(Literal::Number(number)) => text.line("value", number),
        Some(Literal::Text(value)) => text.text("value", value),
        Some(Literal::Bool(value)) => text.line("value", value),
        None => {
            if let Some(threshold) = criteria.threshold() {
                text.line("value", threshold);
            }
        }
    }
}

fn notify(text: &mut Table, notify: &Notify) {
    text.text("url_file", notify.url_file.display());
    text.line("insecure_plain_http", notify.insecure_plain_http);
    match &notify.what {
        Subscription::Conditions { on, after } => {
            text.list("on", on.iter().map(|one| one.as_str().to_owned()));
            text.duration("after", Some(*after));
        }
        Subscription::Decisions => text.list("on", ["decision".to_owned()].into_iter()),
    }
    if let Some(queues) = &notify.queues {
        text.list("queues", queues.iter().map(ToString::to_string));
    }
}

/// Returns the name of a variant, as the file writes it.
fn serde_word(word: &impl serde::Serialize) -> String {
    let word = serde_json::to_value(word).expect("a word serializes");
    word.as_str().unwrap_or_default().to_owned()
}
