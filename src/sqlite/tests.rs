use std::{
    fs,
    path::PathBuf,
    sync::{Arc, mpsc::channel},
    thread,
    time::Duration,
};

use rusqlite::Connection;

use super::{
    file::{Condition, File, LONGEST},
    quarantine::with_suffix,
    *,
};
use crate::clock::{Moment, SystemClock, steady};

const SCHEMA: Schema = Schema {
    application_id: 77,
    unmarked: (1, "one"),
    migrations: &[
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
fn an_old_file_is_migrated_with_its_content() {
    let folder = Folder::with(
        "CREATE TABLE one (a INTEGER) STRICT; INSERT INTO one VALUES (4); PRAGMA user_version = 1",
    );
    for _ in 0..2 {
        let connection = SCHEMA.open(&folder.path()).unwrap();
        let sum = "SELECT sum(b) FROM two";
        assert_eq!(connection.query_row(sum, [], |row| row.get(0)), Ok(8));
    }
}

#[test]
fn other_programs_files_and_newer_ones_are_rejected() {
    for (sql, newer) in [
        ("CREATE TABLE theirs (a)", false),
        ("CREATE TABLE theirs (a); PRAGMA user_version = 1", false),
        ("CREATE TABLE one (a); PRAGMA user_version = 2", false),
        // It claims an older version than it has.
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
        match SCHEMA.open(&folder.path()).expect_err(sql) {
            OpenError::Newer { found: 9, known: 2 } => assert!(newer, "{sql}"),
            OpenError::Damaged(_) => assert!(!newer, "{sql}"),
            other => panic!("{sql}: {other}"),
        }
    }
}

#[test]
fn a_damaged_page_is_found_at_the_start() {
    let folder = Folder::new();
    let connection = SCHEMA.open(&folder.path()).unwrap();
    let rows = "INSERT INTO one WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n";
    connection.execute_batch(rows).unwrap();
    drop(connection);
    let mut bytes = fs::read(folder.path()).unwrap();
    let end = bytes.len();
    bytes[end - 4096..].fill(0xa5);
    fs::write(folder.path(), bytes).unwrap();
    let error = SCHEMA.open(&folder.path()).expect_err("a page is torn");
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
}

#[test]
fn only_the_owner_may_read_a_new_file_and_its_companions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let connection = SCHEMA.open(&folder.path()).unwrap();
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
fn a_quarantined_file_is_never_overwritten() {
    let folder = Folder::new();
    for n in 0..3 {
        fs::write(folder.path(), format!("torn {n}")).unwrap();
        fs::write(with_suffix(&folder.path(), "-wal"), "log").unwrap();
        assert_eq!(was_quarantined(&folder.path()), n > 0);
        quarantine(&folder.path(), NOW).unwrap();
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
fn an_orphan_wal_is_not_applied_to_the_next_file() {
    let folder = Folder::new();
    fs::write(with_suffix(&folder.path(), "-wal"), "a log").unwrap();
    quarantine_orphan_wal(&folder.path(), NOW).unwrap();
    assert!(was_quarantined(&folder.path()));
    SCHEMA.open(&folder.path()).unwrap();
    quarantine_orphan_wal(&folder.path(), NOW).unwrap();
    assert!(folder.path().exists(), "a good file stays where it is");
}

#[test]
fn a_file_that_is_deleted_while_it_is_opened_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.sqlite3");
    let condition = Arc::new(Condition::new("test", "nothing is kept"));
    let mut file = File::new(&SCHEMA, &path, condition, Arc::new(SystemClock::new()));
    let deleted = |_: &mut Connection| {
        fs::remove_file(&path).unwrap();
        Ok(())
    };
    assert_eq!(file.with_begun(deleted, |_| Ok(())), Some(()));
    assert!(!path.exists());
    file.with(|_| Ok(()));
    assert!(path.exists(), "what is written now must not be lost");
}

#[test]
fn a_vacuum_by_another_program_is_no_damage() {
    let folder = Folder::new();
    let condition = Arc::new(Condition::new("test", "nothing is kept"));
    let clock = Arc::new(SystemClock::new());
    let mut file = File::new(&SCHEMA, &folder.path(), condition, clock);
    let rows = "INSERT INTO one WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 50000) SELECT i FROM n";
    let checkpoint = "PRAGMA wal_checkpoint";
    for sql in [rows, "DELETE FROM one WHERE a > 7"] {
        file.with(|connection| connection.execute_batch(sql))
            .unwrap();
        file.with(|connection| connection.query_row(checkpoint, [], |_| Ok(())))
            .unwrap();
    }
    let size = || fs::metadata(folder.path()).unwrap().len();
    let before = size();
    let shell = Connection::open(folder.path()).unwrap();
    shell.execute_batch("VACUUM").unwrap();
    shell.query_row(checkpoint, [], |_| Ok(())).unwrap();
    assert!(size() < before);
    let count = "SELECT count(*) FROM one";
    let left = file.with(|connection| connection.query_row(count, [], |row| row.get(0)));
    assert_eq!(left, Some(7));
    assert!(!was_quarantined(&folder.path()));
}

#[test]
fn a_named_pipe_in_place_of_the_log_blocks_no_thread() {
    let folder = Folder::new();
    let condition = Arc::new(Condition::new("test", "nothing is kept"));
    let clock = Arc::new(SystemClock::new());
    let mut file = File::new(&SCHEMA, &folder.path(), condition, clock);
    file.with(|connection| connection.execute_batch("INSERT INTO one VALUES (4)"));
    let log = with_suffix(&folder.path(), "-wal");
    fs::remove_file(&log).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &log, mode).unwrap();
    let (done, used) = channel();
    thread::spawn(move || done.send(file.with(|_| Ok(()))));
    // Far more than a busy machine needs.
    used.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_write_that_hangs_shows_while_it_hangs() {
    let folder = Folder::new();
    let condition = Arc::new(Condition::new("test", "nothing is kept"));
    let (shown, clock) = (Arc::clone(&condition), Arc::new(SystemClock::new()));
    let mut file = File::new(&SCHEMA, &folder.path(), condition, clock);
    let ((begun, writes), (release, hangs)) = (channel(), channel::<()>());
    let writer = thread::spawn(move || {
        file.with(|_| {
            begun.send(()).unwrap();
            Ok(hangs.recv().is_err())
        })
    });
    writes.recv().unwrap();
    let later = steady() + LONGEST;
    assert!(shown.is_degraded_at(later));
    drop(release);
    assert_eq!(writer.join().unwrap(), Some(true));
    assert!(!shown.is_degraded_at(later), "it works again");
}
