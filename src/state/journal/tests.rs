//! Which reservations are in the file, also after accidents with the file.

use std::{fs, path::PathBuf, time::Duration};

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::*;
use crate::{
    clock::{Clock, Moment},
    decision::{
        Choice, Decision, OnUnknown, Policy,
        board::QueueState,
        decide_with,
        reservations::{Reservation, Reserved},
        soon::rule::{Held, Prediction, Terms as SoonTerms},
    },
    fixtures::{Still, available, snapshot},
    model::{agent::AgentId, quantity::Quantity},
    state::store::Note,
};

/// Far more than a busy machine needs.
const TIMEOUT: Duration = Duration::from_secs(60);

const TTL: Duration = Duration::from_secs(60);

const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    asks_threshold: false,
    max_age: Some(Duration::from_secs(3_600)),
    on_unknown: OnUnknown::Reject,
    hours: None,
};

/// A state folder that one process after another uses.
struct Disk {
    folder: tempfile::TempDir,
    clock: Arc<Still>,
}

impl Disk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            clock: Arc::new(Still::new()),
        }
    }

    fn path(&self, companion: &str) -> PathBuf {
        self.folder.path().join(format!("state.sqlite3{companion}"))
    }

    fn process(&self) -> Process {
        let store = Store::open(&self.path(""), self.clock.clone() as Arc<dyn Clock>);
        let store = Arc::new(store.expect("a thread"));
        Process {
            reservations: reservations(Arc::clone(&store)).expect("a thread"),
            store,
            clock: self.clock.clone(),
        }
    }

    /// Another program that has the file open.
    fn shell(&self) -> rusqlite::Connection {
        let shell = rusqlite::Connection::open(self.path("")).expect("a file");
        shell.busy_timeout(TIMEOUT).expect("a valid timeout");
        shell
    }

    /// What a process that is killed now leaves behind.
    fn killed(&self) -> Disk {
        let left = Disk {
            folder: tempfile::tempdir().expect("a folder"),
            clock: Arc::clone(&self.clock),
        };
        let copy = "VACUUM INTO ?1";
        let path = left.path("");
        self.shell()
            .execute(copy, [path.to_str().expect("plain")])
            .expect("a copy");
        left
    }

    fn calls_in_file(&self) -> usize {
        let sql = "SELECT count(*) FROM reservations";
        let number = self.shell().query_row(sql, [], |row| row.get::<_, i64>(0));
        number.expect("a table") as usize
    }

    fn remove(&self, companions: &[&str]) {
        for companion in companions {
            fs::remove_file(self.path(companion)).expect("the file exists");
        }
    }

    /// The calls that hold a seat after a clean stop and a start.
    fn after_a_restart(&self, process: Process) -> Vec<String> {
        process.stop();
        let next = self.process();
        let held = next.calls();
        next.stop();
        held
    }
}

struct Process {
    reservations: Reservations,
    store: Arc<Store>,
    clock: Arc<Still>,
}

impl Process {
    fn hold(&self, call: &str) -> Reservation {
        let (queue, now) = (key("sales"), self.clock.now());
        let state = QueueState {
            snapshot: Some(Arc::new(snapshot(now, available(900)))),
            ..QueueState::default()
        };
        let decision = |held: Held<'_>| decide_with(&state, &POLICY, held, now);
        let holds = self.reservations.queue(&queue);
        match holds.reserve(call, TTL, now, decision) {
            Reserved::Made(reservation, _) => reservation,
            other => panic!("not made: {other:?}"),
        }
    }

    /// As for a call that gets its 201.
    async fn reserve(&self, call: &str) -> Reservation {
        let reservation = self.hold(call);
        self.reservations.keep(&key("sales"), &reservation).await;
        reservation
    }

    fn release(&self, reservation: &Reservation) {
        let released = self.reservations.release(&reservation.id, self.clock.now());
        assert!(released.is_some());
    }

