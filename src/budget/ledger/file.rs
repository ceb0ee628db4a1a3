//! The ledger's file: what is in it, how it is written, and whether what is read can be believed.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{
    LedgerError,
    folder::{Folder, same},
    witness::{Testimony, Witness},
};
use crate::{
    budget::{
        book::{Batch, Owner, OwnerId, Stored},
        owner::BudgetOwner,
        share::Share,
        window::{Request, Time},
    },
    clock::{Clock, stored_time::StoredTime},
    sqlite::{self, OpenError, Schema},
};

/// Each number of the file's layout, in turn. What was released is never changed: a new step is added.
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
    ],
    // A request is on the disk before it is on the wire.
    synchronous: "FULL",
};

/// Nobody else writes this file, so whoever holds its lock is a stranger, and not waited for longer than a slow disk may take.
const BUSY: Duration = Duration::from_millis(250);

/// Bytes that the file and its log get before anybody needs them, so that they can be written on a disk that is full: an hour
/// of some 4,000 requests. After the first hour the file has what it needs by itself.
const ROOM: u32 = 512 * 1024;

/// The log is written back and begun anew after so many pages: half of the room that it has.
const LOG_PAGES: u32 = 64;

/// What the file says at the start.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing: the folder is new.
    Nothing,
    /// Everything that was sent.
    All(Stored),
    /// Not everything, and perhaps nothing: why that is known, and what can be read.
    Lost(String, Option<Stored>),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    /// `None` while another process has it, or it cannot be made.
    folder: Option<Folder>,
    open: Option<Open>,
    witness: Witness,
    /// The number of the last transaction, whether it could be written or not.
    change: u64,
    /// Rows in the file.
    requests: u64,
    owners: u64,
    /// Whether the log was told that there is no room in advance.
    told_of_room: bool,
    /// Why the file cannot be used, although it opens: its tables are not ours.
    unfit: Option<String>,
}

/// The file, open.
#[derive(Debug)]
struct Open {
    connection: Connection,
    file: fs::Metadata,
    log: Option<fs::Metadata>,
}

impl LedgerFile {
    /// The ledger at this path, which is not looked at yet.
    pub fn new(path: &Path) -> Self {
        Self {
            folder: None,
            path: path.to_owned(),
            open: None,
            witness: Witness::beside(path),
            change: 0,
            requests: 0,
            owners: 0,
            told_of_room: false,
            unfit: None,
        }
    }

    /// Takes the folder for this process, and reads what an earlier one has left.
    ///
    /// # Errors
    /// Only what people have to mend before a start.
    pub fn read(&mut self, clock: &dyn Clock) -> Result<Found, LedgerError> {
        let prepared = self.prepare(clock);
        // Read behind the lock, so that no predecessor writes to it any more.
        let said = self.witness.testimony();
        self.change = said.map_or(0, |said| said.change);
        let contents = match prepared.and_then(|_| self.contents(clock)) {
            Err(error) if error.is_final() => return Err(error),
            // Nothing can be left for the next process either, so each one that starts here has to be careful.
            Err(error) => return Ok(Found::Lost(error.to_string(), None)),
            Ok(None) if self.had_a_life() => {
                let why = "it is gone from a folder that was in use, or was damaged";
                return Ok(Found::Lost(why.to_owned(), None));
            }
            Ok(None) => return Ok(Found::Nothing),
            Ok(Some(contents)) => contents,
        };
        let inode = self.open.as_ref().map(|open| open.file.ino());
        self.change = self.change.max(contents.change);
        let flaw = match said {
            _ if contents.flaw.is_some() => contents.flaw,
            // There was no witness then.
            _ if contents.is_of_an_older_layout => None,
            None => Some("its witness is gone or damaged"),
            Some(said) if contents.change < said.change => {
                Some("its end is missing, or it is an older copy")
            }
            Some(said) if Some(said.inode) != inode => Some("it is a copy"),
            Some(_) => None,
        };
        Ok(match flaw {
            Some(flaw) => Found::Lost(flaw.to_owned(), Some(contents.stored)),
            None => Found::All(contents.stored),
        })
    }

    fn contents(&self, clock: &dyn Clock) -> Result<Option<Contents>, LedgerError> {
        let open = self.open.as_ref().expect("it was prepared");
        Ok(read(&open.connection, clock)?)
    }

