//! The survey: tries each assumption about an account's API, for a bug report.
//!
//! It sends at most ten requests, paid from the reserve. `question` and `paths` say what to ask, `answer` reads what comes back, `judge` and `order`
//! interpret it, `words` describes it, and `disguise` replaces everything that could identify the account.

mod answer;
mod disguise;
mod findings;
mod judge;
mod order;
mod paths;
mod question;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::findings::{
    Access, Agreement, Count, DateForm, Envelope, Filter, Findings, Form, Links, Ordering,
    OtherDate, PageSizeMax, PastTheEnd, People, Presence, UnknownQueue,
};
use self::{
    answer::{Answer, Answers},
    disguise::Disguise,
    paths::Subject,
    question::Question,
};
use super::{
    Reach, Target,
    ask::{affects_all, client, fault},
};
use crate::{
    budget::Purpose,
    calltools::{Client, Endpoint, RequestError},
    clock::{Clock, Moment},
    config::QueueRef,
    model::fault::{Down, Fault},
};

/// The format of a report, for programs that read one.
pub const REPORT_FORMAT: u32 = 1;

/// The findings of a survey. They name nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SurveyReport {
    /// The version of openseat that wrote it.
    pub openseat: String,
    /// [`REPORT_FORMAT`]
    pub format: u32,
    /// When the first request was sent, by this machine's clock.
    pub asked_at: String,
    /// The requested sort field of lists.
    pub ordering_field: String,
    /// What it cost.
    pub requests: u32,
    /// Why some questions were not asked; `None` if all were.
    pub stopped: Option<String>,
    /// The questions without a usable answer, and why; earlier versions did not say.
    #[serde(default)]
    pub unanswered: Vec<String>,
    /// The findings in words.
    pub said: Vec<String>,
    /// The findings for programs.
    pub found: Findings,
    /// The answers, with everything replaced that could identify the account.
    pub answers: Vec<DisguisedAnswer>,
}

impl SurveyReport {
    /// Whether every question was asked and answered.
    pub fn is_complete(&self) -> bool {
        self.stopped.is_none() && self.unanswered.is_empty()
    }
}

/// An answer in which nothing identifies the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DisguisedAnswer {
    /// The address below `…/api/`.
    pub asked: String,
    /// The status, or the kind of fault that prevented an answer.
    pub answered: Value,
    /// How long it took.
    pub took_ms: u64,
    /// The headers that concern time.
    pub headers: Map<String, Value>,
    /// How many rows came. The body contains the first of them.
    pub rows: Option<usize>,
    /// The body.
    pub body: Value,
}

/// Surveys the account of the target's first queue.
///
/// # Errors
/// [`RequestError`] if not even the first answer came, for instance because CallTools asked for a pause: there is nothing to report.
pub async fn survey(
    target: &Target<'_>,
    reach: &Reach,
    clock: &Arc<dyn Clock>,
) -> Result<SurveyReport, RequestError> {
    if let Some(token) = &reach.token {
        token.read_again().await;
    }
    let upstream = &reach.config.upstream;
    let subject = Subject {
        queue: queue(target),
        ordering_field: &upstream.ordering_field,
        base_url: &upstream.base_url,
    };
    let (client, sent) = client(reach, clock);
    let asked_at = clock.now().rfc3339();
    let surveyor = Surveyor {
        client,
        reach,
        clock: clock.as_ref(),
    };
    let (answers, stopped) = surveyor.ask_all(&subject).await;
    if let (true, Some(error)) = (answers.0.is_empty(), &stopped) {
        return Err(error.clone());
    }
    let found = judge::judge(&subject, &answers);
    Ok(SurveyReport {
        openseat: env!("CARGO_PKG_VERSION").to_owned(),
        format: REPORT_FORMAT,
        asked_at,
        ordering_field: subject.ordering_field.to_owned(),
        requests: sent.count(),
        unanswered: unanswered(&answers, &subject, stopped.is_some()),
        stopped: stopped.map(|error| reason(&error)),
        said: words::words(&found, subject.ordering_field),
        answers: disguised(&answers, &subject),
        found,
    })
}

/// The first queue of a target. Every target has one.
fn queue<'a>(target: &Target<'a>) -> &'a QueueRef {
    &target.queues[0].0.reference
}

/// Says why a survey ended early, in words that contain no address.
fn reason(error: &RequestError) -> String {
    match error {
        RequestError::Refused(refusal) => refusal.to_string(),
        RequestError::Fault(Fault::UpstreamDown { kind, .. }) => kind.as_str().to_owned(),
        RequestError::Fault(fault) => fault.to_string(),
    }
}

