//! The configuration as operators meet it: the example, good files, and bad ones with the messages that they get.
//!
//! `UPDATE_EXPECTED=1 cargo test --test config` writes the messages anew; read the difference before you keep it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use openseat::config::{Config, ConfigError};

const EXAMPLE: &str = include_str!("../config.example.toml");

/// Under systemd, with a credential, and nothing else.
fn env(name: &str) -> Option<String> {
    (name == "CREDENTIALS_DIRECTORY").then(|| "/run/credentials/openseat.service".to_owned())
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("openseat.toml"), &env)
}

fn files(folder: &str) -> BTreeSet<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/config")
        .join(folder);
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect()
}

/// Compares with the text beside the file, or writes it.
fn assert_as_expected(path: &Path, said: &str) {
    let beside = path.with_extension("txt");
    let said = if said.is_empty() {
        String::new()
    } else {
        format!("{said}\n")
    };
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        match said.as_str() {
            "" => _ = fs::remove_file(&beside),
            _ => fs::write(&beside, &said).expect("it can be written"),
        }
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(said, expected, "{}", path.display());
}

#[test]
fn every_bad_file_gets_its_messages() {
    let files = files("bad");
    assert!(files.len() >= 30, "only {} files", files.len());
    for path in files {
        let text = fs::read_to_string(&path).expect("it can be read");
        let error = parse(&text).expect_err(&path.display().to_string());
        assert_as_expected(&path, &error.to_string());
    }
}

/// The text beside a good file has its warnings; none, no warnings.
#[test]
fn every_good_file_is_taken() {
    let files = files("good");
    assert!(!files.is_empty());
    for path in files {
        let text = fs::read_to_string(&path).expect("it can be read");
        let config = parse(&text).unwrap_or_else(|error| panic!("{}:\n{error}", path.display()));
        assert_as_expected(&path, &config.warnings.join("\n"));
    }
}

/// `# key = value` and `# [table]`, which the example's prose never looks like.
fn is_commented_out(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("# ") else {
        return false;
    };
    let is_key = |key: &str| {
        key.bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_lowercase())
    };
    rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| is_key(key))
}

fn uncommented(line: &str) -> &str {
    if is_commented_out(line) {
        &line[2..]
    } else {
        line
    }
}

#[test]
fn the_example_is_taken_as_it_stands() {
    let config = parse(EXAMPLE).unwrap_or_else(|error| panic!("{error}"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!(config.accounts.len(), 1);
}

#[test]
fn the_example_is_taken_with_any_one_of_its_keys_uncommented() {
    // A commented-out table needs its keys: those lines are tried all together in the next test.
    let whole_tables = EXAMPLE.find("\n# [").expect("a commented-out table");
    let (keys, _) = EXAMPLE.split_at(whole_tables);
    let lines: Vec<_> = keys.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        if is_commented_out(line) {
            let mut lines = lines.clone();
            lines[index] = uncommented(line);
            parse(&lines.join("\n")).unwrap_or_else(|error| panic!("{line}\n{error}"));
        }
    }
}

#[test]
fn the_example_is_taken_with_all_its_keys_uncommented() {
    let lines: Vec<_> = EXAMPLE.lines().map(uncommented).collect();
    let config = parse(&lines.join("\n")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.accounts.len(), 2);
}
