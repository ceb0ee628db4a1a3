//! The fast path: `GET …/decision` as routers ask it, answered without the router and without a lock that threads share.
//!
//! What it answers is what [`decisions`](crate::server::api::decisions) would, byte for byte: the same [`DecisionJson`] is written down once for each state of a
//! queue, and later only the ages in it, which are what time alone changes. Everything is decided anew each time: a decision that comes
//! out differently in anything but its ages is written down again. Whatever is not plain (parameters that are ours, other methods, a queue
//! that waits, a refusal, a body) is left to the router.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use percent_encoding::percent_decode_str;

use super::access;
use crate::{
    clock::Moment,
    decision::{Decision, DecisionInput},
    server::{
        http::{call_id, params},
        json::{decision::DecisionJson, time::whole_ms},
        state::app::{App, Queue},
    },
};

/// Spellings of a queue that are kept: its name and id, with and without the account, and as many again for different ways to
/// percent-encode them. What comes beyond that is looked up each time.
const MAX_SPELLINGS: usize = 8;

/// See the [module](self). Each thread that serves has its own.
#[derive(Debug, Default)]
pub struct FastPath {
    /// Only this thread's connections come here, so it is free whenever they do.
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    /// The app that the answers belong to.
    app: Option<u64>,
    /// The version of the board's spellings.
    version: u64,
    /// By the queue as the path spells it.
    by_spelling: HashMap<Box<str>, CachedAnswer>,
}

/// The answer for a queue that was asked about before.
#[derive(Debug)]
struct CachedAnswer {
    queue: Arc<Queue>,
    /// Of the queue's state that the rest was made of.
    version: u64,
    input: DecisionInput,
    text: AnswerText,
    /// Whether the text counts down to something, so that it changes each second.
    has_countdown: bool,
}

impl FastPath {
    /// The answer for a queue as the [path](queue_in_path) spells it, once access has let the request in; `None` leaves it to the router.
    pub fn answer(&self, app: &App, queue: &str) -> Option<Bytes> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.answer(app, queue)
    }
}

/// The queue that a request asks about, as its path spells it; `None` if anything else in the request could change the answer.
pub fn queue_in_path(request: &Request<Incoming>) -> Option<&str> {
    let uri = request.uri();
    let is_plain = request.method() == Method::GET
        && uri.query().is_none_or(is_without_effect)
        && uri.authority().is_none()
        && request.body().is_end_stream();
    let path = is_plain.then(|| uri.path())?;
    path.strip_prefix("/v1/queues/")?.strip_suffix("/decision")
}

/// Whether a query changes nothing about the answer, as that of most routers: parameters of theirs, and a call's id that is one at first sight.
fn is_without_effect(query: &str) -> bool {
    let mut ids = 0;
    query.split('&').all(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == call_id::CALL_ID {
            ids += 1;
            return ids == 1 && call_id::is_plain(value);
        }
        // An encoded name may be any.
        !name.contains(['%', '+']) && params::own_name(name).is_none() && name != params::KEY
    })
}

/// The answer, in the place of the request that it answers: its map of headers is used again.
pub fn response(request: Request<Incoming>, body: Bytes) -> Response<Full<Bytes>> {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let mut response = Response::new(Full::new(body));
    let mut headers: HeaderMap = request.into_parts().0.headers;
    headers.clear();
    headers.insert(header::CONTENT_TYPE, JSON);
    access::finish(&mut headers);
    *response.headers_mut() = headers;
    response
}

impl Answers {
    fn answer(&mut self, app: &App, spelling: &str) -> Option<Bytes> {
        let now = app.clock.now();
        self.forget_outdated(app);
        if let Some(cached) = self.by_spelling.get_mut(spelling) {
            return Some(cached.answer(app, now));
        }
        let queue = find(app, spelling).filter(|queue| queue.patience.is_none())?;
        let mut cached = CachedAnswer::new(app, queue, now);
        let answer = cached.answer(app, now);
        self.by_spelling.insert(spelling.into(), cached);
        Some(answer)
    }

