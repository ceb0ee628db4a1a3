//! Requests for a decision, and the formats of the answer.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use tokio::time::Instant;

use super::decision_parameters::{DECISION_PARAMETERS, REFRESH_PARAMETERS, RESERVATION_PARAMETERS};
use crate::{
    account,
    decision::{
        self, Decision, Patience, Policy, Reason,
        board::QueueState,
        criteria::threshold_of_seats,
        reservations::{Reservation, Reserved, TTL},
    },
    model::quantity::Quantity,
    server::{
        http::{
            call::Call,
            call_id,
            params::{self, Params},
            problem::Problem,
            problem_types,
            rights::Rights,
        },
        json::decision::DecisionJson,
        state::{
            app::{App, Queue},
            call_record::named_call,
            seats::{self, SeatRequest},
        },
    },
};

const TTL_ELSEWHERE: &str =
    r#"belongs in the body, as in {"call_id":"a84b4c76e66710","ttl":"45s"}"#;

/// The format of the answer.
#[derive(Clone, Copy)]
enum Format {
    Json,
    /// `accept` or `reject`, for shell scripts and dial plans.
    Text,
    /// How many more calls would be accepted, for routers that compare one number with 0.
    Count,
    /// 204 or 403 without a body, for routers that read only the status, such as nginx' `auth_request`.
    Status,
}

impl Format {
    fn parse(name: Option<&str>) -> Result<Self, Problem> {
        match name {
            None | Some("json") => Ok(Format::Json),
            Some("text") => Ok(Format::Text),
            Some("count") => Ok(Format::Count),
            Some("status") => Ok(Format::Status),
            Some(_) => Err(Problem::bad_parameter(
                "\"format\" must be json, text, count or status",
            )),
        }
    }
}

/// A request for a decision about one queue.
pub struct DecisionRequest {
    policy: Policy,
    format: Format,
    patience: Option<Patience>,
    /// The call that the request is about.
    call: Option<Call>,
    hold: Option<Hold>,
    /// A warning about the request, to include in the answer.
    warning: Option<String>,
}

/// A seat to hold for a call, if the decision is to accept.
struct Hold {
    call_id: String,
    ttl: Duration,
}

impl DecisionRequest {
    /// Reads the query of a request for a decision. Parameters that it omits have their configured values.
    ///
    /// # Errors
    /// A parameter is wrong, or a caller that may only look asks to wait or to hold a seat.
    pub fn parse(uri: &Uri, queue: &Queue, rights: Rights) -> Result<Self, Problem> {
        let params = Params::parse(uri.query(), DECISION_PARAMETERS)?;
        let request = Self::read(&params, queue)?.with_call(&params, uri, queue)?;
        if rights.is_demand() {
            return Ok(request);
        }
        for spends in ["fresh", "wait", "reserve"] {
            if params.one(spends)?.is_some() {
                return Err(Problem::from_type(problem_types::MAY_ONLY_LOOK));
            }
        }
        Ok(Self {
            patience: None,
            ..request
        })
    }

    /// Reads the query of a refresh.
    ///
    /// # Errors
    /// A parameter is wrong.
    pub fn parse_for_refresh(uri: &Uri, queue: &Queue) -> Result<Self, Problem> {
        Self::read(&Params::parse(uri.query(), REFRESH_PARAMETERS)?, queue)
    }

    /// Reads the query of a request for a reservation.
    ///
    /// # Errors
    /// A parameter is wrong.
    pub fn parse_for_reservation(uri: &Uri, queue: &Queue) -> Result<Self, Problem> {
        // Ignored, it would hold the seat for another time than the caller believes.
        params::refuse(uri.query(), "ttl", TTL_ELSEWHERE)?;
        Self::read(&Params::parse(uri.query(), RESERVATION_PARAMETERS)?, queue)
    }

