//! The log, on standard error: text for people, JSON for collectors.
//!
//! Logging never waits. A stuck journal, or a pipe that nobody reads, would otherwise stop every thread that logs, and with them the
//! answers. A separate thread writes the lines and may wait. Its queue is bounded: lines beyond it are dropped and counted, and the log says
//! how many were lost once it works again. (The writer of tracing-appender is bounded too, but it reports no losses, and when the output is
//! stuck it ends with a message on standard output and a wait of a second.)
//!
//! In systemd's journal each line carries its priority, so that `journalctl -p warning` finds warnings.

mod levels;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic::PanicHookInfo,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    time::Duration,
};

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    Registry, filter::Targets, fmt, fmt::MakeWriter, layer::SubscriberExt, reload,
    util::SubscriberInitExt,
};

pub use self::levels::{Levels, NoLevel};

/// The most lines that wait to be written: the log of hours of trouble, or of a second at the level `trace`; at some 200 bytes each,
/// less than a megabyte.
const WAITING_LINES: usize = 4_096;

/// How long the end of the process waits for the log. A working journal needs a moment; a stuck one must not delay the end.
const LAST_WAIT: Duration = Duration::from_millis(200);

/// The log of this process.
static LINES: OnceLock<Lines> = OnceLock::new();

/// The current levels, to be changed.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One object a line, for journals and collectors.
    Json,
}

/// Starts logging for the whole process. Lines after the last [`flush`] may be lost.
pub fn start(levels: &Levels, format: LogFormat) {
    let terminal = io::stderr().is_terminal();
    let (filter, handle) = reload::Layer::new(levels.filter());
    let lines = LINES.get_or_init(|| Lines::written_to(io::stderr()));
    let out = Out {
        lines,
        journal: is_journal(),
    };
    // Errors of the log itself would go to standard error, which has failed then.
    let layer = fmt::layer()
        .with_writer(out)
        .with_ansi(terminal)
        .log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
    };
    match json {
        true => registry.with(layer.json().flatten_event(true)).init(),
        false => registry.with(layer).init(),
    }
    FILTER.get_or_init(|| handle);
    std::panic::set_hook(Box::new(log_panic));
}

/// Changes the log levels.
pub fn change(levels: &Levels) {
    let Some(filter) = FILTER.get() else { return };
    match filter.reload(levels.filter()) {
        Ok(()) => tracing::info!(%levels, "the log levels have changed"),
        Err(error) => tracing::error!(%error, "the log levels cannot be changed"),
    }
}

/// Logs a panic like any other line, so that collectors find it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        location = panic.location().map(tracing::field::display),
        thread = thread.name(),
        backtrace = backtrace(),
        "internal error: {}",
        words(panic)
    );
}

/// Returns the message of a panic.
fn words<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    let constant = payload.downcast_ref::<&str>().copied();
    let built = || payload.downcast_ref::<String>().map(String::as_str);
    constant
        .or_else(built)
        .unwrap_or("a panic without a message")
}

/// Returns the backtrace if `RUST_BACKTRACE` asks for it.
fn backtrace() -> Option<String> {
    let backtrace = Backtrace::capture();
    (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string())
}

/// Returns whether standard error is systemd's journal, which systemd identifies in the environment.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let found = rustix::fs::fstat(io::stderr());
    found.is_ok_and(|found| stream == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Formats a text for standard error. If that is the journal, each line starts with its priority.
pub fn with_priority(level: Level, text: &str) -> String {
    if !is_journal() {
        return text.to_owned();
    }
    let priority = levels::priority(level);
    let lines: Vec<_> = text
        .lines()
        .map(|line| format!("<{priority}>{line}"))
        .collect();
    lines.join("\n")
}

/// Where events are written.
#[derive(Clone, Copy, Debug)]
struct Out {
    lines: &'static Lines,
    journal: bool,
}

impl<'a> MakeWriter<'a> for Out {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            lines: self.lines,
            priority: None,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line {
        Line {
            lines: self.lines,
            priority: self.journal.then(|| levels::priority(*meta.level())),
        }
    }
}

/// Writes one event to the log.
#[derive(Debug)]
struct Line {
    lines: &'static Lines,
    /// The journal's.
    priority: Option<u8>,
}

/// `tracing-subscriber` writes each event in one piece.
impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.hand_over(match self.priority {
            Some(priority) => prefixed(priority, line),
            None => line.to_vec(),
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Puts the priority before each line of an event.
fn prefixed(priority: u8, event: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(event.len() + 3);
    for line in event.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(format!("<{priority}>").as_bytes());
        text.extend_from_slice(line);
    }
    text
}

/// Waits, but not for long, until everything logged so far is written. For the end of the process.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush();
    }
}

