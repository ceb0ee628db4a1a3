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

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;
use url::form_urlencoded;

use super::{
    hooks::Hooks,
    quirks::{ForeignQueue, Mishap, Mishaps, Quirks, RetryAfter, Sweep},
    refusal::Refusal,
    rows::View,
    throttle::{Arrivals, Throttle, Throttled},
    world::{Person, World},
};
use crate::calltools::Reply;

/// Rows on a page where the request does not say.
const PAGE_SIZE: usize = 25;
/// Larger wishes are clipped to this.
const MAX_PAGE_SIZE: usize = 250;
/// How many requests the account's log remembers: more than an hour's worth.
const REMEMBERED: usize = 4_096;

/// The parts of the API, as requests are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `agentstatuses/`, with a queue or without.
    AgentStatuses,
    /// `agentstatuses/{app_user}/`.
    AgentStatus,
    /// `queues/`.
    Queues,
    /// `statuses/`.
    Statuses,
    /// `livephonecalls/`.
    LivePhoneCalls,
    /// `resthooksubscriptions/` and `resthookerrorlogs/`.
    RestHooks,
    /// Anything else.
    Other,
}

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
    pub(super) mishaps: Mishaps,
    pub(super) arrivals: Arrivals,
    counts: BTreeMap<Endpoint, u64>,
    log: VecDeque<Received>,
    hooks: Hooks,
    /// What the calendar showed at the world's start.
    start: Timestamp,
    /// For rows that move, and for latency.
    pub(super) dice: fastrand::Rng,
}

enum Route<'a> {
    AgentStatuses,
    AgentStatus(&'a str),
    Queues,
    Statuses,
    LivePhoneCalls,
    Hooks,
    Hook(&'a str),
    HookErrors,
    /// A path that lacks its last slash.
    NoSlash,
    Unknown,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/api/") else {
            return Route::Unknown;
        };
        let (rest, slash) = match rest.strip_suffix('/') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let route = match rest.split_once('/') {
            None => Self::list(rest),
            Some((_, id)) if id.is_empty() || id.contains('/') => Route::Unknown,
            Some(("agentstatuses", id)) => Route::AgentStatus(id),
            Some(("resthooksubscriptions", id)) => Route::Hook(id),
            Some(_) => Route::Unknown,
        };
        match route {
            Route::Unknown => Route::Unknown,
            _ if !slash => Route::NoSlash,
            known => known,
        }
    }

    fn list(name: &str) -> Self {
        match name {
            "agentstatuses" => Route::AgentStatuses,
            "queues" => Route::Queues,
            "statuses" => Route::Statuses,
            "livephonecalls" => Route::LivePhoneCalls,
            "resthooksubscriptions" => Route::Hooks,
            "resthookerrorlogs" => Route::HookErrors,
            _ => Route::Unknown,
        }
    }

    fn endpoint(&self) -> Endpoint {
        match self {
            Route::AgentStatuses => Endpoint::AgentStatuses,
            Route::AgentStatus(_) => Endpoint::AgentStatus,
            Route::Queues => Endpoint::Queues,
            Route::Statuses => Endpoint::Statuses,
            Route::LivePhoneCalls => Endpoint::LivePhoneCalls,
            Route::Hooks | Route::Hook(_) | Route::HookErrors => Endpoint::RestHooks,
            Route::NoSlash | Route::Unknown => Endpoint::Other,
        }
    }

    fn allows(&self, method: &Method) -> bool {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Route::Hooks => reads || *method == Method::POST,
            Route::Hook(_) => reads || *method == Method::DELETE,
            _ => reads,
        }
    }

    fn allowed(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Route::Hooks => "GET, POST, HEAD",
            Route::Hook(_) => "GET, DELETE, HEAD",
            _ => "GET, HEAD",
        })
    }
}

