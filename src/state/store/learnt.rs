//! Stores what an account has learnt about its agents' statuses. The account defines the format.

use rusqlite::{OptionalExtension, Transaction, params};

use super::Store;
use crate::budget::BudgetOwner;

impl Store {
    /// What an earlier run of the same account learnt, as it was stored.
    pub fn foresight(&self, owner: &BudgetOwner) -> Option<String> {
        let found = self.with(|connection| {
            let sql = "SELECT json FROM learnt WHERE account = ?1 AND identity = ?2";
            let owner = params![owner.account, owner.identity];
            connection
                .query_row(sql, owner, |row| row.get(0))
                .optional()
        });
        found.flatten()
    }
}

pub(super) fn write(
    transaction: &Transaction<'_>,
    owner: &BudgetOwner,
    learnt: &str,
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO learnt (account, identity, json) VALUES (?1, ?2, ?3)";
    let row = params![owner.account, owner.identity, learnt];
    transaction.prepare_cached(sql)?.execute(row)?;
    // An account that was renamed leaves its old name behind. Its queues are forgotten a day later.
    let renamed = "DELETE FROM learnt WHERE identity = ?2 AND account <> ?1 AND NOT EXISTS (SELECT * FROM polled AS p WHERE p.account = learnt.account)";
    let owner = params![owner.account, owner.identity];
    transaction
        .prepare_cached(renamed)?
        .execute(owner)
        .map(drop)
}
