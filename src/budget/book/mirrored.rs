//! Requests that other nodes of a cluster sent.

use super::Book;
use crate::budget::{
    owner::OwnerId,
    window::{Mark, Request, STAYS_MIRRORED},
    witness::Mirrored,
};

impl Book {
    /// Counts a request that another node of the cluster sent. Of a request that is known already, it only records the answer: each node's own
    /// time is late enough.
    pub fn mirror(&mut self, id: OwnerId, other: &Mirrored) {
        let leaves = self.now + other.stays.min(STAYS_MIRRORED);
        let number = self.next_request;
        let window = &mut self.hour(id).window;
        let changed = match window.marked(other.mark) {
            Some(known) if other.answered && !known.answered => {
                window.answered(known.id, known.polling, leaves)
            }
            Some(_) => None,
            None => {
                let request = Request {
                    id: number,
                    owner: id,
                    polling: other.polling,
                    answered: other.answered,
                    leaves,
                    mark: Some(other.mark),
                };
                window.add(request);
                self.next_request += 1;
                Some(request)
            }
        };
        if let Some(request) = changed {
            self.note(request);
        }
    }

    /// Returns whether an owner's hour has requests that were sent in a cluster.
    pub fn has_marks(&mut self, id: OwnerId) -> bool {
        let mut requests = self.hour(id).window.requests();
        requests.any(|request| request.mark.is_some())
    }

    /// Fills an owner's hour up to `limit`, as if `process` had sent the missing requests just now. Returns how many those are.
    pub fn spend_the_rest(&mut self, id: OwnerId, limit: u32, process: u64) -> usize {
        let room = (limit as usize).saturating_sub(self.hour(id).window.used());
        for _ in 0..room {
            let number = self.next_request;
            let request = Request {
                id: number,
                owner: id,
                // Polling may use only a part of the limit, so its requests could not fill the hour.
                polling: false,
                answered: true,
                leaves: self.now + STAYS_MIRRORED,
                mark: Some(Mark { process, number }),
            };
            self.hour(id).window.add(request);
            self.next_request += 1;
            self.note(request);
        }
        self.changes.urgent |= room > 0;
        room
    }

    /// Returns all requests in an owner's hour, for other nodes of the cluster. Requests without a mark get one of `process`.
    pub fn mirrored(&mut self, id: OwnerId, process: u64) -> Vec<Mirrored> {
        let now = self.now;
        let window = &mut self.hour(id).window;
        let marked = window.mark_all(process);
        let requests = window.requests();
        let of_cluster = requests.filter_map(|request| {
            Some(Mirrored {
                mark: request.mark?,
                polling: request.polling,
                answered: request.answered,
                stays: request.leaves.saturating_sub(now),
            })
        });
        let all = of_cluster.collect();
        marked.into_iter().for_each(|request| self.note(request));
        all
    }
}
