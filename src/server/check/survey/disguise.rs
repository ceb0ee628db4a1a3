//! Replaces everything that could identify an account: names, ids, tokens, hosts, and every text that is not known to be harmless.
//!
//! It keeps a closed list of things and replaces the rest, since nobody knows everything that CallTools sends. The same value always gets the same
//! replacement, so that two rows of one agent can still be recognized. Dates of changes and log-ins are kept, because they show order and clocks.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::LazyLock};

use http::{HeaderMap, header};
use regex::Regex;
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::{answer::Answer, paths::CHANGED_SINCE, question::Question};

/// The rows of a list to keep in a report: enough to see every form of a field. Ten such lists are far smaller than issue trackers allow.
const MAX_ROWS: usize = 40;

/// Replacements of numbers start here.
const FIRST_NUMBER: u64 = 1_001;

/// Larger numbers are not counts.
const MAX_COUNT: u64 = 999_999;

/// Keys whose numbers count or measure something.
const COUNTS: [&str; 10] = [
    "count",
    "live_calls_count",
    "live_queue_calls_count",
    "live_inbound_calls_count",
    "calls",
    "calls_inbound",
    "active_time",
    "idle_time",
    "break_time",
    "wrap_up_time",
];

/// Keys of CallTools or its framework, wherever they occur.
const KEYS: [&str; 31] = [
    "results",
    "next",
    "previous",
    "detail",
    "non_field_errors",
    "id",
    "name",
    "queue",
    "queues",
    "team",
    "app_user",
    "full_name",
    "agent_status",
    "status",
    "ready",
    "logged_in",
    "queue_logged_in",
    "campaign",
    "campaign_name",
    "web_phone_status",
    "queue_action",
    "campaign_action",
    "agent_can_select",
    "call_uuid",
    "inbound",
    "start",
    "answered_on",
    "state",
    "duration",
    "username",
    "url",
];

/// Dates that are kept.
const DATES: [&str; 4] = [
    "agent_status_modified_on",
    "logged_in_since",
    "ready_since",
    "web_phone_registered_on",
];

/// The statuses that every account starts with.
const STATUSES: [&str; 4] = ["Available", "Not Available", "Post Call", "On a Call"];

/// The actions of a status; nobody can rename them.
const ACTIONS: [&str; 4] = ["No Action", "Set Ready", "Set Not Ready", "Logout"];

const PHONES: [&str; 2] = ["Registered", "Unregistered"];

/// Parts of addresses that belong to CallTools.
const SEGMENTS: [&str; 6] = [
    "api",
    "agentstatuses",
    "queues",
    "statuses",
    "users",
    "livephonecalls",
];

/// Messages of the framework, word for word.
const SENTENCES: [&str; 9] = [
    "Authentication credentials were not provided.",
    "Invalid token.",
    "Invalid token header. Token string should not contain spaces.",
    "You do not have permission to perform this action.",
    "Enter a number.",
    "Enter a valid date/time.",
    "Select a valid choice. That choice is not one of the available choices.",
    "Not found.",
    "Invalid page.",
];

static MOMENT: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$";
    Regex::new(pattern).expect("a pattern")
});

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"^(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    Regex::new(pattern).expect("a pattern")
});

/// All replacements in a report.
#[derive(Debug, Default)]
pub(super) struct Disguise {
    /// The requested sort field of lists. It comes from the config.
    ordering_field: String,
    /// Replacements by the original value and its kind.
    replaced: HashMap<String, String>,
    numbers: HashMap<String, u64>,
    /// The number of replacements of each kind.
    kinds: HashMap<&'static str, u64>,
}

/// Where a value occurs.
#[derive(Clone, Copy)]
struct Place<'a> {
    question: Question,
    key: &'a str,
}

impl Disguise {
    pub fn new(ordering_field: &str) -> Self {
        Self {
            ordering_field: ordering_field.to_owned(),
            ..Self::default()
        }
    }

    /// The address that was asked, with replaced ids.
    pub fn path(&mut self, path: &str) -> String {
        match path.split_once('?') {
            Some((list, query)) => format!("{list}?{}", self.query(query)),
            None => path.to_owned(),
        }
    }

    /// The headers that concern time, if they are well-formed.
    pub fn headers(&self, headers: &HeaderMap) -> Map<String, Value> {
        let names = [header::DATE, header::AGE, header::RETRY_AFTER];
        let text = |name: &header::HeaderName| {
            let text = headers.get(name)?.to_str().ok()?;
            let is_date = httpdate::parse_http_date(text).is_ok();
            let is_time = is_date || text.len() <= 6 && is_number(text);
            is_time.then(|| (name.to_string(), text.into()))
        };
        names.iter().filter_map(text).collect()
    }

    /// A body: the envelope or the error, and the first rows.
    pub fn body(&mut self, answer: &Answer) -> Value {
        let question = answer.question;
        let Some(body) = &answer.body else {
            let bytes = answer.reply.as_ref().map_or(0, |reply| reply.body.len());
            return json!({ "not_json": bytes });
        };
        let place = Place { question, key: "" };
        let Some(list) = &answer.list else {
            return self.value(body, place);
        };
        let rows = list.rows.iter().take(MAX_ROWS);
        let rows: Vec<_> = rows.map(|row| self.value(&row.value, place)).collect();
        let mut body = self.value(body, place);
        match &mut body {
            Value::Object(envelope) => _ = envelope.insert("results".to_owned(), rows.into()),
            bare => *bare = rows.into(),
        }
        body
    }

