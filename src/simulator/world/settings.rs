//! Settings of a world.

use std::time::Duration;

use super::hours;

/// What kind of account to simulate.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldSettings {
    /// The random seed: the same settings give the same events.
    pub seed: u64,
    /// How many queues the account has.
    pub queues: usize,
    /// How many people it has, including those at home.
    pub agents: usize,
    /// How unequal the queues are: the popularity of the n-th is n to the power of −`skew`. 0 makes them equal.
    pub skew: f64,
    /// Whether people come and go over the day. Without shifts everyone works all the time.
    pub shifts: bool,
    /// The time of day in the account when the world begins. It is not the machine's, so a demo is as busy at night as at noon.
    pub time_of_day: Duration,
    /// How long an available agent waits for the next call, on average. The shorter, the busier the account.
    pub mean_idle: Duration,
    /// How long a call takes, on average.
    pub mean_call: Duration,
    /// How long an agent writes up a call, on average.
    pub mean_wrap_up: Duration,
    /// How similar wrap-ups are: each is the sum of this many random parts. With 1 it has no memory, with 0 all are equal.
    pub wrap_up_parts: u8,
    /// The percentage of wrap-ups that the agent ends by hand, at any moment before the usual end.
    pub wrap_ups_by_hand: u8,
    /// The percentage of calls that begin without a change of status: the agent stays *Available* until the call is over, as on another
    /// channel.
    pub calls_without_status: u8,
    /// Whether nothing happens by itself, as after [`World::freeze`](super::World::freeze).
    pub frozen: bool,
}

impl WorldSettings {
    /// A busy morning: 6 queues with 120 people, over half of whom are at work.
    pub fn lively() -> Self {
        Self {
            seed: 1,
            queues: 6,
            agents: 120,
            // The first of six queues then has a third of the memberships: skewed, but none is empty.
            skew: 0.8,
            shifts: true,
            // Most of the day shift has come, and lunch is still ahead.
            time_of_day: hours(10),
            // With the two below, one in five people at work is available, so queues run dry every few minutes.
            mean_idle: Duration::from_secs(90),
            mean_call: Duration::from_secs(300),
            mean_wrap_up: Duration::from_secs(45),
            wrap_up_parts: 1,
            wrap_ups_by_hand: 0,
            calls_without_status: 0,
            frozen: false,
        }
    }

    /// The account for comparing ways to spend the budget: too large to poll queue by queue, and in a steady state.
    pub fn study() -> Self {
        Self {
            queues: 50,
            agents: 200,
            shifts: false,
            ..Self::lively()
        }
    }

    /// An account in which nothing happens by itself.
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
