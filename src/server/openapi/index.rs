//! The list at `/`: every operation in a line, for `curl` and for the dashboard.

use std::sync::LazyLock;

use super::Operation;
use crate::server::routes;

static LINES: LazyLock<Vec<(String, &str)>> = LazyLock::new(|| told(&routes::operations()));
static TEXT: LazyLock<String> = LazyLock::new(text);

/// Where accounts share a queue's name, everything of queues can be asked for in a second way. One line tells of all of it.
const BY_ACCOUNT: (&str, &str) = (
    "     …/{account}/{queue}/…",
    "the same, where accounts share a queue's name",
);

/// What is asked, and what it does.
pub(in crate::server) fn lines() -> &'static [(String, &'static str)] {
    &LINES
}

/// The list as text.
pub(in crate::server) fn index() -> &'static str {
    &TEXT
}

fn told(operations: &[Operation]) -> Vec<(String, &'static str)> {
    let listed = operations.iter().filter(|one| !one.is_by_account());
    let lines = listed.map(|one| (format!("{} {}", one.method(), one.path()), one.summary));
    lines
        .chain([(BY_ACCOUNT.0.to_owned(), BY_ACCOUNT.1)])
        .collect()
}

fn text() -> String {
    let mut text = format!("openseat {}\n\n", env!("CARGO_PKG_VERSION"));
    for (request, answer) in lines() {
        text.push_str(&format!("{request:<38} {answer}\n"));
    }
    text.push_str("\nMore of it is at /docs, and for programs at /openapi.json.\n");
    text
}
