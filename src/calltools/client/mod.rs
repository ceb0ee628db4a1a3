//! The client of one account: reads whole lists, and spends one permit per request.
//!
//! A list is read page by page and returned whole or not at all. The client knows nothing of schedules and retries:
//! the account's task decides what to do about a [`RequestError`].

mod endpoint;
mod oddity;
mod pager;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

pub(crate) use self::endpoint::{ORDERING_FIELD, PAGE_SIZE, overlapping};
pub use self::{
    endpoint::{Endpoint, Everyone},
    oddity::{Change, Oddity},
};
use self::{
    oddity::{Habits, ListId},
    pager::{Pager, Reading},
};
use super::{
    Ask, Page, QueueLogin, Reply, Row, Transport,
    list::{Entry, Extent, List},
    page,
};
use crate::{
    budget::{Budget, Permit, Purpose, Refusal},
    clock::{Clock, Moment},
    model::{
        agent::Agent,
        fault::Fault,
        field::BadRow,
        names::{NamedQueue, Names, Status},
        raw::Pattern,
    },
};

/// The maximum of statuses in [`Notes`]. A single one is enough to read `statuses/` again.
const MAX_UNKNOWN_STATUSES: usize = 10;

/// Observes the end of every request. The metrics implement it.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Records a request. `outcome` is `ok` or a [`Fault::as_str`]; `took` is the time from sending to the last byte.
    fn request(&self, endpoint: Endpoint, outcome: &'static str, took: Duration);
}

/// Ignores every request.
impl Observer for () {
    fn request(&self, _: Endpoint, _: &'static str, _: Duration) {}
}

/// Why a list could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// CallTools failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The budget has no permit now, or not soon enough to finish a list.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl RequestError {
    /// Returns the message for people. It depends on the time until a permit is free.
    pub fn message(&self, now: Moment) -> String {
        match self {
            RequestError::Fault(fault) => fault.message(now),
            RequestError::Refused(refusal) => refusal.message(now),
        }
    }
}

/// All agents of a queue.
#[derive(Debug)]
pub struct AgentList {
    /// When the oldest page was requested, minus the time a cache had kept it.
    pub as_of: Moment,
    /// The time from requesting the first page to the last byte of the last.
    pub took: Duration,
    /// Each agent once, in CallTools' order.
    pub rows: Vec<Agent>,
    /// Whether there are as many rows as CallTools counts. If not, two readings in a row disagreed with the count.
    pub complete: bool,
    /// What became odd about this list since its last reading, or is no longer odd.
    pub changes: Vec<Change>,
    /// What else the rows revealed.
    pub notes: Notes,
    /// The number of requests, including those of a second reading.
    pub requests: u32,
}

/// A page of the list of all agents in the account.
#[derive(Debug)]
pub struct RosterPage {
    /// When it was requested, minus the time a cache had kept it.
    pub as_of: Moment,
    /// The time a cache had kept it.
    pub cached: Duration,
    /// The agents on it, each once.
    pub agents: Vec<Agent>,
    pub(super) extent: Extent,
    /// Why the first unreadable row could not be read.
    pub(super) problem: Option<BadRow>,
    /// The number of the next page; `None` after the last.
    pub next: Option<u32>,
    /// What else the rows revealed.
    pub notes: Notes,
}

/// Facts about an account that its rows reveal. Each is worth one line in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// No row has `queue_logged_in`, so `logged_in` is used instead.
    pub queue_login_assumed: bool,
    /// Some rows do not say whether their agent is logged in to the queue. Those agents count as not logged in.
    pub queue_login_unclear: bool,
    /// Statuses, by id or name, that were missing from `statuses/` when it was last read: at most ten.
    pub unknown_statuses: BTreeSet<Box<str>>,
    /// The number of rows that could not be read and are missing from the list.
    pub skipped: usize,
}

/// Reads lists from one CallTools account.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<dyn Transport>,
    budget: Arc<Budget>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    /// The habits of lists that are read repeatedly: one per configured queue, and those of the account.
    habits: Arc<Mutex<HashMap<ListId, Habits>>>,
    ordering_field: Arc<str>,
    /// What the account's rows share memory with.
    pattern: Arc<Mutex<Pattern>>,
}

