//! Lists an account's queues, for people who do not know their names or ids.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Reach, Target,
    ask::{Asker, client, fault},
};
use crate::{
    account::plan,
    budget::Purpose,
    clock::Clock,
    config::{self, Queue, QueueRef, Rule, Soon},
    decision::{OnUnknown, criteria::SeatRule},
    model::{names::NamedQueue, quantity::Quantity},
};

/// All queues of an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listing {
    /// The account's name in the config.
    pub account: String,
    /// In CallTools' order; empty if they could not be read.
    pub queues: Vec<ListedQueue>,
    /// Why not, in one sentence.
    pub cause: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// Why the seats were not counted although the caller asked for them, with the cost.
    #[serde(default)]
    pub uncounted: Option<String>,
    /// What it cost.
    pub requests: u32,
}

/// One queue of an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListedQueue {
    /// CallTools' number for it.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// How many people are in it; `None` if it was not asked for, or could not be read.
    pub agents: Option<u64>,
    /// How many of them could take a call now, by the built-in rule.
    pub seats: Option<u64>,
}

/// Which queues have their agents and seats counted, at one request or more each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// None: names and ids only.
    Nothing,
    /// All of an account, if its `reserve` pays for them. Otherwise none, because polling would lose requests.
    WithinReserve,
    /// All, even if nothing is left for polling.
    Everything,
}

impl Count {
    /// Reads the flags `--seats` and `--yes`.
    pub fn wanted(seats: bool, yes: bool) -> Self {
        match (seats, yes) {
            (false, _) => Self::Nothing,
            (true, false) => Self::WithinReserve,
            (true, true) => Self::Everything,
        }
    }
}

/// Lists the queues, and counts agents and seats according to `wanted`.
pub async fn list(reach: &Reach, clock: &Arc<dyn Clock>, wanted: Count) -> Listing {
    let (client, sent) = client(reach, clock);
    if let Some(token) = &reach.token {
        token.read_again().await;
    }
    let mut listing = Listing {
        account: reach.config.name.to_string(),
        queues: Vec::new(),
        cause: None,
        advice: None,
        uncounted: None,
        requests: 0,
    };
    match client.queues(Purpose::OnDemand, None).await {
        Ok(queues) => listing.queues = queues.into_iter().map(ListedQueue::from).collect(),
        Err(error) => {
            listing.cause = Some(error.message(clock.now()));
            listing.advice = Some(fault(&error).advice());
        }
    }
    listing.requests = sent.count();
    if wanted == Count::Nothing || listing.queues.is_empty() {
        return listing;
    }
    listing.uncounted = (wanted == Count::WithinReserve)
        .then(|| too_dear(reach, listing.queues.len()))
        .flatten();
    if listing.uncounted.is_none() {
        count(reach, clock, &mut listing).await;
    }
    listing
}

/// Says why the reserve does not pay for counting this many queues.
fn too_dear(reach: &Reach, queues: usize) -> Option<String> {
    let usage = reach.budget.usage();
    // Statuses take one request, and each queue takes at least one.
    let requests = queues as u64 + 1;
    (requests > usage.reserve.into()).then(|| {
        format!(
            "counting the seats of {queues} queues takes at least {requests} requests, and `reserve` keeps back {} for this; {} of the hour's {} are left",
            usage.reserve,
            usage.limit.saturating_sub(usage.used),
            usage.limit,
        )
    })
}

impl From<NamedQueue> for ListedQueue {
    fn from(queue: NamedQueue) -> Self {
        Self {
            id: queue.id,
            name: queue.name,
            agents: None,
            seats: None,
        }
    }
}

/// Asks about each queue, as a check of a config with all of them would.
async fn count(reach: &Reach, clock: &Arc<dyn Clock>, listing: &mut Listing) {
    let account = config::Account {
        queues: listing.queues.iter().map(configured).collect(),
        ..(*reach.config).clone()
    };
    let target = Target {
        queues: account
            .queues
            .iter()
            .zip(plan::policies(&account))
            .collect(),
        account: &account,
    };
    let answers = Asker::new(&target, reach, Arc::clone(clock))
        .ask(&|| ())
        .await;
    listing.requests += answers.requests;
    for (listed, finding) in listing.queues.iter_mut().zip(&answers.findings) {
        listed.agents = finding
            .snapshot()
            .map(|snapshot| snapshot.agents.len() as u64);
        let seats = finding.decision.count;
        listed.seats = seats.map(|seats| seats.get() as u64);
    }
}

fn configured(queue: &ListedQueue) -> Queue {
    Queue {
        spelling: queue.id.to_string().into(),
        reference: QueueRef::Id(queue.id),
        rule: Rule::Seats(SeatRule::default()),
        threshold: Some(Quantity::ZERO),
        max_age: Some(LONG),
        on_unknown: OnUnknown::default(),
        hours: None,
        patience: None,
        soon: Soon::default(),
    }
}

/// Counts are shown at once, so none is too old.
const LONG: std::time::Duration = std::time::Duration::from_secs(3600);
