//! The agents of one account: the newest row of each, and the members of each queue.
//!
//! An agent's *status* is one fact: it is the same in every queue, goes stale within seconds, and any row of the agent shows it. *Membership* and
//! log-in differ from queue to queue, change over hours, and only a poll of the queue shows them. So both are kept apart, each with the moment
//! at which CallTools read them, and [joined](Roster::join) when either is renewed. Pure: the owner decides when to ask, and which lists to
//! trust.
//!
//! **Which row is newer.** CallTools may read from copies of its data that lag. So of two rows of an agent, the one with the later date
//! (`agent_status_modified_on`) is newer, whichever arrived last. If a row has no date, or both dates are the same, the later look counts. A row
//! that loses renews nothing: the status that stays is as old as the look that showed it.
//!
//! **A list that lags.** If a row of a list has an older date than is known, the list was read from a copy that lags, and so were its other rows.
//! The list counts as no younger than the look that it contradicts, unless it also shows much later dates. A poll that contradicts the last poll
//! of its own queue was overtaken by that poll, and changes neither membership nor log-in, nor their age. But if it is certain that the later date was
//! wrong, the older one is [believed](older).
//!
//! **Departures** ([`presence`]) end reservations, each at most one. They follow from what was last seen, not from the rows, which are taken back
//! when sweeps lose trust.

mod confirmed;
mod membership;
mod older;
mod passed;
mod people;
mod person;
mod presence;
mod published;
mod revision;
mod seen;
mod stays;
mod strangers;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::SignedDuration;

#[cfg(test)]
pub use self::seen::STAY_BYTES;
use self::{
    confirmed::Omissions,
    membership::Member,
    people::People,
    person::{Differs, Listed},
    seen::Seen,
};
pub use self::{
    membership::{Joined, Membership},
    passed::{Passed, Told, Untold, UntoldRow},
    presence::Departure,
    stays::{KnownStay, StayPassed},
};
use crate::{
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::{Poll, Presence, Sighting},
        raw::Pattern,
    },
};

/// The clocks of CallTools' servers may be six seconds apart, and a change may be written five seconds late. So a list with a change that is later
/// than another by more than this has the other, too.
pub(in crate::account) const MAX_CLOCKS_APART: SignedDuration = SignedDuration::from_secs(11);

/// Whether rows come from CallTools now, or from an earlier task or process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Look,
    Memory,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Roster {
    people: People,
    /// The queues, by place.
    queues: Vec<Option<Membership>>,
    /// When the last complete sweep began.
    swept: Option<Moment>,
    /// Agents who became unavailable since they were last taken.
    departed: Vec<(AgentId, presence::Gone)>,
    /// Times that agents were seen to spend in a status since they were last taken. Each list adds at most one entry per agent.
    stays: Vec<StayPassed>,
    /// When agents who have left were last removed.
    tidied: Option<Moment>,
    omissions: Omissions,
    /// The agents whom the last list of available agents may have hidden between two pages.
    slipped: Vec<AgentId>,
    /// The agents whose newest row later looks contradict, and perhaps some who were forgotten.
    contradicted: HashSet<AgentId>,
    /// The time of the newest row that was recalled with that of a confirmation, perhaps. Until later looks, rows may be older than such times.
    recalled: Option<Moment>,
    /// When the last row was read, regardless of lags.
    looked: Option<Moment>,
    /// Whether any list seemed to lag since the last list of statuses that did not.
    lags: bool,
    /// What rows share memory with that come from an earlier task, or from another node.
    pattern: Pattern,
    differs: Differs,
    /// Whether any row has shown an agent as available.
    saw_available: bool,
    /// How often a person's newest row was renewed.
    changes: u64,
}

impl Roster {
    /// Creates a roster without agents for this many queues.
    pub fn new(queues: usize) -> Self {
        Self {
            people: People::default(),
            queues: vec![None; queues],
            swept: None,
            departed: Vec::new(),
            stays: Vec::new(),
            tidied: None,
            omissions: Omissions::default(),
            slipped: Vec::new(),
            contradicted: HashSet::new(),
            recalled: None,
            looked: None,
            lags: false,
            pattern: Pattern::default(),
            differs: Differs::default(),
            saw_available: false,
            changes: 0,
        }
    }

