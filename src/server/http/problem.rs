//! Problem details (RFC 9457): JSON that says why a request failed.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::problem_types::{self, ProblemType};
use crate::decision::board::NotOnBoard;

/// Why a request failed. Handlers return it; [access](crate::server::serve::access) writes the body, which contains the path.
#[derive(Clone, Debug)]
pub struct Problem {
    problem_type: ProblemType,
    detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Members beyond the standard's.
    extra: Map<String, Value>,
}

/// Why a request failed (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemJson<'a> {
    /// A stable name for programs: `urn:openseat:problem:` and the problem's name.
    r#type: String,
    /// The type of problem, for people.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: &'a str,
    /// The path of the request.
    instance: &'a str,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl Problem {
    pub fn new(problem_type: ProblemType, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            problem_type,
            detail: detail.into(),
            headers: Vec::new(),
            extra: Map::new(),
        }
    }

    /// Creates a problem whose detail is the meaning of its type.
    pub fn from_type(problem_type: ProblemType) -> Self {
        Self::new(problem_type, problem_type.meaning)
    }

    /// The request is malformed.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(problem_types::BAD_REQUEST, detail)
    }

    /// A parameter is misspelt, repeated, missing or invalid.
    pub fn bad_parameter(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(problem_types::BAD_PARAMETER, detail)
    }

    /// There is nothing at this path.
    pub fn no_such_path() -> Self {
        Self::from_type(problem_types::NO_SUCH_PATH)
    }

    /// The path exists, but not with this method.
    pub fn method_not_allowed() -> Self {
        Self::from_type(problem_types::METHOD_NOT_ALLOWED)
    }

    /// The process is stopping.
    pub fn stopping() -> Self {
        Self::from_type(problem_types::STOPPING)
    }

    /// Too many requests of a kind are waiting. A second is short for a client, and long enough for one of them to end.
    pub fn busy() -> Self {
        Self::from_type(problem_types::BUSY).with(header::RETRY_AFTER, 1)
    }

    /// A bug in openseat: an invariant is broken.
    pub fn internal_error() -> Self {
        Self::from_type(problem_types::INTERNAL_ERROR)
    }

    /// Adds a header to the answer.
    pub fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a member to the body, for programs.
    pub fn with_member(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("texts and numbers can be written");
        self.extra.insert(name.to_owned(), value);
        self
    }

    /// Closes the connection after the answer.
    pub fn and_close(self) -> Self {
        self.with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.problem_type.status
    }

    /// What is wrong with this request, and what to do about it.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The headers of the answer.
    pub fn headers(&self) -> HeaderMap {
        self.headers.iter().cloned().collect()
    }

    /// Writes the body of the answer, which contains the path of the request.
    pub fn fill(&self, response: &mut Response, path: &str) {
        let json = ProblemJson {
            r#type: self.problem_type.urn(),
            title: self.problem_type.title,
            status: self.problem_type.status.as_u16(),
            detail: &self.detail,
            instance: path,
            extra: &self.extra,
        };
        let json = serde_json::to_vec(&json).expect("texts and numbers can be written");
        *response.body_mut() = json.into();
        // axum set the length of the empty body.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
    }
}

impl From<NotOnBoard> for Problem {
    fn from(error: NotOnBoard) -> Self {
        let problem_type = match &error {
            NotOnBoard::Unknown { .. } => problem_types::UNKNOWN_QUEUE,
            NotOnBoard::Ambiguous { .. } => problem_types::AMBIGUOUS_QUEUE,
        };
        Self::new(problem_type, error.to_string())
    }
}

impl IntoResponse for Problem {
    /// Leaves the body empty: access takes the problem from the extensions and fills it in.
    fn into_response(self) -> Response {
        let mut response = self.problem_type.status.into_response();
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}
