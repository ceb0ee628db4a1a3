//! Errors in CallTools' words, and one that CallTools does not have: openseat does not know.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

/// Why a request is rejected, in the words of Django REST Framework.
#[derive(Debug)]
pub(in crate::server) enum DropInError {
    /// 401, with one of Django's sentences.
    Unauthorized(&'static str),
    /// 404 `Not found.`
    NotFound,
    /// 404 `Invalid page.`
    InvalidPage,
    /// 400: a filter and what is wrong with it.
    Filter(&'static str, &'static str),
    /// 503: openseat does not know; the text says why.
    Unknown(String),
}

impl DropInError {
    /// A filter is not a number.
    pub(super) fn not_a_number(filter: &'static str) -> Self {
        DropInError::Filter(filter, "Enter a number.")
    }

    /// A filter names something that the account does not have.
    pub(super) fn no_choice(filter: &'static str) -> Self {
        DropInError::Filter(
            filter,
            "Select a valid choice. That choice is not one of the available choices.",
        )
    }

    /// The statuses of some agents are not known.
    pub(super) fn statuses_unknown() -> Self {
        DropInError::Unknown(
            "openseat does not know the statuses of some agents now, only that they are not available."
                .to_owned(),
        )
    }

    /// CallTools has not sent the account's `what` yet.
    pub(super) fn not_read(what: &str) -> Self {
        DropInError::Unknown(format!(
            "openseat has not read the account's {what} from CallTools."
        ))
    }
}

impl IntoResponse for DropInError {
    fn into_response(self) -> Response {
        match self {
            DropInError::Unauthorized(text) => {
                let challenge = [(header::WWW_AUTHENTICATE, "Token")];
                (challenge, detail(StatusCode::UNAUTHORIZED, text)).into_response()
            }
            DropInError::NotFound => detail(StatusCode::NOT_FOUND, "Not found."),
            DropInError::InvalidPage => detail(StatusCode::NOT_FOUND, "Invalid page."),
            DropInError::Filter(filter, text) => {
                let filters = Filters(BTreeMap::from([(filter, [text])]));
                (StatusCode::BAD_REQUEST, Json(filters)).into_response()
            }
            DropInError::Unknown(text) => detail(StatusCode::SERVICE_UNAVAILABLE, &text),
        }
    }
}

pub(super) fn detail(status: StatusCode, text: &str) -> Response {
    (status, Json(Detail { detail: text })).into_response()
}

/// Why a request is rejected.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CallToolsRefusal")]
pub(in crate::server) struct Detail<'a> {
    /// CallTools' own words, or why openseat does not know.
    detail: &'a str,
}

/// Rejected filters, and what is wrong with each.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "CallToolsFilters")]
pub(in crate::server) struct Filters<'a>(BTreeMap<&'a str, [&'a str; 1]>);
