//! What the daemon does for the commands of this machine, beyond what it answers to everybody: only the control socket leads here.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use http::{StatusCode, Uri, header};
use url::form_urlencoded;

use crate::{
    check::{By, Reach, check, select},
    clock::Clock,
    config::Config,
};

/// One config, and how its accounts are reached.
#[derive(Debug)]
struct Desk {
    config: Config,
    accounts: Vec<Reach>,
    clock: Arc<dyn Clock>,
}

/// The routes of a config.
pub(super) fn routes(config: &Config, accounts: Vec<Reach>, clock: &Arc<dyn Clock>) -> Router {
    let desk = Desk {
        config: config.clone(),
        accounts,
        clock: Arc::clone(clock),
    };
    Router::new()
        .route("/v1/check", post(answer_check))
        .with_state(Arc::new(desk))
}

/// `POST /v1/check?queue=a&queue=b`: the report, or 422 with the reason why nothing was asked.
async fn answer_check(State(desk): State<Arc<Desk>>, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default();
    let asked: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "queue")
        .map(|(_, queue)| queue.into_owned())
        .collect();
    let targets = match select(&desk.config, &asked) {
        Ok(targets) => targets,
        Err(unknown) => {
            return (StatusCode::UNPROCESSABLE_ENTITY, unknown.to_string()).into_response();
        }
    };
    let report = check(&targets, &desk.accounts, By::Daemon, &desk.clock, &|| ()).await;
    ([(header::CONTENT_TYPE, "application/json")], report.json).into_response()
}