    /// Adds the call that the request is about, and the seat to hold for it.
    fn with_call(self, params: &Params<'_>, uri: &Uri, queue: &Queue) -> Result<Self, Problem> {
        let call_id = call_id::from_query(uri.query());
        let call = match &call_id {
            Some(Ok(id)) => named_call(id, uri),
            Some(Err(error)) => {
                queue.warn_of_call_id(error);
                None
            }
            None => None,
        };
        let Some(ttl) = params.one("reserve")? else {
            let warning = call_id.and_then(Result::err).map(|error| error.to_string());
            return Ok(Self {
                call,
                warning,
                ..self
            });
        };
        let ttl = parse_ttl("reserve", ttl).map_err(Problem::bad_parameter)?;
        let call_id = match call_id {
            Some(Ok(call_id)) => call_id.into_owned(),
            Some(Err(error)) => {
                let why = format!("\"reserve\" needs the id of the call: {error}");
                return Err(Problem::bad_parameter(why));
            }
            None => return Err(Problem::bad_parameter("\"reserve\" needs \"call_id\"")),
        };
        let hold = Some(Hold { call_id, ttl });
        Ok(Self { call, hold, ..self })
    }

    /// Whether the request asks to hold a seat.
    pub fn holds(&self) -> bool {
        self.hold.is_some()
    }

    /// Returns the request without its hold, for HEAD, whose answer could not name the seat.
    pub fn without_hold(self) -> Self {
        Self { hold: None, ..self }
    }

    fn read(params: &Params<'_>, queue: &Queue) -> Result<Self, Problem> {
        let mut policy = queue.rules.policy.clone();
        if let Some(threshold) = params.one("threshold")? {
            policy.threshold = Some(parse_threshold(threshold, queue)?);
            policy.asks_threshold = true;
        }
        Ok(Self {
            policy,
            format: Format::parse(params.one("format")?)?,
            patience: patience(
                params.one("fresh")?,
                params.one("wait")?,
                queue.rules.patience,
            )?,
            call: None,
            hold: None,
            warning: None,
        })
    }

    /// Waits briefly for newer data if the request allows it, the decision is in doubt, and the budget can spare a request.
    pub async fn wait(&self, app: &App, queue: &Queue) {
        let Some(patience) = self.patience else {
            return;
        };
        let state = app.state(queue);
        let decision = app.decide(queue, &state, &self.policy);
        if decision.reason == Reason::Closed {
            return; // No newer data changes that.
        }
        queue.meters.count_patient();
        let doubt = patience.staleness(&decision, &state);
        if let (Some(doubt), Some(account)) = (doubt, app.account(&queue.key.account)) {
            account::wait_for_newer(&account.asks, &queue.key, doubt, patience.wait).await;
        }
    }

    /// Decides, and holds a seat for the call if the decision is to accept. Counts the decision if one was made.
    ///
    /// # Errors
    /// In a cluster: the leader did not answer in time, or could not log the seat.
    pub async fn reserve(
        &self,
        app: &App,
        queue: &Queue,
        call_id: &str,
        ttl: Duration,
    ) -> Result<Reserved, Problem> {
        let begun = Instant::now();
        let seat = SeatRequest {
            queue,
            policy: &self.policy,
            call_id,
            ttl,
        };
        let reserved = seats::reserve(app, &seat).await?;
        if let Some(decision) = reserved.decision() {
            app.decided(queue, decision, begun.elapsed());
        }
        Ok(reserved)
    }

    /// Decides, holds a seat if the request asks for one, and writes the answer.
    pub async fn answer_and_hold(
        &self,
        app: &App,
        queue: &Queue,
        rights: Rights,
    ) -> Result<Response, Problem> {
        let Some(hold) = &self.hold else {
            return Ok(self.answer(app, queue, rights));
        };
        let reserved = self.reserve(app, queue, &hold.call_id, hold.ttl).await?;
        let (decision, reservation) = match reserved {
            Reserved::Made(reservation, decision) => (decision, Some(reservation)),
            Reserved::AlreadyHeld(reservation) => {
                let decision = self.decide_for_holder(app, queue, &reservation);
                (decision, Some(reservation))
            }
            Reserved::Refused(decision) | Reserved::Full(decision) => (decision, None),
        };
        self.record(app, queue, rights, &decision, reservation.as_ref());
        Ok(self.write(
            app,
            queue,
            &app.state(queue),
            &decision,
            reservation.as_ref(),
        ))
    }