    /// An agent was seen no longer available; they may have taken any call made by this moment. Returns whether a reservation has ended.
    fn departed(&self, made_by: Moment) -> bool {
        let now = self.clock.now();
        let (agent, queues) = (AgentId("eve".into()), [key("sales")]);
        let ended = (self.reservations).departed(&agent, &queues, made_by, now);
        ended.is_some()
    }

    fn calls(&self) -> Vec<String> {
        let held = self.reservations.list(self.clock.now()).into_iter();
        held.map(|(_, one)| one.call_id.into_string()).collect()
    }

    fn is_degraded(&self) -> bool {
        self.store.condition().is_degraded()
    }

    fn stop(self) {
        self.reservations.finish(TIMEOUT);
        self.store.finish(TIMEOUT);
    }
}

fn key(queue: &str) -> QueueKey {
    QueueKey::new("main", queue)
}

fn soon(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < TIMEOUT, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_restart_knows_what_was_held_and_until_when() {
    let disk = Disk::new();
    let first = disk.process();
    let long = first.reserve("long").await;
    let released = first.reserve("released").await;
    first.release(&released);
    disk.clock.pass(Duration::from_secs(20));
    first.reserve("later").await;
    first.stop();
    disk.clock.pass(Duration::from_secs(20));
    let second = disk.process();
    assert_eq!(second.calls(), ["long", "later"]);
    let holds = second.reservations.queue(&key("sales"));
    let now = disk.clock.now();
    assert_eq!(holds.list(now)[0].id, long.id, "with the same id");
    let held = |seconds| holds.held(now.later(Duration::from_secs(seconds))).all;
    assert_eq!([held(19), held(20), held(39), held(40)], [2, 1, 1, 0]);
}

#[tokio::test]
async fn a_file_that_was_locked_for_long_gets_what_happened_meanwhile() {
    let disk = Disk::new();
    let process = disk.process();
    let before = process.reserve("before").await;
    process.reserve("stays").await;
    let shell = disk.shell();
    shell.execute_batch("BEGIN EXCLUSIVE").unwrap();
    process.release(&before);
    let mut fastest = Duration::MAX;
    for call in ["meanwhile", "then", "next"] {
        let begun = Instant::now();
        process.reserve(call).await;
        fastest = fastest.min(begun.elapsed());
    }
    // A pause may delay one of them.
    let is_fast = fastest < Duration::from_secs(4);
    assert!(is_fast, "no call waits for the file: {fastest:?}");
    soon("the file to be reported", || process.is_degraded());
    process.reserve("later").await;
    shell.execute_batch("COMMIT").unwrap();
    soon("the file to work", || !process.is_degraded());
    assert_eq!(
        disk.after_a_restart(process),
        ["stays", "meanwhile", "then", "next", "later"]
    );
}

#[tokio::test]
async fn a_file_that_is_locked_at_the_start_is_loaded_when_it_can_be_read() {
    let disk = Disk::new();
    let first = disk.process();
    first.reserve("earlier").await;
    first.stop();
    disk.clock.pass(Duration::from_secs(1));
    let shell = disk.shell();
    shell.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let second = disk.process();
    assert!(second.is_degraded());
    second.reserve("new").await;
    shell.execute_batch("COMMIT").unwrap();
    soon("both", || second.calls().len() == 2);
    assert_eq!(disk.after_a_restart(second), ["earlier", "new"]);
}

#[tokio::test]
async fn a_disk_that_was_full_for_a_moment_gets_what_happened_meanwhile() {
    let disk = Disk::new();
    let process = disk.process();
    let before = process.reserve("before").await;
    let shell = disk.shell();
    for (nth, change) in ["INSERT", "DELETE"].into_iter().enumerate() {
        let full = format!(
            "CREATE TRIGGER full{nth} BEFORE {change} ON reservations BEGIN SELECT RAISE(FAIL, 'disk full'); END"
        );
        shell.execute_batch(&full).unwrap();
    }
    process.release(&before);
    process.reserve("meanwhile").await;
    soon("the file to be reported", || process.is_degraded());
    // Writing other data does not prove that all is well.
    process.store.keep(Note::Notices("other data".to_owned()));
    process.store.finish(TIMEOUT);
    assert!(process.is_degraded());
    shell
        .execute_batch("DROP TRIGGER full0; DROP TRIGGER full1")
        .unwrap();
    soon("the file to work", || !process.is_degraded());
    assert_eq!(disk.after_a_restart(process), ["meanwhile"]);
}

#[tokio::test]
async fn a_file_that_is_deleted_is_written_again() {
    let all: &[&str] = &["", "-wal", "-shm"];
    for companions in [all, &[""], &["-wal"]] {
        for is_followed in [true, false] {
            let disk = Disk::new();
            let process = disk.process();
            let released = process.reserve("released").await;
            process.reserve("before").await;
            disk.remove(companions);
            process.release(&released);
            if is_followed {
                process.reserve("after").await;
            }
            let expected = ["before", "after"];
            let expected = &expected[..1 + usize::from(is_followed)];
            assert_eq!(disk.after_a_restart(process), expected, "{companions:?}");
        }
    }
}

#[tokio::test]
async fn a_deleted_file_is_written_again_so_that_a_crash_loses_nothing() {
    let disk = Disk::new();
    let process = disk.process();
    process.reserve("before").await;
    disk.remove(&["", "-wal", "-shm"]);
    soon("a new file", || disk.path("").exists());
    soon("the file to work", || !process.is_degraded());
    let read = || {
        let sql = "SELECT call_id FROM reservations";
        disk.shell()
            .query_row(sql, [], |row| row.get::<_, String>(0))
    };
    assert_eq!(read(), Ok("before".to_owned()));
    process.stop();
}

#[tokio::test]
async fn a_file_that_is_damaged_in_place_is_written_again() {
    let noise = vec![0xa5; 100_000];
    for companion in ["", "-wal"] {
        for content in [&noise[..0], &noise[..]] {
            let disk = Disk::new();
            let process = disk.process();
            process.reserve("before").await;
            process.store.keep_seats(&[]);
            fs::write(disk.path(companion), content).unwrap();
            // As the journal does each second.
            process.store.keep_seats(&[]);
            assert!(!process.is_degraded());
            let held = disk.after_a_restart(process);
            assert_eq!(held, ["before"], "{companion}, {} bytes", content.len());
        }
    }
}

#[tokio::test]
async fn an_older_copy_of_the_file_restores_nothing() {
    let disk = Disk::new();
    let process = disk.process();
    let released = process.reserve("released").await;
    let copy = disk.folder.path().join("copy");
    disk.shell()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    process.release(&released);
    process.reserve("after").await;
    fs::rename(&copy, disk.path("")).unwrap();
    assert_eq!(disk.after_a_restart(process), ["after"]);
}

#[tokio::test]
async fn a_folder_that_was_gone_for_a_while_gets_everything_when_it_is_back() {
    let disk = Disk::new();
    let process = disk.process();
    process.reserve("before").await;
    fs::remove_dir_all(disk.folder.path()).unwrap();
    process.reserve("meanwhile").await;
    soon("the file to be reported", || process.is_degraded());
    fs::create_dir(disk.folder.path()).unwrap();
    soon("the file to work", || !process.is_degraded());
    assert_eq!(disk.after_a_restart(process), ["before", "meanwhile"]);
}

#[tokio::test]
async fn more_changes_than_may_wait_are_all_written() {
    let disk = Disk::new();
    let process = disk.process();
    let shell = disk.shell();
    shell.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        let calls = (0..250).map(|call| format!("{round}-{call}"));
        let made: Vec<_> = calls.map(|call| process.hold(&call)).collect();
        for reservation in &made {
            // Handed over, and not waited for.
            let _ = process
                .reservations
                .keep(&key("sales"), reservation)
                .now_or_never();
        }
        made[1..].iter().for_each(|one| process.release(one));
        expected.push(made[0].call_id.to_string());
    }
    shell.execute_batch("COMMIT").unwrap();
    assert_eq!(disk.after_a_restart(process), expected);
}

