//! The documents are true: every endpoint, reason, command, exit code, metric and config key is in `docs/`,
//! every one that the pages name exists, and their examples work.

mod commands;
mod config;
mod http;
mod links;
mod metrics;
mod running;
#[path = "../support/mod.rs"]
mod support;

use std::{fs, path::Path};

/// Far more than a busy machine needs, also for examples that wait until another one's seat is free again.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(180);

/// A Markdown file.
pub struct Page {
    /// Its path in the repository.
    name: String,
    text: String,
}

/// Reads a file of the repository.
fn read(name: &str) -> Page {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let name = name.to_owned();
    Page { name, text }
}

/// The README and every page in `docs/`.
fn pages() -> Vec<Page> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let entries = fs::read_dir(folder).expect("there is a folder docs");
    let names = entries.map(|entry| entry.expect("the folder can be listed").file_name());
    let mut names: Vec<_> = names
        .map(|name| name.into_string().expect("a plain name"))
        .filter(|name| name.ends_with(".md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    names.sort();
    names.insert(0, "README.md".to_owned());
    assert!(names.len() > 10, "{names:?}");
    names.iter().map(|name| read(name)).collect()
}

impl Page {
    /// The text without its code blocks.
    fn prose(&self) -> String {
        self.text.split("```").step_by(2).collect()
    }

    /// The texts between backquotes, outside code blocks.
    fn quoted(&self) -> Vec<String> {
        quoted(&self.prose()).map(str::to_owned).collect()
    }

    /// The code blocks in a language.
    fn blocks(&self, language: &str) -> Vec<&str> {
        let blocks = self.text.split("```").skip(1).step_by(2);
        blocks
            .filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'))
            .collect()
    }

    /// The lines that a reader would type into a shell.
    fn shell_lines(&self) -> Vec<String> {
        let scripts = self.blocks("sh").into_iter().flat_map(str::lines);
        let typed = self.blocks("console").into_iter().flat_map(str::lines);
        let typed = typed.filter_map(|line| line.strip_prefix("$ "));
        scripts.chain(typed).map(str::to_owned).collect()
    }

    /// The first cell of each row of the table below a heading.
    fn first_cells(&self, heading: &str) -> Vec<String> {
        let below = self.text.split(&format!("\n{heading}\n")).nth(1);
        let below = below.unwrap_or_else(|| panic!("{} has no \"{heading}\"", self.name));
        let section = below.split("\n## ").next().unwrap_or_default();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
            .collect()
    }
}

/// The texts between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a page has this text between backquotes.
fn is_quoted(pages: &[Page], wanted: &str) -> bool {
    pages
        .iter()
        .any(|page| page.quoted().iter().any(|text| text == wanted))
}
