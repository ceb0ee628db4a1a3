//! Tests what a node does about a log that lacks an entry, or that it cannot read.

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::spending::{LEASE, LIMIT, SECOND};
use crate::{
    budget::{Budget, Mark, Mirrored, Purpose, Witness as _},
    clock::{Clock as _, VirtualClock},
    cluster::{
        codec::{FORMAT, Writing, encode},
        command::{Checkpoint, Command, MAX_READ, Position, Reply},
        engine::{Engine, EngineError},
        entry::Entry,
        member::Member,
        model::{Exchange, Model},
        node::{Node, Settings},
    },
};

#[tokio::test(start_paused = true)]
async fn a_log_that_lacks_entries_is_read_to_its_end() {
    let reads = MAX_READ as u64;
    let last = 4 * reads - 1;
    for lacks in [
        vec![2],
        vec![reads / 2],
        vec![reads + 1],
        vec![reads + 2],
        vec![2 * reads + 5],
        vec![3, reads + 2, 3 * reads],
        (reads..3 * reads).collect(),
        vec![last - 1],
    ] {
        let exchange = Exchange::new();
        let clock = Arc::new(VirtualClock::default());
        let writing = Writing {
            now: clock.now(),
            engine: Duration::from_secs(1_795_000_000),
            format: FORMAT,
        };
        let entry = encode(&Entry::default(), &writing);
        let numbers = (1..=last).filter(|number| !lacks.contains(number));
        for number in numbers {
            let position = Position { epoch: 1, number };
            let logged = (Duration::ZERO, entry.clone());
            exchange.model.lock().unwrap().log.insert(position, logged);
        }
        exchange.model.lock().unwrap().checkpoint = Some(Checkpoint {
            position: Position {
                epoch: 1,
                number: 1,
            },
            time: Duration::ZERO,
            parts: vec![entry],
        });
        let settings = Settings {
            name: "one".to_owned(),
            lease: LEASE,
            alone: None,
        };
        let node = Node::new(Arc::clone(&exchange) as Arc<_>, settings, clock);
        let (member, new) = node.member(&"main".into(), "origin", "identity");
        let mut membership = node.membership(new.unwrap(), None);
        let task = membership.task.take().unwrap();
        drop(membership); // Nobody reads the news.
        let running = tokio::spawn(task.run(CancellationToken::new()));
        sleep(LEASE * 3).await;
        assert!(member.status().leads, "{lacks:?}");
        running.abort();
    }
}

/// Which reads of the log are answered in time.
#[derive(Clone, Copy, Debug)]
enum Reads {
    All,
    None,
    /// None until the node has taken the lease. From then on, all but the one after this many.
    OnceTaken(usize),
    AllBut(usize),
    /// All, and after this many the leader writes a checkpoint.
    Overtaken(usize),
}

/// A node's connection to the engine.
#[derive(Debug)]
struct Line {
    exchange: Arc<Exchange>,
    is_cut: AtomicBool,
    reads: Mutex<Reads>,
}

impl Line {
    fn is_answered(&self, command: &Command) -> bool {
        let reads = &mut *self.reads.lock().unwrap();
        match (command, *reads) {
            (Command::Take { .. }, Reads::OnceTaken(before)) => *reads = Reads::AllBut(before),
            (Command::Read { .. }, Reads::None | Reads::OnceTaken(_)) => return false,
            (Command::Read { .. }, Reads::AllBut(0)) => {
                *reads = Reads::All;
                return false;
            }
            (Command::Read { .. }, Reads::AllBut(before)) => *reads = Reads::AllBut(before - 1),
            (Command::Read { .. }, Reads::Overtaken(0)) => {
                write_checkpoint(&mut self.exchange.model.lock().unwrap());
                *reads = Reads::All;
            }
            (Command::Read { .. }, Reads::Overtaken(before)) => {
                *reads = Reads::Overtaken(before - 1);
            }
            _ => {}
        }
        !self.is_cut.load(Ordering::Relaxed)
    }
}

