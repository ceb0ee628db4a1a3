//! CallTools' answers, reduced to what a survey needs.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, value::RawValue};

use super::question::Question;
use crate::{
    calltools::{Ask, PAGE_SIZE, Page, Reply, Row},
    clock::Moment,
    model::{
        agent::Agent,
        fault::{Down, Fault},
        names::{NamedQueue, Names, Status},
    },
};

/// The answer to one question.
#[derive(Debug)]
pub(super) struct Answer {
    pub question: Question,
    /// The path that was asked, below `…/api/`.
    pub path: String,
    /// When it was asked.
    pub asked: Moment,
    pub took: Duration,
    /// The answer, or the kind of fault that prevented one.
    pub reply: Result<Reply, &'static str>,
    /// What the daemon would make of the reply, if it could not use it.
    pub fault: Option<Fault>,
    /// The body as JSON, without the rows of a list: those are in [`list`](Self::list).
    pub body: Option<Value>,
    /// The list in it, if the status is 200.
    pub list: Option<List>,
}

/// One page of a list.
#[derive(Debug, Default)]
pub(super) struct List {
    pub rows: Vec<AnsweredRow>,
    /// Whether it came without an envelope.
    pub is_bare: bool,
    /// `None` if it is missing or is not a number of rows.
    pub count: Option<u64>,
    /// The link to the next page.
    pub next: Option<String>,
}

/// A row and its agent.
#[derive(Debug)]
pub(super) struct AnsweredRow {
    pub value: Value,
    /// `None` in other lists, and if the row cannot be read.
    pub agent: Option<Agent>,
}

impl Answer {
    /// Reads an answer.
    pub fn new(
        (question, path): (Question, String),
        (asked, took): (Moment, Duration),
        reply: Result<Reply, &'static str>,
        names: &Names,
    ) -> Self {
        let mut body = reply.as_ref().ok().and_then(|reply| {
            let text = String::from_utf8_lossy(&reply.body);
            serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()
        });
        // Which queue was asked for only decides how a refusal is worded, and a report names no queue.
        let ask = Ask {
            page: 1,
            queue: None,
        };
        let page = reply
            .as_ref()
            .ok()
            .map(|reply| Page::read(reply, ask, asked.later(took)));
        let is_list = reply.as_ref().is_ok_and(|reply| reply.status == 200);
        let list = body.as_mut().filter(|_| is_list);
        Self {
            list: list.and_then(|body| List::take(body, names)),
            fault: page.and_then(Result::err),
            question,
            path,
            asked,
            took,
            reply,
            body,
        }
    }

    /// Says why the question is still open; `None` if it is answered. A refusal answers every question but the one about the configured queue,
    /// which the daemon has to read.
    pub fn failure(&self) -> Option<String> {
        let fault = match &self.reply {
            Err(kind) => return Some((*kind).to_owned()),
            Ok(_) => self.fault.as_ref(),
        };
        match fault {
            None => self
                .has_no_agent()
                .then(|| "no row says which agent it is about".to_owned()),
            Some(_) if self.is_refused() && self.question != Question::Queue => None,
            // Its target could identify somebody.
            Some(Fault::UpstreamDown {
                kind: Down::Redirect,
                ..
            }) => Some("CallTools answered with a redirect".to_owned()),
            Some(fault) => Some(fault.to_string()),
        }
    }

    fn is_refused(&self) -> bool {
        match self.question {
            Question::Queues | Question::Statuses | Question::Everybody => {
                matches!(self.status(), Some(403 | 404))
            }
            _ => matches!(self.status(), Some(400 | 403 | 404)),
        }
    }

    fn has_no_agent(&self) -> bool {
        let is_of_agents = !matches!(self.question, Question::Queues | Question::Statuses);
        let list = self.list.as_ref().filter(|list| !list.rows.is_empty());
        is_of_agents && list.is_some_and(|list| list.agents().next().is_none())
    }

    /// Whether the end of the list was seen, so that it has all rows. If lists are endless, there is a next page even then, and only a page that is
    /// not full is the last. Pages may be shorter than was asked for, so the count must not say more.
    pub fn is_whole(&self, lists_are_endless: bool) -> bool {
        let size = self.question.page_size();
        self.list.as_ref().is_some_and(|list| {
            let fits = size.is_some_and(|size| (list.rows.len() as u32) < size.min(PAGE_SIZE));
            let has_all = list.total() == list.rows.len() as u64;
            list.is_bare || list.next.is_none() || lists_are_endless && fits && has_all
        })
    }

