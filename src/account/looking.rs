//! Looks for agents who are missing from a list, by polls of their queues. Pure.

use std::{collections::HashMap, time::Duration};

use crate::{clock::Moment, model::agent::AgentId};

/// How often the queues of a missing agent are polled out of turn: after each page, they would take the slots of all other queues.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The agents who are looked for, and since when.
#[derive(Debug, Default)]
pub(super) struct Looking(HashMap<AgentId, Moment>);

impl Looking {
    /// Returns those of the missing agents who were not looked for within the last minute.
    pub fn for_missing<'a>(
        &mut self,
        missing: impl Iterator<Item = &'a AgentId>,
        now: Moment,
    ) -> Vec<AgentId> {
        self.0
            .retain(|_, since| now.boot_since(*since) < AGAIN_AFTER);
        let due: Vec<_> = missing
            .filter(|id| !self.0.contains_key(*id))
            .cloned()
            .collect();
        self.0.extend(due.iter().map(|id| (id.clone(), now)));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    #[test]
    fn a_missing_agent_is_looked_for_at_once_and_then_once_a_minute() {
        let mut looking = Looking::default();
        let ids = ["ann", "bob"].map(|id| AgentId(id.into()));
        let mut due = |seconds, count: usize| {
            let due = looking.for_missing(ids[..count].iter(), at(seconds));
            due.iter().map(|id| id.0.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(due(0, 1), ["ann"]);
        assert_eq!(due(4, 1), [""; 0]);
        assert_eq!(due(8, 2), ["bob"]);
        assert_eq!(due(59, 2), [""; 0]);
        assert_eq!(due(60, 2), ["ann"]);
        assert_eq!(due(70, 0), [""; 0]);
        assert_eq!(due(119, 2), ["bob"]);
    }
}
