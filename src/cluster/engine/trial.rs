//! The trial of all commands, so that a missing permission shows at startup instead of when a leader fails.
//!
//! After a refusal, all must work again before anything else is done: an engine that takes no writes often answers reads, and a lease must not be
//! renewed by a node that cannot write its log.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use super::EngineError;
use crate::cluster::command::{Command, Listener, Position};

/// The name of the dummy account of a trial.
pub(super) const TRIAL: &str = "trial";

/// How soon all commands are tried again after the engine has refused one. All accounts of a server use one trial, and a person's change shows within
/// a second.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Whether a server of the engine has passed the trial.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Trial {
    /// Whether every command has worked since the last one that was refused.
    is_passed: AtomicBool,
    /// Locked while all commands are tried: what was refused last, and when.
    refused: Mutex<Option<(EngineError, Instant)>>,
}

impl Trial {
    /// Returns whether every command has worked since the last one that was refused.
    pub fn is_passed(&self) -> bool {
        self.is_passed.load(Ordering::Relaxed)
    }

    /// Records that a command was refused.
    pub fn fail(&self) {
        self.is_passed.store(false, Ordering::Relaxed);
    }

    /// Tries all commands, unless they are known to work.
    ///
    /// # Errors
    /// One of them was refused, or had no answer.
    pub async fn pass(
        &self,
        try_all: impl Future<Output = Result<(), EngineError>>,
    ) -> Result<(), EngineError> {
        if self.is_passed() {
            return Ok(());
        }
        let mut refused = self.refused.lock().await;
        if self.is_passed() {
            return Ok(()); // Another command has waited for the same trial.
        }
        if let Some((error, at)) = &*refused
            && at.elapsed() < TRY_AGAIN
        {
            return Err(error.clone());
        }
        let tried = try_all.await;
        let error = tried.as_ref().err();
        let error = error.filter(|error| error.refusal().is_some());
        *refused = error.map(|error| (error.clone(), Instant::now()));
        self.is_passed.store(tried.is_ok(), Ordering::Relaxed);
        tried
    }
}

/// Returns every command once, in an order in which each of them does all that it can. Their keys must be new.
pub(in crate::cluster) fn commands() -> Vec<Command> {
    let text = || TRIAL.to_owned();
    let send = |to| Command::Send {
        to,
        message: Vec::new(),
    };
    vec![
        Command::Discard {
            generation: text(),
            new: text(),
        },
        Command::Look {
            node: text(),
            info: Vec::new(),
            generation: text(),
        },
        Command::Take {
            generation: text(),
            seen: String::new(),
            lease: format!("{TRIAL} 1 1"),
        },
        Command::Renew {
            generation: text(),
            holder: text(),
            lease: format!("{TRIAL} 2 1"),
        },
        Command::Publish {
            generation: text(),
            holder: text(),
            position: Position {
                epoch: 1,
                number: 1,
            },
            entry: Vec::new(),
            checkpoint: Some(vec![vec![0]; 2]),
        },
        Command::Read {
            after: Position::default(),
            checkpoint: true,
        },
        Command::Mirror {
            generation: text(),
            node: text(),
            mirror: Vec::new(),
        },
        Command::Mirrors,
        Command::Forget {
            nodes: vec![text()],
            mirrors: vec![text()],
        },
        Command::Claim {
            account: text(),
            claims: vec![text()],
        },
        send(Listener::Leader),
        send(Listener::Bell),
        send(Listener::Node(text())),
    ]
}
