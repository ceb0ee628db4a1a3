//! Notifications: a message when something has lasted and when it ends, and a push of each change of a queue's answer.
//!
//! They are for sites without Prometheus, and for routers that take pushes instead of asking. The module promises:
//!
//! - Nothing waits for a recipient. One task looks and sends; a recipient that hangs or fails delays no answer, no poll, no other recipient and no
//!   shutdown.
//! - A message is retried for a bounded time until its recipient takes it, and a restart neither forgets nor repeats it. It is sent twice only if
//!   the recipient took it and we did not hear so: the process ended while it was in flight, or the answer came too late.
//! - Pushes of a queue are in order, one in flight at a time. If the recipient is slow, the newest answer replaces those that wait.
//! - The addresses are secrets. They never reach a log line, an error, a metric or a file that openseat writes.
//!
//! `sight` looks at what is wrong now, `tracker` decides what to report, `message` writes the text, `outbox` and `pushes` decide what to send and
//! when, and `webhook` sends it. `memory` is what outlives the process. `task` connects them; all modules but `task` and `webhook` are pure.

mod backoff;
mod memory;
mod message;
mod outbox;
mod pushes;
mod recipient;
mod sight;
mod task;
mod tracker;
mod webhook;

pub use self::{
    message::test_message,
    recipient::{Recipients, recipients},
    task::run,
    webhook::{Undelivered, Webhook},
};
