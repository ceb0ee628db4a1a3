//! One row of `agentstatuses/`, normalized.
//!
//! CallTools writes the same facts in several forms: a status as an id or as a name, an agent as a number, a UUID, a URL or
//! an object, dates with an offset or without. Only this module knows them all. A status that cannot be determined stays `None`:
//! unknown is never read as no. Two unknowns count as no, because other facts make up for them: a log-in to the queue, if other
//! rows tell theirs, and calls, which the status tells, too.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde::Deserialize;

use crate::model::field::{self, BadRow, Field};
use crate::model::{
    agent::{Agent, AgentId},
    names::{Names, Status},
    raw::{Pattern, RawRow},
};

/// An agent, and what the row revealed about the account.
#[derive(Clone, Debug)]
pub struct Row {
    /// The agent.
    pub agent: Agent,
    /// What the row says about the login to the requested queue.
    pub queue_login: QueueLogin,
    /// A status, by id or name, that `statuses/` did not list when it was last read: time to read it again.
    pub unknown_status: Option<Box<str>>,
}

/// What a row says about the login to the requested queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueLogin {
    /// Yes or no.
    Told,
    /// No row of the list has the field, so `logged_in` is used instead.
    Assumed,
    /// The row does not say, and the agent is not logged in to the dialer, so to no queue.
    LoggedOff,
    /// `null`, or absent while other rows of the list have it. Unknown is not a seat: the agent counts as not logged in, if other rows tell.
    Unclear,
    /// The row has no such field, and says whether the agent is logged in to the dialer. What that means depends on the
    /// [whole list](settle_queue_logins).
    Absent,
    /// The row says nothing about any login.
    Unsaid,
}

/// The fields that openseat itself understands; the criteria see all of them.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    app_user: Field<'a>,
    #[serde(borrow, default)]
    full_name: Field<'a>,
    #[serde(borrow, default)]
    agent_status: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
    #[serde(borrow, default)]
    logged_in: Field<'a>,
    #[serde(borrow, default)]
    queue_logged_in: Field<'a>,
    #[serde(borrow, default)]
    live_calls_count: Field<'a>,
    #[serde(borrow, default)]
    ready: Field<'a>,
    #[serde(borrow, default)]
    agent_status_modified_on: Field<'a>,
}

impl Row {
    /// Normalizes a row. `names` says what the account's statuses do, if known. The row shares memory with `pattern`.
    ///
    /// # Errors
    /// [`BadRow`] if the row does not say who it is about, has nothing about their status, or has a login that is not a truth
    /// value.
    pub fn read(json: &str, names: &Names, pattern: &mut Pattern) -> Result<Self, BadRow> {
        Self::read_and(json, names, || {
            let row = pattern.keep(json);
            row.map_err(|_| BadRow("a row is not JSON"))
        })
    }

    /// Normalizes a row that is kept already.
    ///
    /// # Errors
    /// Like [`read`](Self::read).
    pub fn read_again(row: &RawRow, names: &Names) -> Result<Self, BadRow> {
        Self::read_and(row.json().get(), names, || Ok(row.clone()))
    }

    /// Returns an agent as `names` explain their row; `None` if that is the same.
    pub fn explain(agent: &Agent, names: &Names) -> Option<Agent> {
        // It could be read before, so it can be read now.
        let Self { agent: read, .. } = Self::read_again(&agent.raw, names).ok()?;
        let differs = read.available != agent.available || read.status != agent.status;
        differs.then(|| Agent {
            status: read.status,
            available: read.available,
            ..agent.clone()
        })
    }

    fn read_and(
        json: &str,
        names: &Names,
        keep: impl FnOnce() -> Result<RawRow, BadRow>,
    ) -> Result<Self, BadRow> {
        let fields: Fields<'_> = field::read(json)?;
        let id = agent_id(&fields.app_user)?;
        let login = Login::from_fields(&fields)?;
        let standing = standing(&fields, names)?;
        let name = fields.full_name.text().unwrap_or_default().into();
        let status_since = fields.agent_status_modified_on.text().and_then(timestamp);
        let agent = Agent {
            id,
            name,
            status: standing.name,
            available: standing.available,
            queue_logged_in: login.there,
            logged_in: login.dialer,
            // A value that is not a number says nothing about calls, and is no reason to reject the list.
            on_call: fields
                .live_calls_count
                .number()
                .is_some_and(|calls| calls > 0),
            ready: fields.ready.truth("").ok().flatten(),
            status_since,
            raw: keep()?,
        };
        Ok(Self {
            agent,
            queue_login: login.queue,
            unknown_status: standing.unknown,
        })
    }
}

/// Returns the text that all forms of an id reduce to.
pub(super) fn agent_id(app_user: &Field<'_>) -> Result<AgentId, BadRow> {
    let id: Arc<str> = match app_user {
        Field::Absent | Field::Null => return Err(BadRow("a row has no app_user")),
        Field::Number(number) => number.to_string().into(),
        Field::Text(text) => last_segment(text).into(),
        Field::Object(id) => match &**id {
            Field::Number(number) => number.to_string().into(),
            id => last_segment(id.text().unwrap_or_default()).into(),
        },
        Field::Bool(_) | Field::Other => Arc::default(),
    };
    if id.is_empty() {
        return Err(BadRow("app_user is not an id"));
    }
    Ok(AgentId(id))
}

/// Finds the agent 1234 in `…/api/users/1234/`. An id without slashes is its own last segment.
fn last_segment(text: &str) -> &str {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let path = path.trim().trim_end_matches('/');
    path.rsplit('/').next().unwrap_or_default()
}

