//! The JSON of a row as CallTools sent it, for custom criteria and the drop-in API.
//!
//! Rows take most of openseat's memory, more than a kilobyte each. So a row that differs from another one only in its login to a queue is
//! not stored, but computed when it is read.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde_json::value::RawValue;

/// The field of a row that differs from queue to queue.
const QUEUE_LOGIN: &str = "queue_logged_in";

/// The fields of a row that tell the agent's status.
const STATUS: [&str; 4] = [
    "status",
    "agent_status",
    "agent_status_modified_on",
    "ready",
];

/// A row as CallTools sent it, perhaps with the login from another row. Dereferences to its JSON.
#[derive(Clone, Debug)]
pub struct RawRow {
    sent: Arc<RawValue>,
    elsewhere: Option<Arc<Elsewhere>>,
}

/// Another row of the same agent, whose login counts.
#[derive(Debug)]
struct Elsewhere {
    row: Arc<RawValue>,
    /// The joined row, once it was read.
    joined: OnceLock<Box<RawValue>>,
}

impl RawRow {
    /// Returns this row with the login of `other`.
    pub fn with_queue_login_of(&self, other: &RawRow) -> Self {
        Self {
            sent: Arc::clone(&self.sent),
            elsewhere: Some(Arc::new(Elsewhere {
                row: Arc::clone(&other.sent),
                joined: OnceLock::new(),
            })),
        }
    }

    /// Returns this row with nulls in the fields of the agent's status.
    pub fn without_status(&self) -> Self {
        let Ok(mut fields) = fields(self) else {
            return self.clone(); // Every row was read as an object before it came here.
        };
        for name in STATUS {
            if let Some(field) = fields.get_mut(name) {
                *field = RawValue::NULL;
            }
        }
        serde_json::value::to_raw_value(&fields).map_or_else(|_| self.clone(), Self::from)
    }
}

impl From<Box<RawValue>> for RawRow {
    fn from(sent: Box<RawValue>) -> Self {
        Self {
            sent: sent.into(),
            elsewhere: None,
        }
    }
}

impl Deref for RawRow {
    type Target = RawValue;

    fn deref(&self) -> &RawValue {
        match &self.elsewhere {
            None => &self.sent,
            Some(elsewhere) => elsewhere
                .joined
                .get_or_init(|| with_queue_login(&self.sent, &elsewhere.row)),
        }
    }
}

fn with_queue_login(row: &RawValue, other: &RawValue) -> Box<RawValue> {
    let (Ok(mut joined), Ok(mut other)) = (fields(row), fields(other)) else {
        // Cannot happen: every row was read as an object before.
        return row.to_owned();
    };
    match other.remove(QUEUE_LOGIN) {
        Some(login) => joined.insert(QUEUE_LOGIN.into(), login),
        None => joined.remove(QUEUE_LOGIN),
    };
    serde_json::value::to_raw_value(&joined).unwrap_or_else(|_| row.to_owned())
}

/// The values stay as CallTools sent them, because fields that openseat does not read may contain anything.
fn fields(row: &RawValue) -> serde_json::Result<BTreeMap<Box<str>, &RawValue>> {
    serde_json::from_str(row.get())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn row(json: &str) -> RawRow {
        RawValue::from_string(json.to_owned()).unwrap().into()
    }

    #[test]
    fn a_row_reads_as_it_was_sent() {
        let sent = r#"{"queue_logged_in": true,  "b":1.0, "a": "\u00fc"}"#;
        assert_eq!(row(sent).get(), sent);
    }

    #[test]
    fn only_the_log_in_comes_from_the_other_row() {
        let newest = row(r#"{"a":1,"queue_logged_in":true}"#);
        for (other, login) in [
            (
                r#"{"a":2,"queue_logged_in":false}"#,
                Some(Value::Bool(false)),
            ),
            (r#"{"a":2,"queue_logged_in":null}"#, Some(Value::Null)),
            (r#"{"a":2}"#, None),
        ] {
            let joined = newest.with_queue_login_of(&row(other));
            let read: Value = serde_json::from_str(joined.get()).unwrap();
            assert_eq!(
                (&read["a"], read.get("queue_logged_in")),
                (&1.into(), login.as_ref())
            );
        }
        assert_eq!(newest.get(), r#"{"a":1,"queue_logged_in":true}"#);
    }

    #[test]
    fn a_value_that_cannot_be_read_does_not_keep_the_log_in_of_another_queue() {
        let deep = ["[".repeat(200), "]".repeat(200)].concat();
        for odd in [r#""\ud83d""#.to_owned(), deep] {
            let newest = row(&format!(r#"{{"queue_logged_in":true,"x":{odd}}}"#));
            let joined = newest.with_queue_login_of(&row(r#"{"queue_logged_in":false}"#));
            let expected = format!(r#"{{"queue_logged_in":false,"x":{odd}}}"#);
            assert_eq!(joined.get(), expected);
        }
    }
}
