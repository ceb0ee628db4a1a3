//! A thread that writes for others, who never wait for it.
//!
//! While it is busy, items wait in a bounded queue. Items that find the queue full are dropped and counted. All waiting items are written together.

use std::{
    iter,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    time::Duration,
};

use crate::process::thread;

/// See the [module](self). Dropping it ends the thread after it has written what is waiting.
#[derive(Debug)]
pub struct Writer<T> {
    queue: Mutex<Option<SyncSender<T>>>,
    dropped: AtomicU64,
    end: thread::End,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts a thread with this name and a queue of this length.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(
        name: &str,
        queue: usize,
        mut write: impl FnMut(Vec<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::spawn(name, queue, move |receiver| {
            while let Ok(first) = receiver.recv() {
                write(gather(first, receiver, queue));
            }
        })
    }

    /// Starts a thread with rounds of upkeep: `write` gets an empty list whenever nothing came for the length of a `round`, and once more at the
    /// end.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start_with_rounds(
        name: &str,
        queue: usize,
        round: Duration,
        mut write: impl FnMut(Vec<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        Self::spawn(name, queue, move |receiver| {
            loop {
                match receiver.recv_timeout(round) {
                    Ok(first) => write(gather(first, receiver, queue)),
                    Err(RecvTimeoutError::Timeout) => write(Vec::new()),
                    Err(RecvTimeoutError::Disconnected) => return write(Vec::new()),
                }
            }
        })
    }

    fn spawn(
        name: &str,
        queue: usize,
        work: impl FnOnce(&Receiver<T>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(queue);
        Ok(Self {
            queue: Mutex::new(Some(sender)),
            dropped: AtomicU64::new(0),
            end: thread::start(name, move || work(&receiver))?,
        })
    }

    /// Queues something to write. Returns whether there was room for it.
    pub fn send(&self, thing: T) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = queue
            .as_ref()
            .is_some_and(|queue| queue.try_send(thing).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Returns how many things were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Accepts nothing more and waits, at most `longest`, until everything is written. Returns whether it was.
    pub fn finish(&self, longest: Duration) -> bool {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.end.wait(longest)
    }
}

/// Collects everything that is waiting, in order.
fn gather<T>(first: T, receiver: &Receiver<T>, queue: usize) -> Vec<T> {
    let rest = receiver.try_iter().take(queue);
    iter::once(first).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts_and_the_end_writes_the_rest() {
        let (written, held) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(())));
        let busy = held.lock().unwrap();
        let (into, wait) = (Arc::clone(&written), Arc::clone(&held));
        let writer = Writer::start("test", 2, move |things: Vec<u32>| {
            let _free = wait.lock();
            into.lock().unwrap().extend(things);
        })
        .unwrap();
        // The thread takes up to three, two wait, and the rest is dropped.
        let taken = (0..20).filter(|n| writer.send(*n)).count() as u64;
        assert_eq!(taken, 20 - writer.dropped());
        assert!(
            (15..=18).contains(&writer.dropped()),
            "{}",
            writer.dropped()
        );
        assert!(
            !writer.finish(Duration::from_millis(1)),
            "the writer cannot have ended"
        );
        drop(busy);
        assert!(writer.finish(Duration::from_secs(20)));
        assert_eq!(written.lock().unwrap().len() as u64, 20 - writer.dropped());
        writer.send(99);
        assert!(
            !written.lock().unwrap().contains(&99),
            "the writer has ended"
        );
    }
}
