//! Encodes and decodes entries of the log: JSON, packed with zlib. Moments become ages, because no two machines share a clock.
//!
//! **Ages are never understated.** The writer records the engine's time, as it knows it, when it writes. The reader knows the engine's time when
//! it asks. The difference is added to each age. If the engine's clock has jumped meanwhile, an entry is at least as old as the moment at which
//! the reader was last up to date. Times that must not end too early (the stay of requests, held seats, pauses) count from the reader's own receipt.

mod fault;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use serde::Deserialize;

use self::wire::Wire;
use super::{command::Checkpoint, entry::Entry};
use crate::clock::Moment;

/// The newest format that this version reads. It writes the newest one that all living nodes read, and no older one than [`OLDEST`].
///
/// A change that earlier versions cannot read needs another format: what they cannot read of a format that they know is spoilt to them.
pub const FORMAT: u32 = 1;

/// The oldest format that this version reads and writes.
pub const OLDEST: u32 = 1;

/// The maximum of packed bytes. The packed rows of 25,000 agents take about 4 MB.
pub(super) const MAX_PACKED: usize = 16 * 1024 * 1024;

/// The maximum of unpacked bytes: no list that openseat reads is longer, and a few kilobytes could unpack to anything. Tests reach less with few rows.
pub(super) const MAX_UNPACKED: u64 = if cfg!(test) { 4 } else { 64 } * 1024 * 1024;

/// The maximum of unpacked bytes of a checkpoint: 200,000 rows, such as those of 25,000 agents with seven queues each.
const MAX_CHECKPOINT: u64 = 256 * 1024 * 1024;

/// The maximum of a checkpoint's parts. Any two of them have a thousand rows together, so these are two million rows.
pub(super) const MAX_PARTS: usize = 4_096;

/// An entry that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// It is longer than any entry of openseat's.
    #[error("it is longer than any entry of openseat's")]
    TooLong,
    /// It cannot be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Packing(#[from] std::io::Error),
    /// It has no format.
    #[error("it is not openseat's: {0}")]
    Foreign(serde_json::Error),
    /// It has nothing.
    #[error("it is empty")]
    Empty,
    /// It is not the expected JSON.
    #[error("it cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error(
        "it has format {0}, and this openseat reads format {FORMAT}: install the same version on all nodes"
    )]
    Format(u32),
    /// A value in it makes no sense.
    #[error("{0}")]
    Content(&'static str),
}

impl BadEntry {
    /// Returns whether no version of openseat can have written it.
    pub fn is_foreign(&self) -> bool {
        !matches!(self, Self::Format(_))
    }
}

/// The writer's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    /// Its own clocks now.
    pub now: Moment,
    /// The engine's clock now, or slightly earlier.
    pub engine: Duration,
    /// The format to write, which all readers know.
    pub format: u32,
}

/// The reader's clocks.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Its own clocks when it asked.
    pub asked: Moment,
    /// Its own clocks when the answer had come.
    pub now: Moment,
    /// The engine's clock in between.
    pub engine: Duration,
    /// When it last knew everything, if the engine's clock has jumped since.
    pub suspect_since: Option<Moment>,
    /// Whether it may be old, like a checkpoint, what follows it, or a mirror. Then its requests, seats and pauses may have ended, if the engine's clock
    /// and the wall clocks agree.
    pub is_old: bool,
    /// The newest format that it reads.
    pub format: u32,
}

impl Reading {
    /// Returns the moment at which an entry was written, or an earlier one.
    fn written(&self, wire: &Wire) -> Moment {
        let at = Duration::from_millis(wire.at);
        let by_engine = self.asked.earlier(self.engine.saturating_sub(at));
        let is_ahead = at > self.engine;
        match self.suspect_since {
            Some(since) if since.boot < by_engine.boot => since,
            // The clock was set back without being noticed: the time between is unknown.
            None if is_ahead => self.asked.earlier(at - self.engine),
            _ => by_engine,
        }
    }

