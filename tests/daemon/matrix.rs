//! `MATRIX.md` is true: it has every row, its tests exist, and they find what their rows claim.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::support::{TestDaemon, Time, known};

const MATRIX: &str = include_str!("MATRIX.md");

/// The letters of the tables.
const LETTERS: [char; 5] = ['U', 'C', 'L', 'N', 'K'];

/// The ids of all rows. The rows of each letter count up from 1, so none is missing, and a new one is checked without a list of its own.
fn ids() -> Vec<&'static str> {
    let rows = MATRIX.lines().filter(|line| line.starts_with("| "));
    let ids = rows
        .filter_map(|line| line.split('|').nth(1))
        .map(str::trim);
    let ids: Vec<_> = ids.filter(|id| *id != "row").collect();
    for letter in LETTERS {
        let of_letter: Vec<_> = ids.iter().filter(|id| id.starts_with(letter)).collect();
        assert!(!of_letter.is_empty(), "no row {letter}");
        for (place, id) in of_letter.into_iter().enumerate() {
            assert_eq!(*id, format!("{letter}{:02}", place + 1));
        }
    }
    let is_known = |id: &&str| id.starts_with(LETTERS);
    assert!(ids.iter().all(is_known), "{ids:?}");
    ids
}

/// The rows of the table of CallTools' faults, which claim an outcome and a reason.
fn fault_rows() -> impl Iterator<Item = Vec<&'static str>> {
    let rows = MATRIX.lines().filter(|line| line.starts_with("| U"));
    rows.map(|line| line.split('|').map(str::trim).collect())
}

/// The claims of a row: the outcome of the request (`–` if no test checks it), and the reason of the decision.
fn claims(row: &[&'static str]) -> Vec<(&'static str, &'static str)> {
    let claims = row[4]
        .split("; ")
        .filter_map(|claim| claim.split_once(" → "));
    let plain =
        claims.map(|(outcome, reason)| (outcome.trim_matches('`'), reason.trim_matches('`')));
    plain.collect()
}

/// Fails if a row of the running test claims something other than what the test has just found. Tests that are in no row claim nothing.
pub fn found(outcome: Option<&str>, reason: &str) {
    let thread = std::thread::current();
    let path = thread.name().unwrap_or("main");
    let test = path.rsplit("::").next().unwrap_or(path);
    // With a single test thread all tests run in "main". Then any row may claim it.
    let names_it =
        |row: &Vec<&'static str>| test == "main" || quoted(row[3]).any(|name| name == test);
    let rows: Vec<_> = fault_rows().filter(names_it).collect();
    let fits = |(known, why): (&str, &str)| {
        why == reason && outcome.is_none_or(|outcome| outcome == known)
    };
    let claimed = rows.iter().flat_map(|row| claims(row)).any(fits);
    assert!(
        rows.is_empty() || claimed,
        "{test} found {outcome:?} → {reason}, which MATRIX.md does not say"
    );
}

impl TestDaemon {
    /// Advances time until the decision about a queue has this reason, and returns the decision. If the queue is unknown, a row of the matrix must
    /// claim the reason.
    pub async fn comes_to(&self, time: &Time, queue: &str, reason: &str) -> Value {
        let mut last = Value::Null;
        let what = format!("{queue} {reason}");
        time.until(&what, async || {
            last = self.decision(queue).await;
            last["reason"] == reason
        })
        .await;
        if !known(&last) {
            found(None, reason);
        }
        last
    }
}

/// The body of a test.
fn body<'a>(text: &'a str, test: &str) -> &'a str {
    let rest = text
        .split_once(&format!("fn {test}("))
        .map_or("", |(_, rest)| rest);
    rest.split("\n}\n").next().unwrap_or_default()
}

#[test]
fn every_claim_is_checked_by_a_test_of_its_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for row in fault_rows() {
        let mut bodies = String::new();
        let mut file = String::new();
        for word in quoted(row[3]) {
            match word.ends_with(".rs") {
                true => file = fs::read_to_string(folder.join(word)).expect("a test's file"),
                false => bodies += body(&file, word),
            }
        }
        for (outcome, reason) in claims(&row) {
            let is_checked = |text: &str| bodies.contains(&format!("{text:?}"));
            // `check_fault` in wire.rs checks the reason.
            let reason = is_checked(reason) || bodies.contains(".check_fault(");
            assert!(
                reason && (outcome == "–" || is_checked(outcome)),
                "{}: no test checks {outcome}",
                row[1]
            );
        }
        assert!(
            !row[5].starts_with("Keeps") || !claims(&row).is_empty(),
            "{} keeps, but does not claim the reason",
            row[1]
        );
    }
}

/// The cells of the row with this id.
fn cells(id: &str) -> Vec<&'static str> {
    let begin = format!("| {id} |");
    let rows: Vec<_> = MATRIX
        .lines()
        .filter(|line| line.starts_with(&begin))
        .collect();
    assert_eq!(rows.len(), 1, "rows {id}");
    rows[0].split('|').map(str::trim).collect()
}

/// The texts between backticks.
fn quoted(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_row_exists_and_so_does_every_test_that_it_names() {
    for id in ids() {
        let cells = cells(id);
        let width = if id.starts_with('U') { 7 } else { 6 };
        assert_eq!(cells.len(), width, "{id}: cells, with one at each end");
        let mut file = None;
        for word in quoted(cells[3]) {
            if word.ends_with(".rs") {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(word);
                let text = fs::read_to_string(path);
                file = Some(text.unwrap_or_else(|error| panic!("{id}: {word}: {error}")));
                continue;
            }
            let text = file
                .as_deref()
                .unwrap_or_else(|| panic!("{id}: no file before {word}"));
            assert!(
                text.contains(&format!("fn {word}(")),
                "{id}: there is no test {word}"
            );
        }
        // A row without a test says why.
        assert!(
            file.is_some() || cells[3] == "–" && cells[4].len() > 10,
            "{id}"
        );
    }
}

#[test]
fn every_test_named_after_a_row_is_listed_in_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon");
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("the folder can be listed").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(path).expect("the file can be read");
        let names = text
            .split("fn ")
            .skip(1)
            .filter_map(|rest| rest.split('(').next());
        for name in names {
            let row = name.split('_').next().unwrap_or_default().to_uppercase();
            let is_row = row.starts_with(LETTERS)
                && row.len() == 3
                && row[1..].bytes().all(|byte| byte.is_ascii_digit());
            if is_row {
                assert!(
                    quoted(cells(&row)[3]).any(|test| test == name),
                    "{name} is not in {row}"
                );
                seen.insert(name.to_owned());
            }
        }
    }
    assert!(seen.len() >= 15, "{seen:?}");
}