    /// Whether openseat has been at work in the folder before, as far as anything there tells. Where nobody can look, it has.
    fn had_a_life(&self) -> bool {
        match fs::read_dir(parent(&self.path)) {
            Ok(entries) => entries.flatten().any(|entry| {
                let name = entry.file_name();
                let name = name.as_encoded_bytes();
                let has = |prefix: &str| name.starts_with(prefix.as_bytes());
                // The ledger itself says nothing: it was made just now, if there was none.
                has("state.sqlite3")
                    || has("history.sqlite3")
                    || has("budget.sqlite3-witness")
                    || has("budget.sqlite3.")
            }),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Makes sure that the file is there and can be written to. Returns whether it or its witness is another one than before, so that all of it
    /// has to be written.
    pub fn prepare(&mut self, clock: &dyn Clock) -> Result<bool, LedgerError> {
        if !self.folder.as_ref().is_some_and(Folder::is_still_there) {
            (self.folder, self.open) = (None, None);
            self.folder = Some(Folder::take(parent(&self.path))?);
        }
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.is_still_there(&self.path))
        {
            return Ok(self.witness.is_gone());
        }
        self.open = None;
        self.connect(clock)?;
        Ok(true)
    }

    /// Writes a batch, and has the witness say so. The witness is told of a batch that cannot be written, too.
    pub fn write(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        self.change += 1;
        let written = self.write_rows(batch);
        self.unfit = written
            .as_ref()
            .err()
            .and_then(LedgerError::of_foreign_tables);
        if written.as_ref().is_err_and(|error| !error.is_busy()) {
            // What is wrong with it is seen, and put right where it can be, when it is opened the next time.
            self.open = None;
        }
        let witnessed = self.have_it_witnessed();
        written.and(witnessed)
    }

    /// Has the witness say that there is more than the file has.
    pub fn fall_behind(&mut self) {
        self.change += 1;
        // Where that fails as well, nothing can be left for the next process.
        let _ = self.have_it_witnessed();
    }

    fn have_it_witnessed(&mut self) -> Result<(), LedgerError> {
        let inode = fs::metadata(&self.path).map_or(0, |file| file.ino());
        let testimony = Testimony {
            change: self.change,
            inode,
        };
        let is_new = self.witness.write(testimony);
        let synced = is_new.and_then(|is_new| match &self.folder {
            Some(folder) if is_new => folder.sync(),
            _ => Ok(()),
        });
        synced.map_err(|error| LedgerError::Folder(self.witness.path().to_owned(), error))
    }

    fn connect(&mut self, clock: &dyn Clock) -> Result<(), LedgerError> {
        let folder = |error| LedgerError::Folder(self.path.clone(), error);
        sqlite::quarantine_orphan_wal(&self.path, clock.now()).map_err(folder)?;
        let opened = match self.unfit.take() {
            Some(why) => Err(OpenError::Damaged(why)),
            None => SCHEMA.open(&self.path),
        };
        let connection = match opened {
            Err(OpenError::Damaged(why)) => {
                let aside = sqlite::quarantine(&self.path, clock.now()).map_err(folder)?;
                tracing::error!(path = %self.path.display(), aside = %aside.display(), why, "the budget ledger is damaged or not openseat's, and was set aside");
                SCHEMA.open(&self.path)
            }
            opened => opened,
        }?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        if let Err(error) = make_room(&connection)
            && !std::mem::replace(&mut self.told_of_room, true)
        {
            tracing::warn!(%error, "there is no room in advance for the budget ledger; a full disk will stop it");
        }
        let file = fs::metadata(&self.path).map_err(folder)?;
        let log = fs::metadata(log(&self.path)).ok();
        self.open = Some(Open {
            connection,
            file,
            log,
        });
        Ok(())
    }

    fn write_rows(&mut self, batch: &Batch) -> Result<(), LedgerError> {
        let open = self.open.as_mut().expect("it was prepared");
        let behaviour = TransactionBehavior::Immediate;
        let transaction = open.connection.transaction_with_behavior(behaviour)?;
        if batch.whole {
            clear(&transaction)?;
            self.requests = 0;
        } else if batch.tidy {
            let left = transaction.execute(
                "DELETE FROM request WHERE leaves_ms <= ?1",
                [ms(batch.time)],
            )?;
            self.requests = self.requests.saturating_sub(left as u64);
        }
        for request in &batch.requests {
            let is_new = request.id >= batch.new_from;
            write_request(&transaction, request, is_new)?;
            self.requests += u64::from(is_new);
        }
        if let Some(owners) = &batch.owners {
            write_owners(&transaction, owners)?;
            self.owners = owners.len() as u64;
        }
        write_book(
            &transaction,
            batch,
            [self.change, self.requests, self.owners],
        )?;
        transaction.commit()?;
        // The log is made by the first transaction.
        if open.log.is_none() {
            open.log = fs::metadata(log(&self.path)).ok();
        }
        Ok(())
    }
}

impl Open {
    /// Whether the file is still the one of that name, and its log as well: what is written to one that was removed, the next process does
    /// not find.
    fn is_still_there(&self, path: &Path) -> bool {
        let is_there = |path: &Path, known: &fs::Metadata| {
            fs::metadata(path).is_ok_and(|found| same(known, &found))
        };
        is_there(path, &self.file)
            && self
                .log
                .as_ref()
                .is_none_or(|known| is_there(&log(path), known))
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn log(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Writes nothing in particular, and gives its place back to the file: pages that are there can be written whatever the disk says, but
/// for file systems that write each page to a new place.
fn make_room(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "DROP TABLE IF EXISTS room; BEGIN IMMEDIATE; CREATE TABLE room (filler BLOB); INSERT INTO room VALUES (zeroblob({ROOM})); COMMIT;
         DROP TABLE room;"
    ))
}

/// What the file has, and whether it hangs together.
struct Contents {
    stored: Stored,
    change: u64,
    flaw: Option<&'static str>,
    is_of_an_older_layout: bool,
}

/// Everything in the file; `None` if nothing was ever written to it.
fn read(connection: &Connection, clock: &dyn Clock) -> rusqlite::Result<Option<Contents>> {
    if let Some(stored) = read_layout_2(connection, clock)? {
        let lost = stored.lost.map(|_| "it was lost before");
        return Ok(Some(Contents {
            stored,
            change: 0,
            flaw: lost,
            is_of_an_older_layout: true,
        }));
    }
    let mut sound = true;
    let sql = "SELECT change_number, requests, owners, time_ms, boot_id, boot_ms, wall_ms, lost_ms, seal FROM book";
    let book = connection.query_row(sql, [], |row| {
        let numbers = [row.get(0)?, row.get(1)?, row.get(2)?];
        let stamp = stamp(row, 4)?;
        let (time, lost) = (row.get(3)?, row.get(7)?);
        sound &= row.get::<_, i64>(8)? == seal_of_book(numbers, time, &stamp, lost);
        Ok((numbers, time, stamp, lost))
    });
    let Some((numbers, time, stamp, lost)) = book.optional()? else {
        return Ok(None);
    };
    let mut statement =
        connection.prepare("SELECT id, owner, polling, answered, leaves_ms, seal FROM request")?;
    let requests = statement.query_map([], |row| {
        let request = Request {
            id: number(row, 0)?,
            owner: OwnerId(number(row, 1)?),
            polling: row.get(2)?,
            answered: row.get(3)?,
            leaves: time_of(row.get(4)?),
        };
        sound &= row.get::<_, i64>(5)? == seal_of_request(&request);
        Ok(request)
    });
    let requests: Vec<_> = requests?.collect::<Result<_, _>>()?;
    let sql = "SELECT id, account, identity, seen_ms, share_ppm, refused_ms, silent_until_ms, paused_until_ms, refusals, counted_ms, seal FROM owner";
    let mut statement = connection.prepare(sql)?;
    let owners = statement.query_map([], |row| {
        let (id, owner) = read_owner(row)?;
        sound &= row.get::<_, i64>(10)? == seal_of_owner(id, &owner);
        Ok((id, owner))
    });
    let owners: Vec<_> = owners?.collect::<Result<_, _>>()?;
    let whole = [requests.len(), owners.len()] == [numbers[1] as usize, numbers[2] as usize];
    Ok(Some(Contents {
        stored: Stored {
            requests,
            owners,
            time: time_of(time),
            stamp,
            lost: (lost != 0).then(|| time_of(lost)),
        },
        change: numbers[0].max(0) as u64,
        flaw: (!(whole && sound)).then_some("rows are missing or changed"),
        is_of_an_older_layout: false,
    }))
}

fn read_owner(row: &Row<'_>) -> rusqlite::Result<(OwnerId, Owner)> {
    let counted = row.get(9)?;
    let owner = Owner {
        name: BudgetOwner {
            account: row.get(1)?,
            identity: row.get(2)?,
        },
        seen: time_of(row.get(3)?),
        share: Share {
            level: row.get::<_, i64>(4)? as f64 / 1e6,
            since: time_of(row.get(5)?),
            silent_until: time_of(row.get(6)?),
            paused_until: time_of(row.get(7)?),
            in_row: row.get(8)?,
        },
        counted: (counted != 0).then(|| time_of(counted)),
    };
    Ok((OwnerId(number(row, 0)?), owner))
}

/// A moment of the past hour, on the clock that a book from an older layout begins with.
fn of_age(age: Duration, after: Duration) -> Time {
    (FIRST + after).saturating_sub(age)
}

/// What the clock of such a book shows.
const FIRST: Time = Duration::from_secs(86_400);

/// What a file of layout 1 or 2 had, if it has just been brought to the present one.
fn read_layout_2(connection: &Connection, clock: &dyn Clock) -> rusqlite::Result<Option<Stored>> {
    use crate::budget::window::{STAYS, STAYS_UNANSWERED};
    let sql = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'request_2'";
    let is_there: bool = connection.query_row(sql, [], |row| row.get(0))?;
    let sql = "SELECT count(*) FROM book";
    let is_written = connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0;
    let has_rows = |table| {
        let sql = format!("SELECT count(*) > 0 FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, bool>(0))
    };
    // A new file goes through all layouts as well.
    if !is_there || is_written || !(has_rows("sqlite_sequence")? || has_rows("lost_2")?) {
        return Ok(None);
    }
    let now = StoredTime::now(clock);
    let mut stored = Stored {
        requests: Vec::new(),
        owners: Vec::new(),
        time: FIRST,
        stamp: now.clone(),
        lost: None,
    };
    let sql =
        "SELECT id, account, identity, polling, answered, boot_id, boot_ms, wall_ms FROM request_2";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name = BudgetOwner {
            account: row.get(1)?,
            identity: row.get(2)?,
        };
        let answered = row.get(4)?;
        let stays = if answered { STAYS } else { STAYS_UNANSWERED };
        stored.requests.push(Request {
            id: number(row, 0)?,
            owner: stored_owner(&mut stored.owners, name),
            polling: row.get(3)?,
            answered,
            leaves: of_age(now.since(&stamp(row, 5)?), stays),
        });
    }
    let sql = "SELECT account, wait_ms, share, boot_id, boot_ms, wall_ms FROM throttle_2";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let account: String = row.get(0)?;
        let age = now.since(&stamp(row, 3)?);
        let wait = time_of(row.get(1)?);
        let share = Share {
            level: row.get(2)?,
            since: of_age(age, Duration::ZERO),
            silent_until: of_age(age, wait),
            ..Share::default()
        };
        let of_it = stored
            .owners
            .iter_mut()
            .filter(|(_, owner)| owner.name.account == account);
        of_it.for_each(|(_, owner)| owner.share = share);
    }
    let sql = "SELECT boot_id, boot_ms, wall_ms FROM lost_2 WHERE NOT trusted";
    let mut statement = connection.prepare(sql)?;
    let ages = statement.query_map([], |row| Ok(now.since(&stamp(row, 0)?)))?;
    let ages: Vec<Duration> = ages.collect::<Result<_, _>>()?;
    let recent = ages.into_iter().filter(|age| *age < STAYS_UNANSWERED).min();
    stored.lost = recent.map(|age| of_age(age, Duration::ZERO));
    Ok(Some(stored))
}

fn stored_owner(owners: &mut Vec<(OwnerId, Owner)>, name: BudgetOwner) -> OwnerId {
    if let Some((id, _)) = owners.iter().find(|(_, owner)| owner.name == name) {
        return *id;
    }
    let id = OwnerId(owners.len() as u64 + 1);
    let owner = Owner {
        name,
        seen: FIRST,
        share: Share::default(),
        counted: None,
    };
    owners.push((id, owner));
    id
}

/// Removes every row, and what is left of older layouts.
fn clear(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DROP TABLE IF EXISTS request_2; DROP TABLE IF EXISTS throttle_2; DROP TABLE IF EXISTS lost_2; DELETE FROM request;",
    )
}

