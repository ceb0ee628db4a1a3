//! The engine's scripts in Rust, for tests: what each [`Command`] does and returns. The same cases run against this and the real engine.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{
    command::{Checkpoint, Command, Listener, Log, Logged, Look, MAX_READ, Position, Reply},
    engine::{Engine, EngineError, Heard, Trial, commands},
    node::Node,
    replies::Foreign,
    scripts,
};

/// The engine's data for one account.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub generation: Option<String>,
    pub lease: String,
    pub log: BTreeMap<Position, (Duration, Vec<u8>)>,
    pub checkpoint: Option<Checkpoint>,
    pub nodes: BTreeMap<String, Vec<u8>>,
    pub mirrors: BTreeMap<String, Vec<u8>>,
    pub accounts: BTreeMap<String, String>,
    /// Whether another user has spoilt the register of accounts.
    pub has_spoilt_register: bool,
}

impl Model {
    /// Does what the command's script does. `time` is the engine's clock.
    pub fn run(&mut self, command: &Command, time: Duration) -> Reply {
        match command {
            Command::Look {
                node,
                info,
                generation,
            } => {
                let generation = self.generation.get_or_insert_with(|| generation.clone());
                self.nodes.insert(node.clone(), info.clone());
                Reply::Seen(Look {
                    generation: generation.clone(),
                    lease: self.lease.clone(),
                    last: self.last().unwrap_or_default(),
                    time,
                    nodes: self.nodes.clone().into_iter().collect(),
                })
            }
            Command::Take {
                generation,
                seen,
                lease,
            } => Reply::Done(self.write(generation, self.lease == *seen, lease)),
            Command::Renew {
                generation,
                holder,
                lease,
            } => Reply::Done(self.write(generation, self.is_held_by(holder), lease)),
            Command::Publish {
                generation,
                holder,
                position,
                entry,
                checkpoint,
            } => {
                let may = self.is(generation) && self.is_held_by(holder);
                let done = may && self.append(*position, entry, checkpoint.as_deref(), time);
                Reply::Published(done, time)
            }
            Command::Read { after, checkpoint } => Reply::Log(self.read(*after, *checkpoint, time)),
            Command::Mirror {
                generation,
                node,
                mirror,
            } => {
                let may = self.is(generation);
                if may {
                    self.mirrors.insert(node.clone(), mirror.clone());
                }
                Reply::Done(may)
            }
            Command::Mirrors => Reply::Mirrors(self.mirrors.clone().into_iter().collect()),
            Command::Forget { nodes, mirrors } => {
                self.nodes.retain(|node, _| !nodes.contains(node));
                self.mirrors.retain(|node, _| !mirrors.contains(node));
                Reply::Done(true)
            }
            Command::Discard { generation, new } => Reply::Discarded(self.discard(generation, new)),
            Command::Claim { account, claims } => {
                let discarded = std::mem::take(&mut self.has_spoilt_register);
                if discarded {
                    self.accounts.clear();
                }
                let refused = self.claim(account, claims);
                Reply::Claimed { refused, discarded }
            }
            // The model has no listeners.
            Command::Send { .. } => Reply::Done(false),
        }
    }

    /// Begins a new data set. Returns the mark of another one, which stays.
    fn discard(&mut self, generation: &str, new: &str) -> Option<String> {
        let other = self.generation.clone().filter(|mark| mark != generation);
        if other.is_none() {
            *self = Self {
                generation: Some(new.to_owned()),
                accounts: std::mem::take(&mut self.accounts),
                ..Self::default()
            };
        }
        other
    }

    /// Returns the number of the first claim that is refused, from 1; 0 if all are granted.
    fn claim(&mut self, account: &str, claims: &[String]) -> usize {
        let is_other = |claim| self.accounts.get(claim).is_some_and(|one| one != account);
        let refused = claims.iter().position(is_other);
        if refused.is_none() {
            let granted = claims.iter();
            let granted = granted.map(|claim| (claim.clone(), account.to_owned()));
            self.accounts.extend(granted);
        }
        refused.map_or(0, |place| place + 1)
    }

    fn write(&mut self, generation: &str, may: bool, lease: &str) -> bool {
        let may = may && self.is(generation);
        if may {
            self.lease = lease.to_owned();
        }
        may
    }

    fn is(&self, generation: &str) -> bool {
        self.generation.as_deref() == Some(generation)
    }

