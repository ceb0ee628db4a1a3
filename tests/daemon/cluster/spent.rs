//! An hour whose requests are all sent before each fault. A node that forgets one of them afterwards sends one too many.

use std::{fs, io::Read as _, path::Path};

use super::*;
use flate2::read::ZlibDecoder;

/// The hour whose requests are sent before each fault: few, so that this is quick.
const LIMIT: usize = 30;

/// How many requests of the hour may stay unsent: a fault or a pause may hit a request that is counted, and then is not sent.
const UNSENT: usize = LIMIT / 2;

/// How long a node waits for the engine's answer.
const ENGINE_ANSWERS_WITHIN: Duration = Duration::from_millis(400);

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    LeaderKilled,
    EngineEmptied,
    LeaderPaused,
    EngineRestarted,
    LeaderCutOff,
    EngineReplaced,
    EngineStopped,
    AllKilledAndEngineEmptied,
}

/// Each fault once.
const FAULTS: [Fault; 8] = [
    Fault::LeaderKilled,
    Fault::EngineEmptied,
    Fault::LeaderPaused,
    Fault::EngineRestarted,
    Fault::LeaderCutOff,
    Fault::EngineReplaced,
    Fault::EngineStopped,
    Fault::AllKilledAndEngineEmptied,
];

/// Three nodes of one account, each with its own way to the engine.
pub struct Trial {
    redis: LocalEngine,
    ways: Vec<Way>,
    pub nodes: Vec<Node>,
    pub calltools: CallTools,
    pub limit: usize,
}

/// The config of a node with this limit. Polling in the background may use ten requests. The rest is for refreshes, so that the test decides when they
/// are sent.
fn lines(way: &Way, calltools: &CallTools, number: usize, limit: usize) -> [String; 2] {
    let reserve = limit - 10;
    let account = format!("requests_per_hour = {limit}\nreserve = {reserve}");
    let account = calltools.account_with(&account, "max_age = \"15m\"");
    [cluster(&way.url, number, ""), account]
}

