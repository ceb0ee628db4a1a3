//! The OpenAPI document, made once from the operations.

use std::collections::BTreeMap;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use strum::VariantArray;

use super::{Answer, Content, Guard, Operation, ProblemType, Tag, path_parameter};
use crate::server::http::{
    params::{Parameter, Shape},
    problem, problem_types,
};

const PROBLEM_JSON: &str = "application/problem+json";

const ABOUT: &str = "Accept or reject, answered from memory: whether a CallTools queue has an agent who would take a call now.

HEAD works wherever GET does. Any other path is 404 `no-such-path`; another method is 405 `method-not-allowed`, with `Allow`; query parameters \
that openseat does not know are ignored, but for slips in `threshold`, `format`, `fresh`, `wait` and `reserve`, which are 400. Errors are problem JSON (RFC 9457); under `/api/` they look as CallTools' do. Pages for people are not \
listed here. A browser that has logged in may use everything that is asked with GET. Answers may get more members later: ignore those that you do not know.";

/// The OpenAPI document, for programs and for the reference page.
pub(in crate::server) struct Document {
    pub(super) value: Value,
}

impl Document {
    pub(in crate::server) fn new(operations: &[Operation]) -> Self {
        let mut schemas = Schemas::new();
        let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for operation in operations {
            let method = operation.method().as_str().to_lowercase();
            let described = describe(operation, &mut schemas);
            let path = paths.entry(operation.path()).or_default();
            path.insert(method, described);
        }
        // The answers with problems refer to it.
        schemas.written.subschema_for::<problem::ProblemJson>();
        let tag = |tag: &Tag| json!({ "name": tag.name(), "description": tag.meaning() });
        let tags: Vec<_> = Tag::VARIANTS.iter().map(tag).collect();
        let value = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "openseat",
                "version": env!("CARGO_PKG_VERSION"),
                "description": ABOUT,
                "license": { "name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE") },
            },
            // Relative to the document's own address.
            "servers": [{ "url": "/" }],
            "tags": tags,
            "paths": paths,
            "components": {
                "schemas": schemas.all(),
                "responses": other_responses(operations),
                "securitySchemes": security_schemes(),
            },
        });
        Self { value }
    }

    pub(in crate::server) fn to_json(&self) -> String {
        self.value.to_string()
    }
}

/// Schemas of answers and of request bodies: serde treats optional members differently in the two.
struct Schemas {
    written: SchemaGenerator,
    read: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            written: settings().for_serialize().into_generator(),
            read: settings().for_deserialize().into_generator(),
        }
    }

    fn all(mut self) -> Map<String, Value> {
        let mut all = self.written.take_definitions(true);
        all.extend(self.read.take_definitions(true));
        all
    }
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag.name()],
        "summary": operation.summary,
        "security": security(operation.guard()),
        "parameters": parameters(operation),
        "responses": responses(operation, schemas),
    });
    if !operation.more.is_empty() {
        described["description"] = operation.more.into();
    }
    if let Some(body) = operation.body {
        described["requestBody"] = json!({
            "required": true,
            "content": { body.media: media(body, &mut schemas.read) },
        });
    }
    described
}

fn security(guard: Guard) -> Value {
    match guard {
        Guard::Bearer | Guard::Page => json!([{}, { "bearer": [] }]),
        Guard::Probe | Guard::Open => json!([]),
        Guard::Token => json!([{ "token": [] }]),
    }
}

fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of `bearer_token_file`. Not needed if none is configured.",
        },
        "token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token`, a space and the account's CallTools token.",
        },
    })
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = operation.path_parameters().map(|name| {
        let (meaning, example) = path_parameter(name);
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": meaning,
            "schema": { "type": "string", "minLength": 1 },
            "example": example,
        })
    });
    let in_query = operation.query.iter().map(|one| parameter(one, "query"));
    let in_headers = operation.headers.iter().map(|one| parameter(one, "header"));
    in_path.chain(in_query).chain(in_headers).collect()
}

fn parameter(parameter: &Parameter, place: &str) -> Value {
    let schema = schema_of(parameter.shape);
    let text = || Value::from(parameter.example);
    let example = match parameter.shape {
        Shape::Count => serde_json::from_str(parameter.example).unwrap_or_else(|_| text()),
        Shape::Repeated(_) | Shape::MayRepeat(_) => json!([parameter.example]),
        Shape::Text | Shape::OneOf(_) | Shape::Pattern(_) => text(),
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": matches!(parameter.shape, Shape::Repeated(_)),
        "description": parameter.meaning,
        "schema": schema,
        "example": example,
    })
}

pub(super) fn schema_of(shape: Shape) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Count => json!({ "type": "number", "minimum": 0 }),
        Shape::OneOf(values) => json!({ "type": "string", "enum": values }),
        Shape::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Repeated(max) => repeated(1, max),
        Shape::MayRepeat(max) => repeated(0, max),
    }
}

