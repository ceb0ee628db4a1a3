//! What kind of answer a client accepts.

use http::{HeaderMap, header};

/// Whether the client is a browser that shows pages.
pub fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.as_bytes().windows(9).any(|w| w == b"text/html"))
}
