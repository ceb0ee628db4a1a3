//! The API as a table: each operation with its path, who answers it, and everything that the reference says of it.
//!
//! The router, the list at `/`, the OpenAPI document and the page at `/docs` are all made from the one table in
//! [`routes`](super::routes), so none of them can know less or more than another. Shapes of answers come from the very types that are
//! written ([`schemars`]), parameters from the lists that handlers parse with, problems from [`problem_types`]. What
//! remains to be said wrongly, which statuses an operation answers with and which bodies, is compared with every answer of every test of the server.

mod document;
mod examples;
mod index;
mod page;

use std::{borrow::Cow, sync::Arc};

use axum::handler::Handler;
use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

pub(super) use document::Document;
pub(super) use examples::*;
pub(super) use index::{Line, index, lines};
pub(super) use page::{page, policy};

use super::{
    http::{
        params::Parameter,
        problem_types::{self, Kind},
        rule::Guard,
    },
    json::shape,
    route::Route,
    state::app::App,
};

/// Where the reference is.
pub(super) const DOCS_PATH: &str = "/docs";

shape!(
    /// The document itself.
    OpenApi, { "type": "object", "required": ["openapi"], "properties": { "openapi": { "const": "3.1.0" } } }
);

/// Under which heading an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tag {
    Decisions,
    Queues,
    Reservations,
    DropIn,
    Operations,
}

impl Tag {
    pub(super) const ALL: [Tag; 5] = [
        Tag::Decisions,
        Tag::Queues,
        Tag::Reservations,
        Tag::DropIn,
        Tag::Operations,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Tag::Decisions => "Decisions",
            Tag::Queues => "Queues and accounts",
            Tag::Reservations => "Reservations",
            Tag::DropIn => "Drop-in",
            Tag::Operations => "Operations",
        }
    }

    fn means(self) -> &'static str {
        match self {
            Tag::Decisions => "Accept or reject: what routers ask while a call rings.",
            Tag::Queues => "What is known, and how to have it looked at now.",
            Tag::Reservations => "Seats held for calls on their way.",
            Tag::DropIn => {
                "CallTools' own API, answered from memory: rows, pages, links, filters and refusals are CallTools'. \
                 What openseat does not know is 503 and never an empty list."
            }
            Tag::Operations => "For supervisors, scrapers and people.",
        }
    }
}

/// A body, of a request or of an answer.
#[derive(Clone, Copy)]
pub(super) struct Content {
    media: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
    /// As it may look; JSON, or an event as JSON, where the media type says so.
    example: &'static str,
}

impl Content {
    /// JSON, in the shape of a type.
    pub(super) const fn json<T: JsonSchema>(example: &'static str) -> Self {
        Self {
            media: "application/json",
            schema: |generator| generator.subschema_for::<T>(),
            example,
        }
    }

    /// A stream of events, each in the shape of a type.
    pub(super) const fn events<T: JsonSchema>(example: &'static str) -> Self {
        Self {
            media: "text/event-stream",
            ..Self::json::<T>(example)
        }
    }

    /// Some other text.
    pub(super) const fn text(media: &'static str, example: &'static str) -> Self {
        Self {
            media,
            schema: |_| json_schema!({ "type": "string" }),
            example,
        }
    }
}

/// One way in which an operation answers.
#[derive(Clone)]
pub(super) struct Answer {
    status: u16,
    means: &'static str,
    content: Option<Content>,
    /// Names, and what they mean.
    headers: &'static [(&'static str, &'static str)],
}

/// One thing that can be asked.
#[derive(Clone)]
pub(super) struct Operation {
    route: Route,
    /// For generated clients.
    id: Cow<'static, str>,
    tag: Tag,
    /// A line of the list at `/`.
    summary: &'static str,
    more: &'static str,
    query: &'static [Parameter],
    headers: &'static [Parameter],
    body: Option<Content>,
    answers: Vec<Answer>,
    problems: Vec<Kind>,
}

impl Operation {
    /// `GET`, and with it `HEAD`.
    pub(super) fn get<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Route::get(path, handler))
    }

    /// `POST`
    pub(super) fn post<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Route::post(path, handler))
    }

    /// `DELETE`
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

    /// Its name in generated clients, its heading, and what it does in a line.
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

    /// What else there is to know.
    pub(super) fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    pub(super) fn guarded(self, guard: Guard) -> Self {
        Self {
            route: self.route.guarded(guard),
            ..self
        }
    }

    /// A link on another site's page may lead here.
    pub(super) fn linked(self) -> Self {
        Self {
            route: self.route.linked(),
            ..self
        }
    }

    /// The parameters that its handler takes.
    pub(super) fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    /// The headers that its handler reads.
    pub(super) fn headers(self, headers: &'static [Parameter]) -> Self {
        Self { headers, ..self }
    }

    /// The body that its handler reads, of up to so many bytes.
    pub(super) fn body(self, longest: usize, body: Content) -> Self {
        Self {
            route: self.route.reading(longest),
            body: Some(body),
            ..self
        }
    }

    /// An answer with a body. Two of the same status are two forms of it.
    pub(super) fn answers(self, status: u16, means: &'static str, content: Content) -> Self {
        self.answer(status, means, Some(content))
    }

    /// An answer that is its status alone.
    pub(super) fn answers_bare(self, status: u16, means: &'static str) -> Self {
        self.answer(status, means, None)
    }

    fn answer(mut self, status: u16, means: &'static str, content: Option<Content>) -> Self {
        self.answers.push(Answer {
            status,
            means,
            content,
            headers: &[],
        });
        self
    }

    /// Headers of the answer that was named last.
    pub(super) fn bearing(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers = headers;
        }
        self
    }

    /// What its handler refuses with, beside what everything is refused with.
    pub(super) fn problems(mut self, problems: &[Kind]) -> Self {
        self.problems.extend_from_slice(problems);
        self
    }

    /// Every problem it answers with, those of the gate included, by status.
    fn all_problems(&self) -> Vec<Kind> {
        let gate: &[Kind] = match self.guard() {
            Guard::Bearer | Guard::Page | Guard::Probe => &[
                problem_types::BAD_REQUEST,
                problem_types::UNAUTHORIZED,
                problem_types::FOREIGN_ORIGIN,
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
        problems.extend_from_slice(gate);
        problems.push(problem_types::INTERNAL_ERROR);
        problems.sort_by_key(|kind| kind.status.as_u16());
        problems.dedup();
        problems
    }

    /// The names between braces in its path.
    fn path_parameters(&self) -> impl Iterator<Item = &str> {
        let parts = self.path().split('/');
        parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Whether it is the second way to ask for something, by account and queue.
    fn is_by_account(&self) -> bool {
        self.path().contains("{account}/{queue}")
    }

    /// Its path with an example in each place.
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

    /// Its row of the table.
    pub(super) fn into_route(self) -> Route {
        self.route
    }
}

/// What a part of a path means, and one that might stand there.
fn path_parameter(name: &str) -> (&'static str, &'static str) {
    match name {
        "queue" => (
            "A queue's name or id, as configured, percent-encoded",
            "sales-queue",
        ),
        "account" => ("An account's name, as configured", "main"),
        "agent" => ("An agent's `app_user` at CallTools", "7133"),
        "id" => ("A reservation's `id`", "5f0c2a9be41d8c3760b2d94c1a7e8f35"),
        other => unreachable!("a path has a part {other} that nobody has described"),
    }
}