fn repeated(min: usize, max: usize) -> Value {
    let item = json!({ "type": "string", "minLength": 1 });
    json!({ "type": "array", "items": item, "minItems": min, "maxItems": max })
}

/// Groups answers by status; all formats of a status are in one.
fn responses(operation: &Operation, schemas: &mut Schemas) -> Map<String, Value> {
    let mut responses = Map::new();
    for answer in &operation.answers {
        let response = response(&mut responses, answer.status);
        note(response, answer.meaning);
        let content = answer.content;
        if let Some(content) = content {
            response["content"][content.media] = media(content, &mut schemas.written);
        }
        add_headers(response, answer);
    }
    let problems = operation.all_problems();
    for same in problems.chunk_by(|one, other| one.status == other.status) {
        let response = response(&mut responses, same[0].status.as_u16());
        for problem in same {
            note(
                response,
                &format!("`{}`: {}", problem.name, problem.meaning),
            );
        }
        response["content"][PROBLEM_JSON] = problem_media(same, &operation.example_path());
        if let Some((name, meaning)) = header_of(same[0]) {
            response["headers"][name] = header(meaning);
        }
    }
    responses
}

/// The answers of no operation: to another path, or to another method. By the name of the problem.
fn other_responses(operations: &[Operation]) -> Map<String, Value> {
    let of_operations: Vec<_> = operations
        .iter()
        .flat_map(Operation::all_problems)
        .collect();
    let others = problem_types::ALL.iter();
    let others = others.filter(|problem| !of_operations.contains(problem));
    let response = |problem: &ProblemType| {
        let mut response = json!({
            "description": problem.meaning,
            "content": { PROBLEM_JSON: problem_media(&[problem], "/v1/nowhere") },
        });
        if let Some((name, meaning)) = header_of(problem) {
            response["headers"][name] = header(meaning);
        }
        (problem.name.to_owned(), response)
    };
    others.map(response).collect()
}

fn response(responses: &mut Map<String, Value>, status: u16) -> &mut Value {
    let empty = || json!({ "description": "" });
    responses.entry(status.to_string()).or_insert_with(empty)
}

/// Adds a line to a description.
fn note(response: &mut Value, line: &str) {
    let before = response["description"].as_str().unwrap_or_default();
    let line = if before.is_empty() {
        line.to_owned()
    } else {
        format!("{before}\n\n{line}")
    };
    response["description"] = line.into();
}

fn add_headers(response: &mut Value, answer: &Answer) {
    for (name, meaning) in answer.headers {
        response["headers"][name] = header(meaning);
    }
}

fn header(meaning: &str) -> Value {
    json!({ "description": meaning, "schema": { "type": "string" } })
}

/// The header that comes with a problem, if any.
fn header_of(problem: ProblemType) -> Option<(&'static str, &'static str)> {
    match problem.status.as_u16() {
        401 => Some((
            "WWW-Authenticate",
            "`Bearer`, and for callers that are not browsers also `Basic realm=\"openseat\"`",
        )),
        405 => Some(("Allow", "The methods of this path")),
        429 | 503 => Some(("Retry-After", "Seconds to wait, if known")),
        _ => None,
    }
}

fn media(content: Content, generator: &mut SchemaGenerator) -> Value {
    let text = || Value::from(content.example);
    let example = match content.media {
        "application/json" | "text/event-stream" => {
            serde_json::from_str(content.example).unwrap_or_else(|_| text())
        }
        _ => text(),
    };
    json!({ "schema": (content.schema)(generator), "example": example })
}

fn problem_media(problems: &[ProblemType], path: &str) -> Value {
    let urns: Vec<_> = problems.iter().map(|problem| problem.urn()).collect();
    let example = |problem: &ProblemType| {
        let example = json!({ "value": example_of(problem, path) });
        (problem.name.to_owned(), example)
    };
    let examples: Map<_, _> = problems.iter().map(example).collect();
    let mut properties = json!({ "type": { "enum": urns } });
    if problems.contains(&problem_types::NO_SEAT) {
        properties["reason"] = json!({ "$ref": "#/components/schemas/Reason" });
        properties["count"] = json!({ "type": ["number", "null"] });
    }
    json!({
        "schema": { "$ref": "#/components/schemas/Problem", "properties": properties },
        "examples": examples,
    })
}

fn example_of(problem: ProblemType, path: &str) -> Value {
    let mut example = json!({
        "type": problem.urn(),
        "title": problem.title,
        "status": problem.status.as_u16(),
        "detail": problem.meaning,
        "instance": path,
    });
    if problem == problem_types::NO_SEAT {
        example["reason"] = "below_threshold".into();
        example["count"] = 0.into();
    }
    example
}
