//! The schema of the ledger's file. Released migrations never change; new ones are added.

use crate::sqlite::Schema;

pub(super) const SCHEMA: Schema = Schema {
    application_id: 0x6f73_6c64, // "osld"
    unmarked: (1, "request"),
    migrations: &[
        "
CREATE TABLE request (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    account  TEXT    NOT NULL, -- the name in the config
    identity TEXT    NOT NULL, -- of the origin and token, so that a new name is no new budget
    polling  INTEGER NOT NULL, -- 1: background polling; 0: somebody asked
    answered INTEGER NOT NULL, -- 1: the stamp is that of the answer; 0: that of the sending
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX request_by_account ON request (account);
CREATE INDEX request_by_identity ON request (identity);
CREATE TABLE throttle (
    account TEXT    PRIMARY KEY,
    wait_ms INTEGER NOT NULL, -- from the stamp on
    share   REAL    NOT NULL, -- of the allowed rate, at the stamp
    boot_id TEXT    NOT NULL,
    boot_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
",
        "
CREATE TABLE lost ( -- what was sent before each of these stamps nobody knows any more
    trusted INTEGER NOT NULL, -- 1: somebody does, and says that it was nothing
    boot_id TEXT    NOT NULL,
    boot_ms INTEGER NOT NULL,
    wall_ms INTEGER NOT NULL
) STRICT;
",
        "
DROP INDEX request_by_account;
DROP INDEX request_by_identity;
ALTER TABLE request RENAME TO request_2;
ALTER TABLE throttle RENAME TO throttle_2;
ALTER TABLE lost RENAME TO lost_2;
CREATE TABLE book ( -- one row
    change_number INTEGER NOT NULL, -- counts transactions
    requests      INTEGER NOT NULL, -- how many rows there are
    owners        INTEGER NOT NULL, -- likewise
    time_ms       INTEGER NOT NULL, -- the budget's clock, by which the other tables go
    boot_id       TEXT    NOT NULL, -- and the machine's at the same moment
    boot_ms       INTEGER NOT NULL,
    wall_ms       INTEGER NOT NULL,
    lost_ms       INTEGER NOT NULL, -- what was sent in the hour before is not known; 0: it is
    seal          INTEGER NOT NULL  -- a check sum of the row, here and below
) STRICT;
CREATE TABLE owner ( -- whose hours there are
    id              INTEGER PRIMARY KEY,
    account         TEXT    NOT NULL, -- the name in the config
    identity        TEXT    NOT NULL, -- of the origin and token
    seen_ms         INTEGER NOT NULL, -- when a config had it last
    share_ppm       INTEGER NOT NULL, -- of the allowed rate, at the last 429
    refused_ms      INTEGER NOT NULL, -- when that was
    silent_until_ms INTEGER NOT NULL, -- as it asked for
    paused_until_ms INTEGER NOT NULL, -- as a 503 asked for
    refusals        INTEGER NOT NULL, -- in a row, without a time to wait
    counted_ms      INTEGER NOT NULL, -- the loss whose hour was counted as spent; 0: none
    seal            INTEGER NOT NULL
) STRICT;
CREATE TABLE request ( -- what is in the hours
    id        INTEGER PRIMARY KEY,
    owner     INTEGER NOT NULL,
    polling   INTEGER NOT NULL, -- 1: background polling; 0: somebody asked
    answered  INTEGER NOT NULL, -- 1: its answer has come
    leaves_ms INTEGER NOT NULL,
    seal      INTEGER NOT NULL
) STRICT;
",
        "
ALTER TABLE request ADD COLUMN process INTEGER; -- the request's name in the cluster; NULL: it has none
ALTER TABLE request ADD COLUMN number INTEGER;
",
    ],
    // A request is on the disk before it is on the wire.
    synchronous: "FULL",
};
