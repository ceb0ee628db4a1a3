//! Reads events from the file. It waits for the disk, so it must not run in a task.

use std::{borrow::Cow, collections::HashMap, path::Path, sync::Arc};

use rusqlite::{Connection, Row};

use super::{
    event::{Answer, Event, Seat, What},
    index::{hash, last_in_runs, places_of},
};
use crate::{
    decision::{board::QueueKey, reservations::ReservationId},
    model::quantity::Quantity,
    sqlite::open_to_read,
    state::history::{HistoryError, Limit},
};

const COLUMNS: &str = "id, at_ms, call_id, account, queue, reason, ended, client, accept, count, threshold, age_ms, tags, reservation, expires_ms, forecast";

type Words = HashMap<i64, Arc<str>>;

/// Returns the newest events of a call with their ids, newest first; at most `most`.
///
/// # Errors
/// The file cannot be read, or the limit is reached. Without a file there are no events.
pub(super) fn of_call(
    path: &Path,
    call_id: &str,
    most: usize,
    limit: &Limit,
) -> Result<Vec<(i64, Event)>, HistoryError> {
    let Some(connection) = open_to_read(path)? else {
        return Ok(Vec::new());
    };
    // All reads see the same moment, so a run that fills up meanwhile is not missed.
    let connection = connection.unchecked_transaction()?;
    let words = words(&connection)?;
    let mut found = Vec::new();
    let after = last_in_runs(&connection)?;
    let sql =
        format!("SELECT {COLUMNS} FROM event WHERE id > ?1 AND call_id = ?2 ORDER BY id DESC");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query((after, call_id))?;
    while found.len() < most
        && let Some(row) = rows.next()?
    {
        limit.check()?;
        found.push(event(row, &words)?);
    }
    let mut runs = connection.prepare("SELECT first, places FROM run ORDER BY first DESC")?;
    let mut runs = runs.query([])?;
    let sql = format!("SELECT {COLUMNS} FROM event WHERE id = ?1 AND call_id = ?2");
    let mut one = connection.prepare(&sql)?;
    while found.len() < most
        && let Some(run) = runs.next()?
    {
        let first: i64 = run.get(0)?;
        let places = run.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let places: Vec<_> = places_of(hash(call_id), places).collect();
        for place in places.into_iter().rev().take(most - found.len()) {
            limit.check()?;
            let mut rows = one.query((first + place, call_id))?;
            if let Some(row) = rows.next()? {
                found.push(event(row, &words)?);
            }
        }
        limit.check()?;
    }
    Ok(found)
}

/// Returns the newest events of all calls, newest first.
pub(super) fn newest(connection: &Connection, most: u32) -> rusqlite::Result<Vec<Event>> {
    let words = words(connection)?;
    let sql = format!("SELECT {COLUMNS} FROM event ORDER BY id DESC LIMIT ?1");
    let mut statement = connection.prepare(&sql)?;
    let events = statement.query_map([most], |row| event(row, &words).map(|(_, event)| event))?;
    events.collect()
}

fn words(connection: &Connection) -> rusqlite::Result<Words> {
    let mut statement = connection.prepare("SELECT id, text FROM word")?;
    let words = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Arc<str>>(1)?)))?;
    words.collect()
}

fn event(row: &Row<'_>, words: &Words) -> rusqlite::Result<(i64, Event)> {
    let event = Event {
        number: 0,
        at_ms: row.get(1)?,
        call_id: row.get::<_, String>(2)?.into(),
        queue: QueueKey::new(
            word(row, 3, words)?.unwrap_or_default(),
            word(row, 4, words)?.unwrap_or_default(),
        ),
        what: what(row, words)?,
    };
    Ok((row.get(0)?, event))
}

fn what(row: &Row<'_>, words: &Words) -> rusqlite::Result<What> {
    let reservation = row.get::<_, Option<String>>(13)?;
    let reservation = reservation.map(|id| ReservationId::from_text(&id));
    Ok(match (word(row, 6, words)?, reservation) {
        (Some(end), Some(reservation)) => What::Ended {
            reservation,
            end: Cow::Owned(end.to_string()),
        },
        (_, reservation) => What::Answered(answer(row, words, reservation)?),
    })
}

fn answer(
    row: &Row<'_>,
    words: &Words,
    reservation: Option<ReservationId>,
) -> rusqlite::Result<Answer> {
    let number = |column| row.get::<_, Option<f64>>(column);
    let seat = reservation.zip(row.get(14)?);
    let forecast = row.get::<_, Option<String>>(15)?;
    Ok(Answer {
        client: word(row, 7, words)?,
        accept: row.get(8)?,
        reason: Cow::Owned(word(row, 5, words)?.unwrap_or_default().to_string()),
        count: number(9)?.and_then(Quantity::new),
        threshold: number(10)?.and_then(Quantity::new),
        age_ms: row.get::<_, Option<i64>>(11)?.map(|age| age.max(0) as u64),
        tags: row.get::<_, Option<String>>(12)?.map(Box::from),
        seat: seat.map(|(id, expires_ms)| Box::new(Seat { id, expires_ms })),
        forecast: forecast.and_then(|json| serde_json::from_str(&json).ok()),
    })
}

/// The word in a column; `None` if the column is null.
fn word(row: &Row<'_>, column: usize, words: &Words) -> rusqlite::Result<Option<Arc<str>>> {
    let id: Option<i64> = row.get(column)?;
    Ok(id.and_then(|id| words.get(&id)).map(Arc::clone))
}
