//! A contact centre that only the test changes, and a daemon that watches it.

use std::sync::Arc;

use openseat::{
    clock::{Clock, SystemClock},
    simulator::{Settings, Simulator, TOKEN, WorldSettings},
};

use crate::support::{Answer, CallTools, TestDaemon, TestFolder};

/// The token that browsers must send, if one is needed.
pub const BEARER: &str = "0123456789abcdef-bearer";

/// Requests per hour. With this many, no test waits long for a poll.
const PLENTY: u32 = 20_000;

/// Longer than a busy machine pauses, so that answers stay known.
const LONG: &str = "30s";

/// So short that a test of a fault need not wait.
const SHORT: &str = "3s";

const STATE: &str = "[state]\ndir = \"state\"\n";

/// A simulated CallTools and a daemon. Dropping it ends both.
pub struct Fixture {
    pub simulator: Simulator,
    daemon: TestDaemon,
    _calltools: CallTools,
    _home: TestFolder,
}

impl Fixture {
    /// Opens a centre with these queues, each with the names of its agents, who are available and logged in.
    pub async fn open(queues: &[(&str, &[&str])]) -> Self {
        Self::with(queues, STATE, LONG).await
    }

    /// The same with answers that become unknown soon after a fault.
    pub async fn with_a_short_max_age(queues: &[(&str, &[&str])]) -> Self {
        Self::with(queues, STATE, SHORT).await
    }

    /// The same without a state folder.
    pub async fn without_state(queues: &[(&str, &[&str])]) -> Self {
        Self::with(queues, "[state]\ndir = false\n", LONG).await
    }

    /// The same, but callers need a token.
    pub async fn behind_a_token(queues: &[(&str, &[&str])]) -> Self {
        let bearer = format!("bearer_token_file = \"./bearer\"\n{STATE}");
        Self::with(queues, &bearer, LONG).await
    }

    async fn with(queues: &[(&str, &[&str])], more: &str, max_age: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let simulator = simulate(queues, Arc::clone(&clock));
        let calltools = CallTools::serve(simulator.clone()).await;
        let mut config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{more}\
             [[account]]\nname = \"main\"\nbase_url = \"{}\"\ntoken_file = \"./main.token\"\nrequests_per_hour = {PLENTY}\n",
            calltools.serving.base_url()
        );
        for (queue, _) in queues {
            let queue = toml::Value::from(*queue);
            config += &format!("[[account.queue]]\nqueue = {queue}\nmax_age = \"{max_age}\"\n");
        }
        let home = TestFolder::new();
        home.set_token("main", TOKEN);
        home.write("bearer", BEARER);
        home.write("openseat.toml", &config);
        let daemon = TestDaemon::start_by(&home.path().join("openseat.toml"), clock).await;
        Self {
            simulator,
            daemon,
            _calltools: calltools,
            _home: home,
        }
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon.address)
    }

    /// Sends a request to the daemon, as a router does.
    pub async fn get(&self, target: &str) -> Answer {
        self.daemon.get(target).await
    }

    /// Sets every agent to a status, by its name.
    pub fn set_everyone(&self, status: &str) {
        self.simulator.world(|world| {
            let status = world.status_named(status).expect("the status exists");
            assert!(world.set_everyone(status));
        });
    }

    /// Whether this daemon got all of these requests.
    pub fn got_all(&self, requests: &[String]) -> bool {
        let ours = self.url("/");
        requests.iter().all(|url| url.starts_with(&ours))
    }
}

fn simulate(queues: &[(&str, &[&str])], clock: Arc<dyn Clock>) -> Simulator {
    let settings = Settings {
        requests_per_hour: PLENTY,
        ..Settings::new(WorldSettings::still(0, 0))
    };
    let simulator = Simulator::new(settings, clock);
    simulator.world(|world| {
        for (queue, agents) in queues {
            let queue = world.add_queue(queue);
            for agent in *agents {
                world.add_agent(agent, &[queue]);
            }
        }
    });
    simulator
}
