//! One CallTools account as it really is: its queues, its statuses, its people and what they are doing right now.
//!
//! The world is a discrete-event model without a clock of its own: somebody tells it how late it is
//! ([`World::advance_to`]) and it lives up to there. The same settings live the same life, in however many steps it is
//! told, so a test that fails can be repeated. Every person has dice of their own: giving one agent a call changes what that
//! agent does next and nobody else's day, so two policies can be compared in the same world.
//!
//! It knows nothing of HTTP, rows or pages. The API shows it through CallTools' window; tests and benchmarks ask it for the
//! truth ([`World::seats`]) and take hold of it ([`World::set_status`] and its neighbours).
//!
//! What people do (`behaviour`): wait for a call, talk, wrap up, take breaks and a lunch, log in to and out of their queues, come
//! and go with their shifts; and some go home without logging off. How they and their account come to be is in `setup`.

mod behaviour;
mod names;
mod setup;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::Duration,
};

use jiff::SignedDuration;

use crate::model::agent::AgentId;
use behaviour::{Activity, Event, Shift};

/// What kind of account to make up.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldSettings {
    /// Equal settings live equal lives.
    pub seed: u64,
    /// How many queues the account has.
    pub queues: usize,
    /// How many people it has, those at home included.
    pub agents: usize,
    /// How unequal the queues are: the popularity of the n-th is n to the power of −`skew`. 0 makes them all alike.
    pub skew: f64,
    /// Whether people come and go over the day. Without shifts everybody works for ever.
    pub shifts: bool,
    /// What the clock on the office wall shows when the world begins. It goes by this and not by the machine's clock, so
    /// that a demo is as lively at night as at noon.
    pub time_of_day: Duration,
    /// How long an available agent waits for the next call, on average: the smaller, the busier the account.
    pub mean_idle: Duration,
    /// How long a call takes, on average.
    pub mean_call: Duration,
    /// How long an agent writes up a call, on average.
    pub mean_wrap_up: Duration,
    /// Whether nothing happens by itself from the start, as after [`World::freeze`].
    pub frozen: bool,
}

impl WorldSettings {
    /// A busy morning: 6 queues with 120 people, over half of whom are at work.
    pub fn lively() -> Self {
        Self {
            seed: 1,
            queues: 6,
            agents: 120,
            // The first queue of six then has a third of the memberships: skewed, but none is empty.
            skew: 0.8,
            shifts: true,
            // Most of the day shift has come, and lunch is still ahead.
            time_of_day: hours(10),
            // With the two below, one in five of those at work is available, so that queues run dry every few minutes.
            mean_idle: Duration::from_secs(90),
            mean_call: Duration::from_secs(300),
            mean_wrap_up: Duration::from_secs(45),
            frozen: false,
        }
    }

    /// The account for comparing ways to spend the budget: large enough that it cannot be polled queue by queue, and in a
    /// steady state for as long as it lives.
    pub fn study() -> Self {
        Self {
            queues: 50,
            agents: 200,
            shifts: false,
            ..Self::lively()
        }
    }

    /// An account in which nothing happens but what a test does to it.
    pub fn still(queues: usize, agents: usize) -> Self {
        Self {
            queues,
            agents,
            shifts: false,
            frozen: true,
            ..Self::lively()
        }
    }
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self::lively()
    }
}

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
    /// How much of the demand it draws, relative to the others; 1 for the most popular.
    pub popularity: f64,
    /// Places in the list of people, in its order.
    members: Vec<usize>,
}

/// The truth about one agent, for tests and benchmarks.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentTruth {
    /// The UUID.
    pub id: AgentId,
    /// The number that `app_user` bears in accounts that count their people.
    pub number: u64,
    /// The full name.
    pub name: String,
    /// The status' id.
    pub status_id: u64,
    /// The status' name.
    pub status: String,
    /// Whether that status makes the agent ready.
    pub available: bool,
    /// Whether the agent went home and left their status behind; CallTools cannot tell.
    pub forgot_to_log_off: bool,
    /// The queues the agent is a member of, and whether logged in to each.
    pub queues: Vec<(u64, bool)>,
}

/// A person's place in one queue.
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
    /// `None` for a call of the dialer's own making.
    pub(super) queue: Option<u64>,
    pub(super) start: SignedDuration,
    pub(super) answered: SignedDuration,
}

/// One of the account's people. Times are those of the world: before its beginning they are negative.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: AgentId,
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) team: u64,
    /// A place in the list of statuses.
    pub(super) status: usize,
    pub(super) status_since: SignedDuration,
    pub(super) logged_in_since: Option<SignedDuration>,
    pub(super) memberships: Vec<Membership>,
    pub(super) call: Option<Call>,
    pub(super) calls: u64,
    pub(super) calls_inbound: u64,
    /// Gone from the account; kept in the list because places in it are handed about.
    removed: bool,
    activity: Activity,
    /// Events drawn for an earlier activity are void.
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