#[tokio::test]
async fn a_call_that_was_answered_before_it_was_written_is_not_written() {
    let disk = Disk::new();
    let process = disk.process();
    let reservation = process.hold("quick");
    let now = disk.clock.now();
    assert!(process.departed(now));
    process.reservations.keep(&key("sales"), &reservation).await;
    assert!(disk.after_a_restart(process).is_empty());
}

/// Four calls, and the moment of the last recorded look at the agents.
async fn four_calls(process: &Process) -> Moment {
    for call in ["0", "1", "2", "3"] {
        process.reserve(call).await;
    }
    process.clock.pass(Duration::from_secs(2));
    let looked = process.clock.now();
    process.clock.pass(Duration::from_secs(2));
    looked
}

#[tokio::test]
async fn no_held_seat_is_freed_whatever_a_crash_loses_of_two_departures() {
    let disk = Disk::new();
    let process = disk.process();
    let looked = four_calls(&process).await;
    let mut left = vec![disk.killed()];
    for written in [3, 2] {
        assert!(process.departed(disk.clock.now()));
        soon("everything to be written", || {
            disk.calls_in_file() == written
        });
        left.push(disk.killed());
        disk.clock.pass(Duration::from_secs(1));
    }
    process.stop();
    for (ends, left) in left.iter().enumerate() {
        // The new status of this many agents was not written: they are seen to leave once more.
        for lost in 0..=2 {
            let next = left.killed();
            let next = next.process();
            assert_eq!(next.calls().len(), 4 - ends);
            for _ in 0..lost {
                next.departed(looked);
            }
            let held = next.calls().len();
            assert!(held >= 2, "{ends} ends, {lost} lost: {held}");
            assert!(ends > 0 || held == 4 - lost, "nothing was counted");
            // Departures that the process itself sees count.
            disk.clock.pass(Duration::from_millis(1));
            assert!(next.departed(disk.clock.now()));
            assert_eq!(next.calls().len(), held - 1);
            next.stop();
        }
    }
}

