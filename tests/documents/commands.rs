//! Command lines, exit codes, environment variables and scripts in the pages.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use clap::{Command, CommandFactory, Parser, error::ErrorKind};
use openseat::cli::args::Cli;

use crate::{is_quoted, pages, read};

/// The arguments of each `openseat …` that the pages show, with its page.
fn shown() -> Vec<(String, String)> {
    let mut pages = pages();
    pages.push(read("deploy/README.md"));
    let mut shown = Vec::new();
    for page in pages {
        let lines = page.shell_lines();
        let lines = lines.iter().filter_map(|line| line.split('#').next());
        for line in page.quoted().iter().map(String::as_str).chain(lines) {
            let line = line.trim();
            let arguments = line
                .strip_prefix("openseat ")
                .or_else(|| line.strip_prefix("cargo run --release -- "))
                .or_else(|| line.strip_prefix("cargo run -- "));
            shown.extend(arguments.map(|given| (page.name.clone(), given.to_owned())));
        }
    }
    shown
}

#[test]
fn every_command_is_documented_and_every_example_parses() {
    let mut named = BTreeSet::new();
    for (page, arguments) in shown() {
        let words = std::iter::once("openseat").chain(arguments.split_whitespace());
        if let Err(error) = Cli::try_parse_from(words) {
            assert_eq!(
                error.kind(),
                ErrorKind::DisplayHelp,
                "{page}: openseat {arguments}: {error}"
            );
        }
        named.extend(arguments.split_whitespace().next().map(str::to_owned));
    }
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(named.contains(name), "docs/ lacks openseat {name}");
    }
}

/// The exit codes that a command's help lists.
fn codes_in_help(command: &Command) -> BTreeSet<u8> {
    let help = command.get_after_help().map(ToString::to_string);
    let codes = help.and_then(|help| Some(help.split_once("Exit codes:")?.1.to_owned()));
    let codes = codes.unwrap_or_default();
    let words = codes.split(|c: char| c.is_whitespace() || c == ',');
    words.filter_map(|word| word.parse().ok()).collect()
}

/// The exit codes that `docs/operations.md` lists, by command.
fn codes_in_docs() -> BTreeMap<String, BTreeSet<u8>> {
    let page = read("docs/operations.md");
    let section = page.text.split("\n## Exit codes\n").nth(1);
    let mut rows = section.expect("a section").lines().filter_map(|line| {
        let line = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(line.split('|').map(str::trim).collect::<Vec<_>>())
    });
    let head = rows.next().expect("a table");
    let codes: Vec<u8> = head[1..]
        .iter()
        .map(|code| code.parse().expect("a code"))
        .collect();
    let mut listed = BTreeMap::new();
    for row in rows {
        let meant = codes.iter().zip(&row[1..]);
        let meant: BTreeSet<u8> = meant
            .filter(|(_, cell)| cell.contains(char::is_alphabetic))
            .map(|(code, _)| *code)
            .collect();
        for command in crate::quoted(row[0]) {
            let name = command.split_whitespace().nth(1).expect("a command");
            listed.insert(name.to_owned(), meant.clone());
        }
    }
    listed
}

#[test]
fn every_exit_code_is_documented_as_the_help_has_it() {
    let listed = codes_in_docs();
    let mut compared = 0;
    for command in Cli::command().get_subcommands() {
        let codes = codes_in_help(command);
        if !codes.is_empty() {
            let name = command.get_name();
            assert_eq!(
                Some(&codes),
                listed.get(name),
                "docs/operations.md on {name}"
            );
            compared += 1;
        }
    }
    assert!(compared > 4, "only {compared} commands");
}

/// A socket that systemd holds stays stopped until it is started, and cannot be started while the service runs.
#[test]
fn a_section_that_stops_the_socket_starts_it_again_before_the_service() {
    let ends = [
        "systemctl stop ",
        "systemctl disable ",
        "systemctl reset-failed ",
    ];
    let starts = |text: &str, unit: &str| {
        let commands = [" start ", " enable --now "].map(|verb| format!("systemctl{verb}{unit}"));
        commands.iter().find_map(|command| text.find(command))
    };
    let mut pages = pages();
    pages.push(read("deploy/README.md"));
    let mut seen = 0;
    for page in pages {
        for section in page.text.split("\n## ") {
            let is_end = |line: &&str| {
                line.contains("openseat.socket") && ends.iter().any(|end| line.contains(end))
            };
            let Some(line) = section.lines().rfind(is_end) else {
                continue;
            };
            let (_, after) = section.split_once(line).expect("it has the line");
            // The line itself may have both, in prose and tables.
            let after = format!("{line}{after}");
            let order = starts(&after, "openseat.socket").zip(starts(&after, "openseat.service"));
            let is_in_order = order.is_some_and(|(socket, service)| socket < service);
            assert!(is_in_order, "{}: {line}", page.name);
            seen += 1;
        }
    }
    assert!(seen > 4, "only {seen}");
}

#[test]
fn every_environment_variable_is_documented() {
    let pages = pages();
    let commands = Cli::command();
    let all = std::iter::once(&commands).chain(commands.get_subcommands());
    let variables: BTreeSet<_> = all
        .flat_map(Command::get_arguments)
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    assert!(variables.len() > 2);
    for name in variables {
        let is_there = is_quoted(&pages, name) || is_quoted(&pages, &format!("${name}"));
        assert!(is_there, "docs/ lacks {name}");
    }
}

#[test]
fn scripts_tests_and_benchmarks_that_are_named_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for page in pages() {
        let lines = page.shell_lines();
        for line in page.quoted().iter().chain(&lines) {
            let words: Vec<_> = line.split_whitespace().collect();
            for word in &words {
                let path = word.trim_start_matches("./");
                let is_script = path.ends_with(".sh")
                    && (path.starts_with("scripts/") || path.starts_with("benches/"));
                if is_script {
                    assert!(root.join(path).exists(), "{} names {word}", page.name);
                    seen += 1;
                }
            }
            for pair in words.windows(2) {
                let folder = match pair[0] {
                    "--test" => "tests",
                    "--bench" => "benches",
                    _ => continue,
                };
                let file = root.join(folder).join(pair[1]);
                let is_there = file.with_extension("rs").exists() || file.join("main.rs").exists();
                assert!(is_there, "{} names {} {}", page.name, pair[0], pair[1]);
                seen += 1;
            }
        }
    }
    assert!(seen > 15, "only {seen}");
}
