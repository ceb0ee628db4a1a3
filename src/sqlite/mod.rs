//! SQLite files that outlive a process: opened, checked, brought to the present layout, and set aside when they are damaged.
//!
//! A file is never deleted and never overwritten. One that is damaged or another program's gets another name beside its old one, with the
//! time, and whoever opened it begins anew, with the caution that the loss asks for. One from a newer openseat is refused: it
//! is good, and this program would make it bad.

pub mod packed;
pub mod writer;

use std::{
    fmt,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::clock::{Clock, Moment};

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
    fn of(error: rusqlite::Error) -> Self {
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
fn make_private(path: &Path) -> io::Result<()> {
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

/// What SQLite keeps beside a file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Gives a damaged file, and what SQLite keeps beside it, another name in the same folder; returns that name.
///
/// # Errors
/// The folder cannot be written to.
pub fn set_aside(path: &Path, now: Moment) -> io::Result<PathBuf> {
    let time = now.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string();
    let names = (1..).map(|n| match n {
        1 => with_suffix(path, &format!("{SET_ASIDE}{time}")),
        n => with_suffix(path, &format!("{SET_ASIDE}{time}-{n}")),
    });
    let mut free = names.filter(|name| !name.exists());
    let aside = free.next().expect("there is no end of numbers");
    // The file itself first: if we are killed in between, a log without its file is what `clear_the_way` looks for.
    fs::rename(path, &aside)?;
    for companion in COMPANIONS {
        rename_if_there(
            &with_suffix(path, companion),
            &with_suffix(&aside, companion),
        )?;
    }
    Ok(aside)
}

/// A log whose file is gone must not be taken for the next file's.
///
/// # Errors
/// The folder cannot be written to.
pub fn clear_the_way(path: &Path, now: Moment) -> io::Result<()> {
    let left_over = COMPANIONS.map(|companion| with_suffix(path, companion));
    if path.exists() || !left_over.iter().any(|companion| companion.exists()) {
        return Ok(());
    }
    make_private(path)?;
    set_aside(path, now).map(drop)
}

/// Whether a file of this name was ever set aside, and what was can still be found.
pub fn was_set_aside(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return false;
    };
    let prefix = format!("{name}{SET_ASIDE}");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .any(|name| name.starts_with(&prefix))
}

/// What stands between a file's old name and the time in its new one.
const SET_ASIDE: &str = ".corrupt-";

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file that may be lost: where it is damaged a new one takes its place, and while it cannot be used it is done without. One that
/// was deleted or replaced while it was open is opened, or made, again: what is written to a file without a name is lost.
#[derive(Debug)]
pub struct File {
    layout: &'static Layout,
    path: PathBuf,
    clock: Arc<dyn Clock>,
    condition: Arc<Condition>,
    opened: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    connection: Connection,
    /// What the path named when it was opened.
    file: Option<FileId>,
    /// The same of the log beside it, which may come into being later.
    log: Option<FileId>,
}

/// Tells a file from another that has its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// `None` where there is no file of this name, or it cannot be told.
    fn at(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }
}

impl File {
    /// The file at this path, which is opened, or made, when it is first used.
    pub fn new(
        layout: &'static Layout,
        path: &Path,
        condition: Arc<Condition>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            layout,
            path: path.to_owned(),
            clock,
            condition,
            opened: None,
        }
    }

    /// Does something with it; `None` where that cannot be done now, which the log has been told.
    pub fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        self.with_begun(|_| Ok(()), work)
    }

    /// The same; a file that has just been opened gets `begin` first. After a failure the file is opened anew, so whatever `begin`
    /// writes is in the file whenever `work` has been done.
    pub fn with_begun<T>(
        &mut self,
        begin: impl FnOnce(&mut Connection) -> rusqlite::Result<()>,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Option<T> {
        let done = self
            .opened(begin)
            .and_then(|connection| work(connection).map_err(OpenError::of));
        match done {
            Ok(value) => {
                self.condition.works();
                Some(value)
            }
            Err(error) => {
                // What is wrong with it is seen, and put right where it can be, when it is opened the next time.
                self.close();
                self.condition
                    .fails(&format_args!("{}: {error}", self.path.display()));
                None
            }
        }
    }

    /// The next use opens it anew.
    pub fn close(&mut self) {
        self.opened = None;
    }

    fn opened(
        &mut self,
        begin: impl FnOnce(&mut Connection) -> rusqlite::Result<()>,
    ) -> Result<&mut Connection, OpenError> {
        self.close_if_replaced();
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => {
                let mut connection = self.open()?;
                begin(&mut connection).map_err(OpenError::of)?;
                Opened {
                    connection,
                    file: FileId::at(&self.path),
                    log: FileId::at(&self.log_path()),
                }
            }
        };
        Ok(&mut self.opened.insert(opened).connection)
    }

    /// Looks whether the names still mean the files that are open.
    fn close_if_replaced(&mut self) {
        let log_path = self.log_path();
        let Some(opened) = &mut self.opened else {
            return;
        };
        let log = FileId::at(&log_path);
        opened.log = opened.log.or(log);
        if opened.file == FileId::at(&self.path) && opened.log == log {
            return;
        }
        self.close();
        self.condition.fails(&format_args!(
            "{}: the file, or the log beside it, was deleted or replaced",
            self.path.display()
        ));
    }

    fn log_path(&self) -> PathBuf {
        with_suffix(&self.path, COMPANIONS[0])
    }

    fn open(&self) -> Result<Connection, OpenError> {
        clear_the_way(&self.path, self.clock.now()).map_err(OpenError::Folder)?;
        match self.layout.open(&self.path) {
            Err(OpenError::Damaged(why)) => {
                let aside = set_aside(&self.path, self.clock.now()).map_err(OpenError::Folder)?;
                tracing::error!(path = %self.path.display(), aside = %aside.display(), why, "a file is damaged or not openseat's, was set aside, and begins anew");
                self.layout.open(&self.path)
            }
            opened => opened,
        }
    }
}

