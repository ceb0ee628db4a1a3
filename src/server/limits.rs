//! Limits on connections, streams and time, so that one client cannot hurt others.

use std::time::Duration;

/// Limits on connections and time, so that one client cannot hurt others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections across all listeners; further ones are closed at once. Some are kept free for clients on this machine.
    pub connections: usize,
    /// From the first byte of a request (for the first request, from the start of the connection) to the end of its head. A head fits into one
    /// packet, which needs a thousandth of the default 5 s.
    pub head: Duration,
    /// Idle time between requests. It exceeds the 60 s for which common HTTP clients and proxies keep a connection, so that they never send a
    /// request on a connection that is being closed. It may start up to `head` late.
    pub idle: Duration,
    /// Time for the client to read a whole answer: the longest list, about 1 MB, over a bad line.
    pub write: Duration,
    /// Time for answers in progress when the server stops; less than the 3 s within which the whole process must end.
    pub drain: Duration,
    /// Limits on streams of decisions.
    pub watch: WatchLimits,
}

impl Limits {
    /// Returns the default limits for this many connections.
    pub fn with_connections(connections: usize) -> Self {
        Self {
            connections,
            head: Duration::from_secs(5),
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(2),
            watch: WatchLimits::with_connections(connections),
        }
    }
}

/// Limits on streams of decisions.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// Open streams. Each has its own connection, so streams get a quarter of the connections and leave room for routers that poll. A stream whose
    /// client does not read holds about 128 kB of kernel memory, so by default all of them together hold at most 32 MB.
    pub streams: usize,
    /// The longest silence on a stream; then a comment is sent. Proxies commonly give up after 60 s.
    pub heartbeat: Duration,
    /// The pause after each pass over all queues. Twenty passes per second cost little even with thousands of queues, and nobody notices the delay.
    pub rest: Duration,
    /// The longest time between two passes. Timers pause while the machine sleeps, and after a clock step or many failed polls a snapshot becomes
    /// stale sooner than its decision said.
    pub look: Duration,
    /// Changes to keep for clients that reconnect or fall behind: minutes of a busy account, about 2 MB.
    pub log: usize,
}

impl WatchLimits {
    /// Returns the default limits for this many connections.
    pub fn with_connections(connections: usize) -> Self {
        Self {
            streams: (connections / 4).max(1),
            heartbeat: Duration::from_secs(15),
            rest: Duration::from_millis(50),
            look: Duration::from_secs(1),
            log: 4096,
        }
    }
}
