//! This process as a node of the cluster: its engine, and a member for each account.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    codec,
    engine::{Engine, Heard, RedisEngine},
    entry::Entry,
    member::{Member, ORDERS, Order, Role, Status, Tenure, claim_of},
    message::Arrived,
    pending::Pending,
    task::{Deps, Task},
};
use crate::{budget::Budget, clock::Clock, model::digest::Digest};

/// How many entries may wait for an account's task. If it stays busy for longer, it later gets everything at once.
const NEWS: usize = 256;

/// How many questions may wait for an account's task.
const QUESTIONS: usize = 64;

/// How many messages may wait to be dispatched: those of a second with a thousand accounts.
const HEARD: usize = 4_096;

/// Stands for the address of a budget's upstream. No address has a space.
const NO_ORIGIN: &str = "of several accounts";

/// The settings of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name, for people.
    pub name: String,
    /// A leader that is silent for this long is replaced.
    pub lease: Duration,
    /// The only node that may go on without the engine, by its name.
    pub alone: Option<String>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Node {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    /// The random number of this process, so that no other process is ever mistaken for it.
    process: u64,
    /// The newest format that it reads.
    format: u32,
    pending: Arc<Pending>,
    led: Arc<AtomicUsize>,
    members: Mutex<HashMap<String, Arc<Member>>>,
    end: CancellationToken,
}

/// What an account's task gets from the cluster.
#[derive(Debug)]
pub struct Membership {
    /// Its place in the cluster.
    pub member: Arc<Member>,
    /// Whether this node leads, and changes of that.
    pub role: watch::Receiver<Role>,
    /// The leader's entries.
    pub news: mpsc::Receiver<Arc<Entry>>,
    /// Questions of other nodes, if this one leads.
    pub questions: mpsc::Receiver<Arrived>,
    /// Its task, until that is started.
    pub task: Option<Task>,
}

/// A member that has not started, because it needs a budget first.
pub struct NewMember {
    membership: Membership,
    parts: NewMemberParts,
}

impl std::fmt::Debug for NewMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewMember")
            .field("member", &self.membership.member.key)
            .finish_non_exhaustive()
    }
}

struct NewMemberParts {
    account: Arc<str>,
    claims: watch::Receiver<Vec<String>>,
    orders: mpsc::Receiver<Order>,
    role: watch::Sender<Role>,
    status: watch::Sender<Status>,
    news: mpsc::Sender<Arc<Entry>>,
}

impl Node {
    /// Creates a node without members.
    pub fn new(engine: Arc<dyn Engine>, settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self {
            engine,
            clock,
            settings,
            process: fastrand::u64(1..),
            format: codec::FORMAT,
            pending: Arc::default(),
            led: Arc::default(),
            members: Mutex::default(),
            end: CancellationToken::new(),
        }
    }

