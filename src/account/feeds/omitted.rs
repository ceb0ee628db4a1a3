//! Agents whose last change only other lists have shown. One change may be missed by accident, but not two in a row of the same agent.

use std::{collections::HashMap, time::Duration};

use crate::{
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// How long a missed change is remembered. In a large account, hours can pass until other lists show the agent again.
const MISS_LASTS: Duration = Duration::from_secs(3 * 3600);

/// The agents, and when another list showed their change.
#[derive(Debug, Default)]
pub(super) struct Omitted(HashMap<AgentId, Moment>);

impl Omitted {
    /// Adds an agent whose change was missed. Returns whether the change before was missed as well.
    pub fn add(&mut self, agent: &AgentId, as_of: Moment) -> bool {
        let before = self.0.insert(agent.clone(), as_of);
        before.is_some_and(|at| as_of.longest_since(at) < MISS_LASTS)
    }

    /// Removes the agents on a page.
    pub fn listed(&mut self, rows: &[Agent]) {
        if !self.0.is_empty() {
            for row in rows {
                self.0.remove(&row.id);
            }
        }
    }
}
