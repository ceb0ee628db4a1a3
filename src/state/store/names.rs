//! Stores the names of queues and statuses.

use std::time::Duration;

use rusqlite::{OptionalExtension, Transaction, params};

use super::Store;
use crate::{budget::BudgetOwner, clock::Moment, model::names::Names};

impl Store {
    /// Returns the names that an earlier run of the same account read, and their age.
    pub fn names(&self, owner: &BudgetOwner, now: Moment) -> Option<(Names, Duration)> {
        let row = self.with(|connection| {
            let sql = "SELECT json, read_ms FROM names WHERE account = ?1 AND identity = ?2";
            connection
                .query_row(sql, params![owner.account, owner.identity], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
                })
                .optional()
        });
        let (json, read_ms) = row.flatten()?;
        let age = now
            .wall
            .saturating_sub(Duration::from_millis(read_ms.max(0) as u64));
        match Names::from_json(&json) {
            Ok(names) => Some((names, age)),
            Err(error) => {
                tracing::warn!(account = owner.account, %error, "stored names cannot be read; they are requested again");
                None
            }
        }
    }
}

pub(super) fn write(
    transaction: &Transaction<'_>,
    owner: &BudgetOwner,
    names: &Names,
    read: Moment,
) -> rusqlite::Result<()> {
    let sql =
        "INSERT OR REPLACE INTO names (account, identity, json, read_ms) VALUES (?1, ?2, ?3, ?4)";
    let names = names.to_json();
    transaction.prepare_cached(sql)?.execute(params![
        owner.account,
        owner.identity,
        names,
        read.wall.as_millis() as i64
    ])?;
    Ok(())
}
