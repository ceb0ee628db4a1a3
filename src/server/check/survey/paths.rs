//! The paths of a survey's questions, built from the answers so far. Pure.

use jiff::Timestamp;
use url::form_urlencoded::byte_serialize;

use super::{answer::Answers, question::Question};
use crate::{calltools::PAGE_SIZE, config::QueueRef};

/// Returns the path of a question, below `…/api/`; `None` if too little is known to ask it.
pub(super) fn path(question: Question, subject: &Subject<'_>, answers: &Answers) -> Option<String> {
    let list = match question {
        Question::Queues => "queues/",
        Question::Statuses => "statuses/",
        _ => "agentstatuses/",
    };
    let mut query = match question {
        Question::Ordered => format!("&ordering=-{}", subject.ordering_field),
        Question::Largest => "&page_size=max".to_owned(),
        Question::WithStatus => format!("&agent_status={}", status(answers)?),
        Question::ChangedSince => match middle_date(answers) {
            Some(date) => format!("&{CHANGED_SINCE}={}", encoded(date)),
            None => String::new(),
        },
        Question::Queue => format!("&queue={}", queue_id(subject, answers)?),
        Question::UnknownQueue => format!("&queue={}", unknown_id(answers)),
        Question::PastTheEnd => format!("&page={}", past_the_end(answers)?),
        Question::Queues | Question::Statuses | Question::Everybody => String::new(),
    };
    if let Some(size) = question.page_size() {
        query = format!("&page_size={size}{query}");
    }
    Some(match query.strip_prefix('&') {
        Some(query) => format!("{list}?{query}"),
        None => list.to_owned(),
    })
}

/// The subject of a survey.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// A queue from the config.
    pub queue: &'a QueueRef,
    /// The field by which the API is said to sort by the date of change.
    pub ordering_field: &'a str,
    /// `https://host/api/`, to compare links with.
    pub base_url: &'a url::Url,
}

/// The name of Django's filter for the date of change.
pub(super) const CHANGED_SINCE: &str = "agent_status_modified_on__gte";

/// No queue has this id: ids are shared by all accounts, and are far below.
const UNKNOWN_ID: u64 = 999_999_999;

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// Chooses a status to filter by: preferably one that some agents have and others do not, so that the answer shows whether the filter works. Among
/// those, one that makes agents available, because openseat filters by it.
fn status(answers: &Answers) -> Option<u64> {
    let names = answers.names();
    let rows = answers.list(Question::Everybody).map(|list| &list.rows);
    let has = |id: u64| {
        let rows = rows.into_iter().flatten();
        rows.filter(|row| row.has_status(id, &names)).count()
    };
    let all = rows.map_or(0, Vec::len);
    let mut listed: Vec<(u64, bool)> = names
        .statuses
        .iter()
        .flatten()
        .map(|status| (status.id, status.is_ready() == Some(true)))
        .collect();
    if listed.is_empty() {
        let seen = rows.into_iter().flatten();
        listed.extend(seen.filter_map(|row| Some((row.status_id()?, false))));
    }
    let score = |&(id, is_ready): &(u64, bool)| {
        let count = has(id);
        ((1..all).contains(&count), is_ready, count)
    };
    // The first of several equal ones, so that a survey can be repeated.
    let best = listed
        .iter()
        .rev()
        .max_by_key(|status| score(status))
        .copied();
    best.map(|(id, _)| id)
}

/// Returns the median date of change on the list, as CallTools writes it.
pub(super) fn middle_date(answers: &Answers) -> Option<&str> {
    let rows = &answers.list(Question::Everybody)?.rows;
    let mut dates: Vec<(Timestamp, &str)> = rows
        .iter()
        .filter_map(|row| Some((row.changed()?, row.text("agent_status_modified_on")?)))
        .collect();
    dates.sort_unstable();
    Some(dates.get(dates.len() / 2)?.1)
}

/// Returns the id of the configured queue.
fn queue_id(subject: &Subject<'_>, answers: &Answers) -> Option<u64> {
    match subject.queue {
        QueueRef::Id(id) => Some(*id),
        QueueRef::Name(name) => answers.names().resolve(name).ok(),
    }
}

fn unknown_id(answers: &Answers) -> u64 {
    let names = answers.names();
    let known: Vec<u64> = names
        .queues
        .iter()
        .flatten()
        .map(|queue| queue.id)
        .collect();
    (0..=known.len() as u64)
        .map(|less| UNKNOWN_ID - less)
        .find(|id| !known.contains(id))
        .expect("there are more candidates than queues")
}

/// No list has so many pages: a hundred thousand agents are 4,000 of the shortest usual ones.
const FAR_BEYOND: u64 = 10_000;

/// One more than needed, in case the count is slightly wrong. `None` for a list without pages.
fn past_the_end(answers: &Answers) -> Option<u64> {
    let everybody = answers.list(Question::Everybody)?;
    if everybody.count.is_none() && everybody.next.is_some() {
        return Some(FAR_BEYOND);
    }
    // Pages may be shorter than was asked for.
    let page = match (&everybody.next, everybody.rows.len() as u64) {
        (Some(_), rows @ 1..) => rows,
        _ => u64::from(PAGE_SIZE),
    };
    (!everybody.is_bare).then(|| everybody.total().div_ceil(page) + 2)
}
