//! The fast path: answers plain requests for decisions, as most routers send them, without the router and without a lock that threads share.
//!
//! Its answers equal those of [`decisions`](crate::server::api::decisions), byte for byte. The JSON is written once for each state of a queue; later
//! only its ages are rewritten, because nothing else changes with time alone. Each request is decided afresh; if more than the ages differ, the JSON
//! is written again. The router handles everything else: openseat's own parameters, other methods, a queue that waits, a rejection, a body.

mod answer;
mod question;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

pub use self::question::Question;
use self::{
    answer::{CachedAnswer, Timing},
    question::{About, find_in_path, find_in_query, spellings},
};
use super::access;
use crate::server::{
    http::call::Call,
    state::app::{App, Queue},
};

/// The spellings to keep per queue: its name and id, with and without the account, and as many again for other percent-encodings. Further ones are
/// looked up each time.
const MAX_SPELLINGS: usize = 8;

/// The usual length of one decision, in bytes, to reserve space for a list.
const USUAL_LENGTH: usize = 420;

/// See the [module](self). Each listener on each serving thread has its own.
#[derive(Debug, Default)]
pub struct FastPath {
    /// Only this thread's connections use it, so the lock is always free.
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    /// The app that the answers belong to.
    app: Option<u64>,
    /// The version of the board's spellings.
    version: u64,
    /// By the spelling of the queue in a path. A queue that waits is not here.
    by_path: BySpelling,
    /// By the spelling of the queue in a query.
    by_query: BySpelling,
}

/// Cached answers by how requests spell their queues.
#[derive(Debug, Default)]
struct BySpelling {
    places: HashMap<Box<str>, usize>,
    answers: Vec<CachedAnswer>,
}

impl FastPath {
    /// Returns the answer to an admitted request; `None` leaves it to the router.
    pub fn answer(&self, app: &App, question: Question<'_>) -> Option<Bytes> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.forget_outdated(app);
        let call = question.call();
        match question.about {
            About::One(spelling) => answers.one(app, spelling, call),
            About::Many(query) => answers.many(app, query, call),
        }
    }
}

/// The headers of each answer. To clone them takes half as long as to insert them into an empty map.
static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    access::finish(&mut headers);
    headers
});

/// Returns the response with this answer.
pub fn response<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.headers_mut() = HEADERS.clone();
    response
}

impl Answers {
    fn one(&mut self, app: &App, spelling: &str, call: Option<Call>) -> Option<Bytes> {
        let find = || find_in_path(app, spelling).filter(|queue| queue.rules.patience.is_none());
        let place = self.by_path.place(app, spelling, find)?;
        let mut text = Vec::new();
        let timing = &mut Timing::new(app.clock.now());
        self.by_path.answers[place].write(app, call, &mut text, timing);
        Some(text.into())
    }

    fn many(&mut self, app: &App, query: &str, call: Option<Call>) -> Option<Bytes> {
        // Look all of them up first: decisions that the router makes again must not be counted here.
        let find = |spelling| move || find_in_query(app, spelling);
        let places = spellings(query).map(|one| self.by_query.place(app, one, find(one)));
        let places: Vec<usize> = places.collect::<Option<_>>()?;
        let mut text = Vec::with_capacity(USUAL_LENGTH * (places.len() + 1));
        // The best accepting decision, and where its text is.
        let mut best = None;
        let mut timing = Timing::new(app.clock.now());
        text.extend_from_slice(b"{\"decisions\":[");
        for (turn, place) in places.into_iter().enumerate() {
            if turn > 0 {
                text.push(b',');
            }
            let start = text.len();
            let cached = &mut self.by_query.answers[place];
            let decision = cached.write(app, call.clone(), &mut text, &mut timing);
            if decision.beats(best.as_ref().map(|(best, _)| best)) {
                best = Some((decision, start..text.len()));
            }
        }
        text.extend_from_slice(b"],\"best\":");
        match best {
            Some((_, range)) => text.extend_from_within(range),
            None => text.extend_from_slice(b"null"),
        }
        text.push(b'}');
        Some(text.into())
    }

    fn forget_outdated(&mut self, app: &App) {
        let version = app.board.spelled().number();
        let max = MAX_SPELLINGS * app.queues().len();
        if self.app != Some(app.number) || self.version != version {
            *self = Self {
                app: Some(app.number),
                version,
                ..Self::default()
            };
        }
        for cache in [&mut self.by_path, &mut self.by_query] {
            if cache.answers.len() > max {
                *cache = BySpelling::default();
            }
        }
    }
}

impl BySpelling {
    /// Returns the place of the answer for a spelling, which is a new one if it was not asked before; `None` if the spelling belongs to no queue.
    fn place(
        &mut self,
        app: &App,
        spelling: &str,
        find: impl FnOnce() -> Option<Arc<Queue>>,
    ) -> Option<usize> {
        if let Some(place) = self.places.get(spelling) {
            return Some(*place);
        }
        self.answers.push(CachedAnswer::new(app, find()?));
        let place = self.answers.len() - 1;
        self.places.insert(spelling.into(), place);
        Some(place)
    }
}
