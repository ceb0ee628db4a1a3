//! `openseat demo`: a simulated CallTools and the daemon in one process, connected by real sockets.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::{args, print, unless_gone};
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    daemon::Daemon,
    process::signals,
    server::Listener,
    simulator::{Settings, Simulator, TOKEN, WorldSettings},
};

/// Runs the demo until stopped.
pub async fn demo(options: args::Demo) -> anyhow::Result<()> {
    let shutdown = signals::signaled()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let world = WorldSettings {
        seed: options.seed,
        ..WorldSettings::lively()
    };
    let simulator = Simulator::new(
        Settings {
            world,
            ..Settings::lively()
        },
        Arc::clone(&clock),
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .context("no port for the simulator")?;
    let calltools = simulator.serve(listener)?;

    let folder = tempfile::Builder::new()
        .prefix("openseat-demo-")
        .tempdir()?;
    let path = write_config(
        folder.path(),
        &config(&simulator, &calltools.base_url(), options.listen),
    )?;
    let config = Config::load(&path)?;
    let daemon = Daemon::new(&config, clock).await?;
    let Some(Listener::Tcp(answers)) = daemon.listeners().first() else {
        unreachable!("the demo's config has one TCP address")
    };
    unless_gone(print(&welcome(
        &simulator,
        answers.local_addr()?,
        &calltools.base_url(),
        &path,
    )))?;
    daemon.run(shutdown).await
}

fn config(simulator: &Simulator, base_url: &str, listen: SocketAddr) -> String {
    let mut text = format!(
        "[server]
listen = \"{listen}\"

[state]
dir = \"state\"

[[account]]
name = \"demo\"
base_url = \"{base_url}\"
token_file = \"./token\"
"
    );
    for name in queue_names(simulator) {
        let _ = write!(
            text,
            "\n[[account.queue]]\nqueue = {}\n",
            toml::Value::from(name)
        );
    }
    text
}

fn write_config(folder: &Path, text: &str) -> anyhow::Result<std::path::PathBuf> {
    let mut private = fs::OpenOptions::new();
    private.write(true).create_new(true).mode(0o600);
    std::io::Write::write_all(&mut private.open(folder.join("token"))?, TOKEN.as_bytes())?;
    let path = folder.join("openseat.toml");
    fs::write(&path, text)?;
    Ok(path)
}

fn queue_names(simulator: &Simulator) -> Vec<String> {
    simulator.world(|world| {
        world
            .queues()
            .iter()
            .map(|queue| queue.name.clone())
            .collect()
    })
}

fn welcome(simulator: &Simulator, answers: SocketAddr, base_url: &str, config: &Path) -> String {
    let url = format!("http://{answers}");
    let queue = &queue_names(simulator)[0];
    let queues = queue_names(simulator).join(", ");
    format!(
        "openseat demo: a simulated CallTools account with people who work, and the daemon that watches it.

Open   {url}/
Ask    curl {url}/v1/queues/{queue}/decision
       curl '{url}/v1/queues/{queue}/decision?format=text&threshold=2'
       curl {url}/v1/queues
Scrape curl {url}/metrics
Move   curl -H 'Authorization: Token {TOKEN}' '{url}/api/queues/'

Queues: {queues}
The simulated CallTools is {base_url}, the config {}.
Ctrl-C stops it.
",
        config.display()
    )
}