    fn members(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Member>>> {
        // Only insertions and removals happen under the lock, so a panic leaves nothing half done.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets other nodes lead first.
    #[cfg(test)]
    pub(crate) fn lead_last(&self) {
        self.led.fetch_add(10, Ordering::Relaxed);
    }

    /// Reads and writes formats up to this one, as another version does.
    #[cfg(test)]
    pub(crate) fn with_format(self, format: u32) -> Self {
        Self { format, ..self }
    }

    /// Returns the id of this process in the engine.
    pub fn id(&self) -> String {
        format!("{:016x}", self.process)
    }

    /// Returns its name, for people.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns an account's member. Its name and address identify it, so that a rotated token continues its hour; `identity` is a digest of address
    /// and token. A member that did not exist comes with its parts, for [`membership`](Self::membership).
    pub fn member(
        &self,
        account: &Arc<str>,
        origin: &str,
        identity: &str,
    ) -> (Arc<Member>, Option<NewMember>) {
        let claims = vec![
            claim_of(identity),
            format!("name {}", Digest::new(&**account).short()),
        ];
        self.member_with(account, origin, claims)
    }

    fn member_with(
        &self,
        account: &Arc<str>,
        origin: &str,
        claims: Vec<String>,
    ) -> (Arc<Member>, Option<NewMember>) {
        let key = Digest::new(format!("{account}\n{origin}")).short();
        if let Some(member) = self.members().get(&key) {
            // It claims a new token only once that is used: the reload may yet fail.
            return (Arc::clone(member), None);
        }
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (claims, claimed) = watch::channel(claims);
        let (role, roles) = watch::channel(Role::default());
        let (status, statuses) = watch::channel(Status::default());
        let (news_to, news) = mpsc::channel(NEWS);
        let (questions_to, questions) = mpsc::channel(QUESTIONS);
        let member = Arc::new(Member {
            key: key.clone(),
            process: self.process,
            clock: Arc::clone(&self.clock),
            tenure: Arc::<Tenure>::default(),
            claims,
            orders,
            role: roles.clone(),
            status: statuses,
            bell: Arc::<Notify>::default(),
            questions: questions_to,
            listens: Arc::default(),
            pending: Arc::clone(&self.pending),
            promised: Mutex::default(),
            end: self.end.child_token(),
        });
        self.members().insert(key, Arc::clone(&member));
        let new = NewMember {
            membership: Membership {
                member: Arc::clone(&member),
                role: roles,
                news,
                questions,
                task: None,
            },
            parts: NewMemberParts {
                account: Arc::clone(account),
                claims: claimed,
                orders: ordered,
                role,
                status,
                news: news_to,
            },
        };
        (member, Some(new))
    }

    /// Returns the member of a budget that several accounts share. It has a lease and a log of its own.
    pub fn budget(&self, budget: &Arc<str>) -> (Arc<Member>, Option<NewMember>) {
        let name = format!("budget {budget}");
        self.member_with(&name.as_str().into(), NO_ORIGIN, Vec::new())
    }

    /// Returns what the account's task needs. `budget` admits the account's requests; `None` if a shared budget counts them.
    pub fn membership(&self, new: NewMember, budget: Option<Arc<Budget>>) -> Membership {
        let NewMember { membership, parts } = new;
        let task = self.task(&membership.member, parts, budget, None);
        Membership {
            task: Some(task),
            ..membership
        }
    }

    /// Returns the task of a shared budget's member.
    pub fn budget_task(&self, new: NewMember, budget: Arc<Budget>) -> Task {
        let NewMember { membership, parts } = new;
        let (member, questions) = (&membership.member, membership.questions);
        self.task(member, parts, Some(budget), Some(questions))
    }

    fn task(
        &self,
        member: &Member,
        parts: NewMemberParts,
        budget: Option<Arc<Budget>>,
        spenders: Option<mpsc::Receiver<Arrived>>,
    ) -> Task {
        Task::new(Deps {
            key: member.key.clone(),
            account: parts.account,
            claims: parts.claims,
            node: self.id(),
            process: self.process,
            format: self.format,
            name: self.settings.name.clone(),
            lease: self.settings.lease,
            alone: self.settings.alone.clone(),
            engine: Arc::clone(&self.engine),
            clock: Arc::clone(&self.clock),
            budget,
            spenders,
            tenure: Arc::clone(&member.tenure),
            orders: parts.orders,
            role: parts.role,
            status: parts.status,
            bell: Arc::clone(&member.bell),
            news: parts.news,
            listens: Arc::clone(&member.listens),
            end: member.end.clone(),
            led: Arc::clone(&self.led),
        })
    }

    /// Ends all tasks of its members. They go on after a stop, as followers, so that requests in progress can ask the next leader.
    pub fn end(&self) {
        self.end.cancel();
    }

    /// Listens for bells, questions and answers until the [`end`](Self::end).
    pub async fn listen(self: Arc<Self>, engine: Arc<RedisEngine>) {
        let (heard, mut messages) = mpsc::channel(HEARD);
        let (id, stop) = (self.id(), self.end.clone());
        let clock = Arc::clone(&self.clock);
        let listening = async move { engine.listen(&id, heard, &*clock, stop).await };
        let dispatching = async {
            while let Some(message) = messages.recv().await {
                self.hear(message);
            }
        };
        tokio::join!(listening, dispatching);
    }

    /// Hears a message that was sent now and waits for this long on its way, such as while this process is paused.
    #[cfg(test)]
    pub(crate) fn hear_after(self: &Arc<Self>, waits: Duration, mut message: Heard) {
        if let Heard::Question(_, arrived) = &mut message {
            arrived.after = self.clock.now().boot;
        }
        if waits.is_zero() {
            return self.hear(message);
        }
        let node = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(waits).await;
            node.hear(message);
        });
    }

    /// Passes a message to its member.
    pub(crate) fn hear(&self, message: Heard) {
        let member = |key: &str| self.members().get(key).map(Arc::clone);
        match message {
            Heard::Bell(key) => {
                if let Some(member) = member(&key) {
                    member.bell.notify_one();
                }
            }
            Heard::Question(key, arrived) => {
                if let Some(member) = member(&key)
                    && member.listens.load(Ordering::Relaxed)
                {
                    // If this node is too busy, the asking node times out.
                    let _ = member.questions.try_send(arrived);
                }
            }
            Heard::Answer(answer) => {
                if let Ok(answer) = serde_json::from_slice(&answer) {
                    self.pending.answered(answer);
                }
            }
        }
    }
}
