//! What is odd about a list that is used all the same, and when to say so.

use std::{collections::BTreeSet, fmt};

use super::endpoint::Endpoint;

/// What can be odd about a list that is used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// Its rows are not as many as CallTools counts, and were not in a second reading.
    Miscounted,
    /// It has rows that cannot be read.
    RowsSkipped,
    /// A cache between CallTools and us had kept it.
    Cached,
}

/// An oddity of a list that began or ended: to be said once.
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
                "CallTools' count does not fit the agents that it lists; those that it lists are used"
            }
            (Oddity::Miscounted, false) => "CallTools' count fits the agents that it lists again",
            (Oddity::RowsSkipped, true) => "some rows cannot be read and are left out",
            (Oddity::RowsSkipped, false) => "all rows can be read again",
            (Oddity::Cached, true) => {
                "a cache between openseat and CallTools answers, so what it says is older than it looks; have it pass requests for this address on"
            }
            (Oddity::Cached, false) => "no cache answers for CallTools any more",
        })
    }
}

/// Which list: the endpoint and the queue that was asked for.
pub(super) type ListId = (Endpoint, Option<u64>);

/// What is remembered of a list from one reading to the next.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// By how many rows its count was off.
    pub(super) gap: Option<i64>,
    oddities: BTreeSet<Oddity>,
}

impl Habits {
    /// Takes in what is odd now; returns what has changed.
    pub(super) fn change(&mut self, now: BTreeSet<Oddity>) -> Vec<Change> {
        let change = |began| move |&oddity: &Oddity| Change { oddity, began };
        let begun = now.difference(&self.oddities).map(change(true));
        let ended = self.oddities.difference(&now).map(change(false));
        let changes = begun.chain(ended).collect();
        self.oddities = now;
        changes
    }
}
