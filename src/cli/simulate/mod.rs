//! `openseat simulate`: a simulated CallTools over HTTP, with the requested faults and quirks.

pub mod flags;
mod like;
#[cfg(test)]
mod tests;

use std::{fmt::Write as _, sync::Arc};

use anyhow::Context as _;
use tokio::net::TcpListener;

use self::like::Likeness;
use super::{print, unless_gone, warn};
use crate::{
    cli::args,
    clock::{Clock, SystemClock},
    process::signals,
    simulator::{Settings, Simulator, WorldSettings},
};

/// Runs the simulated CallTools until stopped.
pub async fn simulate(options: args::Simulate) -> anyhow::Result<()> {
    let shutdown = signals::signaled()?;
    let likeness = likeness(&options)?;
    let simulator = start(&options, likeness.as_ref(), Arc::new(SystemClock::new()))?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let serving = simulator.serve(listener)?;
    for what in likeness.iter().flat_map(|likeness| &likeness.not_imitated) {
        warn(&format!(
            "the report says this, and the simulator does not do it: {what}"
        ));
    }
    unless_gone(print(&welcome(&simulator, &serving.base_url())))?;
    shutdown.await;
    Ok(())
}

fn likeness(options: &args::Simulate) -> anyhow::Result<Option<Likeness>> {
    let report = options.like.as_deref().map(like::read).transpose()?;
    Ok(report.as_ref().map(Likeness::of_report))
}

fn start(
    options: &args::Simulate,
    likeness: Option<&Likeness>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Simulator> {
    let simulator = Simulator::new(settings(options, likeness), clock);
    match likeness {
        None => options.flags.apply(&simulator)?,
        Some(likeness) => {
            let quirks = likeness.quirks.clone();
            options.flags.apply_to(quirks, &simulator)?;
        }
    }
    if let Some(seats) = options.seats {
        simulator.world(|world| world.set_seats(seats as usize));
    }
    Ok(simulator)
}

fn settings(options: &args::Simulate, likeness: Option<&Likeness>) -> Settings {
    let (queues, agents, latency, calls_without_status) = match likeness {
        Some(likeness) => (
            likeness.queues,
            likeness.agents,
            likeness.latency,
            likeness.calls_without_status,
        ),
        None => (
            options.queues as usize,
            options.agents as usize,
            options.latency,
            options.flags.calls_without_status,
        ),
    };
    let world = WorldSettings {
        seed: options.seed,
        calls_without_status,
        ..match options.seats {
            Some(_) => WorldSettings::still(queues, agents),
            None => WorldSettings {
                queues,
                agents,
                ..WorldSettings::lively()
            },
        }
    };
    Settings {
        requests_per_hour: options.requests_per_hour,
        latency,
        speed: options.speed,
        ..Settings::new(world)
    }
}

fn welcome(simulator: &Simulator, base_url: &str) -> String {
    let token = crate::simulator::TOKEN;
    let queues = simulator.world(|world| {
        world
            .queues()
            .iter()
            .fold(String::new(), |mut list, queue| {
                let _ = writeln!(list, "  {:>6}  {}", queue.id, queue.name);
                list
            })
    });
    format!(
        "A simulated CallTools answers at {base_url}

Its queues:
{queues}
Ask it:
  curl -H 'Authorization: Token {token}' '{base_url}queues/'

Point openseat at it:
  [[account]]
  name = \"simulated\"
  base_url = \"{base_url}\"
  token_env = \"CALLTOOLS_API_TOKEN\"    # export CALLTOOLS_API_TOKEN={token}

Ctrl-C stops it.
"
    )
}
