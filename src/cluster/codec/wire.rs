//! The JSON form of an entry. Ages and stays are in milliseconds.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{BadEntry, Reading, Writing, fault::WireFault, ms};
use crate::{
    budget::{MAX_SILENCE, Mark, Mirrored},
    clock::Moment,
    cluster::entry::{Entry, HeldSeat, Polled, Rows, SeenRow, Shown, Silence},
    decision::{
        reservations::{MAX_CALL_ID_LENGTH, Reservation, ReservationId, TTL},
        soon::rule::Prediction,
    },
    model::{
        agent::AgentId,
        fault::Fault,
        known::{Confirmed, Unconfirmed},
        names::Names,
    },
};

/// The maximum of requests: no window has more.
const MAX_REQUESTS: usize = 100_000;

/// The maximum length of the knowledge in bytes: more than twice that of an account with a hundred queues and many statuses.
const MAX_LEARNT: usize = 256 * 1024;

/// See the [module](self). Absent parts of an entry are omitted.
#[derive(Serialize, Deserialize)]
pub(super) struct Wire {
    pub format: u32,
    /// The engine's time when it was written, or slightly earlier.
    pub at: u64,
    /// The writer's wall clock.
    pub wall: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    whole: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names: Option<Box<RawValue>>,
    /// Earlier versions do not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    names_age: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    polls: Vec<WirePoll>,
    #[serde(default, skip_serializing_if = "is_false")]
    doubted: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    seen: Vec<WireSeen>,
    #[serde(default, skip_serializing_if = "is_false")]
    uncovered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unchanged: Option<u64>,
    /// Everybody's status, and who is available. Earlier versions ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed: Option<WireConfirmed>,
    /// The same of all but some. Earlier versions ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed_but: Option<WireConfirmedBut>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shown: Vec<WireShown>,
    /// A list of no or one fault; `None` if the entry does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<Vec<WireFault>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<WireHeld>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ended: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learnt: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requests: Vec<WireRequest>,
    /// Whether it follows a 429, and its length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    silences: Vec<(bool, Option<u64>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    assumed: Vec<WireRequest>,
    /// Earlier versions ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queues: Option<WirePolled>,
}

#[derive(Serialize, Deserialize)]
struct WirePolled {
    ids: BTreeSet<u64>,
    names: BTreeSet<String>,
}

/// The ages of everybody's status, and of who is available.
type WireConfirmed = (Option<u64>, Option<u64>);

/// The same of all but these.
type WireConfirmedBut = (WireConfirmed, Vec<WireUnconfirmed>);

/// Process, number, polling, answered and stay of a request.
type WireRequest = (u64, u64, bool, bool, u64);

