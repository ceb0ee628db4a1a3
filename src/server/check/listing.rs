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
    /// How many people are in it; `None` if nobody asked, or if it could not be read.
    pub agents: Option<u64>,
    /// How many of them could take a call now, by the built-in rule.
    pub seats: Option<u64>,
}

/// Lists the queues, and if `seats` is set, counts the agents and seats of each.
pub async fn list(reach: &Reach, clock: &Arc<dyn Clock>, seats: bool) -> Listing {
    let (client, sent) = client(reach, clock);
    if let Some(token) = &reach.token {
        token.read_again().await;
    }
    let mut listing = Listing {
        account: reach.config.name.to_string(),
        queues: Vec::new(),
        cause: None,
        advice: None,
        requests: 0,
    };
    match client.queues(Purpose::OnDemand, None).await {
        Ok(queues) => listing.queues = queues.into_iter().map(ListedQueue::from).collect(),
        Err(error) => {
            listing.cause = Some(error.told(clock.now()));
            listing.advice = Some(fault(&error).advice());
        }
    }
    listing.requests = sent.count();
    if seats && !listing.queues.is_empty() {
        count(reach, clock, &mut listing).await;
    }
    listing
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

/// Asks each queue, as a check of a config with all of them would.
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

/// The counts are shown as soon as they are there, so none is too old.
const LONG: std::time::Duration = std::time::Duration::from_secs(3600);
