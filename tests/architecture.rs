//! The structure of the code: arrows between folders point downwards, files do not form cycles, and files and functions stay short.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
};

use regex::Regex;

/// The folders of `src/`, from the top floor down. Code uses only its own folder and the floors below.
const FLOORS: [&[&str]; 15] = [
    &["cli"],
    &["daemon"],
    &["notify"],
    &["server"],
    &["account"],
    &["state"],
    &["config"],
    &["cluster"],
    &["metrics", "simulator"],
    &["calltools", "decision"],
    &["budget"],
    &["model"],
    &["sqlite"],
    &["clock"],
    &["process"],
];

/// The maximum lines of a file without the tests at its end: what can be read in one sitting. Tests are read one at a time.
const MAX_FILE: usize = 450;
const MAX_TEST_FILE: usize = 750;

/// The maximum lines of a function: what fits on a screen. A table of cases needs no more attention than one of its rows.
const MAX_FUNCTION: usize = 75;
const MAX_TEST_FUNCTION: usize = 105;

/// Functions that may be longer, and why.
const LONG: [(&str, &str); 1] = [(
    "server/routes.rs daemon_routes",
    "rows of the one table of routes",
)];

/// One file of `src/`, without its unit tests.
struct Source {
    /// Its path as `decision/board`; a `mod.rs` has its folder's name.
    module: String,
    path: String,
    text: String,
    is_test: bool,
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(source(&path));
            }
        }
    }
    assert!(found.len() > 100, "src/ has {} files", found.len());
    found
}

fn source(path: &Path) -> Source {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let path = path
        .strip_prefix(root)
        .expect("below src")
        .display()
        .to_string();
    let module = path
        .trim_end_matches(".rs")
        .trim_end_matches("/mod")
        .to_owned();
    let text = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(&path),
    );
    Source {
        is_test: module
            .split('/')
            .any(|part| part == "tests" || part == "fixtures" || part == "logged"),
        text: text.expect("UTF-8"),
        module,
        path,
    }
}

/// The text that is compiled into the program: without comments and without the unit tests at its end.
fn code(source: &Source) -> String {
    let text = source.text.split("\n#[cfg(test)]\nmod tests {").next();
    let lines = text.expect("a first part").lines();
    lines.map(without_comment).collect::<Vec<_>>().join("\n")
}

/// The line without a comment at its end. Slashes in a string, as in an address, begin none.
fn without_comment(line: &str) -> &str {
    let (mut in_string, mut is_escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            // The character '"' begins no string.
            '"' if in_string || !line[..at].ends_with('\'') => in_string = !in_string,
            '/' if !in_string && line[at..].starts_with("//") => return &line[..at],
            _ => {}
        }
    }
    line
}

