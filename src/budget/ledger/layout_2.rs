//! Reads a ledger that had layout 1 or 2 until its migration a moment ago.

use std::time::Duration;

use rusqlite::Connection;

use super::columns::{number, stamp, time};
use crate::{
    budget::{
        book::{Owner, Stored},
        owner::{BudgetOwner, OwnerId},
        throttle::Throttle,
        window::{Request, STAYS, STAYS_UNANSWERED, Time},
    },
    clock::{Clock, stored_time::StoredTime},
};

/// The clock of a book from an older layout starts here.
const FIRST: Time = Duration::from_secs(86_400);

/// Reads a file of layout 1 or 2 that was just migrated; `None` for any other file.
pub(super) fn read(connection: &Connection, clock: &dyn Clock) -> rusqlite::Result<Option<Stored>> {
    let sql = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'request_2'";
    let is_there: bool = connection.query_row(sql, [], |row| row.get(0))?;
    let sql = "SELECT count(*) FROM book";
    let is_written = connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0;
    let has_rows = |table| {
        let sql = format!("SELECT count(*) > 0 FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, bool>(0))
    };
    // A new file goes through all migrations as well.
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
            leaves: time_of(now.since(&stamp(row, 5)?), stays),
            mark: None,
        });
    }
    let sql = "SELECT account, wait_ms, share, boot_id, boot_ms, wall_ms FROM throttle_2";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let account: String = row.get(0)?;
        let age = now.since(&stamp(row, 3)?);
        let wait = time(row, 1)?;
        let share = Throttle {
            factor: row.get(2)?,
            since: time_of(age, Duration::ZERO),
            silent_until: time_of(age, wait),
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
    stored.lost = recent.map(|age| time_of(age, Duration::ZERO));
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

/// Converts an age to a time on the clock of a book from an older layout.
fn time_of(age: Duration, after: Duration) -> Time {
    (FIRST + after).saturating_sub(age)
}
