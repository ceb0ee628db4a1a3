//! What pages show of a queue: each part a piece of markup, the same on every page.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{chart, wording};
use crate::{
    clock::Moment,
    decision::{
        Decision, OnUnknown, Reason,
        board::{QueueKey, QueueState},
    },
    model::agent::Agent,
    server::state::app::{App, Queue},
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

    /// What is wrong with the queue, and what to do: two sentences, the first without its end.
    pub(super) fn trouble(&self) -> Option<(String, String)> {
        if let Some(fault) = self.state.fault.as_deref() {
            return Some((wording::fault(fault), wording::sentence(&fault.advice())));
        }
        // Before the first poll has ended nothing is wrong.
        let snapshot = self.state.snapshot.as_deref()?;
        if let Err(mismatch) = &snapshot.measured {
            let what = format!("What CallTools sent does not fit the queue’s criteria: {mismatch}");
            return Some((
                what,
                "Try other criteria on the queue’s page, and set those that fit in the config."
                    .to_owned(),
            ));
        }
        (!self.decision.reason.is_known()).then(|| {
            let what = wording::capital(wording::why(self.decision.reason));
            (what, "Wait a moment: the next poll may be under way. If it comes back, raise max_age or poll fewer queues: `openseat plan` shows how old answers get.".to_owned())
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
        span class={ "badge " (kind) } { span aria-hidden="true" { (sign) } " " (wording::answer(decision.accept)) }
        code.reason { (decision.reason) }
        span.why { @match decision.reason {
            Reason::Seats | Reason::BelowThreshold => { "accepts " (wording::rule(&standing.queue.policy, standing.state.snapshot.as_deref())) }
            Reason::Reserved => (wording::why(decision.reason)),
            _ => { (wording::why(decision.reason)) (on_unknown(standing)) }
        } }
    }
}

fn on_unknown(standing: &Standing) -> &'static str {
    match standing.queue.policy.on_unknown {
        OnUnknown::Reject => ", so calls go elsewhere",
        OnUnknown::Accept => ", and calls are sent all the same",
        OnUnknown::Last if standing.state.snapshot.is_none() => ", so calls go elsewhere",
        OnUnknown::Last => ", so the last known answer stands",
    }
}

/// How old what is known is. A page bears moments; the script makes ages of them and counts on, and changes the note by the same rule.
pub(super) fn age(standing: &Standing) -> Markup {
    let decision = &standing.decision;
    let (Some(age), Some(as_of)) = (decision.age, decision.as_of) else {
        return html! { span.age.old { "no data yet" } };
    };
    let left = standing.left();
    let (kind, note) = if left.is_zero() {
        ("age old", "too old to answer from".to_owned())
    } else if left < (age + left) / OLD {
        let until = wording::time(standing.now.later(left));
        ("age near", format!("usable until {until}"))
    } else {
        ("age", String::new())
    };
    let until_ms = (!left.is_zero()).then(|| wall_ms(standing.now.later(left)));
    html! {
        time class=(kind) datetime=(as_of.rfc3339()) data-at=(seen_ms(standing, age)) data-until=[until_ms] {
            span.span { "as of " (wording::time(as_of)) } span.note { (note) }
        }
    }
}

/// When what is known was seen, by today's wall clock and to the second: where a clock was set, an age is right and the moment is not.
fn seen_ms(standing: &Standing, age: Duration) -> i64 {
    wall_ms(standing.now.earlier(age)).div_euclid(1_000) * 1_000
}

fn wall_ms(moment: Moment) -> i64 {
    moment.timestamp().as_millisecond()
}

/// The moment of the oldest statuses that answers rest on; the script turns it into "at most … old".
pub(super) fn oldest<'a>(known: impl Iterator<Item = &'a Standing>) -> Option<Markup> {
    let ages = known.filter_map(|standing| Some((standing.decision.age?, standing)));
    let (age, standing) = ages.max_by_key(|(age, _)| *age)?;
    let at = standing.now.earlier(age);
    Some(html! {
        time datetime=(at.rfc3339()) data-since=(seen_ms(standing, age)) data-before="at most " data-after=" old" { "from " (wording::time(at)) " or later" }
    })
}

