//! Opens a file that another connection writes.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Opens a file for reading. Returns `None` if it does not exist yet, or is just being made: a file exists a moment before its tables.
pub fn open_to_read(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let connection = match Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => return Ok(None),
        opened => opened?,
    };
    connection.busy_timeout(Duration::from_secs(1))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((version > 0).then_some(connection))
}
