//! Everything that is ever asked of the engine: a closed set of commands, and what each answers.
//!
//! Each command but [`Command::Send`] is one script, so it happens as a whole or not at all. `scripts` has them in Lua, for the engine, and
//! `model` in Rust, for tests; the same cases are run against both.

use std::{fmt, str::FromStr, time::Duration};

/// A place in an account's log. The leader counts `number` from 1 in each epoch, so a reader notices a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which leadership wrote it.
    pub epoch: u64,
    /// Its number in that epoch.
    pub number: u64,
}

impl Position {
    /// The one after it in the same epoch.
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

/// Not a position.
#[derive(Debug, thiserror::Error)]
#[error("not a place in a log")]
pub struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (epoch, number) = text.split_once('-').ok_or(NoPosition)?;
        Ok(Self {
            epoch: epoch.parse().map_err(|_| NoPosition)?,
            number: number.parse().map_err(|_| NoPosition)?,
        })
    }
}

/// What a node asks of the engine for one account. Texts of leases are opaque to the engine, but for the holder at their beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Reads the lease, and tells the others that this node lives.
    Look {
        /// The node.
        node: String,
        /// What it tells of itself.
        info: Vec<u8>,
        /// Marks the data set if nothing does: it is empty, or the engine forgot.
        generation: String,
    },
    /// Takes the lease, if it is still what was seen.
    Take {
        /// The data set in which it was seen.
        generation: String,
        /// The whole text, empty where there is no lease.
        seen: String,
        /// The new text.
        lease: String,
    },
    /// Writes the lease anew, if this holder has it.
    Renew {
        /// The data set in which it was taken.
        generation: String,
        /// The holder.
        holder: String,
        /// The new text; another holder's gives it away.
        lease: String,
    },
    /// Appends an entry to the log and rings the bell, if this holder has the lease.
    Publish {
        /// The data set in which the lease was taken.
        generation: String,
        /// The holder.
        holder: String,
        /// The entry's place, after all others.
        position: Position,
        /// The entry.
        entry: Vec<u8>,
        /// Replaces the checkpoint, and all entries before this one.
        checkpoint: Option<Vec<u8>>,
    },
    /// Reads the log, oldest entries first, at most [`MAX_READ`] of them.
    Read {
        /// Entries after this one; after the checkpoint where that is asked for.
        after: Position,
        /// The checkpoint, too.
        checkpoint: bool,
    },
    /// Lays down what this node knows of the hour and of held seats, for whoever leads next.
    Mirror {
        /// The data set that lacks it.
        generation: String,
        /// The node.
        node: String,
        /// What it knows.
        mirror: Vec<u8>,
    },
    /// Reads what all nodes have laid down.
    Mirrors,
    /// Removes nodes that have gone, and what nodes have laid down that matters no more.
    Forget {
        /// Ids of nodes.
        nodes: Vec<String>,
        /// Ids of nodes, too.
        mirrors: Vec<String>,
    },
    /// Notes under which key the account with this address and token is known, unless another one was noted before. Sent for
    /// [`REGISTRY`], not for an account.
    Claim {
        /// A digest of its address and token.
        identity: String,
        /// Its key.
        account: String,
    },
    /// Sends a message to whoever listens now.
    Send {
        /// The account's leader, or a node.
        to: Listener,
        /// The message.
        message: Vec<u8>,
    },
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// Whoever leads the account.
    Leader,
    /// The node with this id.
    Node(String),
}

/// The most entries of one answer. Each has some kilobytes.
pub const MAX_READ: usize = 64;

/// Where [`Command::Claim`] notes accounts.
pub const REGISTRY: &str = "registry";

/// What a [`Command`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Command::Look`].
    Seen(Look),
    /// Done; or refused, since the lease or the data set is another one.
    Done(bool),
    /// To [`Command::Publish`]: whether it is in the log, and the engine's time.
    Published(bool, Duration),
    /// To [`Command::Read`].
    Log(Log),
    /// To [`Command::Claim`]: the key that is noted.
    Claimed(String),
    /// To [`Command::Mirrors`]: by node.
    Mirrors(Vec<(String, Vec<u8>)>),
}

/// The lease and the nodes of an account, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The mark of the data set.
    pub generation: String,
    /// The lease's whole text; empty where there is none.
    pub lease: String,
    /// The last entry's place.
    pub last: Position,
    /// The engine's time.
    pub time: Duration,
    /// What each node told last; in no particular order.
    pub nodes: Vec<(String, Vec<u8>)>,
}

/// A part of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The mark of the data set.
    pub generation: String,
    /// The lease's whole text: a reader counts from when it first sees it.
    pub lease: String,
    /// The engine's time.
    pub time: Duration,
    /// The checkpoint, if it was asked for and there is one.
    pub checkpoint: Option<Logged>,
    /// Entries in their order.
    pub entries: Vec<Logged>,
}

/// An entry of the log, or a checkpoint that replaces all entries up to its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its place.
    pub position: Position,
    /// The engine's time when it was appended.
    pub time: Duration,
    /// As it was published.
    pub data: Vec<u8>,
}
