//! Describes the API: operations, the OpenAPI document, the reference page and the list at `/`.
//!
//! All of them come from the one table in [`routes`](super::routes), so they always agree. The schemas of answers come from the types that are
//! serialized ([`schemars`]), parameters from the lists that handlers parse with, problems from [`problem_types`]. The statuses and bodies of each
//! operation are written down separately; the server's tests compare every answer with them.

mod document;
mod examples;
mod index;
mod page;

use std::{borrow::Cow, sync::Arc};

use axum::handler::Handler;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use strum::{IntoStaticStr, VariantArray};

pub(super) use document::Document;
pub(super) use examples::*;
pub(super) use index::{Line, index, lines};
pub(super) use page::{page, policy};

use super::{
    http::{
        params::Parameter,
        problem_types::{self, ProblemType},
        rule::{Guard, Need},
    },
    json::shape,
    route::Route,
    state::app::App,
};

/// The path of the reference.
pub(super) const DOCS_PATH: &str = "/docs";

shape!(
    /// The document itself.
    OpenApi, { "type": "object", "required": ["openapi"], "properties": { "openapi": { "const": "3.1.0" } } }
);

/// The heading under which an operation is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
pub(super) enum Tag {
    Decisions,
    #[strum(to_string = "Queues and accounts")]
    Queues,
    Reservations,
    #[strum(to_string = "Drop-in")]
    DropIn,
    Operations,
}

impl Tag {
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    fn meaning(self) -> &'static str {
        match self {
            Tag::Decisions => "Accept or reject: what routers ask while a call rings.",
            Tag::Queues => "What is known about queues and accounts, and how to refresh it.",
            Tag::Reservations => "Seats held for calls on their way.",
            Tag::DropIn => {
                "CallTools' own API, answered from memory: rows, pages, links, filters and errors are those of CallTools. \
                 Where openseat does not know, the answer is 503 and never an empty list."
            }
            Tag::Operations => "For supervisors, scrapers and people.",
        }
    }
}

/// The body of a request or an answer.
#[derive(Clone, Copy)]
pub(super) struct Content {
    media: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    /// An example, as JSON if the media type is JSON or events.
    example: &'static str,
}

impl Content {
    /// JSON, with the schema of a type.
    pub(super) const fn json<T: JsonSchema>(example: &'static str) -> Self {
        Self {
            media: "application/json",
            schema: |generator| generator.subschema_for::<T>(),
            example,
        }
    }

    /// A stream of events, each with the schema of a type.
    pub(super) const fn events<T: JsonSchema>(example: &'static str) -> Self {
        Self {
            media: "text/event-stream",
            ..Self::json::<T>(example)
        }
    }

    /// Any other text.
    pub(super) const fn text(media: &'static str, example: &'static str) -> Self {
        Self {
            media,
            schema: |_| json_schema!({ "type": "string" }),
            example,
        }
    }
}

/// One answer that an operation may give.
#[derive(Clone)]
pub(super) struct Answer {
    status: u16,
    meaning: &'static str,
    content: Option<Content>,
    /// Names and meanings.
    headers: &'static [(&'static str, &'static str)],
}

/// One operation of the API: a route and everything that the reference says about it.
#[derive(Clone)]
pub(super) struct Operation {
    route: Route,
    /// Its name in generated clients.
    id: Cow<'static, str>,
    tag: Tag,
    /// Its line in the list at `/`.
    summary: &'static str,
    more: &'static str,
    query: &'static [Parameter],
    headers: &'static [Parameter],
    body: Option<Content>,
    answers: Vec<Answer>,
    problems: Vec<ProblemType>,
}

