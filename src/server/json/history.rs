//! The recorded history of a queue, as JSON and as CSV.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::time::{Timestamp as TimestampSchema, rfc3339_of_ms, whole_ms};
use crate::{
    decision::board::QueueKey,
    state::history::{Bucket, Decided},
};

/// The history of a queue, split into equal parts of time.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "History")]
pub struct HistoryJson<'a> {
    /// As configured: a name or an id.
    queue: &'a str,
    /// The account's name, as configured.
    account: &'a str,
    /// How far back it goes, as in the request.
    range: &'a str,
    /// The length of each part, in milliseconds.
    part_ms: u64,
    /// All parts, oldest first. The last one may not have ended yet. Empty if nothing is recorded.
    parts: Vec<PartJson>,
}

/// One part of a queue's recorded history.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HistoryPart")]
pub struct PartJson {
    /// When it begins.
    #[serde(serialize_with = "rfc3339_of_ms")]
    #[schemars(with = "TimestampSchema")]
    from: i64,
    /// For how much of it the seats were known, in milliseconds. The values below cover that time only.
    known_ms: u64,
    /// The fewest seats; null if they were never known.
    seats_min: Option<f64>,
    /// The mean of the seats; null if they were never known.
    seats_mean: Option<f64>,
    /// The most seats; null if they were never known.
    seats_max: Option<f64>,
    /// The mean number of agents by status.
    agents: BTreeMap<String, f64>,
    /// Decisions to accept, with or without fresh data.
    accepted: u64,
    /// Decisions to reject.
    rejected: u64,
    /// How many of these decisions had no fresh data.
    unknown: u64,
}

impl<'a> HistoryJson<'a> {
    /// Creates the history of a range. `is_known` says whether a decision with this reason rested on fresh data.
    pub fn new(
        key: &'a QueueKey,
        range: &'a str,
        part: Duration,
        buckets: Vec<Bucket>,
        decided: &[Decided],
        is_known: impl Fn(&str) -> bool,
    ) -> Self {
        let mut parts: Vec<_> = buckets.into_iter().map(PartJson::new).collect();
        for one in decided {
            let from = one.from.as_millisecond();
            if let Ok(place) = parts.binary_search_by_key(&from, |part| part.from) {
                parts[place].count(one, is_known(&one.reason));
            }
        }
        Self {
            queue: &key.queue,
            account: &key.account,
            range,
            part_ms: whole_ms(part),
            parts,
        }
    }

    /// Writes CSV (RFC 4180): one line per part, with a column for each status. An empty field is unknown.
    pub fn to_csv(&self) -> String {
        let statuses: BTreeSet<_> = self
            .parts
            .iter()
            .flat_map(|part| part.agents.keys())
            .collect();
        let mut csv =
            "from,known_ms,seats_min,seats_mean,seats_max,accepted,rejected,unknown".to_owned();
        for status in &statuses {
            csv.push(',');
            // A spreadsheet could take a bare name for a formula.
            csv += &quoted(&format!("agents {status}"));
        }
        csv += "\r\n";
        for part in &self.parts {
            part.add_to(&mut csv, &statuses);
        }
        csv
    }
}

impl PartJson {
    fn new(bucket: Bucket) -> Self {
        let [min, mean, max] = match bucket.seats {
            Some(seats) => seats.map(Some),
            None => [None; 3],
        };
        Self {
            from: bucket.from.as_millisecond(),
            known_ms: whole_ms(bucket.known),
            seats_min: min,
            seats_mean: mean,
            seats_max: max,
            agents: bucket.agents,
            accepted: 0,
            rejected: 0,
            unknown: 0,
        }
    }

    fn count(&mut self, decided: &Decided, is_known: bool) {
        match &*decided.result {
            "accept" => self.accepted += decided.count,
            _ => self.rejected += decided.count,
        }
        if !is_known {
            self.unknown += decided.count;
        }
    }

    fn add_to(&self, csv: &mut String, statuses: &BTreeSet<&String>) {
        let from = Timestamp::from_millisecond(self.from).unwrap_or_default();
        let _ = write!(csv, "{from:.3},{}", self.known_ms);
        for seats in [self.seats_min, self.seats_mean, self.seats_max] {
            add(csv, seats);
        }
        let _ = write!(csv, ",{},{},{}", self.accepted, self.rejected, self.unknown);
        let is_known = !self.agents.is_empty();
        for status in statuses {
            // Where agents were counted, nobody had a status that is missing.
            let agents = self.agents.get(*status).copied();
            add(csv, agents.or(is_known.then_some(0.0)));
        }
        *csv += "\r\n";
    }
}

fn add(csv: &mut String, number: Option<f64>) {
    csv.push(',');
    if let Some(number) = number {
        // Writing to a string cannot fail. Thousandths of an agent are noise.
        let _ = write!(csv, "{}", (number * 1000.0).round() / 1000.0);
    }
}

/// A field, quoted if its text needs it.
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