#[derive(Serialize, Deserialize)]
struct WirePoll {
    queue: u64,
    age: u64,
    took: u64,
    complete: bool,
    rows: Vec<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
struct WireSeen {
    agent: String,
    age: u64,
    by_sweep: bool,
    /// Earlier versions ignore it.
    #[serde(default, skip_serializing_if = "is_false")]
    is_look: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    is_covered: bool,
    row: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct WireUnconfirmed {
    agent: String,
    age: u64,
    slipped: bool,
}

#[derive(Serialize, Deserialize)]
struct WireShown {
    queue: String,
    fault: Option<WireFault>,
    max_age: u64,
    members_max_age: u64,
    /// Earlier versions ignore it.
    #[serde(default, skip_serializing_if = "is_false")]
    fails: bool,
}

#[derive(Serialize, Deserialize)]
struct WireHeld {
    queue: String,
    id: String,
    call: String,
    age: u64,
    ttl: u64,
    /// The figures of a seat that counts on an agent who was not free yet, and that agent. Earlier versions have neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    soon: Option<(u8, f64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Returns an age, rounded up: ages are never understated.
fn age(now: Moment, at: Moment) -> u64 {
    now.longest_since(at).as_micros().div_ceil(1000) as u64
}

fn names(names: &Names) -> Box<RawValue> {
    RawValue::from_string(names.to_json())
        .or_else(|_| to_raw_value(&()))
        .expect("JSON is JSON")
}

fn confirmed_ages(confirmed: &Confirmed, now: Moment) -> WireConfirmedBut {
    let age = |at| age(now, at);
    let but = |one: &Unconfirmed| WireUnconfirmed {
        agent: one.agent.to_string(),
        age: age(one.known),
        slipped: one.has_slipped,
    };
    let of_others = (confirmed.everybody.map(age), confirmed.available.map(age));
    (of_others, confirmed.but.iter().map(but).collect())
}

fn confirmed_at(wire: WireConfirmedBut, at: impl Fn(u64) -> Moment) -> Confirmed {
    let ((everybody, available), but) = wire;
    let but = but.into_iter().map(|one| Unconfirmed {
        agent: AgentId(one.agent.into()),
        known: at(one.age),
        has_slipped: one.slipped,
    });
    Confirmed {
        but: but.collect(),
        everybody: everybody.map(&at),
        available: available.map(&at),
    }
}

/// Returns the requests that still stay.
fn requests(requests: Vec<WireRequest>, over: Duration) -> Vec<Mirrored> {
    let requests = requests.into_iter();
    let requests = requests.map(|(process, number, polling, answered, stays)| Mirrored {
        mark: Mark { process, number },
        polling,
        answered,
        stays: Duration::from_millis(stays).saturating_sub(over),
    });
    requests.filter(|one| !one.stays.is_zero()).collect()
}

/// Returns what is left of a pause; `None` if it is over.
fn pause(throttled: bool, wait: Option<u64>, over: Duration) -> Option<Silence> {
    let wait = wait.map(Duration::from_millis);
    let is_over = !over.is_zero() && over >= wait.unwrap_or(MAX_SILENCE);
    let wait = wait.map(|wait| wait.saturating_sub(over));
    (!is_over).then_some(Silence { throttled, wait })
}

impl Wire {
    pub fn new(entry: &Entry, writing: &Writing) -> Self {
        let now = writing.now;
        let poll = |(queue, rows): &(u64, Rows)| WirePoll {
            queue: *queue,
            age: age(now, rows.as_of),
            took: ms(rows.took),
            complete: rows.complete,
            rows: rows.rows.iter().map(|row| row.json()).collect(),
        };
        let seen = |seen: &SeenRow| WireSeen {
            agent: seen.agent.to_string(),
            age: age(now, seen.at),
            by_sweep: seen.by_sweep,
            is_look: seen.is_look,
            is_covered: seen.is_covered,
            row: seen.row.json(),
        };
        let confirmed = entry.confirmed.as_ref();
        let confirmed_of_all = confirmed.map(|one| confirmed_ages(&one.of_all(), now).0);
        let some_but = confirmed.filter(|one| !one.but.is_empty());
        let shown = |shown: &Shown| WireShown {
            queue: shown.queue.to_string(),
            fault: shown
                .fault
                .as_deref()
                .map(|fault| WireFault::new(fault, now)),
            max_age: ms(shown.max_age),
            members_max_age: ms(shown.members_max_age),
            fails: shown.fails,
        };
        let held = |held: &HeldSeat| WireHeld {
            queue: held.queue.to_string(),
            id: held.reservation.id.to_string(),
            call: held.reservation.call_id.to_string(),
            // Rounded down: a seat that is held too long is safer than one that ends too early.
            age: ms(now.shortest_since(held.reservation.made)),
            ttl: ms(held.reservation.ttl),
            soon: held.reservation.prediction.map(Prediction::figures),
            agent: (held.reservation.counts_on.as_ref()).map(ToString::to_string),
        };
        let request = |one: &Mirrored| {
            let stays = one.stays.as_micros().div_ceil(1000) as u64;
            let Mark { process, number } = one.mark;
            (process, number, one.polling, one.answered, stays)
        };
        let fault = |fault: &Option<Arc<Fault>>| {
            let fault = fault.iter().map(|fault| WireFault::new(fault, now));
            fault.collect()
        };
        Self {
            format: writing.format,
            at: ms(writing.engine),
            wall: ms(now.wall),
            whole: entry.whole,
            names: entry.names.as_deref().map(names),
            names_age: entry.names_read.map(|read| age(now, read)),
            polls: entry.polls.iter().map(poll).collect(),
            doubted: entry.doubted,
            seen: entry.seen.iter().map(seen).collect(),
            uncovered: entry.uncovered,
            unchanged: entry.unchanged.map(|unchanged| age(now, unchanged)),
            confirmed: confirmed_of_all,
            confirmed_but: some_but.map(|one| confirmed_ages(one, now)),
            shown: entry.shown.iter().map(shown).collect(),
            fault: entry.fault.as_ref().map(fault),
            held: entry.held.iter().map(held).collect(),
            ended: entry.ended.iter().map(ToString::to_string).collect(),
            learnt: entry.learnt.as_deref().map(str::to_owned),
            requests: entry.requests.iter().map(request).collect(),
            silences: (entry.silences.iter())
                .map(|silence| (silence.throttled, silence.wait.map(ms)))
                .collect(),
            assumed: entry.assumed.iter().map(request).collect(),
            queues: entry.queues.as_deref().map(WirePolled::new),
        }
    }

