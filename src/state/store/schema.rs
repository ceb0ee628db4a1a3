//! The schema of the store's file. Released migrations never change; new ones are added.

use crate::sqlite::Schema;

pub(in crate::state) const SCHEMA: Schema = Schema {
    application_id: 0x6f73_7374, // "osst"
    unmarked: (2, "names"),
    migrations: &[
        NAMES,
        RESERVATIONS,
        SNAPSHOTS,
        ANSWERED,
        CONFIRMED,
        UNCONFIRMED,
        NOTICES,
        LEARNT,
        BETS,
    ],
    // What a power cut loses is read again from CallTools.
    synchronous: "NORMAL",
};

const NAMES: &str = "
CREATE TABLE names (
    account  TEXT    PRIMARY KEY,
    identity TEXT    NOT NULL, -- another token or origin may be another account, with other ids
    json     TEXT    NOT NULL,
    read_ms  INTEGER NOT NULL  -- wall time
) STRICT;
";

const RESERVATIONS: &str = "
CREATE TABLE reservations (
    id         TEXT    PRIMARY KEY,
    account    TEXT    NOT NULL,
    queue      TEXT    NOT NULL,
    call_id    TEXT    NOT NULL,
    made_ms    INTEGER NOT NULL, -- wall time
    expires_ms INTEGER NOT NULL  -- wall time
) STRICT;
";

const SNAPSHOTS: &str = "
CREATE TABLE polled ( -- the last poll of each queue
    account  TEXT    NOT NULL,
    identity TEXT    NOT NULL,
    queue    INTEGER NOT NULL, -- CallTools' id
    took_ms  INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    rows     BLOB    NOT NULL, -- as CallTools sent them: a JSON array, packed by zlib
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL,
    PRIMARY KEY (account, queue)
) STRICT;
CREATE TABLE sighting ( -- when a sweep last saw each member of a queue
    account  TEXT    NOT NULL,
    identity TEXT    NOT NULL,
    agent    TEXT    NOT NULL,
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL,
    PRIMARY KEY (account, agent)
) STRICT, WITHOUT ROWID;
CREATE TABLE sighted_row ( -- apart, since it is long and changes less often
    account  TEXT    NOT NULL,
    agent    TEXT    NOT NULL,
    json     TEXT    NOT NULL,
    PRIMARY KEY (account, agent)
) STRICT;
";

const ANSWERED: &str = "
CREATE TABLE answered ( -- when a departure last ended a reservation; one row
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL
) STRICT;
";

const CONFIRMED: &str = "
CREATE TABLE confirmed ( -- what lists said of agents by leaving them out
    account  TEXT    NOT NULL,
    identity TEXT    NOT NULL,
    moment   TEXT    NOT NULL CHECK (moment IN ('base', 'changes', 'available')),
    boot_id  TEXT    NOT NULL,
    boot_ms  INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL,
    PRIMARY KEY (account, moment)
) STRICT;
";

const UNCONFIRMED: &str = "
DROP TABLE confirmed; -- each row in sighting has its own moment, which a row that was not written cannot share
";

const NOTICES: &str = "
CREATE TABLE notices ( -- what notifications have told, and what waits to be sent; one row
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    json     TEXT    NOT NULL
) STRICT;
";

const BETS: &str = "
ALTER TABLE reservations ADD COLUMN likely INTEGER; -- percent, if the seat counts on an agent who was not free
ALTER TABLE reservations ADD COLUMN needed REAL;    -- the probability that was needed then, 0 to 1
ALTER TABLE reservations ADD COLUMN agent  TEXT;    -- that agent, if known
";

const LEARNT: &str = "
CREATE TABLE learnt ( -- how long agents stay in each status
    account  TEXT    PRIMARY KEY,
    identity TEXT    NOT NULL,
    json     TEXT    NOT NULL
) STRICT;
";