    /// Sets whether a rule of the account reads fields of rows that openseat itself does not. Otherwise, rows that differ only in such fields are
    /// not published again.
    pub fn rules_read_rows(&mut self, yes: bool) {
        self.differs = if yes {
            Differs::InText
        } else {
            Differs::InFacts
        };
    }

    /// Replaces the queues. `places` has the former place of each queue, if it had one.
    pub fn rearrange(&mut self, places: &[Option<usize>]) {
        let queue = |was: &Option<usize>| was.and_then(|was| self.queues[was].take());
        self.queues = places.iter().map(queue).collect();
        for person in self.people.values_mut() {
            person.queues.clear();
        }
        for (queue, membership) in self.queues.iter().enumerate() {
            let members = membership.iter().flat_map(|queue| &queue.members);
            for (row, member) in members.enumerate() {
                if let Some(person) = self.people.at_mut(member.who) {
                    person.join(Listed { queue, row });
                }
            }
        }
    }

    /// Applies the rows of one list, all seen at the same moment, except rows older than the known ones. Returns the look that the list lags behind,
    /// if it does.
    pub fn see(&mut self, sightings: Vec<Sighting>) -> Option<Moment> {
        let agents = sightings
            .iter()
            .map(|sighting| (&*sighting.agent, sighting.at));
        let lag = self.weigh(agents);
        let last = sightings.iter().map(|sighting| sighting.at);
        if let Some(last) = last.max_by_key(|at| at.boot) {
            self.looked_at(last);
            self.lags = lag.is_some();
        }
        for sighting in sightings {
            let at = earlier(sighting.at, lag);
            self.take_row(Sighting { at, ..sighting }, Source::Look);
        }
        lag
    }

    /// Records that rows may have been read as late as this.
    pub fn looked_at(&mut self, at: Moment) {
        self.looked = Some(self.looked.map_or(at, |known| later(known, at)));
    }

    /// Applies a row from an earlier task or process. A list may have confirmed its status since it was read. Returns whether no newer one is known.
    pub fn recall(&mut self, sighting: Sighting) -> bool {
        self.recalled_at(sighting.at);
        self.recall_look(sighting)
    }

    fn recalled_at(&mut self, at: Moment) {
        self.recalled = Some(self.recalled.map_or(at, |known| later(known, at)));
    }

    /// Applies a row from an earlier task or process that was read at its time. Returns whether no newer one is known.
    pub fn recall_look(&mut self, mut sighting: Sighting) -> bool {
        // It may also be the row of a queue's poll, which must keep its login when this one is renewed.
        sighting.agent = Arc::new(sighting.agent.apart());
        self.take_row(sighting, Source::Memory)
    }

    /// Applies a row. Returns whether no newer one is known.
    fn take_row(&mut self, mut sighting: Sighting, source: Source) -> bool {
        if source == Source::Look && self.is_outdated(&sighting.agent, sighting.at) {
            return false;
        }
        self.share_memory(&mut sighting.agent);
        let id = sighting.agent.id.clone();
        let (_, person) = self.people.meet(&id);
        let (agent, at) = (Arc::clone(&sighting.agent), sighting.at);
        self.saw_available |= agent.available == Some(true);
        let newest = person.newest.as_ref();
        let lasted = newest.map(|newest| self.omissions.status(newest.at).boot);
        let shown = person.show(sighting, self.differs);
        if let Some(shown) = shown {
            self.changes += 1;
            person.changed = self.changes;
            for Listed { queue, row } in &person.queues {
                if let Some(membership) = &mut self.queues[*queue] {
                    membership.show(*row, shown);
                }
            }
        }
        let Some(seen) = Presence::from_agent(&agent, at, source == Source::Memory) else {
            return shown.is_some();
        };
        let mut stay = person.seen.as_ref().and_then(Seen::stay);
        let mut presence = person.seen.as_ref().map(Seen::presence);
        // A copy that lags may show a stay again that was counted.
        let passed = match seen.since < person.latest && seen.since.is_some() {
            true => None,
            false => stays::follow(&mut stay, &agent, &seen, lasted),
        };
        let gone = presence::follow(&mut presence, seen);
        person.seen = presence.map(|presence| Seen::new(presence, stay));
        if let Some(passed) = passed
            && self.stays.len() < stays::MAX_UNTAKEN
        {
            self.stays.push(passed);
        }
        if let Some(gone) = gone {
            self.departed.push((id, gone));
        }
        shown.is_some()
    }

