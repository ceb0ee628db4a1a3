//! The OpenAPI document matches the server: every answer in every test of the server must be in the document.

use std::{collections::BTreeSet, sync::LazyLock};

use boon::{Compiler, Schemas};
use serde_json::json;

use super::*;
use crate::server::{http::problem_types, routes};

const HERE: &str = "https://openseat.example/openapi.json";

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let json = routes::DOCUMENT.to_json();
    serde_json::from_str(&json).expect("the document is JSON")
});

/// The document's operation for a request, if there is one.
fn described(method: &str, path: &str) -> Option<(String, &'static Value)> {
    let method = if method == "HEAD" { "GET" } else { method };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let mut fitting: Vec<_> = paths
        .iter()
        .filter(|(known, _)| fits(known, path))
        .collect();
    // If two paths match, the one with fewer parameters.
    fitting.sort_by_key(|(known, _)| known.matches('{').count());
    let (known, operations) = fitting.first()?;
    let method = method.to_lowercase();
    let operation = operations.get(&method)?;
    let pointer = format!(
        "/paths/{}/{method}",
        known.replace('~', "~0").replace('/', "~1")
    );
    Some((pointer, operation))
}

fn fits(known: &str, path: &str) -> bool {
    let (known, path): (Vec<_>, Vec<_>) = (known.split('/').collect(), path.split('/').collect());
    let part = |(known, given): (&&str, &&str)| {
        known == given || (known.starts_with('{') && !given.is_empty())
    };
    known.len() == path.len() && known.iter().zip(&path).all(part)
}

/// Panics if the document does not describe this answer.
#[track_caller]
pub(super) fn check(request: &str, answer: &Answer) {
    let mut words = request.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    if matches!(answer.status, 204 | 304) {
        assert_eq!(answer.header("content-length"), None, "{method} {target}");
    }
    let path = target.split('?').next().unwrap_or_default();
    let Some((pointer, operation)) = described(method, path) else {
        return;
    };
    // No answer, or hyper's own answer to a request that it cannot parse.
    if answer.status == 0
        || (answer.status == 400 && answer.header("content-type").is_none())
        || answer.status == 431
    {
        return;
    }
    let status = answer.status.to_string();
    let response = &operation["responses"][&status];
    assert!(
        response.is_object(),
        "{method} {path} answers {status}, which the document does not describe: {answer:?}"
    );
    let media = answer
        .header("content-type")
        .map(|media| media.split(';').next().unwrap_or_default());
    let contents = response["content"].as_object();
    let Some(media) = media else {
        assert!(answer.body.is_empty(), "{method} {path}: {answer:?}");
        return;
    };
    let known = contents.is_some_and(|contents| contents.contains_key(media));
    assert!(
        known,
        "{method} {path} answers {status} as {media}, which the document does not describe"
    );
    if media.ends_with("json") && method != "HEAD" {
        let media = media.replace('/', "~1");
        let schema = format!("{pointer}/responses/{status}/content/{media}/schema");
        validate(&schema, &answer.json());
    }
}

/// Checks a value against a schema of the document, and that the document describes all its members.
#[track_caller]
fn validate(pointer: &str, value: &Value) {
    let mut compiler = Compiler::new();
    compiler.enable_format_assertions();
    compiler.add_resource(HERE, strict()).expect("a document");
    let mut schemas = Schemas::new();
    let escaped =
        percent_encoding::utf8_percent_encode(pointer, percent_encoding::NON_ALPHANUMERIC);
    let schema = compiler.compile(&format!("{HERE}#{escaped}"), &mut schemas);
    let schema = schema.unwrap_or_else(|error| panic!("{pointer}: {error:#}"));
    if let Err(error) = schemas.validate(value, schema) {
        panic!("{pointer}\n{error:#}\n{value:#}");
    }
}

/// The document, changed so that objects which list their members allow no others.
fn strict() -> Value {
    let mut document = DOCUMENT.clone();
    let schemas = document["components"]["schemas"]
        .as_object_mut()
        .expect("schemas");
    for (name, schema) in schemas {
        let is_open = name == "Problem" || schema.get("additionalProperties").is_some();
        if schema.get("properties").is_some() && !is_open {
            schema["additionalProperties"] = json!(false);
        }
    }
    document
}

