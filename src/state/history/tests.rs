//! From the board and the counters to what a reader sees.

use std::{fs, path::PathBuf, thread};

use jiff::{Timestamp, ToSpan};

use super::{record::Watch, *};
use crate::{
    clock::{Moment, steady},
    decision::{
        OnUnknown, Policy,
        board::{Board, QueueKey},
        decide,
    },
    fixtures::{Still, agent, available, snapshot},
    metrics::Metrics,
    model::{agent::Agent, quantity::Quantity},
    sqlite::used_bytes,
};

const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(20);
const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    asks_threshold: false,
    max_age: Some(Duration::from_secs(60)),
    on_unknown: OnUnknown::Reject,
    hours: None,
};

struct Fixture {
    folder: tempfile::TempDir,
    clock: Arc<Still>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    watch: Watch,
    recorder: Recorder,
}

fn key(n: usize) -> QueueKey {
    QueueKey::new("main", format!("queue-{n}"))
}

impl Fixture {
    fn new(queues: usize) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(Still::new()));
        let board = Arc::new(Board::new((0..queues).map(key)));
        let metrics = Arc::new(Metrics::new((0..queues).map(key), clock.now()));
        let watched = Watched::new(&board, &metrics);
        let path = folder.path().join("history.sqlite3");
        Self {
            watch: Watch::new(watched, clock.now()),
            recorder: Recorder::start(&path, 7, Arc::clone(&clock) as Arc<dyn Clock>).unwrap(),
            folder,
            clock,
            board,
            metrics,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("history.sqlite3")
    }

    fn polled(&self, n: usize, agents: Vec<Agent>) {
        let now = self.clock.now();
        self.board.publish(&key(n), snapshot(now, agents), now);
    }

    fn swept(&self, n: usize, agents: Vec<Agent>) {
        let members_as_of = self
            .board
            .get(&key(n))
            .unwrap()
            .snapshot
            .as_ref()
            .unwrap()
            .members_as_of;
        let renewed = crate::decision::snapshot::Snapshot {
            members_as_of,
            ..snapshot(self.clock.now(), agents)
        };
        self.board.renew(&key(n), renewed);
    }

    fn asked(&self, n: usize, times: usize) {
        let state = self.board.get(&key(n)).unwrap();
        let decision = decide(&state, &POLICY, 0, self.clock.now());
        for _ in 0..times {
            let meters = self.metrics.queue(&key(n)).unwrap();
            self.metrics.decision(&meters, &decision, Duration::ZERO);
        }
    }

    /// Looks, and returns how much there was to write.
    fn look(&mut self) -> usize {
        let notes = self.watch.look(self.clock.now(), false);
        let count = notes.len();
        if count > 0 {
            self.recorder.writer.send(notes);
        }
        count
    }

    fn history(&mut self) -> History {
        let last = self.watch.look(self.clock.now(), true);
        self.recorder.writer.send(last);
        self.recorder.finish(TIMEOUT);
        assert!(!self.recorder.condition().is_degraded());
        History::new(&self.path())
    }
}

fn at(start: Moment, seconds: i64) -> Timestamp {
    start.timestamp() + seconds.seconds()
}

#[test]
fn seats_and_agents_are_seen_over_time() {
    let mut fixture = Fixture::new(1);
    let start = fixture.clock.now();
    fixture.polled(0, available(4));
    fixture.look();
    fixture.clock.pass(SECOND * 30);
    fixture.swept(
        0,
        [available(1), vec![agent("b", "B", "On a Call")]].concat(),
    );
    fixture.look();
    fixture.clock.pass(SECOND * 30);
    let history = fixture.history();
    let range = Range::new(at(start, -60), at(start, 60), SECOND * 60).unwrap();
    let buckets = history.series(&key(0), range).unwrap();
    assert_eq!(buckets.len(), 2);
    assert_eq!(
        buckets[0],
        Bucket {
            from: at(start, -60),
            ..Bucket::default()
        },
        "nothing is known"
    );
    assert_eq!(buckets[1].seats, Some([1.0, 2.5, 4.0]));
    assert_eq!(buckets[1].known, SECOND * 60);
    let agents: Vec<_> = buckets[1]
        .agents
        .iter()
        .map(|(name, mean)| (&**name, *mean))
        .collect();
    assert_eq!(agents, [("Available", 2.5), ("On a Call", 0.5)]);
    let changes = history.changes(&key(0), 10).unwrap();
    let changes: Vec<_> = changes
        .iter()
        .map(|change| (change.at, change.seats))
        .collect();
    assert_eq!(
        changes,
        [(at(start, 30), Some(1.0)), (at(start, 0), Some(4.0))]
    );
    let samples = history
        .samples(&key(0), at(start, 0), at(start, 60))
        .unwrap();
    assert_eq!(samples.len(), 2, "another threshold is compared with these");
    let rows = history.rows(&key(0), at(start, 0), at(start, 60)).unwrap();
    assert_eq!(rows[0].at, at(start, 0));
    assert_eq!(rows[0].rows[3].get(), available(4)[3].raw.json().get());
    assert_eq!(
        rows.len(),
        1,
        "rows are long, so they are recorded every five minutes"
    );
}

