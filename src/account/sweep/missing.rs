//! Members of queues who are missing from whole sweeps.
//!
//! Such a member may have left the account. If a later poll of the queue shows them and a later sweep still does not, the sweep is wrong, unless they
//! may have [slipped](crate::account::slipped) to a page that was read already. The same few agents are next to the edges of pages in each sweep, so
//! an edge can hide one of them again and again, but not in many sweeps in a row.

use std::collections::{HashMap, HashSet};

use crate::{
    account::{roster::Roster, slipped::slipped},
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// An edge that hides an agent in one sweep of three does not hide them in so many in a row.
const MAX_SWEEPS: u32 = 10;

/// Rows come and go one by one while a sweep is read, so the edge between two pages hides one or two agents.
const AT_AN_EDGE: usize = 2;

/// A member who is missing.
#[derive(Clone, Copy, Debug)]
struct Missed {
    /// When the first sweep without them began.
    first: Moment,
    /// The number of sweeps in a row without them. They may have come after their page of a sweep was read, so a sweep during which a poll first showed
    /// them does not count.
    sweeps: u32,
    /// Whether a poll has shown them since the first.
    is_there: bool,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// The agents of the sweep that is being read, in CallTools' order, …
    order: Vec<AgentId>,
    /// … and the page on which each was seen last.
    pages: HashMap<AgentId, u32>,
    /// The agents of the last whole sweep, in order. Missing ones keep their place.
    last: Vec<AgentId>,
    missed: HashMap<AgentId, Missed>,
}

impl Missing {
    /// Begins a sweep.
    pub fn begin(&mut self) {
        self.order.clear();
        self.pages.clear();
    }

    /// Adds a page.
    pub fn add(&mut self, page: u32, agents: &[Agent]) {
        for agent in agents {
            if self.pages.insert(agent.id.clone(), page).is_none() {
                self.order.push(agent.id.clone());
            }
        }
    }

    /// Ends a sweep of this many pages. Returns whether it is wrong.
    pub fn end(&mut self, begun: Moment, pages: u32, roster: &Roster) -> bool {
        self.missed = self.look(begun, roster);
        let is_wrong = self.is_wrong(pages);
        self.last = self.with_missing();
        is_wrong
    }

    /// The members who are missing from the last whole sweep.
    pub fn agents(&self) -> impl Iterator<Item = &AgentId> {
        let missed = self.missed.iter().filter(|(_, missed)| missed.sweeps > 0);
        missed.map(|(id, _)| id)
    }

    fn look(&self, begun: Moment, roster: &Roster) -> HashMap<AgentId, Missed> {
        let mut missed = HashMap::new();
        for ((_, polled), agent) in roster.members() {
            if self.pages.contains_key(&agent.id) {
                continue;
            }
            let before = self.missed.get(&agent.id);
            let counts = before.is_some() || polled.boot < begun.boot;
            let was_missing = before.filter(|before| before.sweeps > 0);
            let now = missed.entry(agent.id.clone()).or_insert(Missed {
                first: was_missing.map_or(begun, |before| before.first),
                sweeps: 0,
                is_there: false,
            });
            if counts {
                now.sweeps = was_missing.map_or(0, |before| before.sweeps) + 1;
                now.is_there |= polled.boot > now.first.boot;
            }
        }
        missed
    }

    fn is_wrong(&self, pages: u32) -> bool {
        let there = || self.missed.iter().filter(|(_, missed)| missed.is_there);
        if there().next().is_none() {
            return false;
        }
        let page = |id: &AgentId| self.pages.get(id).copied();
        let is_edge = |before, page| before + 1 == page;
        let slipped = slipped(&self.last, page, [1, pages], is_edge);
        let placed: HashSet<&AgentId> = self.last.iter().collect();
        let is_hidden = |id: &AgentId| slipped.contains(id) || !placed.contains(id);
        if there().any(|(id, missed)| missed.sweeps >= MAX_SWEEPS || !is_hidden(id)) {
            return true;
        }
        // Those whom no sweep has shown yet may have been at any edge, but an edge hides few.
        let unplaced = there().filter(|(id, _)| !placed.contains(id)).count();
        unplaced > AT_AN_EDGE * (pages as usize).saturating_sub(1)
    }

    /// Returns the order of this sweep, with missing agents behind those whom they followed before.
    fn with_missing(&mut self) -> Vec<AgentId> {
        let mut behind: HashMap<Option<AgentId>, Vec<AgentId>> = HashMap::new();
        let mut before = None;
        for id in std::mem::take(&mut self.last) {
            if self.pages.contains_key(&id) {
                before = Some(id);
            } else if self.missed.contains_key(&id) {
                behind.entry(before.clone()).or_default().push(id);
            }
        }
        let mut order = behind.remove(&None).unwrap_or_default();
        for id in std::mem::take(&mut self.order) {
            let followers = behind.remove(&Some(id.clone()));
            order.push(id);
            order.extend(followers.into_iter().flatten());
        }
        order
    }
}
