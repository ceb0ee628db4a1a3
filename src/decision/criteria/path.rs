//! The path of a rule: which nodes of the response it looks at.

use std::fmt;

use serde_json::Value;
use serde_json_path::{JsonPath, ParseError};

use super::{
    Mismatch, Renewal,
    cost::{MAX_STEPS, Shape},
    hints,
    query::Query,
    scan::Outline,
};

/// An RFC 9535 JSONPath, or the hosted integration's short spelling of one, parsed.
#[derive(Debug)]
pub(super) struct Path {
    /// As the operator wrote it.
    written: String,
    parsed: JsonPath,
    query: Query,
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// A sentence that says what is wrong and at which character, and for common mistakes, what to write instead.
    pub(super) fn parse(field: &str) -> Result<Self, String> {
        let outline = Outline::scan(field)?;
        let written = field.trim();
        if written.is_empty() {
            return Err("the path is empty: write \"count\" for the number of rows".to_owned());
        }
        let path = format!("{}{written}", missing_root(written));
        JsonPath::parse(&path).map_err(|error| {
            hints::first(&outline).unwrap_or_else(|| unreadable(field, &path, &error))
        })?;
        let before = field.chars().take_while(|c| c.is_whitespace()).count();
        let characters: Vec<char> = written.chars().collect();
        let outline = &outline.chars()[before..before + characters.len()];
        let (query, rewritten) = Query::read(&characters, outline)?;
        let path = format!("{}{rewritten}", missing_root(written));
        let parsed = JsonPath::parse(&path).map_err(|error| unreadable(field, &path, &error))?;
        Ok(Self {
            written: written.to_owned(),
            parsed,
            query,
        })
    }

    /// Returns whether the path consists of names and indices only, so that it selects at most one node.
    pub(super) fn names_one_node(&self) -> bool {
        self.query.is_singular()
    }

    /// Returns which lists renew what the path selects.
    pub(super) fn renewal(&self) -> Renewal {
        let names = self.query.names();
        let known = |name: &&str| {
            DATED_FIELDS.contains(name)
                || UNDATED_FIELDS.contains(name)
                || MEMBERSHIP_FIELDS.contains(name)
        };
        let is_shared = names.iter().any(|name| !MEMBERSHIP_FIELDS.contains(name));
        if self.query.reads_all_fields() || !names.iter().all(known) || !is_shared {
            return Renewal::Polls;
        }
        match names.iter().any(|name| UNDATED_FIELDS.contains(name)) {
            true => Renewal::Rows,
            false => Renewal::Statuses,
        }
    }

    /// Returns the nodes of a response that the path selects.
    ///
    /// # Errors
    /// Evaluating the path could take so long that other accounts would have to wait.
    pub(super) fn nodes<'a>(&self, response: &'a Value) -> Result<Vec<&'a Value>, Mismatch> {
        let steps = self.query.steps(&Shape::new(response));
        if steps > MAX_STEPS {
            return Err(Mismatch(format!(
                "{self} could take {steps} steps over a response of this length, and the most is {MAX_STEPS}: \
                 nest fewer filters, and use `$` and `..` inside of a filter only where it has few rows to look at"
            )));
        }
        Ok(self.parsed.query(response).all())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.written)
    }
}

/// Fields of every list of agents that never change, or change together with the date.
const DATED_FIELDS: [&str; 5] = [
    "agent_status",
    "agent_status_modified_on",
    "app_user",
    "full_name",
    "status",
];

/// Fields of every list of agents that may change while the date stays: a call on another channel, or a phone that is lost.
const UNDATED_FIELDS: [&str; 9] = [
    "campaign",
    "campaign_name",
    "live_calls_count",
    "live_inbound_calls_count",
    "logged_in",
    "logged_in_since",
    "ready",
    "ready_since",
    "web_phone_status",
];

/// Fields that say who belongs to the queue.
const MEMBERSHIP_FIELDS: [&str; 3] = ["count", "queue_logged_in", "results"];

/// Returns the root if the hosted integration leaves it out: there, `count` and `results[*].x` begin at the response.
fn missing_root(written: &str) -> &'static str {
    match written.chars().next() {
        Some('$') => "",
        Some('[' | '.') => "$",
        _ => "$.",
    }
}

/// The parser's error, in terms of the characters that the operator wrote.
fn unreadable(field: &str, path: &str, error: &ParseError) -> String {
    let rest = path.get(error.position()..).unwrap_or_default();
    // Counted from the end: only the beginning of the path differs from the text in the config.
    let end = field.trim_end().chars().count();
    let before = end.saturating_sub(rest.chars().count());
    if rest.is_empty() {
        return format!(
            "the path ends too early, at character {end}: a name or a bracket must follow"
        );
    }
    let excerpt = shortened(rest, 24);
    // The parser's own words, where it has any.
    let why = match error.message().rsplit_once(", ") {
        _ if error.message().ends_with("parser error") => String::new(),
        Some((_, why)) => format!(": {why}"),
        None => format!(": {}", error.message()),
    };
    format!(
        "from character {} on, `{excerpt}` cannot be read as JSONPath{why}",
        before + 1
    )
}

/// Returns the first `max` characters of a text, with `…` if there are more.
pub(super) fn shortened(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
