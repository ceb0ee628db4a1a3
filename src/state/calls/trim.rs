//! Removes events that are too old or too many.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{event::wall_ms, index::last_in_runs};
use crate::{clock::Moment, sqlite::used_bytes};

/// Removes events older than `keep`. Those of the future stay, since it may be this time that is wrong. They hide no others, and the size limit removes
/// them in their turn: both go by the order in which events were written.
pub(super) fn by_age(
    connection: &mut Connection,
    now: Moment,
    keep: Duration,
) -> rusqlite::Result<()> {
    let oldest = wall_ms(now).saturating_sub(keep.as_millis() as i64);
    let sql = "SELECT first, last FROM run WHERE from_ms < ?1 ORDER BY first";
    let runs = connection
        .prepare(sql)?
        .query_map([oldest], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    for (first, last) in runs {
        // One transaction for each run keeps the write-ahead log small.
        let transaction = connection.transaction()?;
        let sql = "DELETE FROM event WHERE id BETWEEN ?1 AND ?2 AND at_ms < ?3";
        transaction.execute(sql, [first, last, oldest])?;
        let sql = "UPDATE run SET (from_ms, to_ms) = (SELECT min(at_ms), max(at_ms) FROM event WHERE id BETWEEN ?1 AND ?2)
                   WHERE first = ?1 AND EXISTS (SELECT 1 FROM event WHERE id BETWEEN ?1 AND ?2)";
        if transaction.execute(sql, [first, last])? == 0 {
            transaction.execute("DELETE FROM run WHERE first = ?1", [first])?;
        }
        transaction.commit()?;
    }
    let sql = "DELETE FROM event WHERE id > ?1 AND at_ms < ?2";
    let after = last_in_runs(connection)?;
    connection.execute(sql, [after, oldest]).map(drop)
}

/// Removes the oldest runs while the file has more than `largest` bytes in use.
pub(super) fn by_size(connection: &mut Connection, largest: u64) -> rusqlite::Result<()> {
    while used_bytes(connection)? > largest {
        let transaction = connection.transaction()?;
        let sql = "SELECT first, last FROM run ORDER BY first LIMIT 1";
        let oldest = transaction.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (first, last): (i64, i64) = match oldest {
            Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(()),
            oldest => oldest?,
        };
        let sql = "DELETE FROM event WHERE id BETWEEN ?1 AND ?2";
        transaction.execute(sql, [first, last])?;
        transaction.execute("DELETE FROM run WHERE first = ?1", params![first])?;
        transaction.commit()?;
    }
    Ok(())
}
