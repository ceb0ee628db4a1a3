//! Why a request finds no queue.

use std::collections::HashSet;

use super::key::QueueKey;

/// No queue, or more than one, has a name or id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOnBoard {
    /// No queue has it.
    #[error("no queue \"{asked}\" is configured")]
    Unknown {
        /// The name or id in the request.
        asked: String,
    },
    /// More than one has it.
    #[error("{} \"{asked}\": ask for one of {}", who_has_it(.keys), spellings(.keys))]
    Ambiguous {
        /// The name or id in the request.
        asked: String,
        /// The queues that have it.
        keys: Vec<QueueKey>,
    },
}

/// Says where the queues are: in several accounts, or in one.
fn who_has_it(keys: &[QueueKey]) -> String {
    let accounts: HashSet<_> = keys.iter().map(|key| &key.account).collect();
    match keys {
        [key, ..] if accounts.len() == 1 => {
            let (count, account) = (keys.len(), &key.account);
            format!("{count} queues in the config of account \"{account}\" are CallTools' queue")
        }
        _ => "several accounts have a queue".to_owned(),
    }
}

fn spellings(keys: &[QueueKey]) -> String {
    keys.iter()
        .map(QueueKey::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
