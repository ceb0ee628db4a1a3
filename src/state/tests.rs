use rusqlite::Connection;

use super::*;
use crate::{
    clock::SystemClock,
    process::file::FileError,
    sqlite::{OpenError, Schema},
};

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn newer(path: &Path, schema: &Schema) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE of_tomorrow (a); PRAGMA user_version = 99",
        )
        .unwrap();
    connection
        .pragma_update(None, "application_id", schema.application_id)
        .unwrap();
}

#[tokio::test]
async fn each_file_of_a_newer_openseat_is_refused_and_left_alone() {
    for (name, schema) in [
        (STORE_FILE, &store::schema::SCHEMA),
        (HISTORY_FILE, &history::schema::SCHEMA),
        (CALLS_FILE, &calls::schema::SCHEMA),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        newer(&path, schema);
        let before = std::fs::read(&path).unwrap();
        let opened = State::open(Some(folder.path()), 30, &clock()).await;
        let error = opened.map(drop).expect_err(name);
        assert!(
            matches!(
                error.downcast_ref(),
                Some(OpenError::Newer { found: 99, .. })
            ),
            "{error:#}"
        );
        assert!(format!("{error:#}").contains(name), "{error:#}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_newer_history_harms_nobody_who_keeps_none() {
    let folder = tempfile::tempdir().unwrap();
    newer(&folder.path().join(HISTORY_FILE), &history::schema::SCHEMA);
    let opened = State::open(Some(folder.path()), 0, &clock()).await;
    opened.expect("the history is not used").finish();
}

#[tokio::test]
async fn a_named_pipe_in_place_of_a_file_is_refused_and_not_waited_for() {
    for name in [
        STORE_FILE,
        "state.sqlite3-wal",
        HISTORY_FILE,
        CALLS_FILE,
        LEDGER_FILE,
        "budget.sqlite3-witness",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let path = folder.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let error = State::open(Some(folder.path()), 30, &clock()).await;
        let error = error.map(drop).expect_err(name);
        let is_kind = matches!(error.downcast_ref(), Some(FileError::Kind(_)));
        let text = format!("{error:#}");
        assert!(
            is_kind && text.contains(name) && text.contains("a named pipe"),
            "{text}"
        );
    }
}
