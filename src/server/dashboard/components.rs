//! Parts of a queue's markup that pages share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{charts, wording, zone::Zone};
use crate::{
    clock::Moment,
    decision::{Decision, OnUnknown, Reason, board::QueueState, criteria::Verdict},
    model::{agent::Agent, quantity::Quantity},
    server::state::app::{App, Queue},
};
use maud::{Markup, html};

/// Data is marked in the last quarter of its usable time. By then a poll or two were missed, and there is still time to find out why. The script has
/// the same rule.
const LAST_QUARTER: u32 = 4;

/// A queue, its state and its decision, at one moment.
pub(super) struct Standing {
    pub(super) queue: Arc<Queue>,
    pub(super) state: Arc<QueueState>,
    pub(super) decision: Decision,
    pub(super) now: Moment,
    /// The viewer's time zone.
    pub(super) zone: Zone,
    /// Its position among all queues of the config; 0 on the page of one queue.
    pub(super) place: usize,
}

impl Standing {
    pub(super) fn new(app: &App, queue: &Arc<Queue>, zone: &Zone) -> Self {
        let state = app.state(queue);
        Self {
            zone: zone.clone(),
            place: 0,
            decision: app.decide(queue, &state, &queue.rules.policy),
            queue: Arc::clone(queue),
            now: app.clock.now(),
            state,
        }
    }

    /// Says what is wrong with the queue, without a full stop, and what to do about it. A closed queue is not polled, so nothing newer is expected.
    pub(super) fn trouble(&self) -> Option<(String, String)> {
        if self.is_closed() {
            return None;
        }
        if let Some(fault) = self.state.fault.as_deref() {
            return Some((wording::fault(fault), wording::sentence(&fault.advice())));
        }
        // Nothing is wrong before the first poll has ended.
        let snapshot = self.state.snapshot.as_deref()?;
        if let Err(mismatch) = &snapshot.measured {
            let what =
                format!("The data from CallTools does not fit the queue’s criteria: {mismatch}");
            return Some((
                what,
                "Try other criteria on the queue’s page, then set the ones that fit in the config."
                    .to_owned(),
            ));
        }
        (!self.decision.reason.is_known()).then(|| {
            let what = wording::capital(wording::why(self.decision.reason));
            (what, "Wait a moment: the next poll may be in progress. If the problem returns, raise `max_age` or poll fewer queues; `openseat plan` shows how old answers get.".to_owned())
        })
    }

    /// How urgently a person should look at it: first queues whose seats are unknown, then those with a fault, then those that reject.
    pub(super) fn rank(&self) -> u8 {
        match (self.decision.reason.is_known(), self.trouble().is_some()) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) if !self.decision.accept => 2,
            (true, false) => 3,
        }
    }

    /// What the queue lacks to accept calls: `needs 3 more free agents`. `None` if that is not a number of agents.
    fn need(&self) -> Option<String> {
        let snapshot = self.state.snapshot.as_deref()?;
        let measured = snapshot.measured.as_ref().ok()?;
        let Verdict::Compare(comparison) = measured.verdict else {
            return None;
        };
        let lacks = wording::lacking(comparison, self.decision.count?, self.decision.threshold?)?;
        // A rule may count something else than agents who would take a call.
        let free = snapshot.agents.iter().filter(|agent| agent.is_free());
        let counts_agents = measured.count == Quantity::from(free.count());
        let noun = if counts_agents {
            "more free agent"
        } else {
            "more seat"
        };
        Some(format!("needs {}", wording::counted(lacks, noun)))
    }

    /// What people should act on, in a few words; `None` if the queue accepts calls as it should.
    pub(super) fn lack(&self) -> Option<String> {
        let reason = self.decision.reason;
        match reason {
            Reason::Seats | Reason::Soon => None,
            Reason::BelowThreshold => Some(self.need().unwrap_or_else(|| {
                let rule = wording::rule(&self.queue.rules.policy, self.state.snapshot.as_deref());
                format!("accepts {rule}")
            })),
            Reason::Reserved => Some(wording::why(reason).to_owned()),
            Reason::Closed => self.closed(),
            _ => Some(format!("{}{}", wording::why(reason), on_unknown(self))),
        }
    }

    /// Whether the queue is outside its opening hours.
    pub(super) fn is_closed(&self) -> bool {
        self.decision.reason == Reason::Closed
    }

    /// When it opens again.
    fn closed(&self) -> Option<String> {
        wording::closed(&self.queue.rules.policy, &self.decision, self.now)
    }

    /// How much longer the data may be used; zero if it may not be used.
    fn left(&self) -> Duration {
        let until = self.decision.valid_until.filter(|_| self.decision.is_fresh);
        until.map_or(Duration::ZERO, |until| until.shortest_since(self.now))
    }
}

/// A queue's name. `bdi` stops names in right-to-left scripts, or with control characters, from reordering the text around them.
pub(super) fn name(standing: &Standing) -> Markup {
    let state = &standing.state;
    let configured = &*standing.queue.key.queue;
    let name = state.name.as_deref().unwrap_or(configured);
    html! { bdi { (name) } }
}