    fn is_held_by(&self, holder: &str) -> bool {
        let first = self.lease.split_once(' ');
        first.is_some_and(|(first, _)| first == holder)
    }

    fn last(&self) -> Option<Position> {
        self.log.last_key_value().map(|(position, _)| *position)
    }

    fn append(
        &mut self,
        position: Position,
        entry: &[u8],
        checkpoint: Option<&[Vec<u8>]>,
        time: Duration,
    ) -> bool {
        if self.last() == Some(position) {
            return true;
        }
        if self.last().is_some_and(|last| last > position) {
            return false;
        }
        self.log.insert(position, (time, entry.to_vec()));
        if let Some(parts) = checkpoint {
            self.checkpoint = Some(Checkpoint {
                position,
                time,
                parts: parts.to_vec(),
            });
            self.log = self.log.split_off(&position);
        }
        true
    }

    /// Returns whether the log does not begin with the entry of its checkpoint.
    pub fn lacks_its_beginning(&self) -> bool {
        match &self.checkpoint {
            Some(checkpoint) => !self.log.contains_key(&checkpoint.position),
            None => !self.log.is_empty(),
        }
    }

    fn read(&self, after: Position, checkpoint: bool, time: Duration) -> Log {
        let is_requested = checkpoint;
        let checkpoint = self.checkpoint.clone().filter(|_| is_requested);
        let after = match &checkpoint {
            Some(checkpoint) => checkpoint.position,
            None if is_requested => Position::default(),
            None => after,
        };
        let entries = self.log.iter().filter(|(position, _)| **position > after);
        let entries = entries
            .take(MAX_READ)
            .map(|(position, (time, data))| Logged {
                position: *position,
                time: *time,
                data: data.clone(),
            });
        Log {
            generation: self.generation.clone().unwrap_or_default(),
            lease: self.lease.clone(),
            time,
            checkpoint,
            entries: entries.collect(),
        }
    }
}

/// An engine in memory, for several nodes in one process. It delivers messages as well.
#[derive(Debug)]
pub(crate) struct Exchange {
    begun: Instant,
    pub model: Mutex<Model>,
    nodes: Mutex<Vec<Weak<Node>>>,
    /// Whether it answers nothing.
    pub is_down: AtomicBool,
    /// The command that its user may not run.
    pub lacks: Mutex<Option<String>>,
    /// Whether it has a replica, which confirms writes.
    pub has_replica: AtomicBool,
    /// Whether the replica is gone, so that it does what is asked but confirms nothing.
    pub is_unconfirmed: AtomicBool,
    /// The node that may go on without it.
    pub alone: Mutex<Option<String>>,
    /// What happens to the next questions and answers; all others arrive once.
    pub mishaps: Mutex<VecDeque<Mishap>>,
    /// How far the engine's clock is ahead of an early time.
    pub ahead: Mutex<Duration>,
    /// How much later than the others hear the bell the leader hears that its entry is in the log.
    pub confirms_after: Mutex<Duration>,
    /// How long questions wait on their way to the leader.
    pub holds_questions: Mutex<Duration>,
    /// Whether no bell is heard.
    pub loses_bells: AtomicBool,
}

/// What may happen to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    None,
    Lost,
    Doubled,
}

