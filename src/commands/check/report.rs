//! What was found, for people.

use std::{fmt::Write as _, time::Duration};

use jiff::Timestamp;

use super::ask::{Answers, Finding};
use crate::{
    budget::Usage,
    calltools::{Agent, Notes},
    clock::Moment,
    commands::terminal::{
        BAD, Column, FAINT, GOOD, MARK, ODD, STRONG, counted, painted, plain, spoken, table,
    },
    config::{QueueRef, Rule},
    criteria::{Criteria, Literal, Seat, seat},
    decision::Reason,
    quantity::Quantity,
    snapshot::Snapshot,
};

/// Fields of a row that are worth naming: all that CallTools has, and no page full where it sends something else.
const MOST_FIELDS: usize = 60;

/// Everything, queue after queue, and at the end what it cost.
pub(super) fn text(answers: &[Answers<'_>]) -> String {
    let queues = answers.iter().flat_map(|answers| &answers.findings);
    let mut text: String = queues.map(|finding| queue(finding) + "\n").collect();
    for answers in answers {
        text += &costs(answers);
    }
    text
}

fn queue(finding: &Finding<'_>) -> String {
    let mut text = heading(finding);
    if let Some(snapshot) = finding.snapshot() {
        text += &agents(snapshot, &finding.queue.rule);
        text.push('\n');
    }
    if let Rule::Custom(criteria) = &finding.queue.rule {
        text += &rule(criteria, finding);
    }
    let _ = writeln!(text, "{}", verdict(finding));
    if let Some(advice) = finding.advice() {
        let _ = writeln!(text, "What to do: {}", plain(&advice));
    }
    for note in notes(finding) {
        let _ = writeln!(text, "{}: {note}", painted(ODD, "Note"));
    }
    text
}

/// `main/sales-queue  id 5450`
fn heading(finding: &Finding<'_>) -> String {
    let mut known = String::new();
    if let Some(id) = finding.state.id {
        known += &format!("  id {id}");
    }
    if let (QueueRef::Id(_), Some(name)) = (&finding.queue.reference, &finding.state.name) {
        known += &format!(", {}", plain(name));
    }
    format!(
        "{}{}\n\n",
        painted(STRONG, plain(&finding.key.to_string())),
        painted(FAINT, known)
    )
}

const COLUMNS: [Column; 6] = [
    Column::words(""),
    Column::names("agent"),
    Column::names("status"),
    Column::words("available"),
    Column::words("logged in"),
    Column::numbers("since"),
];

/// The agents, those first who matter most: seats, then who is logged in to the queue.
fn agents(snapshot: &Snapshot, rule: &Rule) -> String {
    if snapshot.agents.is_empty() {
        return "nobody is in this queue\n".to_owned();
    }
    let mut rows: Vec<_> = snapshot
        .agents
        .iter()
        .map(|agent| (standing(agent, rule, snapshot.as_of), agent))
        .collect();
    rows.sort_by_key(|(seat, agent)| (*seat != Some(Seat::Open), !agent.queue_logged_in));
    let rows = rows.into_iter();
    table(
        &COLUMNS,
        rows.map(|(seat, agent)| row(agent, seat, snapshot.as_of.timestamp())),
    )
}

/// What the agent is to the built-in rule. Under other rules there is no telling, row by row, who counts.
fn standing(agent: &Agent, rule: &Rule, as_of: Moment) -> Option<Seat> {
    match rule {
        Rule::Seats { forgotten_after } => Some(seat(agent, *forgotten_after, as_of)),
        Rule::Custom(_) => None,
    }
}

fn row(agent: &Agent, seat: Option<Seat>, now: Timestamp) -> Vec<String> {
    let mark = match seat {
        Some(Seat::Open) => MARK.to_string(),
        _ => String::new(),
    };
    let available = match (agent.available, seat) {
        (Some(true), Some(Seat::Forgotten)) => "forgotten",
        (Some(true), _) => "yes",
        (Some(false), _) => "no",
        (None, _) => "?",
    };
    let name = match &*agent.name {
        "" => &agent.id.0,
        name => name,
    };
    vec![
        mark,
        plain(name).into_owned(),
        plain(agent.status.as_deref().unwrap_or("-")).into_owned(),
        available.to_owned(),
        if agent.queue_logged_in { "yes" } else { "no" }.to_owned(),
        agent.status_since.map_or("-".to_owned(), |since| {
            // CallTools' clock may be ahead of ours.
            let ago = Duration::try_from(now.duration_since(since)).unwrap_or_default();
            spoken(ago)
        }),
    ]
}

/// The operator's own rule, what it looked at and what it found.
fn rule(criteria: &Criteria, finding: &Finding<'_>) -> String {
    let definition = criteria.definition();
    let mut text = format!("field      {}\n", definition.field.trim());
    let _ = writeln!(text, "measure    {}", criteria.measured_by().word());
    let value = match &definition.value {
        None => String::new(),
        Some(Literal::Number(number)) => format!(" {number}"),
        Some(Literal::Text(text)) => format!(" {text:?}"),
        Some(Literal::Bool(truth)) => format!(" {truth}"),
    };
    let _ = writeln!(text, "condition  {}{value}", definition.condition.word());
    if let Some(Ok(measured)) = finding.snapshot().map(|snapshot| &snapshot.measured) {
        let _ = writeln!(text, "measured   {}", measured.count);
    }
    if let Some(selected) = finding.selected {
        let _ = writeln!(text, "selected   {}", counted(selected as u64, "node"));
    }
    text + "\n"
}

/// Accept or reject, and why.
fn verdict(finding: &Finding<'_>) -> String {
    let (style, word) = match (finding.is_good(), finding.decision.accept) {
        (true, true) => (GOOD, "accept"),
        (true, false) => (ODD, "reject"),
        (false, _) => (BAD, "unknown"),
    };
    format!("{}  {}", painted(style, word), why(finding))
}

fn why(finding: &Finding<'_>) -> String {
    let decision = &finding.decision;
    match (decision.count, &finding.queue.rule) {
        (Some(count), Rule::Seats { .. }) => {
            let threshold = decision.threshold.unwrap_or(Quantity::ZERO);
            let seats = if count == Quantity::from(1_u32) {
                "seat is"
            } else {
                "seats are"
            };
            let not = if count > threshold { "" } else { " not" };
            format!("{count} {seats}{not} more than the threshold of {threshold}")
        }
        (Some(_), Rule::Custom(_)) if decision.reason == Reason::Seats => {
            "the condition holds".to_owned()
        }
        (Some(_), Rule::Custom(_)) => "the condition does not hold".to_owned(),
        (None, _) => {
            let answer = if decision.accept { "accept" } else { "reject" };
            let so = format!("with nothing else to go by, the daemon would {answer}");
            format!("{} ({}); {so}", cause(finding), decision.reason)
        }
    }
}

fn cause(finding: &Finding<'_>) -> String {
    let mismatch = finding
        .snapshot()
        .and_then(|snapshot| snapshot.measured.as_ref().err());
    match (&finding.setback, mismatch) {
        (Some(setback), _) => plain(&setback.to_string()).into_owned(),
        (None, Some(mismatch)) => format!(
            "the criteria do not fit what CallTools sent: {}",
            plain(&mismatch.to_string())
        ),
        (None, None) => "the answer took longer than it may be used".to_owned(),
    }
}

/// What else is worth knowing before one believes the verdict.
fn notes(finding: &Finding<'_>) -> Vec<String> {
    let Some(snapshot) = finding.snapshot() else {
        return Vec::new();
    };
    let mut said = rows(&finding.notes);
    if !snapshot.complete {
        said.push("CallTools' count does not fit the rows it sent, in two readings".to_owned());
    }
    if snapshot.agents.is_empty() && matches!(finding.queue.reference, QueueRef::Id(_)) {
        said.push("an id that is not the account's can look like an empty queue: compare it with the address of the queue's settings page".to_owned());
    }
    if finding.selected == Some(0) && !snapshot.agents.is_empty() {
        said.push(nothing_selected(snapshot));
    }
    said
}

fn rows(notes: &Notes) -> Vec<String> {
    let mut said = Vec::new();
    if notes.skipped > 0 {
        let rows = counted(notes.skipped as u64, "row");
        said.push(format!("{rows} could not be read and are left out"));
    }
    if notes.queue_login_assumed {
        said.push("rows have no queue_logged_in, so logged_in is taken for it".to_owned());
    }
    if !notes.unknown_statuses.is_empty() {
        let statuses: Vec<_> = notes
            .unknown_statuses
            .iter()
            .map(|status| plain(status))
            .collect();
        said.push(format!(
            "statuses/ does not list these statuses: {}",
            statuses.join(", ")
        ));
    }
    said
}

/// Nobody may fit a filter, but a misspelt field selects nothing for ever: so here are the fields that there are.
fn nothing_selected(snapshot: &Snapshot) -> String {
    let rows = counted(snapshot.agents.len() as u64, "row");
    let mut said =
        format!("the path selects nothing in {rows}: nobody fits it, or a field is misspelt");
    let first = snapshot.agents.first();
    let row = first.and_then(|agent| serde_json::from_str(agent.raw.get()).ok());
    if let Some(serde_json::Value::Object(row)) = row {
        let fields: Vec<_> = row
            .keys()
            .take(MOST_FIELDS)
            .map(|field| plain(field))
            .collect();
        let _ = write!(said, "; a row has {}", fields.join(", "));
    }
    said
}

/// What the check cost, and what is left.
fn costs(answers: &Answers<'_>) -> String {
    let mut text = format!(
        "{}: {} for this check",
        painted(STRONG, answers.account),
        counted(answers.requests.into(), "request")
    );
    match answers.usage {
        None => text += "; the ledger cannot be read, so what is left is not known",
        Some(usage) => text += &hour(usage, answers.shared),
    }
    text.push('\n');
    if let Some(setback) = &answers.statuses {
        let _ = writeln!(
            text,
            "{}: statuses/ could not be read, so nothing but the name tells whether a status is available: {}",
            painted(ODD, "Note"),
            plain(&setback.to_string())
        );
    }
    text
}

fn hour(usage: Usage, shared: bool) -> String {
    let left = usage.limit.saturating_sub(usage.used);
    let mut text = format!(
        "; {} of {} spent in the last hour, {left} left",
        usage.used, usage.limit
    );
    if !shared {
        text += " as far as is known here: without [state] dir a daemon's requests are not";
    }
    if let Some(until) = usage.throttled_until {
        let _ = write!(
            text,
            "; CallTools asked for a pause until {}",
            until.rfc3339()
        );
    }
    text
}
