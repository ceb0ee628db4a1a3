//! Finds what an earlier process stored under names that the config no longer has.
//!
//! An account is its address and token, and a queue is its id in CallTools. So a restart with a new name for an account, or with a queue's id
//! instead of its name, changes neither: what was stored under the old name belongs to the new one. Seats move, because each may be held only
//! once. Everything else is copied, because two accounts of the config may have the same token. The old rows are forgotten a day later.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use crate::{
    budget::BudgetOwner,
    config::QueueRef,
    decision::{board::QueueKey, reservations::KeptReservation},
    model::names::Names,
};

/// An account of the config in force.
#[derive(Clone, Debug)]
pub struct ConfiguredAccount {
    /// Its name, and a digest of its address and token.
    pub owner: BudgetOwner,
    /// Its queues, and how the config names them.
    pub queues: Vec<(QueueKey, QueueRef)>,
}

impl ConfiguredAccount {
    /// Returns the queue that was stored under this name or id. `names` say which name has which id.
    fn queue(&self, stored: &str, names: &Names) -> Option<&QueueKey> {
        let same_spelling = self.queues.iter().find(|(key, _)| *key.queue == *stored);
        let same_queue = || {
            let id = id_of(&reference(stored), names)?;
            let mut queues = self.queues.iter();
            queues.find(|(_, reference)| id_of(reference, names) == Some(id))
        };
        same_spelling.or_else(same_queue).map(|(key, _)| key)
    }
}

/// The accounts whose queues held seats belong to.
#[derive(Debug, Default)]
pub(super) struct Configured(Mutex<Vec<ConfiguredAccount>>);

impl Configured {
    /// Gives each stored seat the name that its queue has in the config. A seat whose queue is not found keeps the queue's name: the account's
    /// task may find it once it has read the names.
    pub fn rename(
        &self,
        connection: &Connection,
        kept: &mut [KeptReservation],
    ) -> rusqlite::Result<()> {
        let accounts = self.accounts();
        let mut found: HashMap<QueueKey, QueueKey> = HashMap::new();
        for seat in kept {
            let is = match found.get(&seat.queue) {
                Some(is) => is.clone(),
                None => {
                    let is = present(connection, &accounts, &seat.queue)?;
                    found.insert(seat.queue.clone(), is.clone());
                    is
                }
            };
            seat.queue = is;
        }
        Ok(())
    }

    fn accounts(&self) -> MutexGuard<'_, Vec<ConfiguredAccount>> {
        // It is replaced as a whole, so a panic left it consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Sets the accounts of the config in force. Seats that are restored from now on belong to their queues.
    pub fn serves(&self, accounts: Vec<ConfiguredAccount>) {
        *self.configured.accounts() = accounts;
    }

    /// If nothing is stored under the account's name, but under another name of the same account, copies that.
    pub fn follow_new_name(&self, owner: &BudgetOwner) {
        let copied = self.with(|connection| copy_from_former_name(connection, owner));
        if let Some(Some(former)) = copied {
            tracing::info!(
                account = owner.account,
                former,
                "the account continues with what was stored under another name for the same address and token"
            );
        }
    }
}

/// Returns the name of the queue in the config. An account is found by its identity first: its name may be another account's now. If the
/// identity is unknown, because the token is a new one, the name decides: a seat that is held too long is the smaller error.
fn present(
    connection: &Connection,
    accounts: &[ConfiguredAccount],
    was: &QueueKey,
) -> rusqlite::Result<QueueKey> {
    let identity = identity_of(connection, &was.account)?;
    let names = match &identity {
        Some(identity) => names_of(connection, identity, &was.account)?,
        None => Names::default(),
    };
    let has_name = |one: &&ConfiguredAccount| *one.owner.account == *was.account;
    let is_same =
        |one: &&ConfiguredAccount| identity.as_deref() == Some(one.owner.identity.as_str());
    let mut heirs: Vec<_> = accounts.iter().filter(is_same).collect();
    if heirs.is_empty() {
        heirs = accounts.iter().filter(has_name).collect();
    }
    heirs.sort_by_key(|one| !has_name(one));
    let found = heirs.iter().find_map(|one| one.queue(&was.queue, &names));
    Ok(match (found, heirs.first()) {
        (Some(queue), _) => queue.clone(),
        (None, Some(heir)) => QueueKey::new(heir.owner.account.as_str(), was.queue.clone()),
        (None, None) => was.clone(),
    })
}

