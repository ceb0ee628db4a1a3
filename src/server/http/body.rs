//! Bodies of requests, for the few routes that read one: within bounds of length and time.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use super::{problem::Problem, problem_types};
use crate::server::{net::deadline::within, route::Rule, state::app::App};

/// The whole body of a request, within the bound that the table of routes sets; or why there is none.
pub struct Whole(pub Result<Bytes, Problem>);

impl FromRequest<Arc<App>> for Whole {
    type Rejection = Infallible;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Infallible> {
        let rule = request.extensions().get().copied();
        let Rule { body: longest, .. } = rule.unwrap_or(Rule::NOWHERE);
        Ok(Self(read(app, request.into_body(), longest).await))
    }
}

/// It has as much time as a request's head, since both fit one packet or two.
async fn read(app: &App, body: Body, longest: usize) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > longest as u64 {
        return Err(too_large(longest));
    }
    let body = Limited::new(body, longest).collect();
    match within(app.limits.head, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(longest)),
        Ok(Err(_)) => Err(Problem::bad_request("the body breaks off").and_close()),
        Err(_) => Err(too_slow()),
    }
}

pub fn too_large(longest: usize) -> Problem {
    Problem::new(
        problem_types::BODY_TOO_LARGE,
        format!("here it has {} KiB at most", longest / 1024),
    )
    .and_close()
}

fn too_slow() -> Problem {
    Problem::usual(problem_types::SLOW_REQUEST).and_close()
}