impl Client {
    /// Creates a client that sends through `transport` what `budget` permits.
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
            pattern: Arc::default(),
        }
    }

    /// Returns a client for an account whose API has another name for the date of change.
    #[must_use]
    pub fn ordered_by(self, ordering_field: &Arc<str>) -> Self {
        Self {
            ordering_field: Arc::clone(ordering_field),
            ..self
        }
    }

    /// Reads the agents of a queue. `names` says what statuses do; `first` is a permit for the first request, if the caller
    /// already has one.
    ///
    /// # Errors
    /// [`RequestError`] if a page could not be read.
    pub async fn agents(
        &self,
        queue: u64,
        names: &Names,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<AgentList, RequestError> {
        let mut pager = Pager::new(self, Endpoint::AgentStatuses, Some(queue), purpose);
        let reading = pager.list(names, first).await?;
        let oddities = reading.oddities();
        let changes = pager.habits(|habits| habits.change(oddities));
        Ok(AgentList::new(reading, changes, pager.requests))
    }

    /// Reads one page of the list of all agents in the account. Rows are those of a queue's list, without the queue's view. The caller decides what
    /// depends on the whole list: how many rows may be missing or unreadable.
    ///
    /// # Errors
    /// [`RequestError`] if it could not be read.
    pub async fn roster_page(
        &self,
        list: Everyone,
        page: u32,
        names: &Names,
        permit: Permit,
    ) -> Result<RosterPage, RequestError> {
        let ask = Ask { page, queue: None };
        let as_of = self.clock.now();
        let path = list.path(ask, &self.ordering_field);
        let page = self.page(Endpoint::AgentStatuses, &path, ask, permit);
        let page = page.await?;
        let cached = page.age;
        let mut list: List<'_, Row> = List::new(names, &self.pattern);
        let next = list.add(page)?;
        Ok(RosterPage {
            as_of: as_of.earlier(cached),
            cached,
            next,
            notes: Notes::from_list(&list),
            problem: list.problem,
            extent: list.extent,
            agents: list.entries.into_iter().map(|row| row.agent).collect(),
        })
    }

    /// Reads the account's queues.
    ///
    /// # Errors
    /// [`RequestError`] if a page could not be read.
    pub async fn queues(
        &self,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Vec<NamedQueue>, RequestError> {
        self.look_up(Endpoint::Queues, purpose, first).await
    }

    /// Reads the account's statuses.
    ///
    /// # Errors
    /// [`RequestError`] if a page could not be read.
    pub async fn statuses(
        &self,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Vec<Status>, RequestError> {
        self.look_up(Endpoint::Statuses, purpose, first).await
    }

    async fn look_up<T: Entry>(
        &self,
        endpoint: Endpoint,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Vec<T>, RequestError> {
        let mut pager = Pager::new(self, endpoint, None, purpose);
        let names = Names::default();
        let reading = pager.list(&names, first).await?;
        Ok(reading.list.entries)
    }

    /// Sends one GET and returns the reply, with any status. Used to find out how an API behaves.
    ///
    /// # Errors
    /// [`RequestError`] if there was no reply, or if CallTools asked for a pause, which then holds for the account.
    pub async fn probe(
        &self,
        endpoint: Endpoint,
        path: &str,
        permit: Permit,
    ) -> Result<Reply, RequestError> {
        self.exchange(endpoint, path, permit, |reply, now| {
            match page::fault(reply, now) {
                pause @ (Fault::Throttled { .. } | Fault::UpstreamDown { wait: Some(_), .. }) => {
                    Err(pause)
                }
                _ => Ok(reply.clone()),
            }
        })
        .await
    }

    async fn page(
        &self,
        endpoint: Endpoint,
        path: &str,
        ask: Ask,
        permit: Permit,
    ) -> Result<Page, RequestError> {
        self.exchange(endpoint, path, permit, |reply, now| {
            Page::read(reply, ask, now)
        })
        .await
    }

    /// Sends one request, which spends one permit, and parses the reply.
    async fn exchange<T>(
        &self,
        endpoint: Endpoint,
        path: &str,
        permit: Permit,
        read: impl FnOnce(&Reply, Moment) -> Result<T, Fault>,
    ) -> Result<T, RequestError> {
        let sent = Instant::now();
        // In this order: the budget knows a token before a request is created with it. So a token that comes after the permit is noticed, and no request
        // is sent with it that counts in another hour, or in one that is spent.
        let request = self.transport.get(path);
        if !permit.is_valid() {
            return Err(Fault::ClusterDown(None).into());
        }
        let permit = self.budget.confirm(permit)?;
        let reply = request.await;
        permit.answered();
        let answer = reply.and_then(|reply| read(&reply, self.clock.now()));
        let outcome = answer.as_ref().map_or_else(Fault::as_str, |_| "ok");
        self.observer.request(endpoint, outcome, sent.elapsed());
        match answer {
            Err(Fault::Throttled { until }) => Err(RequestError::Fault(Fault::Throttled {
                until: Some(self.throttled(until)),
            })),
            Err(fault) => {
                if let Fault::UpstreamDown {
                    wait: Some(wait), ..
                } = fault
                {
                    self.budget.pause(wait);
                }
                Err(fault.into())
            }
            Ok(answer) => Ok(answer),
        }
    }

    /// Handles a 429, which may say how long to wait. Returns when the budget allows the next request.
    fn throttled(&self, until: Option<Moment>) -> Moment {
        let now = self.clock.now();
        let wait = until.map(|until| until.boot.saturating_sub(now.boot));
        self.budget.throttled(wait)
    }
}

impl AgentList {
    fn new(reading: Reading<'_, Row>, changes: Vec<Change>, requests: u32) -> Self {
        let Reading {
            as_of, took, list, ..
        } = reading;
        Self {
            as_of,
            took,
            complete: list.is_complete(),
            changes,
            notes: Notes::from_list(&list),
            rows: list.entries.into_iter().map(|row| row.agent).collect(),
            requests,
        }
    }
}

impl Notes {
    fn from_list(list: &List<'_, Row>) -> Self {
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