#[test]
fn every_operation_is_fully_described() {
    let mut ids = BTreeSet::new();
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let what = format!("{method} {path}");
            let id = operation["operationId"].as_str().expect("a name");
            assert!(!id.is_empty() && ids.insert(id), "{what}: {id}");
            assert!(
                !operation["summary"].as_str().expect("a line").is_empty(),
                "{what}"
            );
            let responses = operation["responses"].as_object().expect("answers");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{what}"
            );
            for (status, response) in responses {
                let means = response["description"].as_str().expect("a description");
                assert!(!means.is_empty(), "{what} {status}");
            }
        }
    }
    assert_eq!(ids.len(), routes::operations().len());
}

#[test]
fn every_problem_is_described() {
    let all = DOCUMENT.to_string();
    for problem in problem_types::ALL {
        assert!(
            all.contains(&format!("\"{}\"", problem.urn())),
            "{problem:?}"
        );
    }
    let others = DOCUMENT["components"]["responses"].as_object();
    let others: Vec<_> = others.expect("answers").iter().collect();
    let names: Vec<_> = others.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["method-not-allowed", "no-such-path"]);
    for (name, response) in others {
        let base = format!("/components/responses/{name}/content/application~1problem+json");
        let examples = &response["content"]["application/problem+json"]["examples"];
        validate(&format!("{base}/schema"), &examples[name]["value"]);
    }
    assert!(
        DOCUMENT["components"]["responses"]["method-not-allowed"]["headers"]["Allow"].is_object()
    );
}

