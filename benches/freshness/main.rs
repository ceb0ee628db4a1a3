//! How often are answers wrong? The real schedule, budget, board and decisions against the simulator in virtual time, beside two other ways
//! to spend the same budget in the same world.
//!
//! `cargo bench --bench freshness` prints a table, writes it into `docs/freshness.md` between two marks, and draws `docs/freshness.svg`.
//! `cargo bench --bench freshness -- 20x60` prints the rows of one size; `-- --test` lives through a few minutes of the smallest account, to see that it works.
//!
//! *Wrong* means that the answer served differs from the truth at that instant: somebody is available and logged in, or nobody is. Questions come at
//! random, more for popular queues. The first hour is not counted: the cold start has to be paid back in it.

mod life;
mod report;

use std::time::Duration;

use life::{Policy, Score, Size};

/// Queues, agents, and questions an hour.
const SIZES: [Size; 8] = [
    Size {
        queues: 5,
        agents: 25,
        questions: 600,
    },
    Size {
        queues: 20,
        agents: 60,
        questions: 3_000,
    },
    Size {
        queues: 20,
        agents: 200,
        questions: 6_000,
    },
    Size {
        queues: 50,
        agents: 200,
        questions: 8_000,
    },
    Size {
        queues: 50,
        agents: 500,
        questions: 12_000,
    },
    Size {
        queues: 100,
        agents: 500,
        questions: 12_000,
    },
    Size {
        queues: 100,
        agents: 2_000,
        questions: 20_000,
    },
    Size {
        queues: 300,
        agents: 10_000,
        questions: 60_000,
    },
];

/// Different worlds of the same size: their scores are added up.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

const WARM_UP: Duration = Duration::from_secs(3_600);
const MEASURED: Duration = Duration::from_secs(2 * 3_600);

fn main() {
    // Tells `cargo bench` and `cargo test --benches` apart, as criterion does.
    let trial = std::env::args().any(|argument| argument == "--test")
        || !std::env::args().any(|argument| argument == "--bench");
    if trial {
        let minutes = Duration::from_secs(300);
        for policy in Policy::ALL {
            let score = life::live(SIZES[0], policy, 1, minutes, minutes);
            assert!(
                score.questions > 0 && score.worst_hour <= 1000,
                "{policy:?}: {score:?}"
            );
        }
        return;
    }
    let only = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let mut rows = Vec::new();
    for size in SIZES
        .into_iter()
        .filter(|size| only.as_ref().is_none_or(|only| *only == size.to_string()))
    {
        for policy in Policy::ALL {
            let scores = SEEDS.map(|seed| life::live(size, policy, seed, WARM_UP, MEASURED));
            let score = scores.reduce(Score::plus).expect("there is a seed");
            report::print_row(size, policy, &score);
            rows.push((size, policy, score));
        }
    }
    if only.is_none() {
        report::write(&rows);
    }
}
