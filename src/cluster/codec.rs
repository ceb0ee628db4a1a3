//! Writes entries for the log and reads them: JSON, packed with zlib. Moments become ages, since no two machines share a clock.
//!
//! **Ages are never understated.** The writer notes the engine's time, as it knows it, when it writes. The reader knows the engine's time when
//! it asks. What lies between is added to each age. Where the engine's clock has jumped meanwhile, an entry is at least as old as the moment at
//! which the reader was last up to date. What must last long enough (the stay of requests, held seats) is counted from the reader's own receipt.

#[cfg(test)]
mod tests;
mod wire;

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};

use self::wire::Wire;
use super::entry::Entry;
use crate::clock::Moment;

/// The format of what this version writes and reads.
pub const FORMAT: u32 = 1;

/// In bytes. The rows of 25,000 agents are some 4 MB packed.
const MAX_PACKED: usize = 16 * 1024 * 1024;

/// In bytes: no list that openseat reads is longer, and a few kilobytes could unpack to anything.
const MAX_UNPACKED: u64 = 64 * 1024 * 1024;

/// An entry that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// Longer than any of ours.
    #[error("it is longer than any entry of openseat's")]
    TooLong,
    /// Not packed as ours are.
    #[error("it cannot be unpacked: {0}")]
    Packing(#[from] std::io::Error),
    /// Not JSON of ours.
    #[error("it cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version's.
    #[error("it has format {0}, and this openseat reads format {FORMAT}")]
    Format(u32),
    /// Something in it makes no sense.
    #[error("{0}")]
    Content(&'static str),
}

/// What the writer knows of time.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    /// Its own clocks.
    pub now: Moment,
    /// The engine's clock now: not later than it shows.
    pub engine: Duration,
}

/// What the reader knows of time.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Its own clocks when it asked.
    pub asked: Moment,
    /// And when the answer had come.
    pub now: Moment,
    /// The engine's clock in between.
    pub engine: Duration,
    /// When it knew everything for the last time, if the engine's clock has jumped since.
    pub suspect_since: Option<Moment>,
    /// It may be old, as a checkpoint and a mirror are: its requests and seats may have left meanwhile, if the engine's clock and the walls agree.
    pub is_old: bool,
}

impl Reading {
    /// The moment at which an entry was written, or an earlier one.
    fn written(&self, wire: &Wire) -> Moment {
        let at = Duration::from_millis(wire.at);
        let by_engine = self.asked.earlier(self.engine.saturating_sub(at));
        let is_ahead = at > self.engine;
        match self.suspect_since {
            Some(since) if since.boot < by_engine.boot => since,
            // A clock that was set back, unnoticed so far: nothing is known of the time between.
            None if is_ahead => self.asked.earlier(at - self.engine),
            _ => by_engine,
        }
    }

    /// How much of a stay is surely over.
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
    let json = serde_json::to_vec(&Wire::new(entry, writing));
    let json = json.expect("texts, numbers and rows that were JSON before serialize");
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed
        .write_all(&json)
        .and_then(|()| packed.finish())
        .expect("writing to memory cannot fail")
}

/// Unpacks an entry.
///
/// # Errors
/// Anything that [`encode`] did not write.
pub fn decode(data: &[u8], reading: &Reading) -> Result<Entry, BadEntry> {
    if data.len() > MAX_PACKED {
        return Err(BadEntry::TooLong);
    }
    let wire: Wire = serde_json::from_slice(&unpack(data, MAX_UNPACKED)?)?;
    if wire.format != FORMAT {
        return Err(BadEntry::Format(wire.format));
    }
    wire.entry(reading)
}

/// Unpacks what is no longer than `most` bytes.
fn unpack(data: &[u8], most: u64) -> Result<Vec<u8>, BadEntry> {
    let mut json = Vec::new();
    let read = ZlibDecoder::new(data)
        .take(most + 1)
        .read_to_end(&mut json)?;
    match read as u64 > most {
        true => Err(BadEntry::TooLong),
        false => Ok(json),
    }
}
