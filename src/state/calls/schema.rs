//! The schema of the file. Released migrations never change; new ones are added.

use crate::sqlite::Schema;

pub(in crate::state) const SCHEMA: Schema = Schema {
    application_id: 0x6f73_636c, // "oscl"
    unmarked: (0, ""),
    migrations: &["
CREATE TABLE word ( -- names and reasons, each once
    id   INTEGER PRIMARY KEY,
    text TEXT    NOT NULL UNIQUE
) STRICT;
CREATE TABLE event (
    id          INTEGER PRIMARY KEY, -- in order of time
    at_ms       INTEGER NOT NULL,    -- wall time, as all times here
    call_id     TEXT    NOT NULL,
    account     INTEGER NOT NULL,    -- a word, as the next four
    queue       INTEGER NOT NULL,
    reason      INTEGER,             -- of an answer
    ended       INTEGER,             -- how the reservation ended; null: this is an answer
    client      INTEGER,             -- null: none of the config's
    accept      INTEGER,             -- null: agents were listed, and the router decided
    count       REAL,                -- null: unknown
    threshold   REAL,
    age_ms      INTEGER,
    tags        TEXT,                -- as in the query
    reservation TEXT,
    expires_ms  INTEGER
) STRICT;
CREATE TABLE run ( -- finds the calls of many events that follow each other
    first   INTEGER PRIMARY KEY, -- events, both included
    last    INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,    -- the earliest and the latest of them
    to_ms   INTEGER NOT NULL,
    places  BLOB    NOT NULL     -- sorted: CRC-32 of a call_id, and an event's id less the first one; 4 bytes each, the highest first
) STRICT;
", "
ALTER TABLE event ADD COLUMN forecast TEXT; -- JSON, of a call that was accepted at zero seats
"],
    synchronous: "NORMAL",
};
