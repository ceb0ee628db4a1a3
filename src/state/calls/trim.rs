//! Removes events that are too old or too many.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{event::wall_ms, index::last_in_runs};
use crate::clock::Moment;

/// Events further in the future than this come from a wrong clock.
const AHEAD: Duration = Duration::from_secs(86_400);

/// Removes events older than `keep`.
pub(super) fn by_age(
    connection: &mut Connection,
    now: Moment,
    keep: Duration,
) -> rusqlite::Result<()> {
    let oldest = wall_ms(now).saturating_sub(keep.as_millis() as i64);
    let newest = wall_ms(now.later(AHEAD));
    let sql = "SELECT first, last FROM run WHERE from_ms < ?1 OR to_ms > ?2 ORDER BY first";
    let runs = connection
        .prepare(sql)?
        .query_map([oldest, newest], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    for (first, last) in runs {
        // One transaction for each run keeps the write-ahead log small.
        let transaction = connection.transaction()?;
        let sql = "DELETE FROM event WHERE id BETWEEN ?1 AND ?2 AND (at_ms < ?3 OR at_ms > ?4)";
        transaction.execute(sql, [first, last, oldest, newest])?;
        let sql = "UPDATE run SET (from_ms, to_ms) = (SELECT min(at_ms), max(at_ms) FROM event WHERE id BETWEEN ?1 AND ?2)
                   WHERE first = ?1 AND EXISTS (SELECT 1 FROM event WHERE id BETWEEN ?1 AND ?2)";
        if transaction.execute(sql, [first, last])? == 0 {
            transaction.execute("DELETE FROM run WHERE first = ?1", [first])?;
        }
        transaction.commit()?;
    }
    let sql = "DELETE FROM event WHERE id > ?1 AND (at_ms < ?2 OR at_ms > ?3)";
    let after = last_in_runs(connection)?;
    connection.execute(sql, [after, oldest, newest]).map(drop)
}

/// Removes the oldest runs while the file has more than `largest` bytes in use.
pub(super) fn by_size(connection: &mut Connection, largest: u64) -> rusqlite::Result<()> {
    while held(connection)? > largest {
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

/// Bytes in use. Freed pages are reused before the file grows.
fn held(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok((pages * number("page_size")?).max(0) as u64)
}