    fn value(&mut self, value: &Value, place: Place<'_>) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(number) => self.number_at(&number.to_string(), place).into(),
            Value::String(text) => self.text_at(text, place).into(),
            Value::Array(values) => values
                .iter()
                .map(|value| self.value(value, place))
                .collect(),
            Value::Object(fields) => {
                let mut disguised = Map::new();
                for (key, value) in fields {
                    let inner = Place { key, ..place };
                    let value = self.value(value, inner);
                    disguised.insert(self.key(key), value);
                }
                disguised.into()
            }
        }
    }

    /// Keys of custom fields are texts that people choose, even if all rows have them.
    fn key(&mut self, key: &str) -> String {
        let known = [&KEYS[..], &COUNTS, &DATES].concat();
        match known.contains(&key) {
            true => key.to_owned(),
            false => self.stand_in("key", key),
        }
    }

    fn number_at(&mut self, number: &str, place: Place<'_>) -> u64 {
        let plain = number.parse::<u64>().ok();
        let is_count = COUNTS.contains(&place.key);
        match plain.filter(|number| *number == 0 || is_count && *number <= MAX_COUNT) {
            Some(number) => number,
            None => self.number(number),
        }
    }

    fn number(&mut self, number: &str) -> u64 {
        let next = FIRST_NUMBER + self.numbers.len() as u64;
        *self.numbers.entry(number.to_owned()).or_insert(next)
    }

    fn text_at(&mut self, text: &str, place: Place<'_>) -> String {
        let is_status = matches!(place.key, "status" | "agent_status")
            || place.question == Question::Statuses && place.key == "name";
        let is_known = text.is_empty()
            || is_status && STATUSES.contains(&text)
            || place.key.ends_with("_action") && ACTIONS.contains(&text)
            || place.key == "web_phone_status" && PHONES.contains(&text)
            || DATES.contains(&place.key) && MOMENT.is_match(text)
            || SENTENCES.contains(&text);
        if is_known {
            return text.to_owned();
        }
        if is_number(text) {
            return self.number(text).to_string();
        }
        if let Some(url) = Url::parse(text).ok().filter(Url::has_host) {
            return self.url(&url);
        }
        let kind = match (place.key, place.question) {
            ("full_name", _) => "Person",
            ("name", Question::Queues) => "Queue",
            _ if is_status => "Status",
            _ => "Text",
        };
        self.stand_in(kind, text)
    }

    fn url(&mut self, url: &Url) -> String {
        let host = self.stand_in("host", url.host_str().unwrap_or_default());
        let scheme = match url.scheme() {
            "http" => "http",
            _ => "https",
        };
        let segments = url.path().trim_start_matches('/').split('/');
        let path: Vec<_> = segments.map(|segment| self.segment(segment)).collect();
        let mut address = format!("{scheme}://{host}.invalid/{}", path.join("/"));
        if let Some(query) = url.query() {
            address += &format!("?{}", self.query(query));
        }
        address
    }

    fn segment(&mut self, segment: &str) -> String {
        match segment {
            "" => String::new(),
            known if SEGMENTS.contains(&known) => known.to_owned(),
            number if is_number(number) => self.number(number).to_string(),
            text => self.stand_in("Text", text),
        }
    }

    fn query(&mut self, query: &str) -> String {
        let pairs = form_urlencoded::parse(query.as_bytes());
        let mut disguised = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            let ordering = value.trim_start_matches('-') == self.ordering_field;
            let is_small = is_number(&value) && value.len() <= 6;
            let value = match &*name {
                "page" | "page_size" if is_small || value == "max" => value.into_owned(),
                "ordering" if ordering => value.into_owned(),
                CHANGED_SINCE if MOMENT.is_match(&value) => value.into_owned(),
                "queue" | "agent_status" if is_number(&value) => self.number(&value).to_string(),
                "page" | "page_size" | "ordering" | "queue" | "agent_status" | "team"
                | CHANGED_SINCE => self.stand_in("Text", &value),
                // Neither the name nor the value is known to be harmless.
                _ => continue,
            };
            disguised.append_pair(&name, &value);
        }
        disguised.finish()
    }

    /// The replacement of a text: a UUID for a UUID, otherwise a word and a number.
    fn stand_in(&mut self, kind: &'static str, text: &str) -> String {
        if let Some(known) = self.replaced.get(text) {
            return known.clone();
        }
        let count = self.kinds.entry(kind).or_default();
        *count += 1;
        let stand_in = match (kind, UUID.is_match(text)) {
            (_, true) => format!("00000000-0000-4000-8000-{:012}", self.replaced.len() + 1),
            ("host" | "key", _) => format!("{kind}-{count}"),
            _ => format!("{kind} {count}"),
        };
        self.replaced.insert(text.to_owned(), stand_in.clone());
        stand_in
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
