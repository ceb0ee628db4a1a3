//! Writes the history.

use std::{collections::BTreeMap, time::Duration};

use rusqlite::{Connection, Transaction, params};

use super::{
    note::{Note, Present},
    presence::Ids,
};
use crate::{clock::Moment, decision::board::QueueKey, sqlite::rows_codec};

/// How often it is noted that an agent is still there: rarely enough to cost nothing.
pub(super) const SEEN_EVERY: Duration = Duration::from_secs(86_400);

/// Writes a batch in one transaction.
pub(super) fn write<'a>(
    connection: &mut Connection,
    notes: impl Iterator<Item = &'a Note>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for note in notes {
        write_note(&transaction, note)?;
    }
    transaction.commit()
}

fn write_note(transaction: &Transaction<'_>, note: &Note) -> rusqlite::Result<()> {
    match note {
        Note::Sample {
            key,
            at,
            as_of,
            counts,
        } => {
            let agents = agents_json(transaction, &counts.agents)?;
            let sql = "INSERT OR REPLACE INTO sample (queue, at_ms, as_of_ms, seats, agents) VALUES (?1, ?2, ?3, ?4, ?5)";
            transaction.prepare_cached(sql)?.execute(params![
                queue(transaction, key)?,
                ms(*at),
                ms(*as_of),
                counts.seats,
                agents
            ])
        }
        Note::Decided {
            key,
            minute_ms,
            result,
            reason,
            count,
        } => {
            let sql = "INSERT INTO decided (queue, minute_ms, result, reason, count) VALUES (?1, ?2, ?3, ?4, ?5)
                       ON CONFLICT DO UPDATE SET count = count + excluded.count";
            transaction.prepare_cached(sql)?.execute(params![
                queue(transaction, key)?,
                minute_ms,
                result,
                reason,
                *count as i64
            ])
        }
        Note::Present { key, at, agents } => {
            let agents = present_json(transaction, &key.account, *at, agents)?;
            let sql = "INSERT OR REPLACE INTO present (queue, at_ms, agents) VALUES (?1, ?2, ?3)";
            transaction
                .prepare_cached(sql)?
                .execute(params![queue(transaction, key)?, ms(*at), agents])
        }
        Note::Rows { key, at, agents } => {
            let rows = rows_codec::pack(agents.iter().map(|agent| &agent.raw));
            let sql = "INSERT OR REPLACE INTO polled (queue, at_ms, rows) VALUES (?1, ?2, ?3)";
            transaction
                .prepare_cached(sql)?
                .execute(params![queue(transaction, key)?, ms(*at), rows])
        }
    }
    .map(drop)
}

/// The queue's id in this file.
fn queue(transaction: &Transaction<'_>, key: &QueueKey) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO queue (account, queue) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let names = [&*key.account, &*key.queue];
    transaction.prepare_cached(sql)?.execute(names)?;
    let sql = "SELECT id FROM queue WHERE account = ?1 AND queue = ?2";
    transaction
        .prepare_cached(sql)?
        .query_row(names, |row| row.get(0))
}

/// Encodes counts by status id, such as `{"1":7,"2":3}`: each status name is stored once per file.
fn agents_json(
    transaction: &Transaction<'_>,
    agents: &BTreeMap<Box<str>, u32>,
) -> rusqlite::Result<String> {
    let mut by_id = BTreeMap::new();
    for (name, count) in agents {
        let sql = "INSERT INTO status (name) VALUES (?1) ON CONFLICT DO NOTHING";
        transaction.prepare_cached(sql)?.execute([name])?;
        let sql = "SELECT id FROM status WHERE name = ?1";
        let id: i64 = transaction
            .prepare_cached(sql)?
            .query_row([name], |row| row.get(0))?;
        by_id.insert(id, count);
    }
    Ok(serde_json::to_string(&by_id).expect("numbers serialize"))
}

/// Encodes the ids of agents by what they do, such as `[[3,7],[],[12]]`: each agent is stored once per file.
fn present_json(
    transaction: &Transaction<'_>,
    account: &str,
    at: Moment,
    agents: &Present,
) -> rusqlite::Result<String> {
    let mut ids = Ids::default();
    for (agent, presence) in agents {
        // Written when the agent is new or was renamed, and once a day, so that trimming knows who is still there.
        let sql = "INSERT INTO agent (account, agent, name, seen_ms) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (account, agent) DO UPDATE SET name = excluded.name, seen_ms = excluded.seen_ms
                   WHERE name <> excluded.name OR abs(excluded.seen_ms - seen_ms) > ?5";
        transaction.prepare_cached(sql)?.execute(params![
            account,
            &*agent.id.0,
            &*agent.name,
            ms(at),
            SEEN_EVERY.as_millis() as i64
        ])?;
        let sql = "SELECT id FROM agent WHERE account = ?1 AND agent = ?2";
        let id = transaction
            .prepare_cached(sql)?
            .query_row([account, &*agent.id.0], |row| row.get(0))?;
        ids[*presence as usize].push(id);
    }
    Ok(serde_json::to_string(&ids).expect("numbers serialize"))
}

/// Wall time in milliseconds since 1970.
pub(super) fn ms(moment: Moment) -> i64 {
    moment.wall.as_millis() as i64
}
