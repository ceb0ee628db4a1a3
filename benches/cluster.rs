//! What a cluster's log costs: the length of an entry and of a checkpoint, the time to write and to read one, and the load on the engine with
//! fifty followers.
//!
//! `cargo bench --bench cluster` measures an account with a thousand queues and one with ten thousand agents. It starts a private
//! `redis-server`; without one in `PATH`, it measures only the nodes' part. `-- --test` does everything once, in a small account.
//!
//! `benches/cluster.sh` measures decisions on a follower, and many accounts.

#![allow(clippy::print_stdout)] // A benchmark prints its results.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use openseat::{
    calltools::Transport,
    clock::{Clock, VirtualClock},
    cluster::{
        codec::{self, FORMAT, Packer, Reading, Writing},
        command::{Checkpoint, Command, Position, Reply},
        engine::{Address, Engine, RedisEngine},
        entry::{Entry, Rows, SeenRow, Standing},
        local::LocalEngine,
    },
    model::{
        agent::AgentId,
        raw::{Pattern, RawRow},
    },
    simulator::{Settings, Simulator, TOKEN, WorldSettings},
};
use serde_json::value::RawValue;

const FOLLOWERS: usize = 50;

/// How often each thing is measured. The median counts.
const ROUNDS: usize = 21;

/// How many entries are published to measure the engine. Its clock of processor time is coarse.
const PUBLISHED: u64 = 400;

const KEY: &str = "account";

/// One account, as its leader knows it.
struct World {
    transport: Arc<dyn Transport>,
    queues: Vec<u64>,
    clock: Arc<VirtualClock>,
    /// What the rows share memory with.
    pattern: Pattern,
}

impl World {
    fn new(queues: usize, agents: usize) -> Self {
        let clock = Arc::new(VirtualClock::default());
        let settings = Settings {
            latency: Duration::ZERO,
            requests_per_hour: u32::MAX,
            ..Settings::new(WorldSettings {
                queues,
                agents,
                ..WorldSettings::study()
            })
        };
        let simulator = Simulator::new(settings, clock.clone());
        let queues = simulator.world(|world| {
            let queues = world.queues().iter();
            queues.map(|queue| queue.id).collect()
        });
        Self {
            transport: simulator.transport(TOKEN),
            queues,
            clock,
            pattern: Pattern::default(),
        }
    }

    /// Reads a list to its end.
    async fn list(&mut self, filter: &str) -> Vec<RawRow> {
        let (mut rows, mut page) = (Vec::new(), 1);
        loop {
            let path = format!("agentstatuses/?{filter}page_size=250&page={page}");
            let reply = self.transport.get(&path).await.expect("it answers");
            #[derive(serde::Deserialize)]
            struct Page {
                next: Option<String>,
                results: Vec<Box<RawValue>>,
            }
            let read: Page = serde_json::from_slice(&reply.body).expect("a page of rows");
            for row in read.results {
                rows.push(self.pattern.share(&row.into()));
            }
            if read.next.is_none() {
                return rows;
            }
            page += 1;
        }
    }

    async fn poll(&mut self, queue: u64) -> Entry {
        let rows = self.list(&format!("queue={queue}&")).await;
        let rows = Rows {
            as_of: self.clock.now(),
            took: Duration::from_millis(300),
            complete: true,
            rows,
        };
        Entry {
            polls: vec![(queue, rows)],
            ..Entry::default()
        }
    }

    /// Returns the rows of all agents, as sweeps see them.
    async fn sweep(&mut self) -> Vec<SeenRow> {
        let at = self.clock.now();
        let rows = self.list("").await.into_iter().enumerate();
        let seen = rows.map(|(number, row)| SeenRow {
            agent: AgentId(number.to_string().into()),
            at,
            by_sweep: true,
            is_look: true,
            is_covered: false,
            row,
        });
        seen.collect()
    }

    fn writing(&self) -> Writing {
        let now = self.clock.now();
        Writing {
            now,
            engine: now.wall,
            format: FORMAT,
        }
    }

    fn reading(&self) -> Reading {
        let now = self.clock.now();
        Reading {
            asked: now,
            now,
            engine: now.wall,
            suspect_since: None,
            is_old: false,
            format: FORMAT,
        }
    }
}

#[allow(clippy::disallowed_methods)] // The benchmark measures real time.
fn now() -> Instant {
    Instant::now()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn milliseconds(rounds: usize, mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let begun = now();
        work();
        begun.elapsed().as_secs_f64() * 1e3
    };
    median((0..rounds).map(round).collect())
}

/// Prints what it costs to write and to read this entry. Returns its packed form.
fn entry(what: &str, entry: &Entry, world: &World, rounds: usize) -> Vec<u8> {
    let (writing, reading) = (world.writing(), world.reading());
    let packed = codec::encode(entry, &writing);
    let write = milliseconds(rounds, || drop(codec::encode(entry, &writing)));
    let read = milliseconds(rounds, || drop(codec::decode(&packed, &reading)));
    row(what, packed.len(), 1, write, read);
    packed
}

fn row(what: &str, bytes: usize, parts: usize, write: f64, read: f64) {
    let kilobytes = bytes as f64 / 1e3;
    println!("| {what} | {kilobytes:.1} | {parts} | {write:.2} | {read:.2} |");
}

