//! Agents whom the pages of a list may hide.
//!
//! A list is read page by page while it changes. If an agent leaves a page that was read already, the rows behind move up, and the first of the next
//! page slips to a page that is not read again. So an agent is hidden only between two pages. Pure.

use std::collections::HashSet;

use crate::model::agent::AgentId;

/// Returns the agents of the last reading, in its `order`, who are not on this one and would be between two of its pages. `place` returns where an
/// agent is on this one, `ends` are its first and its last place, and `is_edge` says whether a page ends between two places.
pub(super) fn slipped<P: Copy>(
    order: &[AgentId],
    place: impl Fn(&AgentId) -> Option<P>,
    ends: [P; 2],
    is_edge: impl Fn(P, P) -> bool,
) -> HashSet<AgentId> {
    let (mut slipped, mut absent) = (HashSet::new(), Vec::new());
    let [mut before, end] = ends;
    for id in order {
        let Some(place) = place(id) else {
            absent.push(id.clone());
            continue;
        };
        match is_edge(before, place) {
            true => slipped.extend(absent.drain(..)),
            false => absent.clear(),
        }
        before = place;
    }
    if is_edge(before, end) {
        slipped.extend(absent);
    }
    slipped
}
