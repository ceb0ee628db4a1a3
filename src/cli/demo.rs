//! `openseat demo`: a simulated CallTools and the daemon, or several nodes of a cluster, in one process, connected by real sockets.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{args, print, unless_gone};
use crate::{
    clock::{Clock, SystemClock},
    cluster::local::LocalEngine,
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
    let engine = (options.nodes > 1).then(LocalEngine::start).transpose();
    let engine = engine.context(
        "several nodes need redis-server in PATH: install Debian's package redis-server, or Valkey with its compatibility package",
    )?;
    let (mut nodes, mut answers) = (Vec::new(), Vec::new());
    for number in 1..=options.nodes {
        let home = folder.path().join(format!("node-{number}"));
        fs::create_dir(&home)?;
        let listen = match number {
            1 => options.listen,
            _ => SocketAddr::new(options.listen.ip(), 0),
        };
        let mut text = config(&simulator, &calltools.base_url(), listen);
        if let Some(engine) = &engine {
            let url = engine.url();
            let _ = write!(
                text,
                "\n[cluster]\nurl = \"{url}\"\nlease = \"3s\"\nnode = \"node-{number}\"\n"
            );
        }
        let config = Config::load(&write_config(&home, &text)?)?;
        let daemon = Daemon::new(&config, Arc::clone(&clock)).await?;
        let Some(Listener::Tcp(listener)) = daemon.listeners().first() else {
            unreachable!("the demo's config has one TCP address")
        };
        answers.push(listener.local_addr()?);
        nodes.push(daemon);
    }
    let first = folder.path().join("node-1").join("openseat.toml");
    let mut text = welcome(&simulator, answers[0], &calltools.base_url(), &first);
    if engine.is_some() {
        text += &others(&answers);
    }
    unless_gone(print(&text))?;
    run(nodes, shutdown).await
}

/// Runs all nodes until the demo is stopped, or one of them ends.
async fn run(nodes: Vec<Daemon>, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for node in nodes {
        running.spawn(node.run(stop.clone().cancelled_owned()));
    }
    let mut ended = tokio::select! {
        () = shutdown => None,
        ended = running.join_next() => ended,
    };
    stop.cancel();
    loop {
        if let Some(ended) = ended {
            ended??;
        }
        ended = running.join_next().await;
        if ended.is_none() {
            return Ok(());
        }
    }
}

/// What the nodes of a cluster add to the welcome.
fn others(answers: &[SocketAddr]) -> String {
    let nodes = answers
        .iter()
        .map(|answers| format!("       http://{answers}/\n"));
    format!(
        "
Nodes share the account: one asks CallTools, all of them answer.
{}Which one leads: curl http://{}/metrics | grep cluster
",
        nodes.collect::<String>(),
        answers[0]
    )
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
