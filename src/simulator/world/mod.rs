//! The truth about one CallTools account: its queues, its statuses, its people and what they are doing.
//!
//! The world is a discrete-event model without a clock of its own: [`World::advance_to`] tells it the time. The same settings give the same
//! events, in however many steps time advances, so a failed test can be repeated. Each person has their own random numbers: a call for one
//! agent changes what that agent does next, and nobody else's day. So two policies can be compared in the same world.
//!
//! It knows nothing of HTTP, rows or pages. The API shows it as CallTools would; tests and benchmarks read the truth
//! ([`World::seats`]) and change it (`control`).
//!
//! `behaviour` is what people do: they wait for a call, talk, wrap up, take breaks and lunch, log in to queues and out of them, come and go with
//! their shifts; some go home without logging off; `draws` has their dice. `setup` creates the account and its people from `settings`.

mod behaviour;
mod control;
mod draws;
mod names;
mod settings;
mod setup;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use jiff::SignedDuration;

use self::behaviour::{Activity, Event, Shift};
pub use self::settings::WorldSettings;
use crate::model::agent::AgentId;

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// What a status does with an agent, as the API spells it. Accounts can rename a status but not this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "title_case")]
#[allow(missing_docs)] // The names are CallTools' own.
pub enum QueueAction {
    NoAction,
    SetReady,
    SetNotReady,
    Logout,
}

/// One of the account's statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldStatus {
    /// CallTools' number for it; other seeds have other numbers.
    pub id: u64,
    /// What the account calls it.
    pub name: String,
    /// What it does.
    pub queue_action: QueueAction,
}

/// One of the account's queues.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldQueue {
    /// CallTools' number for it.
    pub id: u64,
    /// What people call it.
    pub name: String,
    /// Its share of the demand, relative to the others; 1 for the most popular.
    pub popularity: f64,
    /// Places in the list of people, in ascending order.
    members: Vec<usize>,
}

/// The truth about one agent, for tests and benchmarks.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentTruth {
    /// The UUID.
    pub id: AgentId,
    /// The number in `app_user`, in accounts that number their people.
    pub number: u64,
    /// The full name.
    pub name: String,
    /// The status' id.
    pub status_id: u64,
    /// The status' name.
    pub status: String,
    /// Whether that status makes the agent ready.
    pub available: bool,
    /// Whether the agent is on a call, regardless of the status.
    pub on_call: bool,
    /// Whether the agent went home and left their status behind; CallTools cannot tell.
    pub forgot_to_log_off: bool,
    /// The queues the agent is a member of, and whether logged in to each.
    pub queues: Vec<(u64, bool)>,
}

/// A person's membership of one queue.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) queue: u64,
    pub(super) logged_in: bool,
    generation: u32,
}

/// A call in progress.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) uuid: String,
    /// `None` for a call that the dialer made.
    pub(super) queue: Option<u64>,
    pub(super) start: SignedDuration,
    pub(super) answered: SignedDuration,
}

/// One of the account's people. Times are the world's; before its beginning they are negative.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: AgentId,
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) team: u64,
    /// An index into the list of statuses.
    pub(super) status: usize,
    pub(super) status_since: SignedDuration,
    pub(super) logged_in_since: Option<SignedDuration>,
    pub(super) memberships: Vec<Membership>,
    pub(super) call: Option<Call>,
    pub(super) calls: u64,
    pub(super) calls_inbound: u64,
    /// Deleted from the account; kept in the list, since indexes refer to it.
    removed: bool,
    activity: Activity,
    /// Events of an earlier generation are ignored.
    generation: u32,
    shift: Option<Shift>,
    lunch_due: bool,
    leaving_due: bool,
    dice: fastrand::Rng,
}

impl Person {
    /// The membership in `queue`, if there is one.
    pub(super) fn membership(&self, queue: u64) -> Option<&Membership> {
        self.memberships.iter().find(|m| m.queue == queue)
    }

    fn logged_in_to(&self, queue: u64) -> bool {
        self.membership(queue).is_some_and(|m| m.logged_in)
    }
}

/// One account. See the [module](self).
#[derive(Clone, Debug)]
pub struct World {
    settings: WorldSettings,
    now: SignedDuration,
    frozen: bool,
    statuses: Vec<WorldStatus>,
    queues: Vec<WorldQueue>,
    people: Vec<Person>,
    places: HashMap<AgentId, usize>,
    events: BinaryHeap<Reverse<Event>>,
    sequence: u64,
    dice: fastrand::Rng,
    /// People as they were before each recent change, oldest first; empty unless the past is kept.
    past: VecDeque<(SignedDuration, Person)>,
    kept: SignedDuration,
}

/// The recent past, for replicas that lag.
impl World {
    /// Keeps this much of the past from now on.
    pub(super) fn keep_past(&mut self, kept: Duration) {
        self.kept = behaviour::signed(kept);
        if kept.is_zero() {
            self.past.clear();
        }
    }

    /// Returns the people who have changed within the last `lag`, by number, as they were before.
    pub(super) fn changed_since(&self, lag: Duration) -> HashMap<u64, &Person> {
        let then = self.now.saturating_sub(behaviour::signed(lag));
        let unseen = self.past.partition_point(|(at, _)| *at <= then);
        let mut before = HashMap::new();
        for (_, person) in self.past.range(unseen..) {
            before.entry(person.number).or_insert(person);
        }
        before
    }

