//! Cuts lists into pages.

use std::ops::Range;

use http::StatusCode;
use serde::Serialize;

use super::Api;
use crate::{
    calltools::Reply,
    simulator::{
        api_error::ApiError,
        page::{Envelope, List, shifted},
        replies::json_reply,
    },
};

/// One page of a list.
pub(super) struct Page {
    number: usize,
    pub(super) rows: Range<usize>,
    has_next: bool,
}

impl Api {
    /// Draws how far the rows have moved since the client requested the previous page: by one, either way, or not at all.
    pub(super) fn row_shift(&mut self) -> isize {
        match self.quirks.rows_move {
            true => self.dice.i32(-1..=1) as isize,
            false => 0,
        }
    }

    pub(super) fn page<T: Serialize>(
        &self,
        list: &List<'_>,
        rows: usize,
        row: impl Fn(&Self, usize) -> T,
    ) -> Result<Reply, ApiError> {
        self.page_shifted(list, rows, 0, row)
    }

    /// Returns one page of a list of `rows` rows. Only its own rows are made.
    pub(super) fn page_shifted<T: Serialize>(
        &self,
        list: &List<'_>,
        rows: usize,
        shift: isize,
        row: impl Fn(&Self, usize) -> T,
    ) -> Result<Reply, ApiError> {
        let make = |range: Range<usize>| range.map(|n| row(self, n)).collect::<Vec<T>>();
        if self.quirks.bare_array {
            return Ok(json_reply(StatusCode::OK, &make(0..rows)));
        }
        let page = self.locate(list, rows, shift)?;
        let link = |page| list.link(page);
        let envelope = Envelope {
            count: rows as i64 + self.quirks.count_off_by,
            next: page.has_next.then(|| link(page.number + 1)),
            previous: (page.number > 1).then(|| link(page.number - 1)),
            results: make(page.rows),
        };
        Ok(json_reply(StatusCode::OK, &envelope))
    }

    /// Finds the requested page in a list of `rows` rows.
    pub(super) fn locate(
        &self,
        list: &List<'_>,
        rows: usize,
        shift: isize,
    ) -> Result<Page, ApiError> {
        let endless = self.quirks.endless_pages;
        let size = list.query.page_size(&self.quirks);
        // An empty list has one page, with nothing on it.
        let pages = rows.div_ceil(size).max(1);
        // Any number will do, if the next one exists.
        let known = if endless { u32::MAX as usize } else { pages };
        let number = list.query.page(known)?;
        let shown = if number > pages { 1 } else { number };
        Ok(Page {
            number,
            rows: match self.quirks.bare_array {
                true => 0..rows,
                false => shifted(shown, size, rows, shift),
            },
            has_next: endless || number < pages,
        })
    }
}
