//! Keeps what lists confirm by omission: an agent who is not on the list of changes has not changed, and one who is not on the list of available
//! agents is not available.
//!
//! So a status can be known as of a later moment than the row that shows it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Listed, Roster, Source, earlier, later, person::Person};
use crate::{
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::{Confirmed, Sighting, Unconfirmed},
    },
};

/// The maximum of agents of whom the next task and other nodes are told that lists confirm less. If there are more, that counts for all agents.
const MAX_UNCONFIRMED: usize = 200;

/// What lists have confirmed by omission.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Omissions {
    /// Agents who were seen since the first moment had not changed at the second moment.
    pub(super) changes: Option<(Moment, Moment)>,
    pub(super) available: Option<Lists>,
}

/// What lists of available agents have confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lists {
    /// As of this moment, it is known whether each agent is available, …
    all: Moment,
    /// … and as of this one of those who cannot have slipped between two pages.
    settled: Moment,
}

impl Omissions {
    /// Returns as of when the status of an agent is known who was last seen at `seen`.
    pub(super) fn status(&self, seen: Moment) -> Moment {
        match self.changes {
            Some((base, as_of)) if seen.boot >= base.boot => later(seen, as_of),
            _ => seen,
        }
    }

    /// Returns as of when it is known whether an agent is available who was last seen at `seen` and has not slipped.
    pub(super) fn availability(&self, seen: Moment) -> Moment {
        let listed = self.available.map(|lists| lists.settled);
        self.status(listed.map_or(seen, |listed| later(seen, listed)))
    }

    /// Returns as of when it is known of each agent whether they are available, if all were seen at `seen` or later.
    pub(super) fn availability_of_all(&self, seen: Moment) -> Moment {
        let listed = self.available.map(|lists| lists.all);
        self.status(listed.map_or(seen, |listed| later(seen, listed)))
    }
}

impl Roster {
    /// Records a complete list of changes: agents who were seen since `base` and are not on it had not changed at `as_of`.
    pub fn confirm_changes(&mut self, base: Moment, as_of: Moment) {
        let as_of = match self.omissions.changes {
            Some((was, known)) if was == base => later(known, as_of),
            _ => as_of,
        };
        self.omissions.changes = Some((base, as_of));
    }

    /// Records that these agents, who were available before, are not on a list of available agents.
    pub fn confirm_gone(&mut self, as_of: Moment, gone: &[AgentId]) {
        let rows = gone.iter().filter_map(|id| {
            let agent = &self.newest(id)?.agent;
            Some(Sighting {
                agent: Arc::new(not_available(agent)),
                at: as_of,
                by_sweep: true,
            })
        });
        for row in rows.collect::<Vec<_>>() {
            self.take_row(row, Source::Look);
        }
    }

    /// Records a complete list of available agents as of `as_of`. It says nothing about the agents who may have slipped between two of its pages: they
    /// are known as of their last rows.
    pub fn confirm_available(&mut self, as_of: Moment, slipped: Vec<AgentId>) {
        let known = self.omissions.available;
        let rows = slipped.iter().filter_map(|id| self.newest(id));
        let oldest = rows.map(|row| row.at).min_by_key(|at| at.boot);
        let all = earlier(as_of, oldest);
        self.omissions.available = Some(Lists {
            all: known.map_or(all, |known| later(known.all, all)),
            settled: known.map_or(as_of, |known| later(known.settled, as_of)),
        });
        // Otherwise the earlier list, with its doubts, still says more.
        if known.is_none_or(|known| as_of.boot > known.settled.boot) {
            self.settle_all();
        }
        for id in &slipped {
            self.set_slipped(id, true);
        }
        self.slipped.extend(slipped);
    }

    /// Ends the doubt about all agents who may have slipped.
    fn settle_all(&mut self) {
        for id in std::mem::take(&mut self.slipped) {
            self.set_slipped(&id, false);
        }
    }

    fn set_slipped(&mut self, id: &AgentId, yes: bool) {
        let Some(person) = self.people.get_mut(id) else {
            return;
        };
        person.has_slipped = yes;
        for Listed { queue, row } in &person.queues {
            if let Some(membership) = &mut self.queues[*queue] {
                membership.set_slipped(*row, yes);
            }
        }
    }

    /// Returns what lists confirm beyond the [rows that are passed on](Self::known_beside_polls).
    pub fn confirmed(&self) -> Confirmed {
        let doubtful = self.contradicted.iter().chain(&self.slipped);
        let but = doubtful.filter_map(|id| {
            let person = self.people.get(id)?;
            let newest = person.newest.as_ref()?;
            let is_doubtful = person.contradicted.is_some() || person.has_slipped;
            // Nobody needs to know of agents outside the queues: what is known of everybody counts them.
            (is_doubtful && person.is_member()).then(|| Unconfirmed {
                agent: id.clone(),
                known: self.known_as_of(newest),
                has_slipped: person.contradicted.is_none(),
            })
        });
        let mut but: Vec<_> = but.collect();
        but.sort_by(|one, other| one.agent.cmp(&other.agent));
        but.dedup();
        let is_short = but.len() <= MAX_UNCONFIRMED;
        let settled = self.omissions.available.map(|lists| lists.settled);
        let confirmed = Confirmed {
            everybody: self
                .swept
                .map(|swept| self.omissions.availability_of_all(swept)),
            available: settled,
            but,
        };
        match is_short {
            true => confirmed,
            false => confirmed.of_all(),
        }
    }

