//! What code under test says in the log.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{Event, Level, Subscriber, field::Field, subscriber::DefaultGuard};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// The lines down to a level, in order.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    level: Level,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Logged {
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

/// Hears what this thread says in the log and people see by default, for as long as the guard lives.
pub(crate) fn listen() -> (Logged, DefaultGuard) {
    listen_to(Level::INFO)
}

/// The same down to a level of one's own.
pub(crate) fn listen_to(level: Level) -> (Logged, DefaultGuard) {
    let logged = Logged {
        level,
        lines: Arc::default(),
    };
    let guard = tracing_subscriber::registry()
        .with(logged.clone())
        .set_default();
    (logged, guard)
}

impl<S: Subscriber> Layer<S> for Logged {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > self.level || !metadata.target().starts_with("openseat") {
            return;
        }
        let mut line = event.metadata().level().to_string();
        event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
            line += &format!(" {field}={value:?}");
        });
        self.lines.lock().unwrap().push(line);
    }
}
