//! Limits on connections, streams and time, which keep one client from hurting others.

use std::time::Duration;

/// Limits on connections and time, which keep one client from hurting others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections over all listeners; further ones are closed at once. Some are kept for clients on this machine.
    pub connections: usize,
    /// From the first byte of a request (for the first request, from the start of the connection) to the end of its head. A head of one
    /// packet needs a thousandth of five seconds.
    pub head: Duration,
    /// Between requests. It is longer than the 60 s for which common HTTP clients and proxies keep a connection, so that a request never
    /// meets a connection that is being closed. It may start a `head` late.
    pub idle: Duration,
    /// For the client to take a whole answer: the longest list, about 1 MB, over a poor line.
    pub write: Duration,
    /// For answers under way when the server stops; less than the 3 s in which the whole process has to end.
    pub drain: Duration,
    /// Limits on streams of decisions.
    pub watch: WatchLimits,
}

impl Limits {
    /// The default limits for a number of connections.
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

/// What bounds streams of decisions.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    /// Open streams. Each has its own connection, so streams get a quarter of the connections: routers that ask always find room.
    /// A stream that is not read holds about 128 kB of kernel memory, so by default all together hold at most 32 MB.
    pub streams: usize,
    /// The longest silence on a stream; a comment ends it. Proxies commonly give up after 60 s.
    pub heartbeat: Duration,
    /// The pause after a look at all queues: twenty looks a second cost little even with thousands of queues, and nobody
    /// notices the delay.
    pub rest: Duration,
    /// The longest time between two looks. Timers stand still while the machine sleeps, and after a clock step or a long row of failed polls
    /// a snapshot gets stale sooner than its decision said.
    pub look: Duration,
    /// Changes to keep for clients that return or fall behind: minutes of a busy account, and about 2 MB.
    pub log: usize,
}

impl WatchLimits {
    /// The default limits for a number of connections.
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
