//! What went wrong, as RFC 9457 problem JSON.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::problem_types::{self, Kind};
use crate::decision::board::NotOnBoard;

/// A refusal with its reason. A handler returns it; the [gate](crate::server::serve::access) writes it down, with the path that was asked.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What this kind of problem tells beyond the standard's members.
    more: Map<String, Value>,
}

/// What went wrong, as RFC 9457 has it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Document<'a> {
    /// A stable name for programs, `urn:openseat:problem:` and a word.
    r#type: String,
    /// What this type of problem is.
    title: &'a str,
    /// The answer's status.
    status: u16,
    /// What is wrong this time, and what to do.
    detail: &'a str,
    /// The path that was asked.
    instance: &'a str,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            headers: Vec::new(),
            more: Map::new(),
        }
    }

    /// With what there is to say of every problem of this kind.
    pub fn usual(kind: Kind) -> Self {
        Self::new(kind, kind.means)
    }

    /// The request cannot be understood as it stands.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(problem_types::BAD_REQUEST, detail)
    }

    /// A parameter is unknown, given twice, or has a value that does not fit.
    pub fn bad_parameter(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(problem_types::BAD_PARAMETER, detail)
    }

    /// Nothing lives at this path.
    pub fn no_such_path() -> Self {
        Self::usual(problem_types::NO_SUCH_PATH)
    }

    /// Something lives at this path, but cannot be asked so.
    pub fn method_not_allowed() -> Self {
        Self::usual(problem_types::METHOD_NOT_ALLOWED)
    }

    /// The process is about to end.
    pub fn stopping() -> Self {
        Self::usual(problem_types::STOPPING)
    }

    /// A bug of ours: an invariant is broken.
    pub fn internal_error() -> Self {
        Self::usual(problem_types::INTERNAL_ERROR)
    }

    /// The same with one header more.
    pub fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with one member more, for programs.
    pub fn telling(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("words and numbers can be written");
        self.more.insert(name.to_owned(), value);
        self
    }

    /// The same, and the connection ends with it.
    pub fn and_close(self) -> Self {
        self.with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.kind.status
    }

    /// What is wrong this time, and what to do.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What its answer bears beside the body.
    pub fn headers(&self) -> HeaderMap {
        self.headers.iter().cloned().collect()
    }

    /// Writes the body, now that it is known which path was asked.
    pub fn fill(&self, response: &mut Response, path: &str) {
        let document = Document {
            r#type: self.kind.urn(),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: &self.detail,
            instance: path,
            more: &self.more,
        };
        let json = serde_json::to_vec(&document).expect("texts and a number can be written");
        *response.body_mut() = json.into();
        // The router took the answer for an empty one and said so.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
    }
}

impl From<NotOnBoard> for Problem {
    fn from(error: NotOnBoard) -> Self {
        let kind = match &error {
            NotOnBoard::Unknown { .. } => problem_types::UNKNOWN_QUEUE,
            NotOnBoard::Ambiguous { .. } => problem_types::AMBIGUOUS_QUEUE,
        };
        Self::new(kind, error.to_string())
    }
}

impl IntoResponse for Problem {
    /// Without a body yet: the problem rides along until the gate fills it in.
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}
