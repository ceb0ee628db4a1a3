//! How often are answers wrong? The real schedule, budget, board and decisions run with the simulator in virtual time. Two other ways to spend
//! the same budget run in the same world.
//!
//! `cargo bench --bench freshness` simulates all sizes, prints each result, writes the tables into `docs/freshness.md` between two marks, and draws
//! `docs/freshness.svg`. This takes hours, but it can be done in parts: `cargo bench --bench freshness -- --sizes 20x60,50x200 --seeds 1 --minutes 60
//! --write` writes these rows and keeps the others. `-- --test` simulates a few minutes of a small account, to show that the benchmark works.
//!
//! *Wrong* means that the answer differs from the truth at that instant: an agent is available and logged in, or none is. Questions come at
//! random times, more of them for popular queues. The first hour is not counted, because the cold start borrows from its budget.

mod life;
mod plot;
mod report;

use std::time::Duration;

use clap::Parser;

use life::{Api, COLUMNS, Column, Score, Size};

/// From a single queue to the largest account that CallTools' limit allows to follow.
const SIZES: [Size; 13] = [
    size(1, 10, 300),
    size(2, 10, 200),
    size(5, 25, 600),
    size(3, 30, 2_000),
    size(20, 60, 3_000),
    size(50, 200, 8_000),
    size(50, 500, 12_000),
    size(100, 500, 20_000),
    size(100, 2_000, 20_000),
    size(300, 10_000, 60_000),
    // Where agents wait 90 s for the next call, as above, large queues nearly always have a seat. On these floors they wait so little that
    // accepting every call would be wrong one time in four,
    size(100, 500, 20_000).busy(45),
    // one in five,
    size(100, 2_000, 20_000).busy(13),
    // and one in ten.
    size(300, 10_000, 60_000).busy(15),
];

const fn size(queues: usize, agents: usize, questions: u32) -> Size {
    Size {
        queues,
        agents,
        questions,
        busy: None,
    }
}

impl Size {
    /// The same account on a busy floor, where agents wait `seconds` for the next call.
    const fn busy(self, seconds: u64) -> Self {
        let busy = Some(Duration::from_secs(seconds));
        Self { busy, ..self }
    }
}

const WARM_UP: Duration = Duration::from_secs(3_600);

/// How often are answers wrong? Without options, runs all sizes and writes `docs/freshness.md`.
#[derive(Parser)]
struct Options {
    /// Run only these sizes, such as 20x60 or 100x500-busy
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<String>,
    /// Run only these columns, by their names in the tables
    #[arg(long, value_delimiter = ',')]
    columns: Vec<String>,
    /// Number of different worlds of each size; their scores are added up
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Minutes to count after the first hour
    #[arg(long, default_value_t = 120)]
    minutes: u64,
    /// Write the results into `docs/freshness.md`, even if only a part was run
    #[arg(long)]
    write: bool,
    // These two distinguish `cargo bench` from `cargo test --benches`, as criterion does.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    test: bool,
}

impl Options {
    fn is_all(&self) -> bool {
        self.sizes.is_empty() && self.columns.is_empty()
    }

    fn wants(&self, size: Size, column: &Column) -> bool {
        let wants = |names: &[String], name: &str| {
            names.is_empty() || names.iter().any(|wanted| wanted == name)
        };
        wants(&self.sizes, &size.to_string()) && wants(&self.columns, column.name)
    }
}

fn main() {
    let options = Options::parse();
    if options.test || !options.bench {
        return trial();
    }
    let measured = Duration::from_secs(60 * options.minutes);
    let mut page = report::Page::read();
    for size in SIZES {
        for column in COLUMNS.iter().filter(|column| column.fits(size)) {
            if !options.wants(size, column) {
                continue;
            }
            let scores =
                (1..=options.seeds).map(|seed| life::live(size, column, seed, WARM_UP, measured));
            let score = scores.reduce(Score::plus).unwrap_or_default();
            report::print(size, column, &score);
            page.take(size, column, &score, (options.seeds, options.minutes));
            // Written after each column, so that an aborted run keeps its results.
            if options.write || options.is_all() {
                page.write();
            }
        }
    }
}

fn trial() {
    let minutes = Duration::from_secs(300);
    let small = size(5, 25, 600);
    for column in &COLUMNS {
        let score = life::live(small, column, 1, minutes, minutes);
        assert!(
            score.questions > 0 && score.worst_hour <= 1000,
            "{}: {score:?}",
            column.name
        );
    }
    assert!(COLUMNS.iter().any(|column| column.api != Api::Whole));
    let nobody_there = |size| life::live(size, &COLUMNS[0], 1, minutes, minutes).nobody_there;
    assert!(nobody_there(small.busy(15)) > 2 * nobody_there(small));
}