impl Engine for Line {
    fn run<'a>(
        &'a self,
        account: &'a str,
        command: &'a Command,
    ) -> BoxFuture<'a, Result<Reply, EngineError>> {
        Box::pin(async move {
            if self.is_answered(command) {
                return self.exchange.run(account, command).await;
            }
            sleep(Duration::from_millis(400)).await;
            Err(EngineError::Silent)
        })
    }

    fn keeps_what_it_confirms(&self) -> bool {
        self.exchange.keeps_what_it_confirms()
    }
}

/// A node of one account.
struct Peer {
    line: Arc<Line>,
    budget: Arc<Budget>,
    member: Arc<Member>,
    stop: CancellationToken,
    _node: Arc<Node>,
}

impl Peer {
    fn start(exchange: &Arc<Exchange>, clock: &Arc<VirtualClock>, name: &str) -> Self {
        let line = Arc::new(Line {
            exchange: Arc::clone(exchange),
            is_cut: AtomicBool::new(false),
            reads: Mutex::new(Reads::All),
        });
        let settings = Settings {
            name: name.to_owned(),
            lease: LEASE,
            alone: None,
        };
        let engine = Arc::clone(&line) as Arc<dyn Engine>;
        let node = Arc::new(Node::new(engine, settings, clock.clone()));
        exchange.introduce(&node);
        let (member, new) = node.member(&"main".into(), "origin", "identity");
        let limit = NonZeroU32::new(LIMIT).unwrap();
        let budget = Budget::in_memory(limit, 0, clock.clone());
        let budget = Arc::new(budget.with_witness(Arc::clone(&member) as Arc<_>));
        let mut membership = node.membership(new.unwrap(), Some(Arc::clone(&budget)));
        let (task, stop) = (membership.task.take().unwrap(), CancellationToken::new());
        tokio::spawn(task.run(stop.clone()));
        Self {
            line,
            budget,
            member,
            stop,
            _node: node,
        }
    }

    async fn until_it_leads(&self) {
        while !self.member.leads() {
            sleep(SECOND / 10).await;
        }
    }

    async fn spend(&self) {
        let permit = self.budget.permit(Purpose::OnDemand).await.unwrap();
        permit.answered();
    }

    fn cut(&self, is_cut: bool) {
        self.line.is_cut.store(is_cut, Ordering::Relaxed);
    }