impl Operation {
    /// A `GET` operation, which answers `HEAD` too.
    pub(super) fn get<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Route::get(path, handler))
    }

    /// A `POST` operation.
    pub(super) fn post<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Route::post(path, handler))
    }

    /// A `DELETE` operation.
    pub(super) fn delete<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Route::delete(path, handler))
    }

    fn new(route: Route) -> Self {
        Self {
            route,
            id: Cow::Borrowed(""),
            tag: Tag::Operations,
            summary: "",
            more: "",
            query: &[],
            headers: &[],
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Sets its name in generated clients, its heading, and its line in the list.
    pub(super) fn called(
        self,
        id: impl Into<Cow<'static, str>>,
        tag: Tag,
        summary: &'static str,
    ) -> Self {
        Self {
            id: id.into(),
            tag,
            summary,
            ..self
        }
    }

    /// Adds a description below the summary.
    pub(super) fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    /// Sets what callers must show.
    pub(super) fn guarded(self, guard: Guard) -> Self {
        Self {
            route: self.route.guarded(guard),
            ..self
        }
    }

    /// Accepts a body of any length and ignores it.
    pub(super) fn ignoring_body(self) -> Self {
        Self {
            route: self.route.ignoring_body(),
            ..self
        }
    }

    /// Sets the right that a configured client needs. By default a GET needs the right to read, and no client may use other methods.
    pub(super) fn needing(self, need: Need) -> Self {
        Self {
            route: self.route.needing(need),
            ..self
        }
    }

    /// Allows links from other sites.
    pub(super) fn linked(self) -> Self {
        Self {
            route: self.route.linked(),
            ..self
        }
    }

    /// Sets the query parameters that its handler takes.
    pub(super) fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    /// Sets the headers that its handler reads.
    pub(super) fn headers(self, headers: &'static [Parameter]) -> Self {
        Self { headers, ..self }
    }

    /// Sets the body that its handler reads, of up to `max_bytes`.
    pub(super) fn body(self, max_bytes: usize, body: Content) -> Self {
        Self {
            route: self.route.reading(max_bytes),
            body: Some(body),
            ..self
        }
    }

    /// Adds an answer with a body. A status may have several formats.
    pub(super) fn answers(self, status: u16, meaning: &'static str, content: Content) -> Self {
        self.answer(status, meaning, Some(content))
    }

    /// Adds an answer without a body.
    pub(super) fn answers_bare(self, status: u16, meaning: &'static str) -> Self {
        self.answer(status, meaning, None)
    }

    fn answer(mut self, status: u16, meaning: &'static str, content: Option<Content>) -> Self {
        self.answers.push(Answer {
            status,
            meaning,
            content,
            headers: &[],
        });
        self
    }

    /// Sets the headers of the last added answer.
    pub(super) fn with_headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers = headers;
        }
        self
    }

    /// Adds problems that its handler answers with, beyond those that every operation may have.
    pub(super) fn problems(mut self, problems: &[ProblemType]) -> Self {
        self.problems.extend_from_slice(problems);
        self
    }

    /// Returns every problem that it may answer with, including those of access, by status.
    fn all_problems(&self) -> Vec<ProblemType> {
        let of_access: &[ProblemType] = match self.guard() {
            Guard::Bearer | Guard::Page | Guard::Probe => &[
                problem_types::BAD_REQUEST,
                problem_types::UNAUTHORIZED,
                problem_types::FOREIGN_ORIGIN,
                problem_types::MAY_NOT,
                problem_types::BODY_TOO_LARGE,
                problem_types::FOREIGN_HOST,
            ],
            Guard::Token | Guard::Open => &[
                problem_types::BAD_REQUEST,
                problem_types::FOREIGN_ORIGIN,
                problem_types::BODY_TOO_LARGE,
                problem_types::FOREIGN_HOST,
            ],
        };
        let mut problems = self.problems.clone();
        problems.extend_from_slice(of_access);
        problems.push(problem_types::INTERNAL_ERROR);
        problems.sort_by_key(|problem| problem.status.as_u16());
        problems.dedup();
        problems
    }

    /// Returns the names between braces in its path.
    fn path_parameters(&self) -> impl Iterator<Item = &str> {
        let parts = self.path().split('/');
        parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Whether it is the variant of another operation that also names the account.
    fn is_by_account(&self) -> bool {
        self.path().contains("{account}/{queue}")
    }

    /// Returns its path with an example for each parameter.
    fn example_path(&self) -> String {
        let place = |part: &str| match part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        {
            Some(name) => path_parameter(name).1.to_owned(),
            None => part.to_owned(),
        };
        let parts: Vec<_> = self.path().split('/').map(place).collect();
        parts.join("/")
    }

    pub(super) fn method(&self) -> &Method {
        &self.route.method
    }

    pub(super) fn path(&self) -> &str {
        &self.route.path
    }

    fn guard(&self) -> Guard {
        self.route.rule.guard
    }

    /// Returns its row of the table.
    pub(super) fn into_route(self) -> Route {
        self.route
    }
}

/// The meaning of a path parameter, and an example.
fn path_parameter(name: &str) -> (&'static str, &'static str) {
    match name {
        "queue" => (
            "A queue's name or id, as configured, percent-encoded",
            "sales-queue",
        ),
        "account" => ("An account's name, as configured", "main"),
        "call_id" => (
            "The router's id for a call, percent-encoded",
            "a84b4c76e66710",
        ),
        "agent" => ("An agent's `app_user` at CallTools", "7133"),
        "id" => ("A reservation's `id`", "5f0c2a9be41d8c3760b2d94c1a7e8f35"),
        other => unreachable!("the path parameter {other} has no description"),
    }
}
