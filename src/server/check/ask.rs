//! Asks CallTools for names and statuses, then for the agents of each queue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream};
use tokio::sync::watch;

use super::select::Target;
use crate::{
    account::{Health, TokenKeeper, fault_of, feeds::FeedStanding, id_of, polled},
    budget::{Budget, Purpose, Usage},
    calltools::{
        AgentList, Client, Endpoint, Notes, Observer, RequestError, Transport, joined_response,
    },
    clock::{Clock, Moment},
    config::{self, Rule},
    decision::{
        Decision, Policy,
        board::{QueueKey, QueueState},
        decide,
        snapshot::Snapshot,
    },
    model::{
        fault::{Down, Fault},
        names::Names,
    },
};

/// The queues asked for at once, so that many queues take seconds and not a minute. Meanwhile CallTools also gets the daemon's polls.
const AT_ONCE: usize = 4;

/// How to ask an account.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Its settings.
    pub config: Arc<config::Account>,
    /// The budget that its requests are spent from.
    pub budget: Arc<Budget>,
    /// The way to CallTools.
    pub transport: Arc<dyn Transport>,
    /// Its token, if a daemon keeps it. It is read again first, because people check what they have just fixed.
    pub token: Option<Arc<TokenKeeper>>,
    /// Its health, if a daemon polls it.
    pub health: Option<watch::Receiver<Health>>,
}

/// What is needed to ask one account.
#[derive(Debug)]
pub(super) struct Asker<'a> {
    target: &'a Target<'a>,
    reach: &'a Reach,
    clock: Arc<dyn Clock>,
}

/// The answers for one account.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    pub account: &'a str,
    /// In the order of the config.
    pub findings: Vec<Finding<'a>>,
    /// Why statuses could not be read, if that is the only failure.
    pub statuses: Option<RequestError>,
    /// All requests of this check, including look-ups.
    pub requests: u32,
    /// The account's hour afterwards.
    pub usage: Usage,
    /// The state of its feeds, if a daemon polls it.
    pub feeds: Option<Vec<FeedStanding>>,
}

impl Answers<'_> {
    /// Whether every queue could be asked and measured.
    pub fn are_good(&self) -> bool {
        self.findings.iter().all(Finding::is_good)
    }
}

/// The result for one queue.
#[derive(Debug)]
pub(super) struct Finding<'a> {
    pub key: QueueKey,
    pub queue: &'a config::Queue,
    pub policy: Policy,
    /// The state that a daemon's board would have after this poll.
    pub state: QueueState,
    pub decision: Decision,
    /// Why there is no snapshot.
    pub error: Option<RequestError>,
    /// What else the rows showed.
    pub notes: Notes,
    /// How many nodes of the response the queue's own criteria visit; `None` for the built-in rule.
    pub selected: Option<usize>,
    /// Requests for this queue's agents.
    pub requests: u32,
    /// When the poll took place.
    pub now: Moment,
}

impl Finding<'_> {
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.state.snapshot.as_deref()
    }

    /// Whether the queue could be asked and measured. Closed queues are asked too.
    pub fn is_good(&self) -> bool {
        let is_measured = self
            .snapshot()
            .is_some_and(|snapshot| snapshot.measured.is_ok());
        is_measured && self.decision.reason.is_known()
    }

    /// Returns one sentence on what to do about an error.
    pub fn advice(&self) -> Option<String> {
        self.error.as_ref().map(|error| fault(error).full_advice())
    }
}

/// Names and statuses, if they could be read.
#[derive(Debug, Default)]
struct LookUps {
    names: Names,
    queues: Option<RequestError>,
    statuses: Option<RequestError>,
    requests: u32,
}

impl LookUps {
    /// A failure that would repeat for every further request, and only cost time and requests.
    fn hopeless(&self) -> Option<&RequestError> {
        let mut errors = self.queues.iter().chain(&self.statuses);
        errors.find(|error| stops_all(error))
    }
}

impl<'a> Asker<'a> {
    pub fn new(target: &'a Target<'a>, reach: &'a Reach, clock: Arc<dyn Clock>) -> Self {
        Self {
            target,
            reach,
            clock,
        }
    }

