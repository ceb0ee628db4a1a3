//! An account's place in the cluster, as the rest of the program sees it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{
    entry::{Entry, Silence},
    message::{Answer, Arrived, Question, What},
    pending::Pending,
};
use crate::{
    budget::{Admitted, Budget, Mirrored, Witness},
    clock::{Clock, Moment},
    decision::reservations::ReservationId,
    model::{digest::Digest, fault::EngineRefusal},
};

/// How long after its admission a request may be sent.
pub(super) const SEND_WITHIN: Duration = Duration::from_secs(2);

/// How many orders may wait for the member's task: as many as a busy router causes in a second. More fail.
pub(super) const ORDERS: usize = 1_024;

/// The maximum of nodes whose queues a leader polls: far more than machines route the calls of one account.
pub const MAX_NODES: usize = 1_024;

/// The role of a member for its account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Another node sends the requests, or the leader is unknown.
    #[default]
    Following,
    /// This node sends the requests.
    Leading,
}

/// A node, as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Whether it leads the account.
    pub leads: bool,
    /// How many entries it was behind the log's end when it last published its position, at least.
    pub behind: u64,
}

/// The state of the cluster, for metrics and pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the engine was ever asked.
    pub asked: bool,
    /// Whether the engine answered the last command.
    pub up: bool,
    /// What it refuses, if it answers but is not up.
    pub refusal: Option<Arc<EngineRefusal>>,
    /// Why this node may not lead: another one has registered the account differently.
    pub claim_refusal: Option<Arc<EngineRefusal>>,
    /// Whether this node leads the account.
    pub leads: bool,
    /// Whether it goes on without the engine.
    pub is_alone: bool,
    /// The current epoch.
    pub epoch: u64,
    /// When this node had last read the whole log.
    pub up_to_date: Option<Moment>,
    /// The living nodes, by name.
    pub nodes: Vec<NodeStatus>,
}

/// An order to the member's task.
#[derive(Debug)]
pub(super) enum Order {
    /// Publish an entry, and report whether it is in the log.
    Publish(Box<Entry>, Option<oneshot::Sender<bool>>),
    /// The same, unless this node has begun to lead again since it began for this time.
    PublishIn(u64, Box<Entry>, oneshot::Sender<bool>),
    /// Put a question to the leader.
    Ask {
        /// Identifies its answer.
        id: u64,
        /// The question itself.
        what: What,
        /// Since the boot: after that, nobody waits for the answer, and it is not put. `None` if nobody ever does.
        until: Option<Duration>,
    },
    /// Answer a node.
    Answer(String, Answer),
    /// Answer a question about a request that another node sends.
    Spender(Box<Question>),
    /// Claim the account's key, and report whether this node has it.
    Claim(oneshot::Sender<bool>),
    /// Count with the limits of a new config.
    Count(Arc<Budget>),
    /// Tell the account's task everything again.
    Repeat,
}

/// Until when a member may act as the leader, and whether its account's task is ready for that.
#[derive(Debug, Default)]
pub(super) struct Tenure {
    /// In nanoseconds since the boot.
    until: AtomicU64,
    /// How often the member has begun to lead.
    begun: AtomicU64,
    /// For which of these the account's task has applied everything that was read before.
    ready: AtomicU64,
}

impl Tenure {
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns how often the member has begun to lead.
    pub fn number(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    pub fn set(&self, until: Duration) {
        self.until.store(until.as_nanos() as u64, Ordering::Release);
    }

    pub fn until(&self) -> Duration {
        Duration::from_nanos(self.until.load(Ordering::Acquire))
    }
}

/// What a leader publishes, and where the test answers whether it is in the log, if the leader waits for that.
#[cfg(test)]
pub(crate) type Published = (Entry, Option<oneshot::Sender<bool>>);

/// See the [module](self).
#[derive(Debug)]
pub struct Member {
    pub(super) key: String,
    pub(super) process: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tenure: Arc<Tenure>,
    /// What no other key of the engine may have: the identity, then the name. Empty for a budget.
    pub(super) claims: watch::Sender<Vec<String>>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) bell: Arc<Notify>,
    pub(super) questions: mpsc::Sender<Arrived>,
    /// Whether this node answers questions to the leader, at once or as soon as it leads.
    pub(super) listens: Arc<AtomicBool>,
    pub(super) pending: Arc<Pending>,
    /// Seats that repeated requests were promised, and when they expire.
    pub(super) promised: Mutex<HashMap<ReservationId, Moment>>,
    /// Ends its task, which goes on for a while when the process stops.
    pub(super) end: CancellationToken,
}

