//! Endpoints, reasons, problems, and the curl examples in the pages.

use std::collections::BTreeSet;

use openseat::{decision::Reason, simulator::TOKEN};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{Page, TIMEOUT, pages, read, running::Running};

/// The address of openseat in the pages' examples.
const HOME: &str = "http://127.0.0.1:7717";

/// Its address in examples that use a Unix socket.
const HOME_AT_A_SOCKET: &str = "http://openseat";

const METHODS: [&str; 3] = ["GET ", "POST ", "DELETE "];

/// The requests that the daemon lists at `/`.
async fn requests() -> Vec<String> {
    let work = async { Running::start().await.ask("/").await };
    let (_, index) = tokio::time::timeout(TIMEOUT, work).await.expect("in time");
    let lines = index.lines().filter(|line| is_request(line));
    let requests: Vec<_> = lines
        .map(|line| {
            line.split("  ")
                .next()
                .expect("a request")
                .trim()
                .to_owned()
        })
        .collect();
    assert!(requests.len() > 10, "{index}");
    requests
}

fn is_request(text: &str) -> bool {
    METHODS.iter().any(|method| text.starts_with(method))
}

/// A request as the pages write it, without its query.
fn without_query(request: &str) -> &str {
    request.split('?').next().unwrap_or_default()
}

/// Whether a documented request is this one; `…` stands for the beginning of a path.
fn means(documented: &str, request: &str) -> bool {
    let (documented_method, documented_path) =
        documented.split_once(' ').expect("a method and a path");
    let (method, path) = request.split_once(' ').expect("a method and a path");
    documented_method == method
        && match documented_path.strip_prefix('…') {
            Some(end) => path.ends_with(end),
            None => path == documented_path,
        }
}

#[tokio::test]
async fn exactly_the_existing_endpoints_are_documented() {
    let requests = requests().await;
    let pages = pages();
    let documented: BTreeSet<String> = pages
        .iter()
        .flat_map(Page::quoted)
        .filter(|text| is_request(text))
        .map(|text| without_query(&text).to_owned())
        .collect();
    for request in &requests {
        assert!(documented.contains(request), "docs/ lacks {request}");
    }
    for request in documented {
        let exists = requests.iter().any(|one| means(&request, one));
        assert!(exists, "docs/ has {request}, but the daemon does not");
    }
}

#[test]
fn every_reason_is_documented_with_what_to_do() {
    let (api, troubles, metrics) = (
        read("docs/http-api.md"),
        read("docs/troubleshooting.md"),
        read("docs/metrics.md"),
    );
    let documented = api.first_cells("## Reasons");
    assert_eq!(
        documented,
        Reason::ALL
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    );
    for reason in Reason::ALL {
        let reason_text = reason.to_string();
        let explains = |page: &Page| page.quoted().contains(&reason_text);
        assert!(explains(&metrics), "docs/metrics.md lacks {reason}");
        if *reason != Reason::Seats {
            assert!(
                explains(&troubles),
                "docs/troubleshooting.md lacks {reason}"
            );
        }
    }
}

/// Problems and their statuses, as the daemon's own reference at `/docs` lists them.
async fn problems() -> BTreeSet<String> {
    let work = async { Running::start().await.ask("/docs").await };
    let (_, page) = tokio::time::timeout(TIMEOUT, work).await.expect("in time");
    let section = page.split("id=\"problems\"").nth(1).expect("a section");
    let section = section.split("<h2").next().unwrap_or_default();
    let rows = section.split("<tr>").filter_map(|row| {
        let (word, rest) = row.split_once("<code>")?.1.split_once("</code>")?;
        let is_digit = |letter: char| letter.is_ascii_digit();
        let status = rest.get(rest.find(is_digit)?..)?.get(..3)?;
        Some(format!("{word} {status}"))
    });
    let problems: BTreeSet<_> = rows.filter(|row| !row.starts_with("urn:")).collect();
    assert!(problems.len() > 20, "{problems:?}");
    problems
}

#[tokio::test]
async fn exactly_the_existing_problems_are_documented() {
    let problems = problems().await;
    let page = read("docs/http-api.md");
    let mut documented = BTreeSet::new();
    for line in page.text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [word, statuses, _] = cells[..]
            && statuses.starts_with(|c: char| c.is_ascii_digit())
        {
            let statuses = statuses.split(", ");
            documented
                .extend(statuses.map(|status| format!("{} {status}", word.trim_matches('`'))));
        }
    }
    assert_eq!(documented, problems, "docs/http-api.md");
}

