//! `resthooksubscriptions/`: kept, listed and deleted, but nothing is ever sent to them.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::api_error::ApiError;

/// The kinds of record that CallTools posts; an agent's status is none of them.
const MODELS: [&str; 14] = [
    "Contact",
    "Call",
    "Historical Call Disposition",
    "Historical Contact Disposition",
    "Goal",
    "Calendar Event",
    "Opportunity",
    "Contact Tag",
    "SMS",
    "Note",
    "Case",
    "Phone Number",
    "Email Address",
    "Connector Button Click",
];

/// More than anybody integrates; without an end, a client that subscribes at each start would fill the memory.
const MOST: usize = 100;

/// One subscription, as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Hook {
    id: u64,
    resthook_model: String,
    url: String,
    description: String,
    created_on: String,
}

/// The account's subscriptions.
#[derive(Clone, Debug, Default)]
pub(super) struct Hooks {
    list: Vec<Hook>,
    last_id: u64,
}

impl Hooks {
    pub(super) fn list(&self) -> &[Hook] {
        &self.list
    }

    pub(super) fn get(&self, id: &str) -> Result<&Hook, ApiError> {
        let hook = self.list.iter().find(|hook| hook.id.to_string() == id);
        hook.ok_or(ApiError::NotFound(
            "No RestHookSubscription matches the given query.",
        ))
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<(), ApiError> {
        let id = self.get(id)?.id;
        self.list.retain(|hook| hook.id != id);
        Ok(())
    }

    pub(super) fn create(&mut self, body: &[u8], now: Timestamp) -> Result<Hook, ApiError> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| ApiError::Malformed(error.to_string()))?;
        let model = required(&body, "resthook_model").and_then(known_model);
        let url = required(&body, "url").and_then(web_address);
        let (resthook_model, url) = match (model, url) {
            (Ok(model), Ok(url)) => (model, url),
            (model, url) => {
                let complaints = [model.err(), url.err()];
                return Err(ApiError::Invalid(
                    complaints.into_iter().flatten().collect(),
                ));
            }
        };
        if self.list.len() == MOST {
            let complaint = format!("An account has at most {MOST} subscriptions.");
            return Err(ApiError::Invalid(vec![("non_field_errors", complaint)]));
        }
        self.last_id += 1;
        let hook = Hook {
            id: self.last_id,
            resthook_model,
            url,
            description: body["description"].as_str().unwrap_or_default().to_owned(),
            created_on: format!("{now:.6}"),
        };
        self.list.push(hook.clone());
        Ok(hook)
    }
}

type Complaint = (&'static str, String);

fn required(body: &Value, field: &'static str) -> Result<(&'static str, String), Complaint> {
    match &body[field] {
        Value::String(text) if text.is_empty() => {
            Err((field, "This field may not be blank.".to_owned()))
        }
        Value::String(text) => Ok((field, text.clone())),
        Value::Null => Err((field, "This field is required.".to_owned())),
        _ => Err((field, "Not a valid string.".to_owned())),
    }
}

fn known_model((field, model): Complaint) -> Result<String, Complaint> {
    match MODELS.contains(&&*model) {
        true => Ok(model),
        false => Err((field, format!("\"{model}\" is not a valid choice."))),
    }
}

fn web_address((field, address): Complaint) -> Result<String, Complaint> {
    let scheme = url::Url::parse(&address).map(|url| url.scheme().to_owned());
    match scheme.as_deref() {
        Ok("http" | "https") => Ok(address),
        _ => Err((field, "Enter a valid URL.".to_owned())),
    }
}
