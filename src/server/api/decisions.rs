//! Accept or reject: the routes that everything else is there for.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use crate::{
    account,
    clock::Moment,
    decision::{
        self, Decision, Patience, Policy, Reason,
        board::{NotOnBoard, QueueKey, QueueState},
        reservations::Reserved,
    },
    model::quantity::Quantity,
    server::{
        http::{
            params::{self, Asked, Parameter, Params, Shape},
            problem::Problem,
            problem_types,
        },
        openapi::shape,
        serve::access::Rights,
        state::app::{App, Queue},
    },
};

/// The most queues in one question. A router compares the few that serve one campaign; a hundred names of 100 bytes still
/// fit the longest request head.
pub const MOST_AT_ONCE: usize = 100;

const THRESHOLD: Parameter = Parameter {
    name: "threshold",
    means: "Accept while there are more seats than this, instead of the configured threshold",
    shape: Shape::Number,
    example: "2",
};

const FORMAT: Parameter = Parameter {
    name: "format",
    means: "`text` answers `accept` or `reject`; `status` answers 204 or 403 without a body",
    shape: Shape::OneOf(&["json", "text", "status"]),
    example: "json",
};

const FRESH: Parameter = Parameter {
    name: "fresh",
    means: "If what is known is older than this and in doubt, and a request is to spare, wait for something newer; a duration such as `2s` or `1m`",
    shape: Shape::Like("^(0(ms|s|m|h)?|[1-9][0-9]{0,5}(ms|s|m|h))$"),
    example: "2s",
};

const WAIT: Parameter = Parameter {
    name: "wait",
    means: "The longest time to wait for a fresh answer, 5 s at most; a duration such as `800ms`",
    shape: Shape::Like("^(0(ms|s|m|h)?|([1-9][0-9]{0,2}|[1-4][0-9]{3}|5000)ms|[1-5]s)$"),
    example: "800ms",
};

/// What a question about one queue may say.
pub const ONE: &[Parameter] = &[THRESHOLD, FORMAT, FRESH, WAIT];

/// The same for a call that is being sent, whose answer has one form only.
pub const OF_A_CALL: &[Parameter] = &[THRESHOLD, FRESH, WAIT];

/// What a question about several queues says.
pub const MANY: &[Parameter] = &[Parameter {
    name: "queue",
    means: "A queue's name or id, or `{account}/{queue}`; several are asked at once",
    shape: Shape::Repeated(MOST_AT_ONCE),
    example: "sales-queue",
}];

/// A decision as JSON: the keys in the order of the documentation, `null` for what is unknown.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(
    rename = "Decision",
    description = "Accept or reject, and on what that rests"
)]
pub(crate) struct View<'a> {
    /// As configured: a name or an id.
    queue: &'a str,
    /// At CallTools; null until it is known.
    queue_id: Option<u64>,
    /// As configured.
    account: &'a str,
    /// Whether the call may be sent.
    accept: bool,
    /// Why.
    reason: Reason,
    /// Seats, less those held for calls on their way; null where that is not known.
    count: Option<Quantity>,
    /// There must be more seats than this; null for criteria that compare with no number.
    threshold: Option<Quantity>,
    /// When CallTools said what this rests on.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    as_of: Option<Moment>,
    /// How old the oldest status is that the count rests on, in milliseconds.
    age_ms: Option<u64>,
    /// How old the queue's list of members is, in milliseconds.
    membership_age_ms: Option<u64>,
    /// Until when this may be used, if nothing newer comes.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<Timestamp>")]
    valid_until: Option<Moment>,
    /// Only where nothing is known: what is wrong and what to do, or what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        key: &'a QueueKey,
        policy: &Policy,
        state: &QueueState,
        decision: &Decision,
        now: Moment,
    ) -> Self {
        Self {
            queue: &key.queue,
            queue_id: state.id,
            account: &key.account,
            accept: decision.accept,
            reason: decision.reason,
            count: decision.count,
            threshold: decision.threshold,
            as_of: decision.as_of,
            age_ms: decision.age.map(whole_ms),
            membership_age_ms: decision.membership_age.map(whole_ms),
            valid_until: decision.valid_until,
            detail: why_unknown(state, policy, decision, now),
        }
    }
}

/// In whole milliseconds, as ages are written.
pub fn whole_ms(age: Duration) -> u64 {
    age.as_millis() as u64
}

shape!(
    /// A moment as openseat writes all times.
    Timestamp, { "type": "string", "format": "date-time" }
);

/// Writes a moment as openseat writes all times.
pub fn rfc3339<S: Serializer>(moment: &Option<Moment>, serializer: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => serializer.collect_str(&format_args!("{:.3}", moment.timestamp())),
        None => serializer.serialize_none(),
    }
}

