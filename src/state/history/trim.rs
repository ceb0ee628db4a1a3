//! Removes entries that are too old or too many.

use std::time::Duration;

use rusqlite::Connection;

use super::write::{SEEN_EVERY, ms};
use crate::{clock::Moment, sqlite::used_bytes};

/// How often old entries are removed.
pub(super) const TRIM_EVERY: Duration = Duration::from_secs(3_600);

/// How long rows are kept. They are much larger than counts.
const ROWS_LIVE: Duration = Duration::from_secs(86_400);

/// How long presence is kept: as far back as a page looks.
const PRESENT_LIVES: Duration = Duration::from_secs(7 * 86_400);

/// Entries further in the future than this come from a wrong clock. One that shows local time instead of UTC is at most 14 hours ahead.
const AHEAD: Duration = Duration::from_secs(86_400);

/// How much of a file that is too large is removed at once. It fills again within a day, so the tables are searched once a day.
const DAY_MS: i64 = 86_400_000;

/// The tables that grow, and when their entries were written.
const TABLES: [(&str, &str); 4] = [
    ("sample", "at_ms"),
    ("decided", "minute_ms"),
    ("polled", "at_ms"),
    ("present", "at_ms"),
];

/// Removes entries older than `keep`, and more of them if the file uses more than `largest` bytes. Without a `trusted` time, only the size counts.
pub(super) fn trim(
    connection: &mut Connection,
    trusted: Option<Moment>,
    keep: Duration,
    largest: u64,
) -> rusqlite::Result<()> {
    if let Some(now) = trusted {
        by_age(connection, now, keep)?;
    }
    by_size(connection, trusted, largest)
}

/// Entries of the future stay until they are old: it may be this time that is wrong.
fn by_age(connection: &mut Connection, now: Moment, keep: Duration) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for (table, column, longest) in [
        ("sample", "at_ms", keep),
        ("decided", "minute_ms", keep),
        ("polled", "at_ms", keep.min(ROWS_LIVE)),
        ("present", "at_ms", keep.min(PRESENT_LIVES)),
        // A day longer, since the moment is stored to the day. So no record names an agent that was removed.
        ("agent", "seen_ms", keep.min(PRESENT_LIVES) + SEEN_EVERY),
    ] {
        let sql = format!("DELETE FROM {table} WHERE {column} < ?1");
        let oldest = ms(now).saturating_sub(longest.as_millis() as i64);
        transaction.execute(&sql, [oldest])?;
    }
    transaction.commit()
}

/// Removes the oldest day until the rest fits. The entries alone say what is oldest, so a wrong clock removes no more than a right one.
fn by_size(connection: &Connection, trusted: Option<Moment>, largest: u64) -> rusqlite::Result<()> {
    if let Some(now) = trusted
        && used_bytes(connection)? > largest
    {
        // They would outlive all others, and leave them no room.
        remove(connection, ">", ms(now.later(AHEAD)))?;
    }
    while used_bytes(connection)? > largest
        && let Some(oldest) = oldest_ms(connection)?
    {
        remove(connection, "<", oldest.saturating_add(DAY_MS))?;
    }
    Ok(())
}

/// Removes the entries before (`<`) or after (`>`) a time. A transaction for each table keeps the write-ahead log small.
fn remove(connection: &Connection, side: &str, than_ms: i64) -> rusqlite::Result<()> {
    for (table, column) in TABLES {
        let sql = format!("DELETE FROM {table} WHERE {column} {side} ?1");
        connection.execute(&sql, [than_ms])?;
    }
    Ok(())
}

/// The time of the oldest entry; `None` if there is none.
fn oldest_ms(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut oldest: Option<i64> = None;
    for (table, column) in TABLES {
        let sql = format!("SELECT min({column}) FROM {table}");
        let first = connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0))?;
        oldest = oldest.into_iter().chain(first).min();
    }
    Ok(oldest)
}