impl Exchange {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            model: Mutex::default(),
            nodes: Mutex::default(),
            is_down: AtomicBool::new(false),
            lacks: Mutex::default(),
            has_replica: AtomicBool::new(false),
            is_unconfirmed: AtomicBool::new(false),
            alone: Mutex::default(),
            mishaps: Mutex::default(),
            ahead: Mutex::new(Duration::from_secs(10_000)),
            confirms_after: Mutex::default(),
            holds_questions: Mutex::default(),
            loses_bells: AtomicBool::new(false),
        })
    }

    /// Delivers messages to this node as well.
    pub fn introduce(&self, node: &Arc<Node>) {
        self.nodes.lock().unwrap().push(Arc::downgrade(node));
    }

    /// Answers nothing.
    async fn silence(&self) -> Result<(), EngineError> {
        tokio::time::sleep(Duration::from_millis(400)).await;
        Err(EngineError::Silent)
    }

    /// Refuses a command whose script uses what the user may not run.
    fn allows(&self, command: &Command) -> Result<(), EngineError> {
        let lacks = self.lacks.lock().unwrap().clone();
        match lacks.filter(|right| scripts::needs(command, right)) {
            Some(right) => Err(EngineError::Lacks(right)),
            None => Ok(()),
        }
    }

    fn deliver(&self, message: &Heard, to: Option<&str>) -> bool {
        if matches!(message, Heard::Bell(_)) {
            return self.loses_bells.load(Ordering::Relaxed) || self.deliver_once(message, to);
        }
        let mishap = self.mishaps.lock().unwrap().pop_front();
        match mishap.unwrap_or(Mishap::None) {
            Mishap::None => self.deliver_once(message, to),
            Mishap::Lost => true,
            Mishap::Doubled => {
                self.deliver_once(message, to);
                self.deliver_once(message, to)
            }
        }
    }

    fn deliver_once(&self, message: &Heard, to: Option<&str>) -> bool {
        let nodes = self.nodes.lock().unwrap();
        let living = nodes.iter().filter_map(Weak::upgrade);
        let mut addressed = living
            .filter(|node| to.is_none_or(|to| node.id() == to))
            .peekable();
        let is_heard = addressed.peek().is_some();
        let waits = match message {
            Heard::Question(..) => *self.holds_questions.lock().unwrap(),
            _ => Duration::ZERO,
        };
        addressed.for_each(|node| node.hear_after(waits, message.clone()));
        is_heard
    }
}

impl Engine for Exchange {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.is_down.load(Ordering::Relaxed) {
                self.silence().await?;
            }
            self.allows(command)?;
            let ahead = *self.ahead.lock().unwrap();
            let time = Duration::from_secs(1_795_000_000) + ahead + self.begun.elapsed();
            let with_checkpoint =
                matches!(command, Command::Read { checkpoint, .. } if *checkpoint);
            if with_checkpoint && self.model.lock().unwrap().lacks_its_beginning() {
                return Err(Foreign("the log lacks its beginning").into());
            }
            let reply = self.model.lock().unwrap().run(command, time);
            let is_write = matches!(
                command,
                Command::Take { .. } | Command::Renew { .. } | Command::Publish { .. }
            );
            if is_write && self.is_unconfirmed.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(250)).await;
                return Err(EngineError::Unconfirmed {
                    confirmed: 0,
                    wanted: 1,
                });
            }
            Ok(match (command, reply) {
                (Command::Publish { .. }, reply @ Reply::Published(true, _)) => {
                    self.deliver(&Heard::Bell(account.to_owned()), None);
                    let later = *self.confirms_after.lock().unwrap();
                    tokio::time::sleep(later).await;
                    reply
                }
                (Command::Send { to, message }, _) => {
                    let (message, to) = match to {
                        Listener::Leader => (Heard::question(account, message.clone()), None),
                        Listener::Bell => (Heard::Bell(account.to_owned()), None),
                        Listener::Node(node) => (Heard::Answer(message.clone()), Some(&**node)),
                    };
                    Reply::Done(self.deliver(&message, to))
                }
                (_, reply) => reply,
            })
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.has_replica.load(Ordering::Relaxed)
    }
}

/// A node's own engine, which is this exchange. Like the real one, it is used after a refusal once it refuses nothing.
#[derive(Debug)]
pub(crate) struct Careful {
    exchange: Arc<Exchange>,
    trial: Trial,
    /// Whether it answers nothing to this node.
    pub is_cut_off: AtomicBool,
}

impl Careful {
    pub fn new(exchange: &Arc<Exchange>) -> Arc<Self> {
        Arc::new(Self {
            exchange: Arc::clone(exchange),
            trial: Trial::default(),
            is_cut_off: AtomicBool::new(false),
        })
    }
}

impl Engine for Careful {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        let (exchange, trial) = (&self.exchange, &self.trial);
        Box::pin(async move {
            if self.is_cut_off.load(Ordering::Relaxed) {
                exchange.silence().await?;
            }
            let try_all = async {
                let is_down = exchange.is_down.load(Ordering::Relaxed);
                let mut commands = commands().into_iter();
                match is_down {
                    true => exchange.silence().await,
                    false => commands.try_for_each(|command| exchange.allows(&command)),
                }
            };
            trial.pass(try_all).await?;
            let answered = exchange.run(account, command).await;
            let error = answered.as_ref().err();
            if error.is_some_and(|error| error.refusal().is_some()) {
                trial.fail();
            }
            answered
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.exchange.keeps_what_it_confirms()
    }
}
