//! Why a queue's seats are unknown, and what else a person should know before trusting the decision.

use std::fmt::Write as _;

use super::ask::Finding;
use crate::{calltools::Notes, config::QueueRef, decision::snapshot::Snapshot};

/// The most fields of a row to list: more than CallTools sends, and less than a screenful if it sends something else.
const MAX_FIELDS: usize = 60;

/// Why the queue's seats are unknown; `None` if they are known.
pub(super) fn cause(finding: &Finding<'_>) -> Option<String> {
    if finding.is_good() {
        return None;
    }
    let mismatch = finding
        .snapshot()
        .and_then(|snapshot| snapshot.measured.as_ref().err());
    Some(match (&finding.error, mismatch) {
        (Some(error), _) => error.message(finding.now),
        (None, Some(mismatch)) => {
            format!("the criteria do not fit what CallTools sent: {mismatch}")
        }
        (None, None) => "CallTools' data was older than max_age when it came: the answer took too long, or a cache on the way had kept it".to_owned(),
    })
}

/// Returns what else a person should know before trusting the decision.
pub(super) fn notes(finding: &Finding<'_>) -> Vec<String> {
    let Some(snapshot) = finding.snapshot() else {
        return Vec::new();
    };
    let mut lines = rows(&finding.notes);
    if !snapshot.complete {
        lines.push("CallTools' count does not fit the rows it sent, in two readings".to_owned());
    }
    if snapshot.agents.is_empty() && matches!(finding.queue.reference, QueueRef::Id(_)) {
        lines.push("an id that is not the account's can look like an empty queue: compare it with the address of the queue's settings page".to_owned());
    }
    if finding.selected == Some(0) && !snapshot.agents.is_empty() {
        lines.push(nothing_selected(snapshot));
    }
    lines
}

fn rows(notes: &Notes) -> Vec<String> {
    let mut lines = Vec::new();
    if notes.skipped > 0 {
        let rows = counted(notes.skipped);
        lines.push(format!("{rows} could not be read and are left out"));
    }
    if notes.queue_login_assumed {
        lines.push("rows have no queue_logged_in, so logged_in is taken for it".to_owned());
    }
    if notes.queue_login_unclear {
        lines.push(
            "some rows do not say whether their agent is logged in to the queue; they count as not logged in".to_owned(),
        );
    }
    if !notes.unknown_statuses.is_empty() {
        let statuses: Vec<_> = notes
            .unknown_statuses
            .iter()
            .map(|status| &**status)
            .collect();
        lines.push(format!(
            "statuses/ does not list these statuses: {}",
            statuses.join(", ")
        ));
    }
    lines
}

/// Either nobody matches the filter, or a field is misspelt, so the fields are listed.
fn nothing_selected(snapshot: &Snapshot) -> String {
    let rows = counted(snapshot.agents.len());
    let mut lines =
        format!("the path selects nothing in {rows}: nobody fits it, or a field is misspelt");
    let first = snapshot.agents.first();
    let row = first.and_then(|agent| serde_json::from_str(agent.raw.json().get()).ok());
    if let Some(serde_json::Value::Object(row)) = row {
        let fields: Vec<_> = row.keys().take(MAX_FIELDS).map(String::as_str).collect();
        let _ = write!(lines, "; a row has {}", fields.join(", "));
    }
    lines
}

fn counted(rows: usize) -> String {
    match rows {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    }
}
