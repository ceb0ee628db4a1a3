//! What does `soon` gain? The real account task, with its learning and its decisions, runs with the simulator in virtual time. Its decisions are
//! compared with those made without `soon` on the same data, from the same requests, for the same calls.
//!
//! `cargo bench --bench soon` prints two tables; `-- 20x60` prints the rows of one size, `-- --seeds 4` adds up more worlds, and `-- --wrong-leads`
//! prints only the second table: what a wrong lead costs. `-- --reference` prints instead what rules gain that know more: the true lengths of
//! wrap-ups, then also what each agent does now, then the future. Losses above their aim are marked as missed; `-- --check` then also exits with 1.
//! `-- --test` simulates some minutes of the smallest account, to show that the benchmark works.
//!
//! An accepted call arrives after the lead time and waits as long as its caller's patience. It is lost if no agent of the queue is free in that
//! time. The *loss* is the number of good calls rejected, plus *c* for each call accepted and lost. The table has the loss relative to that of the
//! decisions without `soon`. Reliability compares predictions with what later looks showed, in tenths.
//!
//! Calls do not change the world, except in the rows of the *closed* worlds. In those, an accepted call holds a seat and takes the agent it meets,
//! and each rule has a world of its own.

#![allow(clippy::print_stdout)] // A benchmark prints its results.

mod figures;
mod life;
mod reference;
mod world;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use openseat::decision::soon::week::Tenths;

use figures::{Outcome, REFERENCES, Runs};
use life::Setting;
use world::World;

/// Queues, agents, and calls per hour.
type Size = (usize, usize, u32);

const SIZES: [Size; 5] = [
    (5, 25, 600),
    (20, 60, 3_000),
    (50, 200, 8_000),
    (100, 500, 12_000),
    (100, 2_000, 20_000),
];

const LEADS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(15),
];

/// Accounts whose agents fit on one page need no order.
const PAGE: usize = 250;

/// The closed world: about as many calls an hour as its agents can take.
const CLOSED: Size = (20, 60, 550);

/// The account in which wrong leads are tried.
const WRONG: Size = SIZES[1];

/// The rule learns for an hour before it may act, and then needs more time to measure how accurate it is.
const WARM_UP: Duration = Duration::from_secs(2 * 3_600);
const MEASURED: Duration = Duration::from_secs(2 * 3_600);

/// For each lead of the calls, wrong ones: a third and three times as long, and 25 s, the longest that the config takes.
const WRONG_LEADS: [(Duration, &[Duration]); 2] = [
    (
        LEADS[1],
        &[Duration::from_millis(1_667), Duration::from_secs(15)],
    ),
    (
        LEADS[2],
        &[
            Duration::from_secs(5),
            Duration::from_secs(25),
            Duration::from_secs(45),
        ],
    ),
];

/// What does `soon` gain? Without options, runs all sizes.
#[derive(Parser)]
struct Options {
    /// Run only these sizes, such as 20x60
    sizes: Vec<String>,
    /// Number of different worlds of each size; their figures are added up
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Run only the table of wrong leads
    #[arg(long)]
    wrong_leads: bool,
    /// Print instead what rules gain that know more
    #[arg(long)]
    reference: bool,
    /// Exit with 1 if a loss is above its aim
    #[arg(long)]
    check: bool,
    // These two distinguish `cargo bench` from `cargo test --benches`, as criterion does.
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    test: bool,
}

impl Options {
    fn wants(&self, (queues, agents, _): Size) -> bool {
        let size = format!("{queues}x{agents}");
        self.sizes.is_empty() || self.sizes.contains(&size)
    }

