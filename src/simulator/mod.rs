//! A simulated CallTools to develop and test against: one made-up account, in which people work, behind an API that behaves like the real one.
//!
//! CallTools gives out no test accounts, and a real account has a budget and real callers. The simulator is for everyone who integrates
//! with the API: `openseat simulate` runs it alone, and `openseat demo` with the daemon. Our own tests and benchmarks run it in their
//! process, in virtual time.
//!
//! # What it copies, and how we know
//! CallTools runs on Django REST framework (DRF), whose behaviour is public and was tested. Endpoints and fields come from CallTools' own
//! documents and from programs that use live accounts. So the simulator
//! - authenticates `Authorization: Token …` and words its 401s as DRF's `TokenAuthentication` does;
//! - limits requests with DRF's sliding log, which does not count refused ones; `Retry-After` is in whole seconds, rounded up ([`Throttle`]);
//!   strangers and people without permission cost the account nothing, wrong filters and pages past the end do;
//! - pages lists by number, 25 rows unless asked for more and 250 at most, with absolute links whose query is sorted, and 404
//!   past the end;
//! - answers a path without its last slash with Django's 301, and an unknown one with a web page.
//!
//! Where CallTools' behaviour is unknown (status ids or names, links behind proxies, queues of other accounts), the likelier reading is
//! the default, and the others are [`Quirks`]. Failures are [`InjectedFault`]s. The [`World`] is what people do all day.
//! Not copied: past status changes, and REST hooks.
//!
//! # Time
//! The simulator uses the clock it is given, as time since boot, so steps of the wall clock do not matter. It can run faster by a
//! factor, which applies to the world, the limit's hour and the latency. It computes what has happened when a request comes: an hour of
//! two hundred people takes a few milliseconds.

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
    calltools::{Reply, Transport},
    clock::{Clock, Moment},
    model::fault::{Down, Fault},
};
use api::{Api, Outcome, Request};

pub use api::Received;
pub use fault::InjectedFault;
pub use quirks::{
    DateForm, ForeignQueue, LaggingLists, LoggedInField, NullOrder, Ordering, PageSizeMax, Quirks,
    RetryAfter, StatusForm, SweepQuirk, Ties, UserForm,
};
pub use route::Endpoint;
pub use serve::{Serving, serve};
pub use throttle::{Arrivals, HOUR, Throttle, Throttled, Window};
pub use world::{AgentTruth, QueueAction, World, WorldQueue, WorldSettings, WorldStatus};

/// The default token.
pub const TOKEN: &str = "simulated0token0of0a0simulated0account00";

/// The start of links in replies, unless an HTTP request has another host.
const ORIGIN: &str = "https://east-1.calltools.io";

/// How long the in-process transport waits for an answer: the default timeout of the real client.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One simulated account.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The people and queues.
    pub world: WorldSettings,
    /// The token that the API accepts.
    pub token: String,
    /// The account's limit.
    pub requests_per_hour: u32,
    /// The mean time from a request to its answer, on the simulator's clock; zero answers immediately.
    pub latency: Duration,
    /// How many simulated seconds pass in a second of the clock.
    pub speed: f64,
}

impl Settings {
    /// A busy account with CallTools' usual latency, under half a second.
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

/// A handle to a simulated account; clones share it.
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
    /// Starts an account now.
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

    /// The time on the simulator's clock, from its start.
    pub fn now(&self) -> Duration {
        let now = self.inner.clock.now().boot;
        let passed = now.saturating_sub(self.inner.started.boot);
        match self.inner.speed {
            // A factor rounds.
            1.0 => passed,
            speed => passed.mul_f64(speed),
        }
    }

    /// Advances the world to now, then reads or changes it. Tests find the truth here.
    ///
    /// `look` must not use the simulator itself: it holds the account's lock.
    pub fn world<R>(&self, look: impl FnOnce(&mut World) -> R) -> R {
        let now = self.now();
        let world = &mut self.state().api.world;
        world.advance_to(now);
        look(world)
    }