    /// Lets a row that nothing else holds share memory with other rows: an agent has one for each queue, and all look alike.
    fn share_memory(&mut self, row: &mut Arc<Agent>) {
        let Some(agent) = Arc::get_mut(row) else {
            return;
        };
        if let Some(newest) = self.newest(&agent.id) {
            agent.share_texts(&newest.agent);
        }
        agent.raw = self.pattern.share(&agent.raw);
    }

    /// Applies a presence that an earlier task or process has counted.
    pub fn recall_presence(&mut self, id: AgentId, counted: Presence) {
        let (_, person) = self.people.meet(&id);
        let stay = person.seen.as_ref().and_then(Seen::stay);
        let mut presence = person.seen.as_ref().map(Seen::presence);
        presence::recall(&mut presence, counted);
        person.seen = presence.map(|presence| Seen::new(presence, stay));
    }

    /// Returns the last seen presence of each agent, for a handover.
    pub fn presences(&self) -> impl Iterator<Item = (&AgentId, Presence)> {
        let people = self.people.iter();
        people.filter_map(|(id, person)| Some((id, person.seen.as_ref()?.presence())))
    }

    /// Applies a poll of a queue. Its rows count in all queues.
    pub fn poll(
        &mut self,
        place: usize,
        as_of: Moment,
        took: Duration,
        complete: bool,
        agents: Vec<Agent>,
    ) {
        let agents = agents.into_iter().map(Arc::new).collect();
        let poll = Poll {
            as_of,
            took,
            complete,
            agents,
        };
        let rows = poll.agents.iter().map(|agent| (&**agent, as_of));
        let lag = self.weigh(rows);
        self.looked_at(as_of);
        let as_of = earlier(as_of, lag);
        self.take(place, Poll { as_of, ..poll }, Source::Look);
        self.forget_strangers(as_of);
    }

    /// Applies a queue's poll from an earlier task or process.
    pub fn recall_poll(&mut self, place: usize, poll: Poll) {
        self.take(place, poll, Source::Memory);
    }

    fn take(&mut self, place: usize, mut poll: Poll, source: Source) {
        let known = self.queues[place].as_ref();
        let is_overtaken =
            known.is_some_and(|known| known.overtakes(poll.as_of, &poll.agents, &self.people));
        for agent in &mut poll.agents {
            self.share_memory(agent);
            let is_known = |newest: &Sighting| {
                newest.at.boot >= poll.as_of.boot && !newest.agent.is_older_than(agent)
            };
            // An earlier task had both rows. If they have the same moment, it has decided which one is newer.
            if source == Source::Memory && self.newest(&agent.id).is_some_and(is_known) {
                continue;
            }
            let sighting = Sighting {
                agent: Arc::clone(agent),
                at: poll.as_of,
                by_sweep: false,
            };
            self.take_row(sighting, source);
        }
        if is_overtaken {
            return;
        }
        self.leave(place);
        let member = |(row, polled): (usize, &Arc<Agent>)| {
            let (who, person) = self.people.meet(&polled.id);
            person.join(Listed { queue: place, row });
            let newest = person.newest.as_ref();
            let seen = newest.map_or(poll.as_of, |newest| newest.at);
            Member::new(who, polled, seen, person)
        };
        let members = poll.agents.iter().enumerate().map(member).collect();
        self.queues[place] = Some(Membership::new(poll, members));
    }

