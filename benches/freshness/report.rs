//! The page with the tables, and the plot. Old results are read from the page itself: sizes and columns that are not run keep their numbers.

use std::fmt::Write as _;

use openseat::account::feeds::Feed;

use super::{
    life::{Column, IN_SHIFTS, Score, Size},
    plot,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/freshness.md");
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/freshness.svg");

const BEGIN: &str = "<!-- made by `cargo bench --bench freshness`: begin -->\n";
const END: &str = "<!-- end -->";

/// The text of a cell that was not run, or whose column does not fit the size.
const NOTHING: &str = "–";

/// The first table: ways to spend the budget.
const WHO: &[&str] = &[
    SIZE,
    "always accept",
    "round robin",
    "cache",
    "openseat",
    "fresh=300ms",
    "fresh=2s",
];

/// The second: openseat when people or CallTools behave differently.
const OTHER: &[&str] = &[
    SIZE,
    "openseat",
    IN_SHIFTS,
    "calls without a status",
    "no order",
    "no order; fresh=300ms",
    "no order nor filter",
    "no order nor filter; fresh=300ms",
    "queues only",
];

/// The third: more about openseat when routers do not wait.
const MORE: &[&str] = &[
    SIZE,
    "feed",
    "wrong accepts",
    "wrong rejects",
    "mean age s",
    "95 % age s",
    "worst hour",
    "seeds × minutes",
];

const SIZE: &str = "queues / agents / questions an hour";

/// The page and its tables.
pub struct Page {
    text: String,
    tables: [Table; 3],
}

impl Page {
    /// # Panics
    /// If the page cannot be read, or lacks the marks around the tables.
    pub fn read() -> Self {
        let text = std::fs::read_to_string(PAGE).expect("docs/freshness.md can be read");
        let (_, between, _) = split(&text);
        let tables = [WHO, OTHER, MORE].map(|heads| Table::read(between, heads));
        Self { text, tables }
    }

    /// Enters a result into the tables.
    pub fn take(&mut self, size: Size, column: &Column, score: &Score, run: (u64, u64)) {
        let row = row(size);
        let line = Line::new(score);
        self.set(&row, column.name, format!("{:.2}", line.wrong));
        let row = match column.name {
            "openseat" => row,
            IN_SHIFTS => format!("{row}, {IN_SHIFTS}"),
            _ => return,
        };
        if !column.shifts {
            self.set(&row, "always accept", format!("{:.1}", line.always_accept));
        }
        self.set(&row, "wrong accepts", format!("{:.2}", line.accepts));
        self.set(&row, "wrong rejects", format!("{:.2}", line.rejects));
        let feed = score.feed.map_or(NOTHING, Feed::as_str);
        self.set(&row, "feed", feed.to_owned());
        self.set(&row, "mean age s", format!("{:.1}", line.mean_age_s));
        self.set(&row, "95 % age s", format!("{:.1}", line.age_95_s));
        self.set(&row, "worst hour", score.worst_hour.to_string());
        self.set(&row, "seeds × minutes", format!("{} × {}", run.0, run.1));
    }

    fn set(&mut self, row: &str, head: &str, value: String) {
        for table in &mut self.tables {
            table.set(row, head, &value);
        }
    }

    /// # Panics
    /// If the files cannot be written.
    pub fn write(&self) {
        let (before, _, after) = split(&self.text);
        let [who, other, more] = self.tables.each_ref().map(Table::text);
        let text = format!("{before}{BEGIN}{who}\n{other}\n{more}{END}{after}");
        std::fs::write(PAGE, text).expect("docs/freshness.md can be written");
        let picture = plot::bars(WHO, &self.tables[0].rows);
        std::fs::write(PICTURE, picture).expect("docs/freshness.svg can be written");
    }
}

/// The text before the tables, the tables, and the text after them.
fn split(page: &str) -> (&str, &str, &str) {
    let (before, rest) = page.split_once(BEGIN).expect("the tables' first mark");
    let (between, after) = rest.split_once(END).expect("the tables' last mark");
    (before, between, after)
}

struct Table {
    heads: &'static [&'static str],
    /// In the order of the sizes.
    rows: Vec<Vec<String>>,
}

impl Table {
    fn read(text: &str, heads: &'static [&'static str]) -> Self {
        let cells = |line: &str| -> Vec<String> {
            let line = line.trim_start_matches("| ").trim_end_matches(" |");
            line.split(" | ").map(str::to_owned).collect()
        };
        let mut table = Self {
            heads,
            rows: Vec::new(),
        };
        // A table that has got another column keeps its results.
        let has_most = |line: &&Vec<String>| {
            let known = line.iter().filter(|cell| heads.contains(&cell.as_str()));
            line[0] == SIZE && 2 * known.count() > heads.len() + 1
        };
        let mut lines = text.lines().map(cells);
        let Some(found) = lines.by_ref().find(|line| has_most(&line)) else {
            return table;
        };
        for cells in lines.skip(1).take_while(|line| line.len() == found.len()) {
            for (head, value) in found.iter().zip(&cells).skip(1) {
                table.set(&cells[0], head, value);
            }
        }
        table
    }

    fn set(&mut self, row: &str, head: &str, value: &str) {
        let Some(place) = self.heads.iter().position(|one| *one == head) else {
            return;
        };
        let known = self.rows.iter().position(|known| known[0] == row);
        let known = known.unwrap_or_else(|| {
            let mut cells = vec![NOTHING.to_owned(); self.heads.len()];
            cells[0] = row.to_owned();
            self.rows.push(cells);
            self.rows.sort_by_key(|cells| agents(&cells[0]));
            let mut rows = self.rows.iter();
            rows.position(|cells| cells[0] == row).unwrap_or_default()
        });
        self.rows[known][place] = value.to_owned();
    }

    fn text(&self) -> String {
        let mut text = format!(
            "| {} |\n|{}\n",
            self.heads.join(" | "),
            "---:|".repeat(self.heads.len())
        );
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }
}

fn row(size: Size) -> String {
    let Size {
        queues,
        agents,
        questions,
        busy,
    } = size;
    let kind = busy.map_or("", |_| ", busy");
    format!("{queues} / {agents} / {questions}{kind}")
}

/// A row's agents and queues, to sort by.
fn agents(row: &str) -> Option<(usize, usize)> {
    let mut numbers = row.split(" / ").map(|number| number.parse().ok());
    let queues = numbers.next()??;
    Some((numbers.next()??, queues))
}

struct Line {
    wrong: f64,
    accepts: f64,
    rejects: f64,
    always_accept: f64,
    mean_age_s: f64,
    age_95_s: f64,
}

impl Line {
    fn new(score: &Score) -> Self {
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

/// Prints one result at once, because the whole run takes hours.
#[allow(clippy::print_stdout)] // A benchmark prints its results.
pub fn print(size: Size, column: &Column, score: &Score) {
    let line = Line::new(score);
    println!(
        "{size} {} ({}): wrong {:.2} % (accepts {:.2}, rejects {:.2}), always accept {:.1} %, age {:.1} s, 95 % {:.1} s, worst hour {}, questions {}",
        column.name,
        score.feed.map_or(NOTHING, Feed::as_str),
        line.wrong,
        line.accepts,
        line.rejects,
        line.always_accept,
        line.mean_age_s,
        line.age_95_s,
        score.worst_hour,
        score.questions,
    );
}