    pub fn entry(self, reading: &Reading) -> Result<Entry, BadEntry> {
        if self.requests.len().max(self.assumed.len()) > MAX_REQUESTS {
            return Err(BadEntry::Content("it has more requests than any hour"));
        }
        let written = reading.written(&self);
        let over = reading.over(&self);
        let at = |age: u64| written.earlier(Duration::from_millis(age));
        let names = self.names.as_deref().map(RawValue::get);
        let names = names.map(Names::from_json).transpose();
        let names = names.map_err(|_| BadEntry::Content("its names cannot be read"))?;
        let polls = self.polls.into_iter().map(|poll| {
            let rows = Rows {
                as_of: at(poll.age),
                took: Duration::from_millis(poll.took),
                complete: poll.complete,
                rows: poll.rows.into_iter().map(Into::into).collect(),
            };
            (poll.queue, rows)
        });
        let seen = self.seen.into_iter().map(|seen| SeenRow {
            agent: AgentId(seen.agent.into()),
            at: at(seen.age),
            by_sweep: seen.by_sweep,
            is_look: seen.is_look,
            is_covered: seen.is_covered,
            row: seen.row.into(),
        });
        let of_all = self.confirmed.map(|all| (all, Vec::new()));
        let confirmed = self.confirmed_but.or(of_all);
        let shown = self.shown.into_iter().map(|shown| Shown {
            queue: shown.queue.into(),
            fault: shown.fault.map(|fault| Arc::new(fault.fault(reading.now))),
            max_age: Duration::from_millis(shown.max_age),
            members_max_age: Duration::from_millis(shown.members_max_age),
            fails: shown.fails,
        });
        let held = self
            .held
            .into_iter()
            .map(|held| held.seat(reading.now, over));
        let silences = self.silences.into_iter();
        let silences = silences.filter_map(|(throttled, wait)| pause(throttled, wait, over));
        let fault = |faults: Vec<WireFault>| {
            let fault = faults.into_iter().next();
            fault.map(|fault| Arc::new(fault.fault(reading.now)))
        };
        let ended = self.ended.iter();
        Ok(Entry {
            whole: self.whole,
            names: names.map(Arc::new),
            names_read: self.names_age.map(at),
            polls: polls.collect(),
            doubted: self.doubted,
            seen: seen.collect(),
            uncovered: self.uncovered,
            unchanged: self.unchanged.map(at),
            confirmed: confirmed.map(|one| confirmed_at(one, at)),
            shown: shown.collect(),
            fault: self.fault.map(fault),
            held: held.collect::<Result<_, _>>()?,
            ended: ended.map(|id| ReservationId::from_text(id)).collect(),
            // Requests and seats do not depend on it.
            learnt: self
                .learnt
                .filter(|one| one.len() <= MAX_LEARNT)
                .map(Into::into),
            requests: requests(self.requests, over),
            silences: silences.collect(),
            assumed: requests(self.assumed, over),
            queues: self.queues.map(|queues| Arc::new(queues.polled())),
        })
    }
}

impl WirePolled {
    fn new(polled: &Polled) -> Self {
        Self {
            ids: polled.ids.clone(),
            names: polled.names.iter().map(ToString::to_string).collect(),
        }
    }

    fn polled(self) -> Polled {
        Polled {
            ids: self.ids,
            names: self.names.into_iter().map(Into::into).collect(),
        }
    }
}

impl WireHeld {
    fn seat(self, now: Moment, over: Duration) -> Result<HeldSeat, BadEntry> {
        let ttl = Duration::from_millis(self.ttl);
        let is_ours = TTL.contains(&ttl)
            && self.call.len() <= MAX_CALL_ID_LENGTH * 4
            && self.id.len() <= MAX_CALL_ID_LENGTH;
        if !is_ours {
            return Err(BadEntry::Content("it holds a seat as openseat does not"));
        }
        Ok(HeldSeat {
            queue: self.queue.into(),
            reservation: Reservation {
                id: ReservationId::from_text(&self.id),
                call_id: self.call.into(),
                made: now.earlier(Duration::from_millis(self.age) + over),
                ttl,
                prediction: self.soon.and_then(Prediction::from_figures),
                counts_on: self.agent.map(|agent| AgentId(agent.into())),
            },
        })
    }
}
