//! One task per CallTools account. It asks the [`schedule`] what to do next, gets a permit from the [budget](crate::budget), starts the job,
//! and publishes its result on the [board](crate::decision::board).
//!
//! The task owns everything that changes. A fault of one account does not affect others: each has its own client, budget and task. Jobs run in a
//! set that the task watches, so none can be lost.
//!
//! This file is the loop. The other files with `impl Account` act too; most types in the files without only decide, and are pure.
//!
//! - **A poll**: [`schedule`] chooses, [`permits`] asks the budget, a [`job`] reads one list, [`results`] and [`feeding`] apply it, [`failures`]
//!   handles a failure, [`publish`] shows the result. [`faults`] says what is wrong, [`naming`] which queue a name means, [`opening`] which queues
//!   are closed.
//! - **Knowledge**: the [`roster`] of agents; [`feeds`] and [`sweep`] say which lists to trust; [`foresight`] learns for `soon`; [`handover`] stores
//!   it.
//! - **From outside**: [`on_demand`] and [`terms`] handle requests, [`token`] reads the token again.
//! - **In a cluster**: [`leading`] publishes to the other nodes, [`granting`] gives seats, [`wishes`] has the queues of other nodes; [`following`]
//!   listens to the leader, and [`news`] applies what it says.

mod ask;
mod deps;
mod failures;
mod faults;
mod feed_health;
mod feeding;
pub mod feeds;
mod following;
mod foreseeing;
mod foresight;
mod granting;
mod handover;
mod headcount;
mod health;
mod job;
mod leading;
mod looking;
mod naming;
mod newest;
mod news;
mod on_demand;
mod opening;
mod permits;
pub mod plan;
mod publish;
mod queue;
mod remote;
mod results;
pub mod roster;
pub mod schedule;
mod slipped;
mod standing;
pub mod sweep;
mod terms;
#[cfg(test)]
mod tests;
mod token;
mod whole;
mod wishes;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    ask::Waiter,
    faults::Faults,
    feed_health::FeedHealth,
    following::{Event, Followed, is_follower, next_event},
    headcount::Headcount,
    job::Done,
    leading::Told,
    looking::Looking,
    naming::Naming,
    opening::Opening,
    permits::{Storing, stored},
    queue::QueueAtWork,
    token::LOOK_EVERY,
};
pub use self::{
    ask::{Ask, RefreshError, wait_for_newer},
    deps::{Deps, QueueSettings},
    faults::PresentFault,
    headcount::Emptied,
    health::Health,
    terms::{Terms, Way},
    token::TokenKeeper,
};
pub(crate) use self::{job::polled, naming::id_of, permits::fault_of};
use crate::{
    account::{
        feeds::Feeds,
        foresight::Foresight,
        roster::{Passed, Roster},
        schedule::{Job, Next, Schedule},
        sweep::Sweep,
        wishes::Wishes,
    },
    budget::{Permit, Purpose, Refusal},
    calltools::Tally,
    clock::Moment,
    model::{digest::Digest, fault::Fault},
    process::heartbeat::TURN,
};

/// How often the task counts new questions, so that an idle account notices the first one before a person would call it slow. The heartbeat
/// beats as often.
const LISTEN: Duration = TURN;

/// Why the account's task stopped polling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worked {
    /// It was told to stop.
    Stopped,
    /// This node of the cluster no longer leads.
    Deposed,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Account {
    deps: Deps,
    name: Arc<str>,
    schedule: Schedule,
    roster: Roster,
    sweep: Sweep,
    /// How much the current sweep has read.
    swept: Tally,
    /// How much the current filtered list has shown.
    filtered: Tally,
    feeds: Feeds,
    headcount: Headcount,
    foresight: Foresight,
    /// Whether this task polls: always without a cluster, and in one while this node leads. A follower plans nothing and predicts nothing.
    polls: bool,
    /// The queues, in the order of the config, as in `deps.queues`.
    queues: Vec<QueueAtWork>,
    last_number: u64,
    naming: Naming,
    opening: Opening,
    /// Questions that waited, at the last look.
    patient: u64,
    /// Callers that wait for running jobs.
    waiters: HashMap<Job, Vec<Waiter>>,
    /// Since when the budget refuses permits.
    refused_since: Option<Moment>,
    /// The time between requests when a slow pace was last reported.
    told_period: Duration,
    /// The lag of a feed that was last reported.
    told_lag: Option<(feeds::Feed, Duration)>,
    /// The token of the newest request.
    token_sent: Option<Digest>,
    /// When to read the token's file again if CallTools refuses it.
    token_look_at: Duration,
    /// Whether the log says that missing log-ins are assumed.
    login_assumed: bool,
    /// Whether the log says that log-ins are unclear.
    login_unclear: bool,
    faults: Faults,
    /// What the other nodes of the cluster know.
    told: Told,
    /// Whether there may be news for them.
    has_news: bool,
    /// What the other nodes want of this one while it leads.
    wishes: Wishes,
    /// The queues that only other nodes have, by name or id in their configs, whose own polls failed for the last leader. If this node leads, it polls
    /// them as soon as it hears of them.
    failing_guests: BTreeSet<Arc<str>>,
    /// What the board shows of the cluster's engine while this node follows: why no node can lead.
    missing_leader: Option<Arc<Fault>>,
    /// Whether that is because the cluster's engine cannot be used.
    is_engine_missing: bool,
    /// Since when this node, while it follows, could not read some of the leader's rows, or asked for all of them again, in boot time.
    lacks_rows: Option<Duration>,
    feed_health: FeedHealth,
    looking: Looking,
    /// When statuses were last stored.
    kept: Option<Moment>,
    /// Which statuses were stored by then.
    kept_up_to: Passed,
}

