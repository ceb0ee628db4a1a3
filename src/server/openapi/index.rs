//! The list at `/`: every operation on one line, for `curl` and for the dashboard.

use super::Operation;

/// Every operation on a queue can also name the account. One line says so for all of them.
const BY_ACCOUNT: (&str, &str) = (
    "     …/{account}/{queue}/…",
    "the same, for accounts that share a queue's name",
);

/// A request, such as `GET /metrics`, and what it does.
pub(in crate::server) type Line = (String, &'static str);

/// The lines of the list.
pub(in crate::server) fn lines(operations: &[Operation]) -> Vec<Line> {
    let listed = operations.iter().filter(|one| !one.is_by_account());
    let lines = listed.map(|one| (format!("{} {}", one.method(), one.path()), one.summary));
    lines
        .chain([(BY_ACCOUNT.0.to_owned(), BY_ACCOUNT.1)])
        .collect()
}

/// The list as text.
pub(in crate::server) fn index(lines: &[Line]) -> String {
    let mut text = format!("openseat {}\n\n", env!("CARGO_PKG_VERSION"));
    for (request, answer) in lines {
        text.push_str(&format!("{request:<38} {answer}\n"));
    }
    text.push_str("\nThe reference is at /docs, and for programs at /openapi.json.\n");
    text
}
