//! The queues that a request names, in its path or its query.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::app::{App, Queue};
use crate::{
    decision::board::NotOnBoard,
    process::spelling::nearest,
    server::http::{problem::Problem, problem_types, rights::Rights},
};

/// The most queues in one request. A router compares the few that serve one campaign; a hundred names of 100 bytes still fit into the longest
/// request head.
pub const MAX_QUEUES: usize = 100;

/// The most queues among which the nearest names are looked for: that takes about a tenth of a millisecond, which a router that asks for a wrong name
/// a hundred times a second must not notice.
const MAX_COMPARED: usize = 250;

/// The queue that a path names: `…/{queue}/…` or `…/{account}/{queue}/…`, each percent-encoded. A client that encodes the slash, too, names the
/// account in one segment, as in a query.
pub struct NamedQueue(pub Arc<Queue>);

impl FromRequestParts<Arc<App>> for NamedQueue {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let names = Path::<Vec<String>>::from_request_parts(parts, app).await;
        let Path(names) = names.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
        let queue = match names.as_slice() {
            [account, queue] => app.find(Some(account), queue),
            [queue] => app.find_named(queue),
            _ => return Err(Problem::no_such_path()),
        };
        let Ok(rights) = Rights::from_request_parts(parts, app).await;
        Ok(Self(allowed(app, rights, queue)?))
    }
}

/// Returns the queues that a query names, in its order: at least one, at most [`MAX_QUEUES`].
///
/// # Errors
/// Too few or too many names, or a name of no queue.
pub fn named_queues<'a>(
    app: &App,
    rights: Rights,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<Arc<Queue>>, Problem> {
    let names: Vec<_> = names.collect();
    if !(1..=MAX_QUEUES).contains(&names.len()) {
        return Err(Problem::bad_parameter(format!(
            "give \"queue\" 1 to {MAX_QUEUES} times; this request has it {} times",
            names.len()
        )));
    }
    let find = |name| allowed(app, rights, app.find_named(name));
    names.into_iter().map(find).collect()
}

/// Returns the found queue if the caller may name it. A client that is limited to some queues must not learn about others.
fn allowed(
    app: &App,
    rights: Rights,
    found: Result<Arc<Queue>, NotOnBoard>,
) -> Result<Arc<Queue>, Problem> {
    match found {
        Ok(queue) if app.may_name(rights, &queue.key) => Ok(queue),
        Err(error) if app.may_name_all(rights) => Err(explained(app, error)),
        _ => Err(Problem::from_type(problem_types::MAY_NOT)),
    }
}

/// Returns the names of the config that are nearest to this one.
pub(super) fn near(app: &App, asked: &str) -> Vec<String> {
    let names = app.queues().iter().map(|queue| match asked.contains('/') {
        true => queue.key.to_string(),
        false => queue.key.queue.to_string(),
    });
    let names: Vec<_> = names.collect();
    nearest(asked, names.iter().map(String::as_str))
}

/// Adds the nearest names to the error, with their accounts if the request seems to name one.
fn explained(app: &App, error: NotOnBoard) -> Problem {
    let near = match &error {
        NotOnBoard::Unknown { asked } if app.queues().len() <= MAX_COMPARED => near(app, asked),
        _ => Vec::new(),
    };
    if near.is_empty() {
        return error.into();
    }
    let near: Vec<_> = near.iter().map(|name| format!("\"{name}\"")).collect();
    let detail = format!("{error}; did you mean {}?", near.join(" or "));
    Problem::new(problem_types::UNKNOWN_QUEUE, detail)
}