/// Splits a command line into words, as a shell does, up to a comment or an operator.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#' | '|' | '&' | ';' | '>') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// The request of a curl command line.
struct Example {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Example {
    /// Reads a command line; `None` if it does not ask openseat.
    fn parse(line: &str) -> Option<Self> {
        let mut words = words(line).into_iter();
        if words.next()? != "curl" {
            return None;
        }
        let (mut method, mut body, mut url) = (None, None, None);
        let mut headers = Vec::new();
        while let Some(word) = words.next() {
            let mut next = || words.next().expect("the option has a value");
            match &*word {
                "-i" | "-N" => {}
                "--unix-socket" => drop(next()),
                "-X" => method = Some(next()),
                "-d" => body = Some(next()),
                "-H" => {
                    let header = next();
                    let (name, value) = header.split_once(": ").expect("a header");
                    headers.push((name.to_owned(), value.to_owned()));
                }
                option if option.starts_with('-') => {
                    panic!("{line}: this test does not support {option}")
                }
                _ => url = Some(word),
            }
        }
        let url = url.expect("curl has a URL");
        let path = [HOME, HOME_AT_A_SOCKET]
            .iter()
            .find_map(|home| url.strip_prefix(home))?;
        let method = method.unwrap_or_else(|| match body {
            Some(_) => "POST".to_owned(),
            None => "GET".to_owned(),
        });
        Some(Self {
            method: method.parse().expect("a method"),
            path: path.to_owned(),
            headers,
            body,
        })
    }

    /// Sends it; `call` is the id of a reservation for examples that release one.
    async fn send(&self, running: &Running, call: &str) -> StatusCode {
        let path = match self.path.contains("$id") {
            true => self.path.replace("$id", &running.reserve(call).await),
            false => self.path.clone(),
        };
        let mut request = running.request(self.method.clone(), &path);
        for (name, value) in &self.headers {
            request = request.header(name, value.replace("$CALLTOOLS_API_TOKEN", TOKEN));
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        // A stream has no end, so only its head is read.
        request.send().await.expect("an answer").status()
    }

    /// Whether a reader may expect this status. Seats come and go.
    fn may_get(&self, status: StatusCode) -> bool {
        status.is_success()
            || status == StatusCode::FORBIDDEN && self.path.contains("format=status")
            || status == StatusCode::CONFLICT && self.path.ends_with("/reservations")
    }
}

#[tokio::test]
async fn examples_with_curl_are_answered() {
    let work = async {
        let running = Running::start().await;
        running.ready().await;
        let mut sent = 0;
        for page in pages() {
            for line in page.shell_lines() {
                let Some(example) = Example::parse(&line) else {
                    continue;
                };
                let status = example.send(&running, &format!("call {sent}")).await;
                assert!(example.may_get(status), "{}: {line}: {status}", page.name);
                sent += 1;
            }
        }
        assert!(sent > 10, "only {sent} examples");
    };
    tokio::time::timeout(TIMEOUT, work).await.expect("in time");
}

/// The fields of a JSON object.
fn fields(text: &str) -> BTreeSet<String> {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let object = value.as_object().expect("an object");
    object.keys().cloned().collect()
}

#[tokio::test]
async fn the_decision_shown_has_the_fields_of_a_real_one() {
    let work = async {
        let running = Running::start().await;
        running.ready().await;
        running.ask("/v1/queues/sales-queue/decision").await
    };
    let (_, real) = tokio::time::timeout(TIMEOUT, work).await.expect("in time");
    let real = fields(&real);
    let api = read("docs/http-api.md");
    assert_eq!(fields(api.blocks("json")[0]), real);
    for page in ["README.md", "docs/getting-started.md"].map(read) {
        let shown = page.blocks("console")[0];
        let (_, shown) = shown.split_once('\n').expect("a command and its answer");
        assert_eq!(fields(shown), real, "{}", page.name);
    }
    // These are not in every answer.
    let sometimes = ["detail", "likely", "needed", "reservation", "warning"];
    let explained: BTreeSet<_> =
        api.prose()
            .split("## The decision")
            .nth(1)
            .map_or_else(BTreeSet::new, |section| {
                let rows = section.split("\n## ").next().unwrap_or_default().lines();
                let cells = rows.filter_map(|row| row.strip_prefix("| ")?.split(" |").next());
                cells
                    .flat_map(crate::quoted)
                    .filter(|field| !sometimes.contains(field))
                    .map(str::to_owned)
                    .collect()
            });
    assert_eq!(explained, real);
}

#[test]
fn a_command_line_is_split_as_a_shell_does_it() {
    let line = "curl -d '{\"a\":\"b c\"}' \"http://x/$id\"  # why";
    assert_eq!(
        words(line),
        ["curl", "-d", "{\"a\":\"b c\"}", "http://x/$id"]
    );
}