fn write_request(
    transaction: &Transaction<'_>,
    request: &Request,
    is_new: bool,
) -> rusqlite::Result<()> {
    let sql = match is_new {
        true => {
            "INSERT INTO request (id, owner, polling, answered, leaves_ms, seal) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        }
        false => {
            "UPDATE request SET owner = ?2, polling = ?3, answered = ?4, leaves_ms = ?5, seal = ?6 WHERE id = ?1"
        }
    };
    let changed = transaction.prepare_cached(sql)?.execute(params![
        request.id as i64,
        request.owner.0 as i64,
        request.polling,
        request.answered,
        ms(request.leaves),
        seal_of_request(request),
    ])?;
    match changed {
        1 => Ok(()),
        // The file is not as it was left: all is written again.
        _ => Err(rusqlite::Error::StatementChangedRows(changed)),
    }
}

fn write_owners(
    transaction: &Transaction<'_>,
    owners: &[(OwnerId, Owner)],
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM owner", [])?;
    let sql = "INSERT INTO owner (id, account, identity, seen_ms, share_ppm, refused_ms, silent_until_ms, paused_until_ms, refusals, counted_ms, seal) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let mut insert = transaction.prepare_cached(sql)?;
    for (id, owner) in owners {
        insert.execute(params![
            id.0 as i64,
            owner.name.account,
            owner.name.identity,
            ms(owner.seen),
            ppm(owner.share.level),
            ms(owner.share.since),
            ms(owner.share.silent_until),
            ms(owner.share.paused_until),
            owner.share.in_row,
            ms(owner.counted.unwrap_or_default()),
            seal_of_owner(*id, owner),
        ])?;
    }
    Ok(())
}

fn write_book(
    transaction: &Transaction<'_>,
    batch: &Batch,
    numbers: [u64; 3],
) -> rusqlite::Result<()> {
    let numbers = numbers.map(|number| number as i64);
    let (time, lost) = (ms(batch.time), ms(batch.lost.unwrap_or_default()));
    let StoredTime {
        boot_id,
        boot_ms,
        wall_ms,
    } = &batch.stamp;
    transaction.execute("DELETE FROM book", [])?;
    let sql = "INSERT INTO book (change_number, requests, owners, time_ms, boot_id, boot_ms, wall_ms, lost_ms, seal) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    transaction.prepare_cached(sql)?.execute(params![
        numbers[0],
        numbers[1],
        numbers[2],
        time,
        boot_id,
        boot_ms,
        wall_ms,
        lost,
        seal_of_book(numbers, time, &batch.stamp, lost),
    ])?;
    Ok(())
}

