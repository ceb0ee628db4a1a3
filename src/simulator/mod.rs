//! A CallTools to develop and test against: one made-up account, alive, behind an API that behaves like the real one.
//!
//! No test account of CallTools can be had for the asking, and a real one has a budget and real callers. The simulator is
//! for everybody who integrates against the API: `openseat simulate` runs it alone, `openseat demo` with the daemon, and our
//! own tests and benchmarks live in it, in the same process and in virtual time.
//!
//! # What it copies, and how that is known
//! CallTools answers in the manner of Django REST framework (DRF), whose behaviour is public and was tried out; the endpoints
//! and fields are those of CallTools' own documents and of programs that talk to live accounts. So it
//! - authenticates `Authorization: Token …` and words its 401s as DRF's `TokenAuthentication` does;
//! - limits requests with DRF's sliding log, refused ones not counted, `Retry-After` in whole seconds rounded up ([`Throttle`]);
//!   strangers and people without permission cost the account nothing, wrong filters and pages past the end do;
//! - pages lists by number, 25 rows unless asked for more and 250 at most, with absolute links whose query is sorted, and 404
//!   past the end;
//! - answers a path without its last slash with Django's 301, and an unknown one with a web page.
//!
//! Where nobody knows which way CallTools has it (status ids or names, links behind proxies, foreign queues), the likelier
//! reading is the default and the others are [`Quirks`]. Bad days are [`InjectedFault`]s. What people do all day is the [`World`].
//! Not copied: past status changes, and REST hooks.
//!
//! # Time
//! The simulator has the clock it is given, read as time since the boot so that no step of the wall confuses it, and may run
//! faster by a factor: the world, the limit's hour and the latency alike. It takes no time to live: an hour of two hundred
//! people is a few milliseconds of work, done when somebody asks.

mod api;
mod api_error;
mod fault;
mod order;
mod page;
mod quirks;
mod replies;
mod route;
mod rows;
mod serve;
mod throttle;
mod world;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use http::HeaderValue;

use crate::{
    calltools::{Outgoing, Reply, Transport},
    clock::{Clock, Moment},
    model::fault::{Down, Fault},
};
use api::{Api, Outcome, Request};

pub use api::Received;
pub use fault::InjectedFault;
pub use quirks::{
    DateForm, ForeignQueue, LoggedInField, NullOrder, Ordering, PageSizeMax, Quirks, RetryAfter,
    StatusForm, SweepQuirk, Ties, UserForm,
};
pub use route::Endpoint;
pub use serve::{Serving, serve};
pub use throttle::{Arrivals, HOUR, Throttle, Throttled, Window};
pub use world::{AgentTruth, QueueAction, World, WorldQueue, WorldSettings, WorldStatus};

/// The token of an account that names no other.
pub const TOKEN: &str = "simulated0token0of0a0simulated0account00";

/// What the links in replies begin with where no HTTP request says otherwise.
const ORIGIN: &str = "https://east-1.calltools.io";

/// How long the transport in the process waits for an answer that does not come: what the real client waits by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// One simulated account.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The people and queues.
    pub world: WorldSettings,
    /// The token that the API accepts.
    pub token: String,
    /// The account's limit.
    pub requests_per_hour: u32,
    /// The mean time from a request to its answer, on the simulator's clock; zero answers at once.
    pub latency: Duration,
    /// How many of the simulator's seconds pass in one of the clock's.
    pub speed: f64,
}

impl Settings {
    /// A lively account at the distance that CallTools is said to have: usually under half a second.
    pub fn lively() -> Self {
        Self {
            latency: Duration::from_millis(300),
            ..Self::new(WorldSettings::lively())
        }
    }

