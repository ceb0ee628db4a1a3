//! The reference of the API: the document for programs, and the page that is made from it for people.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};

use crate::server::openapi::{self, shape};
use crate::server::routes::{self, DOCUMENT};

shape!(
    /// The document itself.
    OpenApi, { "type": "object", "required": ["openapi"], "properties": { "openapi": { "const": "3.1.0" } } }
);

static JSON: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_json());
static PAGE: LazyLock<String> = LazyLock::new(|| openapi::page(&DOCUMENT, &routes::operations()));

/// `GET /openapi.json`
pub async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], JSON.as_str()).into_response()
}

/// Where the page is.
pub const PATH: &str = "/docs";

/// `GET /docs`
pub async fn page() -> Response {
    ([openapi::policy()], Html(PAGE.as_str())).into_response()
}