impl Member {
    /// Creates a member whose cluster has this status.
    #[cfg(test)]
    pub fn of_status(status: Status, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::made(watch::channel(status).1, mpsc::channel(1).0, clock)
    }

    /// Creates a member whose task is the test.
    #[cfg(test)]
    pub(super) fn with_orders(orders: mpsc::Sender<Order>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Self::made(watch::channel(Status::default()).1, orders, clock)
    }

    /// Creates a member that leads for an hour. The test gets what it publishes, and answers as the log.
    #[cfg(test)]
    pub(crate) fn leading(clock: Arc<dyn Clock>) -> (Arc<Self>, mpsc::Receiver<Published>) {
        Self::leading_while(true, clock)
    }

    /// Creates the same, whose engine answers or not.
    #[cfg(test)]
    pub(crate) fn leading_while(
        is_up: bool,
        clock: Arc<dyn Clock>,
    ) -> (Arc<Self>, mpsc::Receiver<Published>) {
        let (orders, mut ordered) = mpsc::channel(16);
        let (log, logged) = mpsc::channel(16);
        let (reported, status) = watch::channel(Status {
            up: is_up,
            ..Status::default()
        });
        let member = Self::made(status, orders, clock);
        let until = member.clock.now().boot + Duration::from_secs(3600);
        member.tenure.set(until);
        tokio::spawn(async move {
            while let Some(order) = ordered.recv().await {
                let _ = match order {
                    Order::Publish(entry, done) => log.send((*entry, done)).await,
                    Order::PublishIn(_, entry, done) => log.send((*entry, Some(done))).await,
                    _ => Ok(()),
                };
            }
            drop(reported); // Until then, the member's task seems to run.
        });
        (member, logged)
    }

    #[cfg(test)]
    fn made(
        status: watch::Receiver<Status>,
        orders: mpsc::Sender<Order>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        Arc::new(Self {
            key: "key".to_owned(),
            process: 1,
            clock,
            tenure: Arc::default(),
            claims: watch::Sender::default(),
            orders,
            role: watch::channel(Role::default()).1,
            status,
            bell: Arc::default(),
            questions: mpsc::channel(1).0,
            listens: Arc::default(),
            pending: Arc::default(),
            promised: Mutex::default(),
            end: CancellationToken::new(),
        })
    }

    /// Claims these instead of what it claimed before.
    pub(super) fn claim(&self, claims: Vec<String>) {
        self.claims.send_if_modified(|now| {
            let is_new = *now != claims;
            *now = claims;
            is_new
        });
    }

    /// Returns the account's key in the engine.
    #[cfg(test)]
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Returns its role, and changes of it.
    pub fn role(&self) -> watch::Receiver<Role> {
        self.role.clone()
    }

    /// Returns the state of the cluster.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Returns whether the engine answered the last command. Otherwise it would pass no question on.
    pub fn is_up(&self) -> bool {
        self.status.borrow().up
    }

    /// Waits until a node is known to lead in another epoch than this.
    pub async fn leader_after(&self, epoch: u64) {
        let mut status = self.status.clone();
        let leads = |status: &Status| status.epoch != epoch && status.leader().is_some();
        if status.wait_for(leads).await.is_err() {
            // The member's task has ended, so no leader will be known.
            std::future::pending().await
        }
    }

    /// Returns how often this node has begun to lead.
    pub fn tenures(&self) -> u64 {
        self.tenure.number()
    }

    /// Records that the account's task has applied everything that was read before this node began to lead for the `tenure`th time.
    pub fn set_ready(&self, tenure: u64) {
        self.tenure.ready.store(tenure, Ordering::Release);
    }

