//! The client of one account: whole lists, one permit for each request.
//!
//! A list is read page after page and handed over whole or not at all. The client knows nothing of schedules and retries:
//! what to do about a [`Setback`] is for the account's task to decide.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use http::{Method, StatusCode};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use super::{
    Agent, Ask, Down, Fault, NewSubscription, Outgoing, Page, QueueLogin, Reply, Row, Subscription,
    Transport,
    list::{Entry, List},
    page::{self, MAX_ROWS},
};
use crate::{
    budget::{Budget, Cause, Permit, Purpose, Refusal},
    clock::{Clock, Moment},
    names::{NamedQueue, Names, Status},
};

/// The most that CallTools gives at once.
const PAGE_SIZE: u32 = 250;

/// As many pages of [`PAGE_SIZE`] as hold [`MAX_ROWS`], and a tenth of the usual account's hour: a list that asks for more is
/// a loop, or nothing that can be polled.
const MAX_PAGES: u32 = 100;

/// All rows of a list together: [`MAX_ROWS`] of the size that CallTools' rows have, about 1.3 kB, where each page alone may be
/// half of this.
const MAX_LIST_BYTES: usize = 32 << 20;

/// How long one reading may wait for permits once it has begun, all waits together. Half of the shortest default `max_age`: a
/// list that took longer would be old before it is whole, and its pages would no longer fit each other.
const PATIENCE: Duration = Duration::from_secs(30);

/// A refusal that asks for no wait at all must not become a loop without rest.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// As many statuses as [`Notes`] names; one is enough to read `statuses/` again.
const MOST_UNKNOWN_STATUSES: usize = 10;

