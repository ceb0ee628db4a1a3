//! The ledger's file: from each layout that was released, and what becomes of one that is lost.

use std::{fs, path::PathBuf, sync::Arc};

use rusqlite::Connection;

use super::*;
use crate::{clock::Moment, fixtures::Still};

const TEN: Allowance = Allowance {
    limit: 10,
    reserve: 0,
};

struct Folder(tempfile::TempDir, Arc<Still>);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), Arc::new(Still::new()))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("budget.sqlite3")
    }

    fn keep(&self) -> Ledger {
        Ledger::keep(&self.path(), self.1.as_ref()).unwrap()
    }

    fn used(&self, ledger: &Ledger) -> u32 {
        ledger.window(&payer(), self.1.as_ref()).unwrap().used(TEN)
    }

    fn admit(&self, ledger: &Ledger) -> bool {
        let admission = ledger.admit(&payer(), TEN, Purpose::Poll, self.1.as_ref());
        matches!(admission, Ok(Admission::Granted { .. }))
    }
}

fn payer() -> Payer {
    Payer {
        account: "main".to_owned(),
        identity: "token".to_owned(),
    }
}

/// What SQLite says of a file's tables and indexes.
fn schema(connection: &Connection) -> Vec<String> {
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_ledger_of_layout_1_is_read_with_all_that_was_spent() {
    let folder = Folder::new();
    let Moment { boot, wall } = folder.1.now();
    let (boot_ms, wall_ms) = (boot.as_millis(), wall.as_millis());
    let old = Connection::open(folder.path()).unwrap();
    old.execute_batch(include_str!("../../../tests/layouts/budget-1.sql"))
        .unwrap();
    old.execute_batch(&format!(
        "INSERT INTO request (account, identity, polling, answered, boot_id, boot_ms, wall_ms) VALUES
             ('main', 'token', 1, 1, 'still', {boot_ms} - 3500000, {wall_ms} - 3500000),
             ('main', 'token', 0, 0, 'still', {boot_ms}, {wall_ms}),
             ('main', 'token', 1, 1, 'still', {boot_ms} - 3700000, {wall_ms} - 3700000);
         INSERT INTO throttle VALUES ('main', 60000, 0.5, 'still', {boot_ms}, {wall_ms});"
    ))
    .unwrap();
    drop(old);
    let ledger = folder.keep();
    assert_eq!(folder.used(&ledger), 2);
    let throttle = ledger.throttle(&payer(), folder.1.as_ref()).unwrap();
    assert_eq!(throttle.unwrap().share, 0.5);
    let migrated = schema(&Connection::open(folder.path()).unwrap());
    let fresh = Folder::new();
    drop(fresh.keep());
    assert_eq!(migrated, schema(&Connection::open(fresh.path()).unwrap()));
}

#[test]
fn a_first_start_may_spend_and_a_start_after_a_loss_may_not() {
    let folder = Folder::new();
    assert!(folder.admit(&folder.keep()));
    fs::write(folder.path(), "torn ".repeat(10_000)).unwrap();
    let ledger = folder.keep();
    assert!(!folder.admit(&ledger));
    assert_eq!(folder.used(&ledger), TEN.limit);
    drop(ledger);
    // Killed between setting it aside and beginning anew: the next start knows it by what was set aside.
    fs::remove_file(folder.path()).unwrap();
    let ledger = folder.keep();
    assert!(!folder.admit(&ledger));
    folder.1.pass(HOUR + DRIFT + UNANSWERED);
    assert!(folder.admit(&ledger));
    drop(ledger);
    assert!(
        folder.admit(&folder.keep()),
        "what was lost has left the hour"
    );
}

#[test]
fn beside_the_daemon_nothing_is_set_aside() {
    let folder = Folder::new();
    fs::write(folder.path(), "torn ".repeat(10_000)).unwrap();
    let error = Ledger::open(&folder.path(), folder.1.as_ref()).map(drop);
    let error = error.expect_err("it is torn").to_string();
    assert!(error.contains("damaged or not openseat's"), "{error}");
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 1);
}

#[test]
fn only_one_daemon_keeps_a_ledger_and_others_may_use_it() {
    let folder = Folder::new();
    let ledger = folder.keep();
    let second = Ledger::keep(&folder.path(), folder.1.as_ref()).map(drop);
    assert!(matches!(second, Err(LedgerError::InUse(_))), "{second:?}");
    let beside = Ledger::open(&folder.path(), folder.1.as_ref()).unwrap();
    assert!(folder.admit(&beside) && folder.admit(&ledger));
    assert_eq!(folder.used(&beside), 2);
    drop(ledger);
    folder.keep();
}
