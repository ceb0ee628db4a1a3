//! Converts the ledger's columns to and from the budget's types.

use std::time::Duration;

use rusqlite::Row;

use crate::{
    budget::window::{Mark, Time},
    clock::stored_time::StoredTime,
};

pub(super) fn ms(time: Time) -> i64 {
    time.as_millis() as i64
}

/// Rounding loses less than a millisecond, which the window's allowance for drift covers.
pub(super) fn time_of(ms: i64) -> Time {
    Duration::from_millis(ms.max(0) as u64)
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Time> {
    row.get(column).map(time_of)
}

pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0) as u64)
}

pub(super) fn stamp(row: &Row<'_>, first_column: usize) -> rusqlite::Result<StoredTime> {
    Ok(StoredTime {
        boot_id: row.get(first_column)?,
        boot_ms: row.get(first_column + 1)?,
        wall_ms: row.get(first_column + 2)?,
    })
}

/// Reads a request's mark in the cluster from two columns; `None` if they are null.
pub(super) fn mark(row: &Row<'_>, first_column: usize) -> rusqlite::Result<Option<Mark>> {
    let (process, number): (Option<i64>, Option<i64>) =
        (row.get(first_column)?, row.get(first_column + 1)?);
    Ok(process.zip(number).map(|(process, number)| Mark {
        process: process as u64,
        number: number as u64,
    }))
}
