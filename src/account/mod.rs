//! One task per CallTools account: it asks the [schedule](crate::schedule) what to do next, gets a permit from the
//! [budget](crate::budget), has it done, and publishes on the [board](crate::board) what came of it.
//!
//! The task owns everything that changes; what it starts are short-lived tasks in a set that it watches, so none can be lost. A
//! fault of this account harms no other: each has its own client, budget and task.

mod job;
mod token;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::job::snapshot;
use self::job::{Done, Outcome};
pub use self::token::TokenKeeper;
use crate::{
    board::{Board, QueueKey},
    budget::{Budget, Cause, Payer, Permit, Purpose, Refusal},
    calltools::{Client, Fault, Harvest, NoSuchQueue, Setback},
    clock::{Clock, Moment},
    config::{QueueRef, Rule},
    metrics::Metrics,
    names::Names,
    schedule::{Ending, Job, Need, Next, Schedule},
    server::{RefreshError, RefreshRequest},
    store::Store,
};

/// A budget that says no for longer than this explains why answers grow old; a shorter wait is the ordinary pace. Half of the
/// shortest default `max_age`.
const WORTH_TELLING: Duration = Duration::from_secs(30);

/// Timers are set for a day at most: Tokio's do not reach for ever.
const LONGEST_SLEEP: Duration = Duration::from_secs(86_400);

/// A queue, as the task that polls it needs it.
#[derive(Debug)]
pub struct Polled {
    /// Its place on the board.
    pub key: QueueKey,
    /// How the config names it.
    pub reference: QueueRef,
    /// How its seats are counted.
    pub rule: Rule,
}

impl Polled {
    fn need(&self) -> Need {
        Need {
            id: matches!(self.reference, QueueRef::Name(_)),
            statuses: matches!(self.rule, Rule::Seats { .. }),
        }
    }
}

/// What an account's task is made of.
#[derive(Debug)]
pub struct Parts {
    /// Whose requests they are.
    pub payer: Payer,
    /// In the order of the config.
    pub queues: Vec<Polled>,
    /// Sends what the budget permits.
    pub client: Client,
    /// The account's.
    pub budget: Arc<Budget>,
    /// Where snapshots are published.
    pub board: Arc<Board>,
    /// Told of what people should see.
    pub metrics: Arc<Metrics>,
    /// Keeps names over a restart.
    pub store: Option<Arc<Store>>,
    /// For stamps.
    pub clock: Arc<dyn Clock>,
    /// Shared with the server.
    pub names: watch::Sender<Arc<Names>>,
    /// Refreshes that somebody asked for.
    pub refreshes: mpsc::Receiver<RefreshRequest>,
    /// Reads the token again when CallTools refuses it; `None` where there is nothing to read.
    pub token: Option<TokenKeeper>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Account {
    parts: Parts,
    name: Arc<str>,
    schedule: Schedule,
    /// Ids of the queues, once they are known; in the order of the config.
    ids: Vec<Option<u64>>,
    /// Since when the budget says no.
    refused_since: Option<Moment>,
    /// Things said in the log once.
    login_assumed: bool,
}

impl Account {
    /// A task that has not asked anything yet.
    pub fn new(parts: Parts) -> Self {
        let schedule = Schedule::new(parts.queues.iter().map(Polled::need));
        let mut account = Self {
            name: parts.payer.account.as_str().into(),
            ids: vec![None; parts.queues.len()],
            schedule,
            parts,
            refused_since: None,
            login_assumed: false,
        };
        account.restore_names();
        account.resolve();
        account
    }

