//! The client of one account: whole lists, one permit for each request.
//!
//! A list is read page after page and handed over whole or not at all. The client knows nothing of schedules and retries:
//! what to do about a [`Setback`] is for the account's task to decide.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    Ask, Outgoing, Page, QueueLogin, Reply, Row, Transport,
    list::{Entry, Extent, List},
};
use crate::model::{agent::Agent, fault::Fault};
use crate::{
    budget::{Budget, Cause, Permit, Purpose, Refusal},
    clock::{Clock, Moment},
    model::names::{NamedQueue, Names, Status},
};

/// The most that CallTools gives at once.
pub(crate) const PAGE_SIZE: u32 = 250;

/// How long one reading may wait for permits once it has begun, all waits together. Half of the shortest default `max_age`: a
/// list that took longer would be old before it is whole, and its pages would no longer fit each other.
const PATIENCE: Duration = Duration::from_secs(30);

/// A refusal that asks for no wait at all must not become a loop without rest.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// As many statuses as [`Notes`] names; one is enough to read `statuses/` again.
const MAX_UNKNOWN_STATUSES: usize = 10;

/// The lists that openseat reads: the closed set of values of the metrics' label `endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `agentstatuses/?queue=…`
    AgentStatuses,
    /// `queues/`
    Queues,
    /// `statuses/`
    Statuses,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 3] = [
        Endpoint::AgentStatuses,
        Endpoint::Queues,
        Endpoint::Statuses,
    ];

    /// The word for metrics and logs, and the path below `…/api/`.
    pub fn word(self) -> &'static str {
        match self {
            Endpoint::AgentStatuses => "agentstatuses",
            Endpoint::Queues => "queues",
            Endpoint::Statuses => "statuses",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Hears of every request once it is over; the metrics do.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// `outcome` is `ok` or a [`Fault::as_str`]; `took` goes from sending to the last byte.
    fn request(&self, endpoint: Endpoint, outcome: &'static str, took: Duration);
}

/// Nobody listens.
impl Observer for () {
    fn request(&self, _: Endpoint, _: &'static str, _: Duration) {}
}

/// Why a list did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Setback {
    /// CallTools failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Our own budget has no permit now, or not soon enough to go on with a list that was begun.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Setback {
    /// What people are told of it now.
    pub fn told(&self, now: Moment) -> String {
        match self {
            Setback::Fault(fault) => fault.told(now),
            Setback::Refused(refusal) => refusal.told(now),
        }
    }
}

/// All agents of a queue.
#[derive(Debug)]
pub struct Harvest {
    /// The moment the oldest page was asked for, less the time for which a cache had kept it.
    pub as_of: Moment,
    /// From asking for the first page to the last page's last byte.
    pub took: Duration,
    /// Each agent once, in CallTools' order.
    pub rows: Vec<Agent>,
    /// Whether the rows are as many as CallTools counts; if not, they have been so in two readings.
    pub complete: bool,
    /// What has become odd about this list since its last reading, or is odd no more.
    pub changes: Vec<Change>,
    /// What the rows brought to light beside the agents.
    pub notes: Notes,
    /// How many requests it took, a second reading included.
    pub requests: u32,
}

/// A list of agents of the whole account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Everyone {
    /// All of them.
    Listed,
    /// All of them, those first whose status changed last.
    NewestFirst,
    /// Those whose status has this number.
    WithStatus(u64),
}

/// A page of everybody in the account.
#[derive(Debug)]
pub struct Everybody {
    /// The moment it was asked for, less the time for which a cache had kept it.
    pub as_of: Moment,
    /// That time.
    pub cached: Duration,
    /// Its agents, each once.
    pub agents: Vec<Agent>,
    pub(super) extent: Extent,
    /// The number of the next page; `None` after the last.
    pub next: Option<u32>,
    /// What the rows brought to light beside the agents.
    pub notes: Notes,
}

/// What can be odd about a list that is used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Oddity {
    /// Its rows are not as many as CallTools counts, and were not in a second reading.
    Miscounted,
    /// It has rows that cannot be read.
    RowsSkipped,
    /// A cache between CallTools and us had kept it.
    Cached,
}

/// An oddity of a list that began or ended: to be said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub oddity: Oddity,
    /// Whether it began.
    pub began: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.oddity, self.began) {
            (Oddity::Miscounted, true) => {
                "CallTools' count does not fit the agents that it lists; those that it lists are used"
            }
            (Oddity::Miscounted, false) => "CallTools' count fits the agents that it lists again",
            (Oddity::RowsSkipped, true) => "some rows cannot be read and are left out",
            (Oddity::RowsSkipped, false) => "all rows can be read again",
            (Oddity::Cached, true) => {
                "a cache between openseat and CallTools answers, so what it says is older than it looks; have it pass requests for this address on"
            }
            (Oddity::Cached, false) => "no cache answers for CallTools any more",
        })
    }
}