/// One sentence on why a decision rests on no knowledge; `None` where it does.
pub fn why_unknown(
    state: &QueueState,
    policy: &Policy,
    decision: &Decision,
    now: Moment,
) -> Option<String> {
    if decision.reason.is_known() {
        return None;
    }
    let fault = state.fault.as_deref();
    let measured = state.snapshot.as_deref().map(|snapshot| &snapshot.measured);
    let too_old = !decision.is_fresh;
    Some(match (fault, measured) {
        (Some(fault), _) if too_old || measured.is_none() => {
            format!("{}: {}", fault.told(now), fault.advice())
        }
        (_, Some(Err(mismatch))) => {
            format!("what CallTools sent does not fit the queue's criteria: {mismatch}")
        }
        (_, None) => {
            "no poll of this queue has ended yet: the first answer is still on its way".to_owned()
        }
        (_, Some(Ok(_))) => format!(
            "the newest snapshot is older than the {} for which it may be used, and no poll has failed since: \
             one is under way, or polls come too seldom for max_age",
            humantime::format_duration(policy.max_age(state))
        ),
    })
}

/// How the caller wants to hear it.
#[derive(Clone, Copy)]
enum Format {
    Json,
    /// `accept` or `reject`, for shell scripts and dial plans.
    Text,
    /// 204 or 403 and no body, for routers that only read the code, such as nginx' `auth_request`.
    Status,
}

impl Format {
    fn parse(word: Option<&str>) -> Result<Self, Problem> {
        match word {
            None | Some("json") => Ok(Format::Json),
            Some("text") => Ok(Format::Text),
            Some("status") => Ok(Format::Status),
            Some(_) => Err(Problem::bad_parameter(
                "\"format\" is one of json, text and status",
            )),
        }
    }
}

/// What a request about one queue may say.
pub struct Question {
    policy: Policy,
    format: Format,
    patience: Option<Patience>,
}

impl Question {
    /// Reads `threshold`, `format`, `fresh` and `wait`; what is left out is as configured.
    pub fn parse(uri: &Uri, queue: &Queue) -> Result<Self, Problem> {
        let params = Params::parse(uri.query(), ONE)?;
        Self::read(&params, queue)
    }

    /// The same for a call that is being sent, whose answer has one form only.
    pub fn of_a_call(uri: &Uri, queue: &Queue) -> Result<Self, Problem> {
        let params = Params::parse(uri.query(), OF_A_CALL)?;
        Self::read(&params, queue)
    }

    fn read(params: &Params<'_>, queue: &Queue) -> Result<Self, Problem> {
        let mut policy = queue.policy;
        if let Some(asked) = params.one("threshold")? {
            policy.threshold = Some(threshold(asked, &queue.policy)?);
        }
        let format = Format::parse(params.one("format")?)?;
        let patience = patience(params.one("fresh")?, params.one("wait")?, queue.patience)?;
        Ok(Self {
            policy,
            format,
            patience,
        })
    }

    /// The same for a caller who may only look: neither waits for CallTools nor has it asked.
    ///
    /// # Errors
    /// The caller asks to wait.
    pub fn asked_with(self, rights: Rights, uri: &Uri) -> Result<Self, Problem> {
        if rights == Rights::All {
            return Ok(self);
        }
        let params = Params::parse(uri.query(), ONE)?;
        if params.one("fresh")?.or(params.one("wait")?).is_some() {
            return Err(Problem::usual(problem_types::MAY_ONLY_LOOK));
        }
        Ok(Self {
            patience: None,
            ..self
        })
    }

    /// Waits a moment for something newer, if the caller would, the answer is in doubt and a permit is to spare.
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

    /// Decides now and holds a seat for the call if the answer is to accept. What was decided is counted.
    pub fn reserve(&self, app: &App, queue: &Queue, call_id: &str, ttl: Duration) -> Reserved {
        let (begun, now) = (Instant::now(), app.clock.now());
        let decide = |held| decision::decide(&app.state(queue), &self.policy, held, now);
        let reserved = queue.holds.reserve(call_id, ttl, now, decide);
        if let Reserved::Made(_, decision) | Reserved::Refused(decision) = &reserved {
            app.decided(queue, decision, begun.elapsed());
        }
        reserved
    }

    /// Decides now, counts the decision and writes it down.
    pub fn answer(&self, app: &App, queue: &Queue, rights: Rights) -> Response {
        let (state, decision) = decide_for(rights, app, queue, &self.policy);
        match self.format {
            Format::Json => Json(View::new(
                &queue.key,
                &self.policy,
                &state,
                &decision,
                app.clock.now(),
            ))
            .into_response(),
            Format::Text => text(&decision).into_response(),
            Format::Status => status(&decision),
        }
    }
}

