//! What one answer costs: finding the queue on a board of 1,000, reading its state, and deciding. Also what recording the answer about a call
//! costs, measured over all threads, because another thread writes the record.

use std::{hint::black_box, sync::Arc, thread, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use openseat::{
    clock::{Moment, SystemClock},
    decision::{
        Choice, Decision, OnUnknown, Policy,
        board::{Board, QueueKey, QueueState},
        criteria::{Comparison, Measured, Verdict},
        decide, decide_with,
        reservations::{Holds, Reservations},
        snapshot::Snapshot,
        soon::{outlook::Outlook, rule::Terms},
    },
    model::{
        agent::{Agent, AgentId},
        quantity::Quantity,
    },
    state::calls::{Answer, CallLog, Keeping, MAX_BYTES, What},
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::value::RawValue;

const QUEUES: u32 = 1_000;

const POLICY: Policy = Policy {
    threshold: Some(Quantity::ZERO),
    asks_threshold: false,
    max_age: Some(Duration::from_secs(90)),
    on_unknown: OnUnknown::Reject,
    hours: None,
};

/// Agents of a large queue without a free seat.
const MEMBERS: usize = 500;

const POLLED: Moment = Moment {
    boot: Duration::from_secs(86_400),
    wall: Duration::from_secs(1_795_341_600),
};

fn snapshot(seats: u32) -> Snapshot {
    Snapshot {
        threshold: None,
        outlook: None,
        as_of: POLLED,
        rows_as_of: POLLED,
        members_as_of: POLLED,
        took: Duration::from_millis(300),
        complete: true,
        agents: Vec::new().into(),
        measured: Ok(Measured {
            count: Quantity::from(seats),
            verdict: Verdict::Compare(Comparison::GreaterThan),
        }),
    }
}

fn board(snapshot: impl Fn(u32) -> Snapshot) -> Board {
    let keys: Vec<_> = (0..QUEUES)
        .map(|number| QueueKey::new("main", format!("queue-{number}")))
        .collect();
    let board = Board::new(keys.clone());
    for (number, key) in (0..).zip(&keys) {
        board.identify(key, 5_000 + u64::from(number), None);
        board.publish(key, snapshot(number), POLLED);
    }
    board
}

/// Decides about one queue after another, so that no decision finds its data in the processor's cache. These seats are held in each of them.
fn decide_all(bench: &mut Criterion, name: &str, board: &Board, holds: &Holds) {
    let now = POLLED.later(Duration::from_secs(12));
    let names: Vec<_> = (0..QUEUES)
        .map(|number| format!("queue-{number}"))
        .collect();
    let mut asked = names.iter().cycle();
    bench.bench_function(name, |bench| {
        bench.iter(|| {
            let name = asked.next().expect("a cycle never ends");
            let key = board
                .find(None, black_box(name), |_| true)
                .expect("configured");
            let state = board.get(&key).expect("configured");
            decide_with(&state, &POLICY, holds.held(now), now)
        });
    });
}

fn decision(bench: &mut Criterion) {
    let board = board(|number| snapshot(number % 7));
    decide_all(bench, "decision/1000 queues", &board, &Holds::default());
}

/// The answers that a busy router gets in a second, and a pause in which they are written.
const A_SECOND: usize = 20_000;
const REST: Duration = Duration::from_millis(400);

/// The processor time of all threads.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Records this many answers about calls, and returns the processor time from the first one until all are in the file.
fn record(times: u64, ids: &[String]) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("calls.sqlite3");
    let keeping = Keeping {
        path: &path,
        keep: Duration::from_secs(7 * 86_400),
        largest: MAX_BYTES,
    };
    let log = CallLog::start(Some(keeping), Arc::new(SystemClock::new())).expect("a thread");
    let (queue, state) = (QueueKey::new("main", "sales-queue"), snapshot(3));
    let decision = decide(
        &QueueState {
            snapshot: Some(Arc::new(state)),
            planned_members_max_age: Duration::from_secs(3_600),
            ..QueueState::default()
        },
        &POLICY,
        0,
        POLLED,
    );
    let begun = processor_time();
    for n in 0..times as usize {
        if n > 0 && n.is_multiple_of(A_SECOND) {
            thread::sleep(REST);
        }
        let what = What::Answered(Answer::new(&decision));
        log.record(POLLED, &queue, ids[n % ids.len()].as_str().into(), what);
    }
    assert!(
        log.finish(Duration::from_secs(60)),
        "the record was not written in time"
    );
    let used = processor_time() - begun;
    assert_eq!(log.lost(), 0, "lost answers would make the result too low");
    used
}

fn recording(bench: &mut Criterion) {
    let id = |_| format!("{:032x}", fastrand::u128(..));
    let ids: Vec<_> = (0..A_SECOND).map(id).collect();
    let mut group = bench.benchmark_group("record");
    group.sample_size(10);
    group.bench_function("an answer about a call", |bench| {
        bench.iter_custom(|times| record(times, &ids));
    });
}

/// Somebody in wrap-up.
fn agent(number: usize) -> Agent {
    Agent {
        id: AgentId(number.to_string().into()),
        name: "".into(),
        status: Some("Wrap-up".into()),
        available: Some(false),
        queue_logged_in: true,
        logged_in: true,
        on_call: false,
        ready: None,
        status_since: None,
        raw: RawValue::NULL.to_owned().into(),
    }
}

/// Queues without a free seat, with `soon` off, rejecting and accepting; and queues with a free seat, where `soon` does not apply. The
/// chances of each agent were computed when the snapshot was published. Beside them, a call of another queue counts on an agent.
fn with_soon(bench: &mut Criterion) {
    let outlook = |chance: f64| {
        let chances = move |_| vec![chance; MEMBERS];
        let agents = (0..Outlook::MAX_EXPECTED).map(|number| agent(number).into());
        let agents: Vec<_> = agents.collect();
        let likeliest = (0..agents.len()).map(|place| (place, None));
        let outlook = Outlook::new(Terms::DEFAULT, 1.0, POLLED, chances);
        Some(outlook.naming(&agents, likeliest))
    };
    let reservations = Reservations::new();
    let [alone, here, there] = ["second/a", "main/a", "main/b"].map(|name| {
        let (account, queue) = name.split_once('/').expect("account/queue");
        reservations.queue(&QueueKey::new(account, queue))
    });
    let on_its_way = Choice {
        decision: Decision {
            accept: true,
            ..decide(&QueueState::default(), &POLICY, 0, POLLED)
        },
        counts_on: Some(AgentId("0".into())),
    };
    there.reserve("call", Duration::from_secs(600), POLLED, |_| on_its_way);
    for (name, seats, chance, holds) in [
        ("at zero seats/without soon", 0, None, &alone),
        ("at zero seats/soon rejects", 0, Some(0.0001), &alone),
        ("at zero seats/soon accepts", 0, Some(0.1), &alone),
        ("at zero seats/soon accepts beside", 0, Some(0.1), &here),
        ("with a seat/without soon", 1, None, &alone),
        ("with a seat/soon", 1, Some(0.1), &alone),
        ("with a seat/soon beside", 1, Some(0.1), &here),
    ] {
        // Each queue has its own, as in an account: a shared one would stay in the processor's cache.
        let board = board(|_| Snapshot {
            outlook: chance.and_then(&outlook),
            ..snapshot(seats)
        });
        decide_all(bench, name, &board, holds);
    }
}

criterion_group!(benches, decision, with_soon, recording);
criterion_main!(benches);
