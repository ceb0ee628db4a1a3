//! What the API shows of the world: one struct per kind of row, fields in CallTools' order.
//!
//! The documented fields are exact. The others (from `username` on, in a row of `agentstatuses/`) stand for the many that CallTools sends
//! without documenting them. Their names are invented, and clients must ignore them.

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use super::{
    quirks::{DateForm, LoggedInField, Quirks, StatusForm, SweepQuirk, UserForm},
    world::{Call, Person, World, WorldQueue, WorldStatus},
};

/// The dialer's only campaign.
const CAMPAIGN: u64 = 77;
const CAMPAIGN_NAME: &str = "Outbound \u{2013} Mornings";

/// What rows depend on, besides the person.
pub(super) struct View<'a> {
    pub(super) world: &'a World,
    pub(super) quirks: &'a Quirks,
    /// The date and time at the world's start.
    pub(super) start: Timestamp,
    /// `https://host`, for links.
    pub(super) origin: &'a str,
    /// The requested queue.
    pub(super) queue: Option<u64>,
    /// Whether this is an account-wide list, which [`SweepQuirk`] changes.
    pub(super) sweep: bool,
}

/// A row of `agentstatuses/`.
#[derive(Serialize)]
pub(super) struct AgentRow<'a> {
    app_user: AppUser<'a>,
    full_name: &'a str,
    agent_status: AgentStatus<'a>,
    status: &'a str,
    ready: bool,
    logged_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_logged_in: Option<bool>,
    agent_status_modified_on: Option<Date>,
    logged_in_since: Option<Date>,
    ready_since: Option<Date>,
    web_phone_registered_on: Option<Date>,
    live_calls_count: u32,
    live_queue_calls_count: u32,
    live_inbound_calls_count: u32,
    campaign: Option<u64>,
    campaign_name: Option<&'a str>,
    web_phone_status: &'a str,
    calls: u64,
    calls_inbound: u64,
    active_time: i64,
    username: String,
    extension: String,
    team: u64,
    team_name: String,
    avatar: Option<&'a str>,
    is_supervisor: bool,
    idle_time: i64,
    break_time: i64,
    average_handle_time: f64,
    last_disposition: Option<&'a str>,
    station: Station,
    tags: [&'a str; 2],
}

/// A nested object, for clients that expect flat rows.
#[derive(Serialize)]
struct Station {
    id: u64,
    kind: &'static str,
    queue_logged_in: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AppUser<'a> {
    Uuid(&'a str),
    Number(u64),
    Url(String),
    Object { id: &'a str, name: &'a str },
}

#[derive(Serialize)]
#[serde(untagged)]
enum AgentStatus<'a> {
    Id(u64),
    Name(&'a str),
    Null,
}

/// A row of `queues/`.
#[derive(Serialize)]
pub(super) struct QueueRow<'a> {
    id: u64,
    name: &'a str,
    description: &'a str,
    is_active: bool,
    strategy: &'a str,
    max_wait_time: u32,
    wrap_up_time: u32,
    created_on: Date,
}

/// A row of `statuses/`.
#[derive(Serialize)]
pub(super) struct StatusRow<'a> {
    id: u64,
    name: &'a str,
    queue_action: &'a str,
    campaign_action: &'a str,
    agent_can_select: bool,
    color: Option<&'a str>,
}

/// A row of `livephonecalls/`.
#[derive(Serialize)]
pub(super) struct CallRow<'a> {
    call_uuid: &'a str,
    app_user: AppUser<'a>,
    queue: Option<u64>,
    campaign: Option<u64>,
    inbound: bool,
    start: Date,
    answered_on: Option<Date>,
    state: &'a str,
    contact: Option<u64>,
}

/// A date, in the account's form.
struct Date {
    at: Timestamp,
    form: DateForm,
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.form {
            // Microseconds, as Python writes them.
            DateForm::Rfc3339 => serializer.collect_str(&format_args!("{:.6}", self.at)),
            DateForm::Seconds => serializer.collect_str(&format_args!("{:.0}", self.at)),
            DateForm::Spaced => serializer.collect_str(&self.at.strftime("%Y-%m-%d %H:%M:%S")),
        }
    }
}