impl Trial {
    /// Starts with this limit.
    pub async fn start(limit: usize) -> Self {
        let keep = ["--appendonly", "yes", "--appendfsync", "always"];
        let redis = LocalEngine::with(&keep).expect("redis-server, of Debian's package");
        let calltools = CallTools::start(&Time::new()).await;
        let (mut ways, mut nodes) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let (way, home) = (Way::to(&redis).await, TestFolder::new());
            home.set_token("main", TOKEN);
            let [cluster, account] = lines(&way, &calltools, number, limit);
            nodes.push(Node::run(home, cluster, &account).await);
            ways.push(way);
        }
        all_know(&nodes).await;
        Self {
            redis,
            ways,
            nodes,
            calltools,
            limit,
        }
    }

    /// Gives all nodes a config with more requests in the hour.
    pub async fn raise_the_limit(&mut self, by: usize) {
        self.limit += by;
        for (number, (node, way)) in self.nodes.iter().zip(&self.ways).enumerate() {
            let lines = lines(way, &self.calltools, number, self.limit);
            node.home.config(&lines);
            let answer = post(node.address, "/v1/reload").await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    /// Refreshes through these nodes until each of them says that the hour is spent.
    async fn spend(&self, places: &[usize]) {
        for place in places {
            let address = self.nodes[*place].address;
            soon("the hour is spent", async || {
                let answer = post(address, "/v1/queues/sales/refresh").await;
                let is_refused = answer.status == 429 && answer.body.contains("budget-spent");
                // After a change of the limit, a node that is gone keeps the former one for a while.
                is_refused && self.sent() + UNSENT >= self.limit
            })
            .await;
        }
        let (sent, throttled) = (self.sent(), self.calltools.simulator.throttled());
        let limit = self.limit;
        assert!(sent <= limit && throttled == 0, "{sent} of {limit}");
    }

    /// How many requests CallTools got.
    pub fn sent(&self) -> usize {
        self.calltools.simulator.requests() as usize
    }

    pub async fn spend_all(&self) {
        self.spend(&[0, 1, 2]).await;
    }

    /// Waits until one of these nodes leads in a later epoch.
    async fn until_one_leads_after(&self, epoch: f64, places: &[usize]) {
        soon("another leader", async || {
            for place in places {
                let node = &self.nodes[*place];
                if node.epoch().await > epoch && node.leads().await {
                    return true;
                }
            }
            false
        })
        .await;
    }

    pub async fn suffer(&mut self, fault: Fault) {
        let leader = leader(&self.nodes).await;
        let others: Vec<_> = (0..3).filter(|place| *place != leader).collect();
        let epoch = self.nodes[leader].epoch().await;
        match fault {
            Fault::LeaderKilled => self.nodes[leader].kill(),
            Fault::LeaderPaused => self.nodes[leader].signal(Signal::STOP),
            Fault::LeaderCutOff => drop(self.ways[leader].cut.send_replace(true)),
            Fault::EngineRestarted => self.redis.start_again().expect("the engine starts"),
            Fault::EngineEmptied => {
                cuts::redis_cli(&self.redis, &["flushall"]);
                self.until_one_leads_after(epoch, &[0, 1, 2]).await;
            }
            Fault::EngineReplaced => {
                self.redis.kill();
                fs::remove_dir_all(self.redis.folder().join(AOF)).expect("its data");
                self.redis.start_again().expect("the engine starts");
                self.until_one_leads_after(epoch, &[0, 1, 2]).await;
            }
            Fault::AllKilledAndEngineEmptied => {
                self.nodes.iter_mut().for_each(Node::kill);
                cuts::redis_cli(&self.redis, &["flushall"]);
                for node in &mut self.nodes {
                    node.start_again().await;
                }
            }
            Fault::EngineStopped => self.stop_the_engine(leader).await,
        }
        if matches!(
            fault,
            Fault::LeaderKilled | Fault::LeaderPaused | Fault::LeaderCutOff
        ) {
            self.until_one_leads_after(epoch, &others).await;
            self.spend(&others).await;
        }
        match fault {
            Fault::LeaderKilled => self.nodes[leader].start_again().await,
            Fault::LeaderPaused => self.nodes[leader].signal(Signal::CONT),
            Fault::LeaderCutOff => drop(self.ways[leader].cut.send_replace(false)),
            _ => {}
        }
    }

    /// Stops the engine for longer than the lease, and lets it continue.
    async fn stop_the_engine(&self, leader: usize) {
        signal(&self.redis, Signal::STOP);
        soon("nobody leads", async || !self.nodes[leader].leads().await).await;
        // A stopped engine does not answer, so these decisions do not depend on it. They do not wait for its timeout either: at least the
        // fastest one is answered sooner.
        let mut fastest = Duration::MAX;
        for _ in 0..20 {
            let asked = Instant::now();
            assert!(known(&self.nodes[0].decision().await));
            fastest = fastest.min(asked.elapsed());
        }
        assert!(fastest < ENGINE_ANSWERS_WITHIN, "{fastest:?}");
        tokio::time::sleep(LEASE).await;
        signal(&self.redis, Signal::CONT);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn no_failure_sends_more_than_the_hour_allows() {
    let mut trial = Trial::start(LIMIT).await;
    for fault in FAULTS {
        trial.spend_all().await;
        trial.suffer(fault).await;
        // After a loss of the engine's data, the next leader has only what it wrote down.
        if matches!(
            fault,
            Fault::EngineReplaced | Fault::AllKilledAndEngineEmptied
        ) {
            trial.spend_all().await;
            trial.suffer(Fault::LeaderKilled).await;
        }
    }
    trial.spend_all().await;
    // A node counts at least what CallTools got, so its figure is no smaller.
    for node in &trial.nodes {
        assert!(node.metric(USED).await >= Some(trial.sent() as f64));
    }
}

/// The folder of the engine's data.
const AOF: &str = "appendonlydir";

/// How zlib's fast compression begins, which packs entries and mirrors.
const PACKED: [u8; 2] = [0x78, 0x01];

/// Everything that was ever written to the engine: its log of writes, and what is packed in it.
fn written(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let (mut plain, mut unpacked) = (Vec::new(), Vec::new());
    for file in fs::read_dir(folder).expect("its data") {
        let file = file.expect("a file").path();
        plain.extend(fs::read(file).expect("a file"));
    }
    for at in 0..plain.len() {
        if plain[at..].starts_with(&PACKED) {
            // Other bytes may look like a beginning.
            let _ = ZlibDecoder::new(&plain[at..]).read_to_end(&mut unpacked);
        }
    }
    (plain, unpacked)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server; `scripts/test.sh engine` runs it"]
async fn nothing_that_is_written_to_the_engine_has_the_token() {
    let mut trial = Trial::start(LIMIT).await;
    let body = "{\"call_id\":\"call-of-a-seat\",\"ttl\":\"5m\"}";
    assert!(holds(&reserve(trial.nodes[1].address, body).await));
    // Then each node writes its mirror.
    trial.suffer(Fault::EngineEmptied).await;
    trial.spend_all().await;
    trial.suffer(Fault::LeaderKilled).await;
    let (plain, unpacked) = written(&trial.redis.folder().join(AOF));
    let has = |text: &[u8], word: &str| {
        text.windows(word.len())
            .any(|bytes| bytes == word.as_bytes())
    };
    // It is all there: keys, and what is packed.
    assert!(has(&plain, "openseat:{registry}:accounts") && has(&plain, "}:mirrors"));
    assert!(has(&unpacked, "call-of-a-seat") && has(&unpacked, "Ann"));
    assert!(!has(&plain, TOKEN) && !has(&unpacked, TOKEN));
}