enum Message {
    Line(Vec<u8>),
    /// Everything before this message has been written once it is dropped.
    Flush(SyncSender<()>),
}

/// The queue of lines to write.
#[derive(Debug)]
struct Lines {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl Lines {
    fn written_to(out: impl Write + Send + 'static) -> Self {
        let (queue, waiting) = sync_channel(WAITING_LINES);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let thread = std::thread::Builder::new().name("log".to_owned());
        // If the thread cannot start, every line is lost, but that is no reason for a daemon to stop.
        let _ = thread.spawn(move || write_all(&waiting, &counted, out));
        Self { queue, lost }
    }

    fn hand_over(&self, line: Vec<u8>) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {
        let (done, written) = sync_channel(0);
        // A full queue is stuck.
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(LAST_WAIT);
        }
    }
}

fn write_all(waiting: &Receiver<Message>, lost: &AtomicU64, mut out: impl Write) {
    loop {
        let message = match waiting.try_recv() {
            Err(TryRecvError::Empty) => {
                tell_of_losses(lost);
                waiting.recv().ok()
            }
            message => message.ok(),
        };
        match message {
            Some(Message::Line(line)) => {
                // A log that cannot be written cannot report that either.
                let _ = out.write_all(&line);
            }
            Some(Message::Flush(done)) => drop(done),
            None => return,
        }
    }
}

/// Reports lost lines when the queue is empty, so that there is room for it.
fn tell_of_losses(lost: &AtomicU64) {
    let lines = lost.swap(0, Ordering::Relaxed);
    if lines > 0 {
        tracing::warn!(lines, "the log could not be written; lines were lost");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// An output that accepts nothing until it is opened.
    #[derive(Clone, Default)]
    struct Stuck(Arc<Door>);

    #[derive(Default)]
    struct Door {
        open: Mutex<bool>,
        opened: Condvar,
        taken: Mutex<Vec<u8>>,
    }

    impl Stuck {
        fn open(&self) {
            *self.0.open.lock().unwrap() = true;
            self.0.opened.notify_all();
        }
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let open = self.0.open.lock().unwrap();
            let open = self.0.opened.wait_while(open, |open| !*open);
            assert!(*open.unwrap());
            self.0.taken.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_output_blocks_nothing_and_losses_are_counted() {
        let out = Stuck::default();
        let lines = Lines::written_to(out.clone());
        for n in 0..WAITING_LINES + 100 {
            lines.hand_over(format!("{n}\n").into_bytes());
        }
        // The thread holds at most one line.
        let lost = lines.lost.load(Ordering::Relaxed);
        assert!((99..=100).contains(&lost), "{lost}");
        lines.flush();

        out.open();
        while lines.lost.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        lines.flush();
        let written = String::from_utf8(out.0.taken.lock().unwrap().clone()).unwrap();
        let written: Vec<usize> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert!(
            written.is_sorted() && written.len() >= WAITING_LINES,
            "{}",
            written.len()
        );
    }

    #[test]
    fn each_line_of_an_event_has_its_priority() {
        assert_eq!(prefixed(4, b"a\nb\n"), b"<4>a\n<4>b\n");
        assert_eq!(prefixed(levels::priority(Level::ERROR), b"a"), b"<3>a");
    }
}
