//! How much of a file is in use.

use rusqlite::Connection;

/// Returns the bytes in use. SQLite reuses freed pages before the file grows.
///
/// # Errors
/// The file cannot be read.
pub fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok((pages * number("page_size")?).max(0) as u64)
}