    fn answer(&self, reads: Reads) {
        *self.line.reads.lock().unwrap() = reads;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_read_the_log_does_not_lead_before_it_can() {
    // The entries that it lacks, or the checkpoint that replaces them.
    for lost in [0, 1] {
        let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
        let one = Peer::start(&exchange, &clock, "one");
        one.until_it_leads().await;
        let two = Peer::start(&exchange, &clock, "two");
        sleep(LEASE).await;
        two.cut(true);
        for _ in 0..LIMIT / 2 {
            one.spend().await;
            sleep(SECOND * 2).await;
        }
        one.stop.cancel();
        sleep(SECOND).await;
        let used = one.budget.usage().used;
        assert_eq!((used, two.budget.usage().used), (LIMIT / 2, 0));

        two.answer(Reads::OnceTaken(lost));
        two.cut(false);
        two.until_it_leads().await;
        assert_eq!(two.budget.usage().used, used, "{lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_read_the_log_leaves_the_lease_to_one_that_can() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let one = Peer::start(&exchange, &clock, "one");
    one.until_it_leads().await;
    let [slow, other] = ["slow", "other"].map(|name| Peer::start(&exchange, &clock, name));
    sleep(LEASE).await;
    one.spend().await;
    slow.answer(Reads::None);
    other.cut(true);
    one.stop.cancel();
    sleep(SECOND).await;
    let is_free = || exchange.model.lock().unwrap().lease.starts_with('-');
    while is_free() {
        sleep(SECOND).await; // The slow node takes it.
    }
    other.cut(false);
    let begun = Instant::now();
    other.until_it_leads().await;
    assert!(begun.elapsed() < LEASE, "{:?}", begun.elapsed());
    assert!(!slow.member.leads());
    assert_eq!(other.budget.usage().used, 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_read_a_log_with_a_gap_does_not_know_the_hour() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let one = Peer::start(&exchange, &clock, "one");
    one.until_it_leads().await;
    sleep(LEASE).await;
    for _ in 0..5 {
        one.spend().await;
        sleep(SECOND).await;
    }
    // Another user removes an entry that no checkpoint replaces.
    {
        let log = &mut exchange.model.lock().unwrap().log;
        let third = *log.keys().nth(2).expect("each request has two");
        log.remove(&third);
    }
    let two = Peer::start(&exchange, &clock, "two");
    sleep(SECOND * 2).await;
    one.stop.cancel();
    two.until_it_leads().await;
    assert_eq!(two.budget.usage().used, LIMIT);
}

/// The position of an entry in a log of which a node reads only a part at once, and the entry's bytes. It is a request.
fn request(number: u64, whole: bool) -> (Position, Vec<u8>) {
    let writing = Writing {
        now: VirtualClock::default().now(),
        engine: Duration::from_secs(1_795_000_000),
        format: FORMAT,
    };
    let first = if whole { 1 } else { number };
    let mark = |number| Mark { process: 1, number };
    let entry = Entry {
        whole,
        requests: (first..=number)
            .map(|number| Mirrored::asked_for(mark(number / 10), true))
            .collect(),
        ..Entry::default()
    };
    (Position { epoch: 1, number }, encode(&entry, &writing))
}

/// Writes a checkpoint instead of all entries but the last.
fn write_checkpoint(model: &mut Model) {
    let last = *model.log.last_key_value().unwrap().0;
    let (position, whole) = request(last.number, true);
    model.checkpoint = Some(Checkpoint {
        position,
        time: Duration::ZERO,
        parts: vec![whole],
    });
    model.log = model.log.split_off(&position);
}

#[tokio::test(start_paused = true)]
async fn what_a_gap_hides_no_longer_counts_once_a_later_checkpoint_was_read() {
    let (exchange, clock) = (Exchange::new(), Arc::new(VirtualClock::default()));
    let one = Peer::start(&exchange, &clock, "one");
    one.until_it_leads().await;
    let two = Peer::start(&exchange, &clock, "two");
    sleep(LEASE).await;
    one.spend().await;
    sleep(SECOND).await;
    two.cut(true);
    for _ in 0..3 {
        one.spend().await;
        sleep(SECOND).await;
    }
    // The engine loses an entry that the node has not read.
    let lost = {
        let log = &mut exchange.model.lock().unwrap().log;
        let lost = *log.keys().rev().nth(2).expect("each request has two");
        log.remove(&lost);
        lost
    };
    two.cut(false);
    sleep(SECOND * 2).await;
    let has_checkpoint = || {
        let model = exchange.model.lock().unwrap();
        model
            .checkpoint
            .as_ref()
            .expect("the first entry's")
            .position
            > lost
    };
    assert!(!has_checkpoint());
    while !has_checkpoint() {
        one.spend().await;
        sleep(SECOND * 3).await;
    }
    sleep(SECOND * 40).await;
    one.stop.cancel();
    two.until_it_leads().await;
    let used = one.budget.usage().used;
    assert!(used < LIMIT);
    assert_eq!(two.budget.usage().used, used);
}

/// A log of which a node reads only a part at once, with a checkpoint at its beginning, and without these entries.
fn long_log(lacks: &[u64]) -> Arc<Exchange> {
    let exchange = Exchange::new();
    {
        let model = &mut exchange.model.lock().unwrap();
        for number in 1..=LONG {
            let (position, entry) = request(number, false);
            model.log.insert(position, (Duration::ZERO, entry));
            if number == 1 {
                write_checkpoint(model);
            }
        }
        model
            .log
            .retain(|position, _| !lacks.contains(&position.number));
    }
    exchange
}

const LONG: u64 = 3 * MAX_READ as u64;

#[tokio::test(start_paused = true)]
async fn a_node_that_is_overtaken_by_a_checkpoint_while_it_reads_reads_that_too() {
    // In a log with a gap, the checkpoint is read twice to find that it is one. Then a part of the log was read.
    for (lacks, reads) in [(&[][..], 1), (&[5], 3)] {
        let exchange = long_log(lacks);
        let node = Peer::start(&exchange, &Arc::new(VirtualClock::default()), "one");
        node.answer(Reads::Overtaken(reads));
        sleep(SECOND * 5).await;
        // Ten entries are about the same request.
        let used = u64::from(node.budget.usage().used);
        assert_eq!(used, LONG / 10 + 1, "{lacks:?}");
    }
}
