//! Draws the percentage of wrong answers as bars, with one group for each size.

use std::fmt::Write as _;

/// Columns of the first table that are drawn, with their colours.
const DRAWN: [(usize, &str); 5] = [
    (2, "#9aa0a6"),
    (3, "#c58b3b"),
    (4, "#2f7ed8"),
    (5, "#1aa179"),
    (6, "#7b61c9"),
];

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 336.0;
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 280.0;
const TOP: f64 = 66.0;

/// Draws a table's rows. `heads` are the names of its columns.
pub fn bars(heads: &[&str], rows: &[Vec<String>]) -> String {
    let wrong = |row: &[String], place: usize| row[place].parse::<f64>().ok();
    let all = rows
        .iter()
        .flat_map(|row| DRAWN.map(|(place, _)| wrong(row, place)));
    let most = all.flatten().fold(1.0, f64::max);
    let y = |wrong: f64| BOTTOM - (BOTTOM - TOP) * wrong / most;
    let mut svg = head(heads);
    scale(&mut svg, most, y);
    let group_width = (WIDTH - LEFT) / rows.len().max(1) as f64;
    let bar = group_width * 0.86 / DRAWN.len() as f64;
    for (group, row) in rows.iter().enumerate() {
        let x0 = LEFT + group_width * (group as f64 + 0.07);
        for (i, (place, colour)) in DRAWN.into_iter().enumerate() {
            let Some(wrong) = wrong(row, place) else {
                continue;
            };
            let (x, top) = (x0 + bar * i as f64, y(wrong));
            let (middle, above) = (x + bar / 2.0 + 2.0, top - 3.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\
                 <text x=\"{middle:.1}\" y=\"{above:.1}\" font-size=\"9\" transform=\"rotate(-90 {middle:.1} {above:.1})\">{wrong:.1}</text>",
                bar - 2.0,
                BOTTOM - top,
            );
        }
        let (size, kind) = row[0].split_once(", ").unwrap_or((&row[0], ""));
        let labels = size.split(" / ").take(2).chain([kind]);
        for (label, line) in labels.zip([16.0, 32.0, 48.0]) {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                x0 + group_width * 0.43,
                BOTTOM + line,
            );
        }
    }
    let _ = writeln!(
        svg,
        "<text x=\"2\" y=\"{}\">queues</text><text x=\"2\" y=\"{}\">agents</text>",
        BOTTOM + 16.0,
        BOTTOM + 32.0
    );
    svg + "</svg>\n"
}

/// The title and the legend.
fn head(heads: &[&str]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"16\" font-size=\"13\">Wrong answers in percent, by size of the account</text>\n"
    );
    for (i, (place, colour)) in DRAWN.into_iter().enumerate() {
        let x = LEFT + 170.0 * i as f64;
        let name = match heads[place] {
            asked if asked.starts_with("fresh") => format!("openseat with {asked}"),
            name => name.to_owned(),
        };
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"24\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{}\" y=\"33\">{name}</text>",
            x + 14.0,
        );
    }
    svg
}

fn scale(svg: &mut String, most: f64, y: impl Fn(f64) -> f64) {
    let step = (most / 5.0).ceil().max(1.0);
    let ticks = (0..).map(|n| f64::from(n) * step);
    for tick in ticks.take_while(|tick| *tick <= most) {
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\" stroke=\"#dddddd\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{tick}</text>",
            y(tick),
            LEFT - 6.0,
            y(tick) + 4.0
        );
    }
}
