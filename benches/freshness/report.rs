//! The table and the plot.

use std::fmt::Write as _;

use super::life::{Policy, Score, Size};

type Row = (Size, Policy, Score);

struct Line {
    wrong: f64,
    accepts: f64,
    rejects: f64,
    always_accept: f64,
    mean_age_s: f64,
    age_95_s: f64,
}

impl Line {
    fn of(score: &Score) -> Self {
        let percent = |part: u64| 100.0 * part as f64 / score.questions as f64;
        let mut ages = score.ages_ms.clone();
        ages.sort_unstable();
        let mean_ms =
            ages.iter().map(|age| f64::from(*age)).sum::<f64>() / ages.len().max(1) as f64;
        let at_95 = ages.get(ages.len() * 95 / 100).copied().unwrap_or_default();
        Self {
            wrong: percent(score.wrong_accepts + score.wrong_rejects),
            accepts: percent(score.wrong_accepts),
            rejects: percent(score.wrong_rejects),
            always_accept: percent(score.nobody_there),
            mean_age_s: mean_ms / 1000.0,
            age_95_s: f64::from(at_95) / 1000.0,
        }
    }
}

/// Says what is known so far; the whole takes minutes.
#[allow(clippy::print_stdout)] // It is what a benchmark is for.
pub fn print_row(size: Size, policy: Policy, score: &Score) {
    println!("{}", row(size, policy, score));
}

fn row(size: Size, policy: Policy, score: &Score) -> String {
    let line = Line::of(score);
    format!(
        "| {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} | {} |",
        size.queues,
        size.agents,
        policy.name(),
        line.wrong,
        line.accepts,
        line.rejects,
        line.always_accept,
        line.mean_age_s,
        line.age_95_s,
        score.worst_hour
    )
}

const HEAD: &str = "\
| queues | agents | policy | wrong % | wrong accepts % | wrong rejects % | always accept % | mean age s | 95 % age s | worst hour |
|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|
";

const BEGIN: &str = "<!-- made by `cargo bench --bench freshness`: begin -->\n";
const END: &str = "<!-- end -->";

/// Writes the table into its page and draws the plot.
///
/// # Panics
/// If the page has lost the marks between which the table belongs.
pub fn write(rows: &[Row]) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/freshness.md");
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/freshness.svg");
    let text = std::fs::read_to_string(page).expect("docs/freshness.md can be read");
    std::fs::write(page, with_table(&text, rows)).expect("docs/freshness.md can be written");
    std::fs::write(picture, plot(rows)).expect("docs/freshness.svg can be written");
}

/// The page with this table in the place of the old one.
fn with_table(page: &str, rows: &[Row]) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the table's first mark");
    let (_, after) = rest.split_once(END).expect("the table's last mark");
    let mut table = HEAD.to_owned();
    for (size, policy, score) in rows {
        table += &row(*size, *policy, score);
        table.push('\n');
    }
    format!("{before}{BEGIN}{table}{END}{after}")
}

const COLOURS: [&str; 5] = ["#9aa0a6", "#c58b3b", "#2f7ed8", "#1aa179", "#7b61c9"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 270.0;
const TOP: f64 = 40.0;

/// Bars of wrong answers, a group for each size.
fn plot(rows: &[Row]) -> String {
    let most = rows
        .iter()
        .map(|(_, _, score)| Line::of(score).wrong)
        .fold(1.0, f64::max);
    let y = |wrong: f64| BOTTOM - (BOTTOM - TOP) * wrong / most;
    let groups: Vec<_> = rows.chunks(Policy::ALL.len()).collect();
    let group_width = (WIDTH - LEFT) / groups.len() as f64;
    let bar = group_width * 0.8 / Policy::ALL.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"16\" font-size=\"13\">Wrong answers in percent, by account and policy</text>\n"
    );
    for (i, policy) in Policy::ALL.iter().enumerate() {
        let x = LEFT + 142.0 * i as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"22\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"31\">{}</text>",
            COLOURS[i],
            x + 14.0,
            policy.name()
        );
    }
    let step = (most / 5.0).ceil().max(1.0);
    for tick in (0..)
        .map(|n| f64::from(n) * step)
        .take_while(|tick| *tick <= most)
    {
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#dddddd\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{tick}</text>",
            y(tick),
            LEFT - 6.0,
            y(tick) + 4.0
        );
    }
    for (g, group) in groups.iter().enumerate() {
        let x0 = LEFT + group_width * (g as f64 + 0.1);
        for (i, (_, _, score)) in group.iter().enumerate() {
            let wrong = Line::of(score).wrong;
            let x = x0 + bar * i as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" text-anchor=\"middle\">{wrong:.1}</text>",
                y(wrong),
                bar - 2.0,
                BOTTOM - y(wrong),
                COLOURS[i],
                x + bar / 2.0 - 1.0,
                y(wrong) - 3.0
            );
        }
        let (size, _, _) = &group[0];
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{} queues, {} agents</text>",
            x0 + group_width * 0.4,
            BOTTOM + 16.0,
            size.queues,
            size.agents
        );
    }
    svg + "</svg>\n"
}
