//! What pages show of a queue: each part a piece of markup, the same on every page.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    super::{
        app::{App, Queue},
        decisions::why_unknown,
    },
    chart, words,
};
use crate::{
    board::{QueueKey, QueueState},
    calltools::Agent,
    clock::Moment,
    decision::{Decision, OnUnknown, Reason},
};

/// Knowledge is called old in the last quarter of its life: a poll or two have been missed, and there is time to look why.
const OLD: u32 = 4;

/// A queue with what is decided about it at a moment.
pub(super) struct Standing {
    pub(super) queue: Arc<Queue>,
    pub(super) state: Arc<QueueState>,
    pub(super) decision: Decision,
    pub(super) now: Moment,
}

impl Standing {
    pub(super) fn of(app: &App, queue: &Arc<Queue>) -> Self {
        let state = app.state(queue);
        Self {
            decision: app.decide(queue, &state, &queue.policy),
            queue: Arc::clone(queue),
            now: app.clock.now(),
            state,
        }
    }

    /// Why nothing is known, or what is wrong with the polls all the same: what, and what to do.
    pub(super) fn trouble(&self) -> Option<(String, String)> {
        if let Some(fault) = self.state.fault.as_deref() {
            return Some((words::capital(&fault.to_string()), fault.advice()));
        }
        let known = self.state.snapshot.is_some();
        let unknown = why_unknown(&self.state, &self.queue.policy, &self.decision)?;
        // Before the first poll has ended nothing is wrong.
        known.then(|| {
            let what = words::capital(words::why(self.decision.reason));
            (what, unknown)
        })
    }

    /// How long what is known may still be used; nothing where it may not.
    fn left(&self) -> Duration {
        let until = self.decision.valid_until.filter(|_| self.decision.is_fresh);
        until.map_or(Duration::ZERO, |until| until.shortest_since(self.now))
    }
}

/// A queue's page.
pub(super) fn address(key: &QueueKey) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    format!(
        "{}{}/{}",
        super::queue::PATH,
        encode(&key.account),
        encode(&key.queue)
    )
}

/// A queue's name. Its letters may run from right to left, or pretend to; they do so on their own.
pub(super) fn name(standing: &Standing) -> Markup {
    let state = &standing.state;
    let spelling = &*standing.queue.key.queue;
    let name = state.name.as_deref().unwrap_or(spelling);
    html! { bdi { (name) } }
}

/// How many seats are open; never a number where none is known.
pub(super) fn seats(standing: &Standing) -> Markup {
    let held = standing.queue.holds.held(standing.now);
    html! {
        @match standing.decision.count {
            Some(count) => { span.number { (count) } " " span.unit { (if count == 1_u32.into() { "seat" } else { "seats" }) } }
            None => { span.number.unknown { "?" } " " span.unit { "seats unknown" } }
        }
        @if held > 0 { span.note { (held) " held for calls" } }
    }
}

/// Accept or reject, by word and sign as well as by colour, and why.
pub(super) fn decision(standing: &Standing) -> Markup {
    let decision = &standing.decision;
    let (kind, sign) = match (decision.reason.is_known(), decision.accept) {
        (true, true) => ("accept", "✓"),
        (true, false) => ("reject", "✕"),
        (false, _) => ("unknown", "?"),
    };
    html! {
        span class={ "badge " (kind) } { span aria-hidden="true" { (sign) } " " (words::answer(decision.accept)) }
        code.reason { (decision.reason) }
        span.why { @match decision.reason {
            Reason::Seats | Reason::BelowThreshold => { "accepts " (words::rule(&standing.queue.policy, standing.state.snapshot.as_deref())) }
            Reason::Reserved => (words::why(decision.reason)),
            _ => { (words::why(decision.reason)) (on_unknown(standing)) }
        } }
    }
}

fn on_unknown(standing: &Standing) -> &'static str {
    match standing.queue.policy.on_unknown {
        OnUnknown::Reject => ", so calls go elsewhere",
        OnUnknown::Accept => ", and calls are sent all the same",
        OnUnknown::Last => ", so the last known answer stands",
    }
}

