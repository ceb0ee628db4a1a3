//! The API of one account: a request goes in with the time, and what CallTools would do comes out. Pure: it neither waits
//! nor reads a clock.
//!
//! The order in which a request is judged is Django's and DRF's: a missing slash and an unknown path are told to anybody; then
//! come authentication, permission and the throttle, so that strangers cost the account nothing; then the method, the
//! filters and the page, so that a wrong filter and a page past the end do cost a request.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    api_error::ApiError,
    fault::{FaultQueue, InjectedFault},
    hooks::Hooks,
    order::{self, SortField, SortOrder},
    page::{Envelope, List, Query, shifted},
    quirks::{ForeignQueue, Quirks, RetryAfter, SweepQuirk},
    replies::{add_slash, empty, json_reply, redirect, reply, web_page},
    route::{Endpoint, Route},
    rows::View,
    throttle::{Arrivals, Throttle, Throttled},
    world::{Person, World},
};
use crate::calltools::Reply;

/// How many requests the account's log remembers: more than an hour's worth.
const REMEMBERED: usize = 4_096;

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When, on the simulator's clock.
    pub at: Duration,
    /// What it asked.
    pub endpoint: Endpoint,
    /// As sent: `/api/agentstatuses/?queue=5450`.
    pub target: String,
    /// What it got; `None` where it got no answer.
    pub status: Option<StatusCode>,
}

/// A request, as far as the API looks at it.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// Path and query, from the host on.
    pub(super) target: &'a str,
    /// `https://host`, for links.
    pub(super) origin: &'a str,
    pub(super) authorization: Option<&'a HeaderValue>,
    pub(super) body: &'a [u8],
}

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This answer, later than usual by so much.
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
    counts: BTreeMap<Endpoint, u64>,
    log: VecDeque<Received>,
    hooks: Hooks,
    /// What the calendar showed at the world's start.
    start: Timestamp,
    /// For rows that move, and for latency.
    pub(super) dice: fastrand::Rng,
}

/// What `agentstatuses/` was asked for.
struct Filter {
    queue: Option<u64>,
    status: Option<u64>,
    team: Option<u64>,
}

/// One page of a list.
struct Page {
    number: usize,
    rows: Range<usize>,
    has_next: bool,
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
            counts: BTreeMap::new(),
            log: VecDeque::new(),
            hooks: Hooks::default(),
            start,
            // Not the world's dice: what clients do must not change what agents do.
            dice: fastrand::Rng::with_seed(!seed),
        }
    }

    /// Requests received at an endpoint, whatever became of them.
    pub(super) fn received_at(&self, endpoint: Endpoint) -> u64 {
        self.counts.get(&endpoint).copied().unwrap_or(0)
    }

    /// The newest requests, oldest first.
    pub(super) fn log(&self) -> impl Iterator<Item = &Received> {
        self.log.iter()
    }

    /// Whether this header bears the account's token, for a server that hosts several accounts.
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
        let route = Route::of(path);
        let endpoint = route.endpoint();
        let outcome = match self.faults.take(now, endpoint) {
            None => self.judge(now, request, path, &route, query).into(),
            Some(InjectedFault::Slow(by)) => {
                Outcome::Answer(self.judge(now, request, path, &route, query), by)
            }
            Some(fault) => self.suffer(fault, now),
        };
        self.remember(now, endpoint, request.target, &outcome);
        outcome
    }

    fn remember(&mut self, at: Duration, endpoint: Endpoint, target: &str, outcome: &Outcome) {
        *self.counts.entry(endpoint).or_default() += 1;
        if self.log.len() == REMEMBERED {
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
        let query = Query::of(query);
        let answer = self
            .admit(now, request, route, &query)
            .and_then(|()| self.answer(request, path, route, &query));
        let mut reply = answer.unwrap_or_else(|api_error| api_error.reply());
        reply.headers.insert(header::ALLOW, route.allowed());
        reply
    }

    /// Authentication, permission, throttle, method: in DRF's order.
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
        match route.allows(request.method) {
            true => Ok(()),
            false => Err(ApiError::MethodNotAllowed(request.method.clone())),
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
            // Rounded up: whoever comes back a moment early is refused again.
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
        match (route, request.method) {
            (Route::AgentStatuses, _) => self.agent_statuses(&list),
            (Route::AgentStatus(id), _) => self.agent_status(id, &list),
            (Route::Queues, _) => self.queues(&list),
            (Route::Statuses, _) => self.statuses(&list),
            (Route::LivePhoneCalls, _) => self.live_phone_calls(&list),
            (Route::Hooks, &Method::POST) => self.create_hook(request.body),
            (Route::Hooks, _) => {
                let hooks = self.hooks.list().to_vec();
                self.page(&list, hooks.len(), |_, n| hooks[n].clone())
            }
            (Route::Hook(id), &Method::DELETE) => self
                .hooks
                .delete(id)
                .map(|()| empty(StatusCode::NO_CONTENT)),
            (Route::Hook(id), _) => Ok(json_reply(StatusCode::OK, self.hooks.get(id)?)),
            (Route::HookErrors, _) => self.page(&list, 0, |_, _| ()),
            (Route::NoSlash | Route::Unknown, _) => Ok(web_page(StatusCode::NOT_FOUND)),
        }
    }

    fn create_hook(&mut self, body: &[u8]) -> Result<Reply, ApiError> {
        let now = self.start.saturating_add(self.world.now());
        let hook = self.hooks.create(body, now.unwrap_or(Timestamp::MAX))?;
        Ok(json_reply(StatusCode::CREATED, &hook))
    }
}

