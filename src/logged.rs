//! Reads the log of code under test.

use std::{
    fmt,
    sync::{Arc, Mutex, Once},
};

use tracing::{Event, Level, Subscriber, field::Field, subscriber::DefaultGuard};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// The lines of this thread down to a level, in order.
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

/// Collects the lines that operators see by default, until the guard is dropped.
pub(crate) fn listen() -> (Logged, DefaultGuard) {
    listen_to(Level::INFO)
}

/// The same down to another level.
pub(crate) fn listen_to(level: Level) -> (Logged, DefaultGuard) {
    // tracing remembers for each line whether anyone reads it. It can remember "no one" while another thread reaches that line for the first
    // time and this one begins to read. With a reader for the whole process there never is no one.
    static READER: Once = Once::new();
    READER.call_once(|| {
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    });
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
