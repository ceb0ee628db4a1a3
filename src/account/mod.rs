//! One task per CallTools account: it asks the [`schedule`] what to do next, gets a permit from the
//! [budget](crate::budget), has it done, and publishes on the [board](crate::decision::board) what came of it.
//!
//! The task owns everything that changes; what it starts are short-lived tasks in a set that it watches, so none can be lost. A
//! fault of this account harms no other: each has its own client, budget and task.
//!
//! This file is the loop and what others ask of it; [`intake`] takes in what came back, [`naming`] knows which queue a name means, [`publish`] shows it, [`faults`] knows what is wrong,
//! [`job`] is the work itself, [`known`] hands on what came of it.

mod ask;
mod faults;
mod headcount;
mod health;
mod intake;
mod job;
mod known;
mod naming;
pub mod plan;
mod publish;
pub mod roster;
pub mod schedule;
pub mod sweep;
mod terms;
#[cfg(test)]
mod tests;
mod token;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{
    ask::Waiter,
    faults::Faults,
    headcount::Headcount,
    job::{Done, Work},
    naming::Naming,
    token::LOOK_EVERY,
};
pub use self::{
    ask::{Ask, RefreshError, wait_for_newer},
    faults::PresentFault,
    headcount::Emptied,
    health::Health,
    terms::{Terms, Way},
    token::TokenKeeper,
};
pub(crate) use self::{job::polled, naming::id_of};
use crate::{
    account::{
        roster::Roster,
        schedule::{Job, Need, Next, Schedule},
        sweep::Sweep,
    },
    budget::{Budget, Cause, Payer, Permit, Purpose, Refusal},
    calltools::{Client, Tally},
    clock::{Clock, Moment},
    config::{QueueRef, Rule, ScheduleOptions},
    decision::{
        board::{Board, QueueKey},
        reservations::Reservations,
        staleness::Staleness,
    },
    metrics::{Metrics, QueueMeters},
    model::{
        digest::Digest,
        fault::{Down, Fault},
        known::Known,
        names::Names,
        quantity::Quantity,
    },
    process::pulse::{Pulse, TURN},
    state::store::Store,
};

/// A budget that says no for longer than this explains why answers grow old; a shorter wait is the ordinary pace. Half of the
/// shortest default `max_age`.
const WORTH_TELLING: Duration = Duration::from_secs(30);

/// How often the task looks what was asked meanwhile, for an idle account's first question to be noticed: well within the time in which
/// a person would call it slow. Its pulse beats as often.
const LISTEN: Duration = TURN;

/// However long the budget says no, it is asked again after this: its clock may have been slower than its wait.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Nothing that is kept is older than a day.
const BEFORE_BOOT: Duration = Duration::from_secs(2 * 86_400);

/// A bucket of permits this full is better spent on a poll of the queue itself, which renews its membership too.
const PLENTY: f64 = 0.8;

/// A queue, as the task that polls it needs it.
#[derive(Clone, Debug)]
pub struct Polled {
    /// Its place on the board.
    pub key: QueueKey,
    /// How the config names it.
    pub reference: QueueRef,
    /// How its seats are counted.
    pub rule: Rule,
    /// What the count is compared with.
    pub threshold: Option<Quantity>,
    /// How old knowledge of it may get; `None` leaves it to the plan.
    pub max_age: Option<Duration>,
}

impl Polled {
    /// What the schedule has to know of it.
    pub fn need(&self) -> Need {
        Need::of(&self.reference, &self.rule)
    }
}

