//! Reads and writes the rows of the ledger's file, each with a checksum.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    columns::{mark, ms, number, stamp, time, time_of},
    layout_2,
};
use crate::{
    budget::{
        book::{Batch, Owner, Stored},
        owner::{BudgetOwner, OwnerId},
        throttle::Throttle,
        window::{Request, Time},
    },
    clock::{Clock, stored_time::StoredTime},
};

/// What the file contains, and whether that is consistent.
pub(super) struct Contents {
    pub(super) stored: Stored,
    pub(super) change: u64,
    pub(super) flaw: Option<&'static str>,
    pub(super) is_of_an_older_layout: bool,
}

/// Reads everything in the file; `None` if nothing was ever written to it.
pub(super) fn read(
    connection: &Connection,
    clock: &dyn Clock,
) -> rusqlite::Result<Option<Contents>> {
    if let Some(stored) = layout_2::read(connection, clock)? {
        let lost = stored.lost.map(|_| "it was lost before");
        return Ok(Some(Contents {
            stored,
            change: 0,
            flaw: lost,
            is_of_an_older_layout: true,
        }));
    }
    let (mut sound, mut seals) = (true, Seals::default());
    let sql = "SELECT change_number, requests, owners, time_ms, boot_id, boot_ms, wall_ms, lost_ms, seal FROM book";
    let book = connection.query_row(sql, [], |row| {
        let numbers = [row.get(0)?, row.get(1)?, row.get(2)?];
        let stamp = stamp(row, 4)?;
        Ok((
            numbers,
            row.get(3)?,
            stamp,
            row.get(7)?,
            row.get::<_, i64>(8)?,
        ))
    });
    let Some((numbers, now, stamp, lost, seal)) = book.optional()? else {
        return Ok(None);
    };
    let mut statement = connection.prepare(
        "SELECT id, owner, polling, answered, leaves_ms, seal, process, number FROM request",
    )?;
    let requests = statement.query_map([], |row| {
        let request = Request {
            id: number(row, 0)?,
            owner: OwnerId(number(row, 1)?),
            polling: row.get(2)?,
            answered: row.get(3)?,
            leaves: time(row, 4)?,
            mark: mark(row, 6)?,
        };
        seals.add(seal_of_request(&request));
        sound &= row.get::<_, i64>(5)? == seal_of_request(&request);
        Ok(request)
    });
    let requests: Vec<_> = requests?.collect::<Result<_, _>>()?;
    let sql = "SELECT id, account, identity, seen_ms, share_ppm, refused_ms, silent_until_ms, paused_until_ms, refusals, counted_ms, seal FROM owner";
    let mut statement = connection.prepare(sql)?;
    let owners = statement.query_map([], |row| {
        let (id, owner) = read_owner(row)?;
        seals.add(seal_of_owner(id, &owner));
        sound &= row.get::<_, i64>(10)? == seal_of_owner(id, &owner);
        Ok((id, owner))
    });
    let owners: Vec<_> = owners?.collect::<Result<_, _>>()?;
    // In older files the book's seal does not cover the other rows.
    let seal_of = |seals| seal_of_book(numbers, now, &stamp, lost, seals);
    sound &= seal == seal_of(Some(seals)) || seal == seal_of(None);
    let whole = [requests.len(), owners.len()] == [numbers[1] as usize, numbers[2] as usize];
    Ok(Some(Contents {
        stored: Stored {
            requests,
            owners,
            time: time_of(now),
            stamp,
            lost: (lost != 0).then(|| time_of(lost)),
        },
        change: numbers[0].max(0) as u64,
        flaw: (!(whole && sound)).then_some("rows are missing or changed"),
        is_of_an_older_layout: false,
    }))
}

fn read_owner(row: &Row<'_>) -> rusqlite::Result<(OwnerId, Owner)> {
    let counted = row.get(9)?;
    let owner = Owner {
        name: BudgetOwner {
            account: row.get(1)?,
            identity: row.get(2)?,
        },
        seen: time(row, 3)?,
        throttle: Throttle {
            factor: row.get::<_, i64>(4)? as f64 / 1e6,
            since: time(row, 5)?,
            silent_until: time(row, 6)?,
            paused_until: time(row, 7)?,
            in_row: row.get(8)?,
        },
        counted: (counted != 0).then(|| time_of(counted)),
    };
    Ok((OwnerId(number(row, 0)?), owner))
}

/// Removes every row, and the tables of older layouts.
pub(super) fn clear(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DROP TABLE IF EXISTS request_2; DROP TABLE IF EXISTS throttle_2; DROP TABLE IF EXISTS lost_2; DELETE FROM request;",
    )
}

/// Removes the requests that have left at `now`, with their seals. Returns how many it removed.
pub(super) fn remove_requests(
    transaction: &Transaction<'_>,
    now: Time,
    seals: &mut Seals,
) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM request WHERE leaves_ms <= ?1 RETURNING seal";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut removed = 0;
    for seal in statement.query_map([ms(now)], |row| row.get(0))? {
        seals.remove(seal?);
        removed += 1;
    }
    Ok(removed)
}