/// Which identity had which name, and when. An account whose list of names cannot be read has stored none, but polls.
const OWNERS: &str = "(SELECT account, identity, read_ms AS at FROM names
     UNION ALL SELECT account, identity, wall_ms FROM polled)";

/// Returns the identity of the account that last had this name.
fn identity_of(connection: &Connection, account: &str) -> rusqlite::Result<Option<String>> {
    let sql = format!("SELECT identity FROM {OWNERS} WHERE account = ?1 ORDER BY at DESC LIMIT 1");
    connection
        .query_row(&sql, [account], |row| row.get(0))
        .optional()
}

/// Returns the names that were last stored for this identity, those under `account` before others. There are none if they cannot be read.
fn names_of(connection: &Connection, identity: &str, account: &str) -> rusqlite::Result<Names> {
    let sql = "SELECT json FROM names WHERE identity = ?1 ORDER BY account = ?2 DESC, read_ms DESC LIMIT 1";
    let json = connection
        .query_row(sql, [identity, account], |row| row.get::<_, String>(0))
        .optional()?;
    let names = json.and_then(|json| Names::from_json(&json).ok());
    Ok(names.unwrap_or_default())
}

/// Copies each table from one name of an account to another: `?1` is the new name, `?2` the former one, `?3` the identity.
const COPIES: [&str; 5] = [
    "INSERT OR REPLACE INTO names (account, identity, json, read_ms)
     SELECT ?1, identity, json, read_ms FROM names WHERE account = ?2 AND identity = ?3",
    "INSERT OR REPLACE INTO learnt (account, identity, json)
     SELECT ?1, identity, json FROM learnt WHERE account = ?2 AND identity = ?3",
    "INSERT OR REPLACE INTO polled (account, identity, queue, took_ms, complete, rows, boot_id, boot_ms, wall_ms)
     SELECT ?1, identity, queue, took_ms, complete, rows, boot_id, boot_ms, wall_ms FROM polled WHERE account = ?2 AND identity = ?3",
    // Before the times, which say of which account a row is.
    "INSERT OR REPLACE INTO sighted_row (account, agent, json)
     SELECT ?1, agent, json FROM sighted_row JOIN sighting USING (account, agent) WHERE account = ?2 AND identity = ?3",
    "INSERT OR REPLACE INTO sighting (account, identity, agent, boot_id, boot_ms, wall_ms)
     SELECT ?1, identity, agent, boot_id, boot_ms, wall_ms FROM sighting WHERE account = ?2 AND identity = ?3",
];

/// Returns the former name whose rows were copied; `None` if the account has rows of its own, or none at all.
fn copy_from_former_name(
    connection: &mut Connection,
    owner: &BudgetOwner,
) -> rusqlite::Result<Option<String>> {
    let BudgetOwner { account, identity } = owner;
    let own =
        format!("SELECT EXISTS (SELECT 1 FROM {OWNERS} WHERE account = ?1 AND identity = ?2)");
    let has_own = connection.query_row(&own, [account, identity], |row| row.get::<_, bool>(0))?;
    if has_own {
        return Ok(None);
    }
    let former =
        format!("SELECT account FROM {OWNERS} WHERE identity = ?1 ORDER BY at DESC LIMIT 1");
    let former = connection
        .query_row(&former, [identity], |row| row.get::<_, String>(0))
        .optional()?;
    let Some(former) = former else {
        return Ok(None);
    };
    let transaction = connection.transaction()?;
    for copy in COPIES {
        transaction.execute(copy, params![account, former, identity])?;
    }
    transaction.commit()?;
    Ok(Some(former))
}

/// Reads a queue's name in the config. Digits are always an id.
fn reference(stored: &str) -> QueueRef {
    let is_id = stored.bytes().all(|byte| byte.is_ascii_digit());
    match stored.parse() {
        Ok(id) if is_id => QueueRef::Id(id),
        _ => QueueRef::Name(stored.to_owned()),
    }
}

fn id_of(reference: &QueueRef, names: &Names) -> Option<u64> {
    match reference {
        QueueRef::Id(id) => Some(*id),
        QueueRef::Name(name) => names.resolve(name).ok(),
    }
}