#[test]
fn what_a_restart_restores_is_not_recorded_as_current() {
    for (age, known) in [(9 * 3_600, 0), (240, 360)] {
        let mut fixture = Fixture::new(1);
        let start = fixture.clock.now();
        let then = start.earlier(SECOND * age);
        let stored = snapshot(then, available(12));
        fixture.board.restore(&key(0), stored, then);
        fixture.look();
        fixture.clock.pass(SECOND * 900);
        let history = fixture.history();
        let range = Range::new(at(start, 0), at(start, 900), SECOND * 900).unwrap();
        let bucket = &history.series(&key(0), range).unwrap()[0];
        assert_eq!(bucket.known, SECOND * known, "{age} s old");
        assert_eq!(bucket.seats.is_some(), known > 0);
        let there = history.attendance(&key(0), range).unwrap();
        let rows = history.rows(&key(0), at(start, 0), at(start, 900)).unwrap();
        assert_eq!(there.agents.is_empty(), known == 0, "{age} s old");
        assert_eq!(rows.is_empty(), known == 0, "{age} s old");
    }
}

#[test]
fn seats_are_known_until_they_are_too_old_for_a_decision() {
    let mut fixture = Fixture::new(3);
    let start = fixture.clock.now();
    fixture.board.plan(&key(0), SECOND * 60, SECOND * 1_800);
    fixture.board.plan(&key(1), SECOND * 60, SECOND * 1_800);
    fixture.board.set_max_age(&key(1), Some(SECOND * 150));
    fixture.board.plan(&key(2), SECOND * 900, SECOND * 1_800);
    (0..3).for_each(|n| fixture.polled(n, available(2)));
    for _ in 0..48 {
        fixture.look();
        fixture.clock.pass(SECOND * 5);
    }
    fixture.polled(0, available(2));
    fixture.look();
    // It may be older from now on, so its seats are known again.
    fixture.board.set_max_age(&key(1), Some(SECOND * 900));
    fixture.look();
    fixture.clock.pass(SECOND * 60);
    let history = fixture.history();
    let range = Range::new(at(start, 0), at(start, 300), SECOND * 60).unwrap();
    for (n, known) in [[60, 0, 0, 0, 60], [60, 60, 30, 0, 60], [60; 5]]
        .into_iter()
        .enumerate()
    {
        for (bucket, known) in history.series(&key(n), range).unwrap().iter().zip(known) {
            assert_eq!(bucket.known, SECOND * known, "{n}: {}", bucket.from);
            assert_eq!(bucket.seats, (known > 0).then_some([2.0; 3]));
            let agents: Vec<_> = bucket.agents.values().copied().collect();
            let there: &[f64] = if known > 0 { &[2.0] } else { &[] };
            assert_eq!(agents, there, "means cover only the time that is known");
        }
    }
    let changes = history.changes(&key(0), 9).unwrap();
    let changes = changes.iter().map(|change| (change.at, change.seats));
    assert_eq!(
        changes.collect::<Vec<_>>(),
        [(240, Some(2.0)), (60, None), (0, Some(2.0))].map(|(s, seats)| (at(start, s), seats))
    );
}