#[tokio::test]
async fn a_look_newer_than_the_last_count_shows_who_left_meanwhile() {
    let disk = Disk::new();
    let process = disk.process();
    four_calls(&process).await;
    assert!(process.departed(disk.clock.now()));
    disk.clock.pass(Duration::from_secs(1));
    let looked = disk.clock.now();
    process.stop();
    disk.clock.pass(Duration::from_secs(1));
    let next = disk.process();
    assert!(next.departed(looked));
    assert_eq!(next.calls().len(), 2);
    next.stop();
}

#[tokio::test]
async fn counts_survive_accidents_with_the_file() {
    let (full, deleted, replaced) = (0, 1, 2);
    for accident in [full, deleted, replaced] {
        for happens_to_a_later_process in [false, true] {
            let disk = Disk::new();
            let mut process = disk.process();
            let looked = four_calls(&process).await;
            let copy = disk.killed();
            if happens_to_a_later_process {
                assert!(process.departed(disk.clock.now()));
                process.stop();
                process = disk.process();
            }
            let shell = disk.shell();
            if accident == full {
                let full = "CREATE TRIGGER full BEFORE DELETE ON reservations BEGIN SELECT RAISE(FAIL, 'disk full'); END";
                shell.execute_batch(full).unwrap();
            } else if accident == deleted {
                fs::remove_file(disk.path("")).unwrap();
            } else {
                fs::rename(copy.path(""), disk.path("")).unwrap();
            }
            if !happens_to_a_later_process {
                assert!(process.departed(disk.clock.now()));
            } else {
                process.reserve("more").await;
            }
            if accident == full {
                if !happens_to_a_later_process {
                    soon("the file to be reported", || process.is_degraded());
                }
                shell.execute_batch("DROP TRIGGER full").unwrap();
            }
            drop(shell);
            process.stop();
            let next = disk.process();
            let held = next.calls();
            assert!(!next.departed(looked), "{accident}: {held:?}");
            next.stop();
        }
    }
}

