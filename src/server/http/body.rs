//! Request bodies, for the few routes that read one: bounded in length and time.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use super::{problem::Problem, problem_types};
use crate::server::net::deadline::within;

/// Limits on the body of a request. Access adds them to each request.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyLimits {
    /// The longest body, in bytes.
    pub bytes: usize,
    /// The longest wait for the whole body.
    pub time: Duration,
}

/// Marks an answer whose body continues until one side ends it.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

/// The whole body of a request, or why it could not be read.
pub struct RequestBody(pub Result<Bytes, Problem>);

/// Without [`BodyLimits`] only an empty body is accepted.
impl<S: Sync> FromRequest<S> for RequestBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let limits = request.extensions().get().copied().unwrap_or_default();
        Ok(Self(read(request.into_body(), limits).await))
    }
}

async fn read(body: Body, limits: BodyLimits) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > limits.bytes as u64 {
        return Err(too_large(limits.bytes));
    }
    let body = Limited::new(body, limits.bytes).collect();
    match within(limits.time, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits.bytes)),
        Ok(Err(_)) => Err(Problem::bad_request(
            "the connection ended before the body was complete",
        )
        .and_close()),
        Err(_) => Err(too_slow()),
    }
}

/// Returns the problem for a body that is longer than the route allows.
pub fn too_large(max_bytes: usize) -> Problem {
    Problem::new(
        problem_types::BODY_TOO_LARGE,
        format!(
            "the body may be at most {} KiB on this path",
            max_bytes / 1024
        ),
    )
    .and_close()
}

fn too_slow() -> Problem {
    Problem::from_type(problem_types::SLOW_REQUEST).and_close()
}
