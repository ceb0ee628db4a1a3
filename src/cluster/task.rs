//! A member's task: keeps the lease or waits for it, publishes the leader's entries, and reads the log.
//!
//! It does one thing at a time, so all writes have one order. Each command ends within a second.

mod alone;
mod data_set;
mod engine_clock;
mod holding;
mod missing;
mod nodes;
mod reading;
mod spending;
mod together;
mod writing;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::{
    alone::Company,
    data_set::{Claim, Registration, Spoilt},
    engine_clock::EngineClock,
    missing::{Confirmed, Missed},
    nodes::Node,
    together::Before,
    writing::Draft,
};
use super::{
    command::{Command, Position, Reply},
    engine::{Engine, EngineError},
    entry::{Entry, Standing},
    lease::Candidate,
    member::{Order, Role, Status, Tenure},
    message::Arrived,
};
use crate::{
    budget::Budget,
    clock::{Clock, Moment},
    model::fault::EngineRefusal,
};

/// The minimum time between two looks at the lease.
const PAUSE: Duration = Duration::from_millis(100);

/// What a task works with.
pub(super) struct Deps {
    pub key: String,
    /// The account's name, for the log.
    pub account: Arc<str>,
    /// The id of this process in the engine.
    pub node: String,
    pub process: u64,
    /// The newest format that this node reads.
    pub format: u32,
    /// The name of this node, for people.
    pub name: String,
    pub lease: Duration,
    /// The only node that may go on without the engine, by its name.
    pub alone: Option<String>,
    /// What no other key of the engine may have, first its address and token, then its name.
    pub claims: watch::Receiver<Vec<String>>,
    pub engine: Arc<dyn Engine>,
    pub clock: Arc<dyn Clock>,
    /// Counts the requests of the log; `None` for an account that shares its budget.
    pub budget: Option<Arc<Budget>>,
    /// Questions to the leader of a budget; `None` for an account, whose own task answers.
    pub spenders: Option<mpsc::Receiver<Arrived>>,
    pub tenure: Arc<Tenure>,
    pub orders: mpsc::Receiver<Order>,
    pub role: watch::Sender<Role>,
    pub status: watch::Sender<Status>,
    pub bell: Arc<Notify>,
    pub news: mpsc::Sender<Arc<Entry>>,
    pub listens: Arc<AtomicBool>,
    /// Ends the task.
    pub end: CancellationToken,
    /// The number of accounts that this process leads.
    pub led: Arc<AtomicUsize>,
}

