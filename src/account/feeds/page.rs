//! Pages of the lists that replace the full list.

use std::time::Duration;

use crate::{clock::Moment, model::agent::Agent};

/// One page of the ordered list.
#[derive(Clone, Copy, Debug)]
pub struct DeltaPage<'a> {
    /// When it was requested, minus the time a cache had kept it.
    pub as_of: Moment,
    /// The time a cache had kept it.
    pub cached: Duration,
    /// Its number, from 1.
    pub page: u32,
    /// Whether the list ends with it.
    pub last: bool,
    /// Its rows, in CallTools' order.
    pub rows: &'a [Agent],
    /// The number of rows that could not be read.
    pub skipped: usize,
}

/// One page of a filtered list.
#[derive(Clone, Copy, Debug)]
pub struct FilteredPage<'a> {
    /// When it was requested, minus the time a cache had kept it.
    pub as_of: Moment,
    /// CallTools' number for the status that was asked for.
    pub status: u64,
    /// Its number, from 1.
    pub page: u32,
    /// Whether the list ends with it.
    pub last: bool,
    /// Its rows, in CallTools' order.
    pub rows: &'a [Agent],
    /// The number of rows that could not be read.
    pub skipped: usize,
}
