//! A thread whose end others can wait for, at most for some time.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::Builder,
    time::Duration,
};

/// The end of a [started](start) thread.
#[derive(Debug)]
pub struct End {
    /// Receives nothing; disconnects when the thread ends, also by a panic.
    alive: Mutex<Receiver<()>>,
}

/// Starts a thread with this name. Its end comes once `work` has returned and dropped what it owned.
///
/// # Errors
/// The system cannot start a thread.
pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<End> {
    let (alive, end) = mpsc::channel::<()>();
    Builder::new().name(name.to_owned()).spawn(move || {
        let _alive = alive;
        work();
    })?;
    Ok(End {
        alive: Mutex::new(end),
    })
}

impl End {
    /// Waits, at most `longest`, until the thread has ended. Returns whether it has.
    pub fn wait(&self, longest: Duration) -> bool {
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        alive.recv_timeout(longest) == Err(RecvTimeoutError::Disconnected)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_end_comes_once_the_thread_has_dropped_what_it_owned() {
        let (go, told) = mpsc::channel::<()>();
        let owned = Arc::new(());
        let held = Arc::clone(&owned);
        let end = start("test", move || {
            let _ = told.recv();
            drop(held);
        });
        let end = end.unwrap();
        assert!(!end.wait(Duration::from_millis(1)), "it still waits");
        drop(go);
        // Long enough for any machine.
        assert!(end.wait(Duration::from_secs(20)));
        assert_eq!(Arc::strong_count(&owned), 1);
        assert!(end.wait(Duration::ZERO), "an end lasts");
    }
}