fn patience(
    fresh: Option<&str>,
    wait: Option<&str>,
    usual: Option<Patience>,
) -> Result<Option<Patience>, Problem> {
    if fresh.is_none() && wait.is_none() {
        return Ok(usual);
    }
    let usual = usual.unwrap_or(Patience::USUAL);
    let duration = |name: &str, asked: Option<&str>, usual| match asked.map(params::duration) {
        None => Ok(usual),
        Some(Some(duration)) => Ok(duration),
        Some(None) => Err(Problem::bad_parameter(format!(
            "\"{name}\" is not a duration such as 2s or 400ms"
        ))),
    };
    let wait = duration("wait", wait, usual.wait)?;
    if wait > Patience::LONGEST_WAIT {
        return Err(Problem::bad_parameter(format!(
            "\"wait\" is at most {}",
            humantime::format_duration(Patience::LONGEST_WAIT)
        )));
    }
    let fresh = duration("fresh", fresh, usual.fresh)?;
    Ok(Some(Patience { fresh, wait }))
}

fn threshold(asked: &str, policy: &Policy) -> Result<Quantity, Problem> {
    if policy.threshold.is_none() {
        return Err(Problem::bad_parameter(
            "this queue's criteria compare with no number, so \"threshold\" means nothing to them",
        ));
    }
    let wrong = |_| Problem::bad_parameter("\"threshold\" is not a finite number");
    asked.parse().map_err(wrong)
}

/// Decides now, and counts it.
pub fn decide(app: &App, queue: &Queue, policy: &Policy) -> (Arc<QueueState>, Decision) {
    let begun = Instant::now();
    let state = app.state(queue);
    let decision = app.decide(queue, &state, policy);
    app.decided(queue, &decision, begun.elapsed());
    (state, decision)
}

/// Decides now, and counts it unless the caller only looks: looking is no demand.
fn decide_for(
    rights: Rights,
    app: &App,
    queue: &Queue,
    policy: &Policy,
) -> (Arc<QueueState>, Decision) {
    if rights == Rights::All {
        return decide(app, queue, policy);
    }
    let state = app.state(queue);
    let decision = app.decide(queue, &state, policy);
    (state, decision)
}

fn text(decision: &Decision) -> &'static str {
    if decision.accept {
        "accept\n"
    } else {
        "reject\n"
    }
}

fn status(decision: &Decision) -> Response {
    if decision.accept {
        StatusCode::NO_CONTENT.into_response()
    } else {
        // An empty text: a 403 may also be a problem, and clients tell the two apart by the media type.
        (StatusCode::FORBIDDEN, "").into_response()
    }
}

/// `GET /v1/queues/{queue}/decision`
pub async fn one(
    State(app): State<Arc<App>>,
    Asked(queue): Asked,
    rights: Rights,
    uri: Uri,
) -> Result<Response, Problem> {
    let question = Question::parse(&uri, &queue)?.asked_with(rights, &uri)?;
    question.wait(&app, &queue).await;
    Ok(question.answer(&app, &queue, rights))
}

/// Several decisions.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Decisions")]
pub struct Many<'a> {
    /// In the order asked.
    decisions: &'a [View<'a>],
    /// The accepting one with the most seats; null where none accepts.
    best: Option<&'a View<'a>>,
}

/// `GET /v1/decisions?queue=a&queue=b`
pub async fn many(
    State(app): State<Arc<App>>,
    rights: Rights,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), MANY)?;
    let queues = asked(&app, params.all("queue"))?;
    let views: Vec<_> = queues
        .iter()
        .map(|queue| {
            let (state, decision) = decide_for(rights, &app, queue, &queue.policy);
            View::new(
                &queue.key,
                &queue.policy,
                &state,
                &decision,
                app.clock.now(),
            )
        })
        .collect();
    let best = best(&views);
    Ok(Json(Many {
        decisions: &views,
        best,
    })
    .into_response())
}

/// The queues that a request names, in its order.
pub fn asked<'a>(
    app: &App,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<Arc<Queue>>, Problem> {
    let names: Vec<_> = names.collect();
    if !(1..=MOST_AT_ONCE).contains(&names.len()) {
        return Err(Problem::bad_parameter(format!(
            "give \"queue\" between 1 and {MOST_AT_ONCE} times; it was given {} times",
            names.len()
        )));
    }
    let found: Result<_, NotOnBoard> = names.into_iter().map(|name| find(app, name)).collect();
    Ok(found?)
}

/// A queue by its name or id, or as `account/queue`. Either name may contain slashes itself, so every one of them is tried.
pub fn find(app: &App, asked: &str) -> Result<Arc<Queue>, NotOnBoard> {
    let unknown = match app.find(None, asked) {
        Err(error @ NotOnBoard::Unknown { .. }) => error,
        answer => return answer,
    };
    let mut splits = asked.match_indices('/');
    splits
        .find_map(|(slash, _)| app.find(Some(&asked[..slash]), &asked[slash + 1..]).ok())
        .ok_or(unknown)
}

/// The accepting queue with the most seats; the first of equals. One that accepts without knowing comes after all that know.
fn best<'a>(views: &'a [View<'a>]) -> Option<&'a View<'a>> {
    let accepting = views.iter().filter(|view| view.accept);
    accepting.reduce(
        |best, view| {
            if view.count > best.count { view } else { best }
        },
    )
}
