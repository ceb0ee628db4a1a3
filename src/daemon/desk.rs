//! Requests that only commands on this machine can make, through the control socket.

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
    clock::Clock,
    config::Config,
    process::log,
    server::check::{
        By, Count, Reach, check, list, select,
        survey::{self, survey},
    },
};

/// A config, and how to reach its accounts.
#[derive(Debug)]
struct Desk {
    config: Config,
    accounts: Vec<Reach>,
    clock: Arc<dyn Clock>,
}

/// Returns the routes for a config.
pub(super) fn routes(config: &Config, accounts: Vec<Reach>, clock: &Arc<dyn Clock>) -> Router {
    let desk = Desk {
        config: config.clone(),
        accounts,
        clock: Arc::clone(clock),
    };
    Router::new()
        .route("/v1/check", post(answer_check))
        .route("/v1/list", post(answer_list))
        .route("/v1/survey", post(answer_survey))
        .route("/v1/config", post(answer_config))
        .route("/v1/log", post(change_levels))
        .with_state(Arc::new(desk))
}

/// Returns the values of a parameter.
fn values(uri: &Uri, wanted: &str) -> Vec<String> {
    let query = uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == wanted)
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// Refuses; the command exits with a usage error.
fn refusal(why: String) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, why).into_response()
}

/// `POST /v1/check?queue=a&queue=b`: returns the report.
async fn answer_check(State(desk): State<Arc<Desk>>, uri: Uri) -> Response {
    let targets = match select(&desk.config, &values(&uri, "queue")) {
        Ok(targets) => targets,
        Err(unknown) => return refusal(unknown.to_string()),
    };
    let report = check(&targets, &desk.accounts, By::Daemon, &desk.clock, &|| ()).await;
    ([(header::CONTENT_TYPE, "application/json")], report.json).into_response()
}

/// `POST /v1/list?seats=true`: returns every account's queues, with or without agents and seats. With `yes=true` it may spend more than the reserve.
async fn answer_list(State(desk): State<Arc<Desk>>, uri: Uri) -> Response {
    let is_set = |name| values(&uri, name).iter().any(|value| value == "true");
    let wanted = Count::wanted(is_set("seats"), is_set("yes"));
    let mut listings = Vec::with_capacity(desk.accounts.len());
    for reach in &desk.accounts {
        listings.push(list(reach, &desk.clock, wanted).await);
    }
    axum::Json(listings).into_response()
}

/// `POST /v1/survey?queue=main/sales`: reports how the API of this queue's account behaves. Answers 502 with CallTools' fault if that is all.
async fn answer_survey(State(desk): State<Arc<Desk>>, uri: Uri) -> Response {
    let targets = match select(&desk.config, &values(&uri, "queue")) {
        Ok(targets) => targets,
        Err(unknown) => return refusal(unknown.to_string()),
    };
    let target = match survey::only(&targets) {
        Ok(target) => target,
        Err(several) => return refusal(several.to_string()),
    };
    let mut reaches = desk.accounts.iter();
    let reach = reaches
        .find(|reach| reach.config.name == target.account.name)
        .expect("the desk has every account of its config");
    match survey(target, reach, &desk.clock).await {
        Ok(report) => axum::Json(report).into_response(),
        Err(error) => {
            let why = survey::message(&error, desk.clock.now());
            (StatusCode::BAD_GATEWAY, why).into_response()
        }
    }
}

/// `POST /v1/config`: returns the digest of the accounts' settings, so that a command sees whether the daemon has those of the file.
async fn answer_config(State(desk): State<Arc<Desk>>) -> String {
    desk.config.digest_of_accounts()
}

/// `POST /v1/log?levels=debug`: changes the log levels.
async fn change_levels(uri: Uri) -> Response {
    let levels = values(&uri, "levels").pop().unwrap_or_default();
    match levels.parse() {
        Ok(levels) => {
            log::change(&levels);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => refusal(format!("{error}")),
    }
}
