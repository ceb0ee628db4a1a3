//! The tables of the ledger's file, and how an older layout of them is read.

use std::time::Duration;

use rusqlite::Connection;

use super::rows::*;
use crate::{
    budget::{
        book::{Owner, OwnerId, Stored},
        owner::BudgetOwner,
        throttle::Throttle,
        window::{Request, Time},
    },
    clock::{Clock, stored_time::StoredTime},
    sqlite::Schema,
};

/// Each number of the file's layout, in turn. What was released is never changed: a new step is added.
pub(super) const SCHEMA: Schema = Schema {
    application_id: 0x6f73_6c64, // "osld"
    unmarked: (1, "request"),
    migrations: &[
        "
CREATE TABLE request (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    account  TEXT    NOT NULL, -- the name in the config
    identity TEXT    NOT NULL, -- of the origin and token, so that a new name is no new budget
    polling  INTEGER NOT NULL, -- 1: background polling; 0: somebody asked
    answered INTEGER NOT NULL, -- 1: the stamp is that of the answer; 0: that of the sending
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX request_by_account ON request (account);
CREATE INDEX request_by_identity ON request (identity);
CREATE TABLE throttle (
    account TEXT    PRIMARY KEY,
    wait_ms INTEGER NOT NULL, -- from the stamp on
    share   REAL    NOT NULL, -- of the allowed rate, at the stamp
    boot_id TEXT    NOT NULL,
    boot_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
",
        "
CREATE TABLE lost ( -- what was sent before each of these stamps nobody knows any more
    trusted INTEGER NOT NULL, -- 1: somebody does, and says that it was nothing
    boot_id TEXT    NOT NULL,
    boot_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
",
        "
DROP INDEX request_by_account;
DROP INDEX request_by_identity;
ALTER TABLE request RENAME TO request_2;
ALTER TABLE throttle RENAME TO throttle_2;
ALTER TABLE lost RENAME TO lost_2;
CREATE TABLE book ( -- one row
    change_number INTEGER NOT NULL, -- counts transactions
    requests      INTEGER NOT NULL, -- how many rows there are
    owners        INTEGER NOT NULL, -- likewise
    time_ms       INTEGER NOT NULL, -- the budget's clock, by which the other tables go
    boot_id       TEXT    NOT NULL, -- and the machine's at the same moment
    boot_ms       INTEGER NOT NULL,
    wall_ms       INTEGER NOT NULL,
    lost_ms       INTEGER NOT NULL, -- what was sent in the hour before is not known; 0: it is
    seal          INTEGER NOT NULL  -- a check sum of the row, here and below
) STRICT;
CREATE TABLE owner ( -- whose hours there are
    id              INTEGER PRIMARY KEY,
    account         TEXT    NOT NULL, -- the name in the config
    identity        TEXT    NOT NULL, -- of the origin and token
    seen_ms         INTEGER NOT NULL, -- when a config had it last
    share_ppm       INTEGER NOT NULL, -- of the allowed rate, at the last 429
    refused_ms      INTEGER NOT NULL, -- when that was
    silent_until_ms INTEGER NOT NULL, -- as it asked for
    paused_until_ms INTEGER NOT NULL, -- as a 503 asked for
    refusals        INTEGER NOT NULL, -- in a row, without a time to wait
    counted_ms      INTEGER NOT NULL, -- the loss whose hour was counted as spent; 0: none
    seal            INTEGER NOT NULL
) STRICT;
CREATE TABLE request ( -- what is in the hours
    id        INTEGER PRIMARY KEY,
    owner     INTEGER NOT NULL,
    polling   INTEGER NOT NULL, -- 1: background polling; 0: somebody asked
    answered  INTEGER NOT NULL, -- 1: its answer has come
    leaves_ms INTEGER NOT NULL,
    seal      INTEGER NOT NULL
) STRICT;
",
    ],
    // A request is on the disk before it is on the wire.
    synchronous: "FULL",
};

/// What the clock of such a book shows.
const FIRST: Time = Duration::from_secs(86_400);

/// What a file of layout 1 or 2 had, if it has just been brought to the present one.
pub(super) fn read_layout_2(
    connection: &Connection,
    clock: &dyn Clock,
) -> rusqlite::Result<Option<Stored>> {
    use crate::budget::window::{STAYS, STAYS_UNANSWERED};
    let sql = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'request_2'";
    let is_there: bool = connection.query_row(sql, [], |row| row.get(0))?;
    let sql = "SELECT count(*) FROM book";
    let is_written = connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0;
    let has_rows = |table| {
        let sql = format!("SELECT count(*) > 0 FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, bool>(0))
    };
    // A new file goes through all layouts as well.
    if !is_there || is_written || !(has_rows("sqlite_sequence")? || has_rows("lost_2")?) {
        return Ok(None);
    }
    let now = StoredTime::now(clock);
    let mut stored = Stored {
        requests: Vec::new(),
        owners: Vec::new(),
        time: FIRST,
        stamp: now.clone(),
        lost: None,
    };
    let sql =
        "SELECT id, account, identity, polling, answered, boot_id, boot_ms, wall_ms FROM request_2";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = BudgetOwner {
            account: row.get(1)?,
            identity: row.get(2)?,
        };
        let answered = row.get(4)?;
        let stays = if answered { STAYS } else { STAYS_UNANSWERED };
        stored.requests.push(Request {
            id: number(row, 0)?,
            owner: stored_owner(&mut stored.owners, name),
            polling: row.get(3)?,
            answered,
            leaves: of_age(now.since(&stamp(row, 5)?), stays),
        });
    }
    let sql = "SELECT account, wait_ms, share, boot_id, boot_ms, wall_ms FROM throttle_2";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let account: String = row.get(0)?;
        let age = now.since(&stamp(row, 3)?);
        let wait = time_of(row.get(1)?);
        let share = Throttle {
            factor: row.get(2)?,
            since: of_age(age, Duration::ZERO),
            silent_until: of_age(age, wait),
            ..Throttle::default()
        };
        let of_it = stored
            .owners
            .iter_mut()
            .filter(|(_, owner)| owner.name.account == account);
        of_it.for_each(|(_, owner)| owner.throttle = share);
    }
    let sql = "SELECT boot_id, boot_ms, wall_ms FROM lost_2 WHERE NOT trusted";
    let mut statement = connection.prepare(sql)?;
    let ages = statement.query_map([], |row| Ok(now.since(&stamp(row, 0)?)))?;
    let ages: Vec<Duration> = ages.collect::<Result<_, _>>()?;
    let recent = ages.into_iter().filter(|age| *age < STAYS_UNANSWERED).min();
    stored.lost = recent.map(|age| of_age(age, Duration::ZERO));
    Ok(Some(stored))
}

fn stored_owner(owners: &mut Vec<(OwnerId, Owner)>, name: BudgetOwner) -> OwnerId {
    if let Some((id, _)) = owners.iter().find(|(_, owner)| owner.name == name) {
        return *id;
    }
    let id = OwnerId(owners.len() as u64 + 1);
    let owner = Owner {
        name,
        seen: FIRST,
        throttle: Throttle::default(),
        counted: None,
    };
    owners.push((id, owner));
    id
}

/// A moment of the past hour, on the clock that a book from an older layout begins with.
fn of_age(age: Duration, after: Duration) -> Time {
    (FIRST + after).saturating_sub(age)
}
