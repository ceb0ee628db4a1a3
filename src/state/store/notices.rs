//! Stores what notifications must not forget, as one document whose format its owner defines.

use rusqlite::{OptionalExtension, Transaction};

use super::Store;

impl Store {
    /// What an earlier run stored about its notifications.
    pub fn notices(&self) -> Option<String> {
        let row = self.with(|connection| {
            let sql = "SELECT json FROM notices WHERE one = 1";
            connection.query_row(sql, [], |row| row.get(0)).optional()
        });
        row.flatten()
    }
}

pub(super) fn write(transaction: &Transaction<'_>, json: &str) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO notices (one, json) VALUES (1, ?1)";
    transaction.prepare_cached(sql)?.execute([json]).map(drop)
}