/// The number of open seats, alone.
pub(super) fn number(standing: &Standing) -> Markup {
    html! {
        @if standing.is_closed() { span.number { "–" } } @else { (count(standing)) }
        (held(standing, "held"))
    }
}

/// The number of open seats. If it is unknown, no number is shown.
pub(super) fn seats(standing: &Standing) -> Markup {
    let unit = match standing.decision.count {
        Some(count) if count == 1_u32.into() => "seat",
        Some(_) => "seats",
        None => "seats unknown",
    };
    html! {
        @if standing.is_closed() { span.unit { "closed" } } @else { (count(standing)) " " span.unit { (unit) } }
        (held(standing, "held for calls"))
    }
}

fn count(standing: &Standing) -> Markup {
    html! {
        @match standing.decision.count {
            Some(count) => span.number { (count) },
            None => span.number.unknown { "?" },
        }
    }
}

/// How many seats reservations hold, if any.
fn held(standing: &Standing, what: &str) -> Markup {
    let held = standing.queue.holds.held(standing.now).all;
    html! { @if held > 0 { span.note { (held) " " (what) } } }
}

/// The answer of a decision.
pub(super) fn badge(standing: &Standing) -> Markup {
    let decision = &standing.decision;
    match decision.reason.is_known() {
        true => answer_badge(Some(decision.accept), ""),
        false => coloured("unknown", "?", decision.accept),
    }
}

/// An answer that was given; `none` if it is neither accept nor reject.
pub(super) fn answer_badge(accept: Option<bool>, none: &str) -> Markup {
    match accept {
        Some(true) => coloured("accept", "✓", true),
        Some(false) => coloured("reject", "✕", false),
        None => html! { span.none { (none) } },
    }
}

/// Accept or reject, as text, symbol and colour.
fn coloured(class: &str, symbol: &str, accept: bool) -> Markup {
    html! {
        span class={ "badge " (class) } { span aria-hidden="true" { (symbol) } " " (wording::answer(accept)) }
    }
}

/// The answer and why.
pub(super) fn decision(standing: &Standing) -> Markup {
    let reason = standing.decision.reason;
    let rule = wording::rule(
        &standing.queue.rules.policy,
        standing.state.snapshot.as_deref(),
    );
    html! {
        (badge(standing))
        code.reason { (reason) }
        span.why {
            @match (reason, standing.need()) {
                (Reason::Seats, _) | (Reason::BelowThreshold, None) => { "accepts " (rule) }
                (Reason::BelowThreshold, Some(need)) => { b { (need) } ": accepts " (rule) }
                (Reason::Soon, _) => (wording::soon(standing.decision.prediction)),
                _ => (standing.lack().unwrap_or_default()),
            }
        }
    }
}

fn on_unknown(standing: &Standing) -> &'static str {
    match standing.queue.rules.policy.on_unknown {
        OnUnknown::Reject => ", so calls go elsewhere",
        OnUnknown::Accept => ", and calls are sent anyway",
        OnUnknown::Last if standing.state.snapshot.is_none() => ", so calls go elsewhere",
        OnUnknown::Last => ", so the last known answer is used",
    }
}

/// The age of the data. The page contains times; the script turns them into ages, keeps them current, and updates the note by the same rule.
pub(super) fn age(standing: &Standing) -> Markup {
    let decision = &standing.decision;
    if standing.is_closed() {
        return html! { span.age { "not polled while it is closed" } };
    }
    let (Some(age), Some(as_of)) = (decision.age, decision.as_of) else {
        return html! { span.age.old { "no data yet" } };
    };
    let left = standing.left();
    let (class, note) = if left.is_zero() {
        ("age old", "too old to answer from".to_owned())
    } else if left < (age + left) / LAST_QUARTER {
        let until = standing.zone.time(standing.now.later(left));
        ("age near", format!("usable until {until}"))
    } else {
        ("age", String::new())
    };
    let until_ms = (!left.is_zero()).then(|| wall_ms(standing.now.later(left)));
    html! {
        time class=(class) datetime=(as_of.rfc3339()) data-at=(seen_ms(standing, age)) data-until=[until_ms] {
            span.span { "as of " (standing.zone.time(as_of)) } span.note { (note) }
        }
    }
}

/// When the data was seen, to the second. It is computed from the age, which stays right when the wall clock is set.
fn seen_ms(standing: &Standing, age: Duration) -> i64 {
    wall_ms(standing.now.earlier(age)).div_euclid(1_000) * 1_000
}

fn wall_ms(moment: Moment) -> i64 {
    moment.timestamp().as_millisecond()
}