/// Which list: the endpoint and the queue that was asked for.
type ListId = (Endpoint, Option<u64>);

/// What is remembered of a list from one reading to the next.
#[derive(Debug, Default)]
struct Habits {
    /// By how many rows its count was off.
    gap: Option<i64>,
    oddities: BTreeSet<Oddity>,
}

impl Habits {
    /// Takes in what is odd now; returns what has changed.
    fn change(&mut self, now: BTreeSet<Oddity>) -> Vec<Change> {
        let change = |began| move |&oddity: &Oddity| Change { oddity, began };
        let begun = now.difference(&self.oddities).map(change(true));
        let ended = self.oddities.difference(&now).map(change(false));
        let changes = begun.chain(ended).collect();
        self.oddities = now;
        changes
    }
}

/// Facts about an account that its rows bring to light; worth a line in the log, once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// No row has `queue_logged_in`; `logged_in` stands for it.
    pub queue_login_assumed: bool,
    /// Some rows do not say whether their agent is logged in to the queue, who counts as not logged in.
    pub queue_login_unclear: bool,
    /// Statuses, by id or name, that `statuses/` did not list when it was read: ten of them at most.
    pub unknown_statuses: BTreeSet<Box<str>>,
    /// Rows that could not be read and are missing from the list.
    pub skipped: usize,
}

/// Reads lists from one CallTools account.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<dyn Transport>,
    budget: Arc<Budget>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    /// Of the lists that are read again and again; as many as the config names, and the account's own.
    habits: Arc<Mutex<HashMap<ListId, Habits>>>,
    ordering_field: Arc<str>,
}

/// The field that tells when an agent's status changed.
pub(crate) const ORDERING_FIELD: &str = "agent_status_modified_on";

