//! A call centre in which nothing happens but what a test does, and a daemon that watches it.

use std::{fs, net::SocketAddr, sync::Arc};

use openseat::{
    clock::{Clock, SystemClock},
    config::Config,
    daemon::Daemon,
    simulator::{Serving, Settings, Simulator, TOKEN, WorldSettings},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

/// What browsers must show, where they must show anything.
pub const BEARER: &str = "0123456789abcdef-bearer";

/// So many requests an hour that nothing a test does waits long for a poll.
const PLENTY: u32 = 20_000;

const STATE: &str = "[state]\ndir = \"state\"\n";

/// Both, gone when dropped.
pub struct Centre {
    pub simulator: Simulator,
    address: SocketAddr,
    daemon: JoinHandle<()>,
    _calltools: Serving,
    _folder: TempDir,
}

impl Drop for Centre {
    fn drop(&mut self) {
        self.daemon.abort();
    }
}

impl Centre {
    /// Queues by name, each with the names of its agents, who are available and logged in.
    pub async fn open(queues: &[(&str, &[&str])]) -> Self {
        Self::with(queues, STATE).await
    }

    /// The same without a folder to keep anything in.
    pub async fn forgetful(queues: &[(&str, &[&str])]) -> Self {
        Self::with(queues, "").await
    }

    /// The same behind a token.
    pub async fn behind_a_token(queues: &[(&str, &[&str])]) -> Self {
        let bearer = format!("bearer_token_file = \"./bearer\"\n{STATE}");
        Self::with(queues, &bearer).await
    }

    async fn with(queues: &[(&str, &[&str])], more: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let settings = Settings {
            requests_per_hour: PLENTY,
            ..Settings::new(WorldSettings::still(0, 0))
        };
        let simulator = Simulator::new(settings, Arc::clone(&clock));
        simulator.world(|world| {
            for (queue, agents) in queues {
                let queue = world.add_queue(queue);
                for agent in *agents {
                    world.add_agent(agent, &[queue]);
                }
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let calltools = simulator.serve(listener).expect("a simulator");
        let mut config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{more}\
             [[account]]\nname = \"main\"\nbase_url = \"{}\"\ntoken_file = \"./token\"\nrequests_per_hour = {PLENTY}\n",
            calltools.base_url()
        );
        for (queue, _) in queues {
            let queue = toml::Value::from(*queue);
            config += &format!("[[account.queue]]\nqueue = {queue}\nmax_age = \"3s\"\n");
        }
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("token"), TOKEN).expect("a token");
        fs::write(folder.path().join("bearer"), BEARER).expect("a token");
        let path = folder.path().join("openseat.toml");
        let config = Config::parse(&config, &path, &|_| None);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let daemon = Daemon::new(&config, clock).await.expect("a daemon");
        let address = daemon.listeners()[0].local_addr().expect("TCP");
        let running = daemon.run(std::future::pending());
        let daemon = tokio::spawn(async { running.await.expect("it runs until it is dropped") });
        Self {
            simulator,
            address,
            daemon,
            _calltools: calltools,
            _folder: folder,
        }
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Gives every agent a status, by name.
    pub fn everybody_is(&self, status: &str) {
        self.simulator.world(|world| {
            let status = world.status_named(status).expect("there is such a status");
            assert!(world.set_everyone(status));
        });
    }

    /// Whether all requests went to this daemon.
    pub fn is_the_only_one_asked(&self, requests: &[String]) -> bool {
        let ours = self.url("/");
        requests.iter().all(|url| url.starts_with(&ours))
    }
}
