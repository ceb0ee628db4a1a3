//! The API's errors, in the words of Django REST framework.

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::replies::json_reply;
use crate::calltools::Reply;

/// An error as the answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// 401.
    Unauthenticated(&'static str),
    /// 403.
    Forbidden,
    /// 404 with a sentence.
    NotFound(&'static str),
    /// 405.
    MethodNotAllowed(Method),
    /// 400: each invalid field with its message.
    Invalid(Vec<(&'static str, String)>),
    /// 429, with the wait in whole seconds and the header that states it.
    Throttled {
        wait_seconds: Option<u64>,
        retry_after: Option<String>,
    },
}

impl ApiError {
    pub(super) fn not_a_number(field: &'static str) -> (&'static str, String) {
        (field, "Enter a number.".to_owned())
    }

    pub(super) fn no_choice(field: &'static str) -> (&'static str, String) {
        let complaint = "Select a valid choice. That choice is not one of the available choices.";
        (field, complaint.to_owned())
    }

    pub(super) fn reply(&self) -> Reply {
        let mut reply = json_reply(self.status(), &self.body());
        if let Some((name, value)) = self.header() {
            reply.headers.insert(name, value);
        }
        reply
    }

    fn status(&self) -> StatusCode {
        match self {
            ApiError::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            ApiError::Forbidden => StatusCode::FORBIDDEN,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::Invalid(_) => StatusCode::BAD_REQUEST,
            ApiError::Throttled { .. } => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn body(&self) -> Value {
        match self {
            ApiError::Unauthenticated(detail) | ApiError::NotFound(detail) => {
                json!({ "detail": detail })
            }
            ApiError::Forbidden => {
                json!({ "detail": "You do not have permission to perform this action." })
            }
            ApiError::MethodNotAllowed(method) => {
                json!({ "detail": format!("Method \"{method}\" not allowed.") })
            }
            ApiError::Invalid(complaints) => complaints
                .iter()
                .map(|(field, complaint)| ((*field).to_owned(), json!([complaint])))
                .collect(),
            ApiError::Throttled { wait_seconds, .. } => {
                json!({ "detail": throttled(*wait_seconds) })
            }
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            ApiError::Unauthenticated(_) => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Token")))
            }
            ApiError::Throttled { retry_after, .. } => {
                let value = HeaderValue::from_str(retry_after.as_deref()?).ok()?;
                Some((header::RETRY_AFTER, value))
            }
            _ => None,
        }
    }
}

fn throttled(wait_seconds: Option<u64>) -> String {
    match wait_seconds {
        None => "Request was throttled.".to_owned(),
        Some(1) => "Request was throttled. Expected available in 1 second.".to_owned(),
        Some(wait) => format!("Request was throttled. Expected available in {wait} seconds."),
    }
}