/// The time of the oldest data behind the answers; the script turns it into "at most … old".
pub(super) fn oldest<'a>(known: impl Iterator<Item = &'a Standing>) -> Option<Markup> {
    let ages = known.filter_map(|standing| Some((standing.decision.age?, standing)));
    let (age, standing) = ages.max_by_key(|(age, _)| *age)?;
    let at = standing.now.earlier(age);
    Some(html! {
        time datetime=(at.rfc3339()) data-since=(seen_ms(standing, age)) data-before="at most " data-after=" old" { "from " (standing.zone.time(at)) " or later" }
    })
}

/// Renders text in which backquotes mark code.
pub(super) fn with_code(text: &str) -> Markup {
    let parts: Vec<_> = text.split('`').collect();
    // An unpaired quote is an ordinary character.
    if parts.len() % 2 == 0 {
        return html! { (text) };
    }
    html! {
        @for (n, part) in parts.iter().enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// An address of this server, to copy. The script adds the server's name.
pub(super) fn address(path: &str) -> Markup {
    html! {
        p.address data-keep {
            code data-path=(path) { (path) }
            // Hidden until the script runs, since it does nothing without it.
            button.quiet type="button" hidden data-copy { "Copy" }
        }
    }
}

/// When something began; the script turns it into "… ago".
pub(super) fn since(at: jiff::Timestamp, zone: &Zone) -> Markup {
    let ms = at.as_millisecond();
    html! { time datetime=(format!("{at:.0}")) data-since=(ms) data-after=" ago" { (zone.full_date(ms)) } }
}

/// When something will happen; the script adds "(in …)".
pub(super) fn coming(at: Moment, zone: &Zone) -> Markup {
    let text = zone.time(at);
    html! { time datetime=(at.rfc3339()) data-in=(wall_ms(at)) data-text=(text) { (text) } }
}

/// Counts the agents in each status. Statuses in which agents take calls come first, then larger counts.
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

/// A status, and the number of a queue's agents in it.
pub(super) struct Status<'a> {
    pub(super) name: &'a str,
    pub(super) is_available: bool,
    pub(super) agents: u32,
}

/// The name shown for agents without a status.
const NO_STATUS: &str = "no status";

/// The number of colours in the stylesheet, without green and the colour of the rest.
const COLOURS: u64 = 8;

/// The colours of the statuses that every account starts with. These are the most common, so no two of them share a colour.
const USUAL: [(&str, u64); 4] = [
    ("On a Call", 1),
    ("Post Call", 2),
    ("Not Available", 5),
    (NO_STATUS, 6),
];

/// The class of a status: green if agents take calls in it; otherwise it depends on the name alone, so that its colour does not depend on the
/// others.
fn class(status: &Status<'_>) -> String {
    if status.is_available {
        return "ready".to_owned();
    }
    let usual = USUAL.iter().find(|(name, _)| *name == status.name);
    let colour = usual.map_or_else(|| hashed_colour(status.name), |(_, colour)| *colour);
    format!("s{colour}")
}

fn hashed_colour(name: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(name, &mut hasher);
    std::hash::Hasher::finish(&hasher) % COLOURS + 1
}

/// The most lines for a queue's statuses. Further statuses share the last line.
const MAX_STATUSES: usize = 6;

/// The agents of a queue by status, as a bar and as text.
pub(super) fn agents(standing: &Standing) -> Markup {
    if standing.is_closed() {
        return html! {}; // What was seen before it closed says nothing about now.
    }
    let Some(snapshot) = standing.state.snapshot.as_deref() else {
        return html! { p.none { "agents unknown" } };
    };
    let mut statuses = statuses(&snapshot.agents);
    if statuses.is_empty() {
        return html! { p.none { "no agents are assigned" } };
    }
    let rest = match statuses.len() > MAX_STATUSES {
        true => statuses.split_off(MAX_STATUSES - 1),
        false => Vec::new(),
    };
    let mut classes: Vec<_> = statuses.iter().map(class).collect();
    if !rest.is_empty() {
        classes.push("rest".to_owned());
        statuses.push(Status {
            name: "in other statuses",
            is_available: false,
            agents: rest.iter().map(|status| status.agents).sum(),
        });
    }
    let parts = statuses.iter().zip(&classes);
    let parts: Vec<_> = parts
        .map(|(status, class)| (status.agents, &**class))
        .collect();
    html! {
        (charts::bar(&parts))
        ul.statuses {
            @for (status, class) in statuses.iter().zip(&classes) {
                li { span class={ "swatch " (class) } aria-hidden="true" {} b { (status.agents) } " " bdi { (status.name) } }
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
    fn backquotes_mark_code_and_nothing_is_lost() {
        for (text, shown) in [
            ("see `openseat plan`.", "see <code>openseat plan</code>."),
            ("`a` and `b`", "<code>a</code> and <code>b</code>"),
            ("no ` end", "no ` end"),
            ("`<b>` & more", "<code>&lt;b&gt;</code> &amp; more"),
            ("", ""),
        ] {
            assert_eq!(with_code(text).into_string(), shown);
        }
    }

    #[test]
    fn the_colour_of_a_status_does_not_depend_on_the_others() {
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
