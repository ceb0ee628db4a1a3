//! A simulated account.

use std::{sync::Arc, time::Duration};

use openseat::{
    calltools::Transport,
    clock::SystemClock,
    simulator::{Settings, Simulator, WorldSettings},
};

/// An account and how it is polled.
pub struct Account {
    pub name: String,
    pub token: String,
    pub requests_per_hour: u32,
    pub simulator: Simulator,
}

impl Account {
    /// An account whose agents work, polled at CallTools' limit even if no router asks.
    pub fn lively(number: usize, queues: usize, agents: usize) -> Self {
        let world = WorldSettings {
            seed: number as u64,
            queues,
            agents,
            ..WorldSettings::lively()
        };
        Self::of(number, world, 1_000, Duration::from_millis(300))
    }

    /// The same, polled at the highest limit that a config may set.
    pub fn hasty(number: usize, queues: usize, agents: usize) -> Self {
        let world = WorldSettings {
            queues,
            agents,
            ..WorldSettings::lively()
        };
        Self::of(number, world, 20_000, Duration::from_millis(20))
    }

    /// The same account, but each agent belongs to one queue only, and all queues have as many agents.
    pub fn with_one_queue_each(self) -> Self {
        self.simulator.world(|world| {
            let queues: Vec<_> = world.queues().iter().map(|queue| queue.id).collect();
            for (number, agent) in world.agents().iter().enumerate() {
                let had = world.agent(agent).expect("the agent exists").queues;
                let own = queues[number % queues.len()];
                let is_logged_in = had.iter().any(|(_, is_logged_in)| *is_logged_in);
                world.set_logged_in(own, agent, is_logged_in);
                for (other, _) in had.into_iter().filter(|(queue, _)| *queue != own) {
                    world.leave_queue(other, agent);
                }
            }
        });
        self
    }

    /// An account where nothing happens by itself. Each agent belongs to one queue.
    pub fn crowded(queues: usize, agents_each: usize) -> Self {
        let world = WorldSettings::still(queues, 0);
        let account = Self::of(0, world, 20_000, Duration::from_millis(20));
        account.simulator.world(|world| {
            let queues: Vec<_> = world.queues().iter().map(|queue| queue.id).collect();
            for (number, queue) in queues.into_iter().enumerate() {
                for agent in 0..agents_each {
                    world.add_agent(&format!("Agent {agent} of {number}"), &[queue]);
                }
            }
        });
        account
    }

    fn of(number: usize, world: WorldSettings, requests_per_hour: u32, latency: Duration) -> Self {
        let token = format!("token-of-account-number-{number:04}");
        let settings = Settings {
            token: token.clone(),
            requests_per_hour,
            latency,
            ..Settings::new(world)
        };
        Self {
            name: format!("account-{number}"),
            token,
            requests_per_hour,
            simulator: Simulator::new(settings, Arc::new(SystemClock::new())),
        }
    }

    /// The `Authorization` header of its clients.
    pub fn authorization(&self) -> String {
        format!("Token {}", self.token)
    }

    /// A transport to its simulator that needs no network.
    pub fn transport(&self) -> Arc<dyn Transport> {
        self.simulator.transport(&self.token)
    }

    pub fn set_everyone(&self, status: &str) {
        self.simulator.world(|world| {
            let id = world.status_named(status).expect("every account has it");
            world.set_everyone(id);
        });
    }

    /// The ids of its queues.
    pub fn queues(&self) -> Vec<u64> {
        let ids = |world: &mut openseat::simulator::World| {
            world.queues().iter().map(|queue| queue.id).collect()
        };
        self.simulator.world(ids)
    }
}
