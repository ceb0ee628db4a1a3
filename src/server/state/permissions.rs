//! What callers may do with which queues.

use super::app::App;
use crate::{
    decision::board::QueueKey,
    server::http::{rights::Rights, rule::Need},
};

impl App {
    /// Whether a caller may name a queue. Names are looked up each time, since CallTools may rename a queue.
    pub(in crate::server) fn may_name(&self, rights: Rights, queue: &QueueKey) -> bool {
        let Rights::Client(place) = rights else {
            return true;
        };
        let queues = self
            .clients
            .get(place)
            .map(|client| client.queues.as_deref());
        match queues {
            Some(None) => true,
            Some(Some(names)) => names.iter().any(|name| {
                let found = self.find_named(name);
                found.is_ok_and(|found| found.key == *queue)
            }),
            None => false,
        }
    }

    /// Whether a caller has this right for the queues that it may name.
    pub(in crate::server) fn may(&self, rights: Rights, need: Need) -> bool {
        match rights {
            Rights::All => true,
            Rights::Look => matches!(need, Need::Ask | Need::Read),
            Rights::Client(place) => {
                let client = self.clients.get(place);
                client.is_some_and(|client| client.may(need))
            }
        }
    }

    /// Whether a caller may name every queue.
    pub(in crate::server) fn may_name_all(&self, rights: Rights) -> bool {
        let Rights::Client(place) = rights else {
            return true;
        };
        let client = self.clients.get(place);
        client.is_some_and(|client| client.queues.is_none())
    }
}
