//! What went wrong, as RFC 9457 problem JSON.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::board::NotOnBoard;

/// A refusal with its reason. A handler returns it; the [gate](super::gate) writes it down, with the path that was asked.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// The last part of `type`: a stable word for programs.
    kind: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What this kind of problem tells beyond the standard's members.
    more: Map<String, Value>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            kind,
            title,
            detail: detail.into(),
            headers: Vec::new(),
            more: Map::new(),
        }
    }

    /// The request cannot be understood as it stands.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request is not well-formed",
            detail,
        )
    }

    /// A parameter is unknown, given twice, or has a value that does not fit.
    pub(super) fn bad_parameter(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-parameter",
            "A parameter of the request is wrong",
            detail,
        )
    }

    /// Nothing lives at this path.
    pub(super) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no-such-path",
            "There is nothing at this path",
            "GET / lists what there is",
        )
    }

    /// Something lives at this path, but cannot be asked so.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "This path has no such method",
            "the Allow header lists the methods of this path",
        )
    }

    /// The process is about to end.
    pub(super) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "openseat is stopping",
            "ask again in a moment",
        )
    }

    /// The same with one header more.
    pub(super) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with one member more, for programs.
    pub(super) fn telling(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("words and numbers can be written");
        self.more.insert(name.to_owned(), value);
        self
    }

    /// The same, and the connection ends with it.
    pub(super) fn and_close(self) -> Self {
        self.with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// Writes the body, now that it is known which path was asked.
    pub(super) fn fill(&self, response: &mut Response, path: &str) {
        let document = Document {
            r#type: format!("urn:openseat:problem:{}", self.kind),
            title: self.title,
            status: self.status.as_u16(),
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
        match &error {
            NotOnBoard::Unknown { .. } => Self::new(
                StatusCode::NOT_FOUND,
                "unknown-queue",
                "This queue is not configured",
                error.to_string(),
            ),
            NotOnBoard::Ambiguous { .. } => Self::new(
                StatusCode::CONFLICT,
                "ambiguous-queue",
                "More than one queue answers to this name",
                error.to_string(),
            ),
        }
    }
}

impl IntoResponse for Problem {
    /// Without a body yet: the problem rides along until the gate fills it in.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}