/// Prints the same of a checkpoint. Returns its parts.
async fn checkpoint(standing: &mut Standing, world: &World, rounds: usize) -> Vec<Vec<u8>> {
    let (writing, reading) = (world.writing(), world.reading());
    let mut pack = || {
        let mut packer = Packer::default();
        for part in standing.whole(writing.now).parts() {
            assert!(packer.add(&part, &writing));
        }
        packer.parts()
    };
    let parts = pack();
    let write = milliseconds(rounds, || drop(pack()));
    let checkpoint = Checkpoint {
        position: Position::default(),
        time: Duration::ZERO,
        parts,
    };
    let mut times = Vec::new();
    for _ in 0..rounds {
        let begun = now();
        let read = codec::decode_all(&checkpoint, &reading).await;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        assert!(read.is_ok());
    }
    let length = checkpoint.parts.iter().map(Vec::len).sum();
    row(
        "a checkpoint",
        length,
        checkpoint.parts.len(),
        write,
        median(times),
    );
    checkpoint.parts
}

/// The engine's processor time in milliseconds and the bytes that it has sent, both since its start.
async fn load(connection: &mut redis::aio::MultiplexedConnection) -> (f64, f64) {
    let info: String = redis::cmd("INFO")
        .query_async(connection)
        .await
        .expect("the engine answers");
    let value = |name: &str| -> f64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim_start_matches(':').parse().ok())
            .unwrap_or(0.0)
    };
    let cpu = value("used_cpu_user") + value("used_cpu_sys");
    (cpu * 1e3, value("total_net_output_bytes"))
}

async fn run(engine: &RedisEngine, command: &Command) -> Reply {
    loop {
        // The first ones may time out while the engine starts.
        if let Ok(reply) = engine.run(KEY, command).await {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Publishes this entry again and again to followers that read each, and prints what one costs the engine.
async fn publish(
    server: &LocalEngine,
    what: &str,
    data: &[u8],
    parts: Option<&[Vec<u8>]>,
    published: u64,
) {
    let address = Address {
        url: server.url(),
        password: None,
        prefix: format!("bench-{}", fastrand::u64(..)),
        replicas: 0,
    };
    let engine = || RedisEngine::new(&address).expect("a good address");
    let leader = engine();
    let look = Command::Look {
        node: "leader".to_owned(),
        info: Vec::new(),
        generation: "bench".to_owned(),
    };
    run(&leader, &look).await;
    let take = Command::Take {
        generation: "bench".to_owned(),
        seen: String::new(),
        lease: "leader 1 1".to_owned(),
    };
    run(&leader, &take).await;
    let followers: Vec<_> = (0..FOLLOWERS).map(|_| engine()).collect();
    let client = redis::Client::open(server.url()).expect("a good address");
    let mut watching = client
        .get_multiplexed_async_connection()
        .await
        .expect("the engine answers");
    let (cpu, sent) = load(&mut watching).await;
    for number in 1..=published {
        let position = Position { epoch: 1, number };
        let published = run(
            &leader,
            &Command::Publish {
                generation: "bench".to_owned(),
                holder: "leader".to_owned(),
                position,
                entry: data.to_vec(),
                checkpoint: parts.map(<[_]>::to_vec),
            },
        )
        .await;
        assert!(
            matches!(published, Reply::Published(true, _)),
            "{published:?}"
        );
        let read = Command::Read {
            after: Position {
                epoch: 1,
                number: number - 1,
            },
            checkpoint: false,
        };
        let reads = followers.iter().map(|follower| run(follower, &read));
        futures_util::future::join_all(reads).await;
    }
    let (cpu_after, sent_after) = load(&mut watching).await;
    let each = |from: f64, to: f64| (to - from) / published as f64;
    println!(
        "| {what} | {:.2} | {:.0} |",
        each(cpu, cpu_after),
        each(sent, sent_after) / 1e3
    );
}

async fn measure(queues: usize, agents: usize, rounds: usize, published: u64) {
    let mut world = World::new(queues, agents);
    println!("\n{queues} queues, {agents} agents; medians of {rounds} rounds\n");
    println!("| what the leader writes | kB packed | parts | ms to write | ms to read |");
    println!("|---|---:|---:|---:|---:|");
    let mut standing = Standing::default();
    let all = world.queues.clone();
    for queue in &all {
        standing.apply(&world.poll(*queue).await);
    }
    let poll = world.poll(all[0]).await;
    let poll = entry("the poll of a queue", &poll, &world, rounds);
    let mut seen = world.sweep().await;
    standing.apply(&Entry {
        seen: seen.clone(),
        ..Entry::default()
    });
    seen.truncate(250);
    let page = Entry {
        seen,
        ..Entry::default()
    };
    let page = entry("a page of 250 rows", &page, &world, rounds);
    let parts = checkpoint(&mut standing, &world, rounds.min(5)).await;
    let Ok(server) = LocalEngine::start() else {
        println!("\nthe engine's part was not measured: there is no redis-server in PATH");
        return;
    };
    println!("\n| what {FOLLOWERS} followers read | ms of the engine's processor time | kB sent |");
    println!("|---|---:|---:|");
    publish(&server, "the poll of a queue", &poll, None, published).await;
    publish(&server, "a page of 250 rows", &page, None, published).await;
    let published = (published / 20).max(1);
    publish(
        &server,
        "a page with a checkpoint",
        &page,
        Some(&parts),
        published,
    )
    .await;
}

fn main() {
    // Distinguishes `cargo bench` from `cargo test --benches`, as criterion does.
    let given = |word: &str| std::env::args().any(|argument| argument == word);
    let is_test = given("--test") || !given("--bench");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match is_test {
            true => measure(3, 20, 1, 1).await,
            false => {
                measure(1_000, 5_000, ROUNDS, PUBLISHED).await;
                measure(300, 10_000, ROUNDS, PUBLISHED).await;
            }
        }
    });
}