/// A parsed query, in the order it came.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(query: &str) -> Self {
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The last value of a name, as Django reads it; an empty one counts as absent.
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().rev().find(|(known, _)| known == name);
        value
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The query of another page: all names in alphabetical order, as DRF writes it. The first page needs no number.
    fn with_page(&self, page: usize) -> String {
        let mut pairs: Vec<(&str, String)> = self
            .0
            .iter()
            .filter(|(name, _)| name != "page")
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        if page > 1 {
            pairs.push(("page", page.to_string()));
        }
        pairs.sort_by_key(|&(name, _)| name);
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish()
    }

    fn page_size(&self) -> usize {
        match self.get("page_size") {
            Some("max") => MAX_PAGE_SIZE,
            Some(wish) => match wish.trim().parse::<u128>() {
                Ok(1..) => wish.trim().parse().unwrap_or(usize::MAX).min(MAX_PAGE_SIZE),
                // Zero and what is no number are not refused but passed over.
                _ => PAGE_SIZE,
            },
            None => PAGE_SIZE,
        }
    }

    /// The number of the page, of so many.
    fn page(&self, pages: usize) -> Result<usize, Refusal> {
        let page = match self.get("page") {
            None => Some(1),
            Some("last") => Some(pages),
            Some(page) => page.trim().parse().ok(),
        };
        page.filter(|page| (1..=pages).contains(page))
            .ok_or(Refusal::NotFound("Invalid page."))
    }
}

#[derive(Serialize)]
struct Envelope<T> {
    count: i64,
    next: Option<String>,
    previous: Option<String>,
    results: Vec<T>,
}

/// What `agentstatuses/` was asked for.
struct Filter {
    queue: Option<u64>,
    status: Option<u64>,
    team: Option<u64>,
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
            mishaps: Mishaps::default(),
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
        let outcome = match self.mishaps.take(endpoint) {
            None => self.judge(now, request, path, &route, query).into(),
            Some(Mishap::Slow(by)) => {
                Outcome::Answer(self.judge(now, request, path, &route, query), by)
            }
            Some(mishap) => self.suffer(mishap, now),
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
        let mut reply = answer.unwrap_or_else(|refusal| refusal.reply());
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
    ) -> Result<(), Refusal> {
        authenticate(request.authorization, &self.token)?;
        self.permit(route, query)?;
        self.throttle
            .admit(now)
            .map_err(|throttled| self.throttled(throttled, now))?;
        match route.allows(request.method) {
            true => Ok(()),
            false => Err(Refusal::MethodNotAllowed(request.method.clone())),
        }
    }

    fn permit(&self, route: &Route<'_>, query: &Query) -> Result<(), Refusal> {
        let forbidden = match route {
            Route::Statuses => self.quirks.statuses_forbidden,
            Route::AgentStatuses => {
                self.quirks.sweep == Sweep::Forbidden && query.get("queue").is_none()
            }
            _ => false,
        };
        match forbidden {
            true => Err(Refusal::Forbidden),
            false => Ok(()),
        }
    }

