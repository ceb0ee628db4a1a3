//! The report as JSON, for programs. The keys are part of the interface.
//!
//! - `ok`: whether every queue could be asked and measured;
//! - `asked_by`: `daemon`, or `command` if none runs;
//! - `queues`: the decision of each, with the keys of `GET /v1/queues/{queue}/decision`, and beside them `ok`, `name`, `complete`,
//!   `took_ms`, `agents` (as in `GET /v1/queues/{queue}`, with `seat` and `forgotten`, which are `null` for custom criteria),
//!   `criteria`, `fault`, `cause` (why nothing is known, in one sentence, else `null`), `advice`, `notes`, `requests` (for its agents) and
//!   `budget` (of its account);
//! - `accounts`: the `requests` of this check, look-ups included, the `budget` after it, and `statuses_fault`, why statuses could not be
//!   read if nothing else failed; and `feeds`, where a running daemon's statuses come from, as in `GET /v1/accounts`, else `null`.

use serde::Serialize;

use super::{
    ask::{Answers, Finding},
    notes,
};
use crate::{
    budget::Usage,
    config::Rule,
    decision::{
        criteria::{Condition, Criteria, Literal, Measure, Seat, seat},
        snapshot::Snapshot,
    },
    model::{agent::Agent, quantity::Quantity},
    server::json::{decision::DecisionJson, fault::FaultJson, feed::FeedJson, queue::AgentJson},
};

/// Who asks CallTools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The daemon: everything that this machine spends is in its budget.
    Daemon,
    /// The command, which holds the state folder in the meantime.
    Command,
    /// The command, without a state folder: what a daemon has spent is not known.
    CommandAlone,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    ok: bool,
    asked_by: &'static str,
    queues: Vec<CheckedQueueJson<'a>>,
    accounts: Vec<CheckedAccountJson>,
}

#[derive(Serialize)]
struct CheckedAccountJson {
    account: String,
    requests: u32,
    budget: BudgetJson,
    statuses_fault: Option<String>,
    feeds: Option<Vec<FeedJson>>,
}

/// An account's hour after the check.
#[derive(Clone, Serialize)]
struct BudgetJson {
    requests_per_hour: u32,
    reserve: u32,
    used: u32,
    left: u32,
    /// Whether it includes a daemon's requests.
    shared: bool,
    throttled_until: Option<String>,
}

impl BudgetJson {
    fn new(answers: &Answers<'_>, by: By) -> Self {
        let Usage {
            limit,
            reserve,
            used,
            throttled_until,
            ..
        } = answers.usage;
        Self {
            requests_per_hour: limit,
            reserve,
            used,
            left: limit.saturating_sub(used),
            shared: by != By::CommandAlone,
            throttled_until: throttled_until.map(|until| until.rfc3339()),
        }
    }
}

#[derive(Serialize)]
struct CheckedQueueJson<'a> {
    #[serde(flatten)]
    decision: DecisionJson<'a>,
    ok: bool,
    name: Option<&'a str>,
    complete: Option<bool>,
    took_ms: Option<u64>,
    agents: Option<Vec<SeatJson<'a>>>,
    criteria: Option<CriteriaJson<'a>>,
    fault: Option<FaultJson>,
    cause: Option<String>,
    advice: Option<String>,
    notes: Vec<String>,
    requests: u32,
    budget: BudgetJson,
}

#[derive(Serialize)]
struct SeatJson<'a> {
    #[serde(flatten)]
    agent: AgentJson<'a>,
    seat: Option<bool>,
    forgotten: Option<bool>,
}

#[derive(Serialize)]
struct CriteriaJson<'a> {
    field: &'a str,
    measure: Measure,
    condition: Condition,
    value: Option<LiteralJson<'a>>,
    selected: Option<usize>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LiteralJson<'a> {
    Number(Quantity),
    Text(&'a str),
    Bool(bool),
}

impl<'a> CriteriaJson<'a> {
    fn new(criteria: &'a Criteria, selected: Option<usize>) -> Self {
        let definition = criteria.definition();
        Self {
            field: &definition.field,
            measure: criteria.measured_by(),
            condition: definition.condition,
            value: definition.value.as_ref().map(|value| match value {
                Literal::Number(number) => LiteralJson::Number(*number),
                Literal::Text(text) => LiteralJson::Text(text),
                Literal::Bool(truth) => LiteralJson::Bool(*truth),
            }),
            selected,
        }
    }
}

fn agents<'a>(snapshot: &'a Snapshot, rule: &Rule) -> Vec<SeatJson<'a>> {
    let standing = |agent: &Agent| match rule {
        Rule::Seats(rule) => Some(seat(agent, *rule, snapshot.as_of)),
        Rule::Custom(_) => None,
    };
    let view = |agent: &'a Agent| {
        let seat = standing(agent);
        SeatJson {
            agent: AgentJson::new(agent),
            seat: seat.map(|seat| seat == Seat::Open),
            forgotten: seat.map(|seat| seat == Seat::Forgotten),
        }
    };
    snapshot.agents.iter().map(|agent| view(agent)).collect()
}

impl<'a> CheckedQueueJson<'a> {
    fn new(finding: &'a Finding<'_>, budget: BudgetJson) -> Self {
        let snapshot = finding.snapshot();
        Self {
            decision: DecisionJson::new(
                &finding.key,
                &finding.policy,
                &finding.state,
                &finding.decision,
                finding.now,
            ),
            ok: finding.is_good(),
            name: finding.state.name.as_deref(),
            complete: snapshot.map(|snapshot| snapshot.complete),
            took_ms: snapshot.map(|snapshot| snapshot.took.as_millis() as u64),
            agents: snapshot.map(|snapshot| agents(snapshot, &finding.queue.rule)),
            criteria: match &finding.queue.rule {
                Rule::Seats(_) => None,
                Rule::Custom(criteria) => Some(CriteriaJson::new(criteria, finding.selected)),
            },
            fault: finding
                .state
                .fault
                .as_deref()
                .map(|fault| FaultJson::new(fault, finding.now)),
            cause: notes::cause(finding),
            advice: finding.advice(),
            notes: notes::notes(finding),
            requests: finding.requests,
            budget,
        }
    }
}

/// The report as JSON.
pub(super) fn write(answers: &[Answers<'_>], by: By) -> String {
    let queues = answers.iter().flat_map(|answers| {
        let budget = BudgetJson::new(answers, by);
        let findings = answers.findings.iter();
        findings.map(move |finding| CheckedQueueJson::new(finding, budget.clone()))
    });
    let account = |answers: &Answers<'_>| CheckedAccountJson {
        account: answers.account.to_owned(),
        requests: answers.requests,
        budget: BudgetJson::new(answers, by),
        statuses_fault: answers.statuses.as_ref().map(ToString::to_string),
        feeds: answers
            .feeds
            .as_ref()
            .map(|feeds| feeds.iter().map(FeedJson::from).collect()),
    };
    let report = ReportJson {
        ok: answers.iter().all(Answers::are_good),
        asked_by: match by {
            By::Daemon => "daemon",
            By::Command | By::CommandAlone => "command",
        },
        queues: queues.collect(),
        accounts: answers.iter().map(account).collect(),
    };
    let json = serde_json::to_string_pretty(&report);
    json.expect("texts and numbers can be written") + "\n"
}