/// How old what is known is. The script counts it on and changes the note, by the same rule.
pub(super) fn age(standing: &Standing) -> Markup {
    let decision = &standing.decision;
    let (Some(age), Some(as_of)) = (decision.age, decision.as_of) else {
        return html! { span.age.old { "nothing known yet" } };
    };
    let left = standing.left();
    let (kind, note) = if left.is_zero() {
        ("age old", "too old to answer from".to_owned())
    } else if left < (age + left) / OLD {
        (
            "age near",
            format!("growing old: good for {}", words::span(left)),
        )
    } else {
        ("age", String::new())
    };
    html! {
        time class=(kind) datetime=(as_of.rfc3339()) data-age=(age.as_millis()) data-left=(left.as_millis()) {
            span.span { (words::span(age)) } " old" span.note { (note) }
        }
    }
}

/// How many agents are in each status: those in which they take calls first, then the most.
pub(super) fn statuses(agents: &[Arc<Agent>]) -> Vec<Status<'_>> {
    let mut counts = BTreeMap::<_, u32>::new();
    for agent in agents {
        let takes_calls = agent.available == Some(true);
        *counts
            .entry((!takes_calls, agent.status.as_deref()))
            .or_default() += 1;
    }
    let mut statuses: Vec<_> = counts
        .into_iter()
        .map(|((not_available, name), agents)| Status {
            name: name.unwrap_or(NO_STATUS),
            is_available: !not_available,
            agents,
        })
        .collect();
    statuses.sort_by_key(|status| (!status.is_available, std::cmp::Reverse(status.agents)));
    statuses
}

/// The agents of a queue who are in one status.
pub(super) struct Status<'a> {
    pub(super) name: &'a str,
    pub(super) is_available: bool,
    pub(super) agents: u32,
}

/// What the status of an agent is called who has none.
const NO_STATUS: &str = "no status";

/// Colours beside the green one; the stylesheet has them.
const COLOURS: usize = 6;

/// Statuses of a queue that get a line of their own: more would hide the others. The rest share one.
const SHOWN: usize = 6;

/// The colours of a page's statuses: the same one for a status in every queue, whatever counts do.
pub(super) struct Palette(BTreeSet<Box<str>>);

impl Palette {
    pub(super) fn of(standings: &[Standing]) -> Self {
        let snapshots = standings
            .iter()
            .filter_map(|standing| standing.state.snapshot.as_deref());
        let agents = snapshots.flat_map(|snapshot| &snapshot.agents);
        let others = agents.filter(|agent| agent.available != Some(true));
        let names = others.map(|agent| agent.status.as_deref().unwrap_or(NO_STATUS).into());
        Self(names.collect())
    }

    /// Green ones take calls, the others differ, as far as colours go.
    fn class(&self, status: &Status<'_>) -> String {
        if status.is_available {
            return "ready".to_owned();
        }
        let place = self.0.iter().position(|name| **name == *status.name);
        format!(
            "s{}",
            place.map_or(COLOURS, |place| (place + 1).min(COLOURS))
        )
    }
}

/// The agents of a queue by status: a bar for the eye, and the same in words.
pub(super) fn agents(standing: &Standing, palette: &Palette) -> Markup {
    let Some(snapshot) = standing.state.snapshot.as_deref() else {
        return html! { p.none { "agents unknown" } };
    };
    let mut statuses = statuses(&snapshot.agents);
    if statuses.is_empty() {
        return html! { p.none { "no agents belong to it" } };
    }
    if statuses.len() > SHOWN {
        let rest = statuses.split_off(SHOWN - 1);
        statuses.push(Status {
            name: "other statuses",
            is_available: false,
            agents: rest.iter().map(|status| status.agents).sum(),
        });
    }
    let kinds: Vec<_> = statuses
        .iter()
        .map(|status| palette.class(status))
        .collect();
    let parts = statuses.iter().zip(&kinds);
    let parts: Vec<_> = parts
        .map(|(status, kind)| (status.agents, &**kind))
        .collect();
    html! {
        (chart::bar(&parts))
        ul.statuses {
            @for (status, kind) in statuses.iter().zip(&kinds) {
                li { span class={ "swatch " (kind) } aria-hidden="true" {} b { (status.agents) } " " bdi { (status.name) } }
            }
        }
    }
}