struct Login {
    there: bool,
    dialer: bool,
    queue: QueueLogin,
}

impl Login {
    fn from_fields(fields: &Fields<'_>) -> Result<Self, BadRow> {
        let dialer = fields.logged_in.truth("logged_in is not a truth value")?;
        let there = fields
            .queue_logged_in
            .truth("queue_logged_in is not a truth value")?;
        let queue = match (&fields.queue_logged_in, there, dialer) {
            (_, Some(_), _) => QueueLogin::Told,
            (Field::Absent, None, Some(_)) => QueueLogin::Absent,
            (Field::Absent, None, None) => QueueLogin::Unsaid,
            (_, None, Some(false)) => QueueLogin::LoggedOff,
            (_, None, _) => QueueLogin::Unclear,
        };
        let stands_in = queue == QueueLogin::Absent && dialer == Some(true);
        let there = there.unwrap_or(stands_in);
        Ok(Self {
            there,
            dialer: dialer.unwrap_or(there),
            queue,
        })
    }
}

/// Decides what single rows of a list leave open. If none of them has `queue_logged_in`, this CallTools does not send it, and
/// `logged_in` is used instead. If some have it, a row without it says nothing, unless the agent is not logged in at all.
///
/// # Errors
/// [`BadRow`] if no row says anything about a login, or if the log-ins to the queue of those who may have one are all unknown: the API has changed,
/// and that must not read as "no agents".
pub(crate) fn settle_queue_logins(rows: &mut [Row]) -> Result<(), BadRow> {
    if !rows.is_empty() && rows.iter().all(|row| row.queue_login == QueueLogin::Unsaid) {
        return Err(BadRow("a row has neither queue_logged_in nor logged_in"));
    }
    let has_field = |row: &Row| !matches!(row.queue_login, QueueLogin::Absent | QueueLogin::Unsaid);
    let some_have = rows.iter().any(has_field);
    for row in rows.iter_mut() {
        row.queue_login = match row.queue_login {
            QueueLogin::Absent if !some_have => QueueLogin::Assumed,
            QueueLogin::Absent if !row.agent.logged_in => QueueLogin::LoggedOff,
            QueueLogin::Absent | QueueLogin::Unsaid => {
                row.agent.queue_logged_in = false;
                QueueLogin::Unclear
            }
            settled => settled,
        };
    }
    let any = |login| rows.iter().any(|row| row.queue_login == login);
    let tells = any(QueueLogin::Told) || any(QueueLogin::Assumed);
    match any(QueueLogin::Unclear) && !tells {
        true => Err(BadRow("no row says who is logged in to the queue")),
        false => Ok(()),
    }
}

/// What a row and `statuses/` together say about an agent's status.
#[derive(Debug, Default)]
struct Standing {
    name: Option<Arc<str>>,
    available: Option<bool>,
    unknown: Option<Box<str>>,
}

impl Standing {
    fn listed(status: &Status) -> Self {
        Self {
            name: Some(Arc::clone(&status.name)),
            available: Some(status.is_ready().unwrap_or(means_ready(&status.name))),
            unknown: None,
        }
    }

    fn named(name: &str, names: &Names) -> Self {
        names.status_named(name).map_or_else(
            || Self {
                name: Some(name.into()),
                available: Some(means_ready(name)),
                unknown: None,
            },
            Self::listed,
        )
    }
}

/// Recognises the status that every account starts with and most keep: the only clue if `statuses/` does not help.
fn means_ready(name: &str) -> bool {
    name.eq_ignore_ascii_case("Available")
}

fn standing(fields: &Fields<'_>, names: &Names) -> Result<Standing, BadRow> {
    let field = &fields.agent_status;
    let id = field.number();
    let name = field.text().filter(|_| id.is_none());
    if id.is_none() && name.is_none() && !field.is_blank() {
        return Err(BadRow("agent_status is neither an id nor a name"));
    }
    let by_id = id.and_then(|id| names.status_by_id(id));
    let mut standing = match (by_id, name.or(fields.status.text())) {
        (Some(status), _) => Standing::listed(status),
        (None, Some(name)) => Standing::named(name, names),
        (None, None) if id.is_some() => Standing::default(),
        (None, None) => no_status(fields)?,
    };
    standing.unknown = unlisted(id, name, names);
    Ok(standing)
}

/// Handles an agent without a status, who takes no calls. A row without the fields is another matter: the API has changed,
/// and that must not read as "no agents".
fn no_status(fields: &Fields<'_>) -> Result<Standing, BadRow> {
    if matches!(
        (&fields.agent_status, &fields.status),
        (Field::Absent, Field::Absent)
    ) {
        return Err(BadRow("a row has neither agent_status nor status"));
    }
    Ok(Standing {
        available: Some(false),
        ..Standing::default()
    })
}

/// Returns the status of the row if the account's list is known and lacks it.
fn unlisted(id: Option<u64>, name: Option<&str>, names: &Names) -> Option<Box<str>> {
    names.statuses.as_ref()?;
    match (id, name) {
        (Some(id), _) if names.status_by_id(id).is_none() => Some(id.to_string().into()),
        (None, Some(name)) if names.status_named(name).is_none() => Some(name.into()),
        _ => None,
    }
}

/// Parses RFC 3339, or a date and time without an offset, which CallTools means as UTC.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    let utc = |time: civil::DateTime| time.to_zoned(TimeZone::UTC).ok();
    text.parse()
        .ok()
        .or_else(|| Some(utc(text.parse().ok()?)?.timestamp()))
}
