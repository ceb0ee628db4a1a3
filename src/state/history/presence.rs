//! Who was logged in to a queue, and what they did, over time.

use std::collections::HashMap;

use super::series::{HOLDS_MS, Range};
use crate::model::agent::Agent;

/// What an agent who is logged in to a queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Would take a call of this queue.
    Free,
    /// Is on a call, regardless of the status.
    OnCall,
    /// Has another status: a break, or the work after a call.
    Other,
}

impl Presence {
    /// All variants, in the order in which they are stored.
    pub const ALL: [Presence; 3] = [Presence::Free, Presence::OnCall, Presence::Other];

    /// Returns what an agent does for a queue; `None` for agents who are not logged in to it.
    pub fn from_agent(agent: &Agent) -> Option<Self> {
        match agent.queue_logged_in {
            false => None,
            true if agent.on_call => Some(Presence::OnCall),
            true if agent.is_free() => Some(Presence::Free),
            true => Some(Presence::Other),
        }
    }
}

/// The agents of a queue over a range that is split into equal parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attendance {
    /// For each part, how many milliseconds of it are recorded.
    pub known_ms: Vec<i64>,
    /// Agents who were logged in to the queue at some time.
    pub agents: Vec<Attended>,
}

/// An agent's time in a range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attended {
    /// The agent's name in CallTools; empty if there is none.
    pub name: String,
    /// For each part, the milliseconds of each state in the order of [`Presence::ALL`].
    pub parts: Vec<[i64; 3]>,
    /// When the agent was first and last logged in.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
}

/// One record: the ids of agents by [`Presence`].
pub(super) type Ids = [Vec<i64>; 3];

/// Builds an attendance from records in order of time.
pub(super) struct Counting {
    range: Range,
    known_ms: Vec<i64>,
    agents: HashMap<i64, Attended>,
    last: Option<(i64, Ids)>,
}

impl Counting {
    pub fn over(range: Range) -> Self {
        Self {
            range,
            known_ms: vec![0; range.len()],
            agents: HashMap::new(),
            last: None,
        }
    }

    pub fn add(&mut self, at_ms: i64, ids: Ids) {
        self.hold_last_until(at_ms);
        self.last = Some((at_ms, ids));
    }

    /// Counts the last record until the next one, but not for long: after that, nothing is known.
    fn hold_last_until(&mut self, next_ms: i64) {
        let Some((at_ms, ids)) = self.last.take() else {
            return;
        };
        let from_ms = at_ms.max(self.range.from_ms);
        let to_ms = next_ms.min(at_ms + HOLDS_MS).min(self.range.to_ms);
        if from_ms >= to_ms {
            return;
        }
        let parts: Vec<_> = self.range.split(from_ms, to_ms).collect();
        for (n, ms) in &parts {
            self.known_ms[*n] += ms;
        }
        for (kind, ids) in ids.iter().enumerate() {
            for id in ids {
                let agent = self.agents.entry(*id).or_insert_with(|| Attended {
                    parts: vec![[0; 3]; self.range.len()],
                    first_ms: from_ms,
                    ..Attended::default()
                });
                agent.last_ms = to_ms;
                for (n, ms) in &parts {
                    agent.parts[*n][kind] += ms;
                }
            }
        }
    }

    /// Returns the result, with agents' names by their ids.
    pub fn finish(mut self, names: &HashMap<i64, String>) -> Attendance {
        self.hold_last_until(i64::MAX);
        let named = |(id, agent): (i64, Attended)| Attended {
            name: names.get(&id).cloned().unwrap_or_default(),
            ..agent
        };
        Attendance {
            known_ms: self.known_ms,
            agents: self.agents.into_iter().map(named).collect(),
        }
    }
}