impl Account {
    /// Creates a task that has not started.
    ///
    /// # Panics
    /// If the metrics do not have these queues, which is a bug.
    pub fn new(mut deps: Deps) -> Self {
        let known = std::mem::take(&mut deps.known);
        let name: Arc<str> = deps.owner.account.as_str().into();
        let mut account = Self {
            faults: Faults::new(Arc::clone(&name), deps.queues.len()),
            name,
            schedule: Schedule::new(
                deps.queues.iter().map(QueueSettings::need),
                deps.options,
                deps.budget.burst(),
            ),
            roster: Roster::new(deps.queues.len()),
            sweep: Sweep::default(),
            swept: Tally::default(),
            filtered: Tally::default(),
            feeds: Feeds::default(),
            headcount: Headcount::default(),
            foresight: Foresight::new(deps.queues.len(), deps.clock.now()),
            polls: !is_follower(&deps),
            queues: (0..)
                .zip(&deps.queues)
                .map(|(number, queue)| QueueAtWork::new(number, &deps.metrics, &queue.key))
                .collect(),
            last_number: deps.queues.len() as u64,
            naming: Naming::default(),
            opening: Opening::default(),
            patient: 0,
            waiters: HashMap::new(),
            told: Told::default(),
            wishes: Wishes::default(),
            has_news: true,
            deps,
            refused_since: None,
            told_period: Duration::ZERO,
            told_lag: None,
            token_sent: None,
            token_look_at: Duration::ZERO,
            login_assumed: false,
            login_unclear: false,
            feed_health: FeedHealth::default(),
            looking: Looking::default(),
            kept: None,
            kept_up_to: Passed::default(),
            failing_guests: BTreeSet::new(),
            missing_leader: None,
            is_engine_missing: false,
            lacks_rows: None,
        };
        account.patient = account.count_patient();
        account.restore_names(known.names_read);
        let learnt = known.learnt.clone();
        account.take_over(known);
        account.recall_foresight(learnt);
        account.resolve();
        account.look_at_rules();
        account.filter_by_ready_statuses();
        account.plan();
        account.rest_closed_queues();
        account.show_faults();
        account
    }