    fn throttled(&self, throttled: Throttled, now: Duration) -> Refusal {
        let wait_seconds = throttled.wait.map(|wait| {
            // Rounded up: whoever comes back a moment early is refused again.
            wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
        });
        Refusal::Throttled {
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
    ) -> Result<Reply, Refusal> {
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

    fn create_hook(&mut self, body: &[u8]) -> Result<Reply, Refusal> {
        let now = self.start.saturating_add(self.world.now());
        let hook = self.hooks.create(body, now.unwrap_or(Timestamp::MAX))?;
        Ok(json_reply(StatusCode::CREATED, &hook))
    }
}

/// The lists.
impl Api {
    fn agent_statuses(&mut self, list: &List<'_>) -> Result<Reply, Refusal> {
        let filter = self.filter(list.query)?;
        let sweep = filter.queue.is_none();
        if sweep && self.quirks.sweep == Sweep::NotFound {
            return Err(Refusal::NotFound("Not found."));
        }
        let shift = self.row_shift();
        let view = self.view(list, filter.queue, sweep);
        let people = self.people(&filter, &view);
        self.page_shifted(list, people.len(), shift, |_, n| view.agent(people[n]))
    }

    /// The people that a list is about, in CallTools' order.
    fn people(&self, filter: &Filter, view: &View<'_>) -> Vec<&Person> {
        let partial = view.sweep && self.quirks.sweep == Sweep::Partial;
        let seen = |person: &&Person| !partial || !person.number.is_multiple_of(5);
        let in_status = |person: &&Person| {
            let ignored = self.quirks.status_filter_ignored;
            ignored
                || filter
                    .status
                    .is_none_or(|status| view.status(person).id == status)
        };
        let in_team = |person: &&Person| filter.team.is_none_or(|team| person.team == team);
        self.world
            .people_of(filter.queue)
            .filter(seen)
            .filter(in_status)
            .filter(in_team)
            .collect()
    }

    /// # Errors
    /// Every filter that makes no sense, at once.
    fn filter(&self, query: &Query) -> Result<Filter, Refusal> {
        let mut complaints = Vec::new();
        let mut number = |field| match query.get(field).map(|text| text.trim().parse()) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                complaints.push(Refusal::not_a_number(field));
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
            complaints.push(Refusal::no_choice("queue"));
        }
        let statuses = self.world.statuses();
        if filter
            .status
            .is_some_and(|id| statuses.iter().all(|status| status.id != id))
        {
            complaints.push(Refusal::no_choice("agent_status"));
        }
        match complaints.is_empty() {
            true => Ok(filter),
            false => Err(Refusal::Invalid(complaints)),
        }
    }

    fn agent_status(&self, id: &str, list: &List<'_>) -> Result<Reply, Refusal> {
        let view = self.view(list, None, false);
        let is_asked = |person: &&Person| *person.id.0 == *id || person.number.to_string() == id;
        let person = self.world.people_of(None).find(is_asked);
        let person = person.ok_or(Refusal::NotFound("No AgentStatus matches the given query."))?;
        Ok(json_reply(StatusCode::OK, &view.agent(person)))
    }

    fn queues(&self, list: &List<'_>) -> Result<Reply, Refusal> {
        let view = self.view(list, None, false);
        let queues = self.world.queues();
        self.page(list, queues.len(), |_, n| view.queue(&queues[n]))
    }

    fn statuses(&self, list: &List<'_>) -> Result<Reply, Refusal> {
        let view = self.view(list, None, false);
        let statuses = self.world.statuses();
        self.page(list, statuses.len(), |_, n| view.status_row(&statuses[n]))
    }

    fn live_phone_calls(&self, list: &List<'_>) -> Result<Reply, Refusal> {
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
    ) -> Result<Reply, Refusal> {
        self.page_shifted(list, rows, 0, row)
    }

    /// One page of a list of so many rows; only the rows on it are made.
    fn page_shifted<T: Serialize>(
        &self,
        list: &List<'_>,
        rows: usize,
        shift: isize,
        row: impl Fn(&Self, usize) -> T,
    ) -> Result<Reply, Refusal> {
        let make = |range: Range<usize>| range.map(|n| row(self, n)).collect::<Vec<T>>();
        if self.quirks.bare_array {
            return Ok(json_reply(StatusCode::OK, &make(0..rows)));
        }
        let size = list.query.page_size();
        // An empty list has one page, with nothing on it.
        let pages = rows.div_ceil(size).max(1);
        let page = list.query.page(pages)?;
        let link = |page| list.link(page);
        let envelope = Envelope {
            count: rows as i64 + self.quirks.count_off_by,
            next: (page < pages).then(|| link(page + 1)),
            previous: (page > 1).then(|| link(page - 1)),
            results: make(shifted(page, size, rows, shift)),
        };
        Ok(json_reply(StatusCode::OK, &envelope))
    }
}

/// The rows on a page: those that moved past its edge since the last page was read show up twice, or never.
fn shifted(page: usize, size: usize, rows: usize, shift: isize) -> Range<usize> {
    let shift = if page == 1 { 0 } else { shift };
    let edge = |n: usize| n.saturating_add_signed(shift).min(rows);
    edge((page - 1) * size)..edge(page * size)
}

/// A list that was asked for: what its links are made of.
struct List<'a> {
    origin: String,
    path: &'a str,
    query: &'a Query,
}