/// Plain text in which backquotes enclose what is typed.
pub(super) fn marked(text: &str) -> Markup {
    let parts: Vec<_> = text.split('`').collect();
    // A quote that is never closed is a character like any other.
    if parts.len() % 2 == 0 {
        return html! { (text) };
    }
    html! {
        @for (n, part) in parts.iter().enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// When something began; the script turns it into "… ago".
pub(super) fn since(at: jiff::Timestamp) -> Markup {
    let ms = at.as_millisecond();
    html! { time datetime=(format!("{at:.0}")) data-since=(ms) data-after=" ago" { (wording::date(ms)) " UTC" } }
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

/// Colours beside the green one and the one for what is gathered; the stylesheet has them.
const COLOURS: u64 = 8;

/// The colours of the statuses that every account begins with. They are seen most, so no two of them share one.
const USUAL: [(&str, u64); 4] = [
    ("On a Call", 1),
    ("Post Call", 2),
    ("Not Available", 5),
    (NO_STATUS, 6),
];

/// The class of a status: green where agents take calls, else by its name alone, so that it keeps its colour whatever else is there.
fn class(status: &Status<'_>) -> String {
    if status.is_available {
        return "ready".to_owned();
    }
    let usual = USUAL.iter().find(|(name, _)| *name == status.name);
    let colour = usual.map_or_else(|| hashed(status.name), |(_, colour)| *colour);
    format!("s{colour}")
}

fn hashed(name: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(name, &mut hasher);
    std::hash::Hasher::finish(&hasher) % COLOURS + 1
}

/// Statuses of a queue that get a line of their own: more would hide the others. The rest share one.
const SHOWN: usize = 6;

/// The agents of a queue by status: a bar for the eye, and the same in words.
pub(super) fn agents(standing: &Standing) -> Markup {
    let Some(snapshot) = standing.state.snapshot.as_deref() else {
        return html! { p.none { "agents unknown" } };
    };
    let mut statuses = statuses(&snapshot.agents);
    if statuses.is_empty() {
        return html! { p.none { "no agents are assigned" } };
    }
    let rest = match statuses.len() > SHOWN {
        true => statuses.split_off(SHOWN - 1),
        false => Vec::new(),
    };
    let mut kinds: Vec<_> = statuses.iter().map(class).collect();
    if !rest.is_empty() {
        kinds.push("rest".to_owned());
        statuses.push(Status {
            name: "in other statuses",
            is_available: false,
            agents: rest.iter().map(|status| status.agents).sum(),
        });
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::agent;

    fn classes(names: &[&str]) -> BTreeMap<String, String> {
        let agents: Vec<_> = names
            .iter()
            .map(|name| Arc::new(agent("id", "Ann", name)))
            .collect();
        let of = |status: &Status<'_>| (status.name.to_owned(), class(status));
        statuses(&agents).iter().map(of).collect()
    }

    #[test]
    fn what_is_quoted_is_code_and_nothing_is_lost() {
        for (text, shown) in [
            ("see `openseat plan`.", "see <code>openseat plan</code>."),
            ("`a` and `b`", "<code>a</code> and <code>b</code>"),
            ("no ` end", "no ` end"),
            ("`<b>` & more", "<code>&lt;b&gt;</code> &amp; more"),
            ("", ""),
        ] {
            assert_eq!(marked(text).into_string(), shown);
        }
    }

    #[test]
    fn a_status_keeps_its_colour_whoever_else_is_there() {
        let all = [
            "Available",
            "Lunch",
            "On a Call",
            "Post Call",
            "Training",
            "Break",
        ];
        let together = classes(&all);
        assert_eq!(together["Available"], "ready");
        for name in all {
            assert_eq!(classes(&[name])[name], together[name], "{name}");
            assert_eq!(classes(&[name, "Aaa", "Zzz"])[name], together[name]);
        }
        let usual = USUAL.map(|(name, _)| classes(&[name])[name].clone());
        let different: std::collections::BTreeSet<_> = usual.iter().collect();
        assert_eq!(different.len(), USUAL.len());
    }
}
