//! A thread that writes things down for others, who never wait for it.
//!
//! What comes while it is busy waits in a bounded line; what finds the line full is let go, and counted. Everything that waits is written together.

use std::{
    iter,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};

/// See the [module](self). Dropping it ends the thread, once it has written what waits.
#[derive(Debug)]
pub struct Writer<T> {
    line: Mutex<Option<SyncSender<T>>>,
    dropped: AtomicU64,
    /// Says nothing, and ends with the thread.
    end: Mutex<Receiver<()>>,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts a thread with this name, for whom so many things may wait.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn start(
        name: &str,
        line: usize,
        mut write: impl FnMut(Vec<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::spawn(name, line, move |receiver| {
            while let Ok(first) = receiver.recv() {
                write(gather(first, receiver, line));
            }
        })
    }

    /// The same for a thread that also looks after what it has written: where nothing comes for so long, and once more at the end, it
    /// is called with nothing.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn start_with_rounds(
        name: &str,
        line: usize,
        round: Duration,
        mut write: impl FnMut(Vec<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::spawn(name, line, move |receiver| {
            loop {
                match receiver.recv_timeout(round) {
                    Ok(first) => write(gather(first, receiver, line)),
                    Err(RecvTimeoutError::Timeout) => write(Vec::new()),
                    Err(RecvTimeoutError::Disconnected) => return write(Vec::new()),
                }
            }
        })
    }

    fn spawn(
        name: &str,
        line: usize,
        work: impl FnOnce(&Receiver<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(line);
        let (alive, end) = mpsc::channel::<()>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _alive = alive;
                work(&receiver);
            })?;
        Ok(Self {
            line: Mutex::new(Some(sender)),
            dropped: AtomicU64::new(0),
            end: Mutex::new(end),
        })
    }

    /// Hands something over to be written, if there is room for it; tells whether there was.
    pub fn send(&self, thing: T) -> bool {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = line
            .as_ref()
            .is_some_and(|line| line.try_send(thing).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// How many things were let go so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes nothing more, and waits until everything is written, at most so long. Returns whether it was.
    pub fn finish(&self, longest: Duration) -> bool {
        self.line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.recv_timeout(longest) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Everything that waits, in its order.
fn gather<T>(first: T, receiver: &Receiver<T>, line: usize) -> Vec<T> {
    let rest = receiver.try_iter().take(line);
    iter::once(first).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_full_line_lets_go_and_counts_and_the_end_writes_what_waits() {
        let (written, held) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(())));
        let busy = held.lock().unwrap();
        let (into, wait) = (Arc::clone(&written), Arc::clone(&held));
        let writer = Writer::start("test", 2, move |things: Vec<u32>| {
            let _free = wait.lock();
            into.lock().unwrap().extend(things);
        })
        .unwrap();
        // The thread takes up to three, two wait, and the rest is let go.
        let taken = (0..20).filter(|n| writer.send(*n)).count() as u64;
        assert_eq!(taken, 20 - writer.dropped());
        assert!(
            (15..=18).contains(&writer.dropped()),
            "{}",
            writer.dropped()
        );
        assert!(
            !writer.finish(Duration::from_millis(1)),
            "it cannot have ended"
        );
        drop(busy);
        assert!(writer.finish(Duration::from_secs(20)));
        assert_eq!(written.lock().unwrap().len() as u64, 20 - writer.dropped());
        writer.send(99);
        assert!(!written.lock().unwrap().contains(&99), "it has ended");
    }
}