#[test]
fn decisions_are_counted_by_the_minute_and_counting_costs_them_nothing() {
    let mut fixture = Fixture::new(2);
    let start = fixture.clock.now();
    fixture.asked(0, 3);
    fixture.polled(0, available(1));
    fixture.clock.pass(SECOND * 5);
    assert_eq!(
        fixture.look(),
        3,
        "a sample, rows and attendance; the minute is not over"
    );
    fixture.asked(0, 2);
    fixture.clock.pass(SECOND * 60);
    assert_eq!(fixture.look(), 2, "two kinds of decisions");
    fixture.asked(0, 1);
    fixture.asked(1, 1);
    let history = fixture.history();
    let decisions = |bucket| {
        let range = Range::new(at(start, -120), at(start, 120), bucket).unwrap();
        let decided = history.decisions(&key(0), range).unwrap();
        let lines = decided
            .iter()
            .map(|it| format!("{} {} {}", it.result, it.reason, it.count));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        decisions(SECOND * 60),
        [
            "accept seats 2",
            "reject never_polled 3",
            "reject too_old 1"
        ]
    );
    assert_eq!(decisions(SECOND * 240).len(), 3);
}

#[test]
fn a_constant_state_is_recorded_rarely_and_a_changing_one_at_a_bounded_rate() {
    let mut fixture = Fixture::new(1);
    fixture.polled(0, available(1));
    let mut written = 0;
    for n in 0..720 {
        let busy = if n < 360 { 1 } else { n };
        fixture.swept(0, available(busy % 5));
        written += fixture.look();
        fixture.clock.pass(SECOND * 5);
    }
    // Samples: half an hour without changes has one at the start and one every 5 min; half an hour of changes has one every 15 s. Rows come
    // every 5 min, attendance every 5 min and then every minute.
    assert!(
        (120 + 6 + 11 + 30 + 5..120 + 8 + 15 + 31 + 8).contains(&written),
        "{written}"
    );
}

#[test]
fn a_new_config_records_what_is_new_and_nothing_again() {
    let mut fixture = Fixture::new(2);
    (0..2).for_each(|n| fixture.polled(n, available(1)));
    assert_eq!(fixture.look(), 6, "a sample, rows and attendance of both");
    fixture.asked(0, 2);
    fixture.asked(1, 3);
    fixture.clock.pass(SECOND * 5);
    let keys = || [key(1), key(2)];
    fixture.board.set_queues(keys());
    assert_eq!(
        fixture.look(),
        0,
        "the counters do not have the new queue yet"
    );
    fixture.metrics.count_for(keys());
    fixture.board.retire_stale(&[]);
    fixture.board.drop_retired();
    fixture.polled(2, available(1));
    fixture.asked(2, 4);
    assert_eq!(
        fixture.look(),
        2 + 3,
        "what was decided until now, and the new queue"
    );
    fixture.asked(1, 5);
    let history = fixture.history();
    let start = fixture.clock.now();
    let range = Range::new(at(start, -120), at(start, 120), SECOND * 240).unwrap();
    let decided = |n| {
        let decided = history.decisions(&key(n), range).unwrap();
        decided.iter().map(|kind| kind.count).sum::<u64>()
    };
    assert_eq!([0, 1, 2].map(decided), [2, 8, 4]);
}

#[test]
fn rows_that_no_queue_has_any_more_are_freed() {
    let mut fixture = Fixture::new(1_000);
    fixture.polled(0, available(3));
    fixture.look();
    let shown = fixture.board.snapshot(&key(0)).unwrap();
    let rows: Vec<_> = shown.agents.iter().map(Arc::downgrade).collect();
    drop(shown);
    fixture.polled(0, available(3));
    fixture.clock.pass(SECOND * 5);
    // With this many queues, this one's next record is minutes away.
    assert_eq!(fixture.look(), 0);
    // What is being written may hold them a moment longer.
    fixture.recorder.finish(TIMEOUT);
    assert!(rows.iter().all(|row| row.strong_count() == 0));
}

#[test]
fn a_thousand_queues_share_one_rate() {
    let mut fixture = Fixture::new(1_000);
    (0..1_000).for_each(|n| fixture.polled(n, available(1)));
    // All queues are written at once, except for their rows, which take most of the work.
    assert_eq!(fixture.look(), 2_100);
    let mut written = 0;
    for n in 0..120 {
        fixture.clock.pass(SECOND * 5);
        (0..1_000).for_each(|queue| fixture.swept(queue, available(n % 3)));
        written += fixture.watch.look(fixture.clock.now(), false).len();
    }
    assert!(written <= (4 + 2) * 600 + 1_000, "{written} in ten minutes");
}

