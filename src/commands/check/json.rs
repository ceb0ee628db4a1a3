//! What was found, as JSON for programs. The keys are part of the interface.
//!
//! - `ok`: whether every queue could be asked and measured;
//! - `queues`: the decision of each, with the keys of `GET /v1/queues/{queue}/decision`, and beside them `ok`, `name`, `complete`,
//!   `took_ms`, `agents` (as in `GET /v1/queues/{queue}`, with `seat`, which is `null` under criteria of one's own), `criteria`,
//!   `fault`, `requests` (for its agents) and `budget` (of its account);
//! - `accounts`: the `requests` of this check, look-ups included, and the `budget` after it.

use serde::Serialize;

use super::ask::{Answers, Finding};
use crate::{
    budget::Usage,
    calltools::Agent,
    config::Rule,
    criteria::{Condition, Criteria, Literal, Measure, Seat, seat},
    quantity::Quantity,
    server::{AgentView, DecisionView, FaultView},
    snapshot::Snapshot,
};

#[derive(Serialize)]
struct Document<'a> {
    ok: bool,
    queues: Vec<QueueView<'a>>,
    accounts: Vec<AccountView<'a>>,
}

#[derive(Serialize)]
struct AccountView<'a> {
    account: &'a str,
    requests: u32,
    budget: Option<BudgetView>,
}

/// An account's hour after the check.
#[derive(Clone, Serialize)]
struct BudgetView {
    requests_per_hour: u32,
    reserve: u32,
    used: u32,
    left: u32,
    /// Whether a daemon's requests are among them.
    shared: bool,
}

impl BudgetView {
    fn of(answers: &Answers<'_>) -> Option<Self> {
        let Usage {
            limit,
            reserve,
            used,
            ..
        } = answers.usage?;
        Some(Self {
            requests_per_hour: limit,
            reserve,
            used,
            left: limit.saturating_sub(used),
            shared: answers.shared,
        })
    }
}

#[derive(Serialize)]
struct QueueView<'a> {
    #[serde(flatten)]
    decision: DecisionView<'a>,
    ok: bool,
    name: Option<&'a str>,
    complete: Option<bool>,
    took_ms: Option<u64>,
    agents: Option<Vec<SeatView<'a>>>,
    criteria: Option<CriteriaView<'a>>,
    fault: Option<FaultView>,
    requests: u32,
    budget: Option<BudgetView>,
}

#[derive(Serialize)]
struct SeatView<'a> {
    #[serde(flatten)]
    agent: AgentView<'a>,
    seat: Option<bool>,
}

#[derive(Serialize)]
struct CriteriaView<'a> {
    field: &'a str,
    measure: Measure,
    condition: Condition,
    value: Option<LiteralView<'a>>,
    selected: Option<usize>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LiteralView<'a> {
    Number(Quantity),
    Text(&'a str),
    Bool(bool),
}

impl<'a> CriteriaView<'a> {
    fn of(criteria: &'a Criteria, selected: Option<usize>) -> Self {
        let definition = criteria.definition();
        Self {
            field: &definition.field,
            measure: criteria.measured_by(),
            condition: definition.condition,
            value: definition.value.as_ref().map(|value| match value {
                Literal::Number(number) => LiteralView::Number(*number),
                Literal::Text(text) => LiteralView::Text(text),
                Literal::Bool(truth) => LiteralView::Bool(*truth),
            }),
            selected,
        }
    }
}

fn agents<'a>(snapshot: &'a Snapshot, rule: &Rule) -> Vec<SeatView<'a>> {
    let view = |agent: &'a Agent| SeatView {
        agent: AgentView::of(agent),
        seat: match rule {
            Rule::Seats { forgotten_after } => {
                Some(seat(agent, *forgotten_after, snapshot.as_of) == Seat::Open)
            }
            Rule::Custom(_) => None,
        },
    };
    snapshot.agents.iter().map(|agent| view(agent)).collect()
}

impl<'a> QueueView<'a> {
    fn of(finding: &'a Finding<'_>, budget: Option<BudgetView>) -> Self {
        let snapshot = finding.snapshot();
        Self {
            decision: DecisionView::new(
                &finding.key,
                &finding.policy,
                &finding.state,
                &finding.decision,
            ),
            ok: finding.is_good(),
            name: finding.state.name.as_deref(),
            complete: snapshot.map(|snapshot| snapshot.complete),
            took_ms: snapshot.map(|snapshot| snapshot.took.as_millis() as u64),
            agents: snapshot.map(|snapshot| agents(snapshot, &finding.queue.rule)),
            criteria: match &finding.queue.rule {
                Rule::Seats { .. } => None,
                Rule::Custom(criteria) => Some(CriteriaView::of(criteria, finding.selected)),
            },
            fault: finding.state.fault.as_deref().map(FaultView::of),
            requests: finding.requests,
            budget,
        }
    }
}

/// The whole document.
pub(super) fn document(answers: &[Answers<'_>]) -> String {
    let queues = answers.iter().flat_map(|answers| {
        let budget = BudgetView::of(answers);
        let findings = answers.findings.iter();
        findings.map(move |finding| QueueView::of(finding, budget.clone()))
    });
    super::super::to_json(&Document {
        ok: answers.iter().all(Answers::are_good),
        queues: queues.collect(),
        accounts: answers
            .iter()
            .map(|answers| AccountView {
                account: answers.account,
                requests: answers.requests,
                budget: BudgetView::of(answers),
            })
            .collect(),
    })
}