#[test]
fn every_example_matches_its_schema() {
    let mut seen = 0;
    for (path, operations) in DOCUMENT["paths"].as_object().expect("paths") {
        let path = path.replace('/', "~1");
        for (method, operation) in operations.as_object().expect("operations") {
            let base = format!("/paths/{path}/{method}");
            let bodies = operation["responses"].as_object().expect("answers").iter();
            let bodies =
                bodies.map(|(status, response)| (format!("{base}/responses/{status}"), response));
            let bodies = bodies.chain([(format!("{base}/requestBody"), &operation["requestBody"])]);
            for (base, body) in bodies {
                for (media, content) in body["content"].as_object().into_iter().flatten() {
                    let named = content["examples"].as_object().into_iter().flatten();
                    let examples = named
                        .map(|(_, example)| &example["value"])
                        .chain(content.get("example"));
                    for example in examples {
                        assert!(
                            !media.ends_with("json") || !example.is_string(),
                            "{base}: {example}"
                        );
                        validate(
                            &format!("{base}/content/{}/schema", media.replace('/', "~1")),
                            example,
                        );
                        seen += 1;
                    }
                }
            }
            for (place, parameter) in operation["parameters"]
                .as_array()
                .expect("a list")
                .iter()
                .enumerate()
            {
                validate(
                    &format!("{base}/parameters/{place}/schema"),
                    &parameter["example"],
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
#[should_panic(expected = "which the document does not describe")]
fn an_undocumented_answer_is_detected() {
    let answer = Answer::parse("HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\n\r\n{}");
    check("GET /v1/queues HTTP/1.1\r\n", &answer);
}

#[test]
#[should_panic(expected = "additional")]
fn an_undocumented_member_is_detected() {
    let answer = Answer::parse(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"queues\":[],\"more\":1}",
    );
    check("GET /v1/queues HTTP/1.1\r\n", &answer);
}

#[tokio::test]
async fn the_document_and_the_router_have_the_same_operations() {
    let server = World::with(&["main/sales"]).serve().await;
    for operation in routes::operations() {
        let path = operation.path().replace(['{', '}'], "");
        // The answer to a wrong method lists the path's methods.
        let answer = server.ask("PATCH", &path, "").await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed: BTreeSet<_> = answer
            .header("allow")
            .expect("methods")
            .split(',')
            .collect();
        let operations = DOCUMENT["paths"][operation.path()]
            .as_object()
            .expect("a path");
        let mut listed: BTreeSet<_> = operations
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        if listed.contains("GET") {
            listed.insert("HEAD".to_owned());
        }
        assert_eq!(
            allowed,
            listed.iter().map(String::as_str).collect(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_document_and_the_page_are_served_and_load_nothing() {
    let server = World::with(&["main/sales"]).serve().await;
    let document = server.get("/openapi.json").await;
    assert_eq!(document.json(), *DOCUMENT);
    let page = server.get("/docs").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    for operation in routes::operations() {
        let path = operation.path();
        assert!(
            page.body.contains(path) || path.contains("{account}/{queue}"),
            "{path}"
        );
    }
    for word in [
        "src=", "<script", "http://", "https://", "@import", "url(", "style=",
    ] {
        assert!(!page.body.contains(word), "{word}");
    }
    let targets: BTreeSet<_> = page.body.split(" id=\"").skip(1).map(first_word).collect();
    let links = page.body.split("href=\"#").skip(1).map(first_word);
    for link in links {
        assert!(targets.contains(link), "#{link}");
    }
}

fn first_word(text: &str) -> &str {
    text.split('"').next().unwrap_or_default()
}

/// Whether a text matches the documented schema of a parameter, or of a member of a body.
pub(super) fn documented(schema: &Value) -> impl Fn(&str) -> bool + use<> {
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler
        .add_resource(HERE, schema.clone())
        .expect("a schema");
    let place = compiler.compile(HERE, &mut schemas).expect("a schema");
    move |text| schemas.validate(&json!(text), place).is_ok()
}

/// The documented schema of a parameter of a GET.
pub(super) fn parameter(path: &str, name: &str) -> &'static Value {
    let parameters = DOCUMENT["paths"][path]["get"]["parameters"].as_array();
    let mut parameters = parameters.expect("a list").iter();
    let found = parameters.find(|one| one["name"] == name);
    &found.expect("the answer is documented")["schema"]
}

/// Durations around every limit, and texts that are not durations.
fn durations() -> Vec<String> {
    let numbers = [
        0, 1, 2, 4, 5, 6, 9, 10, 11, 59, 60, 61, 99, 100, 599, 600, 601, 999, 1000, 1500, 2999,
        3000, 3599, 3600, 3601, 4999, 5000, 5001, 9999, 10_000, 59_999, 99_999, 100_000, 599_999,
        600_000, 600_001, 999_999, 1_000_000,
    ];
    let mut texts: Vec<String> = [
        "", "0", "00", "s", "ms", "-1s", "+1s", "1.5s", " 1s", "1s ", "1 s", "1s\n", "1S", "1ms1s",
        "1h 30m", "١s", "1e3ms",
    ]
    .map(str::to_owned)
    .to_vec();
    for number in numbers {
        for unit in ["ms", "s", "m", "h", "", "d", "us", "sec"] {
            texts.push(format!("{number}{unit}"));
            texts.push(format!("0{number}{unit}"));
        }
    }
    texts
}

#[tokio::test]
async fn durations_are_accepted_exactly_as_documented() {
    let server = World::with(&["main/sales"]).serve().await;
    let ask = async |query: String| {
        let answer = server
            .get(&format!("/v1/queues/sales/decision?{query}"))
            .await;
        answer.status == 200
    };
    let schema = |name| parameter("/v1/queues/{queue}/decision", name);
    let documented_ttl =
        &DOCUMENT["components"]["schemas"]["ReservationRequest"]["properties"]["ttl"];
    let mut ttl = documented_ttl.clone();
    ttl["type"] = json!("string");
    let (fresh, wait, ttl) = (
        documented(schema("fresh")),
        documented(schema("wait")),
        documented(&ttl),
    );
    let reserve = documented(schema("reserve"));
    assert!(wait("1500ms") && wait("5s") && !wait("5001ms") && !wait("6s"));
    assert!(fresh("60m") && fresh("3600s") && !fresh("61m") && !fresh("3601s") && !fresh("2h"));
    for text in durations() {
        let in_query: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        assert_eq!(
            ask(format!("fresh={in_query}")).await,
            fresh(&text),
            "fresh {text:?}"
        );
        assert_eq!(
            ask(format!("wait={in_query}")).await,
            wait(&text),
            "wait {text:?}"
        );
        assert_eq!(
            ask(format!("call_id=call&reserve={in_query}")).await,
            reserve(&text),
            "reserve {text:?}"
        );
        let body = json!({ "call_id": "call", "ttl": text }).to_string();
        let answer = server
            .post_json("/v1/queues/sales/reservations", &body)
            .await;
        // 409: the queue is unknown, so no seat is held.
        assert_eq!(answer.status == 409, ttl(&text), "ttl {text:?} {answer:?}");
    }
}
