//! The queues that a command line names.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::{
    account::plan,
    config::{self, Config, QueueRef},
    decision::{Policy, board::QueueKey},
    process::spelling::nearest,
};

/// The queues of one account to check, at least one, each with its policy.
#[derive(Debug)]
pub struct Target<'a> {
    /// The account.
    pub account: &'a config::Account,
    /// In the order of the config.
    pub queues: Vec<(&'a config::Queue, Policy)>,
}

impl Target<'_> {
    /// The key of a queue of this account, as in metrics and JSON.
    pub fn key(&self, queue: &config::Queue) -> QueueKey {
        key(self.account, queue)
    }

    /// Whether some ids must be looked up.
    pub(super) fn has_names(&self) -> bool {
        let mut queues = self.queues.iter();
        queues.any(|(queue, _)| matches!(queue.reference, QueueRef::Name(_)))
    }
}

fn key(account: &config::Account, queue: &config::Queue) -> QueueKey {
    QueueKey::new(account.name.clone(), queue.spelling.clone())
}

/// Names that no configured queue has.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Each with its nearest spellings.
    asked: Vec<(String, Vec<String>)>,
    configured: Vec<String>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (asked, nearest) in &self.asked {
            write!(f, "no queue {asked:?} is configured")?;
            match nearest.as_slice() {
                [] => writeln!(f)?,
                nearest => writeln!(f, "; did you mean {}?", nearest.join(" or "))?,
            }
        }
        write!(f, "configured are {}", self.configured.join(", "))
    }
}

/// Returns the queues that `asked` names, in the order of the config; all of them if it is empty. A name that several accounts share means all of
/// those queues; `account/queue` means one.
///
/// # Errors
/// [`Unknown`], if a name belongs to no configured queue.
pub fn select<'a>(config: &'a Config, asked: &[String]) -> Result<Vec<Target<'a>>, Unknown> {
    let keys = || {
        let accounts = config.accounts.iter();
        accounts.flat_map(|account| account.queues.iter().map(|queue| key(account, queue)))
    };
    let unknown: Vec<_> = asked
        .iter()
        .filter(|asked| !keys().any(|key| answers_to(&key, asked)))
        .collect();
    if unknown.is_empty() {
        return Ok(targets(config, asked));
    }
    let configured: Vec<String> = keys().map(|key| key.to_string()).collect();
    Err(Unknown {
        asked: unknown
            .into_iter()
            .map(|asked| (asked.clone(), near(asked, &configured)))
            .collect(),
        configured,
    })
}

fn answers_to(key: &QueueKey, asked: &str) -> bool {
    // Neither name may contain a slash, so the two cannot be confused.
    *asked == *key.queue || asked == key.to_string()
}

fn targets<'a>(config: &'a Config, asked: &[String]) -> Vec<Target<'a>> {
    let is_meant = |account: &config::Account, queue: &config::Queue| {
        let key = key(account, queue);
        asked.is_empty() || asked.iter().any(|asked| answers_to(&key, asked))
    };
    let target = |account: &'a config::Account| {
        let queues = account.queues.iter().zip(planned(account));
        Target {
            account,
            queues: queues
                .filter(|(queue, _)| is_meant(account, queue))
                .collect(),
        }
    };
    let targets = config.accounts.iter().map(target);
    targets.filter(|target| !target.queues.is_empty()).collect()
}

/// Returns policies as a daemon would have them on a normal day: if the config sets no `max_age`, that of the plan.
fn planned(account: &config::Account) -> impl Iterator<Item = Policy> {
    let planned = plan::plan(account, |_| 1).queues.into_iter();
    let policies = plan::policies(account).into_iter().zip(planned);
    policies.map(|(policy, planned)| Policy {
        max_age: Some(planned.max_age),
        ..policy
    })
}

/// Returns the nearest names, with their accounts if `asked` contains a slash and so seems to name one.
fn near(asked: &str, configured: &[String]) -> Vec<String> {
    let spelling = |key: &'_ String| -> String {
        match key.split_once('/') {
            Some((_, queue)) if !asked.contains('/') => queue.to_owned(),
            _ => key.clone(),
        }
    };
    let spellings: Vec<String> = configured.iter().map(spelling).collect();
    nearest(asked, spellings.iter().map(String::as_str))
}