#[test]
fn old_days_are_removed_if_the_clock_can_be_trusted() {
    let mut fixture = Fixture::new(1);
    let start = fixture.clock.now();
    for _ in 0..9 {
        fixture.polled(0, available(50));
        fixture.look();
        fixture.clock.pass(Duration::from_secs(86_400));
    }
    let history = fixture.history();
    let now = fixture.clock.now();
    let samples = |history: &History| {
        let samples = history.samples(&key(0), start.timestamp(), now.timestamp());
        samples.unwrap().len()
    };
    assert!(samples(&history) >= 7);
    let mut file = rusqlite::Connection::open(fixture.path()).unwrap();
    let days = |n| Duration::from_secs(86_400) * n;
    let old = start.timestamp().as_millisecond() + 1;
    let sql = "INSERT INTO sample VALUES (1, ?1, ?1, 1, '{}')";
    file.execute(sql, [old]).unwrap();
    trim::trim(&mut file, None, days(7), MAX_BYTES).unwrap();
    assert!(samples(&history) > 7, "the clock cannot be trusted");
    trim::trim(&mut file, Some(now), days(7), MAX_BYTES).unwrap();
    assert_eq!(samples(&history), 7);
    let rows = history
        .rows(&key(0), start.timestamp(), now.timestamp())
        .unwrap();
    assert_eq!(rows.len(), 1, "rows live for a day");
    trim::trim(&mut file, None, days(7), 0).unwrap();
    assert_eq!(samples(&history), 0, "the size counts at once");
}

/// How many samples the file has.
fn samples_in(path: &Path) -> i64 {
    let file = rusqlite::Connection::open(path).unwrap();
    let count = file.query_row("SELECT count(*) FROM sample", [], |row| row.get(0));
    count.unwrap()
}

#[test]
fn a_file_that_is_too_large_loses_its_oldest_days_first() {
    let mut fixture = Fixture::new(1);
    fixture.polled(0, available(3));
    fixture.look();
    fixture.clock.pass(Duration::from_secs(2 * 86_400));
    fixture.polled(0, available(2));
    fixture.look();
    fixture.history();
    let mut file = rusqlite::Connection::open(fixture.path()).unwrap();
    let largest = used_bytes(&file).unwrap() + 100_000;
    let old = at(fixture.clock.now(), -86_401 * 2).as_millisecond();
    let sql = "INSERT INTO polled VALUES (1, ?1, zeroblob(1000000))";
    file.execute(sql, [old]).unwrap();
    trim::trim(&mut file, None, Duration::from_secs(7 * 86_400), largest).unwrap();
    assert_eq!(samples_in(&fixture.path()), 1);
}

#[test]
fn samples_of_the_future_stay_while_there_is_room_and_hide_no_others() {
    let mut fixture = Fixture::new(1);
    fixture.polled(0, available(3));
    fixture.look();
    let (history, now) = (fixture.history(), fixture.clock.now());
    let mut file = rusqlite::Connection::open(fixture.path()).unwrap();
    let largest = used_bytes(&file).unwrap() + 100_000;
    let ahead = at(now, 1_000_000).as_millisecond();
    for sql in [
        "INSERT INTO sample VALUES (1, ?1, ?1, 99, '{}')",
        "INSERT INTO polled VALUES (1, ?1, zeroblob(1000000))",
    ] {
        file.execute(sql, [ahead]).unwrap();
    }
    let week = Duration::from_secs(7 * 86_400);
    trim::trim(&mut file, Some(now), week, MAX_BYTES).unwrap();
    assert_eq!(samples_in(&fixture.path()), 2);
    let limit = Limit::new(fixture.clock.clone(), TIMEOUT, Default::default());
    let changes = history.within(limit).changes(&key(0), 1).unwrap();
    assert_eq!(changes[0].at, at(now, 0));
    trim::trim(&mut file, Some(now), week, largest).unwrap();
    assert_eq!(samples_in(&fixture.path()), 1);
    let changes = history.changes(&key(0), 1).unwrap();
    assert_eq!(changes[0].at, at(now, 0), "those of the future went first");
}

