//! Requests that other nodes of a cluster sent.

use super::Book;
use crate::budget::{
    Purpose,
    owner::OwnerId,
    window::{Allowance, Mark, Request, STAYS_MIRRORED},
    witness::Mirrored,
};

impl Book {
    /// Counts requests that other nodes of the cluster sent. Of a request that is already known, it only records the answer: each node's own time is
    /// late enough.
    pub fn mirror(&mut self, id: OwnerId, others: &[Mirrored]) {
        if others.is_empty() {
            return;
        }
        let marks = others.iter().map(|other| other.mark).collect();
        let mut known = self.hour(id).window.marked(&marks);
        for other in others {
            let leaves = self.now + other.stays.min(STAYS_MIRRORED);
            let number = self.next_request;
            let window = &mut self.hour(id).window;
            let changed = match known.get(&other.mark) {
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
                known.insert(other.mark, request);
                self.note(request);
            }
        }
    }

    /// Counts a request that another node wants to send, if there is room. A request that was already counted may be sent unless the hour is over its
    /// limit.
    pub fn admit_mirrored(&mut self, id: OwnerId, allowance: Allowance, other: &Mirrored) -> bool {
        let purpose = match other.polling {
            true => Purpose::Poll,
            false => Purpose::OnDemand,
        };
        let window = &self.hour(id).window;
        if (window.requests()).any(|request| request.mark == Some(other.mark)) {
            return window.used() <= allowance.limit as usize;
        }
        let has_room = window.room_at(allowance, purpose).is_none();
        if has_room {
            self.mirror(id, std::slice::from_ref(other));
            self.changes.urgent = true;
        }
        has_room
    }

    /// Removes an admitted request that is not sent after all.
    pub fn withdraw(&mut self, id: OwnerId, number: u64, polling: bool) {
        let now = self.now;
        if let Some(request) = self.hour(id).window.answered(number, polling, now) {
            self.note(request);
        }
    }

    /// Returns whether an owner's hour has requests that were sent in a cluster.
    pub fn has_marks(&mut self, id: OwnerId) -> bool {
        let mut requests = self.hour(id).window.requests();
        requests.any(|request| request.mark.is_some() && !request.is_assumed())
    }

    /// Returns the requests that count only because the ledger was lost. Once they are settled as sent, they get the same marks of `process`.
    pub fn assumed(&mut self, id: OwnerId, process: u64) -> Vec<Mirrored> {
        let now = self.now;
        let requests = self.hour(id).window.requests();
        let assumed = requests.filter(|request| request.is_assumed());
        let assumed = assumed.map(|request| Mirrored {
            mark: Mark {
                process,
                number: request.id,
            },
            polling: request.polling,
            answered: request.answered,
            stays: request.leaves.saturating_sub(now),
        });
        assumed.collect()
    }

    /// Settles the requests that count because the ledger was lost. If other nodes know the hour, they no longer count; otherwise they count as sent,
    /// and for other nodes as well. Returns how many no longer count.
    pub fn settle(&mut self, id: OwnerId, is_known: bool) -> usize {
        let now = self.now;
        let assumed = self.hour(id).window.take_assumed();
        for request in &assumed {
            let settled = match is_known {
                true => Request {
                    leaves: now,
                    ..*request
                },
                false => Request {
                    mark: None,
                    ..*request
                },
            };
            if !is_known {
                self.hour(id).window.add(settled);
            }
            self.note(settled);
        }
        if is_known { assumed.len() } else { 0 }
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

    /// Returns all requests in an owner's hour, for other nodes of the cluster, except those that are only assumed. Requests without a mark get one of
    /// `process`.
    pub fn mirrored(&mut self, id: OwnerId, process: u64) -> Vec<Mirrored> {
        let now = self.now;
        let window = &mut self.hour(id).window;
        let marked = window.mark_all(process);
        let requests = window.requests();
        let requests = requests.filter(|request| !request.is_assumed());
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