    /// This world, without latency, in real time, with CallTools' limit of 1000 requests an hour.
    pub fn new(world: WorldSettings) -> Self {
        Self {
            world,
            token: TOKEN.to_owned(),
            requests_per_hour: 1_000,
            latency: Duration::ZERO,
            speed: 1.0,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(WorldSettings::default())
    }
}

/// A handle on a simulated account; clones share it.
///
/// Two accounts are two simulators with different tokens.
#[derive(Clone)]
pub struct Simulator {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    started: Moment,
    speed: f64,
    state: Mutex<State>,
}

struct State {
    api: Api,
    latency: Duration,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor two hundred people.
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

impl Simulator {
    /// Begins an account's life now.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let started = clock.now();
        let seed = settings.world.seed;
        let world = World::new(settings.world);
        let limit = settings.requests_per_hour;
        let api = Api::new(world, settings.token, limit, started.timestamp(), seed);
        let speed = if settings.speed.is_finite() && settings.speed > 0.0 {
            settings.speed
        } else {
            1.0
        };
        Self {
            inner: Arc::new(Inner {
                clock,
                started,
                speed,
                state: Mutex::new(State {
                    api,
                    latency: settings.latency,
                }),
            }),
        }
    }

    /// The time on the simulator's clock: how long the account has lived.
    pub fn now(&self) -> Duration {
        let now = self.inner.clock.now().boot;
        let passed = now.saturating_sub(self.inner.started.boot);
        match self.inner.speed {
            // Exact, where no factor asks for rounding.
            1.0 => passed,
            speed => passed.mul_f64(speed),
        }
    }

    /// Lets the world live up to now, then looks at it or takes hold of it: this is where the truth is.
    ///
    /// `look` must not use the simulator itself: the account waits until it returns.
    pub fn world<R>(&self, look: impl FnOnce(&mut World) -> R) -> R {
        let now = self.now();
        let world = &mut self.state().api.world;
        world.advance_to(now);
        look(world)
    }

    /// Agents who would take a call of this queue right now.
    pub fn seats(&self, queue: u64) -> usize {
        self.world(|world| world.seats(queue))
    }

    /// The id of the queue with this name.
    pub fn queue_id(&self, name: &str) -> Option<u64> {
        self.world(|world| world.queue_named(name).map(|queue| queue.id))
    }

    /// The account with its token, as the daemon's client would reach it, without a network between.
    pub fn transport(&self, token: &str) -> Arc<dyn Transport> {
        Arc::new(InProcess {
            simulator: self.clone(),
            authorization: HeaderValue::from_str(&format!("Token {token}")).ok(),
        })
    }

    /// Serves this account over HTTP; see [`serve()`] for several.
    ///
    /// # Errors
    /// A listener that no longer knows its address.
    pub fn serve(&self, listener: tokio::net::TcpListener) -> std::io::Result<Serving> {
        serve(listener, vec![self.clone()])
    }

    /// What the calendar of the account shows: it began with the clock's wall, and goes at the simulator's speed.
    fn calendar(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.inner.started.wall + self.now()
    }

    // No lock leaves this module, so none is held over an await. What a panicking test left behind is still consistent
    // enough to report from.
    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives a request now.
    fn receive(&self, request: &Request<'_>) -> Outcome {
        let now = self.now();
        self.state().api.respond(now, request)
    }

    /// How long the way to the far side takes, and the way back as long again.
    async fn travel(&self, half: Duration) {
        if !half.is_zero() {
            tokio::time::sleep(half.div_f64(self.inner.speed)).await;
        }
    }

    /// Half of a round trip: at least a quarter of the mean one, with a long tail.
    fn draw_half_latency(&self) -> Duration {
        let mut state = self.state();
        let tail = -(1.0 - state.api.dice.f64()).ln();
        // Half of the mean is fixed; the tail is cut where a client would have given up long before.
        state.latency.mul_f64(0.25 + 0.25 * tail.min(20.0))
    }

    fn knows(&self, authorization: Option<&HeaderValue>) -> bool {
        self.state().api.knows(authorization)
    }
}

/// Bad days.
impl Simulator {
    /// Changes the account's lasting oddities.
    pub fn quirks(&self, change: impl FnOnce(&mut Quirks)) {
        let mut state = self.state();
        let Api { quirks, world, .. } = &mut state.api;
        change(quirks);
        world.keep_past(quirks.lag.max(quirks.late_commits));
    }