#[test]
fn few_samples_are_read_for_the_last_changes() {
    let mut fixture = Fixture::new(1);
    fixture.polled(0, available(9));
    fixture.look();
    let (history, start) = (fixture.history(), fixture.clock.now());
    let file = rusqlite::Connection::open(fixture.path()).unwrap();
    // Six thousand samples with one seat, and then two.
    let sql = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n <= 6000)
               INSERT INTO sample SELECT 1, ?1 + n, ?1 + n, iif(n <= 6000, 1, 2), '{}' FROM n";
    file.execute(sql, [start.timestamp().as_millisecond()])
        .unwrap();
    let seats = |history: &History| {
        let changes = history.changes(&key(0), 10).unwrap().into_iter();
        changes.map(|change| change.seats).collect::<Vec<_>>()
    };
    assert_eq!(seats(&history), [Some(2.0)], "nobody knows the one before");
    // A page shows the changes that were found in time.
    let limit = |time| Limit::new(fixture.clock.clone(), time, Default::default());
    assert_eq!(seats(&history.within(limit(Duration::ZERO))), []);
    assert_eq!(history.changes(&key(0), 1).unwrap().len(), 1);
}

#[test]
fn a_wrong_clock_removes_nothing() {
    let days = |n| Duration::from_secs(86_400) * n;
    let mut fixture = Fixture::new(1);
    fixture.polled(0, available(3));
    fixture.look();
    fixture.history();
    let (path, clock) = (fixture.path(), Arc::clone(&fixture.clock));
    // A process that writes something after this time. Returns how many samples it leaves.
    let left_after = |time| {
        let recorder = Recorder::start(&path, 7, clock.clone()).unwrap();
        clock.pass(time);
        recorder.writer.send(vec![Note::Decided {
            key: key(0),
            minute_ms: 0,
            result: "accept",
            reason: "seats",
            count: 1,
        }]);
        recorder.finish(TIMEOUT);
        samples_in(&path)
    };
    clock.step_wall_back(days(30));
    assert_eq!(left_after(Duration::ZERO), 1);
    assert_eq!(left_after(SECOND * 3_600), 1, "nobody corrects the clock");
    clock.pass(days(60));
    assert_eq!(left_after(Duration::ZERO), 1, "far ahead");
    // Nobody has set it for an hour, so it is taken for right.
    assert_eq!(left_after(SECOND * 3_600), 0);
}

#[test]
fn attendance_is_recorded_by_the_minute_and_removed_after_a_week() {
    let mut fixture = Fixture::new(1);
    let start = fixture.clock.now();
    let away = || Agent {
        queue_logged_in: false,
        ..agent("c", "Cy", "Available")
    };
    let calling = || Agent {
        on_call: true,
        ..agent("b", "Bob", "Available")
    };
    fixture.polled(0, vec![agent("a", "Ann", "Available"), calling(), away()]);
    fixture.look();
    fixture.clock.pass(SECOND * 90);
    fixture.swept(0, vec![agent("a", "Ann", "Lunch"), calling(), away()]);
    fixture.look();
    // Nothing arrives for an hour: the last data counts for ten minutes.
    fixture.clock.pass(SECOND * 3_600);
    fixture.polled(0, vec![agent("a", "Anne", "Available")]);
    fixture.look();
    let history = fixture.history();
    let range = Range::new(at(start, -60), at(start, 3_840), SECOND * 60).unwrap();
    let mut seen = history.attendance(&key(0), range).unwrap();
    seen.agents.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<_> = seen.agents.iter().map(|agent| &*agent.name).collect();
    assert_eq!(
        names,
        ["Anne", "Bob"],
        "the newest name; Cy was never there"
    );
    let minutes = |n: usize| {
        seen.agents[n]
            .parts
            .iter()
            .map(|ms| ms.map(|ms| ms / 1_000))
    };
    let anne: Vec<_> = minutes(0).take(4).collect();
    assert_eq!(anne, [[0, 0, 0], [60, 0, 0], [30, 0, 30], [0, 0, 60]]);
    let sum = |n, kind: usize| minutes(n).map(|seconds| seconds[kind]).sum::<i64>();
    assert_eq!([sum(0, 0), sum(0, 2)], [90 + 150, 600]);
    assert_eq!([sum(1, 0), sum(1, 1), sum(1, 2)], [0, 690, 0]);
    let known: i64 = seen.known_ms.iter().sum();
    assert_eq!(known, (690 + 150) * 1_000);
    assert_eq!(seen.agents[1].first_ms, at(start, 0).as_millisecond());
    assert_eq!(seen.agents[1].last_ms, at(start, 690).as_millisecond());

    let mut file = rusqlite::Connection::open(fixture.path()).unwrap();
    let days = |n| Duration::from_secs(86_400) * n;
    let count = |file: &rusqlite::Connection, table| -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        file.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    fixture.clock.pass(days(7) - SECOND * 1_800);
    trim::trim(&mut file, Some(fixture.clock.now()), days(400), MAX_BYTES).unwrap();
    assert_eq!((count(&file, "present"), count(&file, "agent")), (1, 2));
    fixture.clock.pass(days(1) + SECOND * 3_600);
    trim::trim(&mut file, Some(fixture.clock.now()), days(400), MAX_BYTES).unwrap();
    assert_eq!((count(&file, "present"), count(&file, "agent")), (0, 0));
}

