//! What a request for a decision may say, and how it is answered.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use tokio::time::Instant;

use crate::{
    account,
    decision::{self, Decision, Patience, Policy, board::QueueState, reservations::Reserved},
    model::quantity::Quantity,
    server::{
        http::{
            params::{self, Parameter, Params, Shape},
            problem::Problem,
            problem_types,
            rights::Rights,
        },
        json::decision::DecisionJson,
        state::app::{App, Queue},
    },
};

const THRESHOLD: Parameter = Parameter {
    name: "threshold",
    meaning: "Accept while there are more seats than this, instead of the configured threshold",
    shape: Shape::Number,
    example: "2",
};

const FORMAT: Parameter = Parameter {
    name: "format",
    meaning: "`text` answers `accept` or `reject`; `status` answers 204 or 403 without a body",
    shape: Shape::OneOf(&["json", "text", "status"]),
    example: "json",
};

const FRESH: Parameter = Parameter {
    name: "fresh",
    meaning: "Wait for newer data if what is known is older than this and in doubt, and a request is to spare; a duration such as `2s` or `1m`",
    shape: Shape::Pattern("^(0(ms|s|m|h)?|[1-9][0-9]{0,5}(ms|s|m|h))$"),
    example: "2s",
};

const WAIT: Parameter = Parameter {
    name: "wait",
    meaning: "The longest time to wait for newer data, at most 5 s; a duration such as `800ms`",
    shape: Shape::Pattern("^(0(ms|s|m|h)?|([1-9][0-9]{0,2}|[1-4][0-9]{3}|5000)ms|[1-5]s)$"),
    example: "800ms",
};

/// The parameters of a request for one decision.
pub const DECISION_PARAMETERS: &[Parameter] = &[THRESHOLD, FORMAT, FRESH, WAIT];

/// The parameters of a request for a reservation, whose answer has only one format.
pub const RESERVATION_PARAMETERS: &[Parameter] = &[THRESHOLD, FRESH, WAIT];

/// How the answer is written.
#[derive(Clone, Copy)]
enum Format {
    Json,
    /// `accept` or `reject`, for shell scripts and dial plans.
    Text,
    /// 204 or 403 without a body, for routers that only read the status, such as nginx' `auth_request`.
    Status,
}

impl Format {
    fn parse(name: Option<&str>) -> Result<Self, Problem> {
        match name {
            None | Some("json") => Ok(Format::Json),
            Some("text") => Ok(Format::Text),
            Some("status") => Ok(Format::Status),
            Some(_) => Err(Problem::bad_parameter(
                "\"format\" is one of json, text and status",
            )),
        }
    }
}

/// A request for a decision about one queue.
pub struct DecisionRequest {
    policy: Policy,
    format: Format,
    patience: Option<Patience>,
}

impl DecisionRequest {
    /// Reads the query of a request for a decision. What it leaves out is as configured.
    ///
    /// # Errors
    /// A parameter is wrong, or a caller that may only look asks to wait.
    pub fn parse(uri: &Uri, queue: &Queue, rights: Rights) -> Result<Self, Problem> {
        let params = Params::parse(uri.query(), DECISION_PARAMETERS)?;
        let request = Self::read(&params, queue)?;
        if rights == Rights::All {
            return Ok(request);
        }
        if params.one("fresh")?.or(params.one("wait")?).is_some() {
            return Err(Problem::from_type(problem_types::MAY_ONLY_LOOK));
        }
        Ok(Self {
            patience: None,
            ..request
        })
    }

    /// Reads the query of a request for a reservation.
    ///
    /// # Errors
    /// A parameter is wrong.
    pub fn parse_for_reservation(uri: &Uri, queue: &Queue) -> Result<Self, Problem> {
        Self::read(&Params::parse(uri.query(), RESERVATION_PARAMETERS)?, queue)
    }

    fn read(params: &Params<'_>, queue: &Queue) -> Result<Self, Problem> {
        let mut policy = queue.policy;
        if let Some(threshold) = params.one("threshold")? {
            policy.threshold = Some(parse_threshold(threshold, &queue.policy)?);
        }
        Ok(Self {
            policy,
            format: Format::parse(params.one("format")?)?,
            patience: patience(params.one("fresh")?, params.one("wait")?, queue.patience)?,
        })
    }