    /// Records the answer, if the request is about a call.
    fn record(
        &self,
        app: &App,
        queue: &Queue,
        rights: Rights,
        decision: &Decision,
        reservation: Option<&Reservation>,
    ) {
        if let Some(call) = self.call.clone() {
            app.record_decision(call, rights, queue, decision, reservation);
        }
    }

    /// Decides for a call that already holds a seat. Its own seat does not count against it, and the call stays accepted.
    pub fn decide_for_holder(
        &self,
        app: &App,
        queue: &Queue,
        reservation: &Reservation,
    ) -> Decision {
        let now = app.clock.now();
        let others = queue.holds.held_beside(reservation, now);
        let decision = decision::decide_with(&app.state(queue), &self.policy, others, now);
        decision.held(reservation.prediction, reservation.expires())
    }

    /// Decides, counts the decision unless the caller may only look, and writes the answer.
    pub fn answer(&self, app: &App, queue: &Queue, rights: Rights) -> Response {
        let (state, decision) = decide_for(rights, app, queue, &self.policy);
        self.record(app, queue, rights, &decision, None);
        self.write(app, queue, &state, &decision, None)
    }

    fn write(
        &self,
        app: &App,
        queue: &Queue,
        state: &QueueState,
        decision: &Decision,
        reservation: Option<&Reservation>,
    ) -> Response {
        match self.format {
            Format::Json => {
                let now = app.clock.now();
                let json = DecisionJson::new(&queue.key, &self.policy, state, decision, now)
                    .with_reservation(reservation)
                    .with_warning(self.warning.as_deref());
                Json(json).into_response()
            }
            Format::Text => as_text(decision).into_response(),
            Format::Count => decision.capacity.to_string().into_response(),
            Format::Status => as_status(decision),
        }
    }
}

/// Parses the time to hold a seat from the parameter or member `name`; the error says what is valid.
pub fn parse_ttl(name: &str, text: &str) -> Result<Duration, String> {
    let ttl = params::duration(text).filter(|ttl| TTL.contains(ttl));
    ttl.ok_or_else(|| {
        format!(
            "\"{name}\" must be a duration such as \"45s\", from {} to {}",
            humantime::format_duration(*TTL.start()),
            humantime::format_duration(*TTL.end()),
        )
    })
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
            "\"wait\" must be at most {}",
            humantime::format_duration(Patience::MAX_WAIT)
        )));
    }
    let fresh = parse_duration("fresh", fresh)?.unwrap_or(default.fresh);
    if fresh > Patience::MAX_FRESH {
        return Err(Problem::bad_parameter(format!(
            "\"fresh\" must be at most {}: {}",
            humantime::format_duration(Patience::MAX_FRESH),
            Patience::WHY_MAX_FRESH
        )));
    }
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

fn parse_threshold(text: &str, queue: &Queue) -> Result<Quantity, Problem> {
    if queue.rules.policy.threshold.is_none() {
        return Err(Problem::bad_parameter(
            "this queue's criteria contain no comparison with a number, so \"threshold\" does not apply",
        ));
    }
    let threshold = text
        .parse()
        .map_err(|_| Problem::bad_parameter("\"threshold\" is not a finite number"))?;
    match threshold_of_seats(threshold) {
        Err(error) if queue.rules.counts_seats => {
            Err(Problem::bad_parameter(format!("\"threshold\" {error}")))
        }
        _ => Ok(threshold),
    }
}

/// Decides, and counts the decision unless the caller may only look: looking is not demand.
pub fn decide_for(
    rights: Rights,
    app: &App,
    queue: &Queue,
    policy: &Policy,
) -> (Arc<QueueState>, Decision) {
    if rights.is_demand() {
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
        // Empty text: a 403 may also be a problem, and clients tell the two apart by media type.
        false => (StatusCode::FORBIDDEN, "").into_response(),
    }
}
