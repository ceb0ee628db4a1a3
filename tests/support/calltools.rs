//! A simulated CallTools at a port of its own, with two queues whose agents change only when a test changes them.

use openseat::simulator::{Serving, Settings, Simulator, WorldSettings};
use tokio::net::TcpListener;

use super::{LONG_TIMEOUTS, TestDaemon, TestFolder, Time, account};

/// The ids of `sales` and `support`, as the simulator numbers them.
const QUEUE_IDS: [u64; 2] = [1, 2];

/// A simulator with the queues `sales`, which has two agents with a seat, and `support`, which has one.
fn still_world(time: &Time, settings: Settings) -> Simulator {
    let simulator = Simulator::new(
        Settings {
            world: WorldSettings::still(0, 0),
            ..settings
        },
        time.clock(),
    );
    simulator.world(|world| {
        let sales = world.add_queue("sales");
        let support = world.add_queue("support");
        assert_eq!([sales, support], QUEUE_IDS);
        world.add_agent("Ann", &[sales]);
        world.add_agent("Bob", &[sales, support]);
    });
    simulator
}

/// A simulator that serves HTTP.
#[derive(Debug)]
pub struct CallTools {
    pub simulator: Simulator,
    pub serving: Serving,
}

impl CallTools {
    /// Starts the simulator with its two queues.
    pub async fn start(time: &Time) -> Self {
        Self::serve(still_world(time, Settings::default())).await
    }

    pub async fn serve(simulator: Simulator) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let serving = simulator.serve(listener).expect("the server listens");
        Self { simulator, serving }
    }

    /// `[[account]]` "main" for this account, with both queues and a `max_age` of 20 s.
    pub fn account(&self) -> String {
        self.account_with("", "")
    }

    /// The same, with additional lines for the account and for each queue.
    pub fn account_with(&self, account_lines: &str, queue_lines: &str) -> String {
        let max_age = match queue_lines.contains("max_age") {
            true => "",
            false => "max_age = \"20s\"",
        };
        let queue = |name| format!("queue = \"{name}\"\n{max_age}\n{queue_lines}");
        let more = match account_lines.contains("timeout") {
            true => account_lines.to_owned(),
            false => format!("{LONG_TIMEOUTS}\n{account_lines}"),
        };
        let queues = [queue("sales"), queue("support")];
        let queues = queues.each_ref().map(String::as_str);
        account("main", &self.serving.base_url(), &more, &queues)
    }

    /// A daemon that polls this account.
    pub async fn daemon(&self, home: &TestFolder, time: &Time) -> TestDaemon {
        home.set_token("main", openseat::simulator::TOKEN);
        home.start(time, &[self.account()]).await
    }

    /// Adds an agent with a seat to `sales`.
    pub fn add_agent(&self, name: &str) {
        self.simulator.world(|world| {
            world.add_agent(name, &QUEUE_IDS[..1]);
        });
    }

    /// Sets an agent of `sales` to another status, by its name.
    pub fn set_status(&self, agent: usize, status: &str) {
        self.simulator.world(|world| {
            let status = world.status_named(status).expect("the status exists");
            let agent = world.agents_of(QUEUE_IDS[0])[agent].clone();
            assert!(world.set_status(&agent, status));
        });
    }
}
