//! The API of one account: takes a request and the time, and returns what CallTools would answer. Pure: it neither waits nor reads a clock.
//!
//! It checks a request in the order of Django and DRF: first the path, for any caller; then authentication, permission and the throttle, so
//! requests of strangers cost the account nothing; then the method, the filters and the page, so a wrong filter or a page past the end does
//! cost a request.

mod authenticate;
mod faults;
mod lists;
mod paging;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;

use self::authenticate::authenticate;
use super::{
    api_error::ApiError,
    fault::{FaultQueue, InjectedFault},
    page::{List, Query},
    quirks::{Quirks, RetryAfter, SweepQuirk},
    replies::{add_slash, web_page},
    route::{Endpoint, Route},
    throttle::{Arrivals, Throttle, Throttled},
    world::World,
};
use crate::calltools::Reply;

/// The size of the log: more than an hour's requests.
const MAX_LOG: usize = 4_096;

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The time on the simulator's clock.
    pub at: Duration,
    /// What it asked for.
    pub endpoint: Endpoint,
    /// As sent: `/api/agentstatuses/?queue=5450`.
    pub target: String,
    /// The answer's status; `None` if there was no answer.
    pub status: Option<StatusCode>,
}

/// The parts of a request that the API reads.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// Path and query, from the host on.
    pub(super) target: &'a str,
    /// `https://host`, for links.
    pub(super) origin: &'a str,
    pub(super) authorization: Option<&'a HeaderValue>,
}

/// The result of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An answer, and its additional delay.
    Answer(Reply, Duration),
    /// No answer, ever.
    Hang,
    /// The connection is closed.
    Dropped,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Outcome::Answer(reply, Duration::ZERO)
    }
}

/// One account behind its API.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) world: World,
    pub(super) token: String,
    pub(super) throttle: Throttle,
    pub(super) quirks: Quirks,
    pub(super) faults: FaultQueue,
    pub(super) arrivals: Arrivals,
    /// Answers cached on the way, by target, and since when.
    cache: HashMap<String, (Duration, Reply)>,
    counts: BTreeMap<Endpoint, u64>,
    log: VecDeque<Received>,
    /// The date and time at the world's start.
    start: Timestamp,
    /// Random numbers for rows that move, and for latency.
    pub(super) dice: fastrand::Rng,
}

impl Api {
    pub(super) fn new(
        world: World,
        token: String,
        limit: u32,
        start: Timestamp,
        seed: u64,
    ) -> Self {
        Self {
            world,
            token,
            throttle: Throttle::new(limit),
            quirks: Quirks::default(),
            faults: FaultQueue::default(),
            arrivals: Arrivals::default(),
            cache: HashMap::new(),
            counts: BTreeMap::new(),
            log: VecDeque::new(),
            start,
            // Not the world's: what clients do must not change what agents do.
            dice: fastrand::Rng::with_seed(!seed),
        }
    }

    /// Returns the number of requests received at an endpoint, with any answer.
    pub(super) fn received_at(&self, endpoint: Endpoint) -> u64 {
        self.counts.get(&endpoint).copied().unwrap_or(0)
    }

    /// Returns the newest requests, oldest first.
    pub(super) fn log(&self) -> impl Iterator<Item = &Received> {
        self.log.iter()
    }

    /// Returns whether this header has the account's token, for a server with several accounts.
    pub(super) fn knows(&self, authorization: Option<&HeaderValue>) -> bool {
        authenticate(authorization, &self.token).is_ok()
    }

    /// Receives a request at `now`.
    pub(super) fn respond(&mut self, now: Duration, request: &Request<'_>) -> Outcome {
        self.world.advance_to(now);
        self.arrivals.add(now);
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((request.target, ""));
        let route = Route::parse(path);
        let endpoint = route.endpoint();
        let outcome = match self.faults.take(now, endpoint) {
            None if let Some(reply) = self.cached(now, request) => reply.into(),
            None => self.judge(now, request, path, &route, query).into(),
            Some(InjectedFault::Slow(by)) => {
                Outcome::Answer(self.judge(now, request, path, &route, query), by)
            }
            Some(fault) => self.fail(fault, now),
        };
        self.remember(now, endpoint, request.target, &outcome);
        self.keep_in_cache(now, request.target, &outcome);
        outcome
    }

    /// Returns what a cache on the way has for this request.
    fn cached(&self, now: Duration, request: &Request<'_>) -> Option<Reply> {
        let (at, reply) = self.cache.get(request.target)?;
        let age = now.saturating_sub(*at);
        if age >= self.quirks.cache || !self.knows(request.authorization) {
            return None;
        }
        let mut reply = reply.clone();
        reply.headers.insert(header::AGE, age.as_secs().into());
        Some(reply)
    }

