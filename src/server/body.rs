//! Bodies of requests, for the few routes that read one: within bounds of length and time.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{app::App, kinds, problem::Problem};

/// The whole body. It has as much time as a request's head, since both fit one packet or two.
pub(super) async fn read(app: &App, body: Body, longest: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(body, longest).collect();
    match tokio::time::timeout(app.limits.head, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(longest)),
        Ok(Err(_)) => Err(Problem::bad_request("the body breaks off").and_close()),
        Err(_) => Err(too_slow()),
    }
}

fn too_large(longest: usize) -> Problem {
    Problem::new(
        kinds::BODY_TOO_LARGE,
        format!("here it has {} KiB at most", longest / 1024),
    )
    .and_close()
}

fn too_slow() -> Problem {
    Problem::usual(kinds::SLOW_REQUEST).and_close()
}
