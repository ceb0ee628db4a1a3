//! The JSON of a row as CallTools sent it, for custom criteria and the drop-in API.
//!
//! Rows take most of openseat's memory: more than a kilobyte each, once for the agent and once for each of the agent's queues. All rows of an
//! account have the same fields, and many have the same values. So a row is kept as its difference from one whole row of the account, and
//! a row that differs only in its login to a queue is computed when it is read.
//!
//! Rows contain fields that count seconds, so nearly every row differs from the one before. If nothing else has changed, the newer text
//! [replaces](RawRow::renew) the older one in place, for all of the agent's queues at once.

mod difference;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use self::difference::Difference;

/// The field of a row that differs from queue to queue.
const QUEUE_LOGIN: &str = "queue_logged_in";

/// The fields of a row that tell the agent's status.
const STATUS: [&str; 4] = [
    "status",
    "agent_status",
    "agent_status_modified_on",
    "ready",
];

/// The field that marks a row whose status openseat does not know, because a list of available agents lacks the agent. CallTools itself sends nulls
/// for agents who never had a status. Being part of the row, the mark outlives restarts and reaches other nodes.
const STATUS_UNKNOWN: &str = "openseat_status_unknown";

/// A row as CallTools sent it, perhaps with the login from another row. Clones are the same row: they are renewed together.
#[derive(Clone, Debug)]
pub struct RawRow {
    text: Arc<ArcSwap<Form>>,
    /// The row of the same agent that has the login, if it is another one.
    login: Option<Arc<ArcSwap<Form>>>,
}

#[derive(Debug)]
enum Form {
    Whole(Box<RawValue>),
    Differs(Difference),
}

impl Form {
    fn json(&self) -> Box<RawValue> {
        match self {
            Self::Whole(json) => json.clone(),
            Self::Differs(difference) => difference.json(),
        }
    }

    /// Returns the text of a row that is kept whole.
    fn whole(&self) -> Option<&str> {
        match self {
            Self::Whole(json) => Some(json.get()),
            Self::Differs(_) => None,
        }
    }
}

impl RawRow {
    fn from_form(form: Form) -> Self {
        Self::sharing(Arc::new(form))
    }

    fn sharing(form: Arc<Form>) -> Self {
        Self {
            text: Arc::new(ArcSwap::new(form)),
            login: None,
        }
    }

    /// Returns the JSON.
    pub fn json(&self) -> Box<RawValue> {
        let json = self.text.load().json();
        match &self.login {
            Some(other) => with_queue_login(&json, &other.load().json()),
            None => json,
        }
    }

    /// Replaces the text by that of a newer row of the same agent, for everyone who has this row. A login from another row stays.
    pub fn renew(&self, newer: &RawRow) {
        self.text.store(newer.text.load_full());
    }

    /// Returns the same row, but renewed on its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            text: Arc::new(ArcSwap::new(self.text.load_full())),
            login: self.login.clone(),
        }
    }

    /// Returns this row with the login of `other`.
    pub fn with_queue_login_of(&self, other: &RawRow) -> Self {
        Self {
            text: Arc::clone(&self.text),
            login: Some(Arc::clone(other.login.as_ref().unwrap_or(&other.text))),
        }
    }

    /// Returns whether the row [has lost](Self::without_status) its status.
    pub fn has_lost_status(&self) -> bool {
        let json = self.json();
        fields(&json).is_ok_and(|fields| fields.contains_key(STATUS_UNKNOWN))
    }

    /// Returns this row with nulls in the fields of the agent's status, and a mark that it is unknown.
    pub fn without_status(&self) -> Self {
        let json = self.json();
        let Ok(mut fields) = fields(&json) else {
            return self.clone(); // Every row was read as an object before it came here.
        };
        for name in STATUS {
            if let Some(field) = fields.get_mut(name) {
                *field = RawValue::NULL;
            }
        }
        fields.insert(STATUS_UNKNOWN.into(), RawValue::TRUE);
        serde_json::value::to_raw_value(&fields).map_or_else(|_| self.clone(), Self::from)
    }
}

impl PartialEq for RawRow {
    fn eq(&self, other: &Self) -> bool {
        if self.login.is_some() || other.login.is_some() {
            return self.json().get() == other.json().get();
        }
        let (one, other) = (self.text.load(), other.text.load());
        match (&**one, &**other) {
            (Form::Differs(one), Form::Differs(other)) => one.is_same(other),
            (one, other) => std::ptr::eq(one, other) || one.json().get() == other.json().get(),
        }
    }
}

impl From<Box<RawValue>> for RawRow {
    fn from(sent: Box<RawValue>) -> Self {
        Self::from_form(Form::Whole(sent))
    }
}

impl Serialize for RawRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

/// The whole row of an account from which the others are kept as differences.
#[derive(Clone, Debug, Default)]
pub struct Pattern(Option<Arc<Form>>);

impl Pattern {
    /// Keeps the text of a row. One that has too little in common with the pattern is kept whole, and becomes the pattern.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn keep(&mut self, json: &str) -> serde_json::Result<RawRow> {
        if let Some(row) = self.difference(json) {
            return Ok(row);
        }
        let row = Arc::new(Form::Whole(RawValue::from_string(json.to_owned())?));
        self.0 = Some(Arc::clone(&row));
        Ok(RawRow::sharing(row))
    }

    /// Returns the same row in as little memory as possible.
    pub fn share(&mut self, row: &RawRow) -> RawRow {
        let form = row.text.load();
        let (Form::Whole(json), None) = (&**form, &row.login) else {
            return row.clone(); // It shares memory already.
        };
        let is_this = self
            .0
            .as_ref()
            .is_some_and(|pattern| Arc::ptr_eq(pattern, &form));
        if !is_this && let Some(shared) = self.difference(json.get()) {
            return shared;
        }
        self.0 = Some(Arc::clone(&form));
        row.clone()
    }

    fn difference(&self, json: &str) -> Option<RawRow> {
        let from = self.0.as_ref()?;
        let difference = Difference::between(json, from)?;
        Some(RawRow::from_form(Form::Differs(difference)))
    }
}

fn with_queue_login(row: &RawValue, other: &RawValue) -> Box<RawValue> {
    let (Ok(mut joined), Ok(mut other)) = (fields(row), fields(other)) else {
        // Cannot happen: every row was read as an object before.
        return row.to_owned();
    };
    match other.swap_remove(QUEUE_LOGIN) {
        Some(login) => joined.insert(QUEUE_LOGIN.into(), login),
        None => joined.shift_remove(QUEUE_LOGIN),
    };
    serde_json::value::to_raw_value(&joined).unwrap_or_else(|_| row.to_owned())
}

/// The fields in CallTools' order, so that a changed row still shares memory with the others. The values stay as CallTools sent them, because fields
/// that openseat does not read may contain anything.
fn fields(row: &RawValue) -> serde_json::Result<IndexMap<Box<str>, &RawValue>> {
    serde_json::from_str(row.get())
}
