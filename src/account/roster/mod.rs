//! The people of one account: the newest row of every agent, and who belongs to which queue.
//!
//! An agent's *status* is one fact, the same in every queue, and goes stale within seconds; a row of an agent seen anywhere tells
//! it. *Membership* and log-in differ from queue to queue, change over hours, and only a poll of the queue tells them. So both are
//! kept apart, each with the moment at which CallTools looked, and [joined](Roster::join) when one of them is renewed. Pure: its
//! owner decides when to ask, and whom to believe.
//!
//! **Which row is newer.** CallTools can read from copies of its data that lag. So of two rows of one agent the one with the later
//! date (`agent_status_modified_on`) is the newer, whichever came last. Where a row has no date, or both have the same, the later
//! look counts. A row that loses renews nothing: the status that stays is as old as the look that showed it.
//!
//! **A list that lags.** A list with a row that is older, by date, than what is known was read from a copy that lags, and so were its
//! other rows. It counts as no younger than the look that it contradicts. A poll that contradicts the last poll of its own queue was
//! overtaken by that one, and says nothing: membership and log-in stay as they are, and as old as they are.
//!
//! **Departures** ([`presence`]) end reservations, each at most one. They are told by what was seen last, and not by the rows, which
//! are taken back where sweeps are distrusted.

mod confirmed;
mod membership;
mod people;
mod person;
mod presence;
mod stays;
mod strangers;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use self::{confirmed::Confirmed, membership::Member, people::People, person::MAX_LAG};
pub use self::{
    membership::{Joined, Membership},
    presence::Departure,
    stays::StayPassed,
};
use crate::{
    calltools::Row,
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::{Poll, Presence, Sighting},
        names::Names,
    },
};

/// Whether rows come from CallTools now, or from what an earlier task or process knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Look,
    Memory,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Roster {
    people: People,
    /// By the queue's place in the account.
    queues: Vec<Option<Membership>>,
    /// When the last sweep that covered the whole account began.
    swept: Option<Moment>,
    /// Who was seen no longer available since last asked.
    departed: Vec<(AgentId, presence::Gone)>,
    /// Time that agents were seen to spend in a status, since last asked. Each list adds an entry for each of its agents at most.
    stays: Vec<StayPassed>,
    /// When it was last looked who has left.
    tidied: Option<Moment>,
    confirmed: Confirmed,
}

impl Roster {
    /// Nobody is known yet; `queues` is their number.
    pub fn new(queues: usize) -> Self {
        Self {
            people: People::default(),
            queues: vec![None; queues],
            swept: None,
            departed: Vec::new(),
            stays: Vec::new(),
            tidied: None,
            confirmed: Confirmed::default(),
        }
    }

    /// The account's queues are others now. `places` tells where each was before, if anywhere.
    pub fn rearrange(&mut self, places: &[Option<usize>]) {
        let queue = |was: &Option<usize>| was.and_then(|was| self.queues[was].take());
        self.queues = places.iter().map(queue).collect();
        for person in self.people.values_mut() {
            person.queues.clear();
        }
        for (place, membership) in self.queues.iter().enumerate() {
            for member in membership.iter().flat_map(|queue| &queue.members) {
                if let Some(person) = self.people.at_mut(member.who) {
                    person.join(place);
                }
            }
        }
    }

    /// Rows of one list of CallTools were seen, all at one moment. Older ones than are known are forgotten.
    /// Returns the look that the list lags behind, if it does.
    pub fn see(&mut self, sightings: Vec<Sighting>) -> Option<Moment> {
        let agents = sightings
            .iter()
            .map(|sighting| (&*sighting.agent, sighting.at));
        let lag = self.contradicted(agents);
        for sighting in sightings {
            let at = earlier(sighting.at, lag);
            self.take_row(Sighting { at, ..sighting }, Source::Look);
        }
        lag
    }

    /// A row of an agent is known from an earlier task or process.
    pub fn recall(&mut self, sighting: Sighting) {
        self.take_row(sighting, Source::Memory);
    }

    fn take_row(&mut self, sighting: Sighting, source: Source) {
        let (id, agent, at) = (
            sighting.agent.id.clone(),
            Arc::clone(&sighting.agent),
            sighting.at,
        );
        let (_, person) = self.people.meet(&id);
        person.show(sighting);
        let Some(seen) = Presence::from_agent(&agent, at, source == Source::Memory) else {
            return;
        };
        if let Some(passed) = stays::follow(&mut person.stay, &agent, &seen)
            && self.stays.len() < stays::MAX_UNTAKEN
        {
            self.stays.push(passed);
        }
        if let Some(gone) = presence::follow(&mut person.presence, seen) {
            self.departed.push((id, gone));
        }
    }