    /// Applies what an earlier task or another node [knew](Self::confirmed), instead of what was known here.
    pub fn recall_confirmed(&mut self, confirmed: Confirmed) {
        self.settle_all();
        self.settle_contradictions();
        let all = confirmed.of_all().available;
        // Agents outside the queues may have slipped.
        let all = all.map(|all| earlier(all, confirmed.everybody));
        let lists = confirmed.available.zip(all);
        self.swept = confirmed.everybody;
        self.omissions = Omissions {
            changes: None,
            available: lists.map(|(settled, all)| Lists { all, settled }),
        };
        for one in confirmed.but {
            // The agent's row may follow.
            self.people.meet(&one.agent);
            if one.has_slipped {
                self.set_slipped(&one.agent, true);
                self.slipped.push(one.agent);
            } else {
                self.recall_contradiction(&one.agent, one.known);
            }
        }
    }

    /// Applies a row that another node has told.
    pub fn recall_told(&mut self, row: Sighting, is_look: bool, is_covered: bool) {
        let told = Arc::clone(&row.agent);
        let is_same = |row: &Sighting| {
            let known = &row.agent;
            (&known.status, known.status_since) == (&told.status, told.status_since)
        };
        // The leader has decided which row is the newest, and as of when it is known: perhaps as of an earlier moment than another row.
        if let Some(known) = &mut self.people.meet(&told.id).1.newest
            && !is_same(known)
        {
            known.at = earlier(known.at, Some(row.at));
        }
        if told.status_since.is_some() {
            self.believe(&told);
        }
        let is_newest = match is_look {
            true => self.recall_look(row),
            false => self.recall(row),
        };
        let (_, person) = self.people.meet(&told.id);
        // If another row is newer here, it is not the one that the list covers.
        person.is_covered =
            is_covered && (is_newest || person.newest.as_ref().is_some_and(is_same));
    }

    /// Records that another node's list of changes covers none of the rows any more.
    pub fn uncover(&mut self) {
        let people = self.people.values_mut();
        people.for_each(|person| person.is_covered = false);
    }

    /// Records that no agent whose row another node's list of changes covers had changed at this moment.
    pub fn recall_unchanged(&mut self, as_of: Moment) {
        for person in self.people.values_mut() {
            if let (true, Some(newest)) = (person.is_covered, &mut person.newest)
                && newest.at.boot < as_of.boot
            {
                (newest.at, newest.by_sweep) = (as_of, true);
            }
        }
        for membership in self.queues.iter_mut().flatten() {
            membership.date_again(&self.people);
        }
        self.recalled_at(as_of);
    }

    /// Returns whether it is known of each member of a queue, at this moment or later, whether they are available. Members who were missing from the
    /// last whole sweep do not count: probably no list shows them any more.
    ///
    /// If lists of available agents do not count, it is known of each member who was seen.
    pub fn are_members_known_since(&self, at: Moment, lists_count: bool) -> bool {
        let available = self.omissions.available.filter(|_| lists_count);
        let mut queues = self.queues.iter().flatten();
        available.is_some_and(|lists| lists.all.boot >= at.boot)
            || queues.all(|queue| queue.are_members_seen_since(at, self.swept))
    }

    /// Returns whether a row shows an agent as available whom a later list of available agents lacked. A cache on the way had kept it.
    pub(super) fn is_outdated(&self, row: &Agent, at: Moment) -> bool {
        let confirmed = self.omissions.available;
        let is_earlier = confirmed.is_some_and(|lists| at.boot < lists.settled.boot);
        let was_lacking = || {
            let newest = self.newest(&row.id);
            newest.is_some_and(|newest| newest.agent.available != Some(true))
        };
        is_earlier && row.available == Some(true) && was_lacking()
    }

    /// Returns whether it is unknown why some member of a queue is not available: they were last missing from a list of available agents.
    pub fn lacks_reasons(&self, place: usize) -> bool {
        let members = self.queues[place].iter().flat_map(|queue| &queue.members);
        let mut newest = members.filter_map(|member| self.people.at(member.who)?.newest.as_ref());
        newest.any(|row| row.agent.status.is_none() && row.agent.available == Some(false))
    }

    /// Drops the confirmations by lists of available agents, which lost trust.
    pub fn forget_available(&mut self) {
        self.omissions.available = None;
    }

    /// Returns as of when it is known whether the agent with this newest row is available.
    pub fn known_as_of(&self, newest: &Sighting) -> Moment {
        let person = self.people.get(&newest.agent.id);
        let known = match person.is_some_and(|person| person.has_slipped) {
            true => self.omissions.status(newest.at),
            false => self.omissions.availability(newest.at),
        };
        earlier(known, person.and_then(Person::known_until))
    }

    /// Returns the newest row of each agent.
    pub fn newest_rows(&self) -> impl Iterator<Item = &Sighting> {
        self.people
            .values()
            .filter_map(|person| person.newest.as_ref())
    }

    /// The newest row of those whose status may have changed after this date, by CallTools' clock, and the date. Most people are passed over without a
    /// look at their row.
    pub fn rows_changed_since(
        &self,
        date: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, &Sighting)> {
        let people = self.people.values();
        let changed = people.filter(move |person| person.latest > Some(date));
        changed.filter_map(|person| {
            let newest = person.newest.as_ref()?;
            newest.agent.status_since?;
            Some((person.latest?, newest))
        })
    }

    /// Returns how many agents are available by their newest rows.
    pub fn available(&self) -> usize {
        let available = self
            .newest_rows()
            .filter(|row| row.agent.available == Some(true));
        available.count()
    }
}

/// Returns the agent with an unknown status that is not available.
fn not_available(agent: &Agent) -> Agent {
    Agent {
        status: None,
        available: Some(false),
        status_since: None,
        raw: agent.raw.without_status(),
        ..agent.clone()
    }
}