    /// Asks for everything.
    pub async fn ask(&self, progress: &(dyn Fn() + Sync)) -> Answers<'a> {
        if let Some(token) = &self.reach.token {
            token.read_again().await;
        }
        let look_ups = self.look_up().await;
        let look_ups = &look_ups;
        let mut findings: Vec<BoxFuture<'_, Finding<'a>>> = Vec::new();
        for (queue, policy) in &self.target.queues {
            findings.push(Box::pin(async move {
                let finding = self.find(queue, policy.clone(), look_ups).await;
                progress();
                finding
            }));
        }
        let findings: Vec<_> = stream::iter(findings).buffered(AT_ONCE).collect().await;
        let of_queues: u32 = findings.iter().map(|finding| finding.requests).sum();
        let already_reported = look_ups.hopeless().is_some();
        Answers {
            account: &self.target.account.name,
            requests: look_ups.requests + of_queues,
            statuses: look_ups.statuses.clone().filter(|_| !already_reported),
            usage: self.reach.budget.usage(),
            feeds: self
                .reach
                .health
                .as_ref()
                .map(|health| health.borrow().feeds.clone()),
            findings,
        }
    }

    /// A client, and the number of requests that it has sent.
    fn client(&self) -> (Client, Arc<Sent>) {
        client(self.reach, &self.clock)
    }

    async fn look_up(&self) -> LookUps {
        let (client, sent) = self.client();
        let mut found = LookUps::default();
        if self.target.has_names() {
            let queues = client.queues(Purpose::OnDemand, None).await;
            found.queues = queues.map(|queues| found.names.queues = Some(queues)).err();
        }
        // Read even if no criteria need statuses: the table shows what each status does.
        if found.hopeless().is_none() {
            let statuses = client.statuses(Purpose::OnDemand, None).await;
            found.statuses = statuses
                .map(|statuses| found.names.statuses = Some(statuses))
                .err();
        }
        found.requests = sent.count();
        found
    }

    async fn find(
        &self,
        queue: &'a config::Queue,
        policy: Policy,
        look_ups: &LookUps,
    ) -> Finding<'a> {
        let (client, sent) = self.client();
        let id = id(queue, look_ups);
        let list = match &id {
            Ok(id) => {
                let names = &look_ups.names;
                client.agents(*id, names, Purpose::OnDemand, None).await
            }
            Err(error) => Err(error.clone()),
        };
        let state = QueueState {
            name: id.as_ref().ok().and_then(|id| {
                let name = look_ups.names.queue_name(*id)?;
                Some(name.into())
            }),
            id: id.ok(),
            ..QueueState::default()
        };
        self.finding(queue, policy, state, list, &look_ups.names, sent.count())
    }

    fn finding(
        &self,
        queue: &'a config::Queue,
        policy: Policy,
        mut state: QueueState,
        list: Result<AgentList, RequestError>,
        names: &Names,
        requests: u32,
    ) -> Finding<'a> {
        let now = self.clock.now();
        let (mut notes, mut selected, mut error) = (Notes::default(), None, None);
        match list {
            Ok(list) => {
                notes = list.notes.clone();
                selected = nodes(&list, &queue.rule);
                state.snapshot = Some(Arc::new(polled(list, &queue.rule, names)));
            }
            Err(why) => {
                state.fault = Some(Arc::new(fault(&why)));
                error = Some(why);
            }
        }
        Finding {
            key: self.target.key(queue),
            decision: decide(&state, &policy, 0, now),
            now,
            queue,
            policy,
            state,
            error,
            notes,
            selected,
            requests,
        }
    }
}

/// A client, and the number of requests that it has sent.
pub(super) fn client(reach: &Reach, clock: &Arc<dyn Clock>) -> (Client, Arc<Sent>) {
    let sent = Arc::new(Sent::default());
    let client = Client::new(
        Arc::clone(&reach.transport),
        Arc::clone(&reach.budget),
        Arc::clone(clock),
        Arc::clone(&sent) as Arc<dyn Observer>,
    );
    (client, sent)
}

/// Returns the id of a queue, or why it is not known.
fn id(queue: &config::Queue, look_ups: &LookUps) -> Result<u64, RequestError> {
    if let Some(hopeless) = look_ups.hopeless() {
        return Err(hopeless.clone());
    }
    match id_of(&queue.reference, &look_ups.names) {
        Some(id) => Ok(id?),
        None => Err(look_ups
            .queues
            .clone()
            .expect("names are missing only if they could not be read")),
    }
}

fn nodes(list: &AgentList, rule: &Rule) -> Option<usize> {
    let Rule::Custom(criteria) = rule else {
        return None;
    };
    let response = joined_response(&list.rows).ok()?;
    criteria.selects(&response).ok()
}

/// An error as a fault.
pub(super) fn fault(error: &RequestError) -> Fault {
    match error {
        RequestError::Fault(fault) => fault.clone(),
        RequestError::Refused(refusal) => fault_of(*refusal),
    }
}

/// Whether the account's other requests would fail the same way.
fn stops_all(error: &RequestError) -> bool {
    match error {
        RequestError::Refused(_) => true,
        RequestError::Fault(fault) => affects_all(fault),
    }
}

/// Returns whether the account's other requests would fail with the same fault.
pub(super) fn affects_all(fault: &Fault) -> bool {
    match fault {
        Fault::BadToken
        | Fault::Throttled { .. }
        | Fault::BudgetSpent { .. }
        | Fault::ClusterDown(_) => true,
        Fault::NoPermission | Fault::NoSuchQueue(_) => false,
        Fault::UpstreamDown { kind, .. } => matches!(
            kind,
            Down::Dns | Down::Refused | Down::Proxy | Down::Tls | Down::TimeOut | Down::Redirect
        ),
    }
}

/// Counts the requests of a client.
#[derive(Debug, Default)]
pub(super) struct Sent(AtomicU32);

impl Sent {
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Observer for Sent {
    fn request(&self, _: Endpoint, _: &'static str, _: Duration) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
