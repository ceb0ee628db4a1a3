//! Rows with an older date than the newest row of their agent.
//!
//! Such a row comes from a copy of CallTools' data that lags, or the later date was wrong: it was in the future, or CallTools' clock was set back. It is
//! believed once that is certain:
//!
//! - its page also shows several changes that are later than the later date, so the page has everything up to that date. If the later date is in the
//!   future, changes suffice that are later than everything that was known when the row was first contradicted: no copy lags that shows those.
//! - nothing has shown the later date for ten minutes. No copy lags for so long.
//! - it is one of many rows whose dates have gone back by the same time, although their statuses are the same: see [`Roster::step_back`].
//!
//! Until then the agent's row stays, but is known only as of when it was contradicted: lists do not confirm it by omission.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Listed, MAX_CLOCKS_APART, Roster, earlier, later,
    membership::{has_all, newest_likely},
    person::{Contradiction, MAX_LAG, Mark, Person},
};
use crate::{
    account::newest::STRAY,
    calltools::PAGE_SIZE,
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// This many later changes on a page show that it has everything up to a date. One or two dates may be wrong.
const LATER_CHANGES: usize = 3;

/// As many different dates must have gone back by the same time, and more than have stayed: a few agents may bear wrong dates.
const DATES_OF_A_STEP: usize = 5;

impl Roster {
    /// Weighs the rows of one list against what is known, before the roster takes them: decides which rows with older dates are believed. Returns the
    /// earliest look that the others contradict. The list is no younger than that.
    ///
    /// A list that also shows much later dates does not lag. Then the clocks of CallTools' servers differ, and only this agent is not known better. The same
    /// is true if a date was far beyond all others.
    pub(super) fn weigh<'a>(
        &mut self,
        agents: impl Iterator<Item = (&'a Agent, Moment)> + Clone,
    ) -> Option<Moment> {
        let (mut older, mut settled) = (Vec::new(), Vec::new());
        for (agent, at) in agents.clone() {
            let person = self.people.get_mut(&agent.id);
            let (Some(person), Some(date)) = (person, agent.status_since) else {
                continue;
            };
            if person.newest.is_some() && person.latest > Some(date) {
                older.push((agent, at));
                continue;
            }
            person.looked = person.looked.max(at.boot);
            if person.contradicted.is_some_and(|one| one.last <= at.boot) {
                settled.push(&agent.id);
            }
        }
        let lag = match older.is_empty() {
            true => None,
            false => self.weigh_older(older, agents.clone()),
        };
        self.lags |= lag.is_some();
        // A copy that lags may show the later date although it was wrong.
        for id in settled.iter().filter(|_| lag.is_none()) {
            self.set_contradicted(id, None);
        }
        if let Some(lag) = lag {
            for (agent, at) in agents {
                if self.shows_change(agent, at) && !self.shows_change(agent, earlier(at, Some(lag)))
                {
                    self.doubt(&agent.id, at);
                }
            }
        }
        lag
    }

    /// The same for the rows with older dates.
    fn weigh_older<'a>(
        &mut self,
        older: Vec<(&'a Agent, Moment)>,
        agents: impl Iterator<Item = (&'a Agent, Moment)> + Clone,
    ) -> Option<Moment> {
        let (known, stray) = self.people.newest_dates();
        let dates = || {
            agents
                .clone()
                .filter_map(|(agent, at)| Some((agent.status_since?, at)))
                .filter(|(date, _)| stray != Some(*date))
        };
        let newest = newest_likely(dates().map(|(date, _)| date), known);
        // Pages of a longer list may come from different copies.
        let is_page = dates().count() <= PAGE_SIZE as usize;
        let has_later = |by: Timestamp, at: Moment| {
            let page = dates().filter(|(_, seen)| is_page && seen.boot == at.boot);
            let later = page.filter(|(date, _)| date.duration_since(by) > MAX_CLOCKS_APART);
            later.take(LATER_CHANGES).count() == LATER_CHANGES
        };
        let is_certain = |(agent, at): &(&Agent, Moment)| self.is_certain(agent, *at, has_later);
        let (certain, unclear): (Vec<_>, Vec<_>) = older.into_iter().partition(is_certain);
        let mut lag: Option<Moment> = None;
        for (agent, at) in unclear {
            let Some((look, latest)) = self.contradict(agent, at, known) else {
                continue;
            };
            let is_lag = at.boot <= look.boot + MAX_LAG;
            if is_lag && !has_all(newest, Some(latest)) && stray != Some(latest) {
                lag = Some(earlier(look, lag));
            }
        }
        for (agent, at) in certain {
            // If the list counts as old for another reason, the row would not be taken.
            match lag.is_none() && !self.is_outdated(agent, at) {
                true => self.believe(agent),
                false => drop(self.contradict(agent, at, known)),
            }
        }
        lag
    }

    /// Returns whether a row with an older date is newer than the newest row for certain. `has_later` says whether its page shows several changes that
    /// are later than a date.
    fn is_certain(
        &self,
        agent: &Agent,
        at: Moment,
        has_later: impl Fn(Timestamp, Moment) -> bool,
    ) -> bool {
        let Some(person) = self.people.get(&agent.id) else {
            return false;
        };
        let (Some(shown), Some(latest)) = (person.last_shown(), person.latest) else {
            return false;
        };
        let newest = person.newest.as_ref();
        if newest.is_some_and(|newest| at.boot > newest.at.boot + MAX_LAG) {
            return true;
        }
        let then = person.contradicted.and_then(|one| one.newest);
        at.boot > shown && has_later(then.map_or(latest, |then| latest.min(then)), at)
    }

    /// Records that a row with an older date contradicts the newest row. `newest` is the newest date of all agents. Returns when the newest row was
    /// seen, and its date.
    fn contradict(
        &mut self,
        agent: &Agent,
        at: Moment,
        newest: Option<Timestamp>,
    ) -> Option<(Moment, Timestamp)> {
        let id = &agent.id;
        let person = self.people.get(id)?;
        let (known, latest) = (person.newest.as_ref()?, person.latest?);
        let seen = (known.at, latest);
        if at.boot > person.last_shown()? {
            let begins = || Contradiction {
                newest,
                last: at.boot,
                known: self.known_as_of(known),
            };
            let now = match person.contradicted {
                Some(before) => Contradiction {
                    // Those of earlier tasks have none.
                    newest: before.newest.or(newest),
                    last: before.last.max(at.boot),
                    ..before
                },
                None => begins(),
            };
            self.set_contradicted(id, Some(now));
        }
        Some(seen)
    }

    /// Lets a row count as the newest one although its date is older, if it is seen later.
    pub(super) fn believe(&mut self, agent: &Agent) {
        if let Some(person) = self.people.get_mut(&agent.id) {
            person.latest = person.latest.min(agent.status_since);
            if let (Some(seen), Some(date)) = (&mut person.seen, agent.status_since) {
                seen.believe(date);
            }
        }
        self.set_contradicted(&agent.id, None);
    }

    /// Returns whether the roster takes another status or date of an agent that is shown at `at`.
    fn shows_change(&self, agent: &Agent, at: Moment) -> bool {
        let person = self.people.get(&agent.id);
        let known = person.and_then(|person| Some((person.newest.as_ref()?, person.latest)));
        known.is_some_and(|(newest, latest)| {
            let was = &newest.agent;
            let mark = Mark::new(agent, at);
            (&was.status, was.status_since) != (&agent.status, agent.status_since)
                && mark.replaces(Mark::new(was, newest.at), latest)
                && !self.is_outdated(agent, at)
        })
    }

    /// Lets the newest row of an agent be known no later than now, until it is shown again or replaced. The roster does not take another row that it was
    /// shown at `at`, because the list seems to lag; if the list does not, nothing else shows that change.
    fn doubt(&mut self, id: &AgentId, at: Moment) {
        let person = self.people.get(id);
        let newest = person.and_then(|person| person.newest.as_ref());
        let Some(known) = newest.map(|newest| self.known_as_of(newest)) else {
            return;
        };
        let doubt = Contradiction {
            newest: None,
            last: at.boot,
            known,
        };
        self.set_contradicted(id, Some(doubt));
    }

    fn set_contradicted(&mut self, id: &AgentId, to: Option<Contradiction>) {
        let Some(person) = self.people.get_mut(id) else {
            return;
        };
        let known = to.map(|one| one.known);
        let was = std::mem::replace(&mut person.contradicted, to);
        if was.map(|one| one.known) == known {
            return;
        }
        for Listed { queue, row } in &person.queues {
            if let Some(membership) = &mut self.queues[*queue] {
                membership.set_contradicted(*row, known);
            }
        }
        match to {
            Some(_) => self.contradicted.insert(id.clone()),
            None => self.contradicted.remove(id),
        };
    }

    /// Returns the agents whose newest row later looks contradict.
    fn contradictions(&self) -> impl Iterator<Item = (&AgentId, &Person, Contradiction)> {
        self.contradicted.iter().filter_map(|id| {
            let person = self.people.get(id)?;
            Some((id, person, person.contradicted?))
        })
    }

    /// Ends the contradictions about agents who were not available, because a list of available agents as of `as_of` lacked them.
    pub fn settle_absent(&mut self, as_of: Moment) {
        let settled = self.contradictions().filter(|(_, person, one)| {
            let newest = person.newest.as_ref();
            let was_away = newest.is_some_and(|newest| newest.agent.available == Some(false));
            was_away && one.last < as_of.boot
        });
        let settled: Vec<AgentId> = settled.map(|(id, ..)| id.clone()).collect();
        for id in settled {
            self.set_contradicted(&id, None);
        }
    }

    /// Ends all contradictions.
    pub(super) fn settle_contradictions(&mut self) {
        for id in std::mem::take(&mut self.contradicted) {
            self.set_contradicted(&id, None);
        }
    }

    /// Records that looks of an earlier task, or of another node, contradict an agent's newest row, which was known as of this moment before.
    pub(super) fn recall_contradiction(&mut self, id: &AgentId, known: Moment) {
        // Only a look after all of theirs can show that they were wrong.
        let last = self.looked.map_or(known, |looked| later(known, looked));
        let contradiction = Contradiction {
            newest: None,
            last: last.boot,
            known,
        };
        self.set_contradicted(id, Some(contradiction));
    }

    /// Returns by how much CallTools' dates have gone back, if rows of a list show that: many agents have the same status, and all their dates have
    /// gone back by the same time. No lag does that. It happens if dates are in local time, when summer time ends, or if CallTools' clock was set back.
    pub fn step_back(&self, rows: &[Agent]) -> Option<SignedDuration> {
        let mut steps: HashMap<SignedDuration, HashSet<Timestamp>> = HashMap::new();
        for row in rows {
            let person = self.people.get(&row.id);
            let known = person.and_then(|person| Some((person.newest.as_ref()?, person.latest?)));
            if let (Some((newest, latest)), Some(date)) = (known, row.status_since)
                && (row.status.is_some() && row.status == newest.agent.status)
                && (date == latest || latest.duration_since(date) > STRAY)
            {
                // Agents whose statuses were set at once have the same dates, and may have had the same before.
                steps
                    .entry(date.duration_since(latest))
                    .or_default()
                    .insert(latest);
            }
        }
        let stay = steps.remove(&SignedDuration::ZERO).unwrap_or_default();
        let (step, dates) = steps.into_iter().max_by_key(|(_, dates)| dates.len())?;
        (dates.len() >= DATES_OF_A_STEP && dates.len() > stay.len()).then_some(step)
    }

    /// Records that CallTools' dates have gone back by this time. All known rows get the dates that they have now: with the old ones, they would look
    /// like the newest to the next task.
    pub fn stepped_back(&mut self, step: SignedDuration) {
        let stepped = |date: Option<Timestamp>| date.and_then(|date| date.checked_add(step).ok());
        // A row of a poll may also be the newest one, and stays the same row in both places.
        let mut known = HashMap::new();
        let mut stepped_row = |row: &Arc<Agent>| {
            let stepped_row = known.entry(Arc::as_ptr(row)).or_insert_with(|| {
                // The old row must live on: another one in its place would have its address.
                let now = Agent {
                    status_since: stepped(row.status_since),
                    ..Agent::clone(row)
                };
                (Arc::clone(row), Arc::new(now))
            });
            Arc::clone(&stepped_row.1)
        };
        for person in self.people.values_mut() {
            person.latest = stepped(person.latest);
            if let Some(newest) = &mut person.newest {
                newest.agent = stepped_row(&newest.agent);
            }
            if let Some(seen) = &mut person.seen {
                seen.step(step);
            }
            person.contradicted = None;
        }
        for membership in self.queues.iter_mut().flatten() {
            membership.settle_contradictions();
            membership.change_polled(&mut stepped_row);
        }
        self.contradicted.clear();
    }
}