    /// Returns the people whose last change of status is not visible yet, by number, as they were before: each change takes up to `late`.
    pub(super) fn uncommitted(&self, late: Duration) -> HashMap<u64, &Person> {
        let mut before = HashMap::new();
        for (at, was) in &self.past {
            let Some(person) = self.place(&was.id).map(|who| &self.people[who]) else {
                continue;
            };
            let is_last = *at == person.status_since && was.status != person.status;
            // The same change takes equally long in each list.
            let mut dice = fastrand::Rng::with_seed(was.number ^ at.as_nanos() as u64);
            let takes = late.mul_f64(dice.f64());
            if is_last && self.now - *at < behaviour::signed(takes) {
                before.insert(was.number, was);
            }
        }
        before
    }

    /// Saves a person's state. Call it before each change.
    fn remember(&mut self, who: usize) {
        if self.kept.is_zero() {
            return;
        }
        let oldest = self.now.saturating_sub(self.kept);
        let old = self.past.partition_point(|(at, _)| *at <= oldest);
        self.past.drain(..old);
        self.past.push_back((self.now, self.people[who].clone()));
    }
}

/// Reading the truth.
impl World {
    /// Returns the age of the world.
    pub fn now(&self) -> Duration {
        self.now.unsigned_abs()
    }

    /// Returns when the next event is due; nothing changes before. `None` in a frozen world.
    pub fn next_event(&self) -> Option<Duration> {
        self.events.peek().map(|event| event.0.at.unsigned_abs())
    }

    /// Returns the number of agents who would take a call of this queue now: available, on no call and logged in to the queue.
    pub fn seats(&self, queue: u64) -> usize {
        self.members(queue)
            .filter(|person| person.call.is_none() && person.logged_in_to(queue))
            .filter(|person| self.is_available(person))
            .count()
    }

    /// Returns the queues, in CallTools' order.
    pub fn queues(&self) -> &[WorldQueue] {
        &self.queues
    }

    /// Returns the queue with this name.
    pub fn queue_named(&self, name: &str) -> Option<&WorldQueue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// Returns the statuses, in CallTools' order.
    pub fn statuses(&self) -> &[WorldStatus] {
        &self.statuses
    }

    /// Returns the id of the status with this name.
    pub fn status_named(&self, name: &str) -> Option<u64> {
        let status = self.statuses.iter().find(|status| status.name == name)?;
        Some(status.id)
    }

    /// Returns everybody in the account, in CallTools' order.
    pub fn agents(&self) -> Vec<AgentId> {
        self.people_of(None)
            .map(|person| person.id.clone())
            .collect()
    }

    /// Returns the members of a queue, in CallTools' order; none if the queue does not exist.
    pub fn agents_of(&self, queue: u64) -> Vec<AgentId> {
        self.members(queue)
            .map(|person| person.id.clone())
            .collect()
    }

    /// Returns the status of each agent who is logged in to a queue, by its name, and how long it has lasted.
    pub fn statuses_in(&self, queue: u64) -> impl Iterator<Item = (&str, Duration)> {
        let members = self.members(queue);
        let present = members.filter(move |person| person.logged_in_to(queue));
        present.map(|person| {
            let status = &self.statuses[person.status];
            let lasted = self.now - person.status_since;
            (&*status.name, lasted.unsigned_abs())
        })
    }

    /// Returns the truth about one agent.
    pub fn agent(&self, id: &AgentId) -> Option<AgentTruth> {
        let person = &self.people[self.place(id)?];
        let status = &self.statuses[person.status];
        Some(AgentTruth {
            id: person.id.clone(),
            number: person.number,
            name: person.name.clone(),
            status_id: status.id,
            status: status.name.clone(),
            available: self.is_available(person),
            on_call: person.call.is_some(),
            forgot_to_log_off: person.activity == Activity::Forgot,
            queues: person
                .memberships
                .iter()
                .map(|m| (m.queue, m.logged_in))
                .collect(),
        })
    }

    /// Returns everybody who was ever in the account, in the same order each time: their id, their status by its place in the list, and since
    /// when, in the world's time.
    #[cfg(test)]
    pub(crate) fn stays(&self) -> impl Iterator<Item = (&AgentId, usize, SignedDuration)> {
        let people = self.people.iter();
        people.map(|person| (&person.id, person.status, person.status_since))
    }

    pub(super) fn is_available(&self, person: &Person) -> bool {
        self.statuses[person.status].queue_action == QueueAction::SetReady
    }

    /// Returns the members of a queue, or everybody.
    pub(super) fn people_of(&self, queue: Option<u64>) -> Box<dyn Iterator<Item = &Person> + '_> {
        match queue {
            Some(queue) => Box::new(self.members(queue)),
            None => Box::new(self.people.iter().filter(|person| !person.removed)),
        }
    }

    fn members(&self, queue: u64) -> impl Iterator<Item = &Person> {
        let queue = self.queues.iter().find(|known| known.id == queue);
        let places = queue.map_or(&[][..], |queue| &queue.members);
        places.iter().map(|&who| &self.people[who])
    }

    fn place(&self, id: &AgentId) -> Option<usize> {
        self.places.get(id).copied()
    }
}
