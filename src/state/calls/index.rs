//! Writes events to the file so that they can be found by call.
//!
//! An SQLite index on `call_id` would cost too much: ids of calls are random, so each batch would rewrite most pages of the index. Instead, events
//! are only appended, and one sorted list of places is written for each run of [`RUN`] events. The places of the newest run stay in memory until
//! it is full.

use std::{collections::HashMap, sync::OnceLock};

use rusqlite::{Connection, Transaction, params};

use super::{
    event::{Event, What},
    give_way,
};

/// Events in a run. A search reads a list of 128 kB for each run; it reads the newest part, which has no list yet, event by event.
const RUN: usize = 16_384;

/// Events that are written before other threads may run: some tenths of a millisecond.
const AT_ONCE: usize = 64;

/// Bytes of a place in a list.
pub(super) const PLACE: usize = 8;

/// What the writer knows about the file.
#[derive(Debug, Default)]
pub(super) struct Index {
    words: HashMap<Box<str>, i64>,
    tail: Tail,
}

/// The events that are not in a run yet.
#[derive(Debug)]
struct Tail {
    places: Vec<(u32, i64)>,
    from_ms: i64,
    to_ms: i64,
}

impl Default for Tail {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            from_ms: i64::MAX,
            to_ms: i64::MIN,
        }
    }
}

impl Tail {
    fn add(&mut self, call_id: &str, id: i64, at_ms: i64) {
        self.places.push((hash(call_id), id));
        self.from_ms = self.from_ms.min(at_ms);
        self.to_ms = self.to_ms.max(at_ms);
    }
}

/// A hash of the id; two calls may share one. It is stored in the file, so it must never change.
pub(super) fn hash(call_id: &str) -> u32 {
    crc32fast::hash(call_id.as_bytes())
}

/// Returns the id of the last event in a run.
pub(super) fn last_in_runs(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(max(last), 0) FROM run";
    connection.query_row(sql, [], |row| row.get(0))
}

impl Index {
    /// Reads a file that was just opened. `base` becomes the id of this process's event number 0.
    pub fn read(&mut self, connection: &Connection, base: &OnceLock<i64>) -> rusqlite::Result<()> {
        *self = Self::default();
        let after = last_in_runs(connection)?;
        let sql = "SELECT id, call_id, at_ms FROM event WHERE id > ?1 ORDER BY id";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([after])?;
        let mut next = after + 1;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            self.tail.add(row.get_ref(1)?.as_str()?, id, row.get(2)?);
            next = id + 1;
        }
        base.get_or_init(|| next);
        Ok(())
    }

    /// Writes a batch in one transaction. Returns whether a run became full. After a failure the index must be read again.
    pub fn write<'e>(
        &mut self,
        connection: &mut Connection,
        events: impl Iterator<Item = &'e Event>,
        base: i64,
    ) -> rusqlite::Result<bool> {
        let transaction = connection.transaction()?;
        for (turn, event) in events.enumerate() {
            if turn % AT_ONCE == 0 {
                give_way();
            }
            // No process lives long enough to number its events beyond an i64.
            let id = base + event.number as i64;
            self.insert(&transaction, event, id)?;
            self.tail.add(&event.call_id, id, event.at_ms);
        }
        let is_full = self.tail.places.len() >= RUN;
        if is_full {
            std::mem::take(&mut self.tail).write(&transaction)?;
        }
        transaction.commit()?;
        Ok(is_full)
    }

    fn insert(
        &mut self,
        transaction: &Transaction<'_>,
        event: &Event,
        id: i64,
    ) -> rusqlite::Result<()> {
        let account = self.word(transaction, &event.queue.account)?;
        let queue = self.word(transaction, &event.queue.queue)?;
        match &event.what {
            What::Answered(answer) => {
                let reason = self.word(transaction, &answer.reason)?;
                let client = match &answer.client {
                    Some(client) => Some(self.word(transaction, client)?),
                    None => None,
                };
                let seat = answer.seat.as_ref();
                let forecast = answer.forecast.as_ref();
                let forecast = forecast.and_then(|one| serde_json::to_string(one).ok());
                // OR REPLACE, in case SQLite reported a failure but had stored the event.
                let sql = "INSERT OR REPLACE INTO event
                           (id, at_ms, call_id, account, queue, reason, client, accept, count, threshold, age_ms, tags, reservation, expires_ms, forecast)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
                transaction.prepare_cached(sql)?.execute(params![
                    id,
                    event.at_ms,
                    event.call_id,
                    account,
                    queue,
                    reason,
                    client,
                    answer.accept,
                    answer.count.map(|count| count.get()),
                    answer.threshold.map(|threshold| threshold.get()),
                    answer.age_ms.map(|age| age as i64),
                    answer.tags,
                    seat.map(|seat| seat.id.as_str()),
                    seat.map(|seat| seat.expires_ms),
                    forecast,
                ])
            }
            What::Ended { reservation, end } => {
                let end = self.word(transaction, end)?;
                let sql = "INSERT OR REPLACE INTO event (id, at_ms, call_id, account, queue, ended, reservation) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
                transaction.prepare_cached(sql)?.execute(params![
                    id,
                    event.at_ms,
                    event.call_id,
                    account,
                    queue,
                    end,
                    reservation.as_str(),
                ])
            }
        }
        .map(drop)
    }

    /// The id of a word. Words are names from the config and reasons, so there are few.
    fn word(&mut self, transaction: &Transaction<'_>, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.words.get(text) {
            return Ok(*id);
        }
        let sql = "INSERT INTO word (text) VALUES (?1) ON CONFLICT DO NOTHING";
        transaction.execute(sql, [text])?;
        let sql = "SELECT id FROM word WHERE text = ?1";
        let id = transaction.query_row(sql, [text], |row| row.get(0))?;
        self.words.insert(text.into(), id);
        Ok(id)
    }
}

impl Tail {
    /// Writes the sorted list of its places.
    fn write(mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let ids = || self.places.iter().map(|(_, id)| *id);
        let (Some(first), Some(last)) = (ids().min(), ids().max()) else {
            return Ok(());
        };
        self.places.sort_unstable();
        let mut bytes = Vec::with_capacity(self.places.len() * PLACE);
        for (hash, id) in &self.places {
            bytes.extend_from_slice(&hash.to_be_bytes());
            // Ids are consecutive, so those of a run are close together.
            bytes.extend_from_slice(&((id - first) as u32).to_be_bytes());
        }
        let sql = "INSERT OR REPLACE INTO run (first, last, from_ms, to_ms, places) VALUES (?1, ?2, ?3, ?4, ?5)";
        let run = params![first, last, self.from_ms, self.to_ms, bytes];
        transaction.execute(sql, run).map(drop)
    }
}

/// The events of a call in a run's list, as distances from the run's first event.
pub(super) fn places_of(hash: u32, places: &[u8]) -> impl Iterator<Item = i64> {
    let (places, _) = places.as_chunks::<PLACE>();
    let parts = |place: &[u8; PLACE]| {
        let place = u64::from_be_bytes(*place);
        ((place >> 32) as u32, i64::from(place as u32))
    };
    let start = places.partition_point(|place| parts(place).0 < hash);
    let own = places[start..].iter().map(parts);
    own.take_while(move |(found, _)| *found == hash)
        .map(|(_, place)| place)
}