impl List<'_> {
    fn link(&self, page: usize) -> String {
        let query = self.query.with_page(page);
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{query}", self.origin, self.path)
    }
}

/// DRF's `TokenAuthentication`.
fn authenticate(header: Option<&HeaderValue>, token: &str) -> Result<(), Refusal> {
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
        [_, key] if !key.is_ascii() => {
            "Invalid token header. Token string should not contain invalid characters."
        }
        // A made-up token of a made-up account: no need to compare in constant time.
        [_, key] if *key == token.as_bytes() => return Ok(()),
        [_, _] => "Invalid token.",
        _ => "Invalid token header. Token string should not contain spaces.",
    };
    Err(Refusal::Unauthenticated(refused))
}

/// Mishaps.
impl Api {
    fn suffer(&self, mishap: Mishap, now: Duration) -> Outcome {
        let json = |body: &'static str| reply(StatusCode::OK, "application/json", body);
        match mishap {
            Mishap::InvalidToken => Refusal::Unauthenticated("Invalid token.").reply().into(),
            Mishap::Forbidden => Refusal::Forbidden.reply().into(),
            Mishap::NotFound => Refusal::NotFound("Not found.").reply().into(),
            Mishap::Throttled(wait) => self.throttled(Throttled { wait }, now).reply().into(),
            Mishap::WebPage(status) => {
                let status = StatusCode::from_u16(status);
                web_page(status.unwrap_or(StatusCode::BAD_GATEWAY)).into()
            }
            Mishap::Redirect(location) => redirect(StatusCode::FOUND, &location).into(),
            Mishap::BrokenJson => {
                json(r#"{"count":3,"next":null,"previous":null,"results":[{"app_user":"#).into()
            }
            Mishap::WrongShape => json(r#"{"agents":{"total":3},"results":"none"}"#).into(),
            Mishap::EmptyBody => json("").into(),
            Mishap::NoRows => {
                json(r#"{"count":0,"next":null,"previous":null,"results":[]}"#).into()
            }
            // A slow answer is a right one, and was given above.
            Mishap::Slow(_) | Mishap::Hang => Outcome::Hang,
            Mishap::Dropped => Outcome::Dropped,
        }
    }
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    Reply {
        status,
        headers,
        body: body.into(),
    }
}

pub(super) fn json_reply(status: StatusCode, body: &impl Serialize) -> Reply {
    let body = serde_json::to_vec(body).expect("rows have text keys and finite numbers");
    reply(status, "application/json", body)
}

fn empty(status: StatusCode) -> Reply {
    Reply {
        status,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}

/// The page that Django, or a load balancer in front of it, shows to people.
fn web_page(status: StatusCode) -> Reply {
    let reason = status.canonical_reason().unwrap_or("Error");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>{reason}</title>\n</head>\n<body>\n  \
         <h1>{reason}</h1><p></p>\n</body>\n</html>\n"
    );
    reply(status, "text/html; charset=utf-8", page)
}

/// Django's answer to a path without its last slash.
fn add_slash(path: &str, query: &str) -> Reply {
    let mark = if query.is_empty() { "" } else { "?" };
    redirect(
        StatusCode::MOVED_PERMANENTLY,
        &format!("{path}/{mark}{query}"),
    )
}

fn redirect(status: StatusCode, location: &str) -> Reply {
    let mut reply = reply(status, "text/html; charset=utf-8", "");
    if let Ok(location) = HeaderValue::from_str(location) {
        reply.headers.insert(header::LOCATION, location);
    }
    reply
}
