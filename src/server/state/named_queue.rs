//! The queues that a request names, in its path or its query.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::app::{App, Queue};
use crate::{
    decision::board::NotOnBoard,
    server::http::{problem::Problem, problem_types, rights::Rights},
};

/// The most queues in one request. A router compares the few that serve one campaign; a hundred names of 100 bytes still fit into the longest
/// request head.
pub const MAX_QUEUES: usize = 100;

/// The queue that a path names: `…/{queue}/…` or `…/{account}/{queue}/…`, each percent-encoded.
pub struct NamedQueue(pub Arc<Queue>);

impl FromRequestParts<Arc<App>> for NamedQueue {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let names = Path::<Vec<String>>::from_request_parts(parts, app).await;
        let Path(names) = names.map_err(|_| Problem::bad_request("the path is not UTF-8"))?;
        let queue = match names.as_slice() {
            [account, queue] => app.find(Some(account), queue),
            [queue] => app.find(None, queue),
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
        Err(error) if app.may_name_all(rights) => Err(error.into()),
        _ => Err(Problem::from_type(problem_types::MAY_NOT)),
    }
}
