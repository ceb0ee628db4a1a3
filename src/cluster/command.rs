//! The closed set of commands to the engine, and their replies.
//!
//! Each command except [`Command::Send`] is one script, so it happens completely or not at all. `scripts` has the scripts in Lua, for the
//! engine, and `model` in Rust, for tests, which run the same cases against both.

use std::{fmt, str::FromStr, time::Duration};

/// The maximum of epochs and counters in the engine: a hundred a second in three centuries. It is below the milliseconds since 1970, which the engine
/// counts by itself if somebody adds to a log by hand.
pub(super) const MAX_COUNT: u64 = 1 << 40;

/// Parses an epoch or a counter.
pub(super) fn count(text: &str) -> Option<u64> {
    text.parse().ok().filter(|count| *count <= MAX_COUNT)
}

/// A position in an account's log. The leader counts `number` from 1 in each epoch, so readers notice gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The leadership that wrote it.
    pub epoch: u64,
    /// Its number in that epoch.
    pub number: u64,
}

impl Position {
    /// Returns the next position in the same epoch.
    pub fn next(self) -> Self {
        let number = self.number + 1;
        Self { number, ..self }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.number)
    }
}

/// The text is not a position.
#[derive(Debug, thiserror::Error)]
#[error("not a position in a log")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (epoch, number) = text.split_once('-').ok_or(NoPosition)?;
        Ok(Self {
            epoch: count(epoch).ok_or(NoPosition)?,
            number: count(number).ok_or(NoPosition)?,
        })
    }
}

/// A command of a node to the engine, for one account. To the engine, the text of a lease is opaque, except for the holder at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Reads the lease, and tells the other nodes that this one lives.
    Look {
        /// The node.
        node: String,
        /// What it publishes about itself.
        info: Vec<u8>,
        /// Marks the data set if it has no mark, because it is new or the engine lost its data.
        generation: String,
    },
    /// Takes the lease, unless it has changed since it was seen.
    Take {
        /// The data set in which it was seen.
        generation: String,
        /// The whole text; empty if there was no lease.
        seen: String,
        /// The new text.
        lease: String,
    },
    /// Replaces the lease, if this holder has it.
    Renew {
        /// The data set in which it was taken.
        generation: String,
        /// The holder.
        holder: String,
        /// The new text. One with another holder gives the lease away.
        lease: String,
    },
    /// Appends an entry to the log and rings the bell, if this holder has the lease.
    Publish {
        /// The data set in which the lease was taken.
        generation: String,
        /// The holder.
        holder: String,
        /// The entry's position, after all others.
        position: Position,
        /// The entry.
        entry: Vec<u8>,
        /// The parts of a checkpoint, which replaces the last one and all earlier entries.
        checkpoint: Option<Vec<Vec<u8>>>,
    },
    /// Reads the log, oldest entries first, at most [`MAX_READ`] of them.
    Read {
        /// The entries after this position, or after the checkpoint if that is read.
        after: Position,
        /// Whether to read the checkpoint as well.
        checkpoint: bool,
    },
    /// Stores what this node knows about the hour and about held seats, for the next leader.
    Mirror {
        /// The data set that lacks it.
        generation: String,
        /// The node.
        node: String,
        /// What it knows.
        mirror: Vec<u8>,
    },
    /// Reads the mirrors of all nodes.
    Mirrors,
    /// Removes nodes that are gone, and mirrors that no longer matter.
    Forget {
        /// The ids of the nodes.
        nodes: Vec<String>,
        /// The ids of the nodes whose mirrors go.
        mirrors: Vec<String>,
    },
    /// Discards all of the account's data, because something in it is spoilt, and begins a new data set, unless another node has just done that.
    Discard {
        /// The data set in which it was spoilt; empty if this node does not know it yet.
        generation: String,
        /// The mark of the new one.
        new: String,
    },
    /// Registers an account's key for all of these claims, unless another key was registered for one of them before. Sent for [`REGISTRY`] instead
    /// of an account.
    Claim {
        /// Its key.
        account: String,
        /// What only one key may have.
        claims: Vec<String>,
    },
    /// Sends a message to current listeners.
    Send {
        /// The account's leader, or a node.
        to: Listener,
        /// The message.
        message: Vec<u8>,
    },
}

/// The addressee of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// The account's leader.
    Leader,
    /// All nodes, which then read the log. The message is not read.
    Bell,
    /// The node with this id.
    Node(String),
}

/// The maximum of entries in one reply. Each has a few kilobytes.
pub const MAX_READ: usize = 64;

/// The key under which [`Command::Claim`] registers accounts.
pub const REGISTRY: &str = "registry";

/// The reply to a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Command::Look`].
    Seen(Look),
    /// Whether the command was done; otherwise the lease or the data set is another one.
    Done(bool),
    /// To [`Command::Discard`]: the mark of the data set that stays, because it is another one; `None` if the new one has begun.
    Discarded(Option<String>),
    /// To [`Command::Publish`]: whether the entry is in the log, and the engine's time.
    Published(bool, Duration),
    /// To [`Command::Read`].
    Log(Log),
    /// To [`Command::Claim`].
    Claimed {
        /// The number of the first claim that another key has, from 1; 0 if all are granted.
        refused: usize,
        /// Whether the register was spoilt, and was discarded first.
        discarded: bool,
    },
    /// To [`Command::Mirrors`]: the mirrors, each with its node.
    Mirrors(Vec<(String, Vec<u8>)>),
}

/// The lease and the nodes of an account, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The mark of the data set.
    pub generation: String,
    /// The lease's whole text; empty if there is none.
    pub lease: String,
    /// The last entry's position.
    pub last: Position,
    /// The engine's time.
    pub time: Duration,
    /// What each node last published about itself, in no particular order.
    pub nodes: Vec<(String, Vec<u8>)>,
}

/// A part of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The mark of the data set.
    pub generation: String,
    /// The lease's whole text: readers time it from when they first see it.
    pub lease: String,
    /// The engine's time.
    pub time: Duration,
    /// The checkpoint, if it was requested and exists.
    pub checkpoint: Option<Checkpoint>,
    /// The entries, in order.
    pub entries: Vec<Logged>,
}

/// What replaces all entries up to its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its position: that of the entry that was published with it.
    pub position: Position,
    /// The engine's time when it was written.
    pub time: Duration,
    /// The parts, as published and in the same order.
    pub parts: Vec<Vec<u8>>,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its position.
    pub position: Position,
    /// The engine's time when it was appended.
    pub time: Duration,
    /// The bytes that were published.
    pub data: Vec<u8>,
}
