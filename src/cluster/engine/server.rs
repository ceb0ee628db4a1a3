//! A server of the engine, and what is known about it. A Redis Cluster has several: one may refuse what the others do, because its memory is full or
//! its user lacks a right.

use std::sync::{Mutex, PoisonError};

use super::{EngineError, link::Link, trial::Trial};
use crate::cluster::command::Reply;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Server {
    pub link: Link,
    pub trial: Trial,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the last command was answered, and every command works; `None` before the first.
    is_up: Option<bool>,
    /// The last error that was logged since it was up.
    last_logged: String,
}

impl Server {
    /// Returns whether the last command was answered, and every command works; `None` if it was never used.
    pub fn is_up(&self) -> Option<bool> {
        self.state().is_up
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Each field is replaced at once, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records how a command ended, and logs it if that is news. Only a Redis Cluster's servers have an address here.
    pub fn note(&self, address: &str, answered: &Result<Reply, EngineError>) {
        let error = answered.as_ref().err();
        if error.is_some_and(|error| error.refusal().is_some()) {
            self.trial.fail();
        }
        if error.is_none() && !self.trial.is_passed() {
            return; // It was sent before another one was refused.
        }
        let server = Some(address).filter(|address| !address.is_empty());
        let mut state = self.state();
        let is_up = error.is_none_or(EngineError::is_spoilt);
        let was_up = state.is_up.replace(is_up).unwrap_or_default();
        match error {
            Some(error) if !is_up => state.log(server, error, was_up),
            _ if !was_up => {
                let after = std::mem::take(&mut state.last_logged);
                let after = (!after.is_empty()).then_some(after);
                tracing::info!(server, after, "the cluster's engine answers");
            }
            _ => {}
        }
    }
}

impl State {
    /// Logs why the engine cannot be used, once until it works again. A lost connection shows in several ways, one after the other; only another
    /// reason is news.
    fn log(&mut self, server: Option<&str>, error: &EngineError, was_up: bool) {
        let text = error.to_string();
        if was_up
            || self.last_logged.is_empty()
            || (!error.is_silence() && self.last_logged != text)
        {
            tracing::warn!(
                server,
                %error,
                advice = error.refusal().map(|refusal| refusal.advice),
                "the cluster's engine is lost; this node answers from memory until it is back"
            );
            self.last_logged = text;
        }
    }
}
