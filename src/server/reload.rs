//! `POST /v1/reload`: have the config read again.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header};
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use super::{app::App, params::Params, problem::Problem};
use crate::reload::ReloadError;

/// A config is read within milliseconds; accounts that hand over what they know may take a second each.
const LONGEST: Duration = Duration::from_secs(15);

/// Answers once the new config is in force, or refused.
pub(super) async fn wish(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    Params::parse(uri.query(), &[])?;
    let Some(reloads) = &app.reloads else {
        return Err(ReloadError::NoFile.into());
    };
    let (wish, outcome) = oneshot::channel();
    match reloads.try_send(wish) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return Err(busy()),
        Err(TrySendError::Closed(_)) => return Err(Problem::stopping()),
    }
    match tokio::time::timeout(LONGEST, outcome).await {
        Ok(Ok(Ok(reloaded))) => Ok(Json(reloaded).into_response()),
        Ok(Ok(Err(error))) => Err(error.into()),
        Ok(Err(_daemon_is_gone)) => Err(Problem::stopping()),
        Err(_elapsed) => Err(slow()),
    }
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let kind = match error {
            ReloadError::Config(_) => "bad-config",
            ReloadError::NeedsRestart(_) => "needs-restart",
            ReloadError::Unusable(_) => "unusable-config",
            ReloadError::NoFile => "no-config-file",
        };
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            kind,
            "The config is refused, and the old one stays in force",
            error.to_string(),
        )
    }
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "The config is being read again",
        "several wishes are waiting already; ask again in a moment",
    )
    .with(header::RETRY_AFTER, 1)
}

fn slow() -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "reload-timeout",
        "The config takes long to be taken in",
        "it goes on; the log and openseat_config_last_reload_successful tell how it ends",
    )
}