/// Says which questions have no usable answer, in one line for each reason.
fn unanswered(answers: &Answers, subject: &Subject<'_>, is_stopped: bool) -> Vec<String> {
    let failures = answers.0.iter();
    let mut failures: Vec<(Question, String)> = failures
        .filter_map(|answer| Some((answer.question, answer.failure()?)))
        .collect();
    // Without its id, the queue is not asked for.
    if !is_stopped && answers.get(Question::Queue).is_none() {
        let why = match (subject.queue, answers.names().queues) {
            (QueueRef::Name(_), Some(_)) => {
                "it was not asked for: queues/ does not list its name exactly once"
            }
            _ => "it was not asked for: its id is not known, since queues/ could not be read",
        };
        failures.push((Question::Queue, why.to_owned()));
    }
    let mut lines: Vec<(Vec<&str>, String)> = Vec::new();
    for (question, why) in failures {
        match lines.iter_mut().find(|(_, known)| *known == why) {
            Some((subjects, _)) => subjects.push(question.subject()),
            None => lines.push((vec![question.subject()], why)),
        }
    }
    let line = |(subjects, why): (Vec<&str>, String)| format!("{}: {why}", subjects.join(", "));
    lines.into_iter().map(line).collect()
}

struct Surveyor<'a> {
    client: Client,
    reach: &'a Reach,
    clock: &'a dyn Clock,
}

impl Surveyor<'_> {
    /// Asks one question after the other; returns why it had to stop, if it did.
    async fn ask_all(&self, subject: &Subject<'_>) -> (Answers, Option<RequestError>) {
        let mut answers = Answers::default();
        for question in Question::ALL {
            let Some(path) = paths::path(question, subject, &answers) else {
                continue;
            };
            match self.ask(question, path, &answers).await {
                Ok(answer) => answers.0.push(answer),
                Err(error) => return (answers, Some(error)),
            }
        }
        (answers, None)
    }

    /// Sends one request and keeps its reply, or why there is none.
    ///
    /// # Errors
    /// A failure that all further requests would share: no permit, a 429, a rejected token, no connection.
    async fn ask(
        &self,
        question: Question,
        path: String,
        answers: &Answers,
    ) -> Result<Answer, RequestError> {
        let permit = self.reach.budget.permit(Purpose::OnDemand).await?;
        let endpoint = match question {
            Question::Queues => Endpoint::Queues,
            Question::Statuses => Endpoint::Statuses,
            _ => Endpoint::AgentStatuses,
        };
        let asked = self.clock.now();
        let reply = self.client.probe(endpoint, &path, permit).await;
        let took = self.clock.now().longest_since(asked);
        let reply = match reply {
            Ok(reply) if reply.status == 401 => return Err(Fault::BadToken.into()),
            Ok(reply) => Ok(reply),
            Err(RequestError::Fault(fault)) if !stops(&fault, answers) => Err(fault.as_str()),
            Err(error) => return Err(error),
        };
        let names = answers.names();
        Ok(Answer::new((question, path), (asked, took), reply, &names))
    }
}

/// Whether further requests would be useless. After a first answer, a slow one may only be a long list.
fn stops(fault: &Fault, answers: &Answers) -> bool {
    let is_slow = matches!(
        fault,
        Fault::UpstreamDown {
            kind: Down::TimeOut,
            ..
        }
    );
    affects_all(fault) && (answers.0.is_empty() || !is_slow)
}

fn disguised(answers: &Answers, subject: &Subject<'_>) -> Vec<DisguisedAnswer> {
    let mut disguise = Disguise::new(subject.ordering_field);
    let answers = answers.0.iter().map(|answer| DisguisedAnswer {
        asked: disguise.path(&answer.path),
        answered: match &answer.reply {
            Ok(reply) => reply.status.as_u16().into(),
            Err(kind) => (*kind).into(),
        },
        took_ms: answer.took.as_millis() as u64,
        headers: match &answer.reply {
            Ok(reply) => disguise.headers(&reply.headers),
            Err(_) => Map::new(),
        },
        rows: answer.list.as_ref().map(|list| list.rows.len()),
        body: match answer.reply {
            Ok(_) => disguise.body(answer),
            Err(_) => Value::Null,
        },
    });
    answers.collect()
}

/// Says why a survey could not start.
pub fn message(error: &RequestError, now: Moment) -> String {
    format!(
        "no report was made: {}\nWhat to do: {}",
        error.message(now),
        fault(error).advice()
    )
}

/// More than one account fits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a report is about one account; name a queue of it, such as {0}")]
pub struct Several(String);

/// Returns the one account that a command line means.
///
/// # Errors
/// [`Several`]
pub fn only<'t, 'c>(targets: &'t [Target<'c>]) -> Result<&'t Target<'c>, Several> {
    match targets {
        [target] => Ok(target),
        targets => {
            let keys = targets.iter().map(|target| target.key(target.queues[0].0));
            let keys: Vec<_> = keys.map(|key| key.to_string()).collect();
            Err(Several(keys.join(" or ")))
        }
    }
}