/// The lists that openseat reads: the closed set of values of the metrics' label `endpoint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `agentstatuses/?queue=…`
    AgentStatuses,
    /// `queues/`
    Queues,
    /// `statuses/`
    Statuses,
    /// `resthooksubscriptions/`: only for people who ask, never for polling.
    Hooks,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Endpoint; 4] = [
        Endpoint::AgentStatuses,
        Endpoint::Queues,
        Endpoint::Statuses,
        Endpoint::Hooks,
    ];

    /// The word for metrics and logs, and the path below `…/api/`.
    pub fn word(self) -> &'static str {
        match self {
            Endpoint::AgentStatuses => "agentstatuses",
            Endpoint::Queues => "queues",
            Endpoint::Statuses => "statuses",
            Endpoint::Hooks => "resthooksubscriptions",
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
    /// `outcome` is `ok` or a [`Fault::word`]; `took` goes from sending to the last byte.
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

/// All agents of a queue.
#[derive(Debug)]
pub struct Harvest {
    /// The moment the first page was asked for.
    pub as_of: Moment,
    /// From then to the last page's last byte.
    pub took: Duration,
    /// Each agent once, in CallTools' order.
    pub rows: Vec<Agent>,
    /// Whether the rows are as many as CallTools counts; if not, a second reading did not fit either.
    pub complete: bool,
    /// What the rows brought to light beside the agents.
    pub notes: Notes,
    /// How many requests it took, a second reading included.
    pub requests: u32,
}

/// A page of everybody in the account.
#[derive(Debug)]
pub struct Everybody {
    /// The moment it was asked for.
    pub as_of: Moment,
    /// Its agents, each once.
    pub agents: Vec<Agent>,
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
        Ok(Harvest::new(reading, walk.requests))
    }

    /// One page of the list of everybody in the account: the same rows as a queue's, without a queue's view.
    ///
    /// # Errors
    /// [`Fault`], where it could not be read.
    pub async fn everybody(
        &self,
        page: u32,
        names: &Names,
        permit: Permit,
    ) -> Result<Everybody, Fault> {
        let ask = Ask { page, queue: None };
        let as_of = self.clock.now();
        let path = path(Endpoint::AgentStatuses, ask);
        let page = self.page(Endpoint::AgentStatuses, &path, ask, permit);
        let Page { rows, next, .. } = page.await?;
        let list: List<Row> = List::join(rows, None, names)?;
        Ok(Everybody {
            as_of,
            next,
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

    /// The account's REST hook subscriptions.
    ///
    /// # Errors
    /// [`Setback`], where not all pages could be read.
    pub async fn subscriptions(&self, purpose: Purpose) -> Result<Vec<Subscription>, Setback> {
        self.look_up(Endpoint::Hooks, purpose, None).await
    }

    /// Adds a REST hook subscription.
    ///
    /// # Errors
    /// [`Setback`]. After [`Down::TimeOut`] and [`Down::ConnectionLost`] it may be there all the same.
    pub async fn subscribe(
        &self,
        wanted: &NewSubscription,
        purpose: Purpose,
    ) -> Result<(), Setback> {
        let request = Outgoing {
            method: Method::POST,
            path_and_query: &format!("{}/", Endpoint::Hooks),
            json: Some(wanted.json()),
        };
        self.change(request, purpose, |status| status.is_success())
            .await
    }

    /// Removes a REST hook subscription; one that is gone already will do.
    ///
    /// # Errors
    /// [`Setback`], as for [`Client::subscribe`].
    pub async fn unsubscribe(
        &self,
        subscription: &Subscription,
        purpose: Purpose,
    ) -> Result<(), Setback> {
        let request = Outgoing {
            method: Method::DELETE,
            path_and_query: &format!("{}/{}/", Endpoint::Hooks, subscription.id),
            json: None,
        };
        let gone = |status: StatusCode| status.is_success() || status == StatusCode::NOT_FOUND;
        self.change(request, purpose, gone).await
    }

    /// Sends a request that changes something at CallTools, once: whether it is sent again is for people to say.
    async fn change(
        &self,
        request: Outgoing<'_>,
        purpose: Purpose,
        is_done: impl Fn(StatusCode) -> bool,
    ) -> Result<(), Setback> {
        let permit = self.budget.permit(purpose).await?;
        let done = self.exchange(
            Endpoint::Hooks,
            request,
            permit,
            |reply, now| match is_done(reply.status) {
                true => Ok(()),
                false => Err(page::fault(reply, now)),
            },
        );
        Ok(done.await?)
    }

    async fn look_up<T: Entry>(
        &self,
        endpoint: Endpoint,
        purpose: Purpose,
        first: Option<Permit>,
    ) -> Result<Vec<T>, Setback> {
        let mut walk = Walk::new(self, endpoint, None, purpose);
        let reading = walk.list(&Names::default(), first).await?;
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
        permit.answered().await;
        let answer = reply.and_then(|reply| read(&reply, self.clock.now()));
        let outcome = answer.as_ref().map_or_else(Fault::word, |_| "ok");
        self.observer.request(endpoint, outcome, sent.elapsed());
        if let Err(Fault::Throttled { wait }) = answer {
            self.budget.throttled(wait).await;
        }
        answer
    }
}

impl Harvest {
    fn new(reading: Reading<Row>, requests: u32) -> Self {
        let Reading { as_of, took, list } = reading;
        Self {
            as_of,
            took,
            complete: list.is_complete(),
            notes: Notes::of(&list),
            rows: list.entries.into_iter().map(|row| row.agent).collect(),
            requests,
        }
    }
}

impl Notes {
    fn of(list: &List<Row>) -> Self {
        let unknown = list
            .entries
            .iter()
            .filter_map(|row| row.unknown_status.clone());
        let any = |login| list.entries.iter().any(|row| row.queue_login == login);
        Self {
            queue_login_assumed: any(QueueLogin::Assumed),
            queue_login_unclear: any(QueueLogin::Unclear),
            unknown_statuses: unknown.take(MOST_UNKNOWN_STATUSES).collect(),
            skipped: list.skipped,
        }
    }
}

/// One reading of a list, whole.
#[derive(Debug)]
struct Reading<T> {
    as_of: Moment,
    took: Duration,
    list: List<T>,
}

/// The rows of all pages so far.
#[derive(Default)]
struct Rows {
    rows: Vec<Box<RawValue>>,
    bytes: usize,
    count: Option<u64>,
}

impl Rows {
    fn add(&mut self, page: Page) -> Result<(), Fault> {
        self.bytes += page.rows.iter().map(|row| row.get().len()).sum::<usize>();
        self.rows.extend(page.rows);
        // The newest count there is; the end of a list that shrank has none.
        self.count = page.count.or(self.count);
        if self.rows.len() > MAX_ROWS || self.bytes > MAX_LIST_BYTES {
            return Err(endless());
        }
        Ok(())
    }
}

fn endless() -> Fault {
    Fault::down(
        Down::TooLarge,
        format!(
            "CallTools' list does not end within {MAX_PAGES} pages, {MAX_ROWS} rows and {MAX_LIST_BYTES} bytes"
        ),
    )
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

    /// Reads the list, and once more if its count does not fit. The second reading is taken as it is, since a list that
    /// never stands still has no better one; where it fails, the first still has every page.
    async fn list<T: Entry>(
        &mut self,
        names: &Names,
        first: Option<Permit>,
    ) -> Result<Reading<T>, Setback> {
        let permit = match first {
            Some(permit) => permit,
            None => self.client.budget.permit(self.purpose).await?,
        };
        let reading = self.read(names, permit).await?;
        if reading.list.fits_its_count() {
            return Ok(reading);
        }
        Ok(self.read_again(names).await.unwrap_or(reading))
    }

    async fn read_again<T: Entry>(&mut self, names: &Names) -> Result<Reading<T>, Setback> {
        let permit = self.next_permit().await?;
        self.read(names, permit).await
    }

    async fn read<T: Entry>(
        &mut self,
        names: &Names,
        permit: Permit,
    ) -> Result<Reading<T>, Setback> {
        let as_of = self.client.clock.now();
        let begun = Instant::now();
        let rows = self.pages(permit).await?;
        let list = List::join(rows.rows, rows.count, names)?;
        let took = begun.elapsed();
        Ok(Reading { as_of, took, list })
    }

    async fn pages(&mut self, permit: Permit) -> Result<Rows, Setback> {
        let mut rows = Rows::default();
        let mut next = self.page(1, permit, &mut rows).await?;
        for _ in 1..MAX_PAGES {
            let Some(number) = next else { return Ok(rows) };
            let permit = self.next_permit().await?;
            next = self.page(number, permit, &mut rows).await?;
        }
        match next {
            None => Ok(rows),
            Some(_) => Err(endless().into()),
        }
    }

    /// Reads one page into `rows`, and tells the number of the next.
    async fn page(
        &mut self,
        page: u32,
        permit: Permit,
        rows: &mut Rows,
    ) -> Result<Option<u32>, Fault> {
        let ask = Ask {
            page,
            queue: self.queue,
        };
        let path = path(self.endpoint, ask);
        self.requests += 1;
        let page = self.client.page(self.endpoint, &path, ask, permit).await?;
        let next = page.next;
        rows.add(page)?;
        Ok(next)
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
            let wait = refusal.wait.max(SHORTEST_WAIT);
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
