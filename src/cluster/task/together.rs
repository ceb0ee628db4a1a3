//! Knows whether the nodes together know the hour, although the engine has lost its data and none of them knows that it led last.
//!
//! Every request was sent by a node of the lost data set, and is in the mirror that this node writes to the next one. So the mirrors of all these
//! nodes have the whole hour. Each node tells whom it saw in the lost data set. If one of these is missing, nobody knows what it has sent.
//!
//! A node that appeared, led and went again while all others were cut off is not missed. No node that follows has read what it sent.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{REPLACES, Task};
use crate::cluster::{command::Look, member::MAX_NODES};

/// How long a log may lack requests if no node knew the hour when it began: an hour, the minute that a request without an answer stays longer, and
/// two seconds.
pub(super) const IGNORANT_FOR: Duration = Duration::from_secs(3600 + 62);

/// The nodes of the data sets that the engine has lost.
#[derive(Debug)]
pub(super) struct Before {
    /// The data set that came next.
    data_set: String,
    /// When this node found that.
    found: Duration,
    /// Their ids.
    nodes: BTreeSet<String>,
}

/// What a node tells the others about what it missed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToldMissed {
    /// The data set that its mirror is in.
    data_set: String,
    /// The nodes whose mirrors together have it all; `None` if that is not known.
    known_to: Option<BTreeSet<String>>,
}

impl Task {
    /// Records who was in the data set that the engine has lost, if the look shows another one.
    pub(super) fn note_who_was_before(&mut self, look: &Look, now: Duration) {
        let is_noted = |before: &Before| before.data_set == look.generation;
        let is_lost = |known: &String| *known != look.generation;
        if !self.generation.as_ref().is_some_and(is_lost)
            || self.before.as_ref().is_some_and(is_noted)
        {
            return;
        }
        let earlier = self.before.take();
        let earlier = earlier.filter(|before| now < before.found + IGNORANT_FOR);
        let mut nodes: BTreeSet<_> = self.nodes.keys().cloned().collect();
        nodes.insert(self.deps.node.clone());
        nodes.extend(earlier.into_iter().flat_map(|before| before.nodes));
        self.before = Some(Before {
            data_set: look.generation.clone(),
            found: now,
            nodes,
        });
        // What was spoilt is logged by the node that discards it.
        if !look.generation.starts_with(REPLACES) {
            self.log_loss(now <= self.knows_all_until);
        }
    }

    fn log_loss(&self, knows_all: bool) {
        let account = &*self.deps.account;
        match knows_all {
            true => tracing::warn!(
                account,
                "the engine lost its data; this node led until then, so it knows the whole hour"
            ),
            false => tracing::warn!(
                account,
                "the engine lost its data; the next leader's log says whether the nodes know the whole hour"
            ),
        }
    }

    /// Returns what this node tells the others about what it missed, once its own mirror is in the data set.
    pub(super) fn told_missed(&self) -> Option<ToldMissed> {
        let (missed, data_set) = (self.missed.as_ref()?, self.generation.as_ref()?);
        let before = self.before.as_ref();
        let before = before.filter(|before| before.data_set == *data_set && missed.is_by_loss);
        let nodes = before.map(|before| &before.nodes);
        let known_to = nodes.filter(|nodes| nodes.len() <= MAX_NODES).cloned();
        let is_stored = missed.claims_in.as_ref() == Some(data_set);
        is_stored.then(|| ToldMissed {
            data_set: data_set.clone(),
            known_to,
        })
    }

    /// Returns what a node has told that it missed before this data set.
    pub(super) fn missed_by(&self, node: &str) -> Option<&ToldMissed> {
        let missed = self.nodes.get(node)?.info.missed.as_ref()?;
        (Some(&missed.data_set) == self.generation.as_ref()).then_some(missed)
    }

    /// Returns whether all nodes are here whose mirrors together have what anybody missed.
    pub(super) fn is_known_to_all_together(&self) -> bool {
        let mut told = self
            .nodes
            .keys()
            .filter_map(|node| self.missed_by(node))
            .peekable();
        let is_here = |node: &String| self.missed_by(node).is_some();
        let are_here = |nodes: &BTreeSet<String>| nodes.iter().all(is_here);
        told.peek().is_some() && told.all(|missed| missed.known_to.as_ref().is_some_and(are_here))
    }
}