#[test]
fn a_comment_ends_the_code_of_a_line_and_an_address_does_not() {
    for (line, code) in [
        ("a(); // crate::b", "a(); "),
        ("/// crate::b", ""),
        (r#"a("https://b"); crate::c"#, r#"a("https://b"); crate::c"#),
        (r#"a("\"//"); b // c"#, r#"a("\"//"); b "#),
        (r#"a('"'); b // c"#, r#"a('"'); b "#),
    ] {
        assert_eq!(without_comment(line), code);
    }
}

/// The paths that the code uses, from the root of the crate, as `decision/board/QueueKey`.
fn named(source: &Source) -> BTreeSet<String> {
    let path = Regex::new(r"\b(crate|super|self)::((?:\w+::)*)(\{|\w+|\*)").expect("a pattern");
    let code = code(source);
    let mut named = BTreeSet::new();
    for found in path.captures_iter(&code) {
        let mut at: Vec<&str> = match &found[1] {
            "crate" => vec![],
            "self" => source.module.split('/').collect(),
            _ => source
                .module
                .rsplit_once('/')
                .map_or(vec![], |(parent, _)| parent.split('/').collect()),
        };
        for part in found[2].split("::").filter(|part| !part.is_empty()) {
            match part {
                "super" => drop(at.pop()),
                part => at.push(part),
            }
        }
        let start = found.get(3).expect("an end");
        for end in leaves(&code[start.start()..]) {
            named.insert([at.join("/"), end].join("/").trim_matches('/').to_owned());
        }
    }
    named
}

/// The paths in a tree such as `{a::{b, c}, d}`, or a single name.
fn leaves(text: &str) -> Vec<String> {
    if !text.starts_with('{') {
        let name = text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next();
        return vec![name.expect("a first part").to_owned()];
    }
    let (mut leaves, mut prefixes, mut word) = (Vec::new(), Vec::<String>::new(), String::new());
    for c in text.chars() {
        match c {
            '{' => prefixes.push(std::mem::take(&mut word)),
            ',' | '}' => {
                if !word.is_empty() {
                    leaves.push(
                        format!("{}{}", prefixes.concat(), std::mem::take(&mut word))
                            .replace("::", "/"),
                    );
                }
                if c == '}' {
                    prefixes.pop();
                }
            }
            c if c.is_whitespace() => {}
            c => word.push(c),
        }
        if prefixes.is_empty() {
            break;
        }
    }
    leaves
}

fn floor(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&folder))
}

fn folder(path: &str) -> &str {
    path.split('/').next().expect("a first part")
}

#[test]
fn arrows_between_folders_point_downwards() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        let from = folder(&source.module);
        let Some(here) = floor(from) else {
            assert!(["lib", "main"].contains(&from), "{from} is on no floor");
            continue;
        };
        for named in named(source) {
            let to = folder(&named);
            if to != from && floor(to).is_some_and(|there| there <= here) {
                wrong.push(format!("{} names {named}", source.path));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "these arrows point upwards:\n{}",
        wrong.join("\n")
    );
}

/// The parts of `server/`, from the top floor down, as `server/mod.rs` says.
const SERVER_FLOORS: [&[&str]; 9] = [
    &["serve"],
    &["routes"],
    &["api", "check", "dashboard", "drop_in", "watch"],
    &["openapi"],
    &["route"],
    &["state"],
    &["http", "json"],
    &["net"],
    &["limits"],
];

/// Access knows rules, not the handlers behind them.
const UNKNOWN_TO_ACCESS: [&str; 5] = ["api", "dashboard", "drop_in", "openapi", "watch"];

/// The part of `server/` that a path belongs to, and its floor.
fn part(path: &str) -> Option<(&str, usize)> {
    let part = folder(path.strip_prefix("server/")?);
    let floor = SERVER_FLOORS.iter().position(|floor| floor.contains(&part));
    floor.map(|floor| (part, floor))
}

#[test]
fn arrows_between_the_parts_of_the_server_point_downwards() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test) {
        let Some((from, here)) = part(&source.module) else {
            let is_part = source.module.starts_with("server/");
            assert!(!is_part, "{} is on no floor", source.module);
            continue;
        };
        let is_access = source.module == "server/serve/access";
        for named in named(source) {
            let Some((to, there)) = part(&named) else {
                continue;
            };
            if (to != from && there <= here) || (is_access && UNKNOWN_TO_ACCESS.contains(&to)) {
                wrong.push(format!("{} names {named}", source.path));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "these arrows point upwards:\n{}",
        wrong.join("\n")
    );
}

/// Which files each file uses. A file may use the modules around it, which are read together with it.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let program: Vec<_> = sources.iter().filter(|source| !source.is_test).collect();
    let modules: BTreeSet<&str> = program
        .iter()
        .map(|source| source.module.as_str())
        .collect();
    let mut arrows = BTreeMap::new();
    for source in &program {
        let named = named(source);
        let files = named.iter().filter_map(|path| file(path, &modules));
        let others = files.filter(|file| !Path::new(&source.module).starts_with(file));
        arrows.insert(
            source.module.clone(),
            others.map(str::to_owned).collect::<BTreeSet<_>>(),
        );
    }
    arrows
}

