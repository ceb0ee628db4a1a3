//! Holds and releases seats for calls of other nodes in a cluster, by the rules of the node that asks.

use std::{sync::Arc, time::Duration};

use super::{Account, wishes::queue_of};
use crate::{
    cluster::{
        member::Member,
        message::{Said, What},
    },
    config,
    decision::{
        DecisionInput, Policy, Reason,
        board::{QueueKey, QueueState},
        reservations::{Reservation, ReservationId, Reserved, TTL},
        soon::rule::Prediction,
    },
    model::{hours::OpeningHours, quantity::Quantity},
};

impl Account {
    /// Returns the state of a queue, and its opening hours, by the asking node's config: by the lines that came with its question, or else by its last
    /// wish. `None` if that is not known yet.
    fn state_for(
        &mut self,
        asker: &str,
        key: &QueueKey,
        lines: Option<&str>,
    ) -> Option<(Arc<QueueState>, Option<Arc<OpeningHours>>)> {
        let state = self.deps.board.get(key)?;
        let mut queues = self.deps.queues.iter();
        let Some(place) = queues.position(|queue| queue.key == *key) else {
            return lines.is_none().then_some((state, None));
        };
        let own = &self.deps.queues[place];
        let is_own = |lines: &str| {
            lines == config::Queue::lines(&own.reference, own.hours.as_deref(), &own.rule)
        };
        let asked = match lines {
            Some(lines) if is_own(lines) => None,
            Some(lines) => Some(queue_of(lines)?),
            None => self.wishes.queue(asker, &own.reference).cloned(),
        };
        let Some(config::Queue { rule, hours, .. }) = asked else {
            return Some((state, own.hours.clone()));
        };
        if rule == own.rule {
            return Some((state, hours));
        }
        let snapshot = self.snapshot_by(&rule, place).map(Arc::new);
        let state = QueueState {
            snapshot,
            ..QueueState::clone(&state)
        };
        Some((Arc::new(state), hours))
    }

    /// Decides by the asking node's rule and policy, and holds a seat.
    pub(super) async fn reserve(&mut self, member: &Member, asker: &str, what: What) -> Said {
        let What::Reserve {
            queue,
            call_id,
            ttl_ms,
            threshold,
            max_age_ms,
            on_unknown,
            rule,
        } = what
        else {
            return Said::Unlogged;
        };
        let Some(tenure) = member.gives_seats_in() else {
            return Said::Unlogged; // This task must first read what another leader has logged.
        };
        let (key, ttl) = (self.key(&queue), Duration::from_millis(ttl_ms));
        let known = self.state_for(asker, &key, rule.as_deref());
        let Some((state, hours)) = known.filter(|_| TTL.contains(&ttl)) else {
            // The asking node's wish is still on its way.
            return Said::Unlogged;
        };
        let policy = Policy {
            threshold: threshold.and_then(Quantity::new),
            asks_threshold: true,
            max_age: max_age_ms.map(Duration::from_millis),
            on_unknown,
            hours,
        };
        let now = self.deps.clock.now();
        let holds = self.deps.reservations.queue(&key);
        // Other nodes get no predictions, so their calls bet on no agent.
        let reserved = holds.reserve(&call_id, ttl, now, |held| {
            DecisionInput::new(&state, &policy, now).decide(None, held, now)
        });
        let seats = &self.deps.reservations;
        let age = |found: &Reservation| {
            let now = self.deps.clock.now();
            now.longest_since(found.made).as_millis() as u64
        };
        let said = match reserved {
            Reserved::Made(made, _) => {
                self.deps.board.notify();
                let has_seat = member.log_made(tenure, seats, &key, &made).await;
                let id = made.id.to_string();
                has_seat.then_some(Said::Made { id })
            }
            // A request of this node's own may have made it, and still wait for the log.
            Reserved::AlreadyHeld(found) => {
                let has_seat = member.log_found(tenure, seats, &key, &found).await;
                has_seat.then(|| Said::AlreadyHeld {
                    id: found.id.to_string(),
                    age_ms: age(&found),
                    ttl_ms: found.ttl.as_millis() as u64,
                    soon: found.prediction.map(Prediction::figures),
                })
            }
            // Its first poll is under way, and the asking node may know better.
            Reserved::Refused(decision) if decision.reason == Reason::NeverPolled => {
                Some(Said::Unlogged)
            }
            Reserved::Refused(decision) => {
                Some(Said::Rejected(decision.reason.as_str().to_owned()))
            }
            Reserved::Full(_) => Some(Said::Full),
        };
        said.unwrap_or_else(|| {
            self.deps.board.notify();
            Said::Unlogged
        })
    }

    /// Ends a reservation, if it is held.
    pub(super) async fn release(&self, member: &Member, id: &ReservationId) -> Said {
        let seats = &self.deps.reservations;
        let mut held = seats.list(self.deps.clock.now()).into_iter();
        if !held.any(|(_, one)| one.id == *id) {
            return Said::Released(false);
        }
        let Some(tenure) = member.gives_seats_in() else {
            return Said::Unlogged;
        };
        let is_logged = member.release(tenure, seats, id).await;
        self.deps.board.notify();
        match is_logged {
            true => Said::Released(true),
            false => Said::Unlogged,
        }
    }
}
