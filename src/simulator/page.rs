//! Pages of lists: which rows a query asks for, and the links from one page to the next.

use std::{num::NonZeroUsize, ops::Range};

use serde::Serialize;
use url::form_urlencoded;

use super::{
    api_error::ApiError,
    quirks::{PageSizeMax, Quirks},
};

/// The default number of rows on a page.
const PAGE_SIZE: usize = 25;

/// The most rows on a page, unless a quirk says otherwise; larger numbers are clipped to it.
const MAX_PAGE_SIZE: usize = 250;

/// A parsed query, in its original order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// Returns the last value of a name, as Django does; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().rev().find(|(known, _)| known == name);
        value
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Returns the query of another page: all names in alphabetical order, as DRF writes it. The first page needs no number.
    fn with_page(&self, page: usize) -> String {
        let mut pairs: Vec<(&str, String)> = self
            .0
            .iter()
            .filter(|(name, _)| name != "page")
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        if page > 1 {
            pairs.push(("page", page.to_string()));
        }
        pairs.sort_by_key(|&(name, _)| name);
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish()
    }

    /// Returns the number of rows on a page.
    pub(super) fn page_size(&self, quirks: &Quirks) -> usize {
        let max = quirks.page_size_max;
        let limit = quirks.page_limit.map_or(MAX_PAGE_SIZE, NonZeroUsize::get);
        let size = match self.get("page_size") {
            Some("max") if max == PageSizeMax::Whole => return usize::MAX,
            Some("max") if max == PageSizeMax::Clipped => limit,
            Some(size) => match size.trim().parse::<u128>() {
                Ok(1..) => size.trim().parse().unwrap_or(usize::MAX),
                // DRF ignores zero and anything that is not a number.
                _ => PAGE_SIZE,
            },
            None => PAGE_SIZE,
        };
        size.min(limit)
    }

    /// Returns the number of the page, out of `pages`.
    pub(super) fn page(&self, pages: usize) -> Result<usize, ApiError> {
        let page = match self.get("page") {
            None => Some(1),
            Some("last") => Some(pages),
            Some(page) => page.trim().parse().ok(),
        };
        page.filter(|page| (1..=pages).contains(page))
            .ok_or(ApiError::NotFound("Invalid page."))
    }
}

/// DRF's `PageNumberPagination` around the rows.
#[derive(Serialize)]
pub(super) struct Envelope<T> {
    pub(super) count: i64,
    pub(super) next: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) results: Vec<T>,
}

/// Returns the rows on a page. Rows that crossed its edge since the previous page was read show up twice, or never.
pub(super) fn shifted(page: usize, size: usize, rows: usize, shift: isize) -> Range<usize> {
    let shift = if page == 1 { 0 } else { shift };
    let edge = |n: usize| n.saturating_add_signed(shift).min(rows);
    edge((page - 1) * size)..edge(page * size)
}

/// A requested list: the parts of its links.
pub(super) struct List<'a> {
    pub(super) origin: String,
    pub(super) path: &'a str,
    pub(super) query: &'a Query,
}

impl List<'_> {
    pub(super) fn link(&self, page: usize) -> String {
        let query = self.query.with_page(page);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{query}", self.origin, self.path)
    }
}