/// The file that a path belongs to: `decision/board` for `decision/board/QueueKey`.
fn file<'a>(path: &'a str, modules: &BTreeSet<&str>) -> Option<&'a str> {
    let ancestors = Path::new(path).ancestors().filter_map(Path::to_str);
    ancestors
        .into_iter()
        .find(|ancestor| modules.contains(ancestor))
}

/// The shortest path from a file back to itself.
fn cycle<'a>(
    from: &'a str,
    arrows: &'a BTreeMap<String, BTreeSet<String>>,
) -> Option<Vec<&'a str>> {
    let mut came_from = BTreeMap::<&str, &str>::new();
    let mut queue = VecDeque::from([from]);
    while let Some(file) = queue.pop_front() {
        for next in &arrows[file] {
            if next == from {
                let mut cycle = vec![from, file];
                while let Some(before) = came_from.get(cycle[cycle.len() - 1]) {
                    cycle.push(before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next.as_str(), file);
                queue.push_back(next);
            }
        }
    }
    None
}

#[test]
fn files_form_no_cycles() {
    let arrows = arrows();
    let mut cycles = BTreeMap::new();
    for file in arrows.keys() {
        if let Some(cycle) = cycle(file, &arrows) {
            let files: BTreeSet<&str> = cycle.iter().copied().collect();
            cycles.entry(files).or_insert(cycle.join(" ▸ "));
        }
    }
    let cycles: Vec<_> = cycles.into_values().collect();
    assert!(
        cycles.is_empty(),
        "these files form cycles:\n{}",
        cycles.join("\n")
    );
}

#[test]
fn modules_do_not_import_everything_from_another() {
    let glob = Regex::new(r"(?m)^ *(?:pub(?:\([a-z: ]+\))? )?use (?:super|crate)::[^;]*\*")
        .expect("a pattern");
    let sources = sources();
    let program = sources.iter().filter(|source| !source.is_test);
    let globs: Vec<_> = program
        .filter(|source| glob.is_match(&code(source)))
        .map(|source| &source.path)
        .collect();
    assert!(globs.is_empty(), "these import everything: {globs:#?}");
}

#[test]
fn files_and_functions_stay_short() {
    let function = Regex::new(r"^( *)(?:pub(?:\([a-z: ]+\))? )?(?:const )?(?:async )?fn (\w+)")
        .expect("a pattern");
    let mut long = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        let tests_begin = tests_begin(&lines);
        let (length, most) = match source.is_test {
            true => (lines.len(), MAX_TEST_FILE),
            false => (tests_begin, MAX_FILE),
        };
        if length > most {
            long.push((source.path.clone(), length));
        }
        for (start, line) in lines.iter().enumerate() {
            let Some(found) = function.captures(line) else {
                continue;
            };
            let is_test = source.is_test || start > tests_begin;
            let most = if is_test {
                MAX_TEST_FUNCTION
            } else {
                MAX_FUNCTION
            };
            if !has_body(&lines[start..]) {
                continue;
            }
            // rustfmt puts the end of a function directly below its beginning.
            let end = format!("{}}}", &found[1]);
            let length = lines[start..].iter().position(|line| *line == end);
            if let Some(length) = length.filter(|length| *length > most) {
                long.push((format!("{} {}", source.path, &found[2]), length));
            }
        }
    }
    for (what, _) in LONG {
        let before = long.len();
        long.retain(|(name, _)| name != what);
        assert!(
            long.len() < before,
            "{what} is short now: remove it from LONG"
        );
    }
    assert!(long.is_empty(), "these are too long: {long:#?}");
}

/// Whether a function that begins here has a body, unlike a declaration in a trait.
fn has_body(lines: &[&str]) -> bool {
    let end = lines.iter().find(|line| line.ends_with([';', '{', '}']));
    end.is_some_and(|line| !line.ends_with(';'))
}

/// The line at which the tests at the end of a file begin, or its length.
fn tests_begin(lines: &[&str]) -> usize {
    let begins = lines
        .windows(2)
        .position(|two| two == ["#[cfg(test)]", "mod tests {"]);
    begins.unwrap_or(lines.len())
}
