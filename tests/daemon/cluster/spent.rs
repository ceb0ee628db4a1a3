//! An hour whose requests are all sent before each fault. A node that forgets one of them afterwards sends one too many.

use super::*;

const LIMIT: usize = 30;

/// How many requests of the hour may stay unsent: a fault or a pause may hit a request that is counted, and then is not sent.
const UNSENT: usize = LIMIT / 2;

/// How long a node waits for the engine's answer.
const ENGINE_ANSWERS_WITHIN: Duration = Duration::from_millis(400);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    LeaderKilled,
    EngineEmptied,
    LeaderPaused,
    EngineRestarted,
    LeaderCutOff,
    EngineStopped,
}

/// A change of the leader follows each loss of the engine's data, so that the next leader has only what it wrote down.
const FAULTS: [Fault; 7] = [
    Fault::LeaderKilled,
    Fault::EngineEmptied,
    Fault::LeaderPaused,
    Fault::EngineRestarted,
    Fault::LeaderCutOff,
    Fault::EngineStopped,
    Fault::LeaderKilled,
];

/// Three nodes of one account, each with its own way to the engine.
struct Trial {
    redis: LocalEngine,
    ways: Vec<Way>,
    nodes: Vec<Node>,
    calltools: CallTools,
}

impl Trial {
    async fn start() -> Self {
        let keep = ["--appendonly", "yes", "--appendfsync", "always"];
        let redis = LocalEngine::with(&keep).expect("redis-server, of Debian's package");
        let calltools = CallTools::start(&Time::new()).await;
        // Polling in the background may use ten. The rest is for refreshes, so that the test decides when they are sent.
        let account = format!("requests_per_hour = {LIMIT}\nreserve = 20");
        let (mut ways, mut nodes) = (Vec::new(), Vec::new());
        for number in 0..3 {
            let way = Way::to(&redis).await;
            nodes.push(Node::start_at(&way.url, &calltools, number, &account).await);
            ways.push(way);
        }
        all_know(&nodes).await;
        Self {
            redis,
            ways,
            nodes,
            calltools,
        }
    }

    /// Refreshes through these nodes until each of them says that the hour is spent.
    async fn spend(&self, places: &[usize]) {
        for place in places {
            let address = self.nodes[*place].address;
            soon("the hour is spent", async || {
                let answer = post(address, "/v1/queues/sales/refresh").await;
                answer.status == 429 && answer.body.contains("budget-spent")
            })
            .await;
        }
        let (sent, throttled) = (
            self.calltools.simulator.requests() as usize,
            self.calltools.simulator.throttled(),
        );
        assert!(sent <= LIMIT && throttled == 0, "{sent} of {LIMIT}");
        assert!(sent >= LIMIT - UNSENT, "{sent} of {LIMIT}");
    }

    async fn spend_all(&self) {
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

    async fn suffer(&mut self, fault: Fault) {
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
    let mut trial = Trial::start().await;
    for fault in FAULTS {
        trial.spend_all().await;
        trial.suffer(fault).await;
    }
    trial.spend_all().await;
    // A node counts at least what CallTools got, so its figure is no smaller.
    for node in &trial.nodes {
        assert!(node.metric(USED).await >= Some(trial.calltools.simulator.requests() as f64));
    }
}
