//! A finished check for people: turns its JSON into text.

use std::{fmt::Write as _, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::cli::terminal::{
    BAD, Column, FAINT, GOOD, MARK, ODD, STRONG, counted, painted, plain, spoken, table,
};

/// A report, as [`check`](crate::server::check) writes it.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub ok: bool,
    asked_by: String,
    queues: Vec<Queue>,
    accounts: Vec<Account>,
}

#[derive(Debug, Deserialize)]
struct Queue {
    queue: String,
    account: String,
    queue_id: Option<u64>,
    name: Option<String>,
    ok: bool,
    accept: bool,
    reason: String,
    count: Option<Number>,
    threshold: Option<Number>,
    as_of: Option<Timestamp>,
    agents: Option<Vec<Agent>>,
    criteria: Option<Criteria>,
    cause: Option<String>,
    detail: Option<String>,
    advice: Option<String>,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Agent {
    id: String,
    name: String,
    status: Option<String>,
    available: Option<bool>,
    queue_logged_in: bool,
    on_call: bool,
    ready: Option<bool>,
    status_since: Option<Timestamp>,
    seat: Option<bool>,
    forgotten: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Criteria {
    field: String,
    measure: String,
    condition: String,
    value: Option<Value>,
    selected: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Account {
    account: String,
    requests: u32,
    budget: Budget,
    statuses_fault: Option<String>,
    feeds: Option<Vec<Feed>>,
}

/// A list that the daemon's statuses can come from.
#[derive(Debug, Deserialize)]
struct Feed {
    feed: String,
    standing: String,
    why: String,
}

#[derive(Debug, Deserialize)]
struct Budget {
    requests_per_hour: u32,
    used: u32,
    left: u32,
    shared: bool,
    throttled_until: Option<String>,
}

/// Formats the verdicts, then each queue, then the cost, and the verdicts again: people look for them, wherever the screen ends.
/// Without `all`, only agents who are logged in to the queue or available are listed.
pub(super) fn text(report: &Report, all: bool) -> String {
    let verdicts: String = report.queues.iter().map(summary).collect();
    let queues = report.queues.iter();
    let mut text = verdicts.clone() + "\n";
    text.extend(queues.map(|one| queue(one, all) + "\n"));
    for account in &report.accounts {
        text += &costs(account, &report.asked_by);
    }
    text + "\n" + &verdicts
}

/// `main/sales-queue: accept  7 seats are more than the threshold of 0`
fn summary(queue: &Queue) -> String {
    let key = format!("{}/{}", queue.account, queue.queue);
    format!("{}  {}\n", painted(STRONG, plain(&key)), verdict(queue))
}

fn queue(queue: &Queue, all: bool) -> String {
    let mut text = heading(queue);
    if let Some(agents) = &queue.agents {
        text += &table_of(agents, queue.as_of, all);
        text.push('\n');
    }
    if let Some(criteria) = &queue.criteria {
        text += &rule(criteria, queue);
    }
    let _ = writeln!(text, "{}", verdict(queue));
    if let Some(advice) = &queue.advice {
        let _ = writeln!(text, "What to do: {}", plain(advice));
    }
    for note in &queue.notes {
        let _ = writeln!(text, "{}: {}", painted(ODD, "Note"), plain(note));
    }
    text
}

/// `main/sales-queue  id 5450`
fn heading(queue: &Queue) -> String {
    let mut known = String::new();
    if let Some(id) = queue.queue_id {
        known += &format!("  id {id}");
    }
    if let Some(name) = queue.name.as_ref().filter(|name| **name != queue.queue) {
        known += &format!(", {}", plain(name));
    }
    let key = format!("{}/{}", queue.account, queue.queue);
    format!(
        "{}{}\n\n",
        painted(STRONG, plain(&key)),
        painted(FAINT, known)
    )
}

const COLUMNS: [Column; 6] = [
    Column::labels(""),
    Column::names("agent"),
    Column::names("status"),
    Column::labels("available"),
    Column::labels("logged in"),
    Column::numbers("since"),
];

/// Formats the agents: seats first, then those logged in to the queue. Without `all`, the others are only counted.
fn table_of(agents: &[Agent], as_of: Option<Timestamp>, all: bool) -> String {
    if agents.is_empty() {
        return "nobody is in this queue\n".to_owned();
    }
    // An agent who is available but not logged in to the queue is a common surprise.
    let matters = |agent: &&Agent| {
        all || agent.seat == Some(true) || agent.queue_logged_in || agent.available == Some(true)
    };
    let mut rows: Vec<_> = agents.iter().filter(matters).collect();
    rows.sort_by_key(|agent| (agent.seat != Some(true), !agent.queue_logged_in));
    let hidden = agents.len() - rows.len();
    let mut text = match rows.is_empty() {
        true => String::new(),
        false => table(&COLUMNS, rows.into_iter().map(|agent| row(agent, as_of))),
    };
    if hidden > 0 {
        let others = counted(hidden as u64, "agent");
        let _ = writeln!(
            text,
            "{}",
            painted(
                FAINT,
                format!("and {others} not logged in to this queue; --all lists them")
            )
        );
    }
    text
}

fn row(agent: &Agent, as_of: Option<Timestamp>) -> Vec<String> {
    let mark = match agent.seat {
        Some(true) => MARK.to_string(),
        _ => String::new(),
    };
    let available = match agent.available {
        Some(true) if agent.forgotten == Some(true) => "forgotten",
        Some(true) if agent.on_call => "on a call",
        Some(true) if agent.ready == Some(false) => "not ready",
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let name = match agent.name.as_str() {
        "" => &agent.id,
        name => name,
    };
    let since = agent.status_since.map(|since| {
        // The answer of a closed queue has no date. Its agents were read just now.
        let now = as_of.unwrap_or_else(Timestamp::now);
        // CallTools' clock may be ahead of ours.
        spoken(Duration::try_from(now.duration_since(since)).unwrap_or_default())
    });
    vec![
        mark,
        plain(name).into_owned(),
        plain(agent.status.as_deref().unwrap_or("-")).into_owned(),
        available.to_owned(),
        if agent.queue_logged_in { "yes" } else { "no" }.to_owned(),
        since.unwrap_or("-".to_owned()),
    ]
}

/// Formats the operator's own rule, what it looked at and what it found.
fn rule(criteria: &Criteria, queue: &Queue) -> String {
    let mut text = format!("field      {}\n", plain(criteria.field.trim()));
    let _ = writeln!(text, "measure    {}", criteria.measure);
    let value = match &criteria.value {
        None => String::new(),
        Some(value) => format!(" {value}"),
    };
    let _ = writeln!(text, "condition  {}{}", criteria.condition, plain(&value));
    if let Some(count) = &queue.count {
        let _ = writeln!(text, "measured   {count}");
    }
    if let Some(selected) = criteria.selected {
        let _ = writeln!(text, "selected   {}", counted(selected, "node"));
    }
    text + "\n"
}

/// Formats the decision and its reason.
fn verdict(queue: &Queue) -> String {
    let (style, word) = match (queue.ok, queue.accept) {
        (true, true) => (GOOD, "accept"),
        (true, false) => (ODD, "reject"),
        (false, _) => (BAD, "unknown"),
    };
    format!("{}  {}", painted(style, word), why(queue))
}

fn why(queue: &Queue) -> String {
    if let Some(cause) = &queue.cause {
        let answer = if queue.accept { "accept" } else { "reject" };
        return format!(
            "{} ({}); with nothing else to go by, the daemon would {answer}",
            plain(cause),
            queue.reason
        );
    }
    if let ("closed", Some(closed)) = (&*queue.reason, &queue.detail) {
        return plain(closed).into_owned();
    }
    if queue.criteria.is_some() {
        let holds = queue.reason == "seats";
        return format!(
            "the condition {}",
            if holds { "holds" } else { "does not hold" }
        );
    }
    let number = |number: &Option<Number>| number.as_ref().and_then(Number::as_f64);
    let count = number(&queue.count).unwrap_or_default();
    let threshold = number(&queue.threshold).unwrap_or_default();
    let shown = |number: &Option<Number>| number.as_ref().map_or("0".to_owned(), Number::to_string);
    let seats = if count == 1.0 { "seat is" } else { "seats are" };
    let not = if count > threshold { "" } else { " not" };
    format!(
        "{} {seats}{not} more than the threshold of {}",
        shown(&queue.count),
        shown(&queue.threshold)
    )
}

/// Formats what the check cost, and what is left.
fn costs(account: &Account, asked_by: &str) -> String {
    let mut text = format!(
        "{}: {} for this check",
        painted(STRONG, plain(&account.account)),
        counted(account.requests.into(), "request")
    );
    if asked_by == "daemon" {
        text += ", sent by the running daemon";
    }
    text += &hour(&account.budget);
    text.push('\n');
    for feed in account.feeds.iter().flatten() {
        let _ = writeln!(
            text,
            "{}",
            painted(
                FAINT,
                format!(
                    "  statuses by {}: {} ({})",
                    plain(&feed.feed),
                    plain(&feed.standing).replace('_', " "),
                    plain(&feed.why)
                )
            )
        );
    }
    if let Some(fault) = &account.statuses_fault {
        let _ = writeln!(
            text,
            "{}: statuses/ could not be read, so only its name says whether a status is available: {}",
            painted(ODD, "Note"),
            plain(fault)
        );
    }
    text
}

fn hour(budget: &Budget) -> String {
    let mut text = format!(
        "; {} of {} spent in the last hour, {} left",
        budget.used, budget.requests_per_hour, budget.left
    );
    if !budget.shared {
        text += "; without [state] dir this does not count a daemon's requests";
    }
    if let Some(until) = &budget.throttled_until {
        let _ = write!(text, "; CallTools asked for a pause until {until}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_of_a_closed_queue_have_their_times() {
        let agent = |since: Timestamp| {
            let agent = serde_json::json!({
                "id": "7", "name": "Ann", "status": "Available", "available": true, "queue_logged_in": true, "on_call": false,
                "ready": true, "status_since": since, "seat": true, "forgotten": false,
            });
            serde_json::from_value::<Agent>(agent).expect("an agent")
        };
        let since = Timestamp::now() - jiff::SignedDuration::from_hours(3);
        let row = row(&agent(since), None);
        assert_eq!(row.last().map(String::as_str), Some("3 h"), "{row:?}");
    }

    #[test]
    fn a_daemons_feeds_are_listed_with_their_standing_and_the_reason() {
        let account = serde_json::json!({
            "account": "main", "requests": 2, "statuses_fault": null,
            "budget": {"requests_per_hour": 1000, "used": 7, "left": 993, "shared": true, "throttled_until": null},
            "feeds": [
                {"feed": "delta", "standing": "distrusted", "why": "the list is not ordered by the date of change"},
                {"feed": "available", "standing": "in_use", "why": "it has proved true and takes the fewest requests"},
                {"feed": "sweep", "standing": "no_gain", "why": "a reading takes 6 requests, one of lists of available agents 1"},
            ]
        });
        let account: Account = serde_json::from_value(account).expect("an account");
        let text = costs(&account, "daemon");
        let lines = [
            "  statuses by delta: distrusted (the list is not ordered by the date of change)",
            "  statuses by available: in use (it has proved true and takes the fewest requests)",
            "  statuses by sweep: no gain (a reading takes 6 requests, one of lists of available agents 1)",
        ];
        for line in lines {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