#[test]
fn invalid_ranges_are_rejected() {
    let now = Still::new().now();
    for (from, to, bucket) in [
        (0, 0, 60),
        (10, 0, 60),
        (0, 100, 0),
        (0, 10_000, 1),
        (0, 3_600, 1),
    ] {
        let range = Range::new(at(now, from), at(now, to), SECOND * bucket);
        assert!(
            matches!(range, Err(HistoryError::Range)),
            "{from} {to} {bucket}"
        );
    }
    let nobody = QueueKey::new("main", "nobody");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite3");
    let history = History::new(&path);
    let is_not_there = || matches!(history.changes(&nobody, 3), Err(HistoryError::NotYet));
    assert!(is_not_there(), "there is no file");
    rusqlite::Connection::open(&path)
        .and_then(|file| file.pragma_update(None, "journal_mode", "wal"))
        .unwrap();
    assert!(is_not_there(), "its tables do not exist yet");
    let mut fixture = Fixture::new(1);
    fixture.polled(0, available(1));
    let history = fixture.history();
    assert_eq!(history.changes(&nobody, 3).unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn the_task_writes_the_last_minute_when_it_stops() {
    let fixture = Fixture::new(1);
    fixture.polled(0, available(2));
    let watched = Watched::new(&fixture.board, &fixture.metrics);
    let (recorder, stop) = (
        Arc::new(fixture.recorder),
        tokio_util::sync::CancellationToken::new(),
    );
    let task = tokio::spawn(Arc::clone(&recorder).watch(watched, stop.clone()));
    tokio::time::sleep(SECOND * 7).await;
    let decision = decide(
        &fixture.board.get(&key(0)).unwrap(),
        &POLICY,
        0,
        fixture.clock.now(),
    );
    fixture.metrics.decision(
        &fixture.metrics.queue(&key(0)).unwrap(),
        &decision,
        Duration::ZERO,
    );
    stop.cancel();
    task.await.unwrap();
    recorder.finish(TIMEOUT);
    let history = History::new(&fixture.folder.path().join("history.sqlite3"));
    let now = fixture.clock.now();
    let range = Range::new(at(now, -120), at(now, 120), SECOND * 240).unwrap();
    assert_eq!(history.decisions(&key(0), range).unwrap()[0].count, 1);
    assert_eq!(history.changes(&key(0), 5).unwrap().len(), 1);
}

#[test]
fn a_file_that_can_be_used_again_shows_without_a_new_entry() {
    let mut fixture = Fixture::new(1);
    fs::create_dir(fixture.path()).unwrap();
    fixture.polled(0, available(1));
    assert!(fixture.look() > 0);
    let condition = fixture.recorder.condition();
    let until = |is_degraded| {
        let begun = steady();
        while condition.is_degraded() != is_degraded {
            assert!(steady() - begun < TIMEOUT, "not {is_degraded}");
            thread::sleep(Duration::from_millis(5));
        }
    };
    until(true);
    fs::remove_dir(fixture.path()).unwrap();
    until(false);
}