    /// Removes all members of the queue at this place.
    fn leave(&mut self, place: usize) {
        let membership = self.queues[place].take();
        for member in membership.iter().flat_map(|queue| &queue.members) {
            if let Some(person) = self.people.at_mut(member.who) {
                person.queues.retain(|one| one.queue != place);
            }
        }
    }

    /// Forgets the queue at this place, which is another queue from now on.
    pub fn forget_queue(&mut self, place: usize) {
        self.leave(place);
    }

    /// Returns whether any row has shown an agent as available.
    pub fn saw_available(&self) -> bool {
        self.saw_available
    }

    /// Returns whether a queue's last poll showed any agent.
    pub fn has_members(&self, place: usize) -> bool {
        let membership = self.queues[place].as_ref();
        membership.is_some_and(|membership| !membership.polled.is_empty())
    }

    /// Returns the newest row of an agent.
    pub fn newest(&self, id: &AgentId) -> Option<&Sighting> {
        self.people.get(id)?.newest.as_ref()
    }

    /// Returns when a queue was last polled.
    pub fn polled(&self, place: usize) -> Option<Moment> {
        self.queues[place]
            .as_ref()
            .map(|membership| membership.as_of)
    }

    /// Returns the members of all queues, with the queue's place and the poll's moment; each agent once per queue.
    pub fn members(&self) -> impl Iterator<Item = ((usize, Moment), &Agent)> {
        self.memberships().flat_map(|(place, membership)| {
            let agents = membership.polled.iter().map(|agent| &**agent);
            agents.map(move |agent| ((place, membership.as_of), agent))
        })
    }

    /// Returns how many different agents the queues list; `None` until every queue was polled.
    pub fn headcount(&self) -> Option<usize> {
        let are_all_polled = self.queues.iter().all(Option::is_some);
        let members = || self.people.values().filter(|person| person.is_member());
        are_all_polled.then(|| members().count())
    }

    /// Takes the departures since the last call.
    pub fn take_departures(&mut self) -> Vec<Departure> {
        let departed = std::mem::take(&mut self.departed);
        let of_agent = |(agent, gone): (AgentId, presence::Gone)| Departure {
            places: self.logged_in_places(&agent),
            agent,
            made_by: gone.made_by,
            seen: gone.seen,
        };
        departed.into_iter().map(of_agent).collect()
    }

    /// Returns the places of the queues that an agent is logged in to.
    pub fn logged_in_places(&self, agent: &AgentId) -> Vec<usize> {
        let is_logged_in = |listed: &&Listed| {
            let membership = self.queues[listed.queue].as_ref();
            membership.is_some_and(|membership| membership.is_logged_in(listed.row))
        };
        let listed = self.listed(agent).iter().filter(is_logged_in);
        listed.map(|listed| listed.queue).collect()
    }

    /// Returns the places of an agent's queues.
    pub fn queues_of(&self, id: &AgentId) -> impl Iterator<Item = usize> {
        self.listed(id).iter().map(|listed| listed.queue)
    }

    fn listed(&self, id: &AgentId) -> &[Listed] {
        let person = self.people.get(id);
        person.map_or(&[], |person| &person.queues)
    }

    fn memberships(&self) -> impl Iterator<Item = (usize, &Membership)> {
        let queues = self.queues.iter().enumerate();
        queues.filter_map(|(place, queue)| queue.as_ref().map(|queue| (place, queue)))
    }
}

/// Returns the earlier of a moment and another, if there is another.
pub(in crate::account) fn earlier(at: Moment, other: Option<Moment>) -> Moment {
    match other {
        Some(other) if other.boot < at.boot => other,
        _ => at,
    }
}

/// Returns the later of two moments.
pub(in crate::account) fn later(one: Moment, other: Moment) -> Moment {
    if one.boot > other.boot { one } else { other }
}
