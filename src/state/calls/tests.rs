//! The record of calls: what is found, what is lost, and what survives the process.

use std::{fs, path::PathBuf, thread};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    clock::steady, decision::reservations::ReservationId, fixtures::Still,
    model::quantity::Quantity,
};

/// Long enough for any machine.
const TIMEOUT: Duration = Duration::from_secs(120);
const HOUR: Duration = Duration::from_secs(3_600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

struct Disk {
    folder: TempDir,
    clock: Arc<Still>,
}

impl Disk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(Still::new()),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("calls.sqlite3")
    }

    fn log(&self) -> CallLog {
        self.log_of(MAX_BYTES)
    }

    fn log_of(&self, largest: u64) -> CallLog {
        let path = self.path();
        let keeping = Keeping {
            path: &path,
            keep: WEEK,
            largest,
        };
        CallLog::start(Some(keeping), self.clock.clone()).unwrap()
    }

    /// 0 if the file or the table does not exist yet.
    fn rows(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        let file = Connection::open_with_flags(self.path(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let count = file.and_then(|file| file.query_row(&sql, [], |row| row.get(0)));
        count.unwrap_or(0)
    }
}

fn sales() -> QueueKey {
    QueueKey::new("main", "sales")
}

fn answer(reason: &'static str) -> What {
    What::Answered(Answer {
        client: None,
        accept: Some(reason == "seats"),
        reason: reason.into(),
        count: None,
        threshold: None,
        age_ms: None,
        tags: None,
        seat: None,
        forecast: None,
    })
}

impl CallLog {
    fn note(&self, clock: &Still, call_id: &str, what: What) {
        self.record(clock.now(), &sales(), call_id.into(), what);
    }

    fn found(&self, call_id: &str) -> Vec<Event> {
        let clock = Arc::new(Still::new());
        let limit = Limit::new(clock, TIMEOUT, CancellationToken::new());
        self.find(call_id, &limit).unwrap()
    }

    fn reasons(&self, call_id: &str) -> Vec<String> {
        let found = self.found(call_id).into_iter();
        let reason = |event: Event| match event.what {
            What::Answered(answer) => answer.reason.into_owned(),
            What::Ended { end, .. } => end.into_owned(),
        };
        found.map(reason).collect()
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = steady();
    while !condition() {
        assert!(steady() - begun < TIMEOUT, "timed out: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn recorded_events_are_found_in_memory_and_in_the_file() {
    let disk = Disk::new();
    let log = disk.log();
    let id = ReservationId::from_text("5f0c2a9be41d8c3760b2d94c1a7e8f35");
    let whole = What::Answered(Answer {
        client: Some("buyer-7".into()),
        accept: Some(true),
        reason: "seats".into(),
        count: Quantity::new(2.5),
        threshold: Quantity::new(-1.0),
        age_ms: Some(1_834),
        tags: Some("tag_a=1&tag_b=%26".into()),
        seat: Some(Box::new(Seat {
            id: id.clone(),
            expires_ms: 1_795_341_645_123,
        })),
        forecast: Some(Box::new(Forecast {
            likely: 0.83,
            needed: 2.0 / 3.0,
            expected: [ExpectedAgent {
                id: "ann".into(),
                name: "Ann".into(),
                status: "Post Call".into(),
                free_by_ms: Some(1_795_341_610_000),
            }]
            .into(),
        })),
    });
    let listed = What::Answered(Answer {
        client: None,
        accept: None,
        reason: LISTED.into(),
        count: None,
        threshold: None,
        age_ms: None,
        tags: None,
        seat: None,
        forecast: None,
    });
    let ended = What::Ended {
        reservation: id,
        end: "released".into(),
    };
    let all = [whole, listed, ended];
    for what in &all {
        log.note(&disk.clock, "a", what.clone());
    }
    let check = |found: Vec<Event>| {
        let found = found.into_iter().map(|event| {
            assert_eq!((event.at_ms, event.queue), (1_795_341_600_123, sales()));
            event.what
        });
        assert_eq!(found.collect::<Vec<_>>(), all);
    };
    // The events come from memory, then from both, then from the file.
    check(log.found("a"));
    assert!(log.finish(TIMEOUT));
    check(log.found("a"));
    check(disk.log().found("a"));
    assert_eq!(log.found("b"), []);
    assert_eq!(log.lost(), 0);
}

#[test]
fn no_event_is_found_twice_or_missed_while_it_is_written() {
    let disk = Disk::new();
    let log = disk.log();
    for n in 1..=300 {
        log.note(&disk.clock, "a", answer("seats"));
        assert_eq!(log.found("a").len(), n);
        // Some are read while a batch is being written.
        thread::sleep(Duration::from_millis(n as u64 % 3));
    }
}

#[test]
fn each_event_of_a_burst_of_100_000_is_either_stored_or_lost() {
    const BURST: u64 = 100_000;
    let disk = Disk::new();
    let log = disk.log();
    thread::scope(|scope| {
        for part in 0..4 {
            let (log, clock) = (&log, &disk.clock);
            scope.spawn(move || {
                for n in 0..BURST / 4 {
                    log.note(clock, &format!("call-{part}-{n}"), answer("seats"));
                }
            });
        }
    });
    assert!(log.finish(TIMEOUT));
    let stored = disk.rows("event") as u64;
    assert_eq!(stored + log.lost(), BURST);
    assert!(stored > BURST / 2, "{stored}");
    assert!(disk.rows("run") > 3, "runs index them");
    let found = |call: &str| log.found(call).len() == 1;
    let all = (0..4).flat_map(|part| {
        (0..BURST / 4)
            .step_by(997)
            .map(move |n| format!("call-{part}-{n}"))
    });
    let found = all.filter(|call| found(call)).count();
    assert!(
        log.lost() > 0 || found == 4 * (BURST as usize / 4).div_ceil(997),
        "{found}"
    );
    // At 90 bytes each, the largest file has six million events.
    let bytes = fs::metadata(disk.path()).unwrap().len();
    println!("{} bytes an event", bytes / stored);
    assert!(bytes / stored < 90, "{} bytes an event", bytes / stored);
}

#[test]
fn events_beyond_the_limit_are_lost_and_counted() {
    let disk = Disk::new();
    // A folder is in its place, so nothing can be written.
    fs::create_dir(disk.path()).unwrap();
    let log = disk.log();
    let long = "x".repeat(256);
    let mut sent = 0;
    while log.lost() == 0 {
        log.note(&disk.clock, &long, answer("seats"));
        sent += 1;
        assert!(sent < 1_000_000, "memory is bounded");
    }
    until("a failure", || log.condition().unwrap().is_degraded());
    for _ in 0..10 {
        log.note(&disk.clock, "late", answer("seats"));
    }
    assert_eq!(log.lost(), 11, "nothing was written, so there is no room");
    fs::remove_dir(disk.path()).unwrap();
    until("all written", || disk.rows("event") == sent - 1);
    assert_eq!(log.lost(), 11);
    assert!(!log.condition().unwrap().is_degraded());
    log.note(&disk.clock, "after", answer("seats"));
    assert!(log.finish(TIMEOUT));
    assert_eq!(disk.rows("event"), sent);
    assert_eq!(log.reasons("after"), ["seats"]);
}

#[test]
fn a_locked_file_blocks_nothing_and_nothing_is_lost() {
    let disk = Disk::new();
    let log = disk.log();
    log.note(&disk.clock, "a", answer("seats"));
    until("the first event", || disk.rows("event") == 1);
    let other = Connection::open(disk.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    log.note(&disk.clock, "a", answer("reserved"));
    until("a waiting writer", || {
        log.condition().unwrap().is_degraded()
    });
    log.note(&disk.clock, "a", answer("too_old"));
    assert_eq!(log.reasons("a"), ["seats", "reserved", "too_old"]);
    assert_eq!(log.last(&sales()).len(), 3);
    other.execute_batch("ROLLBACK").unwrap();
    until("all events", || disk.rows("event") == 3);
    assert_eq!((log.lost(), log.reasons("a").len()), (0, 3));
}

#[test]
fn events_that_cannot_be_written_by_the_end_are_lost() {
    let disk = Disk::new();
    fs::create_dir(disk.path()).unwrap();
    let log = disk.log();
    for _ in 0..3 {
        log.note(&disk.clock, "a", answer("seats"));
    }
    assert!(log.finish(TIMEOUT));
    assert_eq!(log.lost(), 3);
    log.note(&disk.clock, "a", answer("seats"));
    assert_eq!(log.lost(), 4, "the writer has ended");
}

#[test]
fn without_a_file_memory_keeps_the_last_events() {
    let clock = Arc::new(Still::new());
    let log = CallLog::start(None, clock.clone()).unwrap();
    for n in 0..30_000 {
        log.note(&clock, &format!("call-{n}"), answer("seats"));
        if n % 1_000 == 0 {
            assert_eq!(log.found(&format!("call-{n}")).len(), 1);
        }
    }
    assert_eq!(log.found("call-0"), []);
    assert_eq!(log.found("call-20000").len(), 1);
    assert_eq!(log.found("call-29999").len(), 1);
    assert_eq!((log.lost(), log.condition().is_none()), (0, true));
    assert!(log.finish(TIMEOUT));
    assert_eq!(log.lost(), 0);
}

#[test]
fn the_last_answers_of_a_queue_survive_the_process() {
    let disk = Disk::new();
    let log = disk.log();
    assert_eq!(log.last(&sales()).len(), 0);
    for n in 0..250 {
        log.note(&disk.clock, &format!("call-{n}"), answer("seats"));
    }
    let other = QueueKey::new("main", "support");
    log.record(
        disk.clock.now(),
        &other,
        "elsewhere".into(),
        answer("too_old"),
    );
    let calls = |log: &CallLog| -> Vec<_> {
        let last = log.last(&sales()).into_iter();
        last.map(|event| event.call_id.to_string()).collect()
    };
    let newest: Vec<_> = (150..250).rev().map(|n| format!("call-{n}")).collect();
    assert_eq!(calls(&log), newest);
    assert!(log.finish(TIMEOUT));
    let log = disk.log();
    until("the stored answers", || calls(&log) == newest);
    assert_eq!(log.last(&other).len(), 1);
    log.note(&disk.clock, "new", answer("seats"));
    assert_eq!(calls(&log)[..2], ["new", "call-249"]);
    log.retain(&[sales()]);
    assert_eq!(
        (log.last(&other).len(), log.last(&sales()).len()),
        (0, LAST)
    );
}

#[test]
fn old_events_are_removed_after_an_hour_in_which_nobody_has_set_the_clock() {
    let disk = Disk::new();
    let log = disk.log();
    // More than a run, so that both parts of the file are trimmed.
    for n in 0..17_000 {
        log.note(&disk.clock, &format!("old-{n}"), answer("seats"));
    }
    until("a full run", || disk.rows("event") == 17_000);
    disk.clock.pass(Duration::from_secs(3 * 86_400));
    log.note(&disk.clock, "young", answer("seats"));
    assert!(log.finish(TIMEOUT));
    disk.clock.pass(Duration::from_secs(5 * 86_400));
    let log = disk.log();
    log.note(&disk.clock, "first", answer("seats"));
    assert!(log.finish(TIMEOUT));
    assert_eq!(disk.rows("event"), 17_002, "the clock may be wrong");
    let log = disk.log();
    disk.clock.pass(HOUR);
    log.note(&disk.clock, "second", answer("seats"));
    assert!(log.finish(TIMEOUT));
    assert_eq!(disk.rows("event"), 3);
    assert_eq!(log.found("old-7"), []);
    assert_eq!(log.found("old-16999"), []);
    assert_eq!(log.found("young").len(), 1);
}

#[test]
fn a_wrong_clock_removes_no_event() {
    const MONTH: Duration = Duration::from_secs(30 * 86_400);
    let disk = Disk::new();
    let mut written = 0;
    // A process that records one event after this time.
    let mut run = |time: Duration| {
        let log = disk.log();
        disk.clock.pass(time);
        log.note(&disk.clock, "a", answer("seats"));
        assert!(log.finish(TIMEOUT));
        written += 1;
        assert_eq!(log.found("a").len(), written);
    };
    run(Duration::ZERO);
    disk.clock.step_wall_back(MONTH);
    run(Duration::ZERO);
    // A clock that nobody corrects.
    run(HOUR);
    disk.clock.pass(2 * MONTH);
    run(Duration::ZERO);
    assert_eq!(disk.rows("event"), 4);
}

#[test]
fn a_file_that_is_too_large_loses_its_oldest_events() {
    let disk = Disk::new();
    let log = disk.log_of(2 * 1024 * 1024);
    for n in 0..60_000 {
        log.note(&disk.clock, &format!("call-{n}"), answer("seats"));
    }
    assert!(log.finish(TIMEOUT));
    let kept = disk.rows("event");
    assert!((10_000..60_000).contains(&kept), "{kept}");
    assert_eq!((log.lost(), log.found("call-0").len()), (0, 0));
    assert_eq!(log.found("call-59999").len(), 1);
}

#[test]
fn a_call_with_very_many_events_shows_the_newest() {
    let disk = Disk::new();
    let log = disk.log();
    for n in 0..20_000 {
        disk.clock.pass(Duration::from_millis(1));
        log.note(
            &disk.clock,
            "1",
            answer(if n < 19_000 { "seats" } else { "reserved" }),
        );
    }
    for _ in 0..2 {
        let reasons = log.reasons("1");
        assert_eq!(reasons.len(), MAX_FOUND);
        assert!(reasons.iter().all(|reason| reason == "reserved"));
        assert!(log.finish(TIMEOUT));
    }
}

#[test]
fn calls_with_the_same_hash_are_distinguished() {
    // Two well-known texts with the same CRC-32.
    assert_eq!(index::hash("plumless"), index::hash("buckeroo"));
    let disk = Disk::new();
    let log = disk.log();
    for n in 0..17_000 {
        log.note(&disk.clock, &format!("call-{n}"), answer("seats"));
        if n == 100 {
            log.note(&disk.clock, "plumless", answer("reserved"));
            log.note(&disk.clock, "buckeroo", answer("too_old"));
        }
    }
    assert!(log.finish(TIMEOUT));
    assert_eq!(disk.rows("run"), 1);
    assert_eq!(log.reasons("plumless"), ["reserved"]);
    assert_eq!(log.reasons("buckeroo"), ["too_old"]);
}

#[test]
fn a_damaged_file_is_set_aside() {
    let disk = Disk::new();
    fs::write(disk.path(), "not a database".repeat(100)).unwrap();
    let log = disk.log();
    log.note(&disk.clock, "a", answer("seats"));
    assert!(log.finish(TIMEOUT));
    assert_eq!((log.lost(), disk.rows("event")), (0, 1));
}

#[test]
fn a_file_that_can_be_used_again_shows_without_a_new_event() {
    let disk = Disk::new();
    fs::create_dir(disk.path()).unwrap();
    let log = disk.log();
    let condition = log.condition().unwrap();
    until("a failure", || condition.is_degraded());
    fs::remove_dir(disk.path()).unwrap();
    until("a file that works", || !condition.is_degraded());
}
