//! `POST /v1/reload`: reloads the config.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::Uri;
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use crate::server::{
    http::{params::Params, problem::Problem, problem_types},
    state::{app::App, reload_request::ReloadError},
};

/// The longest wait for a reload. Reading a config takes milliseconds; accounts that hand over what they know may take a second each.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// Answers once the new config is in force or rejected.
pub async fn reload_config(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let Some(reloads) = &app.reloads else {
        return Err(ReloadError::NoFile.into());
    };
    let (request, result) = oneshot::channel();
    match reloads.try_send(request) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return Err(Problem::busy()),
        Err(TrySendError::Closed(_)) => return Err(Problem::stopping()),
    }
    match tokio::time::timeout(MAX_WAIT, result).await {
        Ok(Ok(Ok(reloaded))) => Ok(Json(reloaded).into_response()),
        Ok(Ok(Err(error))) => Err(error.into()),
        Ok(Err(_daemon_is_gone)) => Err(Problem::stopping()),
        Err(_elapsed) => Err(Problem::from_type(problem_types::RELOAD_TIMEOUT)),
    }
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let kind = match error {
            ReloadError::Config(_) => problem_types::BAD_CONFIG,
            ReloadError::NeedsRestart(_) => problem_types::NEEDS_RESTART,
            ReloadError::Unusable(_) => problem_types::UNUSABLE_CONFIG,
            ReloadError::NoFile => problem_types::NO_CONFIG_FILE,
        };
        Problem::new(kind, error.to_string())
    }
}