    /// Polls until told to stop.
    ///
    /// # Errors
    /// A poll that panicked: the process ends then, and is started again, rather than serve ever older answers.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        // Dropping the set ends what is under way; its permits stay spent.
        let mut jobs = JoinSet::new();
        loop {
            let wait = self.start_what_is_due(&mut jobs).await;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(done) = jobs.join_next() => self.ended(done?),
                Some(request) = self.parts.refreshes.recv() => self.refresh(request, &mut jobs).await,
                () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    /// Starts jobs until there is nothing to start; returns the time to wait for more.
    async fn start_what_is_due(&mut self, jobs: &mut JoinSet<Done>) -> Duration {
        loop {
            let (job, purpose) = match self.schedule.next(self.now()) {
                Next::Wait(wait) => return wait,
                Next::Start { job, cold: true } => (job, Purpose::ColdStart),
                Next::Start { job, cold: false } => (job, Purpose::Poll),
            };
            match self.parts.budget.permit(purpose).await {
                Ok(permit) => {
                    self.permitted();
                    self.schedule
                        .started(job, self.now(), self.parts.budget.period());
                    self.spawn(jobs, job, purpose, permit, None);
                }
                Err(refusal) => {
                    self.refused(refusal);
                    return refusal.wait;
                }
            }
        }
    }

    fn spawn(
        &self,
        jobs: &mut JoinSet<Done>,
        job: Job,
        purpose: Purpose,
        permit: Permit,
        asked_by: Option<oneshot::Sender<Result<(), RefreshError>>>,
    ) {
        if let Job::Poll(queue) = job {
            self.parts
                .board
                .attempt(&self.parts.queues[queue].key, self.parts.clock.now());
        }
        let id =
            |queue: usize| self.ids[queue].expect("the schedule polls queues whose ids are known");
        let work = match job {
            Job::Queues => job::Work::Queues,
            Job::Statuses => job::Work::Statuses,
            Job::Poll(queue) => job::Work::Agents(id(queue)),
        };
        let (client, names) = (
            self.parts.client.clone(),
            Arc::clone(&self.parts.names.borrow()),
        );
        jobs.spawn(async move {
            Done {
                job,
                outcome: work.perform(&client, &names, purpose, permit).await,
                asked_by,
            }
        });
    }

    fn permitted(&mut self) {
        let waited = self
            .refused_since
            .take()
            .map(|since| self.parts.clock.now().longest_since(since));
        self.parts
            .metrics
            .budget_wait(&self.name, waited.unwrap_or_default());
    }

    fn refused(&mut self, refusal: Refusal) {
        let now = self.parts.clock.now();
        self.refused_since.get_or_insert(now);
        self.schedule.refused(refusal.wait, now.boot);
        if refusal.cause != Cause::Pace && refusal.wait > WORTH_TELLING {
            self.fail_all(&Arc::new(fault_of(refusal)));
        }
    }

    /// Somebody wants a queue polled now, out of the reserve.
    async fn refresh(&mut self, request: RefreshRequest, jobs: &mut JoinSet<Done>) {
        let queue = self
            .parts
            .queues
            .iter()
            .position(|queue| queue.key == request.queue);
        let Some(queue) = queue.filter(|queue| self.ids[*queue].is_some()) else {
            let state = self.parts.board.get(&request.queue);
            let fault = state.and_then(|state| state.fault.as_deref().cloned());
            let unknown = || {
                Fault::down(
                    crate::calltools::Down::TimeOut,
                    "the queue's id is not known yet",
                )
            };
            let _ = request
                .reply
                .send(Err(fault.unwrap_or_else(unknown).into()));
            return;
        };
        match self.parts.budget.permit(Purpose::OnDemand).await {
            Ok(permit) => self.spawn(
                jobs,
                Job::Poll(queue),
                Purpose::OnDemand,
                permit,
                Some(request.reply),
            ),
            Err(refusal) => {
                let _ = request.reply.send(Err(refusal.into()));
            }
        }
    }

    fn ended(&mut self, done: Done) {
        let Done {
            job,
            outcome,
            asked_by,
        } = done;
        let result = self.take_in(job, outcome);
        if let Some(asked_by) = asked_by {
            let reply = result.map(|_| ()).map_err(|setback| match setback {
                Setback::Fault(fault) => RefreshError::Failed(fault),
                Setback::Refused(refusal) => RefreshError::Refused(refusal),
            });
            // Whoever asked may have gone.
            let _ = asked_by.send(reply);
            return;
        }
        let ending = match &result {
            Ok(requests) => Ending::Well {
                requests: *requests,
            },
            Err(Setback::Fault(fault)) => Ending::Badly(fault),
            Err(Setback::Refused(_)) => Ending::Unpaid,
        };
        let now = self.now();
        self.schedule.ended(job, ending, now, fastrand::f64());
        if let Err(Setback::Refused(refusal)) = result {
            self.refused(refusal);
        }
    }

    /// Takes in what a job brought; returns the number of requests it took.
    fn take_in(&mut self, job: Job, outcome: Outcome) -> Result<u32, Setback> {
        match (job, outcome) {
            (_, Outcome::Queues(Ok(queues))) => {
                self.take_in_names(|names| names.queues = Some(queues))
            }
            (_, Outcome::Statuses(Ok(statuses))) => {
                self.take_in_names(|names| names.statuses = Some(statuses))
            }
            (Job::Poll(queue), Outcome::Agents(Ok(harvest))) => Ok(self.publish(queue, harvest)),
            (
                _,
                Outcome::Queues(Err(setback))
                | Outcome::Statuses(Err(setback))
                | Outcome::Agents(Err(setback)),
            ) => {
                if let Setback::Fault(fault) = &setback {
                    self.tell(job, Arc::new(fault.clone()));
                }
                Err(setback)
            }
            (Job::Queues | Job::Statuses, Outcome::Agents(Ok(_))) => {
                unreachable!("agents come from polls")
            }
        }
    }

    fn take_in_names(&mut self, change: impl FnOnce(&mut Names)) -> Result<u32, Setback> {
        let mut names = Names::clone(&self.parts.names.borrow());
        change(&mut names);
        if let Some(store) = &self.parts.store {
            store.keep_names(&self.parts.payer, &names, self.parts.clock.now());
        }
        self.parts.names.send_replace(Arc::new(names));
        match self.resolve() {
            // One request is what these lists take: they have a page of 250 entries.
            None => Ok(1),
            Some(fault) => Err(Setback::Fault(fault)),
        }
    }

    /// Looks up the ids of the queues that are configured by name; returns why one of them has none.
    fn resolve(&mut self) -> Option<Fault> {
        let names = Arc::clone(&self.parts.names.borrow());
        let mut unresolved = None;
        for place in 0..self.parts.queues.len() {
            match id_of(&self.parts.queues[place].reference, &names) {
                None => {}
                Some(Ok(id)) => self.identify(place, id, &names),
                Some(Err(fault)) => {
                    self.fail(place, &Arc::new(fault.clone()));
                    unresolved = Some(fault);
                }
            }
        }
        unresolved
    }

    fn identify(&mut self, place: usize, id: u64, names: &Names) {
        let name = names.queue_name(id).map(Arc::from);
        self.parts
            .board
            .identify(&self.parts.queues[place].key, id, name);
        self.ids[place] = Some(id);
        self.schedule.id_known(place);
    }

    fn restore_names(&mut self) {
        let now = self.parts.clock.now();
        let stored = self
            .parts
            .store
            .as_ref()
            .and_then(|store| store.names(&self.parts.payer, now));
        let Some((names, age)) = stored else { return };
        if names.statuses.is_some() {
            self.schedule.statuses_known(age, now.boot);
        }
        self.parts.names.send_replace(Arc::new(names));
    }

    fn publish(&mut self, place: usize, harvest: Harvest) -> u32 {
        let queue = &self.parts.queues[place];
        let (key, now, requests) = (&queue.key, self.parts.clock.now(), harvest.requests);
        let notes = harvest.notes.clone();
        let snapshot = job::snapshot(harvest, &queue.rule);
        if !snapshot.complete {
            self.parts.metrics.incomplete_snapshot(key);
            let agents = snapshot.agents.len();
            tracing::warn!(queue = %key, agents, "CallTools' count does not fit the rows it sent, in two readings; published as incomplete");
        }
        if notes.skipped > 0 {
            self.parts.metrics.skipped_rows(key, notes.skipped as u64);
            tracing::warn!(queue = %key, rows = notes.skipped, "rows could not be read and are left out");
        }
        if notes.queue_login_assumed && !self.login_assumed {
            self.login_assumed = true;
            tracing::warn!(queue = %key, "rows have no queue_logged_in; logged_in is taken for it");
        }
        if !notes.unknown_statuses.is_empty() {
            self.schedule.saw_unknown_status();
        }
        if let Err(mismatch) = &snapshot.measured {
            tracing::warn!(queue = %key, %mismatch, "the criteria do not fit what CallTools sent: unknown");
        }
        let was = self
            .parts
            .board
            .get(key)
            .and_then(|state| state.fault.clone());
        self.parts.board.publish(key, snapshot, now);
        if let Some(fault) = was {
            tracing::info!(queue = %key, after = %fault, "polled again");
        }
        requests
    }

    /// Tells whom a fault concerns: one queue, or all that wait for the same thing.
    fn tell(&mut self, job: Job, fault: Arc<Fault>) {
        if matches!(*fault, Fault::BadToken)
            && let Some(token) = &self.parts.token
        {
            token.read_again();
        }
        match (job, &*fault) {
            (_, Fault::BadToken | Fault::Throttled { .. } | Fault::BudgetSpent { .. }) => {
                self.fail_all(&fault)
            }
            (Job::Poll(place), Fault::NoSuchQueue(_)) => {
                if self.parts.queues[place].need().id {
                    self.schedule.id_refused(place);
                }
                self.fail(place, &fault);
            }
            (Job::Poll(place), _) => self.fail(place, &fault),
            (Job::Queues | Job::Statuses, _) => self.fail_waiting(&fault),
        }
    }

    /// A list could not be read: that is why the queues that need it have no snapshot.
    fn fail_waiting(&self, fault: &Arc<Fault>) {
        for place in 0..self.parts.queues.len() {
            let state = self.parts.board.get(&self.parts.queues[place].key);
            if state.is_some_and(|state| state.snapshot.is_none()) {
                self.fail(place, fault);
            }
        }
    }

    fn fail_all(&self, fault: &Arc<Fault>) {
        (0..self.parts.queues.len()).for_each(|place| self.fail(place, fault));
    }

    fn fail(&self, place: usize, fault: &Arc<Fault>) {
        let key = &self.parts.queues[place].key;
        let was = self
            .parts
            .board
            .get(key)
            .and_then(|state| state.fault.clone());
        if was.is_none_or(|was| was.word() != fault.word()) {
            tracing::warn!(queue = %key, fault = fault.word(), advice = fault.advice(), "{fault}");
        }
        self.parts.board.fail(key, Arc::clone(fault));
    }

    fn now(&self) -> Duration {
        self.parts.clock.now().boot
    }
}

/// The id behind a reference, if it can be told yet; an error if it can be told that there is none.
pub(crate) fn id_of(reference: &QueueRef, names: &Names) -> Option<Result<u64, Fault>> {
    match reference {
        QueueRef::Id(id) => Some(Ok(*id)),
        QueueRef::Name(_) if names.queues.is_none() => None,
        QueueRef::Name(name) => Some(
            names
                .resolve(name)
                .map_err(|none: NoSuchQueue| Fault::NoSuchQueue(none)),
        ),
    }
}

/// Why there is nothing new, when the budget is the reason.
pub(crate) fn fault_of(refusal: Refusal) -> Fault {
    match refusal.cause {
        Cause::Throttled => Fault::Throttled {
            wait: Some(refusal.wait),
        },
        Cause::Pace | Cause::Spent | Cause::Ledger => Fault::BudgetSpent { wait: refusal.wait },
    }
}
