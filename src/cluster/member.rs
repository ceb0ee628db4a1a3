//! An account's place in the cluster, as the rest of the program sees it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{
    entry::{Entry, HeldSeat, Silence},
    message::{Answer, Said, What},
};
use crate::{
    budget::{Admitted, Mirrored, Witness},
    clock::{Clock, Moment},
    decision::reservations::{Reservation, ReservationId},
};

/// How long after its entry was logged a request may still be sent.
const SEND_WITHIN: Duration = Duration::from_secs(2);

/// How many orders may wait for the member's task: those of a second from a busy router. Further ones fail.
pub(super) const ORDERS: usize = 1_024;

/// The most questions that wait for answers in a process. Each is a request that waits, too.
const MAX_PENDING: usize = 1_024;

/// What a member does for its account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Another node sends the requests, or nobody knows who.
    #[default]
    Following,
    /// This node does.
    Leading,
}

/// A node, as it tells others about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether it leads the account.
    pub leads: bool,
    /// How many entries it is behind the log's end, when it last told.
    pub behind: u64,
}

/// How the cluster does, for metrics and pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The engine was asked for the first time.
    pub asked: bool,
    /// The engine has answered the last command.
    pub up: bool,
    /// This node leads the account.
    pub leads: bool,
    /// The present epoch.
    pub epoch: u64,
    /// When this node knew everything that the log says for the last time.
    pub up_to_date: Option<Moment>,
    /// The living nodes, by name.
    pub nodes: Vec<NodeStatus>,
}

/// What the member's task is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Publish an entry, and tell whether it is in the log.
    Publish(Box<Entry>, Option<oneshot::Sender<bool>>),
    /// Ask the leader.
    Ask(What, oneshot::Sender<Said>),
    /// Answer a node.
    Answer(String, Answer),
}

/// Until when a member may act as the leader.
#[derive(Debug, Default)]
pub(super) struct Tenure(AtomicU64);

impl Tenure {
    pub fn set(&self, until: Duration) {
        self.0.store(until.as_nanos() as u64, Ordering::Release);
    }

    fn until(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Acquire))
    }
}

/// Answers that this process waits for.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<u64, oneshot::Sender<Said>>>);

impl Pending {
    /// A number for a question; `None` if too many wait.
    pub fn add(&self, reply: oneshot::Sender<Said>) -> Option<u64> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, reply| !reply.is_closed());
        let id = fastrand::u64(..);
        (pending.len() < MAX_PENDING).then(|| {
            pending.insert(id, reply);
            id
        })
    }

    pub fn answered(&self, answer: Answer) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reply) = pending.remove(&answer.id) {
            // The caller may have given up.
            let _ = reply.send(answer.said);
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Member {
    pub(super) key: String,
    pub(super) process: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tenure: Arc<Tenure>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) bell: Arc<Notify>,
    pub(super) questions: mpsc::Sender<Vec<u8>>,
}

impl Member {
    /// A member whose cluster does so.
    #[cfg(test)]
    pub fn of_status(status: Status, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::made(status, mpsc::channel(1).0, clock)
    }

    /// A member whose task is the test.
    #[cfg(test)]
    pub(super) fn with_orders(orders: mpsc::Sender<Order>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::made(Status::default(), orders, clock)
    }

    #[cfg(test)]
    fn made(status: Status, orders: mpsc::Sender<Order>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            key: "key".to_owned(),
            process: 1,
            clock,
            tenure: Arc::default(),
            orders,
            role: watch::channel(Role::default()).1,
            status: watch::channel(status).1,
            bell: Arc::default(),
            questions: mpsc::channel(1).0,
        })
    }

    /// What it does now, and changes of that.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// How the cluster does.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Publishes what CallTools said. It has no effect outside, so nobody waits for it.
    pub async fn publish(&self, entry: Entry) {
        if !entry.is_empty() {
            let _ = self.orders.send(Order::Publish(entry.into(), None)).await;
        }
    }

    /// Publishes an entry, and waits until it is in the log.
    pub async fn publish_and_wait(&self, entry: Entry) -> bool {
        let (done, published) = oneshot::channel();
        let order = Order::Publish(entry.into(), Some(done));
        self.orders.try_send(order).is_ok() && published.await.unwrap_or(false)
    }

    /// Publishes a seat that is held here, and waits until it is in the log.
    pub async fn held(&self, queue: &Arc<str>, reservation: &Reservation) -> bool {
        self.publish_and_wait(Entry {
            held: vec![HeldSeat {
                queue: Arc::clone(queue),
                reservation: reservation.clone(),
            }],
            ..Entry::default()
        })
        .await
    }

    /// Publishes that a reservation has ended. The others hold its seat until they hear of it.
    pub fn ended(&self, id: ReservationId) {
        let entry = Entry {
            ended: vec![id],
            ..Entry::default()
        };
        let _ = self.orders.try_send(Order::Publish(entry.into(), None));
    }

    /// Asks the leader. `None` without an answer in time; it may have done it nevertheless.
    pub async fn ask(&self, what: What, patience: Duration) -> Option<Said> {
        let (reply, said) = oneshot::channel();
        self.orders.try_send(Order::Ask(what, reply)).ok()?;
        tokio::time::timeout(patience, said).await.ok()?.ok()
    }

    /// Answers a question of another node.
    pub async fn answer(&self, node: String, answer: Answer) {
        let _ = self.orders.send(Order::Answer(node, answer)).await;
    }

    /// The same without waiting; a task that is too busy answers nothing.
    pub fn answer_soon(&self, node: String, answer: Answer) {
        let _ = self.orders.try_send(Order::Answer(node, answer));
    }

    fn send(&self, entry: Entry) {
        let _ = self.orders.try_send(Order::Publish(entry.into(), None));
    }
}

impl Witness for Member {
    fn leads(&self) -> bool {
        self.clock.now().boot < self.tenure.until()
    }

    fn process(&self) -> u64 {
        self.process
    }

    fn admitted(&self, admitted: Admitted) -> BoxFuture<'_, bool> {
        let entry = Entry {
            requests: vec![Mirrored::admitted(self.process, &admitted)],
            ..Entry::default()
        };
        Box::pin(async move { self.publish_and_wait(entry).await && self.may_send(&admitted) })
    }

    fn may_send(&self, admitted: &Admitted) -> bool {
        let now = self.clock.now().boot;
        now < self.tenure.until() && now <= admitted.at.boot + SEND_WITHIN
    }

    fn answered(&self, admitted: &Admitted) {
        self.send(Entry {
            requests: vec![Mirrored::answered(self.process, admitted)],
            ..Entry::default()
        });
    }

    fn silenced(&self, throttled: bool, wait: Option<Duration>) {
        // What others tell of is not told again.
        if self.leads() {
            self.send(Entry {
                silences: vec![Silence { throttled, wait }],
                ..Entry::default()
            });
        }
    }
}
