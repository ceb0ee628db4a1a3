//! `docs/metrics.md`, the alert rules and the Grafana dashboard agree with a scrape.

use std::collections::{BTreeMap, BTreeSet};

use openseat::{decision::Reason, metrics::MAX_STATUS_LABELS};

use crate::{Page, TIMEOUT, quoted, read, running::Running};

const RULES: &str = include_str!("../../deploy/prometheus/openseat.rules.yml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/openseat.json");

fn page() -> Page {
    read("docs/metrics.md")
}

/// A metric's type and labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// The metrics in a scrape in the text format.
fn scraped(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').expect("a name and a type");
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (name, labels) = sample(line);
            let family = ["", "_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|family| families.contains_key(*family));
            let family = family.unwrap_or_else(|| panic!("{line} belongs to no family"));
            let known = families.get_mut(family).expect("found just now");
            known.1.extend(labels.filter(|label| label != "le"));
        }
    }
    families
}

/// A sample's name and the names of its labels. Label values must not contain `,` or `=`.
fn sample(line: &str) -> (&str, impl Iterator<Item = String>) {
    let end = line.find(['{', ' ']).expect("a name");
    let labels = line[end..]
        .strip_prefix('{')
        .and_then(|rest| rest.split_once('}'));
    let labels = labels.map_or("", |(labels, _)| labels);
    let names = labels.split(',').filter_map(|label| label.split_once('='));
    (&line[..end], names.map(|(name, _)| name.to_owned()))
}

/// The metrics in the page's tables.
fn documented(page: &Page) -> Families {
    let mut families = Families::new();
    for line in page.text.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _] = cells[..] else {
            continue;
        };
        let Some(name) = quoted(name).next() else {
            continue;
        };
        let labels = quoted(labels).map(str::to_owned).collect();
        families.insert(name.to_owned(), (kind.to_owned(), labels));
    }
    families
}

/// Not in this scrape: the first needs a `[[server.client]]`, the third `soon = true`, the fourth an hour of calls, the others lists that cannot be read or lie. Tests of
/// the server and of the account check them.
const NOT_SCRAPED: [&str; 5] = [
    "openseat_client_requests_total",
    "openseat_feed_skipped_rows_total",
    "openseat_soon_acts",
    "openseat_soon_total",
    "openseat_sweeps_distrusted_total",
];

/// These need a `[cluster]`; `tests/daemon/cluster.rs` checks them.
const OF_CLUSTERS: &str = "openseat_cluster_";

#[tokio::test]
async fn every_metric_is_documented_with_its_type_and_labels() {
    let work = async {
        let running = Running::start().await;
        running.ready().await;
        running.reserve("a").await;
        running.overfill().await;
        running.ask("/metrics").await
    };
    let (_, text) = tokio::time::timeout(TIMEOUT, work).await.expect("in time");
    let page = page();
    let (scraped, documented) = (scraped(&text), documented(&page));
    for (name, family) in &scraped {
        assert_eq!(
            Some(family),
            documented.get(name),
            "docs/metrics.md on {name}"
        );
    }
    let is_expected =
        |name: &&String| !NOT_SCRAPED.contains(&name.as_str()) && !name.starts_with(OF_CLUSTERS);
    for name in documented.keys().filter(is_expected) {
        assert!(
            scraped.contains_key(name),
            "docs/metrics.md has {name}, but a scrape does not"
        );
    }
    let bound = format!("at most {MAX_STATUS_LABELS} of them");
    assert!(page.text.contains(&bound));
}

#[test]
fn rules_and_dashboard_use_metrics_that_exist() {
    let known = documented(&page());
    let samples = |name: &str| {
        let histogram = ["_bucket", "_sum", "_count"];
        let base = histogram.iter().find_map(|end| name.strip_suffix(end));
        known.contains_key(name) || base.is_some_and(|base| known.contains_key(base))
    };
    for (file, text) in [("the rules", RULES), ("the dashboard", DASHBOARD)] {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        let names: BTreeSet<_> = words
            .filter(|word| word.starts_with("openseat_") || word.starts_with("process_"))
            .collect();
        assert!(names.len() > 5, "{file}");
        for name in names {
            assert!(
                samples(name),
                "{file} uses {name}, which docs/metrics.md lacks"
            );
        }
    }
}

#[test]
fn pages_name_metrics_that_exist() {
    let known = documented(&page());
    for page in crate::pages() {
        for name in page.quoted() {
            let end = name.find(['{', ' ']).unwrap_or(name.len());
            // Prefixes that end in an underscore, and names of parts of the program, are not metrics.
            if name.starts_with("openseat_") && !name.ends_with('_') {
                let name = &name[..end];
                assert!(known.contains_key(name), "{} on {name}", page.name);
            }
        }
    }
}

/// An expression or a rules file without comments, line ends and indentation.
fn flat(text: &str) -> String {
    let code = text.lines().filter_map(|line| line.split('#').next());
    let words = code.flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_expressions_in_the_page_are_those_of_the_rules() {
    let rules = flat(RULES);
    let page = page();
    let blocks = page.blocks("promql");
    let shown = blocks.iter().flat_map(|block| block.split("\n\n"));
    let shown: Vec<_> = shown.map(flat).collect();
    assert!(shown.len() > 4);
    for expression in shown {
        let rule = [
            format!("expr: {expression} for:"),
            format!("expr: | {expression} for:"),
        ];
        assert!(
            rule.iter().any(|rule| rules.contains(rule)),
            "docs/metrics.md shows an expression that no rule has: {expression}"
        );
    }
}

#[test]
fn rules_and_dashboard_distinguish_known_from_unknown_reasons() {
    for (file, text) in [("the rules", RULES), ("the dashboard", DASHBOARD)] {
        let text = text.replace("\\\"", "\"");
        let listed: Vec<_> = text.split("reason!~\"").skip(1).collect();
        assert!(!listed.is_empty(), "{file}");
        for list in listed {
            let list = list.split('"').next().expect("a closing quote");
            for reason in Reason::ALL {
                let reason_text = reason.to_string();
                let is_listed = list.split('|').any(|word| word == reason_text);
                assert_eq!(is_listed, reason.is_known(), "{file} on {reason}");
            }
        }
    }
}