    /// Simulates a setting with each seed.
    fn live(&self, setting: Setting) -> Runs {
        let seeds = 1..=self.seeds;
        Runs(
            seeds
                .map(|seed| life::live(setting, seed, WARM_UP, MEASURED))
                .collect(),
        )
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.test || !options.bench {
        trial();
        return ExitCode::SUCCESS;
    }
    println!(
        "Seeds: {}. In brackets: the lowest and the highest loss of one seed.\n",
        options.seeds
    );
    if options.reference {
        references(&options);
        return ExitCode::SUCCESS;
    }
    let missed = if options.wrong_leads {
        0
    } else {
        gains(&options)
    };
    if options.wants(WRONG) {
        wrong_leads(&options);
    }
    if options.check && missed > 0 {
        println!("\n{missed} losses are above their aims.");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn trial() {
    let minutes = Duration::from_secs(300);
    for world in [World::Alike, World::Hard, World::Closed] {
        let setting = Setting {
            references: true,
            ..setting(SIZES[0], LEADS[1], world)
        };
        let figures = life::live(setting, 1, minutes, minutes);
        assert!(
            figures.calls > 0 && figures.worst_hour <= 1000,
            "{figures:?}"
        );
    }
}

/// An account whose lead is known.
fn setting((queues, agents, calls): Size, lead: Duration, world: World) -> Setting {
    Setting {
        queues,
        agents,
        calls,
        lead,
        assumed: lead,
        world,
        references: false,
    }
}

/// The largest relative losses that `soon` was to have, at a cost of 1 and of 2; `None` where there was no aim.
fn aims(lead: Duration, world: World) -> Option<[f64; 2]> {
    match world {
        World::Hard => Some([0.90, 1.00]),
        World::NoWrapUp => Some([1.02, 1.02]),
        World::Closed | World::ClosedRegular => Some([0.75, 0.92]),
        World::Alike | World::Regular | World::Exact if lead == LEADS[1] => Some([0.78, 0.90]),
        World::Alike | World::Regular if lead == LEADS[2] => Some([0.75, 0.85]),
        _ => None,
    }
}

/// Prints the first table. Returns how many losses are above their aims.
fn gains(options: &Options) -> usize {
    println!(
        "| account | world | lead | loss at c = 1 | at c = 2 | accepted by soon | of these lost | predicted → seen |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut missed = 0;
    let mut row = |setting| missed += row(setting, &options.live(setting));
    for size in SIZES.into_iter().filter(|size| options.wants(*size)) {
        for lead in LEADS {
            row(setting(size, lead, World::Alike));
        }
        for lead in LEADS {
            row(setting(size, lead, World::Regular));
        }
        for world in [World::Exact, World::Random, World::NoWrapUp] {
            row(setting(size, LEADS[1], world));
        }
        row(setting(size, LEADS[2], World::Hard));
        if size.1 > PAGE {
            row(setting(size, LEADS[1], World::Unordered));
        }
    }
    if options.wants(CLOSED) {
        for world in [World::Closed, World::ClosedRegular] {
            row(setting(CLOSED, LEADS[2], world));
        }
    }
    missed
}

/// Prints the figures of a setting. Returns how many losses are above their aims.
fn row(setting: Setting, runs: &Runs) -> usize {
    let Setting {
        queues,
        agents,
        lead,
        world,
        ..
    } = setting;
    let sum = runs.sum();
    let aims = aims(lead, world);
    let losses = [1, 2].map(|cost: u32| {
        let aim = aims.map(|aims| aims[cost as usize - 1]);
        // As precise as it is printed.
        let loss = (sum.relative_loss(cost) * 100.0).round() / 100.0;
        let is_missed = aim.is_some_and(|aim| loss > aim);
        let mark = if is_missed { ", missed" } else { "" };
        (format!("{}{mark}", runs.relative_loss(cost)), is_missed)
    });
    let missed = losses.iter().filter(|(_, is_missed)| *is_missed).count();
    let [(one, _), (two, _)] = losses;
    println!(
        "| {queues}/{agents} | {} | {} s | {one} | {two} | {} of {} | {} | {} |",
        world.name(),
        lead.as_secs(),
        sum.soon[1].by_soon,
        sum.calls,
        sum.soon[1].by_soon_lost,
        plot(&sum.tenths),
    );
    if world.is_closed() {
        let hours = MEASURED.as_secs_f64() / 3_600.0 * runs.0.len() as f64;
        let of = |outcome: Outcome| {
            let an_hour = |calls: u32| f64::from(calls) / hours;
            format!(
                "{:.0} served and {:.1} lost an hour",
                an_hour(outcome.served),
                an_hour(outcome.lost)
            )
        };
        println!(
            "| | | | | | without soon {}; with it at c = 1 {}, at c = 2 {} | | |",
            of(sum.today),
            of(sum.soon[0]),
            of(sum.soon[1])
        );
    }
    missed
}

/// Prints the losses of rules that know more at zero seats, for the same calls. In the last column is a check of the second one: of the calls that
/// it accepts at zero seats with a cost of 2, which share it predicts to meet an agent, and which share does.
fn references(options: &Options) {
    let names = REFERENCES.join(" | ");
    println!(
        "| account | world | lead | aims | soon | {names} | by current statuses: predicted → met |"
    );
    println!(
        "|---|---|---|---|---|{}---|",
        "---|".repeat(REFERENCES.len())
    );
    let (short, long) = (LEADS[1], LEADS[2]);
    let open = |size| {
        [World::Alike, World::Regular].map(|world| [short, long].map(|lead| (size, world, lead)))
    };
    let open = SIZES.into_iter().flat_map(open).flatten();
    let closed = [World::Closed, World::ClosedRegular].map(|world| (CLOSED, world, long));
    for (size, world, lead) in open.chain(closed).filter(|(size, ..)| options.wants(*size)) {
        let setting = Setting {
            references: true,
            ..setting(size, lead, world)
        };
        let sum = options.live(setting).sum();
        let losses = |rule: &[Outcome; 2]| {
            let [one, two] = [1, 2].map(|cost| sum.relative(rule, cost));
            match rule[0].served {
                0 => "".to_owned(),
                _ => format!("{one:.2}, {two:.2}"),
            }
        };
        let rules = std::iter::once(&sum.soon).chain(&sum.references);
        let rules: Vec<_> = rules.map(losses).collect();
        let [one, two] = aims(lead, world).unwrap_or_default();
        println!(
            "| {}/{} | {} | {} s | {one:.2}, {two:.2} | {} | {} |",
            size.0,
            size.1,
            world.name(),
            lead.as_secs(),
            rules.join(" | "),
            reliability(&sum.references[1][1])
        );
    }
}

/// Predicted probabilities, and how often openseat's own looks showed an agent.
fn plot(tenths: &Tenths) -> String {
    let tenths = tenths.iter().enumerate();
    let enough = tenths.filter(|(_, [without, with])| without + with >= 20);
    let dots = enough.map(|(tenth, [without, with])| {
        let predicted = (tenth as f64 + 0.5) / 10.0;
        let seen = f64::from(*with) / f64::from(without + with);
        format!("{predicted:.2} → {seen:.2}")
    });
    dots.collect::<Vec<_>>().join(", ")
}

/// What it costs if the rule assumes a wrong lead.
fn wrong_leads(options: &Options) {
    println!(
        "\n| account | lead | assumed | loss at c = 1 | at c = 2 | relative to the right lead, c = 1 | c = 2 | accepted by soon, c = 2 | predicted → met | predicted → seen |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (lead, wrong) in WRONG_LEADS {
        let right = options.live(setting(WRONG, lead, World::Regular));
        lead_row(lead, lead, &right, &right);
        for &assumed in wrong {
            let setting = Setting {
                assumed,
                ..setting(WRONG, lead, World::Regular)
            };
            lead_row(lead, assumed, &options.live(setting), &right);
        }
    }
}

/// Of the calls that a rule accepts at zero seats, which share should meet an agent, and which share does.
fn reliability(rule: &Outcome) -> String {
    let shares = rule.reliability();
    let shares = shares.map(|(likely, met)| format!("{likely:.2} → {met:.2}"));
    shares.unwrap_or_default()
}

fn lead_row(lead: Duration, assumed: Duration, runs: &Runs, right: &Runs) {
    let (sum, right) = (runs.sum(), right.sum());
    let [one, two] = [1, 2].map(|cost| runs.relative_loss(cost));
    let [than_one, than_two] = [1, 2].map(|cost| sum.loss(cost) / right.loss(cost).max(1.0));
    let (queues, agents, _) = WRONG;
    println!(
        "| {queues}/{agents} | {} s | {:.1} s | {one} | {two} | {than_one:.2} | {than_two:.2} | {} of {} | {} | {} |",
        lead.as_secs(),
        assumed.as_secs_f64(),
        sum.soon[1].by_soon,
        sum.calls,
        reliability(&sum.soon[1]),
        plot(&sum.tenths),
    );
}
