//! A page ready for all viewers: plain, compressed, and with its entity tag.

#[cfg(test)]
mod tests;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Write as _,
};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::clock::Moment;

/// The server's time at the answer, in milliseconds since 1970. Pages contain times and no ages, so that one page serves everybody; the script
/// computes ages from this.
const NOW: HeaderName = HeaderName::from_static("openseat-now");

/// Takes a third of the default level's time, for a few per cent more bytes.
const LEVEL: Compression = Compression::fast();

/// What a page may do: use the dashboard's files, send requests and forms to this server, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);

/// With `no-referrer`, browsers would send `Origin: null` with our own forms, and access control would take them for another site's.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// The headers of every page.
pub(super) const PAGE_HEADERS: [(HeaderName, HeaderValue); 2] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, REFERRER),
];

/// A page, ready to be sent. See the [module](self).
#[derive(Debug)]
pub(super) struct RenderedPage {
    plain: Bytes,
    gzip: Bytes,
    tag: HeaderValue,
}

impl RenderedPage {
    /// Compresses a page. Pages with the same `essence` get the same tag.
    pub(super) fn new(page: String, essence: &[&str]) -> Self {
        let mut hasher = DefaultHasher::new();
        essence.hash(&mut hasher);
        // A weak tag, since the bytes may differ.
        let tag = format!("W/\"{:016x}\"", hasher.finish());
        let mut gzip = GzEncoder::new(Vec::new(), LEVEL);
        let gzip = gzip
            .write_all(page.as_bytes())
            .and_then(|()| gzip.finish())
            .expect("writing to memory cannot fail");
        Self {
            plain: page.into(),
            gzip: gzip.into(),
            tag: HeaderValue::from_str(&tag).expect("a tag is ASCII"),
        }
    }

    /// Answers a request: with 304 if the client has this page, compressed if it accepts gzip.
    pub(super) fn answer(&self, request: &HeaderMap, now: Moment) -> Response {
        let mut response = if has_tag(request, &self.tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            self.whole(accepts_gzip(request))
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.tag.clone());
        let vary = HeaderValue::from_static("accept-encoding");
        headers.insert(header::VARY, vary);
        headers.insert(NOW, HeaderValue::from(now.wall.as_millis() as u64));
        headers.extend(PAGE_HEADERS);
        response
    }

    fn whole(&self, compressed: bool) -> Response {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        let html = [(header::CONTENT_TYPE, html)];
        match compressed {
            false => (html, self.plain.clone()).into_response(),
            true => {
                let gzip = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
                (html, gzip, self.gzip.clone()).into_response()
            }
        }
    }

    /// Its bytes, plain and compressed.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.plain.len(), self.gzip.len()]
    }
}

/// Whether a client has the page with this tag. The comparison is weak, as RFC 9110 requires for `If-None-Match`.
fn has_tag(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = request.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"));
    let tag = tag.to_str().unwrap_or_default().trim_start_matches("W/");
    known.any(|known| known == tag || known == "*")
}

/// Whether a client accepts gzip: it names gzip with a weight above zero.
fn accepts_gzip(request: &HeaderMap) -> bool {
    let codings = request.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = codings
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches("q=").trim();
        let is_zero = weight.parse() == Ok(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !is_zero
    })
}
