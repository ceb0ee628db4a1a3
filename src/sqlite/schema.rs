//! The schema of a kind of file, and opening, checking and migrating a file to it.

use std::{io, path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::process::file::create_private;

/// How long to wait for another process's transaction. Each takes milliseconds, on a slow disk perhaps a second.
const BUSY: Duration = Duration::from_secs(5);

/// In bytes. Larger files are not checked at the start: at some 500 MB a second this takes an eighth of a second.
const MAX_CHECKED: i64 = 64 * 1024 * 1024;

/// The schema of a kind of file, in each of its versions so far.
#[derive(Debug)]
pub struct Schema {
    /// Marks a file as one of this kind.
    pub application_id: i32,
    /// The last version whose files lack that mark, and one of their tables, which identifies them instead.
    pub unmarked: (i64, &'static str),
    /// The SQL that leads from each version to the next. The first turns an empty file into version 1.
    pub migrations: &'static [&'static str],
    /// `FULL`, so that a power cut loses nothing, or `NORMAL`, which may lose the last moments.
    pub synchronous: &'static str,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite's error.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The system's error for it or its folder.
    #[error("{0}")]
    Folder(io::Error),
    /// The file, or its folder, is read-only.
    #[error("it cannot be written to")]
    ReadOnly,
    /// A newer openseat wrote the file.
    #[error(
        "it was written by a newer openseat (its layout is {found}, this program knows up to {known})"
    )]
    Newer {
        /// The version of its schema.
        found: i64,
        /// The highest version that this program knows.
        known: i64,
    },
    /// It is damaged, or another program's.
    #[error("it is damaged or not openseat's: {0}")]
    Damaged(String),
}

impl OpenError {
    /// Converts SQLite's error, which may say that the file is damaged.
    pub(super) fn from_sqlite(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                OpenError::Damaged(error.to_string())
            }
            _ => OpenError::Sqlite(error),
        }
    }
}

impl Schema {
    /// The current version.
    fn current(&self) -> i64 {
        self.migrations.len() as i64
    }

    /// Opens or creates a file in WAL mode, with the current schema. SQLite gives its companions the same owner and mode.
    ///
    /// # Errors
    /// [`OpenError`]; the file is unchanged.
    pub fn open(&self, path: &Path) -> Result<Connection, OpenError> {
        match create_private(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(OpenError::Folder(error));
            }
            // SQLite says what else is wrong.
            _ => {}
        }
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        self.prepare(&mut connection).map_err(|error| match error {
            // The SQL of a migration is correct, so the tables do not match the version that the file claims.
            OpenError::Sqlite(error) if does_not_fit(&error) => {
                OpenError::Damaged(error.to_string())
            }
            OpenError::Sqlite(error) => OpenError::from_sqlite(error),
            error => error,
        })?;
        Ok(connection)
    }

    /// Checks that no newer openseat wrote a file, without changing it. Anything else that is wrong with it shows when it is opened.
    ///
    /// # Errors
    /// [`OpenError::Newer`]
    pub fn refuse_newer(&self, path: &Path) -> Result<(), OpenError> {
        match marks(path) {
            Ok((found, mark)) if mark == self.application_id && found > self.current() => {
                Err(OpenError::Newer {
                    found,
                    known: self.current(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Opens a database in memory.
    ///
    /// # Errors
    /// None on a machine with free memory.
    pub fn in_memory(&self) -> Result<Connection, OpenError> {
        let mut connection = Connection::open_in_memory()?;
        self.migrate(&mut connection)?;
        Ok(connection)
    }

    fn prepare(&self, connection: &mut Connection) -> Result<(), OpenError> {
        if connection.is_readonly("main")? {
            return Err(OpenError::ReadOnly);
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        self.migrate(connection)?;
        check(connection)
    }

    /// Migrates the file to the current version, in one transaction.
    fn migrate(&self, connection: &mut Connection) -> Result<(), OpenError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = self.version_of(&transaction)?;
        if found == self.current() {
            return Ok(());
        }
        for step in &self.migrations[found as usize..] {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", self.application_id)?;
        transaction.pragma_update(None, "user_version", self.current())?;
        Ok(transaction.commit()?)
    }

    /// Returns the version of a file of ours; 0 for an empty one.
    fn version_of(&self, connection: &Connection) -> Result<i64, OpenError> {
        let number =
            |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let (version, application_id) = (number("user_version")?, number("application_id")?);
        let has =
            |sql: &str, name: &str| connection.query_row(sql, [name], |row| row.get::<_, bool>(0));
        let ours = match version {
            0 => !has(
                "SELECT count(*) > 0 FROM sqlite_schema WHERE name <> ?1",
                "",
            )?,
            version if version <= self.unmarked.0 => has(
                "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                self.unmarked.1,
            )?,
            _ => application_id == i64::from(self.application_id),
        };
        if !ours {
            return Err(OpenError::Damaged(
                "its tables are another program's".to_owned(),
            ));
        }
        if version > self.current() {
            return Err(OpenError::Newer {
                found: version,
                known: self.current(),
            });
        }
        Ok(version)
    }
}

/// Returns the version and the application id of a file.
fn marks(path: &Path) -> rusqlite::Result<(i64, i32)> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    Ok((
        connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
    ))
}

/// Returns whether the error says that our SQL does not match the file's tables.
pub fn does_not_fit(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqlInputError { .. })
        || error.sqlite_error_code() == Some(ErrorCode::Unknown)
}

/// Checks the whole file for damage, if that is cheap.
fn check(connection: &Connection) -> Result<(), OpenError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("page_count")? * number("page_size")? > MAX_CHECKED {
        return Ok(());
    }
    // The argument makes it stop at the first finding.
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(OpenError::Damaged(found)),
    }
}
