-- The store in layout 2, as it was released: never to be changed.
CREATE TABLE names (
    account  TEXT    PRIMARY KEY,
    identity TEXT    NOT NULL, -- another token or origin may be another account, with other ids
    json     TEXT    NOT NULL,
    read_ms  INTEGER NOT NULL  -- wall time
) STRICT;
CREATE TABLE reservations (
    id         TEXT    PRIMARY KEY,
    account    TEXT    NOT NULL,
    queue      TEXT    NOT NULL,
    call_id    TEXT    NOT NULL,
    made_ms    INTEGER NOT NULL, -- wall time
    expires_ms INTEGER NOT NULL  -- wall time
) STRICT;
PRAGMA user_version = 2;
