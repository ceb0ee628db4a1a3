//! The schema of a kind of file: opening it, checking it, migrating it.

use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

/// How long to wait for another process to finish its transaction: each takes milliseconds, on a slow disk perhaps a second.
const BUSY: Duration = Duration::from_secs(5);

/// Larger files are not read through at the start: at some 500 MB a second this one takes an eighth of one.
const CHEAP_TO_CHECK: i64 = 64 * 1024 * 1024;

/// What a kind of file looks like, in each of its layouts so far.
#[derive(Debug)]
pub struct Layout {
    /// Marks a file as one of this kind.
    pub application_id: i32,
    /// The last layout whose files bear no such mark, and a table of theirs by which they are known.
    pub unmarked: (i64, &'static str),
    /// What leads from each layout to the next. The first makes an empty file one of layout 1.
    pub steps: &'static [&'static str],
    /// How much is synchronized: `FULL`, so that a power cut takes nothing, or `NORMAL`, where it may take the last moments.
    pub synchronous: &'static str,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite's word.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The system's word on its folder.
    #[error("{0}")]
    Folder(io::Error),
    /// It, or its folder, may only be read.
    #[error("it cannot be written to")]
    ReadOnly,
    /// The file is from the future.
    #[error(
        "it was written by a newer openseat (its layout is {found}, this program knows up to {known})"
    )]
    Newer {
        /// Its layout's number.
        found: i64,
        /// The highest that this program knows.
        known: i64,
    },
    /// It is torn, or no file of ours.
    #[error("it is damaged or not openseat's: {0}")]
    Damaged(String),
}

impl OpenError {
    /// SQLite's word, which may be that the file is no good.
    pub(super) fn of(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                OpenError::Damaged(error.to_string())
            }
            _ => OpenError::Sqlite(error),
        }
    }
}

impl Layout {
    /// The number of the present layout.
    fn present(&self) -> i64 {
        self.steps.len() as i64
    }

    /// Opens a file, or makes it, in WAL mode and in the present layout.
    ///
    /// # Errors
    /// [`OpenError`]; the file is then as it was.
    pub fn open(&self, path: &Path) -> Result<Connection, OpenError> {
        // Where it cannot be made, SQLite says why.
        let _ = make_private(path);
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        self.prepare(&mut connection).map_err(|error| match error {
            // The SQL of a step is sound, so the tables are not those of the layout that the file claims to have.
            OpenError::Sqlite(error) if does_not_fit(&error) => {
                OpenError::Damaged(error.to_string())
            }
            OpenError::Sqlite(error) => OpenError::of(error),
            error => error,
        })?;
        Ok(connection)
    }

    /// A file that is only in memory.
    ///
    /// # Errors
    /// None that a machine with memory would know.
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

    /// Brings it to the present layout, in one transaction.
    fn migrate(&self, connection: &mut Connection) -> Result<(), OpenError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = self.layout_of(&transaction)?;
        if found == self.present() {
            return Ok(());
        }
        for step in &self.steps[found as usize..] {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", self.application_id)?;
        transaction.pragma_update(None, "user_version", self.present())?;
        Ok(transaction.commit()?)
    }

    /// The layout of a file of ours; 0 for one that is empty.
    fn layout_of(&self, connection: &Connection) -> Result<i64, OpenError> {
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
            layout if layout <= self.unmarked.0 => has(
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
        if version > self.present() {
            return Err(OpenError::Newer {
                found: version,
                known: self.present(),
            });
        }
        Ok(version)
    }
}

/// Whether SQLite says that our SQL does not fit the file's tables.
pub fn does_not_fit(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqlInputError { .. })
        || error.sqlite_error_code() == Some(ErrorCode::Unknown)
}

/// Makes an empty file that only its owner may read, if there is none. SQLite gives what it keeps beside it the same mode.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map(drop)
}

/// Reads the file through for damage, where that is cheap.
fn check(connection: &Connection) -> Result<(), OpenError> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    if number("page_count")? * number("page_size")? > CHEAP_TO_CHECK {
        return Ok(());
    }
    // With an argument of 1 it stops at the first finding.
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(OpenError::Damaged(found)),
    }
}