/// One account, alive.
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
    /// People as they were before each recent change, oldest first; empty unless somebody asks for the past.
    past: VecDeque<(SignedDuration, Person)>,
    kept: SignedDuration,
}

/// The past, for replicas that lag.
impl World {
    /// Keeps this much of the past from now on.
    pub(super) fn keep_past(&mut self, kept: Duration) {
        self.kept = behaviour::signed(kept);
        if kept.is_zero() {
            self.past.clear();
        }
    }

    /// The people who have changed within the last `lag`, by number, as they were before.
    pub(super) fn changed_since(&self, lag: Duration) -> HashMap<u64, &Person> {
        let then = self.now.saturating_sub(behaviour::signed(lag));
        let unseen = self.past.partition_point(|(at, _)| *at <= then);
        let mut before = HashMap::new();
        for (_, person) in self.past.range(unseen..) {
            before.entry(person.number).or_insert(person);
        }
        before
    }

    /// Keeps somebody as they are; to be called before each change.
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

/// The truth.
impl World {
    /// How long the world has lived.
    pub fn now(&self) -> Duration {
        self.now.unsigned_abs()
    }

    /// When the next thing can happen by itself; nothing changes before. `None` in a frozen world.
    pub fn next_event(&self) -> Option<Duration> {
        self.events.peek().map(|event| event.0.at.unsigned_abs())
    }

    /// Agents who would take a call of this queue now, as CallTools sees it: available and logged in to the queue.
    pub fn seats(&self, queue: u64) -> usize {
        self.members(queue)
            .filter(|person| self.is_available(person) && person.logged_in_to(queue))
            .count()
    }

    /// The queues, in CallTools' order.
    pub fn queues(&self) -> &[WorldQueue] {
        &self.queues
    }

    /// The queue with this name.
    pub fn queue_named(&self, name: &str) -> Option<&WorldQueue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// The statuses, in CallTools' order.
    pub fn statuses(&self) -> &[WorldStatus] {
        &self.statuses
    }

    /// The id of the status with this name.
    pub fn status_named(&self, name: &str) -> Option<u64> {
        let status = self.statuses.iter().find(|status| status.name == name)?;
        Some(status.id)
    }

    /// Everybody of the account, in CallTools' order.
    pub fn agents(&self) -> Vec<AgentId> {
        self.people_of(None)
            .map(|person| person.id.clone())
            .collect()
    }

    /// The members of a queue, in CallTools' order; none for a queue that does not exist.
    pub fn agents_of(&self, queue: u64) -> Vec<AgentId> {
        self.members(queue)
            .map(|person| person.id.clone())
            .collect()
    }

    /// What is true of one agent.
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
            forgot_to_log_off: person.activity == Activity::Forgot,
            queues: person
                .memberships
                .iter()
                .map(|m| (m.queue, m.logged_in))
                .collect(),
        })
    }

    pub(super) fn is_available(&self, person: &Person) -> bool {
        self.statuses[person.status].queue_action == QueueAction::SetReady
    }

    /// The members of a queue, or everybody.
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

/// Taking hold of the world. What does not exist is not changed, and the answer says so with `false` or `None`.
impl World {
    /// Stops everything that happens by itself: time goes on, people stay as they are until somebody changes them.
    pub fn freeze(&mut self) {
        self.frozen = true;
        self.events.clear();
    }

    /// Lets life go on from here.
    pub fn thaw(&mut self) {
        self.frozen = false;
        self.events.clear();
        for who in 0..self.people.len() {
            self.schedule_life(who);
        }
    }

    /// Puts an agent into a status by its id. Unless the world is frozen, life goes on from there.
    ///
    /// A status that logs out ends the log-ins to all queues; the first one after it begins them anew.
    pub fn set_status(&mut self, agent: &AgentId, status: u64) -> bool {
        let status = self.statuses.iter().position(|known| known.id == status);
        match (self.place(agent), status) {
            (Some(who), Some(status)) => {
                self.put_into(who, status);
                true
            }
            _ => false,
        }
    }

    /// Puts everybody into a status by its id.
    pub fn set_everyone(&mut self, status: u64) -> bool {
        let everybody = self.agents();
        !everybody.is_empty() && everybody.iter().all(|agent| self.set_status(agent, status))
    }

