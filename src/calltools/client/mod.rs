//! The client of one account: whole lists, one permit for each request.
//!
//! A list is read page after page and handed over whole or not at all. The client knows nothing of schedules and retries:
//! what to do about a [`RequestError`] is for the account's task to decide.

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

pub(crate) use self::endpoint::{ORDERING_FIELD, PAGE_SIZE};
pub use self::{
    endpoint::{Endpoint, Everyone},
    oddity::{Change, Oddity},
};
use self::{
    oddity::{Habits, ListId},
    pager::{Pager, Reading},
};
use super::{
    Ask, Outgoing, Page, QueueLogin, Reply, Row, Transport,
    list::{Entry, Extent, List},
    page,
};
use crate::{
    budget::{Budget, Permit, Purpose, Refusal},
    clock::{Clock, Moment},
    model::{
        agent::Agent,
        fault::Fault,
        names::{NamedQueue, Names, Status},
    },
};

/// As many statuses as [`Notes`] names; one is enough to read `statuses/` again.
const MAX_UNKNOWN_STATUSES: usize = 10;

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
pub enum RequestError {
    /// CallTools failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Our own budget has no permit now, or not soon enough to go on with a list that was begun.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl RequestError {
    /// What people are told of it now.
    pub fn told(&self, now: Moment) -> String {
        match self {
            RequestError::Fault(fault) => fault.told(now),
            RequestError::Refused(refusal) => refusal.told(now),
        }
    }
}

/// All agents of a queue.
#[derive(Debug)]
pub struct AgentList {
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

/// A page of everybody in the account.
#[derive(Debug)]
pub struct RosterPage {
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
    /// [`RequestError`], where not all pages could be read.
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

    /// One page of a list of everybody in the account: the same rows as a queue's, without a queue's view.
    ///
    /// # Errors
    /// [`Fault`], where it could not be read.
    pub async fn roster_page(
        &self,
        list: Everyone,
        page: u32,
        names: &Names,
        permit: Permit,
    ) -> Result<RosterPage, Fault> {
        let ask = Ask { page, queue: None };
        let as_of = self.clock.now();
        let path = list.path(ask, &self.ordering_field);
        let page = self.page(Endpoint::AgentStatuses, &path, ask, permit);
        let mut page = page.await?;
        let (cached, extent) = (page.age, Extent::from_page(&page));
        // It is one page of many, so its count says nothing about it.
        (page.count, page.leads_back) = (None, false);
        let mut list: List<'_, Row> = List::new(names);
        let next = list.add(page)?;
        list.check()?;
        Ok(RosterPage {
            as_of: as_of.earlier(cached),
            cached,
            next,
            extent,
            notes: Notes::from_list(&list),
            agents: list.entries.into_iter().map(|row| row.agent).collect(),
        })
    }

    /// The account's queues.
    ///
    /// # Errors
    /// [`RequestError`], where not all pages could be read.
    pub async fn queues(
        &self,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Vec<NamedQueue>, RequestError> {
        self.look_up(Endpoint::Queues, purpose, first).await
    }

    /// The account's statuses.
    ///
    /// # Errors
    /// [`RequestError`], where not all pages could be read.
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

    /// Sends one GET, and returns what came back, whatever it says: to find out how an API behaves.
    ///
    /// # Errors
    /// [`Fault`], if nothing came, or if CallTools asked for a pause, which then holds for the account.
    pub async fn probe(
        &self,
        endpoint: Endpoint,
        path: &str,
        permit: Permit,
    ) -> Result<Reply, Fault> {
        let request = Outgoing::get(path);
        self.exchange(endpoint, request, permit, |reply, now| {
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
        if !permit.is_valid() {
            return Err(Fault::ClusterDown);
        }
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