impl Client {
    /// A client that sends through `transport` what `budget` permits.
    pub fn new(
        transport: Arc<dyn Transport>,
        budget: Arc<Budget>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            transport,
            budget,
            clock,
            observer,
            habits: Arc::default(),
            ordering_field: ORDERING_FIELD.into(),
        }
    }

    /// The same for an account whose API knows the date of change by another name.
    #[must_use]
    pub fn ordered_by(self, ordering_field: &Arc<str>) -> Self {
        Self {
            ordering_field: Arc::clone(ordering_field),
            ..self
        }
    }

    /// The agents of a queue. `names` tells what statuses do; `first` is a permit for the first request, where the caller
    /// holds one already.
    ///
    /// # Errors
    /// [`Setback`], where not all pages could be read.
    pub async fn agents(
        &self,
        queue: u64,
        names: &Names,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Harvest, Setback> {
        let mut walk = Walk::new(self, Endpoint::AgentStatuses, Some(queue), purpose);
        let reading = walk.list(names, first).await?;
        let oddities = reading.oddities();
        let changes = walk.habits(|habits| habits.change(oddities));
        Ok(Harvest::new(reading, changes, walk.requests))
    }

    /// One page of a list of everybody in the account: the same rows as a queue's, without a queue's view.
    ///
    /// # Errors
    /// [`Fault`], where it could not be read.
    pub async fn everybody(
        &self,
        list: Everyone,
        page: u32,
        names: &Names,
        permit: Permit,
    ) -> Result<Everybody, Fault> {
        let ask = Ask { page, queue: None };
        let as_of = self.clock.now();
        let path = path(Endpoint::AgentStatuses, ask) + &list.query(&self.ordering_field);
        let page = self.page(Endpoint::AgentStatuses, &path, ask, permit);
        let mut page = page.await?;
        let (cached, extent) = (page.age, Extent::of(&page));
        // It is one page of many, so its count says nothing about it.
        (page.count, page.leads_back) = (None, false);
        let mut list: List<'_, Row> = List::new(names);
        let next = list.add(page)?;
        list.check()?;
        Ok(Everybody {
            as_of: as_of.earlier(cached),
            cached,
            next,
            extent,
            notes: Notes::of(&list),
            agents: list.entries.into_iter().map(|row| row.agent).collect(),
        })
    }

    /// The account's queues.
    ///
    /// # Errors
    /// [`Setback`], where not all pages could be read.
    pub async fn queues(
        &self,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Vec<NamedQueue>, Setback> {
        self.look_up(Endpoint::Queues, purpose, first).await
    }

    /// The account's statuses.
    ///
    /// # Errors
    /// [`Setback`], where not all pages could be read.
    pub async fn statuses(
        &self,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Vec<Status>, Setback> {
        self.look_up(Endpoint::Statuses, purpose, first).await
    }

    async fn look_up<T: Entry>(
        &self,
        endpoint: Endpoint,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Vec<T>, Setback> {
        let mut walk = Walk::new(self, endpoint, None, purpose);
        let names = Names::default();
        let reading = walk.list(&names, first).await?;
        Ok(reading.list.entries)
    }

    async fn page(
        &self,
        endpoint: Endpoint,
        path: &str,
        ask: Ask,
        permit: Permit,
    ) -> Result<Page, Fault> {
        let request = Outgoing::get(path);
        self.exchange(endpoint, request, permit, |reply, now| {
            Page::read(reply, ask, now)
        })
        .await
    }

    /// Sends one request, which is what one permit is good for, and reads what came back.
    async fn exchange<T>(
        &self,
        endpoint: Endpoint,
        request: Outgoing<'_>,
        permit: Permit,
        read: impl FnOnce(&Reply, Moment) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let sent = Instant::now();
        let reply = self.transport.send(request).await;
        permit.answered();
        let answer = reply.and_then(|reply| read(&reply, self.clock.now()));
        let outcome = answer.as_ref().map_or_else(Fault::as_str, |_| "ok");
        self.observer.request(endpoint, outcome, sent.elapsed());
        match answer {
            Err(Fault::Throttled { until }) => Err(Fault::Throttled {
                until: Some(self.fall_silent(until)),
            }),
            Err(fault) => {
                if let Fault::UpstreamDown {
                    wait: Some(wait), ..
                } = fault
                {
                    self.budget.pause(wait);
                }
                Err(fault)
            }
            answer => answer,
        }
    }

    /// CallTools answered 429, and wants to hear nothing until then, if it said so; returns when the budget lets us ask again.
    fn fall_silent(&self, until: Option<Moment>) -> Moment {
        let now = self.clock.now();
        let wait = until.map(|until| until.boot.saturating_sub(now.boot));
        self.budget.throttled(wait)
    }
}

impl Harvest {
    fn new(reading: Reading<'_, Row>, changes: Vec<Change>, requests: u32) -> Self {
        let Reading {
            as_of, took, list, ..
        } = reading;
        Self {
            as_of,
            took,
            complete: list.is_complete(),
            changes,
            notes: Notes::of(&list),
            rows: list.entries.into_iter().map(|row| row.agent).collect(),
            requests,
        }
    }
}

impl Notes {
    fn of(list: &List<'_, Row>) -> Self {
        let unknown = list
            .entries
            .iter()
            .filter_map(|row| row.unknown_status.clone());
        let any = |login| list.entries.iter().any(|row| row.queue_login == login);
        Self {
            queue_login_assumed: any(QueueLogin::Assumed),
            queue_login_unclear: any(QueueLogin::Unclear),
            unknown_statuses: unknown.take(MAX_UNKNOWN_STATUSES).collect(),
            skipped: list.skipped,
        }
    }
}

/// One reading of a list, whole.
struct Reading<'a, T: Entry> {
    /// The oldest page's.
    as_of: Moment,
    is_cached: bool,
    took: Duration,
    list: List<'a, T>,
}

impl<T: Entry> Reading<'_, T> {
    fn gap(&self) -> Option<i64> {
        self.list.gap()
    }

    fn oddities(&self) -> BTreeSet<Oddity> {
        let oddities = [
            (self.gap().is_some(), Oddity::Miscounted),
            (self.list.skipped > 0, Oddity::RowsSkipped),
            (self.is_cached, Oddity::Cached),
        ];
        let present = oddities.into_iter().filter(|(is_odd, _)| *is_odd);
        present.map(|(_, oddity)| oddity).collect()
    }

    /// A page that was asked for at this moment, and that a cache had kept for so long.
    fn dates_from(&mut self, asked: Moment, age: Duration) {
        let as_of = asked.earlier(age);
        if as_of.boot < self.as_of.boot {
            self.as_of = as_of;
        }
        self.is_cached |= !age.is_zero();
    }
}

/// The way through one list's pages, and what it has cost.
#[derive(Debug)]
struct Walk<'a> {
    client: &'a Client,
    endpoint: Endpoint,
    queue: Option<u64>,
    purpose: Purpose,
    /// What is left of [`PATIENCE`].
    patience: Duration,
    requests: u32,
}

impl<'a> Walk<'a> {
    fn new(client: &'a Client, endpoint: Endpoint, queue: Option<u64>, purpose: Purpose) -> Self {
        Self {
            client,
            endpoint,
            queue,
            purpose,
            patience: PATIENCE,
            requests: 0,
        }
    }

