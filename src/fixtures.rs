//! Agents and snapshots for tests, made in one place.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::{
    budget::Budget,
    calltools::{RequestError, Transport},
    clock::{Clock, Moment},
    config::Config,
    decision::{
        OnUnknown, Policy,
        criteria::{Comparison, Measured, Verdict},
        snapshot::Snapshot,
    },
    model::{
        agent::{Agent, AgentId},
        hours::{OpeningHours, Zone},
        quantity::Quantity,
    },
    server::check::{
        Reach, select,
        survey::{SurveyReport, survey},
    },
    simulator::{Simulator, TOKEN},
};

/// The moment this long after a fixed one.
pub(crate) fn at(seconds: u64) -> Moment {
    let start = Moment {
        boot: Duration::from_secs(1_000),
        wall: Duration::from_secs(1_795_341_600),
    };
    start.later(Duration::from_secs(seconds))
}

/// The date of [`at`] by CallTools' clock.
pub(crate) fn date(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_341_600 + seconds).expect("a year like this one")
}

/// Accepts any seat, and rejects what is unknown.
pub(crate) fn policy() -> Policy {
    Policy {
        threshold: Some(Quantity::ZERO),
        asks_threshold: false,
        max_age: None,
        on_unknown: OnUnknown::Reject,
        hours: None,
    }
}

/// An agent with a status, logged in to the queue, whose row looks as CallTools would send it.
pub(crate) fn agent(id: &str, name: &str, status: &str) -> Agent {
    let row = serde_json::json!({
        "app_user": id, "full_name": name, "agent_status": status, "status": status,
        "queue_logged_in": true, "team": "north",
    });
    Agent {
        id: AgentId(id.into()),
        name: name.into(),
        status: Some(status.into()),
        available: Some(status == "Available"),
        queue_logged_in: true,
        logged_in: true,
        on_call: false,
        ready: None,
        status_since: Some(jiff::Timestamp::constant(1_795_341_000, 0)),
        raw: raw(&row).into(),
    }
}

/// JSON as a row keeps it.
pub(crate) fn raw(json: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(json).expect("JSON can be written")
}

/// This many agents with a seat, named `Agent 0`, `Agent 1`, ….
pub(crate) fn available(count: usize) -> Vec<Agent> {
    (0..count)
        .map(|n| agent(&format!("id-{n}"), &format!("Agent {n}"), "Available"))
        .collect()
}

/// A complete snapshot of these agents, measured as the built-in rule does.
pub(crate) fn snapshot(as_of: Moment, agents: Vec<Agent>) -> Snapshot {
    let seats = agents
        .iter()
        .filter(|agent| agent.available == Some(true) && agent.queue_logged_in)
        .count();
    Snapshot {
        threshold: None,
        outlook: None,
        as_of,
        rows_as_of: as_of,
        members_as_of: as_of,
        took: Duration::from_millis(321),
        complete: true,
        agents: agents.into_iter().map(Arc::new).collect(),
        measured: Ok(Measured {
            count: Quantity::from(seats),
            verdict: Verdict::Compare(Comparison::GreaterThan),
        }),
    }
}

/// These hours, in a time zone.
pub(crate) fn opening_hours(open: &[&str], zone: &str) -> Option<Arc<OpeningHours>> {
    let entries = open.iter().map(|entry| entry.parse().expect("hours"));
    let zone = Zone::find(zone).expect("a zone");
    Some(Arc::new(OpeningHours::new(entries.collect(), zone)))
}

/// A clock that stands still until it is told to go on.
#[derive(Debug)]
pub(crate) struct Still(Mutex<Moment>);

impl Still {
    /// Stands at 2026-11-22T10:00:00.123Z, a day after the machine booted.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Moment {
            boot: Duration::from_secs(86_400),
            wall: Duration::from_millis(1_795_341_600_123),
        }))
    }

    /// Lets so much time pass.
    pub(crate) fn pass(&self, time: Duration) {
        let mut now = self.0.lock().expect("no holder panics");
        *now = now.later(time);
    }

    /// Sets the wall clock back.
    pub(crate) fn step_wall_back(&self, by: Duration) {
        let mut now = self.0.lock().expect("no holder panics");
        now.wall -= by;
    }
}

impl Clock for Still {
    fn now(&self) -> Moment {
        *self.0.lock().expect("no holder panics")
    }

    fn boot_id(&self) -> &str {
        "still"
    }
}

/// What `check --report` finds out about a simulated account, asked for its first queue.
pub(crate) async fn surveyed(
    simulator: &Simulator,
    ordering_field: &str,
    clock: &Arc<dyn Clock>,
) -> Result<SurveyReport, RequestError> {
    surveyed_over(simulator.transport(TOKEN), simulator, ordering_field, clock).await
}

/// The same over another way to the account.
pub(crate) async fn surveyed_over(
    transport: Arc<dyn Transport>,
    simulator: &Simulator,
    ordering_field: &str,
    clock: &Arc<dyn Clock>,
) -> Result<SurveyReport, RequestError> {
    let queue = simulator.world(|world| world.queues()[0].id);
    let text = format!(
        "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"TOKEN\"\n\
         ordering_field = \"{ordering_field}\"\nqueue = [{{ queue = {queue} }}]\n"
    );
    let config = Config::parse(&text, "openseat.toml".as_ref(), &|_| None).expect("a valid config");
    let limit = config.accounts[0].requests_per_hour;
    let reach = Reach {
        config: Arc::new(config.accounts[0].clone()),
        budget: Arc::new(Budget::in_memory(limit, 50, Arc::clone(clock))),
        transport,
        token: None,
        health: None,
    };
    let targets = select(&config, &[]).expect("the config has a queue");
    survey(&targets[0], &reach, clock).await
}
