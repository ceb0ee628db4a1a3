//! Links and anchors resolve, and the README stays short.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{Page, pages, read};

/// The README is for the first five minutes.
const MAX_README_BYTES: usize = 8 * 1024;

#[test]
fn the_readme_is_short() {
    let readme = read("README.md").text.len();
    assert!(readme <= MAX_README_BYTES, "README.md has {readme} bytes");
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => letter.to_lowercase().next(),
        _ => None,
    });
    kept.collect()
}

fn anchors(page: &Page) -> Vec<String> {
    let prose = page.prose();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| anchor(heading.trim_start_matches('#')))
        .collect()
}

/// The path with `..` resolved.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn links_and_anchors_resolve() {
    let mut documents = pages();
    documents.extend(
        [
            "ARCHITECTURE.md",
            "CHANGELOG.md",
            "SECURITY.md",
            "deploy/README.md",
            "deploy/routers/README.md",
            "tests/daemon/MATRIX.md",
        ]
        .map(read),
    );
    let anchors: HashMap<_, _> = documents
        .iter()
        .map(|page| (PathBuf::from(&page.name), anchors(page)))
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for page in &documents {
        for link in page.prose().split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => PathBuf::from(&page.name),
                file => plain(&Path::new(&page.name).with_file_name(file)),
            };
            let name = &page.name;
            assert!(root.join(&target).exists(), "{name} links to {link}");
            let known = || {
                anchors
                    .get(&target)
                    .is_some_and(|all| all.iter().any(|one| one == anchor))
            };
            assert!(anchor.is_empty() || known(), "{name} links to {link}");
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen}");
}

#[test]
fn every_page_is_reachable_from_the_readme() {
    let pages = pages();
    let linked: Vec<_> = pages
        .iter()
        .flat_map(|page| {
            let prose = page.prose();
            let links = prose.split("](").skip(1);
            let links = links.filter_map(|link| link.split([')', '#']).next());
            let target = |link: &str| plain(&Path::new(&page.name).with_file_name(link));
            links.map(target).collect::<Vec<_>>()
        })
        .collect();
    for page in &pages[1..] {
        let is_linked = linked.iter().any(|target| *target == Path::new(&page.name));
        assert!(is_linked, "no page links to {}", page.name);
    }
}