impl<'a> View<'a> {
    pub(super) fn agent(&self, person: &'a Person) -> AgentRow<'a> {
        let status = self.status(person);
        let available = self.world.is_available(person) && !self.is_stale();
        let on_call = u32::from(person.call.is_some());
        let from_queue = person
            .call
            .as_ref()
            .is_some_and(|call| call.queue.is_some());
        let online = person.logged_in_since.is_some();
        let seconds = |since: SignedDuration| (self.now() - since).as_secs();
        AgentRow {
            app_user: self.app_user(person),
            full_name: &person.name,
            agent_status: self.agent_status(status),
            status: &status.name,
            ready: available,
            logged_in: online,
            queue_logged_in: self.queue_logged_in(person),
            agent_status_modified_on: self.modified_on(person).map(|at| Date {
                at,
                form: self.quirks.dates,
            }),
            logged_in_since: person.logged_in_since.map(|since| self.date(since)),
            ready_since: available.then(|| self.date(person.status_since)),
            web_phone_registered_on: person.logged_in_since.map(|since| self.date(since)),
            live_calls_count: on_call,
            live_queue_calls_count: u32::from(from_queue),
            live_inbound_calls_count: u32::from(from_queue),
            campaign: online.then_some(CAMPAIGN),
            campaign_name: online.then_some(CAMPAIGN_NAME),
            web_phone_status: if online { "Registered" } else { "Unregistered" },
            calls: person.calls,
            calls_inbound: person.calls_inbound,
            active_time: person.logged_in_since.map_or(0, seconds),
            username: format!("agent{}", person.number),
            extension: (person.number % 10_000).to_string(),
            team: person.team,
            team_name: format!("Team {}", person.team),
            avatar: None,
            is_supervisor: person.number.is_multiple_of(20),
            idle_time: seconds(person.status_since),
            break_time: 0,
            average_handle_time: 345.5,
            last_disposition: (person.calls > 0).then_some("Sale \"A\" / <callback>"),
            station: Station {
                id: person.number,
                kind: "web",
                queue_logged_in: None,
            },
            tags: ["simulated", "Zürich"],
        }
    }

    pub(super) fn queue(&self, queue: &'a WorldQueue) -> QueueRow<'a> {
        QueueRow {
            id: queue.id,
            name: &queue.name,
            description: "",
            is_active: true,
            strategy: "longest-idle-agent",
            max_wait_time: 120,
            wrap_up_time: 45,
            // About a year old.
            created_on: self.date(SignedDuration::from_hours(
                -24 * 365 + (queue.id % 100) as i64,
            )),
        }
    }

    pub(super) fn status_row(&self, status: &'a WorldStatus) -> StatusRow<'a> {
        let action = status.queue_action.into();
        StatusRow {
            id: status.id,
            name: &status.name,
            queue_action: action,
            campaign_action: action,
            agent_can_select: !matches!(&*status.name, "On a Call" | "Post Call"),
            color: None,
        }
    }

    pub(super) fn call(&self, person: &'a Person, call: &'a Call) -> CallRow<'a> {
        CallRow {
            call_uuid: &call.uuid,
            app_user: self.app_user(person),
            queue: call.queue,
            campaign: call.queue.is_none().then_some(CAMPAIGN),
            inbound: call.queue.is_some(),
            start: self.date(call.start),
            answered_on: Some(self.date(call.answered)),
            state: "ANSWERED",
            contact: None,
        }
    }

    /// Returns the status that the row shows. A stale list does not show that an agent is available.
    pub(super) fn status(&self, person: &Person) -> &'a WorldStatus {
        let stale = self.is_stale() && self.world.is_available(person);
        // The second status is Not Available, under any name.
        let place = if stale { 1 } else { person.status };
        &self.world.statuses()[place]
    }

    fn is_stale(&self) -> bool {
        self.sweep && self.quirks.sweep == SweepQuirk::Stale
    }

    fn app_user(&self, person: &'a Person) -> AppUser<'a> {
        let uuid = &*person.id.0;
        match self.quirks.app_user {
            UserForm::Uuid => AppUser::Uuid(uuid),
            UserForm::Number => AppUser::Number(person.number),
            UserForm::Url => AppUser::Url(format!("{}/api/users/{uuid}/", self.origin)),
            UserForm::Object => AppUser::Object {
                id: uuid,
                name: &person.name,
            },
        }
    }

    fn agent_status(&self, status: &'a WorldStatus) -> AgentStatus<'a> {
        match self.quirks.agent_status {
            StatusForm::Id => AgentStatus::Id(status.id),
            StatusForm::Name => AgentStatus::Name(&status.name),
            StatusForm::Null => AgentStatus::Null,
        }
    }

    fn queue_logged_in(&self, person: &Person) -> Option<bool> {
        let asked = self.queue.and_then(|queue| person.membership(queue));
        match (self.quirks.queue_logged_in, asked) {
            (LoggedInField::Never, _) => None,
            (_, Some(membership)) => Some(membership.logged_in),
            (LoggedInField::Always, None) => {
                Some(person.memberships.first().is_some_and(|m| m.logged_in))
            }
            (LoggedInField::WithQueue, None) => None,
        }
    }

    /// `agent_status_modified_on`, with the account's precision.
    pub(super) fn modified_on(&self, person: &Person) -> Option<Timestamp> {
        // Agents with such a date are spread over the roster.
        let is_one_of = |percent: u8| person.number * 37 % 100 < u64::from(percent);
        if is_one_of(self.quirks.undated_percent) {
            return None;
        }
        if is_one_of(self.quirks.still_dates_percent) {
            let before = SignedDuration::from_secs(-(person.number as i64 % 1_000));
            return Some(self.moment(before));
        }
        let apart = SignedDuration::try_from(self.quirks.clocks_apart).unwrap_or_default();
        let since = match person.number.is_multiple_of(2) {
            true => person.status_since.saturating_add(apart),
            false => person.status_since.saturating_sub(apart),
        };
        let at = self.moment(since);
        match self.quirks.dates {
            DateForm::Rfc3339 => Some(at),
            DateForm::Seconds | DateForm::Spaced => Timestamp::from_second(at.as_second()).ok(),
        }
    }

    pub(super) fn moment(&self, at: SignedDuration) -> Timestamp {
        let written = at.saturating_add(self.quirks.dates_ahead);
        self.start.saturating_add(written).unwrap_or(Timestamp::MAX)
    }

    fn now(&self) -> SignedDuration {
        // Worlds run for hours or weeks.
        SignedDuration::try_from(self.world.now()).unwrap_or(SignedDuration::MAX)
    }

    fn date(&self, at: SignedDuration) -> Date {
        Date {
            at: self.moment(at),
            form: self.quirks.dates,
        }
    }
}
