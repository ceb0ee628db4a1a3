//! Works with systemd: notifications and the watchdog ([`Notifier`]), and sockets that it passes ([`take_sockets`]).
//!
//! Does nothing without systemd's variables in the environment. A notification waits for systemd at most [`MAX_WAIT`].

#[cfg(test)]
mod tests;

use std::{
    env, io,
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{net::UnixDatagram, sync::oneshot, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    process::{heartbeat::Heartbeats, runtime::block_on},
    server::{Current, Detached, status_line},
};

/// The longest wait for systemd to take a message. It takes them at once unless it hangs.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// How often the status line is renewed: about as often as a request changes it.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// The longest turn of a loop: another process may hold the lock of a state file for five seconds.
const MAX_TURN: Duration = Duration::from_secs(6);

/// A passed socket that we cannot use because its unit is wrong.
#[derive(Debug, thiserror::Error)]
#[error("socket number {number} of those that systemd passed cannot be used: {flaw}")]
pub struct SocketError {
    number: usize,
    flaw: String,
}

/// Takes the sockets that systemd has opened for us (`LISTEN_FDS`). Later calls find none.
///
/// Call it before there are other threads: it changes the environment.
///
/// # Errors
/// One of them is not a listening stream socket.
pub fn take_sockets() -> Result<Vec<Detached>, SocketError> {
    let mut given = ListenFd::from_env();
    (0..given.len())
        .map(|at| {
            let unfit = |flaw: String| SocketError {
                number: at + 1,
                flaw,
            };
            let passed = passed(&mut given, at).map_err(|error| unfit(error.to_string()))?;
            let listens = passed.is_listening().unwrap_or(false);
            listens.then_some(passed).ok_or_else(|| {
                unfit(
                    "it is a connection; its unit must have Accept=no and ListenStream=".to_owned(),
                )
            })
        })
        .collect()
}

fn passed(given: &mut ListenFd, at: usize) -> io::Result<Detached> {
    // A socket of the other kind stays in place.
    let passed = match given.take_tcp_listener(at) {
        Ok(socket) => socket.map(Detached::Tcp),
        Err(_) => given.take_unix_listener(at)?.map(Detached::Unix),
    };
    Ok(passed.expect("each number is taken once"))
}

/// Sends notifications to systemd if it runs this process.
#[derive(Debug, Default)]
pub struct Notifier {
    /// `None` without systemd.
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Uses the environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
    pub fn from_env() -> Self {
        let Some(address) = env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        match connect(address.as_bytes()) {
            Ok(socket) => Self {
                socket: Some(socket),
                watchdog: sd_notify::watchdog_enabled(),
            },
            Err(error) => {
                tracing::warn!(%error, "notifications to systemd cannot be sent");
                Self::default()
            }
        }
    }

    /// Reports that the listeners are bound and the state is loaded. CallTools need not have answered.
    pub async fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)])
            .await;
    }

    /// Sets the line that `systemctl status` shows.
    pub async fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]).await;
    }

    /// Reports that the config is being read again. [`ready`](Self::ready) must follow, even after a failure.
    pub async fn reloading(&self) {
        let mut states = vec![NotifyState::Reloading];
        // systemd 253 and later need to know which reload this is.
        states.extend(NotifyState::monotonic_usec_now());
        self.tell(&states).await;
    }

    /// Reports that the process is stopping.
    pub async fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")])
            .await;
    }

    async fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else {
            return;
        };
        let lines = states.iter().map(|state| format!("{state}\n"));
        let message: String = lines.collect();
        let sent = tokio::time::timeout(MAX_WAIT, socket.send(message.as_bytes())).await;
        if !matches!(sent, Ok(Ok(_))) {
            tracing::debug!(message, "systemd did not take a message");
        }
    }

    /// Keeps the status line current until `stop`.
    pub async fn keep_status(&self, current: &Current, stop: &CancellationToken) {
        if self.socket.is_none() {
            return stop.cancelled().await;
        }
        let mut last = String::new();
        while pause(STATUS_EVERY, stop).await {
            let status = status_line(&current.app());
            if status != last {
                self.status(&status).await;
                last = status;
            }
        }
    }

    /// Feeds the watchdog until `stop` while no loop is stuck; see [`feed`]. It has its own thread, since a task that hangs blocks the
    /// thread it runs on.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub async fn keep_watchdog(
        &self,
        heartbeats: &Heartbeats,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (Some(socket), Some(period)) = (&self.socket, self.watchdog) else {
            stop.cancelled().await;
            return Ok(());
        };
        let socket = net::UnixDatagram::from(socket.as_fd().try_clone_to_owned()?);
        let (heartbeats, stop) = (heartbeats.clone(), stop.clone());
        let (end, ended) = oneshot::channel();
        let work = move || {
            let fed = block_on(async {
                let notifier = Notifier {
                    socket: Some(UnixDatagram::from_std(socket)?),
                    watchdog: Some(period),
                };
                feed(&notifier, period, &heartbeats, &stop).await;
                Ok(())
            });
            // The process may be ending.
            let _ = end.send(fed);
        };
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(work)
            .context("cannot start a thread for the watchdog")?;
        ended.await.context("the watchdog's thread has panicked")?
    }
}

/// Feeds the watchdog four times per period while no loop is stuck. If one is, only a restart helps, so the watchdog is not fed, and systemd
/// restarts the process.
async fn feed(
    notifier: &Notifier,
    period: Duration,
    heartbeats: &Heartbeats,
    stop: &CancellationToken,
) {
    let bound = (period / 2).max(MAX_TURN);
    let mut ticks = tokio::time::interval(period / 4);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let stuck = heartbeats.stuck(bound);
        if stuck.is_empty() {
            notifier.tell(&[NotifyState::Watchdog]).await;
        } else if stuck != before {
            tracing::error!(
                ?stuck,
                "these loops are stuck; the watchdog is not fed until they continue"
            );
        }
        before = stuck;
    }
}

/// Waits. Returns `false` if `stop` came first.
async fn pause(time: Duration, stop: &CancellationToken) -> bool {
    tokio::time::timeout(time, stop.cancelled()).await.is_err()
}

/// Connects to a path, or to a name in Linux' abstract namespace, which begins with `@`.
fn connect(address: &[u8]) -> io::Result<UnixDatagram> {
    let socket = net::UnixDatagram::unbound()?;
    match address.strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&net::SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(std::ffi::OsStr::from_bytes(address))?,
    }
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}
