//! Changes to the world by tests, benchmarks and demos.

use super::{
    QueueAction, World, WorldQueue, WorldSettings, WorldStatus,
    behaviour::{self, Activity},
    names,
};
use crate::model::agent::AgentId;

/// Changes to something that does not exist do nothing and return `false` or `None`.
impl World {
    /// Stops all events: time passes, and people stay as they are until a caller changes them.
    pub fn freeze(&mut self) {
        self.frozen = true;
        self.events.clear();
    }

    /// Lets events happen again from now on.
    pub fn thaw(&mut self) {
        self.frozen = false;
        self.events.clear();
        for who in 0..self.people.len() {
            self.schedule_life(who);
        }
    }

    /// Changes how people behave; what has begun goes on as it was drawn. Queues, people and shifts stay.
    pub fn change_behaviour(&mut self, change: impl FnOnce(&mut WorldSettings)) {
        change(&mut self.settings);
    }

    /// Puts an agent into a status by its id. Unless the world is frozen, the agent's day continues from there.
    ///
    /// A status that logs out ends the logins to all queues; the next one restores them.
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

    /// Gives every queue exactly this many seats: everyone present goes on a call, and each queue gets that many new agents who are available for
    /// it alone.
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

    /// Logs an agent in to a queue or out of it, and makes them a member if needed.
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

    /// Gives a call of this queue to the agent who has waited longest; `None` if nobody takes it.
    ///
    /// People who went home without logging off count as seats at CallTools, but take no call.
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

    /// Adds a queue without members and returns its id.
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

    /// Renames a queue.
    pub fn rename_queue(&mut self, queue: u64, name: &str) -> bool {
        let known = self.queues.iter_mut().find(|known| known.id == queue);
        known.map(|known| known.name = name.to_owned()).is_some()
    }

    /// Deletes a queue, with all memberships.
    pub fn remove_queue(&mut self, queue: u64) -> bool {
        let before = self.queues.len();
        self.queues.retain(|known| known.id != queue);
        for person in &mut self.people {
            person.memberships.retain(|m| m.queue != queue);
        }
        self.queues.len() < before
    }

    /// Adds an agent, available and logged in to these queues, and returns their id.
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

    /// Adds a status and returns its id.
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

    /// Changes what a status does; its name stays.
    pub fn set_queue_action(&mut self, status: u64, queue_action: QueueAction) -> bool {
        let known = self.statuses.iter_mut().find(|known| known.id == status);
        known
            .map(|known| known.queue_action = queue_action)
            .is_some()
    }

    /// Renames a status, as accounts do; what it does stays.
    pub fn rename_status(&mut self, status: u64, name: &str) -> bool {
        let known = self.statuses.iter_mut().find(|known| known.id == status);
        known.map(|known| known.name = name.to_owned()).is_some()
    }
}
