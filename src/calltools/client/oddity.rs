//! Oddities of lists that are used anyway, and when to report them.

use std::{collections::BTreeSet, fmt};

use super::endpoint::Endpoint;

/// What can be odd about a list that is used anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// It has more or fewer rows than CallTools counts, in two readings in a row.
    Miscounted,
    /// Some of its rows cannot be read.
    RowsSkipped,
    /// A cache between CallTools and us answered.
    Cached,
}

/// An oddity of a list that began or ended. It is reported once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub oddity: Oddity,
    /// Whether it began.
    pub began: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.oddity, self.began) {
            (Oddity::Miscounted, true) => {
                "CallTools' count does not match the agents it lists; the listed agents are used"
            }
            (Oddity::Miscounted, false) => "CallTools' count matches the agents it lists again",
            (Oddity::RowsSkipped, true) => "some rows cannot be read and are left out",
            (Oddity::RowsSkipped, false) => "all rows can be read again",
            (Oddity::Cached, true) => {
                "a cache between openseat and CallTools answers, so its data is older than it looks; make it pass requests for this address through"
            }
            (Oddity::Cached, false) => "CallTools is no longer answered for by a cache",
        })
    }
}

/// Identifies a list: the endpoint and the queue.
pub(super) type ListId = (Endpoint, Option<u64>);

/// What is remembered about a list between readings.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// How many rows its count was off by.
    pub(super) gap: Option<i64>,
    oddities: BTreeSet<Oddity>,
}

impl Habits {
    /// Records what is odd now, and returns what has changed.
    pub(super) fn change(&mut self, now: BTreeSet<Oddity>) -> Vec<Change> {
        let change = |began| move |&oddity: &Oddity| Change { oddity, began };
        let begun = now.difference(&self.oddities).map(change(true));
        let ended = self.oddities.difference(&now).map(change(false));
        let changes = begun.chain(ended).collect();
        self.oddities = now;
        changes
    }
}