fn seal_of_request(request: &Request) -> i64 {
    seal(
        &[],
        &[
            request.id as i64,
            request.owner.0 as i64,
            request.polling.into(),
            request.answered.into(),
            ms(request.leaves),
        ],
    )
}

fn seal_of_owner(id: OwnerId, owner: &Owner) -> i64 {
    seal(
        &[&owner.name.account, &owner.name.identity],
        &[
            id.0 as i64,
            ms(owner.seen),
            ppm(owner.share.level),
            ms(owner.share.since),
            ms(owner.share.silent_until),
            ms(owner.share.paused_until),
            owner.share.in_row.into(),
            ms(owner.counted.unwrap_or_default()),
        ],
    )
}

fn seal_of_book(numbers: [i64; 3], time: i64, stamp: &StoredTime, lost: i64) -> i64 {
    let [change, requests, owners] = numbers;
    let numbers = [
        change,
        requests,
        owners,
        time,
        stamp.boot_ms,
        stamp.wall_ms,
        lost,
    ];
    seal(&[&stamp.boot_id], &numbers)
}

/// A check sum of a row: SQLite finds torn pages, and not a flipped bit in a number.
fn seal(texts: &[&str], numbers: &[i64]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    hasher.finalize().into()
}

fn ms(time: Time) -> i64 {
    time.as_millis() as i64
}

/// What rounding takes, less than a millisecond, is within what windows allow for drift.
fn time_of(ms: i64) -> Time {
    Duration::from_millis(ms.max(0) as u64)
}

fn ppm(level: f64) -> i64 {
    (level * 1e6) as i64
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.max(0) as u64)
}

fn stamp(row: &Row<'_>, first_column: usize) -> rusqlite::Result<StoredTime> {
    Ok(StoredTime {
        boot_id: row.get(first_column)?,
        boot_ms: row.get(first_column + 1)?,
        wall_ms: row.get(first_column + 2)?,
    })
}