/// The lists.
impl Api {
    fn agent_statuses(&mut self, list: &List<'_>) -> Result<Reply, ApiError> {
        let filter = self.filter(list.query)?;
        let sweep = filter.queue.is_none();
        if sweep && self.quirks.sweep == SweepQuirk::NotFound {
            return Err(ApiError::NotFound("Not found."));
        }
        let shift = self.row_shift();
        let view = self.view(list, filter.queue, sweep);
        let mut people = self.people(&filter, &view);
        if let Some(order) = SortOrder::parse(list.query.get("ordering"), self.quirks.ordering) {
            let page = self.locate(list, people.len(), shift)?.rows;
            self.sort(&mut people, page, order, &view);
        }
        self.page_shifted(list, people.len(), shift, |_, n| view.agent(people[n]))
    }

    fn sort(&self, people: &mut [&Person], page: Range<usize>, order: SortOrder, view: &View<'_>) {
        let value = |person: &Person| match order.field {
            SortField::AgentStatusModifiedOn => {
                view.modified_on(person).map(Timestamp::as_nanosecond)
            }
            SortField::LoggedInSince => person.logged_in_since.map(|since| since.as_nanos()),
            SortField::Pk => Some(i128::from(person.number)),
        };
        let key = |person: &Person| order::key(value(person), self.quirks.nulls);
        order::sort_page(people, page, order.descending, key, |person| person.number);
    }

    /// The people that a list is about, in CallTools' order.
    fn people(&self, filter: &Filter, view: &View<'_>) -> Vec<&Person> {
        let partial = view.sweep && self.quirks.sweep == SweepQuirk::Partial;
        let seen = |person: &&Person| !partial || !person.number.is_multiple_of(5);
        let in_status = |person: &&Person| {
            let ignored = self.quirks.status_filter_ignored;
            ignored
                || filter
                    .status
                    .is_none_or(|status| view.status(person).id == status)
        };
        let in_team = |person: &&Person| filter.team.is_none_or(|team| person.team == team);
        let past = self.world.changed_since(self.quirks.lag);
        self.world
            .people_of(filter.queue)
            .map(|person| past.get(&person.number).copied().unwrap_or(person))
            .filter(seen)
            .filter(in_status)
            .filter(in_team)
            .collect()
    }

