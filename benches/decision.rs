//! What it costs to answer one router: find the queue on a board of 1,000, read its state, decide.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use openseat::{
    clock::Moment,
    decision::{
        OnUnknown, Policy,
        board::{Board, QueueKey},
        criteria::{Comparison, Measured, Verdict},
        decide,
        snapshot::Snapshot,
    },
    model::quantity::Quantity,
};

const QUEUES: u32 = 1_000;

const POLLED: Moment = Moment {
    boot: Duration::from_secs(86_400),
    wall: Duration::from_secs(1_795_341_600),
};

fn snapshot(seats: u32) -> Snapshot {
    Snapshot {
        as_of: POLLED,
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

fn board() -> Board {
    let keys: Vec<_> = (0..QUEUES)
        .map(|number| QueueKey::new("main", format!("queue-{number}")))
        .collect();
    let board = Board::new(keys.clone());
    for (number, key) in (0..).zip(&keys) {
        board.identify(key, 5_000 + u64::from(number), None);
        board.publish(key, snapshot(number % 7), POLLED);
    }
    board
}

fn decision(bench: &mut Criterion) {
    let board = board();
    let policy = Policy {
        threshold: Some(Quantity::ZERO),
        max_age: Some(Duration::from_secs(90)),
        on_unknown: OnUnknown::Reject,
        hours: None,
    };
    let now = POLLED.later(Duration::from_secs(12));
    let names: Vec<_> = (0..QUEUES)
        .map(|number| format!("queue-{number}"))
        .collect();
    // One queue after the other, so that no answer is warm from the one before.
    let mut asked = names.iter().cycle();
    bench.bench_function("decision/1000 queues", |bench| {
        bench.iter(|| {
            let name = asked.next().expect("a cycle never ends");
            let key = board.find(None, black_box(name)).expect("configured");
            let state = board.get(&key).expect("configured");
            decide(&state, &policy, 0, now)
        });
    });
}

criterion_group!(benches, decision);
criterion_main!(benches);