    /// Returns how much of a stay has certainly passed.
    fn over(&self, wire: &Wire) -> Duration {
        if !self.is_old {
            return Duration::ZERO;
        }
        let engine = self.engine.saturating_sub(Duration::from_millis(wire.at));
        let walls = (self.asked.wall).saturating_sub(Duration::from_millis(wire.wall));
        engine.min(walls)
    }
}

/// Packs an entry.
pub fn encode(entry: &Entry, writing: &Writing) -> Vec<u8> {
    pack(&json(entry, writing))
}

/// Packs an entry, unless it is too long for others to read.
pub fn encode_readable(entry: &Entry, writing: &Writing) -> Option<Vec<u8>> {
    let json = json(entry, writing);
    let packed = (json.len() as u64 <= MAX_UNPACKED).then(|| pack(&json));
    packed.filter(|packed| packed.len() <= MAX_PACKED)
}

/// Packs a checkpoint, as far as others will read it.
#[derive(Debug, Default)]
pub struct Packer {
    parts: Vec<Vec<u8>>,
    unpacked: u64,
}

impl Packer {
    /// Adds a part. Returns whether there was room for it.
    pub fn add(&mut self, part: &Entry, writing: &Writing) -> bool {
        let json = json(part, writing);
        let unpacked = self.unpacked + json.len() as u64;
        let fits = unpacked <= MAX_CHECKPOINT && self.parts.len() < MAX_PARTS;
        if fits {
            self.unpacked = unpacked;
            self.parts.push(pack(&json));
        }
        fits
    }

    /// Returns the packed parts.
    pub fn parts(self) -> Vec<Vec<u8>> {
        self.parts
    }
}

fn json(entry: &Entry, writing: &Writing) -> Vec<u8> {
    let json = serde_json::to_vec(&Wire::new(entry, writing));
    json.expect("texts, numbers and rows that were JSON before serialize")
}

fn pack(json: &[u8]) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed
        .write_all(json)
        .and_then(|()| packed.finish())
        .expect("writing to memory cannot fail")
}

/// Unpacks an entry.
///
/// # Errors
/// [`encode`] did not write the data.
pub fn decode(data: &[u8], reading: &Reading) -> Result<Entry, BadEntry> {
    read(&unpack(data, MAX_UNPACKED)?, reading)
}

/// Unpacks a checkpoint. Other tasks run between its parts.
///
/// # Errors
/// [`Packer`] did not write it.
pub async fn decode_all(checkpoint: &Checkpoint, reading: &Reading) -> Result<Entry, BadEntry> {
    let (mut whole, mut left) = (None, MAX_CHECKPOINT);
    for part in &checkpoint.parts {
        let json = unpack(part, MAX_UNPACKED.min(left))?;
        left -= json.len() as u64;
        let entry = read(&json, reading)?;
        match &mut whole {
            None => whole = Some(entry),
            Some(whole) => whole.join(entry),
        }
        tokio::task::yield_now().await;
    }
    whole.ok_or(BadEntry::Empty)
}

fn read(json: &[u8], reading: &Reading) -> Result<Entry, BadEntry> {
    // Read first: the rest of another format may be anything.
    let Format { format } = serde_json::from_slice(json).map_err(BadEntry::Foreign)?;
    if !(OLDEST..=reading.format).contains(&format) {
        return Err(BadEntry::Format(format));
    }
    let wire: Wire = serde_json::from_slice(json)?;
    wire.entry(reading)
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Unpacks data of at most `max` bytes.
fn unpack(data: &[u8], max: u64) -> Result<Vec<u8>, BadEntry> {
    if data.len() > MAX_PACKED {
        return Err(BadEntry::TooLong);
    }
    let mut json = Vec::new();
    let read = ZlibDecoder::new(data)
        .take(max + 1)
        .read_to_end(&mut json)?;
    match read as u64 > max {
        true => Err(BadEntry::TooLong),
        false => Ok(json),
    }
}

/// The format has durations in milliseconds.
fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