const LIKELY: u8 = 83;

impl Process {
    /// As for a call that is accepted at zero seats, because this agent will probably be free.
    async fn count_on(&self, agent: &AgentId, call: &str) {
        let now = self.clock.now();
        let soon = Choice {
            decision: Decision {
                accept: true,
                prediction: Some(Prediction::from_percent(LIKELY, SoonTerms::DEFAULT)),
                ..decide_with(&QueueState::default(), &POLICY, Held::default(), now)
            },
            counts_on: Some(agent.clone()),
        };
        let holds = self.reservations.queue(&key("sales"));
        let Reserved::Made(made, _) = holds.reserve(call, TTL, now, |_| soon) else {
            panic!("the decision accepts");
        };
        self.reservations.keep(&key("sales"), &made).await;
    }
}

#[tokio::test]
async fn a_seat_that_counts_on_a_wrap_up_still_does_after_a_restart() {
    let disk = Disk::new();
    let first = disk.process();
    let (now, ann) = (disk.clock.now(), AgentId("ann".into()));
    first.count_on(&ann, "soon").await;
    first.reserve("seat").await;
    first.stop();
    let second = disk.process();
    let (holds, other) = (
        second.reservations.queue(&key("sales")),
        second.reservations.queue(&key("support")),
    );
    let held = holds.held(now);
    assert_eq!((held.all, held.bets), (2, 1));
    let kept = &holds.list(now)[0];
    assert_eq!(
        kept.prediction.map(Prediction::figures),
        Some((LIKELY, 2.0 / 3.0))
    );
    assert_eq!(kept.counts_on.as_ref(), Some(&ann));
    assert!(other.bets().is_taken_elsewhere(&ann, now));
    // Its agent goes straight onto the call.
    let queues = [key("sales")];
    let ended = (second.reservations).took_call(&ann, &queues, now.boot, now);
    assert!(ended.is_some());
    assert_eq!(second.calls(), ["seat"]);
    assert!(!other.bets().is_taken_elsewhere(&ann, now));
}

#[tokio::test]
async fn a_seat_that_was_handed_another_agent_counts_on_that_one_after_a_restart() {
    let disk = Disk::new();
    let first = disk.process();
    let [ann, bob] = ["ann", "bob"].map(|agent| AgentId(agent.into()));
    first.count_on(&ann, "earlier").await;
    disk.clock.pass(Duration::from_secs(1));
    first.count_on(&bob, "later").await;
    let (now, queues) = (disk.clock.now(), [key("sales")]);
    let ended = (first.reservations).took_call(&bob, &queues, now.boot, now);
    assert!(ended.is_some());
    first.stop();
    let second = disk.process();
    let held = second.reservations.list(now);
    let calls = held.iter().map(|(_, one)| (&*one.call_id, &one.counts_on));
    assert_eq!(calls.collect::<Vec<_>>(), [("later", &Some(ann))]);
}

#[tokio::test]
async fn a_seat_whose_agent_has_another_call_counts_on_nobody_after_a_restart() {
    let disk = Disk::new();
    let first = disk.process();
    let ann = AgentId("ann".into());
    first.count_on(&ann, "call").await;
    let now = disk.clock.now();
    assert!(first.reservations.let_go("main", &ann, now.boot));
    first.stop();
    let second = disk.process();
    let held = second.reservations.list(now);
    let calls = held.iter().map(|(_, one)| (&*one.call_id, &one.counts_on));
    assert_eq!(calls.collect::<Vec<_>>(), [("call", &None)]);
}