/// Whether a file can be written now. Says so in the log when that changes, and to metrics at any time.
#[derive(Debug)]
pub struct Condition {
    /// The value of the label `part`.
    pub part: &'static str,
    /// What its failing means, for the log.
    means: &'static str,
    degraded: AtomicBool,
}

impl Condition {
    /// All is well until something fails.
    pub fn new(part: &'static str, means: &'static str) -> Self {
        Self {
            part,
            means,
            degraded: AtomicBool::new(false),
        }
    }

    /// Whether the last attempt failed.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// An attempt failed.
    pub fn fails(&self, error: &dyn fmt::Display) {
        if !self.degraded.swap(true, Ordering::Relaxed) {
            tracing::error!(part = self.part, %error, "the state folder cannot be used: {}", self.means);
        }
    }

    /// An attempt went well.
    pub fn works(&self) {
        if self.degraded.swap(false, Ordering::Relaxed) {
            tracing::info!(part = self.part, "the state folder can be used again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout {
        application_id: 77,
        unmarked: (1, "one"),
        steps: &[
            "CREATE TABLE one (a INTEGER) STRICT;",
            "CREATE TABLE two (b INTEGER) STRICT; INSERT INTO two SELECT a * 2 FROM one;",
        ],
        synchronous: "NORMAL",
    };

    const NOW: Moment = Moment {
        boot: Duration::from_secs(1_000),
        wall: Duration::from_secs(1_795_341_600),
    };

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("a.sqlite3")
        }

        fn with(sql: &str) -> Self {
            let folder = Self::new();
            let connection = Connection::open(folder.path()).unwrap();
            connection.execute_batch(sql).unwrap();
            folder
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn an_old_layout_becomes_the_present_one_with_what_it_held() {
        let folder = Folder::with(
            "CREATE TABLE one (a INTEGER) STRICT; INSERT INTO one VALUES (4); PRAGMA user_version = 1",
        );
        for _ in 0..2 {
            let connection = LAYOUT.open(&folder.path()).unwrap();
            let sum = "SELECT sum(b) FROM two";
            assert_eq!(connection.query_row(sum, [], |row| row.get(0)), Ok(8));
        }
    }

    #[test]
    fn files_of_others_and_of_the_future_are_told_apart() {
        for (sql, newer) in [
            ("CREATE TABLE theirs (a)", false),
            ("CREATE TABLE theirs (a); PRAGMA user_version = 1", false),
            ("CREATE TABLE one (a); PRAGMA user_version = 2", false),
            // It claims an older layout than it has.
            (
                "CREATE TABLE one (a); CREATE TABLE two (b); PRAGMA user_version = 1; PRAGMA application_id = 77",
                false,
            ),
            (
                "CREATE TABLE one (a); PRAGMA user_version = 9; PRAGMA application_id = 78",
                false,
            ),
            (
                "CREATE TABLE one (a); PRAGMA user_version = 9; PRAGMA application_id = 77",
                true,
            ),
        ] {
            let folder = Folder::with(sql);
            match LAYOUT.open(&folder.path()).expect_err(sql) {
                OpenError::Newer { found: 9, known: 2 } => assert!(newer, "{sql}"),
                OpenError::Damaged(_) => assert!(!newer, "{sql}"),
                other => panic!("{sql}: {other}"),
            }
        }
    }

    #[test]
    fn a_torn_page_is_found_at_the_start() {
        let folder = Folder::new();
        let connection = LAYOUT.open(&folder.path()).unwrap();
        let rows = "INSERT INTO one WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n";
        connection.execute_batch(rows).unwrap();
        drop(connection);
        let mut bytes = fs::read(folder.path()).unwrap();
        let end = bytes.len();
        bytes[end - 4096..].fill(0xa5);
        fs::write(folder.path(), bytes).unwrap();
        let error = LAYOUT.open(&folder.path()).expect_err("a page is torn");
        assert!(matches!(error, OpenError::Damaged(_)), "{error}");
    }

    #[test]
    fn a_new_file_and_its_companions_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let connection = LAYOUT.open(&folder.path()).unwrap();
        connection
            .execute_batch("INSERT INTO one VALUES (1)")
            .unwrap();
        for name in folder.names() {
            let mode = fs::metadata(folder.0.path().join(&name)).unwrap();
            assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
        }
        assert_eq!(folder.names().len(), 3);
    }

    #[test]
    fn what_is_set_aside_is_never_overwritten() {
        let folder = Folder::new();
        for n in 0..3 {
            fs::write(folder.path(), format!("torn {n}")).unwrap();
            fs::write(with_suffix(&folder.path(), "-wal"), "log").unwrap();
            assert_eq!(was_set_aside(&folder.path()), n > 0);
            set_aside(&folder.path(), NOW).unwrap();
        }
        let name = "a.sqlite3.corrupt-20261122T100000Z";
        assert_eq!(
            folder.names(),
            ["", "-2", "-2-wal", "-3", "-3-wal", "-wal"].map(|suffix| format!("{name}{suffix}"))
        );
        let last = fs::read_to_string(folder.0.path().join(format!("{name}-3")));
        assert_eq!(last.unwrap(), "torn 2");
    }

    #[test]
    fn a_log_without_its_file_is_not_taken_for_the_next_files() {
        let folder = Folder::new();
        fs::write(with_suffix(&folder.path(), "-wal"), "a log").unwrap();
        clear_the_way(&folder.path(), NOW).unwrap();
        assert!(was_set_aside(&folder.path()));
        LAYOUT.open(&folder.path()).unwrap();
        clear_the_way(&folder.path(), NOW).unwrap();
        assert!(folder.path().exists(), "a good file stays where it is");
    }
}