    /// An earlier task or process has counted this of an agent.
    pub fn recall_presence(&mut self, id: AgentId, counted: Presence) {
        let (_, person) = self.people.meet(&id);
        presence::recall(&mut person.presence, counted);
    }

    /// When each agent was seen coming or going, to hand on.
    pub fn presences(&self) -> impl Iterator<Item = (&AgentId, &Presence)> {
        let people = self.people.iter();
        people.filter_map(|(id, person)| Some((id, person.presence.as_ref()?)))
    }

    /// The earliest look that rows of one list contradict by showing an older date: the list is no younger than that.
    fn contradicted<'a>(
        &self,
        agents: impl Iterator<Item = (&'a Agent, Moment)>,
    ) -> Option<Moment> {
        let looks = agents.filter_map(|(agent, at)| {
            let person = self.people.get(&agent.id)?;
            let known = person.newest.as_ref()?;
            let is_older = agent.status_since.is_some() && agent.status_since < person.latest;
            let is_lag = at.boot <= known.at.boot + MAX_LAG;
            (is_older && is_lag).then_some(known.at)
        });
        looks.min_by_key(|at| at.boot)
    }

    /// A queue was polled: these are its agents, and their rows count everywhere.
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
        let lag = self.contradicted(rows);
        let as_of = earlier(as_of, lag);
        self.take(place, Poll { as_of, ..poll }, Source::Look);
        self.forget_strangers(as_of);
    }

    /// A queue's poll is known from an earlier task or process.
    pub fn recall_poll(&mut self, place: usize, poll: Poll) {
        self.take(place, poll, Source::Memory);
    }

    fn take(&mut self, place: usize, poll: Poll, source: Source) {
        let Poll {
            as_of,
            took,
            complete,
            agents,
        } = poll;
        let known = self.queues[place].as_ref();
        if known.is_some_and(|known| known.overtakes(as_of, &agents)) {
            return;
        }
        for agent in &agents {
            let sighting = Sighting {
                agent: Arc::clone(agent),
                at: as_of,
                by_sweep: false,
            };
            self.take_row(sighting, source);
        }
        self.leave(place);
        let member = |polled: Arc<Agent>| {
            let (who, person) = self.people.meet(&polled.id);
            person.join(place);
            Member::new(who, polled)
        };
        self.queues[place] = Some(Membership {
            as_of,
            took,
            complete,
            members: agents.into_iter().map(member).collect(),
            joined: None,
        });
    }

    /// Nobody belongs to the queue at this place any more.
    fn leave(&mut self, place: usize) {
        let membership = self.queues[place].take();
        for member in membership.iter().flat_map(|queue| &queue.members) {
            if let Some(person) = self.people.at_mut(member.who) {
                person.queues.retain(|one| *one != place);
            }
        }
    }

    /// Another queue is at this place from now on: nothing is known of it.
    pub fn forget_queue(&mut self, place: usize) {
        self.leave(place);
    }

    /// Whether a queue's last poll showed anybody.
    pub fn has_members(&self, place: usize) -> bool {
        let membership = self.queues[place].as_ref();
        membership.is_some_and(|membership| !membership.members.is_empty())
    }

    /// A queue's last poll, to hand on.
    pub fn last_poll(&self, place: usize) -> Option<Poll> {
        let membership = self.queues[place].as_ref()?;
        let members = membership.members.iter();
        Some(Poll {
            as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents: members.map(|member| Arc::clone(&member.polled)).collect(),
        })
    }

    /// What is known of the queues' members beyond their queues' last polls, and is newer than `moment`, to hand on.
    ///
    /// Each row bears the moment as of which *it* is known, lists of changes included. One moment for all rows would lie: a row that was
    /// lost on the way would look as new as the others.
    pub fn known_beside_polls(&self, moment: Option<Moment>) -> Vec<Sighting> {
        let mut polled: HashMap<&AgentId, Vec<&Arc<Agent>>> = HashMap::new();
        for member in self
            .queues
            .iter()
            .flatten()
            .flat_map(|queue| &queue.members)
        {
            polled
                .entry(&member.polled.id)
                .or_default()
                .push(&member.polled);
        }
        let newest = polled.into_iter().filter_map(|(id, polled)| {
            let newest = self.newest(id)?;
            let is_polled = polled
                .iter()
                .any(|polled| Arc::ptr_eq(polled, &newest.agent));
            let at = self.confirmed.status(newest.at);
            let is_beside_polls = newest.by_sweep || !is_polled || at.boot > newest.at.boot;
            is_beside_polls.then(|| Sighting {
                agent: Arc::clone(&newest.agent),
                at,
                by_sweep: true,
            })
        });
        let is_new =
            |sighting: &Sighting| moment.is_none_or(|moment| sighting.at.boot > moment.boot);
        newest.filter(is_new).collect()
    }

    /// Sweeps are not to be believed: back to what polls of the queues said. Departures that were counted stay counted.
    pub fn forget_sweeps(&mut self) {
        self.swept = None;
        self.confirmed = Confirmed::default();
        for person in self.people.values_mut() {
            person.newest.take_if(|newest| newest.by_sweep);
            person.latest = person
                .newest
                .as_ref()
                .and_then(|newest| newest.agent.status_since);
        }
        let memberships = self.queues.iter().flatten();
        for membership in memberships {
            for member in &membership.members {
                let (_, person) = self.people.meet(&member.polled.id);
                person.show(Sighting {
                    agent: Arc::clone(&member.polled),
                    at: membership.as_of,
                    by_sweep: false,
                });
            }
        }
    }

    /// The account's statuses have other meanings now: every row is read again. Nobody departs by that.
    pub fn read_again(&mut self, names: &Names) {
        let again = |agent: &mut Arc<Agent>| {
            let read = Row::read((*agent.raw).to_owned(), names);
            let Ok(Row { agent: read, .. }) = read else {
                return; // It was read before, so it can be read now.
            };
            if read.available != agent.available || read.status != agent.status {
                *agent = Arc::new(Agent {
                    status: read.status,
                    available: read.available,
                    ..Agent::clone(agent)
                });
            }
        };
        for person in self.people.values_mut() {
            if let Some(newest) = &mut person.newest {
                again(&mut newest.agent);
            }
        }
        for membership in self.queues.iter_mut().flatten() {
            membership.joined = None;
            for member in &mut membership.members {
                again(&mut member.polled);
                member.joined = None;
            }
        }
        for person in self.people.values_mut() {
            let Some(newest) = &person.newest else {
                continue;
            };
            let read = Presence::from_agent(&newest.agent, newest.at, false);
            if let (Some(presence), Some(read)) = (&mut person.presence, read)
                && presence.at == read.at
            {
                if let Some(stay) = &mut person.stay {
                    stay.read_again(&read);
                }
                (presence.available, presence.status) = (read.available, read.status);
            }
        }
    }

    /// The newest row of an agent.
    pub fn newest(&self, id: &AgentId) -> Option<&Sighting> {
        self.people.get(id)?.newest.as_ref()
    }

    /// When a queue was last polled.
    pub fn polled(&self, place: usize) -> Option<Moment> {
        self.queues[place]
            .as_ref()
            .map(|membership| membership.as_of)
    }

    /// Everybody who belongs to a queue, with the queue's place and the poll's moment; once for each of their queues.
    pub fn members(&self) -> impl Iterator<Item = ((usize, Moment), &Agent)> {
        self.memberships().flat_map(|(place, membership)| {
            let agents = membership.members.iter().map(|member| &*member.polled);
            agents.map(move |agent| ((place, membership.as_of), agent))
        })
    }

    /// How many agents the queues list together, each counted once; `None` until every queue was polled.
    pub fn headcount(&self) -> Option<usize> {
        let are_all_polled = self.queues.iter().all(Option::is_some);
        let members = || self.people.values().filter(|person| person.is_member());
        are_all_polled.then(|| members().count())
    }

    /// Who was seen no longer available since this was last asked.
    pub fn take_departures(&mut self) -> Vec<Departure> {
        let departed = std::mem::take(&mut self.departed);
        let of_agent = |(agent, gone): (AgentId, presence::Gone)| {
            let is_logged_in = |place: &usize| {
                let membership = self.queues[*place].as_ref();
                let mut members = membership.into_iter().flat_map(|queue| &queue.members);
                members.any(|member| member.polled.id == agent && member.polled.queue_logged_in)
            };
            let places = self.queues_of(&agent).iter().copied();
            Departure {
                places: places.filter(is_logged_in).collect(),
                agent,
                made_by: gone.made_by,
                seen: gone.seen,
            }
        };
        departed.into_iter().map(of_agent).collect()
    }

    /// The places of an agent's queues.
    pub fn queues_of(&self, id: &AgentId) -> &[usize] {
        let person = self.people.get(id);
        person.map_or(&[], |person| &person.queues)
    }

    fn memberships(&self) -> impl Iterator<Item = (usize, &Membership)> {
        let queues = self.queues.iter().enumerate();
        queues.filter_map(|(place, queue)| queue.as_ref().map(|queue| (place, queue)))
    }
}

/// The earlier of a moment and another, if there is one.
pub(super) fn earlier(at: Moment, other: Option<Moment>) -> Moment {
    match other {
        Some(other) if other.boot < at.boot => other,
        _ => at,
    }
}
