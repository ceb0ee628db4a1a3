//! Stores the last poll of every queue, and the newest statuses.
//!
//! Write rates, with rows of 1.3 kB, the longest: a queue is polled every 15 s with sweeps and every 4 s without. Its 25 rows are 3 kB
//! packed, so that is below 1 kB/s. The statuses of 500 people are written every 20 s: their times take 40 kB, and some 60 changed rows a
//! page of 4 kB each, so 15 kB/s. A thousand queues of 25 different agents take about 30 kB/s and a file of 40 MB, because the budget limits
//! how many agents are seen in that time to 1,000. Measured with the simulator, 20 queues and 500 people with rows of 0.8 kB: 218 rows
//! are 8 kB packed, and all three files together write 35 kB/s.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, Row as SqlRow, Transaction, params};
use serde_json::value::RawValue;

use super::Store;
use crate::{
    budget::BudgetOwner,
    calltools::{Row, settle_queue_logins},
    clock::{Clock, Moment, stored_time::StoredTime},
    model::{
        agent::Agent,
        known::{Known, Poll, Sighting},
        names::Names,
    },
    sqlite::rows_codec,
};

/// Older data is not used: no answer may be based on anything older than a day.
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// Something to keep.
#[derive(Debug)]
pub enum Note {
    /// A queue, by CallTools' id, was polled.
    Polled(BudgetOwner, u64, Poll),
    /// What sweeps or lists of changes said about agents.
    Seen(BudgetOwner, Vec<Sighting>),
    /// The results of sweeps must not be used.
    Doubted(BudgetOwner),
    /// The account's names, read at this moment.
    Named(BudgetOwner, Arc<Names>, Moment),
    /// The notifications sent, and those still to send.
    Notices(String),
    /// What the account has learnt about its agents' statuses.
    Learnt(BudgetOwner, String),
}

impl Store {
    /// Returns what an earlier run of the same account knew, with the time of all data. Data that is too old, or whose age is unknown, is left out.
    /// `names` gives the rows their meaning.
    pub fn known(&self, owner: &BudgetOwner, names: &Names) -> Known {
        let read = self.with(|connection| {
            let agents = sightings(connection, owner, names, self.clock.as_ref())?;
            let looks = agents.iter().map(|row| row.at);
            Ok(Known {
                queues: polled(connection, owner, names, self.clock.as_ref())?,
                looked: looks.max_by_key(|at| at.boot),
                agents,
                ..Known::default()
            })
        });
        read.unwrap_or_default()
    }
}

/// How often what is too old is removed. That reads every row, which takes a second for a thousand accounts, and nothing older than a day is used
/// anyway.
pub(super) const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// Writes a batch in one transaction, and removes what is too old if `forgets`.
pub(super) fn write(
    connection: &mut Connection,
    notes: &[Note],
    forgets: bool,
    clock: &dyn Clock,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for note in notes {
        match note {
            Note::Polled(owner, queue, poll) => {
                write_poll(&transaction, owner, *queue, poll, clock)?;
            }
            Note::Seen(owner, sightings) => {
                for sighting in sightings {
                    write_sighting(&transaction, owner, sighting, clock)?;
                }
            }
            Note::Doubted(owner) => {
                let sql = "DELETE FROM sighting WHERE account = ?1";
                transaction.execute(sql, [&owner.account])?;
            }
            Note::Named(owner, names, read) => {
                super::names::write(&transaction, owner, names, *read)?;
            }
            Note::Notices(json) => super::notices::write(&transaction, json)?,
            Note::Learnt(owner, learnt) => super::learnt::write(&transaction, owner, learnt)?,
        }
    }
    if forgets {
        forget(&transaction, clock.now())?;
    }
    transaction.commit()
}

fn write_poll(
    transaction: &Transaction<'_>,
    owner: &BudgetOwner,
    queue: u64,
    poll: &Poll,
    clock: &dyn Clock,
) -> rusqlite::Result<()> {
    let at = StoredTime::new(poll.as_of, clock);
    let rows = rows_codec::pack(poll.agents.iter().map(|agent| &agent.raw));
    let sql = "INSERT OR REPLACE INTO polled (account, identity, queue, took_ms, complete, rows, boot_id, boot_ms, wall_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    transaction.prepare_cached(sql)?.execute(params![
        owner.account,
        owner.identity,
        queue as i64,
        poll.took.as_millis() as i64,
        poll.complete,
        rows,
        at.boot_id,
        at.boot_ms,
        at.wall_ms
    ])?;
    Ok(())
}