/// See the [module](self).
pub struct Task {
    deps: Deps,
    candidate: Candidate,
    standing: Standing,
    /// The last entry that was read or written.
    position: Position,
    confirmed: Confirmed,
    /// Whether this node has read everything up to `position`.
    is_synced: bool,
    generation: Option<String>,
    beats: u64,
    next_beat: Duration,
    next_read: Duration,
    /// Nothing is done before this time, so that an engine that does not answer is not asked again at once.
    not_before: Duration,
    registration: Registration,
    engine_clock: EngineClock,
    is_up: bool,
    /// What the engine refused to the last command.
    refusal: Option<Arc<EngineRefusal>>,
    /// Whether the account's task missed news.
    has_lost_news: bool,
    draft: Draft,
    nodes: HashMap<String, Node>,
    /// The limit of another node that was logged as smaller.
    smaller_limit: Option<u32>,
    mirrors_seen: HashMap<String, Duration>,
    /// How often the mirrors are still to be read, because new nodes have appeared.
    mirrors_due: u8,
    last_epoch: u64,
    /// How often it tried to lead since it has the lease.
    tries: u8,
    /// It had the lease and could not read the log, and has not read it since.
    gave_up: bool,
    /// Whether an entry that cannot be used was logged.
    logged_bad_entry: bool,
    /// Whether an entry of another version could not be read, and no checkpoint has replaced it yet.
    unread: bool,
    /// The process stops, so this node follows and no longer leads.
    is_stopping: bool,
    company: Company,
    /// Whether the data set may lack what its mirror has, until that is written.
    must_mirror: bool,
    /// Until then this node knows every request of the hour: while it leads, and a moment longer.
    knows_all_until: Duration,
    /// The data set that was new while it knew them all.
    knows_all_of: Option<String>,
    missed: Option<Missed>,
    before: Option<Before>,
    /// When to look again for a checkpoint behind a gap.
    next_look_behind: Duration,
    /// Until then nobody may know the whole hour: the log began without one who knew.
    ignorant_until: Duration,
    /// Whether this data set has what this node counts for its lost ledger.
    has_told_assumed: bool,
    /// What is spoilt in the engine.
    spoilt: Option<Spoilt>,
    /// The data set that the engine has named instead of discarding it.
    mark: Option<String>,
    /// Whether it is decided what counts after a loss of this node's ledger.
    is_settled: bool,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("account", &self.deps.account)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Task {
    pub(super) fn new(deps: Deps) -> Self {
        Self {
            candidate: Candidate::new(deps.node.clone(), deps.lease),
            is_stopping: false,
            must_mirror: false,
            company: Company::new(
                deps.alone.as_ref() == Some(&deps.name),
                deps.clock.now().boot,
            ),
            deps,
            standing: Standing::default(),
            position: Position::default(),
            confirmed: Confirmed::default(),
            is_synced: false,
            generation: None,
            beats: 0,
            next_beat: Duration::ZERO,
            next_read: Duration::ZERO,
            not_before: Duration::ZERO,
            registration: Registration::default(),
            engine_clock: EngineClock::default(),
            is_up: false,
            refusal: None,
            has_lost_news: false,
            draft: Draft::new(),
            nodes: HashMap::new(),
            smaller_limit: None,
            mirrors_seen: HashMap::new(),
            mirrors_due: 0,
            last_epoch: 0,
            tries: 0,
            gave_up: false,
            logged_bad_entry: false,
            unread: false,
            knows_all_until: Duration::ZERO,
            knows_all_of: None,
            missed: None,
            before: None,
            next_look_behind: Duration::ZERO,
            ignorant_until: Duration::ZERO,
            has_told_assumed: false,
            spoilt: None,
            mark: None,
            is_settled: false,
        }
    }

    /// Runs until `stop`, then gives the lease away. After that it follows until its end.
    pub async fn run(mut self, stop: CancellationToken) {
        let (bell, end) = (Arc::clone(&self.deps.bell), self.deps.end.clone());
        let mut was_turn = false;
        loop {
            let wait = self.wait();
            // A new timer fires up to a millisecond late, so a waiting order would always come first. Between two turns it does.
            let is_due = !std::mem::take(&mut was_turn) && wait.is_zero();
            let rest = async {
                if !is_due {
                    tokio::time::sleep(wait).await;
                }
            };
            tokio::select! {
                biased;
                () = end.cancelled() => return self.resign().await,
                () = stop.cancelled(), if !self.is_stopping => self.stop().await,
                () = rest => {
                    self.turn().await;
                    was_turn = true;
                }
                Some(order) = self.deps.orders.recv() => self.obey(order).await,
                Some(asked) = next(&mut self.deps.spenders) => self.hear_spender(&asked).await,
                () = bell.notified() => {
                    if !self.leads() {
                        self.read().await;
                    }
                }
            }
            self.report();
        }
    }

    fn now(&self) -> Moment {
        self.deps.clock.now()
    }

    fn leads(&self) -> bool {
        *self.deps.role.borrow() == Role::Leading
    }

    /// Returns how long until this node may take the lease; `None` if it must not.
    fn may_take_in(&self, now: Duration) -> Option<Duration> {
        let is_ready = !(self.is_stopping || self.unread || self.gave_up);
        let may = is_ready && self.has_company(now);
        let led = self.deps.led.load(Ordering::Relaxed);
        let rests = || self.candidate.may_take_in(now, led);
        let claims_in = self.registration.not_before.saturating_sub(now);
        may.then(rests).flatten().map(|wait| wait.max(claims_in))
    }

    /// Returns how long until something is due.
    fn wait(&self) -> Duration {
        let now = self.now().boot;
        let mut due = self.next_beat;
        if self.leads() {
            due = due.min(self.acts_until());
        } else {
            due = due.min(self.next_read);
            if let Some(wait) = self.may_take_in(now) {
                // A moment later, so that the wait has ended by then.
                due = due.min(now + wait + Duration::from_millis(1));
            }
        }
        due.max(self.not_before).saturating_sub(now)
    }

    async fn turn(&mut self) {
        let now = self.now().boot;
        if self.leads() && now >= self.acts_until() {
            let account = &*self.deps.account;
            match now >= self.candidate.acts_until() {
                true => tracing::warn!(
                    account,
                    "the lease could not be renewed in time; this node sends nothing more"
                ),
                false => tracing::warn!(
                    account,
                    alone = self.deps.alone,
                    "the node that may go on alone is away, so this node sends nothing more"
                ),
            }
            self.depose();
        }
        let may_take = self.may_take_in(now);
        if now >= self.next_beat || may_take.is_some_and(|wait| wait.is_zero()) {
            self.beat().await;
        } else if !self.leads() {
            self.read().await;
        }
    }

    /// Runs a command; `None` without an answer.
    async fn ask(&mut self, command: &Command) -> Option<Reply> {
        let sent = self.now().boot;
        let answered = self.deps.engine.run(&self.deps.key, command).await;
        let is_spoilt = answered.as_ref().is_err_and(EngineError::is_spoilt);
        self.is_up = answered.is_ok() || is_spoilt;
        let refusal = answered.as_ref().err().and_then(EngineError::refusal);
        self.refusal = refusal.map(Arc::new);
        if self.is_up {
            self.company.heard = sent;
        }
        match answered {
            Ok(reply) => Some(reply),
            Err(error) => {
                if is_spoilt {
                    self.found_spoilt(&error);
                }
                tracing::debug!(account = &*self.deps.account, %error, "a command got no answer");
                None
            }
        }
    }

    /// Looks at the lease, and renews or takes it.
    async fn beat(&mut self) {
        let begun = self.now().boot;
        self.not_before = begun + PAUSE;
        self.next_beat = begun + self.deps.lease / 3;
        self.beats += 1;
        self.note_look(begun);
        self.discard_what_is_spoilt().await;
        let look = Command::Look {
            node: self.deps.node.clone(),
            info: serde_json::to_vec(&self.info()).expect("texts and numbers serialize"),
            generation: new_generation(),
        };
        let Some(Reply::Seen(look)) = self.ask(&look).await else {
            return self.go_on_alone();
        };
        let now = self.now();
        self.end_alone();
        self.note_time(look.time, now);
        self.confirmed.looked(&look);
        self.candidate.looked(&look, now.boot);
        if self.candidate.is_at_the_end() {
            self.found_spoilt(&"no epoch comes after this one");
        }
        self.see_nodes(&look, now.boot);
        let changes_format = self.choose_format(now.boot);
        if self.leads() && self.candidate.held().is_none() {
            let account = &*self.deps.account;
            match look.lease.is_empty() {
                true => tracing::warn!(
                    account,
                    "this node's lease is gone from the engine, so this node sends nothing more"
                ),
                false => tracing::warn!(account, lease = look.lease, "another node has the lease"),
            }
            self.depose();
        }
        self.see_data_set(&look, now.boot).await;
        if !self.has_company(now.boot) {
            self.resign().await;
        } else if self.candidate.held().is_some() {
            // A new token may be another account's. Without an answer, the lease ends by itself.
            match self.claim().await {
                Claim::Refused => self.resign().await,
                Claim::Granted => self.renew().await,
                Claim::Unanswered => {}
            }
        } else if self
            .may_take_in(now.boot)
            .is_some_and(|wait| wait.is_zero())
        {
            // It counts from now on, so that accounts spread although their leases may all be taken at the same moment.
            self.deps.led.fetch_add(1, Ordering::Relaxed);
            if self.claim().await == Claim::Granted {
                self.take().await;
            }
            self.deps.led.fetch_sub(1, Ordering::Relaxed);
        }
        if !self.leads() {
            self.read().await;
        } else if self.mirrors_due > 0 {
            self.mirrors_due -= 1;
            self.read_mirrors().await;
        }
        let must_tell = changes_format || self.draft.leaves_gap || !self.draft.untold.is_empty();
        if self.leads() && must_tell {
            self.publish(Entry::default()).await;
        }
        self.forget_nodes().await;
    }
}

/// Returns the mark of a new data set.
fn new_generation() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// How the mark of a data set begins that replaces a spoilt one. Random marks have other letters.
const REPLACES: &str = "r";

/// Returns the mark of a data set that replaces a spoilt one.
fn replacement() -> String {
    format!("{REPLACES}{}", new_generation())
}

async fn next(questions: &mut Option<mpsc::Receiver<Arrived>>) -> Option<Arrived> {
    questions.as_mut()?.recv().await
}
