//! A cached answer: written once for each state of a queue; later only its ages are rewritten.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Moment,
    decision::{Decision, DecisionInput, soon::outlook::Outlook},
    server::{
        http::{call::Call, rights::Rights},
        json::{decision::DecisionJson, time::whole_ms},
        state::app::{App, Queue},
    },
};

/// The answer for a queue that was asked about before.
#[derive(Debug)]
pub struct CachedAnswer {
    queue: Arc<Queue>,
    /// The version of the queue's state behind the rest.
    version: u64,
    input: DecisionInput,
    outlook: Option<Outlook>,
    text: AnswerText,
    /// Whether the text contains a countdown, so that it changes each second.
    has_countdown: bool,
}

/// The moment of all decisions of one answer, and what the last one took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    now: Moment,
    /// When the next decision begins: when the one before ends, which saves a look at the clock.
    begun: Duration,
}

impl Timing {
    pub fn new(now: Moment) -> Self {
        let begun = now.boot;
        Self { now, begun }
    }

    /// Returns how long a decision took that ends now.
    fn took(&mut self, app: &App) -> Duration {
        let ended = app.clock.boot();
        ended.saturating_sub(std::mem::replace(&mut self.begun, ended))
    }
}

impl CachedAnswer {
    pub fn new(app: &App, queue: Arc<Queue>) -> Self {
        let now = app.clock.now();
        Self::at(app, queue, now)
    }

    fn at(app: &App, queue: Arc<Queue>, now: Moment) -> Self {
        let version = queue.version.number();
        let state = app.state(&queue);
        let input = DecisionInput::new(&state, &queue.rules.policy, now);
        let snapshot = state.snapshot.as_deref();
        let outlook = snapshot.and_then(|snapshot| snapshot.outlook.clone());
        let decision = input.decide(outlook.as_ref(), queue.holds.held(now), now);
        let view = DecisionJson::new(&queue.key, &queue.rules.policy, &state, &decision, now);
        let text = AnswerText::new(&view, &decision);
        let fault = state
            .fault
            .as_deref()
            .filter(|_| !decision.reason.is_known());
        Self {
            has_countdown: fault.is_some_and(|fault| fault.until().is_some()),
            queue,
            version,
            input,
            outlook,
            text,
        }
    }

    /// Decides, counts, records the answer if it is about a call, and appends it to `text`.
    pub fn write(
        &mut self,
        app: &App,
        call: Option<Call>,
        text: &mut Vec<u8>,
        timing: &mut Timing,
    ) -> Decision {
        let decision = self.decide(app, timing.now);
        app.decided(&self.queue, &decision, timing.took(app));
        if let Some(call) = call {
            // Only callers with all rights get here.
            app.record_decision(call, Rights::All, &self.queue, &decision, None);
        }
        self.text.write(&decision, text);
        decision
    }

    fn decide(&mut self, app: &App, now: Moment) -> Decision {
        if self.queue.version.number() == self.version {
            let (outlook, held) = (self.outlook.as_ref(), self.queue.holds.held(now));
            let decision = self.input.decide(outlook, held, now);
            if self.text.matches(&decision) && !self.has_countdown {
                return decision;
            }
        }
        *self = Self::at(app, Arc::clone(&self.queue), now);
        self.text.decision
    }
}

/// A written decision, with gaps for its ages.
#[derive(Debug)]
struct AnswerText {
    decision: Decision,
    /// The text before, between and after the ages, or all of it if there are none.
    parts: [Box<str>; 3],
}

const AGE: &str = "\"age_ms\":";
const MEMBERSHIP_AGE: &str = ",\"membership_age_ms\":";

impl AnswerText {
    fn new(view: &DecisionJson<'_>, decision: &Decision) -> Self {
        let json = serde_json::to_string(view).expect("texts and numbers can be written");
        Self {
            decision: *decision,
            parts: split(&json)
                .unwrap_or([json.as_str(), "", ""])
                .map(Box::from),
        }
    }

    /// Whether this is the text of the decision, apart from the ages.
    fn matches(&self, decision: &Decision) -> bool {
        self.decision.without_ages() == decision.without_ages()
    }

    /// Appends the answer, with the ages of this decision, to `text`.
    fn write(&self, decision: &Decision, text: &mut Vec<u8>) {
        let [before, between, after] = &self.parts;
        let mut digits = [itoa::Buffer::new(), itoa::Buffer::new()];
        let [one, two] = &mut digits;
        let (age, membership_age) = match (decision.age, decision.membership_age) {
            (Some(age), Some(membership)) => {
                (one.format(whole_ms(age)), two.format(whole_ms(membership)))
            }
            _ => ("", ""),
        };
        let parts = [before, age, between, membership_age, after];
        text.reserve(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            text.extend_from_slice(part.as_bytes());
        }
    }
}

/// Cuts the ages out; `None` if they are not numbers. Keys cannot be mistaken: a quotation mark inside a value is escaped.
fn split(json: &str) -> Option<[&str; 3]> {
    let before = json.find(AGE)? + AGE.len();
    let between = before + json[before..].find(',')?;
    let members = between + MEMBERSHIP_AGE.len();
    let after = members + json[members..].find(',')?;
    let numbers = [&json[before..between], &json[members..after]];
    let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
    let cut = [&json[..before], &json[between..members], &json[after..]];
    (numbers.iter().all(is_number) && cut[1] == MEMBERSHIP_AGE).then_some(cut)
}