    /// Waits a moment for newer data if the request allows it, the decision is in doubt and the budget has a request to spare.
    pub async fn wait(&self, app: &App, queue: &Queue) {
        let Some(patience) = self.patience else {
            return;
        };
        let state = app.state(queue);
        let decision = app.decide(queue, &state, &self.policy);
        let doubt = patience.staleness(&decision, state.snapshot.as_deref());
        if let (Some(doubt), Some(account)) = (doubt, app.account(&queue.key.account)) {
            account::wait_for_newer(&account.asks, &queue.key, doubt, patience.wait).await;
        }
    }

    /// Decides, and holds a seat for the call if the decision is to accept. A decision that was made is counted.
    pub fn reserve(&self, app: &App, queue: &Queue, call_id: &str, ttl: Duration) -> Reserved {
        let (begun, now) = (Instant::now(), app.clock.now());
        let decide = |held| decision::decide(&app.state(queue), &self.policy, held, now);
        let reserved = queue.holds.reserve(call_id, ttl, now, decide);
        if let Reserved::Made(_, decision) | Reserved::Refused(decision) = &reserved {
            app.decided(queue, decision, begun.elapsed());
        }
        reserved
    }

    /// Decides, counts the decision unless the caller only looks, and writes the answer.
    pub fn answer(&self, app: &App, queue: &Queue, rights: Rights) -> Response {
        let (state, decision) = decide_for(rights, app, queue, &self.policy);
        match self.format {
            Format::Json => {
                let now = app.clock.now();
                let json = DecisionJson::new(&queue.key, &self.policy, &state, &decision, now);
                Json(json).into_response()
            }
            Format::Text => as_text(&decision).into_response(),
            Format::Status => as_status(&decision),
        }
    }
}

fn patience(
    fresh: Option<&str>,
    wait: Option<&str>,
    configured: Option<Patience>,
) -> Result<Option<Patience>, Problem> {
    if fresh.is_none() && wait.is_none() {
        return Ok(configured);
    }
    let default = configured.unwrap_or(Patience::USUAL);
    let wait = parse_duration("wait", wait)?.unwrap_or(default.wait);
    if wait > Patience::MAX_WAIT {
        return Err(Problem::bad_parameter(format!(
            "\"wait\" is at most {}",
            humantime::format_duration(Patience::MAX_WAIT)
        )));
    }
    let fresh = parse_duration("fresh", fresh)?.unwrap_or(default.fresh);
    Ok(Some(Patience { fresh, wait }))
}

fn parse_duration(name: &str, text: Option<&str>) -> Result<Option<Duration>, Problem> {
    let parse = |text| {
        params::duration(text).ok_or_else(|| {
            Problem::bad_parameter(format!("\"{name}\" is not a duration such as 2s or 400ms"))
        })
    };
    text.map(parse).transpose()
}

fn parse_threshold(text: &str, policy: &Policy) -> Result<Quantity, Problem> {
    if policy.threshold.is_none() {
        return Err(Problem::bad_parameter(
            "this queue's criteria compare with no number, so \"threshold\" has no meaning for them",
        ));
    }
    text.parse()
        .map_err(|_| Problem::bad_parameter("\"threshold\" is not a finite number"))
}

/// Decides, and counts the decision unless the caller only looks: looking is no demand.
pub fn decide_for(
    rights: Rights,
    app: &App,
    queue: &Queue,
    policy: &Policy,
) -> (Arc<QueueState>, Decision) {
    if rights == Rights::All {
        return app.decide_and_count(queue, policy);
    }
    let state = app.state(queue);
    let decision = app.decide(queue, &state, policy);
    (state, decision)
}

fn as_text(decision: &Decision) -> &'static str {
    match decision.accept {
        true => "accept\n",
        false => "reject\n",
    }
}

fn as_status(decision: &Decision) -> Response {
    match decision.accept {
        true => StatusCode::NO_CONTENT.into_response(),
        // An empty text: a 403 may also be a problem, and clients tell the two apart by the media type.
        false => (StatusCode::FORBIDDEN, "").into_response(),
    }
}