    /// # Errors
    /// Every filter that makes no sense, at once.
    fn filter(&self, query: &Query) -> Result<Filter, ApiError> {
        let mut complaints = Vec::new();
        let mut number = |field| match query.get(field).map(|text| text.trim().parse()) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                complaints.push(ApiError::not_a_number(field));
                None
            }
        };
        let filter = Filter {
            queue: number("queue"),
            status: number("agent_status"),
            team: number("team"),
        };
        let queues = self.world.queues();
        let foreign = filter
            .queue
            .is_some_and(|id| queues.iter().all(|queue| queue.id != id));
        if foreign && self.quirks.foreign_queue == ForeignQueue::Refused {
            complaints.push(ApiError::no_choice("queue"));
        }
        let statuses = self.world.statuses();
        if filter
            .status
            .is_some_and(|id| statuses.iter().all(|status| status.id != id))
        {
            complaints.push(ApiError::no_choice("agent_status"));
        }
        match complaints.is_empty() {
            true => Ok(filter),
            false => Err(ApiError::Invalid(complaints)),
        }
    }

    fn agent_status(&self, id: &str, list: &List<'_>) -> Result<Reply, ApiError> {
        let view = self.view(list, None, false);
        let is_asked = |person: &&Person| *person.id.0 == *id || person.number.to_string() == id;
        let person = self.world.people_of(None).find(is_asked);
        let person = person.ok_or(ApiError::NotFound(
            "No AgentStatus matches the given query.",
        ))?;
        Ok(json_reply(StatusCode::OK, &view.agent(person)))
    }

    fn queues(&self, list: &List<'_>) -> Result<Reply, ApiError> {
        let view = self.view(list, None, false);
        let queues = self.world.queues();
        self.page(list, queues.len(), |_, n| view.queue(&queues[n]))
    }

    fn statuses(&self, list: &List<'_>) -> Result<Reply, ApiError> {
        let view = self.view(list, None, false);
        let statuses = self.world.statuses();
        self.page(list, statuses.len(), |_, n| view.status_row(&statuses[n]))
    }

    fn live_phone_calls(&self, list: &List<'_>) -> Result<Reply, ApiError> {
        let view = self.view(list, None, false);
        let people = self.world.people_of(None);
        let calls: Vec<_> = people
            .filter_map(|person| Some((person, person.call.as_ref()?)))
            .collect();
        self.page(list, calls.len(), |_, n| view.call(calls[n].0, calls[n].1))
    }

    fn view<'a>(&'a self, list: &'a List<'_>, queue: Option<u64>, sweep: bool) -> View<'a> {
        View {
            world: &self.world,
            quirks: &self.quirks,
            start: self.start,
            origin: &list.origin,
            queue,
            sweep,
        }
    }

    /// How far the rows have moved since the client asked for the page before: by one, either way, or not at all.
    fn row_shift(&mut self) -> isize {
        match self.quirks.rows_move {
            true => self.dice.i32(-1..=1) as isize,
            false => 0,
        }
    }

    fn page<T: Serialize>(
        &self,
        list: &List<'_>,
        rows: usize,
        row: impl Fn(&Self, usize) -> T,
    ) -> Result<Reply, ApiError> {
        self.page_shifted(list, rows, 0, row)
    }

    /// One page of a list of so many rows; only the rows on it are made.
    fn page_shifted<T: Serialize>(
        &self,
        list: &List<'_>,
        rows: usize,
        shift: isize,
        row: impl Fn(&Self, usize) -> T,
    ) -> Result<Reply, ApiError> {
        let make = |range: Range<usize>| range.map(|n| row(self, n)).collect::<Vec<T>>();
        if self.quirks.bare_array {
            return Ok(json_reply(StatusCode::OK, &make(0..rows)));
        }
        let page = self.locate(list, rows, shift)?;
        let link = |page| list.link(page);
        let envelope = Envelope {
            count: rows as i64 + self.quirks.count_off_by,
            next: page.has_next.then(|| link(page.number + 1)),
            previous: (page.number > 1).then(|| link(page.number - 1)),
            results: make(page.rows),
        };
        Ok(json_reply(StatusCode::OK, &envelope))
    }

    /// Finds the page that was asked for in a list of so many rows.
    fn locate(&self, list: &List<'_>, rows: usize, shift: isize) -> Result<Page, ApiError> {
        let endless = self.quirks.endless_pages;
        let size = list.query.page_size();
        // An empty list has one page, with nothing on it.
        let pages = rows.div_ceil(size).max(1);
        // Any number will do, as long as the next one exists.
        let known = if endless { u32::MAX as usize } else { pages };
        let number = list.query.page(known)?;
        let shown = if number > pages { 1 } else { number };
        Ok(Page {
            number,
            rows: match self.quirks.bare_array {
                true => 0..rows,
                false => shifted(shown, size, rows, shift),
            },
            has_next: endless || number < pages,
        })
    }
}

/// DRF's `TokenAuthentication`.
fn authenticate(header: Option<&HeaderValue>, token: &str) -> Result<(), ApiError> {
    const NONE: &str = "Authentication credentials were not provided.";
    let header = header.map_or(&[][..], HeaderValue::as_bytes);
    let words: Vec<&[u8]> = header
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let refused = match &words[..] {
        [keyword, ..] if !keyword.eq_ignore_ascii_case(b"Token") => NONE,
        [] => NONE,
        [_] => "Invalid token header. No credentials provided.",
        [_, key] if std::str::from_utf8(key).is_err() => {
            "Invalid token header. Token string should not contain invalid characters."
        }
        // A made-up token of a made-up account: no need to compare in constant time.
        [_, key] if *key == token.as_bytes() => return Ok(()),
        [_, _] => "Invalid token.",
        _ => "Invalid token header. Token string should not contain spaces.",
    };
    Err(ApiError::Unauthenticated(refused))
}

/// FaultQueue.
impl Api {
    fn suffer(&self, fault: InjectedFault, now: Duration) -> Outcome {
        let json = |body: &'static str| reply(StatusCode::OK, "application/json", body);
        match fault {
            InjectedFault::InvalidToken => {
                ApiError::Unauthenticated("Invalid token.").reply().into()
            }
            InjectedFault::Forbidden => ApiError::Forbidden.reply().into(),
            InjectedFault::NotFound => ApiError::NotFound("Not found.").reply().into(),
            InjectedFault::Throttled(wait) => {
                self.throttled(Throttled { wait }, now).reply().into()
            }
            InjectedFault::WebPage(status) => {
                let status = StatusCode::from_u16(status);
                web_page(status.unwrap_or(StatusCode::BAD_GATEWAY)).into()
            }
            InjectedFault::Redirect(location) => redirect(StatusCode::FOUND, &location).into(),
            InjectedFault::BrokenJson => {
                json(r#"{"count":3,"next":null,"previous":null,"results":[{"app_user":"#).into()
            }
            InjectedFault::WrongShape => json(r#"{"agents":{"total":3},"results":"none"}"#).into(),
            InjectedFault::EmptyBody => json("").into(),
            InjectedFault::NoRows => {
                json(r#"{"count":0,"next":null,"previous":null,"results":[]}"#).into()
            }
            // A slow answer is a right one, and was given above.
            InjectedFault::Slow(_) | InjectedFault::Hang => Outcome::Hang,
            InjectedFault::Dropped => Outcome::Dropped,
        }
    }
}
