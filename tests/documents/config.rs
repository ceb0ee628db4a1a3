//! `docs/configuration.md` has the keys of `config.example.toml`, and every config in a page is valid.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use openseat::{config::Config, simulator::TOKEN};

use crate::{pages, read};

/// Completes excerpts that have no account.
const ACCOUNT: &str = "[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_env = \"CALLTOOLS_API_TOKEN\"\n\
                       queue = [{ queue = \"sales-queue\" }]\n";

/// Keys by table.
type Keys = BTreeMap<String, BTreeSet<String>>;

fn is_key(text: &str) -> bool {
    let mut letters = text.bytes();
    !text.is_empty() && letters.all(|byte| byte == b'_' || byte.is_ascii_lowercase())
}

/// The keys in the example, commented out or not.
fn in_the_example() -> Keys {
    let mut keys = Keys::new();
    let mut table = String::new();
    for line in read("config.example.toml").text.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        match line.split_once(" = ") {
            Some((key, _)) if is_key(key) => {
                keys.entry(table.clone())
                    .or_default()
                    .insert(key.to_owned());
            }
            None if line.starts_with('[') => table = line.to_owned(),
            _ => {}
        }
    }
    keys
}

#[test]
fn the_reference_has_exactly_the_keys_of_the_example() {
    let page = read("docs/configuration.md");
    let expected = in_the_example();
    assert!(expected.len() > 4, "{expected:?}");
    for (table, keys) in expected {
        let documented: BTreeSet<_> = page
            .first_cells(&format!("## `{table}`"))
            .into_iter()
            .collect();
        assert_eq!(documented, keys, "docs/configuration.md on {table}");
    }
}

#[test]
fn every_config_shown_is_valid() {
    let env = |name: &str| (name == "CALLTOOLS_API_TOKEN").then(|| TOKEN.to_owned());
    let mut seen = 0;
    for page in pages() {
        for block in page.blocks("toml") {
            let text = match block.contains("[[account]]") {
                true => block.to_owned(),
                false => format!("{block}\n{ACCOUNT}"),
            };
            let parsed = Config::parse(&text, Path::new(&page.name), &env);
            parsed.unwrap_or_else(|error| panic!("{error}\n{text}"));
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen}");
}

#[test]
fn the_first_config_has_five_lines() {
    for page in ["README.md", "docs/getting-started.md"].map(read) {
        let first = page.blocks("toml")[0].lines().count();
        assert_eq!(first, 5, "{}", page.name);
    }
}
