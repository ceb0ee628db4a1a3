//! The OpenAPI document, written once from the table.

use std::collections::BTreeMap;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{Answer, Content, Guard, Kind, Operation, Tag, path_parameter};
use crate::server::http::{
    params::{Parameter, Shape},
    problem, problem_types,
};

const PROBLEM_JSON: &str = "application/problem+json";

const ABOUT: &str = "Accept or reject, answered from memory: whether a CallTools queue has an agent who would take a call now.

HEAD works wherever GET does. A path that is not here is 404 `no-such-path`, a wrong method 405 `method-not-allowed` with `Allow`; \
a query parameter that is not here is refused, except under `/api/`. What goes wrong is problem JSON (RFC 9457), worded as \
CallTools does under `/api/`. Pages for people are left out here; a browser that has logged in may ask whatever is asked with GET. Answers may get further members: readers should pass over what they do not know.";

/// The API's description, for programs and for the page.
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
        // Every problem refers to it.
        schemas.written.subschema_for::<problem::Document>();
        let tags = Tag::ALL.map(|tag| json!({ "name": tag.name(), "description": tag.means() }));
        let value = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "openseat",
                "version": env!("CARGO_PKG_VERSION"),
                "description": ABOUT,
                "license": { "name": "MIT OR Apache-2.0", "identifier": env!("CARGO_PKG_LICENSE") },
            },
            // Relative: wherever this document was read from.
            "servers": [{ "url": "/" }],
            "tags": tags,
            "paths": paths,
            "components": {
                "schemas": schemas.all(),
                "securitySchemes": security_schemes(),
            },
        });
        Self { value }
    }

    pub(in crate::server) fn to_json(&self) -> String {
        self.value.to_string()
    }
}

/// Types as they are written and as they are read: a member that may be left out is another thing in each.
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
            "description": "The token of `bearer_token_file`, where one is configured; without one, callers show nothing.",
        },
        "token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token` and the account's CallTools token.",
        },
    })
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_path = operation.path_parameters().map(|name| {
        let (means, example) = path_parameter(name);
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "description": means,
            "schema": { "type": "string", "minLength": 1 },
            "example": example,
        })
    });
    let in_query = operation.query.iter().map(|one| parameter(one, "query"));
    let in_head = operation.headers.iter().map(|one| parameter(one, "header"));
    in_path.chain(in_query).chain(in_head).collect()
}

fn parameter(parameter: &Parameter, place: &str) -> Value {
    let schema = schema_of(parameter.shape);
    let text = || Value::from(parameter.example);
    let example = match parameter.shape {
        Shape::Number => serde_json::from_str(parameter.example).unwrap_or_else(|_| text()),
        Shape::Repeated(_) | Shape::MayRepeat(_) => json!([parameter.example]),
        Shape::Text | Shape::OneOf(_) | Shape::Pattern(_) => text(),
    };
    json!({
        "name": parameter.name,
        "in": place,
        "required": matches!(parameter.shape, Shape::Repeated(_)),
        "description": parameter.means,
        "schema": schema,
        "example": example,
    })
}

pub(super) fn schema_of(shape: Shape) -> Value {
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Number => json!({ "type": "number" }),
        Shape::OneOf(words) => json!({ "type": "string", "enum": words }),
        Shape::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        Shape::Repeated(most) => repeated(1, most),
        Shape::MayRepeat(most) => repeated(0, most),
    }
}

fn repeated(least: usize, most: usize) -> Value {
    let item = json!({ "type": "string", "minLength": 1 });
    json!({ "type": "array", "items": item, "minItems": least, "maxItems": most })
}

/// By status; where there are several forms of one, they share it.
fn responses(operation: &Operation, schemas: &mut Schemas) -> Map<String, Value> {
    let mut responses = Map::new();
    for answer in &operation.answers {
        let response = response(&mut responses, answer.status);
        note(response, answer.means);
        let content = answer.content;
        if let Some(content) = content {
            response["content"][content.media] = media(content, &mut schemas.written);
        }
        bear(response, answer);
    }
    let problems = operation.all_problems();
    for same in problems.chunk_by(|one, other| one.status == other.status) {
        let response = response(&mut responses, same[0].status.as_u16());
        for kind in same {
            note(response, &format!("`{}`: {}", kind.word, kind.means));
        }
        response["content"][PROBLEM_JSON] = problem_media(same, operation);
        if let Some((name, means)) = header_of(same[0]) {
            response["headers"][name] = header(means);
        }
    }
    responses
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

fn bear(response: &mut Value, answer: &Answer) {
    for (name, means) in answer.headers {
        response["headers"][name] = header(means);
    }
}

fn header(means: &str) -> Value {
    json!({ "description": means, "schema": { "type": "string" } })
}

/// What comes beside a problem, if anything.
fn header_of(kind: Kind) -> Option<(&'static str, &'static str)> {
    match kind.status.as_u16() {
        401 => Some(("WWW-Authenticate", "`Bearer`")),
        429 | 503 => Some(("Retry-After", "Seconds to wait, where that is known")),
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

fn problem_media(kinds: &[Kind], operation: &Operation) -> Value {
    let urns: Vec<_> = kinds.iter().map(|kind| kind.urn()).collect();
    let examples: Map<_, _> = kinds
        .iter()
        .map(|kind| {
            (
                kind.word.to_owned(),
                json!({ "value": example_of(kind, operation) }),
            )
        })
        .collect();
    let mut properties = json!({ "type": { "enum": urns } });
    if kinds.contains(&problem_types::NO_SEAT) {
        properties["reason"] = json!({ "$ref": "#/components/schemas/Reason" });
        properties["count"] = json!({ "type": ["number", "null"] });
    }
    json!({
        "schema": { "$ref": "#/components/schemas/Problem", "properties": properties },
        "examples": examples,
    })
}

fn example_of(kind: Kind, operation: &Operation) -> Value {
    let mut example = json!({
        "type": kind.urn(),
        "title": kind.title,
        "status": kind.status.as_u16(),
        "detail": kind.means,
        "instance": operation.example_path(),
    });
    if kind == problem_types::NO_SEAT {
        example["reason"] = "below_threshold".into();
        example["count"] = 0.into();
    }
    example
}