    /// Returns the number of agents who would take a call of this queue now.
    pub fn seats(&self, queue: u64) -> usize {
        self.world(|world| world.seats(queue))
    }

    /// Returns the id of the queue with this name.
    pub fn queue_id(&self, name: &str) -> Option<u64> {
        self.world(|world| world.queue_named(name).map(|queue| queue.id))
    }

    /// Connects to the account with this token, without a network.
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

    /// Returns the account's date and time. It starts at the wall clock and runs at the simulator's speed.
    fn calendar(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.inner.started.wall + self.now()
    }

    // The guard stays in this module, so none is held across an await. After a panic in a test the state is still good enough to report from.
    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives a request now.
    fn receive(&self, request: &Request<'_>) -> Outcome {
        let now = self.now();
        self.state().api.respond(now, request)
    }

    /// Waits for half a round trip.
    async fn travel(&self, half: Duration) {
        if !half.is_zero() {
            tokio::time::sleep(half.div_f64(self.inner.speed)).await;
        }
    }

    /// Draws half a round trip: at least a quarter of the mean, with a long tail.
    fn draw_half_latency(&self) -> Duration {
        let mut state = self.state();
        let tail = -(1.0 - state.api.dice.f64()).ln();
        // Half of the mean is fixed. The tail is cut off where every client has given up.
        state.latency.mul_f64(0.25 + 0.25 * tail.min(20.0))
    }

    fn knows(&self, authorization: Option<&HeaderValue>) -> bool {
        self.state().api.knows(authorization)
    }
}

/// Quirks and faults.
impl Simulator {
    /// Changes the account's quirks.
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

    /// Replaces the token; the old one is refused from now on.
    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut self.state().api.token);
    }

    /// Changes the account's limit; the requests already admitted stay in its log.
    pub fn set_limit(&self, requests_per_hour: u32) {
        self.state().api.throttle.set_limit(requests_per_hour);
    }

    /// Changes how the limit counts an hour.
    pub fn set_window(&self, window: Window) {
        self.state().api.throttle.set_window(window);
    }

    /// Makes other software spend this many of the account's requests an hour, evenly; 0 ends it.
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

/// What clients did, as the account saw it.
impl Simulator {
    /// Returns the number of requests received, with any answer.
    pub fn requests(&self) -> u64 {
        self.state().api.arrivals.total()
    }

    /// Returns the number of requests received at one endpoint, with any answer.
    pub fn requests_to(&self, endpoint: Endpoint) -> u64 {
        self.state().api.received_at(endpoint)
    }

    /// Returns the most requests that arrived in any 3600 s, refused and failed ones included.
    pub fn worst_sliding_hour(&self) -> usize {
        self.state().api.arrivals.worst_sliding_hour()
    }

    /// Returns the number of requests that the limit refused with 429. Injected 429s do not count.
    pub fn throttled(&self) -> u64 {
        self.state().api.throttle.refused()
    }

    /// Returns the number of requests that count against the limit now, including those of other software.
    pub fn in_window(&self) -> usize {
        let now = self.now();
        self.state().api.throttle.in_window(now)
    }

    /// Returns the newest requests, oldest first: at least the last four thousand.
    pub fn received(&self) -> Vec<Received> {
        self.state().api.log().cloned().collect()
    }
}

/// A transport to the simulator without a network.
struct InProcess {
    simulator: Simulator,
    /// `None` for a token that no header can carry.
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl InProcess {
    async fn ask(&self, path_and_query: &str) -> Result<Reply, Fault> {
        let half = self.simulator.draw_half_latency();
        self.simulator.travel(half).await;
        let outcome = self.simulator.receive(&Request {
            method: &http::Method::GET,
            target: &format!("/api/{path_and_query}"),
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
    fn get<'a>(&'a self, path_and_query: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(async move {
            let answer = tokio::time::timeout(TIMEOUT, self.ask(path_and_query)).await;
            answer.unwrap_or_else(|_| {
                let detail = format!("no answer within {} s", TIMEOUT.as_secs());
                Err(Fault::down(Down::TimeOut, detail))
            })
        })
    }
}