    fn keep_in_cache(&mut self, now: Duration, target: &str, outcome: &Outcome) {
        let lasts = self.quirks.cache;
        if lasts.is_zero() {
            return;
        }
        self.cache
            .retain(|_, (at, _)| now.saturating_sub(*at) < lasts);
        match outcome {
            Outcome::Answer(reply, _)
                if reply.status == StatusCode::OK && !reply.headers.contains_key(header::AGE) =>
            {
                self.cache.insert(target.to_owned(), (now, reply.clone()));
            }
            _ => {}
        }
    }

    fn remember(&mut self, at: Duration, endpoint: Endpoint, target: &str, outcome: &Outcome) {
        *self.counts.entry(endpoint).or_default() += 1;
        if self.log.len() == MAX_LOG {
            self.log.pop_front();
        }
        let status = match outcome {
            Outcome::Answer(reply, _) => Some(reply.status),
            Outcome::Hang | Outcome::Dropped => None,
        };
        self.log.push_back(Received {
            at,
            endpoint,
            target: target.to_owned(),
            status,
        });
    }

    fn judge(
        &mut self,
        now: Duration,
        request: &Request<'_>,
        path: &str,
        route: &Route<'_>,
        query: &str,
    ) -> Reply {
        match route {
            Route::NoSlash => return add_slash(path, query),
            Route::Unknown => return web_page(StatusCode::NOT_FOUND),
            _ => {}
        }
        let query = Query::parse(query);
        let answer = self
            .admit(now, request, route, &query)
            .and_then(|()| self.answer(request, path, route, &query));
        let mut reply = answer.unwrap_or_else(|api_error| api_error.reply());
        reply
            .headers
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        reply
    }

    /// Checks authentication, permission, throttle and method, in DRF's order.
    fn admit(
        &mut self,
        now: Duration,
        request: &Request<'_>,
        route: &Route<'_>,
        query: &Query,
    ) -> Result<(), ApiError> {
        authenticate(request.authorization, &self.token)?;
        self.permit(route, query)?;
        self.throttle
            .admit(now)
            .map_err(|throttled| self.throttled(throttled, now))?;
        match *request.method {
            Method::GET | Method::HEAD => Ok(()),
            _ => Err(ApiError::MethodNotAllowed(request.method.clone())),
        }
    }

    fn permit(&self, route: &Route<'_>, query: &Query) -> Result<(), ApiError> {
        let forbidden = match route {
            Route::Statuses => self.quirks.statuses_forbidden,
            Route::AgentStatuses => {
                self.quirks.sweep == SweepQuirk::Forbidden && query.get("queue").is_none()
            }
            _ => false,
        };
        match forbidden {
            true => Err(ApiError::Forbidden),
            false => Ok(()),
        }
    }

    fn throttled(&self, throttled: Throttled, now: Duration) -> ApiError {
        let wait_seconds = throttled.wait.map(|wait| {
            // Rounded up: a client that comes back a moment early is refused again.
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        });
        ApiError::Throttled {
            wait_seconds,
            retry_after: wait_seconds.and_then(|wait| self.retry_after(wait, now)),
        }
    }

    fn retry_after(&self, wait_seconds: u64, now: Duration) -> Option<String> {
        match self.quirks.retry_after {
            RetryAfter::Seconds => Some(wait_seconds.to_string()),
            RetryAfter::HttpDate => {
                let start = Duration::from_millis(self.start.as_millisecond().max(0) as u64);
                let then = start + now + Duration::from_secs(wait_seconds);
                Some(httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + then))
            }
            RetryAfter::Absent => None,
        }
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        path: &str,
        route: &Route<'_>,
        query: &Query,
    ) -> Result<Reply, ApiError> {
        let list = List {
            origin: self
                .quirks
                .links_origin
                .clone()
                .unwrap_or_else(|| request.origin.to_owned()),
            path,
            query,
        };
        match route {
            Route::AgentStatuses => self.agent_statuses(&list),
            Route::AgentStatus(id) => self.agent_status(id, &list),
            Route::Queues => self.queues(&list),
            Route::Statuses => self.statuses(&list),
            Route::LivePhoneCalls => self.live_phone_calls(&list),
            Route::NoSlash | Route::Unknown => Ok(web_page(StatusCode::NOT_FOUND)),
        }
    }
}
