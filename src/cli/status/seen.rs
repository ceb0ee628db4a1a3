//! The daemon's answer about its accounts and queues.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::decision::Reason;

/// Both answers, parsed and as received.
#[derive(Debug)]
pub(super) struct Seen {
    pub accounts: Vec<Account>,
    pub queues: Vec<Queue>,
    raw: Value,
}

/// An account, as `/v1/accounts` has it.
#[derive(Debug, Deserialize)]
pub(super) struct Account {
    pub account: String,
    pub requests_per_hour: u32,
    pub reserve: u32,
    pub used: u32,
    pub share: f64,
    pub throttled_until: Option<Timestamp>,
    pub request_every_ms: u64,
    /// An earlier version of the daemon does not say it.
    #[serde(default)]
    pub idle: bool,
    pub sweeps: bool,
    pub feed: String,
    /// The state of each feed, starting with the best for the largest account.
    pub feeds: Vec<Feed>,
    pub fault: Option<Fault>,
    pub empty_since: Option<Timestamp>,
    pub agents_before: Option<u64>,
    pub cluster: Option<Cluster>,
    pub soon: Option<Calibration>,
}

/// What was predicted at zero seats, and what happened.
#[derive(Debug, Deserialize)]
pub(super) struct Calibration {
    pub situations: Vec<Situations>,
}

/// Situations with about the same prediction.
#[derive(Debug, Deserialize)]
pub(super) struct Situations {
    pub foretold: serde_json::Number,
    pub count: u32,
    pub seen: u32,
}

/// An account's role in a cluster.
#[derive(Debug, Deserialize)]
pub(super) struct Cluster {
    pub lag_ms: Option<u64>,
    pub nodes: Vec<Node>,
    pub trouble: Option<Trouble>,
}

/// A node of a cluster.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub name: String,
    pub leads: bool,
    pub entries_behind: u64,
}

/// What is wrong with a cluster, and what to do.
#[derive(Debug, Deserialize)]
pub(super) struct Trouble {
    pub message: String,
    pub advice: String,
}

/// A list that statuses can come from.
#[derive(Debug, Deserialize)]
pub(super) struct Feed {
    pub feed: String,
    pub standing: String,
    pub why: String,
    pub until: Option<Timestamp>,
}

/// What is wrong, and what to do.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    pub kind: String,
    pub message: String,
    pub advice: String,
}

/// A queue, as `/v1/queues` has it.
#[derive(Debug, Deserialize)]
pub(super) struct Queue {
    pub queue: String,
    pub account: String,
    pub accept: bool,
    pub reason: String,
    pub count: Option<serde_json::Number>,
    pub threshold: Option<serde_json::Number>,
    pub as_of: Option<Timestamp>,
    pub age_ms: Option<u64>,
    pub valid_until: Option<Timestamp>,
    pub detail: Option<String>,
    pub agents_by_status: Option<BTreeMap<String, usize>>,
    pub available_on_call: Option<usize>,
    pub available_not_ready: Option<usize>,
    pub soon: Option<Soon>,
    pub fault: Option<Fault>,
}

/// Calls that arrived at zero seats.
#[derive(Debug, Deserialize)]
pub(super) struct Soon {
    pub on: bool,
    pub acts: bool,
    pub calls: u32,
    pub standing: String,
    pub outcome: String,
    pub advice: Option<String>,
}

#[derive(Deserialize)]
struct Accounts {
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Queues {
    queues: Vec<Queue>,
}

impl Seen {
    pub(super) fn read(accounts: &str, queues: &str) -> serde_json::Result<Self> {
        let raw = |text| serde_json::from_str::<Value>(text);
        Ok(Self {
            accounts: serde_json::from_str::<Accounts>(accounts)?.accounts,
            queues: serde_json::from_str::<Queues>(queues)?.queues,
            raw: json!({
                "accounts": raw(accounts)?["accounts"].take(),
                "queues": raw(queues)?["queues"].take(),
            }),
        })
    }

    /// Returns both answers in one document, as the daemon gave them.
    pub(super) fn document(&self) -> &Value {
        &self.raw
    }

    /// Returns whether every decision is based on knowledge.
    pub(super) fn is_known(&self) -> bool {
        self.queues.iter().all(Queue::is_known)
    }

