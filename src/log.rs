//! The log: to standard error, as text for people and as JSON for journals.
//!
//! Promises that nobody waits for it. A journal that is stuck, or a pipe that nobody reads, would otherwise stop every thread that has
//! something to say, and with them the answers. So lines are handed to a thread of the log's own, which may wait; what does not fit
//! into its queue is lost and counted, and the log says so once it can be written again.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    time::Duration,
};

use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::{Log, LogFormat};

/// Lines that may wait to be written: the log of hours of trouble, or of a second at the level `trace`; at some 200 bytes each,
/// less than a megabyte.
const WAITING_LINES: usize = 4_096;

/// How long the end of the process waits for the log. A journal that works needs a moment; another must not keep us from ending.
const LAST_WAIT: Duration = Duration::from_millis(200);

/// The log of this process.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Starts logging for the whole process. What is logged later than the last [`flush`] may be lost.
pub fn start(log: &Log) {
    let terminal = io::stderr().is_terminal();
    let filter = EnvFilter::builder().parse_lossy(&log.log_level);
    let lines = LINES.get_or_init(|| Lines::written_to(io::stderr()));
    // Errors of the log itself would be printed to standard error, which is what has failed then.
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(move || lines)
        .with_ansi(terminal)
        .log_internal_errors(false);
    match log.log_format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Auto if !terminal => builder.json().flatten_event(true).init(),
        LogFormat::Auto | LogFormat::Text => builder.init(),
    }
}

/// Waits until everything logged so far is written, but not for long. For the end of the process.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush();
    }
}

enum Message {
    Line(Vec<u8>),
    /// Everything before this one has been written once it is dropped.
    Flush(SyncSender<()>),
}

/// Where lines are handed over.
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
        // Without its thread the queue has no other end, and every line is lost: nothing that a daemon should stop for.
        let _ = thread.spawn(move || write_all(&waiting, &counted, out));
        Self { queue, lost }
    }

    fn flush(&self) {
        let (done, written) = sync_channel(0);
        // A full queue is one that is stuck.
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(LAST_WAIT);
        }
    }
}

/// An event comes whole, in one piece, from `tracing-subscriber`.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
                // A log that cannot be written has nowhere to say so.
                let _ = out.write_all(&line);
            }
            Some(Message::Flush(done)) => drop(done),
            None => return,
        }
    }
}

/// Said when the queue is empty, so that there is room for it.
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

    /// An output that takes nothing until it is opened.
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
    fn nobody_waits_for_an_output_that_is_stuck_and_losses_are_counted() {
        let out = Stuck::default();
        let lines = Lines::written_to(out.clone());
        for n in 0..WAITING_LINES + 100 {
            (&lines).write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        // One line is in the thread's hands at the most.
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
}
