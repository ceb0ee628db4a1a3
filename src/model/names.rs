//! The names of an account's queues and statuses.
//!
//! Operators know queues by name, CallTools by id. Rows have ids of statuses, whose names and meanings differ between accounts. Both
//! lists are rarely read, so they are stored between runs. The account's task decides when to read them again.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    model::{
        fault::{NoSuchQueue, QueueListing},
        field::{self, BadRow, Field},
    },
    process::spelling::{by_likeness, nearest},
};

/// As many queues as fit in a few lines of a terminal.
const MAX_LISTED: usize = 12;

/// One entry of `queues/`.
#[derive(Clone, Debug)]
pub struct NamedQueue {
    /// CallTools' number for it.
    pub id: u64,
    /// Its name; case-sensitive.
    pub name: String,
    /// The row as CallTools sent it.
    pub raw: Box<RawValue>,
}

/// One entry of `statuses/`. Ids differ between accounts, and people can rename a status.
#[derive(Clone, Debug)]
pub struct Status {
    /// CallTools' number for it.
    pub id: u64,
    /// Its name.
    pub name: Arc<str>,
    /// What it does: `Set Ready`, `Set Not Ready`, `Logout` or `No Action`.
    pub queue_action: Option<String>,
    /// The row as CallTools sent it.
    pub raw: Box<RawValue>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, default)]
    queue_action: Field<'a>,
}

impl Fields<'_> {
    fn id(&self) -> Result<u64, BadRow> {
        let problem = match self.id.is_blank() {
            true => "an entry has no id",
            false => "an entry's id is not a number from 0 to 18446744073709551615",
        };
        self.id.number().ok_or(BadRow(problem))
    }

    /// Returns the name unchanged, with all spaces: names are compared exactly.
    fn name(&self) -> Result<String, BadRow> {
        match &self.name {
            Field::Text(name) => Ok(name.clone().into_owned()),
            _ => Err(BadRow("an entry has no name")),
        }
    }
}

impl NamedQueue {
    /// Reads a row of `queues/`.
    ///
    /// # Errors
    /// [`BadRow`] if it has no id or no name.
    pub fn from_row(raw: Box<RawValue>) -> Result<Self, BadRow> {
        let fields: Fields<'_> = field::read(raw.get())?;
        let (id, name) = (fields.id()?, fields.name()?);
        Ok(Self { id, name, raw })
    }
}

impl Status {
    /// Reads a row of `statuses/`.
    ///
    /// # Errors
    /// [`BadRow`] if it has no id or no name.
    pub fn from_row(raw: Box<RawValue>) -> Result<Self, BadRow> {
        let fields: Fields<'_> = field::read(raw.get())?;
        let (id, name) = (fields.id()?, fields.name()?);
        let queue_action = fields.queue_action.text().map(str::to_owned);
        Ok(Self {
            id,
            name: name.into(),
            queue_action,
            raw,
        })
    }

    /// Returns whether the status makes an agent ready for calls; `None` if the row does not say, or names an action that CallTools does not document.
    pub fn is_ready(&self) -> Option<bool> {
        let action = self.queue_action.as_deref()?;
        let is = |known: &str| letters(action).eq(letters(known));
        match () {
            () if is("Set Ready") => Some(true),
            () if is("Set Not Ready") || is("No Action") || is("Logout") => Some(false),
            () => None,
        }
    }
}

/// The letters of an action in lower case: `set_ready`, `SET READY` and `Set Ready` are the same.
fn letters(action: &str) -> impl Iterator<Item = char> {
    let letters = action.chars().filter(|letter| letter.is_alphabetic());
    letters.map(|letter| letter.to_ascii_lowercase())
}

/// The names of one account. Immutable: a new reading replaces it.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `None` until `queues/` was read.
    pub queues: Option<Vec<NamedQueue>>,
    /// `None` until `statuses/` was read, or if it cannot be read.
    pub statuses: Option<Vec<Status>>,
}

impl Names {
    /// Returns whether the list of statuses says which of them make agents ready. Otherwise only their names tell.
    pub fn tell_who_is_ready(&self) -> bool {
        let Some(statuses) = &self.statuses else {
            return false;
        };
        let mut actions = statuses.iter().map(Status::is_ready);
        let all_tell = !statuses.is_empty() && actions.clone().all(|is_ready| is_ready.is_some());
        all_tell || actions.any(|is_ready| is_ready == Some(true))
    }

