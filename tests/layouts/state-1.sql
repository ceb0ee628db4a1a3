-- The store in layout 1, as it was released: never to be changed.
CREATE TABLE names (
    account  TEXT    PRIMARY KEY,
    identity TEXT    NOT NULL, -- another token or origin may be another account, with other ids
    json     TEXT    NOT NULL,
    read_ms  INTEGER NOT NULL  -- wall time
) STRICT;
PRAGMA user_version = 1;