    /// Reads the list, and once more if its count is off in another way than the last time: rows can slip between pages while they are
    /// read. A count that is off in the same way again does not get better by reading.
    async fn list<'n, T: Entry>(
        &mut self,
        names: &'n Names,
        first: Option<Permit>,
    ) -> Result<Reading<'n, T>, Setback> {
        let permit = match first {
            Some(permit) => permit,
            None => self.client.budget.permit(self.purpose).await?,
        };
        let mut reading = self.read(names, permit).await?;
        let usual = self.habits(|habits| habits.gap);
        if reading.gap().is_some_and(|gap| Some(gap) != usual) {
            // Where this fails, the first reading still has every page.
            if let Ok(again) = self.read_again(names).await {
                reading = nearer(reading, again);
            }
        }
        self.habits(|habits| habits.gap = reading.gap());
        reading.list.check()?;
        Ok(reading)
    }

    fn habits<R>(&self, look: impl FnOnce(&mut Habits) -> R) -> R {
        let habits = self.client.habits.lock();
        let mut habits = habits.unwrap_or_else(PoisonError::into_inner);
        look(habits.entry((self.endpoint, self.queue)).or_default())
    }

    async fn read_again<'n, T: Entry>(
        &mut self,
        names: &'n Names,
    ) -> Result<Reading<'n, T>, Setback> {
        let permit = self.next_permit().await?;
        self.read(names, permit).await
    }

    async fn read<'n, T: Entry>(
        &mut self,
        names: &'n Names,
        permit: Permit,
    ) -> Result<Reading<'n, T>, Setback> {
        let begun = Instant::now();
        let mut reading = Reading {
            as_of: self.client.clock.now(),
            is_cached: false,
            took: Duration::ZERO,
            list: List::new(names),
        };
        let mut next = self.page(1, permit, &mut reading).await?;
        while let Some(number) = next {
            let permit = self.next_permit().await?;
            next = self.page(number, permit, &mut reading).await?;
        }
        reading.took = begun.elapsed();
        Ok(reading)
    }

    /// Reads one page, and tells the number of the next.
    async fn page<T: Entry>(
        &mut self,
        page: u32,
        permit: Permit,
        reading: &mut Reading<'_, T>,
    ) -> Result<Option<u32>, Fault> {
        let ask = Ask {
            page,
            queue: self.queue,
        };
        let path = path(self.endpoint, ask);
        self.requests += 1;
        let asked = self.client.clock.now();
        let page = self.client.page(self.endpoint, &path, ask, permit).await?;
        reading.dates_from(asked, page.age);
        reading.list.add(page)
    }

    /// A permit to go on with: a list that was begun is worth a wait, within [`PATIENCE`].
    ///
    /// Where only the pace would make it longer, the rest goes at once instead. Of a small account's even pace a list with
    /// several pages would otherwise never see its end, and spend on its beginning again and again.
    async fn next_permit(&mut self) -> Result<Permit, Refusal> {
        loop {
            let refusal = match self.client.budget.permit(self.purpose).await {
                Ok(permit) => return Ok(permit),
                Err(refusal) => refusal,
            };
            let wait = refusal.wait(self.client.clock.now()).max(SHORTEST_WAIT);
            match self.patience.checked_sub(wait) {
                Some(left) => {
                    self.patience = left;
                    sleep(wait).await;
                }
                None if refusal.cause == Cause::Pace => self.purpose = Purpose::ColdStart,
                None => return Err(refusal),
            }
        }
    }
}

/// Of two readings the one whose count is less off; the second, where they are alike.
fn nearer<'n, T: Entry>(first: Reading<'n, T>, second: Reading<'n, T>) -> Reading<'n, T> {
    let off = |reading: &Reading<'_, T>| reading.gap().map_or(0, i64::unsigned_abs);
    if off(&first) < off(&second) {
        first
    } else {
        second
    }
}

impl Everyone {
    /// What the list's address has beyond that of the full list.
    fn query(self, ordering_field: &str) -> String {
        match self {
            Everyone::Listed => String::new(),
            Everyone::NewestFirst => format!("&ordering=-{ordering_field}"),
            Everyone::WithStatus(id) => format!("&agent_status={id}"),
        }
    }
}

/// Relative to `…/api/`.
fn path(endpoint: Endpoint, ask: Ask) -> String {
    let mut path = format!("{endpoint}/?");
    if let Some(queue) = ask.queue {
        path += &format!("queue={queue}&");
    }
    path += &format!("page_size={PAGE_SIZE}");
    if ask.page > 1 {
        path += &format!("&page={}", ask.page);
    }
    path
}

#[cfg(test)]
mod tests;