    /// Gives every queue this many seats: whoever is there goes on a call, and so many people more are available for each queue
    /// and for no other.
    pub fn set_seats(&mut self, seats: usize) {
        for who in 0..self.people.len() {
            self.put_into(who, behaviour::ON_A_CALL);
        }
        let queues: Vec<u64> = self.queues.iter().map(|queue| queue.id).collect();
        for queue in queues {
            for _ in 0..seats {
                let name = names::agent(self.people.len());
                self.add_agent(&name, &[queue]);
            }
        }
    }

    /// Logs an agent in to a queue or out of it; the agent becomes a member if they are none.
    pub fn set_logged_in(&mut self, queue: u64, agent: &AgentId, logged_in: bool) -> bool {
        let known = self.queues.iter_mut().find(|known| known.id == queue);
        let (Some(&who), Some(known)) = (self.places.get(agent), known) else {
            return false;
        };
        if let Err(gap) = known.members.binary_search(&who) {
            known.members.insert(gap, who);
        }
        self.set_flag(who, queue, logged_in);
        true
    }

    /// Ends an agent's membership of a queue.
    pub fn leave_queue(&mut self, queue: u64, agent: &AgentId) -> bool {
        let known = self.queues.iter_mut().find(|known| known.id == queue);
        let (Some(&who), Some(known)) = (self.places.get(agent), known) else {
            return false;
        };
        known.members.retain(|&member| member != who);
        self.people[who].memberships.retain(|m| m.queue != queue);
        true
    }

    /// Gives a call of this queue to the agent who has waited longest; `None` where nobody takes it.
    ///
    /// Somebody who went home without logging off has a seat in CallTools' eyes and takes no call.
    pub fn offer_call(&mut self, queue: u64) -> Option<AgentId> {
        let known = self.queues.iter().find(|known| known.id == queue)?;
        let waiting = known.members.iter().copied().filter(|&who| {
            let person = &self.people[who];
            person.activity == Activity::Idle && person.logged_in_to(queue)
        });
        let who = waiting.min_by_key(|&who| self.people[who].status_since)?;
        self.begin_call(who, Some(queue));
        Some(self.people[who].id.clone())
    }

    /// A new queue without members; gives its id.
    pub fn add_queue(&mut self, name: &str) -> u64 {
        let id = self.queues.iter().map(|queue| queue.id).max().unwrap_or(0) + 1;
        self.queues.push(WorldQueue {
            id,
            name: name.to_owned(),
            popularity: 0.0,
            members: Vec::new(),
        });
        id
    }

    /// Gives a queue another name.
    pub fn rename_queue(&mut self, queue: u64, name: &str) -> bool {
        let known = self.queues.iter_mut().find(|known| known.id == queue);
        known.map(|known| known.name = name.to_owned()).is_some()
    }

    /// Deletes a queue, and everybody's membership of it.
    pub fn remove_queue(&mut self, queue: u64) -> bool {
        let before = self.queues.len();
        self.queues.retain(|known| known.id != queue);
        for person in &mut self.people {
            person.memberships.retain(|m| m.queue != queue);
        }
        self.queues.len() < before
    }

    /// A new agent, available and logged in to these queues; gives their id.
    pub fn add_agent(&mut self, name: &str, queues: &[u64]) -> AgentId {
        let who = self.hire(name.to_owned());
        let id = self.people[who].id.clone();
        self.put_into(who, behaviour::AVAILABLE);
        for &queue in queues {
            self.set_logged_in(queue, &id, true);
        }
        id
    }

    /// Deletes an agent from the account.
    pub fn remove_agent(&mut self, agent: &AgentId) -> bool {
        let Some(who) = self.places.remove(agent) else {
            return false;
        };
        for queue in &mut self.queues {
            queue.members.retain(|&member| member != who);
        }
        let person = &mut self.people[who];
        person.removed = true;
        person.memberships.clear();
        true
    }

    /// A new status; gives its id.
    pub fn add_status(&mut self, name: &str, queue_action: QueueAction) -> u64 {
        let id = self.statuses.iter().map(|status| status.id).max();
        let id = id.unwrap_or(0) + 1;
        self.statuses.push(WorldStatus {
            id,
            name: name.to_owned(),
            queue_action,
        });
        id
    }

    /// Lets a status do something else; its name stays.
    pub fn set_queue_action(&mut self, status: u64, queue_action: QueueAction) -> bool {
        let known = self.statuses.iter_mut().find(|known| known.id == status);
        known
            .map(|known| known.queue_action = queue_action)
            .is_some()
    }

    /// Gives a status another name, as accounts do; what it does stays.
    pub fn rename_status(&mut self, status: u64, name: &str) -> bool {
        let known = self.statuses.iter_mut().find(|known| known.id == status);
        known.map(|known| known.name = name.to_owned()).is_some()
    }
}
