//! The world of simulated machines: the engine and its replica, the network, an upstream that counts arrivals, and what goes wrong.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use fastrand::Rng;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::{
    clock::{Clock, Moment},
    cluster::{
        codec::{self, Writing},
        command::{Command, Listener, Log, Reply},
        engine::{Engine, EngineError, Heard},
        entry::Entry,
        member::Member,
        model::Model,
        node::Node,
    },
};

/// What may go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// Nodes freeze for minutes, even between a permit and its request.
    pub pauses: bool,
    /// The engine loses all data, or all of one account or budget, at once or in an outage.
    pub forgets: bool,
    /// The engine answers nobody for minutes, and one node goes on alone.
    pub stops: bool,
    /// The engine's clock jumps by up to 5,000 s.
    pub jumps: bool,
    /// Nodes and the engine cannot reach each other for a while, although commands may happen.
    pub splits: bool,
    /// Nodes are killed and restarted with their ledgers.
    pub restarts: bool,
    /// The engine has a replica, which lags for up to a minute and may then become the master.
    pub fails_over: bool,
    /// Nodes that do not lead send requests as well, for checks.
    pub checks: bool,
    /// What is missing. This must break the limit: otherwise the simulation would prove nothing.
    pub without: Option<Part>,
}

/// A part of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The requests in the log.
    Log,
    /// The requests of other nodes in a node's own ledger.
    Ledger,
    /// The mirrors of other nodes.
    Mirrors,
    /// That a write counts only once the replica has it.
    Confirmations,
}

impl Faults {
    fn lacks(self, part: Part) -> bool {
        self.without == Some(part)
    }

    fn confirms(self) -> bool {
        self.fails_over && !self.lacks(Part::Confirmations)
    }
}

/// The clock of one machine, which follows the runtime's.
pub(super) struct MachineClock {
    pub begun: Instant,
    /// Machines have booted at different times, and their wall clocks differ.
    pub boot: Duration,
    pub wall: Duration,
}

impl fmt::Debug for MachineClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineClock")
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Moment {
        let passed = self.begun.elapsed();
        Moment {
            boot: self.boot + passed,
            wall: self.wall + passed,
        }
    }

    fn boot_id(&self) -> &str {
        "simulated"
    }
}

/// The engine and its replica.
#[derive(Default)]
pub(super) struct Servers {
    /// The engine's data by account and budget.
    pub models: HashMap<String, Model>,
    /// The same on the replica, while it lags.
    pub replica: Option<HashMap<String, Model>>,
    /// The error of the engine's clock in seconds.
    pub ahead: f64,
}

impl Servers {
    /// The replica gets nothing from now on.
    pub fn begin_to_lag(&mut self) {
        self.replica = Some(self.models.clone());
    }

    /// The replica becomes the master.
    pub fn fail_over(&mut self) {
        self.models = self.replica.take().unwrap_or_default();
    }
}

/// The state that all nodes share.
pub(super) struct World {
    pub begun: Instant,
    pub servers: Mutex<Servers>,
    /// The engine answers nobody until then.
    pub stopped_until: Mutex<f64>,
    /// The receivers of messages.
    pub nodes: Mutex<Vec<(Weak<Node>, Arc<Link>)>>,
    /// The accounts of each node, which share one budget; a single account has its own.
    pub accounts: &'static [&'static str],
    /// The true times of arrivals, in seconds.
    pub arrivals: Mutex<Vec<f64>>,
    pub leading: Mutex<Vec<(&'static str, Arc<Member>)>>,
    pub twice: Mutex<u32>,
    /// How many requests another node's count permitted.
    pub granted: Mutex<u32>,
    random: Mutex<Rng>,
}

impl World {
    pub fn new(seed: u64) -> Arc<Self> {
        Self::with(seed, &["main"])
    }

    pub fn with(seed: u64, accounts: &'static [&'static str]) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            servers: Mutex::default(),
            stopped_until: Mutex::default(),
            nodes: Mutex::default(),
            accounts,
            arrivals: Mutex::default(),
            leading: Mutex::default(),
            twice: Mutex::default(),
            granted: Mutex::default(),
            random: Mutex::new(Rng::with_seed(seed)),
        })
    }

    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub fn random(&self, up_to: f64) -> f64 {
        self.random.lock().unwrap().f64() * up_to
    }

    pub fn chance(&self, of: f64) -> bool {
        self.random(1.0) < of
    }

    /// Delivers a message to all reachable addressees, sometimes twice.
    fn deliver(&self, message: &Heard, to: Option<&str>) -> bool {
        let mut is_heard = false;
        for (node, link) in &*self.nodes.lock().unwrap() {
            let node = node.upgrade().filter(|_| !link.is_cut());
            if let Some(node) = node.filter(|node| to.is_none_or(|to| to == node.id())) {
                is_heard = true;
                let twice = link.faults.splits && self.chance(0.05);
                (0..=u8::from(twice)).for_each(|_| node.hear(message.clone()));
            }
        }
        is_heard
    }

    /// Returns the connection of a machine's last process.
    pub fn link(&self, machine: usize) -> Arc<Link> {
        let nodes = self.nodes.lock().unwrap();
        let mut links = nodes.iter().rev().map(|(_, link)| link);
        Arc::clone(links.find(|link| link.machine == machine).unwrap())
    }

    /// Returns the most arrivals in any hour.
    pub fn max_in_an_hour(&self) -> usize {
        let mut arrivals = self.arrivals.lock().unwrap().clone();
        arrivals.sort_by(f64::total_cmp);
        let is_within = |at: f64, one: f64| one > at - 3600.0 && one <= at;
        let window = |at: &f64| arrivals.iter().filter(|one| is_within(*at, **one)).count();
        arrivals.iter().map(window).max().unwrap_or(0)
    }
}