fn write_sighting(
    transaction: &Transaction<'_>,
    owner: &BudgetOwner,
    sighting: &Sighting,
    clock: &dyn Clock,
) -> rusqlite::Result<()> {
    let (agent, at) = (&sighting.agent, StoredTime::new(sighting.at, clock));
    let seen = "INSERT OR REPLACE INTO sighting (account, identity, agent, boot_id, boot_ms, wall_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    transaction.prepare_cached(seen)?.execute(params![
        owner.account,
        owner.identity,
        agent.id.0,
        at.boot_id,
        at.boot_ms,
        at.wall_ms
    ])?;
    let row = "INSERT INTO sighted_row (account, agent, json) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET json = excluded.json WHERE json <> excluded.json";
    let row = transaction.prepare_cached(row)?.execute(params![
        owner.account,
        agent.id.0,
        agent.raw.json().get()
    ]);
    row.map(drop)
}

/// Forgets queues that are no longer polled and people who have left, a day later.
fn forget(transaction: &Transaction<'_>, now: Moment) -> rusqlite::Result<()> {
    let before = (now.wall.saturating_sub(MAX_AGE)).as_millis() as i64;
    for sql in [
        "DELETE FROM polled WHERE wall_ms < ?1",
        "DELETE FROM sighting WHERE wall_ms < ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([before])?;
    }
    let orphans = "DELETE FROM sighted_row WHERE NOT EXISTS (SELECT * FROM sighting AS s WHERE s.account = sighted_row.account AND s.agent = sighted_row.agent)";
    transaction.prepare_cached(orphans)?.execute([]).map(drop)
}

fn polled(
    connection: &Connection,
    owner: &BudgetOwner,
    names: &Names,
    clock: &dyn Clock,
) -> rusqlite::Result<Vec<(u64, Poll)>> {
    let mut statement = connection.prepare(
        "SELECT queue, took_ms, complete, rows, boot_id, boot_ms, wall_ms FROM polled WHERE account = ?1 AND identity = ?2",
    )?;
    let polls = statement.query_map(params![owner.account, owner.identity], |row| {
        let queue: i64 = row.get(0)?;
        let took_ms: i64 = row.get(1)?;
        let (complete, rows): (bool, Vec<u8>) = (row.get(2)?, row.get(3)?);
        let poll = usable(&stamp(row, 4)?, clock).and_then(|as_of| {
            Some(Poll {
                as_of,
                took: Duration::from_millis(took_ms.max(0) as u64),
                complete,
                agents: agents(&rows, names)?,
            })
        });
        Ok(poll.map(|poll| (queue as u64, poll)))
    })?;
    polls.filter_map(Result::transpose).collect()
}

/// Decodes the agents of packed rows. `None` if one row cannot be read: a poll counts as a whole or not at all.
fn agents(rows: &[u8], names: &Names) -> Option<Vec<Arc<Agent>>> {
    let rows = rows_codec::unpack(rows).ok()?.into_iter();
    let mut rows: Vec<Row> = rows
        .map(|raw| Row::read_again(&raw.into(), names).ok())
        .collect::<Option<_>>()?;
    settle_queue_logins(&mut rows).ok()?;
    Some(rows.into_iter().map(|row| Arc::new(row.agent)).collect())
}

fn agent(raw: Box<RawValue>, names: &Names) -> Option<Arc<Agent>> {
    Row::read_again(&raw.into(), names)
        .ok()
        .map(|row| Arc::new(row.agent))
}

fn sightings(
    connection: &Connection,
    owner: &BudgetOwner,
    names: &Names,
    clock: &dyn Clock,
) -> rusqlite::Result<Vec<Sighting>> {
    let mut statement = connection.prepare(
        "SELECT json, boot_id, boot_ms, wall_ms FROM sighting JOIN sighted_row USING (account, agent) WHERE account = ?1 AND identity = ?2",
    )?;
    let sightings = statement.query_map(params![owner.account, owner.identity], |row| {
        let (json, at): (String, StoredTime) = (row.get(0)?, stamp(row, 1)?);
        let sighting = usable(&at, clock).and_then(|at| {
            Some(Sighting {
                agent: agent(RawValue::from_string(json).ok()?, names)?,
                at,
                by_sweep: true,
            })
        });
        Ok(sighting)
    })?;
    sightings.filter_map(Result::transpose).collect()
}

/// Returns the moment of a stored time, if it is known and not too long ago.
fn usable(at: &StoredTime, clock: &dyn Clock) -> Option<Moment> {
    let moment = at.to_moment(clock)?;
    (clock.now().longest_since(moment) <= MAX_AGE).then_some(moment)
}

fn stamp(row: &SqlRow<'_>, first_column: usize) -> rusqlite::Result<StoredTime> {
    Ok(StoredTime {
        boot_id: row.get(first_column)?,
        boot_ms: row.get(first_column + 1)?,
        wall_ms: row.get(first_column + 2)?,
    })
}