    /// Polls until told to stop.
    ///
    /// # Errors
    /// A job panicked. The process then ends and restarts, instead of serving ever older answers.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let cluster = self.deps.cluster.as_mut();
        let member = cluster.and_then(|cluster| cluster.task.take());
        let member =
            member.map(|member| AbortOnDropHandle::new(tokio::spawn(member.run(stop.clone()))));
        let ended = self.follow_or_work(stop).await;
        if let Some(member) = member {
            member.await?; // It gives its lease away first.
        }
        ended
    }

    async fn follow_or_work(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            if self.follows() {
                if self.follow_the_leader(&stop).await == Followed::Stopped {
                    return Ok(());
                }
                self = self.lead();
            }
            if self.work(&stop).await? == Worked::Stopped {
                return Ok(());
            }
            self.show_idle(None);
        }
    }

    /// Polls until told to stop, or until another node of the cluster leads.
    async fn work(&mut self, stop: &CancellationToken) -> anyhow::Result<Worked> {
        // A follower has kept the plan of the leader before.
        if !std::mem::replace(&mut self.polls, true) {
            self.plan();
        }
        // Dropping the set cancels running jobs. Their permits stay spent.
        let mut jobs = JoinSet::new();
        let mut storing = None;
        loop {
            self.deps.heartbeat.beat();
            self.show_faults();
            self.follow_the_token();
            self.look_for_another_token();
            self.rest_closed_queues();
            if std::mem::take(&mut self.has_news) {
                self.publish_news().await;
            }
            self.foresee();
            let wait = self.spend_on_what_is_due(&mut storing);
            tokio::select! {
                () = stop.cancelled() => {
                    self.keep_statuses(self.deps.clock.now());
                    self.keep_foresight();
                    return Ok(Worked::Stopped);
                }
                event = next_event(&mut self.deps.cluster) => match event {
                    Event::Question(question) => {
                        self.answer_question(&question, &mut jobs).await;
                        self.has_news = true;
                    }
                    Event::News(news) => {
                        self.take_news(&news);
                        self.has_news = true;
                    }
                    Event::Role if self.follows() => return Ok(Worked::Deposed),
                    Event::Role => {}
                    Event::End => return Ok(Worked::Stopped),
                },
                Some(done) = jobs.join_next() => {
                    self.ended(done?);
                    self.has_news = true;
                }
                stored = stored(&mut storing) => self.start_what_is_due(stored, &mut jobs),
                Some(ask) = self.deps.asks.recv() => self.asked(ask, &mut jobs).await,
                () = tokio::time::sleep(wait.min(LISTEN)) => {}
            }
        }
    }

    /// While CallTools refuses the token, reads its file from time to time, and tries a new token at once.
    fn look_for_another_token(&mut self) {
        let Some(token) = &self.deps.token else {
            return;
        };
        if !self.schedule.is_token_refused() {
            return;
        }
        let now = self.now();
        if token.digest() != self.token_sent {
            self.schedule.try_token();
        } else if now >= self.token_look_at {
            self.token_look_at = now + LOOK_EVERY;
            token.look();
        }
    }

    /// If a job is due, spends a request for it, unless one is being stored. Returns how long to wait for the next job.
    fn spend_on_what_is_due(&mut self, storing: &mut Storing) -> Duration {
        self.count_questions();
        self.show_idle(self.schedule.idle_stretch(self.now()));
        if storing.is_some() {
            return Duration::MAX;
        }
        let purpose = match self.next_job() {
            Ok((_, purpose)) => purpose,
            Err(wait) => {
                self.report_a_slow_pace();
                return wait;
            }
        };
        match self.deps.budget.admit(purpose) {
            Ok(admission) => {
                *storing = Some(Box::pin(admission.stored()));
                Duration::MAX
            }
            Err(refusal) => {
                self.refused(refusal);
                refusal.wait(self.deps.clock.now())
            }
        }
    }

    /// Starts the job that is due, with the request that is stored now. Answers that came meanwhile may have changed which one that is.
    fn start_what_is_due(&mut self, stored: Result<Permit, Refusal>, jobs: &mut JoinSet<Done>) {
        let permit = match stored {
            Ok(permit) => permit,
            Err(refusal) => return self.refused(refusal),
        };
        self.permitted();
        let Ok((job, purpose)) = self.next_job() else {
            return permit.withdraw();
        };
        self.schedule
            .started(job, self.now(), self.deps.budget.period());
        self.spawn(jobs, job, purpose, permit);
    }

    /// Returns the job that is due, or how long to wait for one.
    fn next_job(&self) -> Result<(Job, Purpose), Duration> {
        let next = self.schedule.next(self.now());
        tracing::trace!(account = &*self.name, ?next, "the schedule's choice");
        match next {
            Next::Wait(wait) => Err(wait),
            Next::Start { job, cold: true } => Ok((job, Purpose::Unpaced)),
            Next::Start { job, cold: false } => Ok((job, Purpose::Poll)),
        }
    }

    /// Returns how often each queue was asked about on this node since the last call.
    fn new_questions(&mut self) -> Vec<u64> {
        let queues = self.queues.iter_mut();
        queues.map(QueueAtWork::new_questions).collect()
    }

    /// Tells the schedule about new questions, here and on other nodes: they are demand.
    fn count_questions(&mut self) {
        let mut new = self.new_questions();
        self.add_wishes(&mut new);
        let now = self.now();
        self.schedule.asked(&new, now);
        self.count_waiting(new.iter().sum(), now);
    }

    fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Reads the clock of the schedule: boot time.
    fn now(&self) -> Duration {
        self.deps.clock.boot()
    }
}