pub(super) fn write_request(
    transaction: &Transaction<'_>,
    request: &Request,
    is_new: bool,
    seals: &mut Seals,
) -> rusqlite::Result<()> {
    if !is_new {
        let sql = "SELECT seal FROM request WHERE id = ?1";
        let mut statement = transaction.prepare_cached(sql)?;
        let old = statement.query_row([request.id as i64], |row| row.get(0));
        // Without the row the update below fails.
        seals.remove(old.optional()?.unwrap_or_default());
    }
    seals.add(seal_of_request(request));
    let sql = match is_new {
        true => {
            "INSERT INTO request (id, owner, polling, answered, leaves_ms, seal, process, number) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        }
        false => {
            "UPDATE request SET owner = ?2, polling = ?3, answered = ?4, leaves_ms = ?5, seal = ?6, process = ?7, number = ?8 WHERE id = ?1"
        }
    };
    let changed = transaction.prepare_cached(sql)?.execute(params![
        request.id as i64,
        request.owner.0 as i64,
        request.polling,
        request.answered,
        ms(request.leaves),
        seal_of_request(request),
        request.mark.map(|mark| mark.process as i64),
        request.mark.map(|mark| mark.number as i64),
    ])?;
    match changed {
        1 => Ok(()),
        // Another program has changed the file, so everything is written again.
        _ => Err(rusqlite::Error::StatementChangedRows(changed)),
    }
}

pub(super) fn write_owners(
    transaction: &Transaction<'_>,
    owners: &[(OwnerId, Owner)],
) -> rusqlite::Result<Seals> {
    let mut seals = Seals::default();
    transaction.execute("DELETE FROM owner", [])?;
    let sql = "INSERT INTO owner (id, account, identity, seen_ms, share_ppm, refused_ms, silent_until_ms, paused_until_ms, refusals, counted_ms, seal) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let mut insert = transaction.prepare_cached(sql)?;
    for (id, owner) in owners {
        insert.execute(params![
            id.0 as i64,
            owner.name.account,
            owner.name.identity,
            ms(owner.seen),
            ppm(owner.throttle.factor),
            ms(owner.throttle.since),
            ms(owner.throttle.silent_until),
            ms(owner.throttle.paused_until),
            owner.throttle.in_row,
            ms(owner.counted.unwrap_or_default()),
            seal_of_owner(*id, owner),
        ])?;
        seals.add(seal_of_owner(*id, owner));
    }
    Ok(seals)
}

pub(super) fn write_book(
    transaction: &Transaction<'_>,
    batch: &Batch,
    numbers: [u64; 3],
    seals: Seals,
) -> rusqlite::Result<()> {
    let numbers = numbers.map(|number| number as i64);
    let (time, lost) = (ms(batch.time), ms(batch.lost.unwrap_or_default()));
    let StoredTime {
        boot_id,
        boot_ms,
        wall_ms,
    } = &batch.stamp;
    transaction.execute("DELETE FROM book", [])?;
    let sql = "INSERT INTO book (change_number, requests, owners, time_ms, boot_id, boot_ms, wall_ms, lost_ms, seal) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    transaction.prepare_cached(sql)?.execute(params![
        numbers[0],
        numbers[1],
        numbers[2],
        time,
        boot_id,
        boot_ms,
        wall_ms,
        lost,
        seal_of_book(numbers, time, &batch.stamp, lost, Some(seals)),
    ])?;
    Ok(())
}

fn seal_of_request(request: &Request) -> i64 {
    let mut numbers = vec![
        request.id as i64,
        request.owner.0 as i64,
        request.polling.into(),
        request.answered.into(),
        ms(request.leaves),
    ];
    // Rows without a mark keep the seals that older versions gave them.
    if let Some(mark) = request.mark {
        numbers.extend([mark.process as i64, mark.number as i64]);
    }
    seal(&[], &numbers)
}

fn seal_of_owner(id: OwnerId, owner: &Owner) -> i64 {
    seal(
        &[&owner.name.account, &owner.name.identity],
        &[
            id.0 as i64,
            ms(owner.seen),
            ppm(owner.throttle.factor),
            ms(owner.throttle.since),
            ms(owner.throttle.silent_until),
            ms(owner.throttle.paused_until),
            owner.throttle.in_row.into(),
            ms(owner.counted.unwrap_or_default()),
        ],
    )
}

/// The sum of the seals of all rows but the book's. The book's own seal covers it, which reveals pages of an older copy among newer ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seals(i64);

impl Seals {
    fn add(&mut self, seal: i64) {
        self.0 = self.0.wrapping_add(seal);
    }

    fn remove(&mut self, seal: i64) {
        self.0 = self.0.wrapping_sub(seal);
    }

    pub(super) fn with(mut self, others: Self) -> Self {
        self.add(others.0);
        self
    }
}

fn seal_of_book(
    numbers: [i64; 3],
    time: i64,
    stamp: &StoredTime,
    lost: i64,
    seals: Option<Seals>,
) -> i64 {
    let [change, requests, owners] = numbers;
    let mut numbers = vec![
        change,
        requests,
        owners,
        time,
        stamp.boot_ms,
        stamp.wall_ms,
        lost,
    ];
    numbers.extend(seals.map(|seals| seals.0));
    seal(&[&stamp.boot_id], &numbers)
}

/// Returns a row's checksum: SQLite finds torn pages, but not a flipped bit in a number.
pub(super) fn seal(texts: &[&str], numbers: &[i64]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.finalize().into()
}

fn ppm(factor: f64) -> i64 {
    (factor * 1e6) as i64
}
