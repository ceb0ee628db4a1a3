//! Notifications: a message when something has lasted and when it ends, and a push of each change of a queue's answer.
//!
//! They are for sites without Prometheus, and for routers that are told instead of asking. It promises:
//!
//! - Nobody waits for a recipient. One task looks and sends; a recipient that hangs or fails holds up neither answers, nor polls, nor the other
//!   recipients, nor the end of the process.
//! - A message is sent until its recipient takes it, for a bounded time, and a restart neither forgets nor repeats it. Only a process that dies
//!   between a recipient's answer and the next write sends a message twice.
//! - Pushes of a queue are in order, one under way at a time, and the newest answer wins where the recipient is slow.
//! - The addresses are secrets. They are in no log line, error, metric or file of ours.
//!
//! `sight` looks at what is wrong now, `tracker` decides what is worth telling, `message` finds the words, `outbox` and `pushes` decide what is sent
//! when, and `webhook` sends. `memory` is what outlives the process. `task` connects them; all but it and `webhook` are pure.

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