    /// Returns whether the account's task knows everything that was read before this node last began to lead.
    pub fn is_ready(&self) -> bool {
        self.tenure.ready.load(Ordering::Acquire) == self.tenures()
    }

    /// Returns whether this node decides about seats: it leads, and knows all that are held.
    pub fn gives_seats(&self) -> bool {
        self.gives_seats_in().is_some()
    }

    /// Returns for which time this node leads, if it decides about seats. A decision holds only in that tenure.
    pub fn gives_seats_in(&self) -> Option<u64> {
        let tenure = self.tenures();
        let is_ready = self.tenure.ready.load(Ordering::Acquire) == tenure;
        (is_ready && self.leads()).then_some(tenure)
    }

    /// Publishes CallTools' answers. Nothing outside depends on them, so this does not wait for the log.
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

    /// Publishes an entry that was decided in this tenure, and waits until it is in the log. Between two tenures another node may have decided otherwise.
    /// Returns `Some(false)` if other nodes may hear of it or not, and `None` if none will.
    pub(super) async fn publish_in(&self, tenure: u64, entry: Entry) -> Option<bool> {
        let (done, published) = oneshot::channel();
        let order = Order::PublishIn(tenure, entry.into(), done);
        self.orders.try_send(order).ok()?;
        published.await.ok()
    }

    /// Publishes that a reservation has ended. Other nodes hold its seat until they hear of it.
    pub fn ended(&self, id: ReservationId) {
        let entry = Entry {
            ended: vec![id],
            ..Entry::default()
        };
        let _ = self.orders.try_send(Order::Publish(entry.into(), None));
    }

    /// Counts requests by the limits of this budget from now on.
    pub async fn count(&self, budget: Arc<Budget>) {
        let _ = self.orders.send(Order::Count(budget)).await;
    }

    /// Answers a question of another node.
    pub async fn answer(&self, node: String, answer: Answer) {
        let _ = self.orders.send(Order::Answer(node, answer)).await;
    }

    /// Counts a request that another node sends, and answers that node.
    pub async fn count_for(&self, question: Question) {
        let _ = self.orders.send(Order::Spender(question.into())).await;
    }

    /// Returns whether the account's key is this node's own. Otherwise its token is perhaps another account's.
    pub(super) async fn has_claim(&self) -> bool {
        let (done, claimed) = oneshot::channel();
        self.orders.try_send(Order::Claim(done)).is_ok() && claimed.await.unwrap_or(false)
    }

    /// Tells the account's task everything that is known, because it follows queues that it did not before.
    pub fn repeat(&self) {
        let _ = self.orders.try_send(Order::Repeat);
    }

    /// Ends its task, because the account has left the config.
    pub fn leave(&self) {
        self.end.cancel();
    }

    /// Answers without waiting; the answer is dropped if the member's task is too busy.
    pub fn answer_soon(&self, node: String, answer: Answer) {
        let _ = self.orders.try_send(Order::Answer(node, answer));
    }

    fn send(&self, entry: Entry) {
        let _ = self.orders.try_send(Order::Publish(entry.into(), None));
    }
}

/// Returns the claim to an identity.
pub(super) fn claim_of(identity: &str) -> String {
    Digest::new(identity).short()
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
            requests: vec![Mirrored::admitted(self.process, admitted).answered_now()],
            ..Entry::default()
        });
    }

    fn goes_on_as(&self, identity: &str) {
        let mut claims = self.claims.borrow().clone();
        let Some(claim) = claims.first_mut() else {
            return;
        };
        let was = std::mem::replace(claim, claim_of(identity));
        if was == *claim {
            return;
        }
        self.claim(claims);
        // It may be another account's token. Nothing is sent until the task has claimed it, and renews the lease.
        self.tenure.set(Duration::ZERO);
    }

    fn silenced(&self, throttled: bool, wait: Option<Duration>) {
        // Pauses that another node published are not published again.
        if self.leads() {
            self.send(Entry {
                silences: vec![Silence { throttled, wait }],
                ..Entry::default()
            });
        }
    }
}