/// A node's connection to the engine.
pub(super) struct Link {
    pub world: Arc<World>,
    pub machine: usize,
    pub faults: Faults,
    /// Nothing gets through until then.
    pub cut_until: Mutex<f64>,
    /// The node is frozen until then.
    pub paused_until: Mutex<f64>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    fn is_cut(&self) -> bool {
        let stopped_until = *self.world.stopped_until.lock().unwrap();
        let until = self.cut_until.lock().unwrap().max(stopped_until);
        until > self.world.seconds()
    }

    pub async fn wait_while_frozen(&self) {
        loop {
            let until = *self.paused_until.lock().unwrap();
            let now = self.world.seconds();
            if until <= now {
                return;
            }
            sleep(Duration::from_secs_f64(until - now)).await;
        }
    }

    /// Runs a command on the engine. Returns whether the replica has what it wrote, and the reply.
    fn command(&self, account: &str, command: &Command) -> (bool, Reply) {
        let servers = &mut *self.world.servers.lock().unwrap();
        let time = 1e6 + self.world.begun.elapsed().as_secs_f64() + servers.ahead;
        let model = servers.models.entry(account.to_owned()).or_default();
        let reply = model.run(command, Duration::from_secs_f64(time));
        let writes = matches!(
            command,
            Command::Take { .. } | Command::Renew { .. } | Command::Publish { .. }
        );
        let is_confirmed = !(writes && servers.replica.is_some() && self.faults.confirms());
        let reply = match (command, reply) {
            (Command::Send { to, message }, _) => {
                let (heard, to) = match to {
                    Listener::Leader => (Heard::question(account, message.clone()), None),
                    Listener::Bell => (Heard::Bell(account.to_owned()), None),
                    Listener::Node(node) => (Heard::Answer(message.clone()), Some(&**node)),
                };
                Reply::Done(self.world.deliver(&heard, to))
            }
            (_, Reply::Log(log)) if self.faults.lacks(Part::Log) => Reply::Log(emptied(log)),
            (_, Reply::Mirrors(_)) if self.faults.lacks(Part::Mirrors) => {
                Reply::Mirrors(Vec::new())
            }
            (_, reply) => reply,
        };
        (is_confirmed, reply)
    }
}

/// Returns a log whose entries say nothing.
fn emptied(mut log: Log) -> Log {
    let writing = Writing {
        now: Moment {
            boot: Duration::ZERO,
            wall: Duration::ZERO,
        },
        engine: log.time,
        format: codec::FORMAT,
    };
    let empty = |whole| {
        let entry = Entry {
            whole,
            ..Entry::default()
        };
        codec::encode(&entry, &writing)
    };
    for entry in &mut log.entries {
        entry.data = empty(false);
    }
    if let Some(checkpoint) = &mut log.checkpoint {
        checkpoint.parts = vec![empty(true)];
    }
    log
}

impl Engine for Link {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            assert!(!account.is_empty());
            self.wait_while_frozen().await;
            let is_cut = self.is_cut();
            // The command may arrive although its answer is lost.
            let is_lost = self.faults.splits && self.world.chance(0.002);
            let takes = self.world.random(0.05);
            sleep(Duration::from_secs_f64(takes)).await;
            let reply = (!is_cut).then(|| self.command(account, command));
            self.wait_while_frozen().await;
            match reply.filter(|_| !is_lost) {
                Some((true, reply)) => Ok(reply),
                Some((false, _)) => {
                    sleep(Duration::from_millis(250)).await;
                    Err(EngineError::Unconfirmed {
                        confirmed: 0,
                        wanted: 1,
                    })
                }
                None => {
                    sleep(Duration::from_millis(400)).await;
                    Err(EngineError::Silent)
                }
            }
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.faults.confirms()
    }
}

/// Disturbs the engine.
pub(super) async fn engine_troubles(world: Arc<World>, faults: Faults) {
    loop {
        sleep(Duration::from_secs_f64(world.random(3_000.0))).await;
        if faults.forgets && world.chance(0.5) {
            if world.chance(0.5) {
                // An outage, which may be longer than a lease.
                let outage = world.random(60.0);
                *world.stopped_until.lock().unwrap() = world.seconds() + outage;
                sleep(Duration::from_secs_f64(outage)).await;
            }
            let models = &mut world.servers.lock().unwrap().models;
            let only = world.random(2.0 * models.len() as f64) as usize;
            let mut keys: Vec<_> = models.keys().cloned().collect();
            keys.sort();
            match keys.get(only) {
                Some(key) => drop(models.remove(key)),
                None => models.clear(),
            }
        }
        if faults.stops && world.chance(0.7) {
            *world.stopped_until.lock().unwrap() = world.seconds() + world.random(900.0);
        }
        if faults.jumps {
            let by = world.random(10_000.0) - 5_000.0;
            world.servers.lock().unwrap().ahead += by;
        }
    }
}

/// Lets the replica lag from time to time, and then become the master or catch up.
pub(super) async fn replica_troubles(world: Arc<World>, faults: Faults) {
    loop {
        sleep(Duration::from_secs_f64(world.random(1_500.0))).await;
        if faults.fails_over {
            world.servers.lock().unwrap().begin_to_lag();
            sleep(Duration::from_secs_f64(world.random(60.0))).await;
            let becomes_master = world.chance(0.7);
            let mut servers = world.servers.lock().unwrap();
            match becomes_master {
                true => servers.fail_over(),
                false => servers.replica = None,
            }
        }
    }
}