    fn forget_outdated(&mut self, app: &App) {
        let version = app.board.spelled().number();
        let max = MAX_SPELLINGS * app.queues().len();
        let is_of_another = self.app != Some(app.number) || self.version != version;
        if is_of_another || self.by_spelling.len() > max {
            self.by_spelling.clear();
            (self.app, self.version) = (Some(app.number), version);
        }
    }
}

/// As the router reads a path: split first, decoded afterwards.
fn find(app: &App, spelling: &str) -> Option<Arc<Queue>> {
    let decode = |segment| percent_decode_str(segment).decode_utf8().ok();
    match spelling.split_once('/') {
        None => app.find(None, &decode(spelling)?).ok(),
        Some((_, queue)) if queue.contains('/') => None,
        Some((account, queue)) => app.find(Some(&decode(account)?), &decode(queue)?).ok(),
    }
}

impl CachedAnswer {
    fn new(app: &App, queue: Arc<Queue>, now: Moment) -> Self {
        let version = queue.version.number();
        let state = app.state(&queue);
        let input = DecisionInput::new(&state, &queue.policy);
        let decision = input.decide(queue.holds.held(now), now);
        let view = DecisionJson::new(&queue.key, &queue.policy, &state, &decision, now);
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
            text,
        }
    }

    /// Decides, counts and writes down.
    fn answer(&mut self, app: &App, now: Moment) -> Bytes {
        let decision = self.decide(app, now);
        let took = app.clock.boot().saturating_sub(now.boot);
        app.decided(&self.queue, &decision, took);
        self.text.with_ages_of(&decision)
    }

    fn decide(&mut self, app: &App, now: Moment) -> Decision {
        if self.queue.version.number() == self.version {
            let decision = self.input.decide(self.queue.holds.held(now), now);
            if self.text.matches(&decision) && !self.has_countdown {
                return decision;
            }
        }
        *self = Self::new(app, Arc::clone(&self.queue), now);
        self.text.decision
    }
}

/// A decision written down, with room for its ages.
#[derive(Debug)]
struct AnswerText {
    decision: Decision,
    /// What comes before, between and after the ages, or all of it where there are none.
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

    /// Whether this is what the decision says, but for the ages.
    fn matches(&self, decision: &Decision) -> bool {
        self.decision.without_ages() == decision.without_ages()
    }

    /// The text with the ages of this decision.
    fn with_ages_of(&self, decision: &Decision) -> Bytes {
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
        // Exactly as long as it will be: it need not be moved, then.
        let mut text = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            text.extend_from_slice(part.as_bytes());
        }
        text.into()
    }
}

/// Cuts the ages out; `None` where they are not numbers. Keys cannot be mistaken: a quotation mark inside a value is escaped.
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

#[cfg(test)]
mod tests {
    use super::is_without_effect;

    #[test]
    fn only_a_query_that_changes_nothing_is_answered_here() {
        for query in [
            "",
            "caller_id=%2B13105550100&zip=90210&_=1764189134",
            "callerId=1&CALL_UUID=x&campaign=a+b&sub[]=%5B1%5D",
            "call_id=a84b4c76e66710",
            "a&&b==c",
        ] {
            assert!(is_without_effect(query), "{query}");
        }
        for query in [
            "threshold=2",
            "zip=1&treshold=2",
            "Format=text",
            "format=json",
            "%66ormat=text",
            "for%6dat=text",
            "call_id=",
            "call_id=[CALLER_ID]",
            "call_id=%7Bid%7D",
            "call_id=null",
            "call_id=a&call_id=b",
            "c%61ll_id=[ID]",
            "call_id=a&reserve=45s",
            "key=0123456789abcdef",
        ] {
            assert!(!is_without_effect(query), "{query}");
        }
    }
}
