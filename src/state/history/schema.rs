//! The schema of the history's file. Released migrations never change; new ones are added.

use crate::sqlite::Schema;

pub(in crate::state) const SCHEMA: Schema = Schema {
    application_id: 0x6f73_6869, // "oshi"
    unmarked: (0, ""),
    migrations: &[
        "
CREATE TABLE queue (
    id      INTEGER PRIMARY KEY,
    account TEXT    NOT NULL,
    queue   TEXT    NOT NULL, -- as the config names it
    UNIQUE (account, queue)
) STRICT;
CREATE TABLE status (
    id   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE
) STRICT;
CREATE TABLE sample (
    queue    INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL, -- wall time, as all times here
    as_of_ms INTEGER NOT NULL, -- the time of the data that was current then
    seats    REAL,             -- null: unknown
    agents   TEXT    NOT NULL, -- JSON: how many, by the status' id here
    PRIMARY KEY (queue, at_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE decided (
    queue     INTEGER NOT NULL,
    minute_ms INTEGER NOT NULL, -- its beginning
    result    TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (queue, minute_ms, result, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE polled (
    queue INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    rows  BLOB    NOT NULL, -- as CallTools sent them: a JSON array, packed by zlib
    PRIMARY KEY (queue, at_ms)
) STRICT;
",
        "
CREATE TABLE agent (
    id      INTEGER PRIMARY KEY,
    account TEXT    NOT NULL,
    agent   TEXT    NOT NULL, -- as CallTools identifies it
    name    TEXT    NOT NULL,
    seen_ms INTEGER NOT NULL, -- to the day: when it was last recorded
    UNIQUE (account, agent)
) STRICT;
CREATE TABLE present (
    queue  INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL,
    agents TEXT    NOT NULL, -- JSON: their ids here: free, on a call, logged in otherwise
    PRIMARY KEY (queue, at_ms)
) STRICT, WITHOUT ROWID;
",
    ],
    synchronous: "NORMAL",
};
