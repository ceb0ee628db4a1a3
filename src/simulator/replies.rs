//! Builds replies.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::calltools::Reply;

pub(super) fn reply(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    Reply {
        status,
        headers,
        body: body.into(),
    }
}

pub(super) fn json_reply(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).expect("rows have text keys and finite numbers");
    reply(status, "application/json", body)
}

/// The HTML page of Django, or of a load balancer in front of it.
pub(super) fn web_page(status: StatusCode) -> Reply {
    let reason = status.canonical_reason().unwrap_or("Error");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>{reason}</title>\n</head>\n<body>\n  \
         <h1>{reason}</h1><p></p>\n</body>\n</html>\n"
    );
    reply(status, "text/html; charset=utf-8", page)
}

/// Django's redirect for a path without its last slash.
pub(super) fn add_slash(path: &str, query: &str) -> Reply {
    let mark = if query.is_empty() { "" } else { "?" };
    redirect(
        StatusCode::MOVED_PERMANENTLY,
        &format!("{path}/{mark}{query}"),
    )
}

pub(super) fn redirect(status: StatusCode, location: &str) -> Reply {
    let mut reply = reply(status, "text/html; charset=utf-8", "");
    if let Ok(location) = HeaderValue::from_str(location) {
        reply.headers.insert(header::LOCATION, location);
    }
    reply
}
