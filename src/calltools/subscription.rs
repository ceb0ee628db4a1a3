//! `resthooksubscriptions/`: where CallTools posts what happens.
//!
//! Requests of a hook are not signed, so the secret that proves them stands in the address. No `Debug` here prints one.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::field::{self, BadRow, Field};

/// The only kind of record that openseat subscribes to.
const CALL: &str = "Call";

/// A subscription that CallTools keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    /// CallTools' id for it: letters, digits and hyphens.
    pub id: Box<str>,
    /// `resthook_model`: the kind of record that is posted.
    pub model: Box<str>,
    /// Where it is posted, secret and all.
    pub url: Box<str>,
    /// What whoever made it wrote there; empty where nothing is.
    pub description: Box<str>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    id: Field<'a>,
    #[serde(borrow, default)]
    resthook_model: Field<'a>,
    #[serde(borrow, default)]
    url: Field<'a>,
    #[serde(borrow, default)]
    description: Field<'a>,
}

impl Subscription {
    /// Reads a row.
    ///
    /// # Errors
    /// [`BadRow`], where it has no id that could stand in a path.
    pub fn from_row(raw: &RawValue) -> Result<Self, BadRow> {
        let fields: Fields<'_> = field::read(raw)?;
        let text = |field: &Field<'_>| field.text().unwrap_or_default().into();
        Ok(Self {
            id: id(&fields.id)?,
            model: text(&fields.resthook_model),
            url: text(&fields.url),
            description: text(&fields.description),
        })
    }

    /// Whether it posts calls.
    pub fn is_about_calls(&self) -> bool {
        &*self.model == CALL
    }
}

/// It becomes a part of the path that is asked to delete it, so it must not lead anywhere else.
fn id(field: &Field<'_>) -> Result<Box<str>, BadRow> {
    let id = match field {
        Field::Number(number) => number.to_string(),
        field => field.text().unwrap_or_default().to_owned(),
    };
    let fits = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-';
    if id.is_empty() || !id.bytes().all(fits) {
        return Err(BadRow("a subscription has no id"));
    }
    Ok(id.into())
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// A subscription to `Call` records that CallTools shall keep.
#[derive(Serialize)]
pub struct NewSubscription {
    resthook_model: &'static str,
    url: String,
    description: String,
}

impl NewSubscription {
    /// Calls, posted to `url`, which bears a secret.
    pub fn to_calls(url: String, description: String) -> Self {
        Self {
            resthook_model: CALL,
            url,
            description,
        }
    }

    /// As CallTools takes it.
    pub(super) fn json(&self) -> Bytes {
        let json = serde_json::to_vec(self);
        json.expect("three texts can be written").into()
    }
}

impl fmt::Debug for NewSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSubscription").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::raw;

    fn read(row: &Value) -> Result<Subscription, BadRow> {
        Subscription::from_row(&raw(row))
    }

    #[test]
    fn a_row_is_read_and_shows_no_address() {
        let row = json!({
            "id": 7, "resthook_model": "Call", "url": "https://a.example/?secret=s3cr3t",
            "description": "openseat: main", "created_on": "2026-11-22T10:00:00Z",
        });
        let subscription = read(&row).expect("a sound row");
        assert_eq!((&*subscription.id, &*subscription.model), ("7", "Call"));
        assert!(subscription.is_about_calls());
        assert!(!format!("{subscription:?}").contains("s3cr3t"));
        let wanted =
            NewSubscription::to_calls("https://a.example/?secret=s3cr3t".into(), "".into());
        assert!(!format!("{wanted:?}").contains("s3cr3t"));
    }

    #[test]
    fn an_id_never_leads_to_another_path() {
        for id in [
            json!(null),
            json!(""),
            json!(".."),
            json!("1/../../queues/2"),
            json!("1?x=2"),
            json!([1]),
        ] {
            assert!(read(&json!({"id": id})).is_err(), "{id}");
        }
        assert!(read(&json!({"id": "6ba7b810-9dad-11d1"})).is_ok());
    }
}
