//! The fault matrix names tests that there are, and leaves no row out.

use std::{collections::BTreeSet, fs, path::Path};

const MATRIX: &str = include_str!("MATRIX.md");

/// The rows that there have to be, by letter: how many.
const ROWS: [(char, usize); 4] = [('U', 29), ('C', 4), ('L', 14), ('K', 14)];

/// The cells of the table's row with this id.
fn cells(id: &str) -> Vec<&'static str> {
    let begin = format!("| {id} |");
    let rows: Vec<_> = MATRIX
        .lines()
        .filter(|line| line.starts_with(&begin))
        .collect();
    assert_eq!(rows.len(), 1, "rows {id}");
    rows[0].split('|').map(str::trim).collect()
}

/// What stands between backticks.
fn quoted(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_row_is_there_and_every_test_that_it_names_exists() {
    for (letter, count) in ROWS {
        for number in 1..=count {
            let id = format!("{letter}{number:02}");
            let cells = cells(&id);
            assert_eq!(
                cells.len(),
                6,
                "{id} has an empty cell at each end and four between"
            );
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
}

#[test]
fn every_test_that_is_named_after_a_row_stands_in_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon");
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(path).expect("it can be read");
        let names = text
            .split("fn ")
            .skip(1)
            .filter_map(|rest| rest.split('(').next());
        for name in names {
            let row = name.split('_').next().unwrap_or_default().to_uppercase();
            let is_row = ROWS.iter().any(|(letter, _)| row.starts_with(*letter))
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
