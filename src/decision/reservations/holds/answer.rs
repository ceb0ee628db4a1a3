//! Ends the reservation of the call that an agent has taken, and lets no other call count on that agent.

use std::time::Duration;

use super::{End, Holds, Reservation, ReservationId};
use crate::{clock::Moment, model::agent::AgentId};

/// A reservation whose call an agent may have.
#[derive(Debug)]
pub struct Taken {
    /// Whether a call of its queue counts on this agent.
    pub is_counted_on: bool,
    /// Its id.
    pub id: ReservationId,
    /// When it was made.
    pub made: Moment,
}

impl Holds {
    /// Returns the reservation of the call that this agent has, if it may be one of these: the oldest, because calls of a queue arrive in their order.
    /// If one of them counts on the agent, the call is one that counts on an agent.
    pub(in crate::decision::reservations) fn call_of(
        &self,
        agent: &AgentId,
        may_be: impl Fn(&Reservation) -> bool,
        now: Moment,
    ) -> Option<Taken> {
        let held = self.current(now);
        let mut these = held.iter().filter(|one| may_be(one));
        let is_counted_on = these.clone().any(|one| one.counts_on_agent(agent));
        let oldest = these.find(|one| !is_counted_on || one.prediction.is_some());
        oldest.map(|one| Taken {
            is_counted_on,
            id: one.id.clone(),
            made: one.made,
        })
    }

    /// Ends a reservation because this agent has its call. Returns the id of the one that counts on another agent now, if any.
    pub(in crate::decision::reservations) fn answer(
        &self,
        id: &ReservationId,
        agent: &AgentId,
        now: Moment,
    ) -> Option<(Reservation, Option<ReservationId>)> {
        self.end(End::Answered, id, now, |ended, held| {
            hand_over(ended, agent, held)
        })
    }

    /// Lets no call that was made by then, a boot time, count on this agent. Their seats stay held. Returns their ids.
    pub(in crate::decision::reservations) fn let_go(
        &self,
        agent: &AgentId,
        made_by: Duration,
    ) -> Vec<ReservationId> {
        if !self.has_any() {
            return Vec::new();
        }
        let mut held = self.lock();
        let is_one =
            |one: &&mut Reservation| one.counts_on_agent(agent) && one.made.boot <= made_by;
        let these = held.iter_mut().filter(is_one);
        let ids: Vec<_> = these
            .map(|one| {
                one.counts_on = None;
                one.id.clone()
            })
            .collect();
        if !ids.is_empty() {
            self.changed(&held);
        }
        ids
    }
}

/// The agent who is gone has the call of the reservation that ended. If that reservation counted on another agent, who is not free yet, this agent
/// passes to a call that counts on the agent who is gone, or on nobody in particular. Returns the id of its reservation.
fn hand_over(
    ended: &Reservation,
    gone: &AgentId,
    held: &mut [Reservation],
) -> Option<ReservationId> {
    let left = ended.counts_on.as_ref().filter(|left| *left != gone);
    let nameless = |one: &Reservation| one.prediction.is_some() && one.counts_on.is_none();
    let waits = || left.and_then(|_| held.iter().position(nameless));
    let on_gone = held.iter().position(|one| one.counts_on_agent(gone));
    let heir = &mut held[on_gone.or_else(waits)?];
    heir.counts_on = left.cloned();
    Some(heir.id.clone())
}
