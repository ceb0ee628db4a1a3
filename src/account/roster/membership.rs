//! Who belongs to a queue, by its last poll, and the join with the newest row of each.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Roster, earlier, person::MAX_LAG};
use crate::{
    clock::Moment,
    model::{agent::Agent, known::Sighting},
};

/// What a poll of a queue said about who belongs to it.
#[derive(Clone, Debug)]
pub struct Membership {
    /// When CallTools looked, at the earliest.
    pub as_of: Moment,
    /// How long the poll took.
    pub took: Duration,
    /// Whether the rows were as many as CallTools counted.
    pub complete: bool,
    pub(super) members: Vec<Member>,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    /// As the poll of the queue saw them.
    pub(super) polled: Arc<Agent>,
    /// The newest row when the two were last joined, and what came of it: most rows are the same from sweep to sweep.
    pub(super) joined: Option<(Arc<Agent>, Arc<Agent>)>,
}

/// A queue's agents with the newest that is known of each.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The oldest status of those who are logged in to the queue: what a count of seats rests on.
    pub as_of: Moment,
    /// The oldest status of all: what criteria rest on that may read any row.
    pub everybody_as_of: Moment,
    /// When the queue itself was polled.
    pub members_as_of: Moment,
    /// How long that poll took.
    pub took: Duration,
    /// Whether that poll's rows were as many as CallTools counted.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Vec<Arc<Agent>>,
}

impl Membership {
    /// Whether a poll says how things were before this one: its look was earlier, or it shows somebody with an older date. Who
    /// belongs to the queue is then known better from here.
    pub(super) fn overtakes(&self, as_of: Moment, agents: &[Arc<Agent>]) -> bool {
        if self.as_of.boot > as_of.boot {
            return true;
        }
        if as_of.boot > self.as_of.boot + MAX_LAG {
            return false;
        }
        let polled = self.members.iter().map(|member| &member.polled);
        let polled: HashMap<_, _> = polled.map(|agent| (&agent.id, agent)).collect();
        let mut agents = agents.iter();
        agents.any(|agent| {
            let known = polled.get(&agent.id);
            known.is_some_and(|known| agent.is_older_than(known))
        })
    }
}

impl Member {
    /// The newest row, with the log-in to this queue.
    fn join(&mut self, newest: &Sighting) -> Arc<Agent> {
        if Arc::ptr_eq(&newest.agent, &self.polled) {
            return Arc::clone(&self.polled);
        }
        match &self.joined {
            Some((from, joined)) if Arc::ptr_eq(from, &newest.agent) => Arc::clone(joined),
            _ => {
                let joined = Arc::new(joined(&newest.agent, &self.polled));
                self.joined = Some((Arc::clone(&newest.agent), Arc::clone(&joined)));
                joined
            }
        }
    }
}

/// The row of `newest`, which came from elsewhere, with the log-in that the queue's own poll saw.
fn joined(newest: &Agent, polled: &Agent) -> Agent {
    Agent {
        queue_logged_in: polled.queue_logged_in,
        raw: newest.raw.with_queue_login_of(&polled.raw),
        ..newest.clone()
    }
}

pub(super) fn later(one: Moment, other: Moment) -> Moment {
    if one.boot > other.boot { one } else { other }
}

impl Roster {
    /// A queue's agents with the newest that is known of each; `None` until the queue was polled.
    pub fn join(&mut self, place: usize) -> Option<Joined> {
        let membership = self.queues[place].as_mut()?;
        let mut agents = Vec::with_capacity(membership.members.len());
        let (mut oldest_logged_in, mut oldest) = (None, None);
        for member in &mut membership.members {
            let person = self.people.get(&member.polled.id);
            let newest = person.and_then(|person| person.newest.as_ref());
            let seen = newest.map_or(membership.as_of, |newest| newest.at);
            oldest = Some(earlier(self.confirmed.status(seen), oldest));
            if member.polled.queue_logged_in {
                let at = self.confirmed.availability(seen);
                oldest_logged_in = Some(earlier(at, oldest_logged_in));
            }
            agents.push(match newest {
                Some(newest) => member.join(newest),
                None => Arc::clone(&member.polled),
            });
        }
        // A count rests on the statuses of those who are logged in to the queue. Of a queue without any it rests on nobody's, and
        // is as old as the last look at everybody.
        let polled_or_swept = self
            .swept
            .map_or(membership.as_of, |swept| later(swept, membership.as_of));
        let polled_or_swept = self.confirmed.availability(polled_or_swept);
        Some(Joined {
            as_of: oldest_logged_in.or(oldest).unwrap_or(polled_or_swept),
            everybody_as_of: oldest.unwrap_or(polled_or_swept),
            members_as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents,
        })
    }

    /// A queue's agents as its own last poll saw them.
    pub fn as_polled(&self, place: usize) -> Option<Joined> {
        let membership = self.queues[place].as_ref()?;
        Some(Joined {
            as_of: membership.as_of,
            everybody_as_of: membership.as_of,
            members_as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents: membership
                .members
                .iter()
                .map(|member| Arc::clone(&member.polled))
                .collect(),
        })
    }
}