    /// Returns what identifies a state: the answers and what is wrong, without ages, agents and spending.
    pub(super) fn essence(&self) -> Vec<String> {
        let of_account = |account: &Account| {
            let Account {
                account: name,
                share,
                throttled_until,
                feed,
                fault,
                empty_since,
                cluster,
                ..
            } = account;
            let shares = *share < 1.0;
            let fault = fault.as_ref().map(|fault| &fault.kind);
            let trouble = cluster
                .as_ref()
                .and_then(|cluster| cluster.trouble.as_ref());
            let trouble = trouble.map(|trouble| &trouble.message);
            let nodes = cluster.iter().flat_map(|cluster| &cluster.nodes);
            let leaders: Vec<_> = nodes
                .filter(|node| node.leads)
                .map(|node| &node.name)
                .collect();
            format!(
                "{name} {shares} {throttled_until:?} {feed} {fault:?} {empty_since:?} {trouble:?} {leaders:?}"
            )
        };
        let of_queue = |queue: &Queue| {
            let Queue {
                account,
                queue: name,
                accept,
                reason,
                count,
                threshold,
                fault,
                ..
            } = queue;
            let fault = fault.as_ref().map(|fault| &fault.kind);
            format!("{account}/{name} {accept} {reason} {count:?} {threshold:?} {fault:?}")
        };
        let accounts = self.accounts.iter().map(of_account);
        accounts.chain(self.queues.iter().map(of_queue)).collect()
    }
}

impl Queue {
    /// Returns whether its decision is based on knowledge.
    pub(super) fn is_known(&self) -> bool {
        let known = Reason::ALL.iter().filter(|reason| reason.is_known());
        known
            .map(|reason| reason.as_str())
            .any(|word| word == self.reason)
    }

    /// Returns how long the data may still be used if nothing newer comes; `None` if there is none.
    pub(super) fn time_left(&self) -> Option<Duration> {
        Some(self.lifetime()?.saturating_sub(self.age()?))
    }

    pub(super) fn age(&self) -> Option<Duration> {
        self.age_ms.map(Duration::from_millis)
    }

    /// Returns whether three quarters of its lifetime are over: by then several polls should have come.
    pub(super) fn is_ageing(&self) -> bool {
        let (Some(lifetime), Some(age)) = (self.lifetime(), self.age()) else {
            return false;
        };
        // A rejection that will turn into an acceptance by itself is valid for less time than its data.
        let may_turn = !self.accept && self.soon.as_ref().is_some_and(|soon| soon.acts);
        age > lifetime * 3 / 4 && !may_turn
    }

    /// Uses the daemon's clock only, which may differ from ours.
    fn lifetime(&self) -> Option<Duration> {
        let lifetime = self.valid_until?.duration_since(self.as_of?);
        Duration::try_from(lifetime).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_account_identifies_a_state_and_its_spending_does_not() {
        let well = json!({
            "account": "main", "requests_per_hour": 1000, "reserve": 50, "used": 3, "share": 1.0, "throttled_until": null,
            "request_every_ms": 3800, "sweeps": true, "feed": "sweep", "feeds": [], "fault": null,
            "cluster": {"lag_ms": 10, "nodes": [{"name": "a", "leads": true, "entries_behind": 0}], "trouble": null},
        });
        let essence = |path: &str, value: Value| {
            let mut account = well.clone();
            if !path.is_empty() {
                *account.pointer_mut(path).expect("the field exists") = value;
            }
            let accounts = json!({ "accounts": [account] }).to_string();
            let seen = Seen::read(&accounts, r#"{"queues": []}"#);
            seen.expect("a valid answer").essence()
        };
        let before = essence("", Value::Null);
        for (path, value) in [("/used", json!(4)), ("/cluster/lag_ms", json!(11))] {
            assert_eq!(essence(path, value), before, "{path}");
        }
        let trouble = json!({"message": "the engine is gone", "advice": "start it"});
        let fault = json!({"kind": "bad_token", "message": "a", "advice": "b"});
        for (path, value) in [
            ("/share", json!(0.8)),
            ("/throttled_until", json!("2026-11-22T11:00:00.123Z")),
            ("/feed", json!("delta")),
            ("/fault", fault),
            ("/cluster/trouble", trouble),
            ("/cluster/nodes/0/leads", json!(false)),
        ] {
            assert_ne!(essence(path, value), before, "{path}");
        }
    }
}