/// What an account's task is made of.
#[derive(Debug)]
pub struct Parts {
    /// Whose requests they are.
    pub payer: Payer,
    /// In the order of the config.
    pub queues: Vec<Polled>,
    /// What the operator says of the schedule.
    pub options: ScheduleOptions,
    /// Sends what the budget permits.
    pub client: Client,
    /// The account's.
    pub budget: Arc<Budget>,
    /// Where snapshots are published.
    pub board: Arc<Board>,
    /// Told of agents who have taken a call.
    pub reservations: Arc<Reservations>,
    /// Told of what people should see, and knows how often each queue is asked about.
    pub metrics: Arc<Metrics>,
    /// Keeps over a restart what it can.
    pub store: Option<Arc<Store>>,
    /// What an earlier task knew of these queues.
    pub known: Known,
    /// For stamps.
    pub clock: Arc<dyn Clock>,
    /// Shared with the server.
    pub names: watch::Sender<Arc<Names>>,
    /// Tells others how the account is.
    pub health: watch::Sender<Health>,
    /// What others ask.
    pub asks: mpsc::Receiver<Ask>,
    /// Reads the token again when CallTools refuses it; `None` where there is nothing to read.
    pub token: Option<Arc<TokenKeeper>>,
    /// Shows that the task turns.
    pub pulse: Pulse,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Account {
    parts: Parts,
    name: Arc<str>,
    schedule: Schedule,
    roster: Roster,
    sweep: Sweep,
    /// How much the sweep under way has brought.
    swept: Tally,
    headcount: Headcount,
    /// Ids of the queues, once they are known; in the order of the config.
    ids: Vec<Option<u64>>,
    /// Numbers of the queues that stay with them, wherever a new config puts them.
    seats: Vec<u64>,
    last_seat: u64,
    naming: Naming,
    /// Questions about each queue: the counters, and what they showed when last looked at.
    questions: Vec<(Arc<QueueMeters>, u64)>,
    /// Who waits for what is under way.
    waiters: HashMap<Job, Vec<Waiter>>,
    /// Since when the budget says no.
    refused_since: Option<Moment>,
    /// The token of the newest request, and when a refused one is next looked for in its file.
    token_sent: Option<Digest>,
    token_look_at: Duration,
    /// Things said in the log once.
    login_assumed: bool,
    login_unclear: bool,
    /// What is wrong now.
    faults: Faults,
    /// The fault that the board shows of each queue.
    shown: Vec<Option<Arc<Fault>>>,
    /// Sweeps that failed in a row with a poll between any two that did not, and whether there was one since the last.
    sweeps_failed_alone: u32,
    polled_since_failed_sweep: bool,
    /// When statuses were last kept, and the newest of them.
    kept: Option<Moment>,
    kept_up_to: Option<Moment>,
}

impl Account {
    /// A task that has not asked anything yet.
    ///
    /// # Panics
    /// If the metrics were not made for these queues: whoever wires the process made a mistake.
    pub fn new(mut parts: Parts) -> Self {
        let known = std::mem::take(&mut parts.known);
        let name: Arc<str> = parts.payer.account.as_str().into();
        let mut account = Self {
            faults: Faults::new(Arc::clone(&name), parts.queues.len()),
            shown: vec![None; parts.queues.len()],
            name,
            schedule: Schedule::new(
                parts.queues.iter().map(Polled::need),
                parts.options,
                parts.budget.burst(),
            ),
            roster: Roster::new(parts.queues.len()),
            sweep: Sweep::default(),
            swept: Tally::default(),
            headcount: Headcount::default(),
            ids: vec![None; parts.queues.len()],
            seats: (0..parts.queues.len() as u64).collect(),
            last_seat: parts.queues.len() as u64,
            naming: Naming::default(),
            questions: parts
                .queues
                .iter()
                .map(|queue| questions(&parts.metrics, &queue.key))
                .collect(),
            waiters: HashMap::new(),
            parts,
            refused_since: None,
            token_sent: None,
            token_look_at: Duration::ZERO,
            login_assumed: false,
            login_unclear: false,
            sweeps_failed_alone: 0,
            polled_since_failed_sweep: false,
            kept: None,
            kept_up_to: None,
        };
        account.restore_names();
        account.take_over(known);
        account.resolve();
        account.plan();
        account.show_faults();
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
            self.parts.pulse.beat();
            self.show_faults();
            self.look_for_another_token();
            let wait = self.start_what_is_due(&mut jobs).await;
            tokio::select! {
                () = stop.cancelled() => {
                    self.keep_statuses(self.parts.clock.now());
                    return Ok(());
                }
                Some(done) = jobs.join_next() => self.ended(done?),
                Some(ask) = self.parts.asks.recv() => self.asked(ask, &mut jobs).await,
                () = tokio::time::sleep(wait.min(LISTEN)) => {}
            }
        }
    }

