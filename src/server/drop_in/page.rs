//! Pages of rows, as DRF's `PageNumberPagination` makes them.

use std::{borrow::Cow, ops::Range};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::Uri;
use schemars::JsonSchema;
use serde::Serialize;
use url::form_urlencoded;

use super::{base::Base, error::DropInError};

/// Rows per page by default.
const DEFAULT_SIZE: usize = 25;
/// The most rows per page. A larger size is clipped, as CallTools does.
const MAX_SIZE: usize = 250;

/// A request for a list: its parameters, its path, and the base of its links.
pub(super) struct Request<'a> {
    params: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    path: &'a str,
    base: Base<'a>,
}

impl<'a> Request<'a> {
    pub(super) fn new(uri: &'a Uri, base: Base<'a>) -> Self {
        let query = uri.query().unwrap_or_default();
        Self {
            params: form_urlencoded::parse(query.as_bytes()).collect(),
            path: uri.path(),
            base,
        }
    }

    /// A parameter's last value, as Django reads it. An empty one counts as missing.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let mut pairs = self.params.iter().rev();
        let (_, value) = pairs.find(|(given, _)| given == name)?;
        Some(&**value).filter(|value| !value.is_empty())
    }

    /// An absolute link to another page of the list, with its parameters in alphabetical order, as in DRF.
    fn link(&self, page: usize) -> String {
        let others = self.params.iter().filter(|(name, _)| name != "page");
        let mut params: Vec<(&str, &str)> =
            others.map(|(name, value)| (&**name, &**value)).collect();
        let number = page.to_string();
        if page > 1 {
            params.push(("page", &number));
        }
        params.sort_by_key(|(name, _)| *name);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish();
        self.base.link(self.path, &query)
    }
}

/// One page of a list with `rows` rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    number: usize,
    size: usize,
    rows: usize,
}

/// A page of rows.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CallToolsPage")]
pub(in crate::server) struct Envelope<'a, R> {
    /// Rows on all pages.
    count: usize,
    /// The address of the next page; null on the last.
    next: Option<String>,
    /// The address of the previous page; null on the first.
    previous: Option<String>,
    /// The rows of this page.
    results: &'a [R],
}

impl Page {
    pub(super) fn new(request: &Request<'_>, rows: usize) -> Result<Self, DropInError> {
        let size = size(request.param("page_size"));
        let last = rows.div_ceil(size).max(1);
        let number = match request.param("page") {
            None => Some(1),
            Some("last") => Some(last),
            Some(page) => number(page).and_then(|page| usize::try_from(page).ok()),
        };
        match number {
            Some(number) if (1..=last).contains(&number) => Ok(Self { number, size, rows }),
            _ => Err(DropInError::InvalidPage),
        }
    }

    /// The range of its rows in the list.
    pub(super) fn range(&self) -> Range<usize> {
        let start = (self.number - 1) * self.size;
        start..self.rows.min(start + self.size)
    }

    /// The answer with this page's rows.
    pub(super) fn envelope<R: Serialize>(&self, request: &Request<'_>, rows: &[R]) -> Response {
        let more = self.range().end < self.rows;
        Json(Envelope {
            count: self.rows,
            next: more.then(|| request.link(self.number + 1)),
            previous: (self.number > 1).then(|| request.link(self.number - 1)),
            results: rows,
        })
        .into_response()
    }
}

/// Parses a page size. Anything but a positive number or CallTools' `max` counts as missing.
fn size(asked: Option<&str>) -> usize {
    match asked {
        Some("max") => MAX_SIZE,
        asked => match asked.and_then(number) {
            None | Some(0) => DEFAULT_SIZE,
            Some(size) => usize::try_from(size).map_or(MAX_SIZE, |size| size.min(MAX_SIZE)),
        },
    }
}

/// Parses a whole number in a query. CallTools ignores spaces around it. One that does not fit becomes the largest number, which is too large for
/// everything.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.trim_matches(' ');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}