    /// Returns the id of the queue with exactly this name. Read the list first: before that it has no queues.
    ///
    /// # Errors
    /// [`NoSuchQueue::Name`] with the nearest spellings, or [`NoSuchQueue::Ambiguous`] with the ids of all queues with this name.
    pub fn resolve(&self, name: &str) -> Result<u64, NoSuchQueue> {
        let ids: Vec<u64> = self
            .queues()
            .iter()
            .filter(|queue| queue.name == name)
            .map(|queue| queue.id)
            .collect();
        let asked = || name.to_owned();
        match *ids {
            [id] => Ok(id),
            [] => Err(NoSuchQueue::Name {
                asked: asked(),
                nearest: self.nearest(name),
                there: self.listing(name),
            }),
            _ => Err(NoSuchQueue::Ambiguous {
                asked: asked(),
                ids,
            }),
        }
    }

    /// Returns the name of the queue with this id, if known.
    pub fn queue_name(&self, id: u64) -> Option<&str> {
        let queue = self.queues().iter().find(|queue| queue.id == id)?;
        Some(&queue.name)
    }

    /// Returns the status with this id.
    pub fn status_by_id(&self, id: u64) -> Option<&Status> {
        self.statuses().iter().find(|status| status.id == id)
    }

    /// Returns the status with this name. If several share it, one that is not ready: a call sent elsewhere is better than one that meets no agent.
    pub fn status_named(&self, name: &str) -> Option<&Status> {
        self.statuses()
            .iter()
            .filter(|status| status.name.trim() == name)
            .min_by_key(|status| status.is_ready())
    }

    /// Returns the names as JSON, for a file that saves these requests after a restart.
    pub fn to_json(&self) -> String {
        let stored = Stored {
            queues: self.queues.as_deref().map(raw_queues),
            statuses: self.statuses.as_deref().map(raw_statuses),
        };
        serde_json::to_string(&stored).expect("texts and rows that were JSON before serialize")
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// Anything else. The names are then requested again.
    pub fn from_json(json: &str) -> Result<Self, Unreadable> {
        let stored: Stored<Box<RawValue>> = serde_json::from_str(json)?;
        Ok(Self {
            queues: read_all(stored.queues, NamedQueue::from_row)?,
            statuses: read_all(stored.statuses, Status::from_row)?,
        })
    }

    fn queues(&self) -> &[NamedQueue] {
        self.queues.as_deref().unwrap_or_default()
    }

    fn statuses(&self) -> &[Status] {
        self.statuses.as_deref().unwrap_or_default()
    }

    /// The existing queues, those most similar to `asked` first.
    fn listing(&self, asked: &str) -> QueueListing {
        let queues = self.queues();
        let names = queues.iter().map(|queue| queue.name.as_str());
        let first = by_likeness(asked, names).into_iter().take(MAX_LISTED);
        QueueListing {
            first: first
                .map(|place| (queues[place].id, queues[place].name.clone()))
                .collect(),
            more: queues.len().saturating_sub(MAX_LISTED),
        }
    }

    /// Returns the names most similar to `asked`, best first.
    fn nearest(&self, asked: &str) -> Vec<String> {
        nearest(asked, self.queues().iter().map(|queue| queue.name.as_str()))
    }
}

/// The format of the file: only the rows, because they contain everything.
#[derive(Deserialize, Serialize)]
struct Stored<R> {
    queues: Option<Vec<R>>,
    statuses: Option<Vec<R>>,
}

/// Stored names that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or not of this shape.
    #[error("not a file of names: {0}")]
    Json(#[from] serde_json::Error),
    /// A row without an id or a name.
    #[error("not a file of names: {0}")]
    Row(#[from] BadRow),
}

fn raw_queues(queues: &[NamedQueue]) -> Vec<&RawValue> {
    queues.iter().map(|queue| &*queue.raw).collect()
}

fn raw_statuses(statuses: &[Status]) -> Vec<&RawValue> {
    statuses.iter().map(|status| &*status.raw).collect()
}

fn read_all<T>(
    rows: Option<Vec<Box<RawValue>>>,
    read: impl Fn(Box<RawValue>) -> Result<T, BadRow>,
) -> Result<Option<Vec<T>>, BadRow> {
    rows.map(|rows| rows.into_iter().map(read).collect())
        .transpose()
}