    /// Injects a fault into the next `times` requests, of one endpoint or of any. Faults wait in the order given;
    /// `usize::MAX` times lasts until [`Simulator::clear_faults`].
    pub fn inject(&self, times: usize, endpoint: Option<Endpoint>, fault: InjectedFault) {
        self.state().api.faults.add(times, endpoint, fault);
    }

    /// Injects a fault into all requests that arrive in a span of time on the simulator's clock.
    pub fn inject_during(&self, during: Range<Duration>, fault: InjectedFault) {
        self.state().api.faults.add_during(during, fault);
    }

    /// Removes all injected faults.
    pub fn clear_faults(&self) {
        self.state().api.faults.clear();
    }

    /// Revokes the token; only this one is accepted from now on.
    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut self.state().api.token);
    }

    /// Changes the account's limit; the requests already admitted stay in its log.
    pub fn set_limit(&self, requests_per_hour: u32) {
        self.state().api.throttle.set_limit(requests_per_hour);
    }

    /// Changes what the limit takes an hour to be.
    pub fn set_window(&self, window: Window) {
        self.state().api.throttle.set_window(window);
    }

    /// Other software spends so many requests an hour of the account's, evenly; 0 ends it.
    pub fn set_foreign(&self, requests_per_hour: u32) {
        let now = self.now();
        self.state()
            .api
            .throttle
            .set_foreign(now, requests_per_hour);
    }

    /// Changes the mean latency.
    pub fn set_latency(&self, mean: Duration) {
        self.state().latency = mean;
    }
}

/// What the far side saw of its client.
impl Simulator {
    /// Requests received in all, whatever became of them.
    pub fn requests(&self) -> u64 {
        self.state().api.arrivals.total()
    }

    /// Requests received at one endpoint, whatever became of them.
    pub fn requests_to(&self, endpoint: Endpoint) -> u64 {
        self.state().api.received_at(endpoint)
    }

    /// The most requests, refused and failed ones included, that arrived in any 3600 s.
    pub fn worst_sliding_hour(&self) -> usize {
        self.state().api.arrivals.worst_sliding_hour()
    }

    /// Requests that the limit refused with 429; scripted ones are not among them.
    pub fn throttled(&self) -> u64 {
        self.state().api.throttle.refused()
    }

    /// Requests that count against the limit now, those of other software included.
    pub fn in_window(&self) -> usize {
        let now = self.now();
        self.state().api.throttle.in_window(now)
    }

    /// The newest requests, oldest first: at least the last four thousand.
    pub fn received(&self) -> Vec<Received> {
        self.state().api.log().cloned().collect()
    }
}

/// The way to the simulator without a network.
struct InProcess {
    simulator: Simulator,
    /// `None` for a token that no header can bear.
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl InProcess {
    async fn ask(&self, request: Outgoing<'_>) -> Result<Reply, Fault> {
        let half = self.simulator.draw_half_latency();
        self.simulator.travel(half).await;
        let outcome = self.simulator.receive(&Request {
            method: &request.method,
            target: &format!("/api/{}", request.path_and_query),
            origin: ORIGIN,
            authorization: self.authorization.as_ref(),
        });
        match outcome {
            Outcome::Answer(reply, later) => {
                self.simulator.travel(half + later).await;
                Ok(reply)
            }
            Outcome::Hang => std::future::pending().await,
            Outcome::Dropped => Err(Fault::down(
                Down::ConnectionLost,
                "the connection was closed before an answer came",
            )),
        }
    }
}

impl Transport for InProcess {
    fn send<'a>(&'a self, request: Outgoing<'a>) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(async move {
            let answer = tokio::time::timeout(PATIENCE, self.ask(request)).await;
            answer.unwrap_or_else(|_| {
                let detail = format!("no answer within {} s", PATIENCE.as_secs());
                Err(Fault::down(Down::TimeOut, detail))
            })
        })
    }
}