    /// While CallTools refuses the token, its file is looked at, and another token is tried at once, once.
    fn look_for_another_token(&mut self) {
        let Some(token) = &self.parts.token else {
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

    /// Starts jobs until there is nothing to start; returns the time to wait for more.
    async fn start_what_is_due(&mut self, jobs: &mut JoinSet<Done>) -> Duration {
        self.count_questions();
        loop {
            let next = self.schedule.next(self.now());
            tracing::trace!(account = &*self.name, ?next, "the schedule's choice");
            let (job, purpose) = match next {
                Next::Wait(wait) => {
                    self.tell_of_a_slow_pace();
                    return wait;
                }
                Next::Start { job, cold: true } => (job, Purpose::ColdStart),
                Next::Start { job, cold: false } => (job, Purpose::Poll),
            };
            match self.parts.budget.permit(purpose).await {
                Ok(permit) => {
                    self.permitted();
                    self.schedule
                        .started(job, self.now(), self.parts.budget.period());
                    self.spawn(jobs, job, purpose, permit);
                }
                Err(refusal) => {
                    self.refused(refusal);
                    return refusal.wait(self.parts.clock.now());
                }
            }
        }
    }

    /// Where the hour is nearly spent, the pace is so slow that answers grow old without any request having been refused.
    fn tell_of_a_slow_pace(&mut self) {
        if self.is_slow() {
            let now = self.parts.clock.now();
            let refusal = Refusal {
                until: now.later(self.parts.budget.period()),
                cause: self.parts.budget.slowed_by(),
            };
            self.faults.refused(&Arc::new(fault_of(refusal)), now);
        }
    }

    fn is_slow(&self) -> bool {
        let usual = self.parts.budget.usual_period() * 3;
        self.parts.budget.period() > WORTH_TELLING.max(usual)
    }

    /// Questions are demand.
    fn count_questions(&mut self) {
        let new = |(meters, seen): &mut (Arc<QueueMeters>, u64)| {
            let asked = meters.asked();
            asked - std::mem::replace(seen, asked)
        };
        let new: Vec<u64> = self.questions.iter_mut().map(new).collect();
        let now = self.now();
        self.schedule.asked(&new, now);
    }

    fn spawn(&mut self, jobs: &mut JoinSet<Done>, job: Job, purpose: Purpose, permit: Permit) {
        self.token_sent = self.parts.token.as_ref().and_then(|token| token.digest());
        if let Job::Poll(queue) = job {
            self.parts
                .board
                .attempt(&self.parts.queues[queue].key, self.parts.clock.now());
        }
        let id =
            |queue: usize| self.ids[queue].expect("only queues whose ids are known are polled");
        let work = match job {
            Job::Queues => Work::Queues,
            Job::Statuses => Work::Statuses,
            Job::Poll(queue) => Work::Agents(id(queue)),
            Job::Sweep(page) => Work::Everybody(page),
        };
        let (client, names) = (
            self.parts.client.clone(),
            Arc::clone(&self.parts.names.borrow()),
        );
        let begun = self.parts.clock.now();
        tracing::debug!(
            account = &*self.name,
            list = self.list_of(job),
            ?purpose,
            "a list is read"
        );
        let seat = match job {
            Job::Poll(queue) => Some(self.seats[queue]),
            Job::Queues | Job::Statuses | Job::Sweep(_) => None,
        };
        jobs.spawn(async move {
            let outcome = work.perform(&client, &names, purpose, permit).await;
            Done {
                job,
                seat,
                begun,
                outcome,
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
        let wait = refusal.wait(now);
        self.schedule
            .refused(wait.min(LOOK_AGAIN), schedule_time(now));
        let is_news = matches!(refusal.cause, Cause::Spent | Cause::Throttled);
        if is_news && wait > WORTH_TELLING {
            self.faults.refused(&Arc::new(fault_of(refusal)), now);
            self.make_do_with_stored_names();
        }
    }

    async fn asked(&mut self, ask: Ask, jobs: &mut JoinSet<Done>) {
        match ask {
            Ask::Refresh { queue, reply } => {
                self.refresh(&queue, Waiter::Refresh(reply), jobs).await
            }
            Ask::Fresh {
                queue,
                doubt,
                reply,
            } => {
                self.freshen(&queue, doubt, Waiter::Fresh(reply), jobs)
                    .await
            }
            Ask::TryToken => self.schedule.try_token(),
            Ask::Known { reply } => drop(reply.send(self.known())),
            Ask::Take(terms) => self.take_terms(*terms),
        }
    }

    /// Somebody wants a queue polled now, out of the reserve. A poll that is under way serves everybody who asks meanwhile.
    async fn refresh(&mut self, queue: &QueueKey, waiter: Waiter, jobs: &mut JoinSet<Done>) {
        let Some(place) = self.place(queue) else {
            let state = self.parts.board.get(queue);
            let fault = state.and_then(|state| state.fault.as_deref().cloned());
            let unknown = || Fault::down(Down::TimeOut, "the queue's id is not known yet");
            return waiter.tell(Err(fault.unwrap_or_else(unknown).into()));
        };
        let job = Job::Poll(place);
        if self.schedule.is_under_way(job) {
            return self.wait_for(job, waiter);
        }
        match self.parts.budget.permit(Purpose::OnDemand).await {
            Ok(permit) => self.begin(job, Purpose::OnDemand, permit, waiter, jobs),
            Err(refusal) => waiter.tell(Err(refusal.into())),
        }
    }

    /// Somebody would wait for a fresher answer: one request for all who ask at once, if it is worth one and there is one to spare.
    async fn freshen(
        &mut self,
        queue: &QueueKey,
        doubt: Staleness,
        waiter: Waiter,
        jobs: &mut JoinSet<Done>,
    ) {
        let now = self.now();
        self.schedule.asked_to_wait(now);
        let Some(place) = self.place(queue) else {
            return;
        };
        let (poll, sweep) = (Job::Poll(place), Job::Sweep(1));
        let by_sweep = doubt.is_about_statuses() && self.schedule.sweep_tells(place, now);
        if self.schedule.is_under_way(poll) {
            return self.wait_for(poll, waiter);
        }
        if by_sweep && self.schedule.is_under_way(sweep) {
            return self.wait_for(sweep, waiter);
        }
        let fill = self.parts.budget.fill();
        let job = if by_sweep && fill < PLENTY {
            sweep
        } else {
            poll
        };
        if !doubt.is_worth_a_permit(fill) || !self.schedule.may_ask(job, now) {
            return;
        }
        if let Ok(permit) = self.parts.budget.permit(Purpose::Poll).await {
            self.begin(job, Purpose::Poll, permit, waiter, jobs);
        }
    }

    /// What a job reads, for the log.
    fn list_of(&self, job: Job) -> String {
        match job {
            Job::Queues => "queues".to_owned(),
            Job::Statuses => "statuses".to_owned(),
            Job::Poll(place) => format!("agents of {}", self.parts.queues[place].key),
            Job::Sweep(page) => format!("all agents, page {page}"),
        }
    }

    fn new_seat(&mut self) -> u64 {
        self.last_seat += 1;
        self.last_seat
    }

    fn begin(
        &mut self,
        job: Job,
        purpose: Purpose,
        permit: Permit,
        waiter: Waiter,
        jobs: &mut JoinSet<Done>,
    ) {
        self.schedule.begun(job, self.now());
        self.wait_for(job, waiter);
        self.spawn(jobs, job, purpose, permit);
    }

    fn wait_for(&mut self, job: Job, waiter: Waiter) {
        self.waiters.entry(job).or_default().push(waiter);
    }

    /// The place of a queue that can be polled.
    fn place(&self, queue: &QueueKey) -> Option<usize> {
        let place = self
            .parts
            .queues
            .iter()
            .position(|polled| polled.key == *queue)?;
        self.ids[place].map(|_| place)
    }

    fn now(&self) -> Duration {
        schedule_time(self.parts.clock.now())
    }
}

/// Counts the questions about a queue from now on.
fn questions(metrics: &Metrics, key: &QueueKey) -> (Arc<QueueMeters>, u64) {
    let meters = metrics.queue(key);
    let meters = meters.expect("the metrics were made for these queues");
    let asked = meters.asked();
    (meters, asked)
}

/// A moment as the schedule counts time: from well before the boot, since what is known may be older than that.
fn schedule_time(moment: Moment) -> Duration {
    moment.boot + BEFORE_BOOT
}

/// Why there is nothing new, when the budget is the reason.
pub(crate) fn fault_of(refusal: Refusal) -> Fault {
    let Refusal { until, cause } = refusal;
    match cause {
        Cause::Throttled => Fault::Throttled { until: Some(until) },
        Cause::Pace | Cause::Spent => Fault::BudgetSpent { until },
        Cause::Paused => Fault::down(Down::ServerError, refusal.to_string()),
    }
}