    /// Returns the status of the answer.
    pub fn status(&self) -> Option<u16> {
        self.reply.as_ref().ok().map(|reply| reply.status.as_u16())
    }

    /// Returns CallTools' own time when it answered.
    pub fn date(&self) -> Option<Timestamp> {
        let reply = self.reply.as_ref().ok()?;
        let date = reply.headers.get(http::header::DATE)?.to_str().ok()?;
        Timestamp::try_from(httpdate::parse_http_date(date).ok()?).ok()
    }

    /// Returns how long a cache had kept the answer.
    pub fn age_seconds(&self) -> Option<u64> {
        let reply = self.reply.as_ref().ok()?;
        let age = reply.headers.get(http::header::AGE)?.to_str().ok()?;
        age.trim().parse().ok()
    }
}

impl List {
    /// Moves the rows out of a body. They can be many megabytes, so they are not copied.
    pub fn take(body: &mut Value, names: &Names) -> Option<Self> {
        let envelope = match body {
            Value::Array(_) => None,
            _ => Some((
                body.get("count").and_then(Value::as_u64),
                body.get("next").and_then(Value::as_str).map(str::to_owned),
            )),
        };
        let rows = match envelope {
            None => body.as_array_mut()?,
            Some(_) => body.get_mut("results")?.as_array_mut()?,
        };
        let rows = std::mem::take(rows).into_iter();
        let (count, next) = envelope.clone().unwrap_or_default();
        Some(Self {
            rows: rows.map(|row| AnsweredRow::new(row, names)).collect(),
            is_bare: envelope.is_none(),
            count: count.filter(|count| *count <= MAX_COUNT),
            next,
        })
    }

    /// Returns how many rows the list has on all its pages, if CallTools says so.
    pub fn total(&self) -> u64 {
        self.count.unwrap_or(0).max(self.rows.len() as u64)
    }

    /// Returns the agents of readable rows.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.rows.iter().filter_map(|row| row.agent.as_ref())
    }
}

/// The largest plausible `count`. If counting is switched off, CallTools sends a constant above the size of any account.
const MAX_COUNT: u64 = 1_000_000;

impl AnsweredRow {
    fn new(value: Value, names: &Names) -> Self {
        let agent = Row::read_again(&raw(&value).into(), names)
            .ok()
            .map(|row| row.agent);
        Self { value, agent }
    }

    /// The date of the last change.
    pub fn changed(&self) -> Option<Timestamp> {
        self.agent.as_ref()?.status_since
    }

    pub fn text(&self, field: &str) -> Option<&str> {
        self.value.get(field)?.as_str()
    }

    /// The number of the agent's status, if the row has it.
    pub fn status_id(&self) -> Option<u64> {
        let status = self.value.get("agent_status")?;
        let digits = || status.as_str()?.trim().parse().ok();
        status.as_u64().or_else(digits)
    }

    /// Whether the agent has this status, by number or else by name.
    pub fn has_status(&self, id: u64, names: &Names) -> bool {
        match (self.status_id(), names.status_by_id(id)) {
            (Some(own), _) => own == id,
            (None, Some(status)) => {
                let own = self
                    .agent
                    .as_ref()
                    .and_then(|agent| agent.status.as_deref());
                own == Some(status.name.trim())
            }
            (None, None) => false,
        }
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("what was JSON before serializes")
}

/// The answers so far.
#[derive(Debug, Default)]
pub(super) struct Answers(pub Vec<Answer>);

impl Answers {
    pub fn get(&self, question: Question) -> Option<&Answer> {
        self.0.iter().find(|answer| answer.question == question)
    }

    /// The list in the answer, if there is one.
    pub fn list(&self, question: Question) -> Option<&List> {
        self.get(question)?.list.as_ref()
    }

    /// Returns the account's names, if they were answered.
    pub fn names(&self) -> Names {
        let rows = |question| {
            let rows = self.list(question).map(|list| list.rows.iter());
            rows.map(|rows| rows.map(|row| raw(&row.value)))
        };
        let queues = rows(Question::Queues);
        let statuses = rows(Question::Statuses);
        Names {
            queues: queues.map(|rows| {
                rows.filter_map(|row| NamedQueue::from_row(row).ok())
                    .collect()
            }),
            statuses: statuses
                .map(|rows| rows.filter_map(|row| Status::from_row(row).ok()).collect()),
        }
    }
}
