//! Living under systemd: what it is told ([`Notifier`]), what it hands over ([`take_sockets`]), and the watchdog.
//!
//! Nothing here is needed elsewhere: without systemd's variables in the environment nobody is told, no sockets come and nothing is
//! watched. Telling never makes anybody wait for systemd longer than [`PATIENCE`].

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
    process::heartbeat::Heartbeats,
    server::{Current, Detached, in_runtime, status_line},
};

/// The longest wait for systemd to take a message. It takes them at once unless it hangs, and then a message is not worth more.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the status line is renewed: about as often as a request is sent, which changes it.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// A loop may rightly stand still for so long: another process may hold the ledger's lock for five seconds.
const SLOWEST_TURN: Duration = Duration::from_secs(6);

/// A socket that was passed and that we cannot use: the unit that passes it is wrong.
#[derive(Debug, thiserror::Error)]
#[error("systemd passed a socket (number {number}) that {flaw}")]
pub struct SocketError {
    number: usize,
    flaw: String,
}

/// Takes the sockets that systemd has opened for us (`LISTEN_FDS`), if it has. Later calls find none.
///
/// To be called before there are other threads, since it changes the environment.
///
/// # Errors
/// One of them is no listening stream socket.
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
                unfit("is a connection; its unit must have Accept=no and ListenStream=".to_owned())
            })
        })
        .collect()
}

fn passed(given: &mut ListenFd, at: usize) -> io::Result<Detached> {
    // A socket that is not of the one kind is left where it was.
    let passed = match given.take_tcp_listener(at) {
        Ok(socket) => socket.map(Detached::Tcp),
        Err(_) => given.take_unix_listener(at)?.map(Detached::Unix),
    };
    Ok(passed.expect("each number is taken once"))
}

/// Tells systemd how it goes, or nobody.
#[derive(Debug, Default)]
pub struct Notifier {
    /// `None`: nobody listens.
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Tells whoever the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
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
                tracing::warn!(%error, "systemd cannot be told anything");
                Self::default()
            }
        }
    }

    /// The listeners are bound and the state is loaded; CallTools need not have answered.
    pub async fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)])
            .await;
    }

    /// What `systemctl status` shows.
    pub async fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]).await;
    }

    /// The config is being read again; [`ready`](Self::ready) has to follow, whatever came of it.
    pub async fn reloading(&self) {
        let mut states = vec![NotifyState::Reloading];
        // systemd of version 253 wants to know which reload this is.
        states.extend(NotifyState::monotonic_usec_now());
        self.tell(&states).await;
    }

    /// We are on our way out.
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
        let sent = tokio::time::timeout(PATIENCE, socket.send(message.as_bytes())).await;
        if !matches!(sent, Ok(Ok(_))) {
            tracing::debug!(message, "systemd did not take a message");
        }
    }

    /// Keeps the status line true until `stop`.
    pub async fn keep_status(&self, current: &Current, stop: &CancellationToken) {
        if self.socket.is_none() {
            return stop.cancelled().await;
        }
        let mut told = String::new();
        while lasts(STATUS_EVERY, stop).await {
            let status = status_line(&current.app());
            if status != told {
                self.status(&status).await;
                told = status;
            }
        }
    }

    /// Feeds the watchdog until `stop`, as long as every loop turns; see [`feed`]. That is done on a thread of its own, since a task that
    /// hangs takes its thread with it, and somebody has to be left to say so.
    ///
    /// # Errors
    /// There is no thread to be had.
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
            let fed = in_runtime(async {
                let notifier = Notifier {
                    socket: Some(UnixDatagram::from_std(socket)?),
                    watchdog: Some(period),
                };
                feed(&notifier, period, &heartbeats, &stop).await;
                Ok(())
            });
            // Nobody waits for it any more if the process is ending.
            let _ = end.send(fed);
        };
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(work)
            .context("no thread for the watchdog")?;
        ended.await.context("the watchdog's thread has panicked")?
    }
}

/// Feeds the watchdog four times in its period while every loop turns. Where one is stuck, the watchdog is left to bite: nothing short of
/// a restart helps, and systemd restarts well.
async fn feed(
    notifier: &Notifier,
    period: Duration,
    heartbeats: &Heartbeats,
    stop: &CancellationToken,
) {
    let bound = (period / 2).max(SLOWEST_TURN);
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
                "no longer turning; the watchdog is not fed until it does"
            );
        }
        before = stuck;
    }
}

/// Whether it lasts for another while.
async fn lasts(time: Duration, stop: &CancellationToken) -> bool {
    tokio::time::timeout(time, stop.cancelled()).await.is_err()
}

/// A path, or, behind an `@`, a name in Linux' abstract space.
fn connect(address: &[u8]) -> io::Result<UnixDatagram> {
    let socket = net::UnixDatagram::unbound()?;
    match address.strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&net::SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(std::ffi::OsStr::from_bytes(address))?,
    }
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}
