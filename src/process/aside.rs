//! Work that may hang, on a thread that can be left behind.
//!
//! A file system that does not answer blocks the thread that asks it, and no signal ends that wait. Tokio's own threads for blocking work
//! delay the end of the runtime, and panic if no thread can be started. So work that may hang gets its own thread and a deadline; after the
//! deadline the caller continues, and the thread ends whenever the system lets it. Requests for one path take turns ([`turns`](super::turns)), so
//! a path that hangs keeps one thread, however often it is asked.
//!
//! Deadlines are in real time: a test that pauses Tokio's clock does not pause a disk.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::turns::Turns;

/// The most threads at work or left behind. Twenty accounts whose files hang take twenty; a process that has left this many
/// behind has a file system that will not answer the next one either. Well below the 256 tasks that the unit allows.
const MAX_THREADS: usize = 64;

/// A path that hangs is tried again only while fewer threads than this are taken: half of them, so that paths that do not hang have the others.
const MAX_WITH_RETRIES: usize = MAX_THREADS / 2;

static THREADS: AtomicUsize = AtomicUsize::new(0);

static TURNS: Turns = Turns::new();

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The deadline has passed.
    #[error("no answer from the file system within {}", humantime::format_duration(*.0))]
    Late(Duration),
    /// Too many are waiting for something that hangs.
    #[error("the file system has left {MAX_THREADS} earlier requests without an answer")]
    TooMany,
    /// The system cannot start a thread.
    #[error("no thread to wait on: {0}")]
    NoThread(io::Error),
    /// The work panicked; the log says more.
    #[error("an internal error, which the log describes")]
    Panicked,
}

/// Does the work with a path on its own thread and waits for it: at most this long for earlier work with the same path, and as long for this.
/// Blocks.
///
/// # Errors
/// [`Unfinished`]
pub fn wait<T: Send + 'static>(
    path: &Path,
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let may_retry = || THREADS.load(Ordering::Relaxed) < MAX_WITH_RETRIES;
    let turn = TURNS.take(path, deadline, may_retry);
    let turn = turn.ok_or(Unfinished::Late(deadline))?;
    let place = Place::take()?;
    let (done, result) = sync_channel(1);
    start(move || {
        let done_with = work();
        drop((turn, place));
        // After the deadline the receiver is gone.
        let _ = done.send(done_with);
    })?;
    result.recv_timeout(deadline).map_err(|error| match error {
        RecvTimeoutError::Timeout => Unfinished::Late(deadline),
        RecvTimeoutError::Disconnected => Unfinished::Panicked,
    })
}

/// Does as [`wait`] for a task, without blocking a thread of the runtime.
///
/// # Errors
/// [`Unfinished`]
pub async fn run<T: Send + 'static>(
    path: &Path,
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let path = path.to_owned();
    let waited = bounded(move || wait(&path, deadline, work)).await;
    waited.and_then(|done| done)
}

/// Does work that limits its own time, off the runtime.
///
/// # Errors
/// [`Unfinished`], but never [`Unfinished::Late`].
pub async fn bounded<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let (done, result) = oneshot::channel();
    start(move || drop(done.send(work())))?;
    result.await.map_err(|_| Unfinished::Panicked)
}

/// Does work of any length off the runtime, and tells once if it takes longer than `slow`.
///
/// # Errors
/// [`Unfinished`], but never [`Unfinished::Late`].
pub async fn patient<T: Send + 'static>(
    slow: Duration,
    tell: impl FnOnce() + Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let watch = move || {
        let (done, result) = sync_channel(1);
        // Nobody receives it if the task has stopped waiting.
        start(move || drop(done.send(work())))?;
        match result.recv_timeout(slow) {
            Err(RecvTimeoutError::Timeout) => {
                tell();
                result.recv().map_err(|_| Unfinished::Panicked)
            }
            done => done.map_err(|_| Unfinished::Panicked),
        }
    };
    bounded(watch).await.and_then(|done| done)
}

/// Starts work that limits its own time, without waiting.
///
/// # Errors
/// [`Unfinished::NoThread`]
pub fn start(work: impl FnOnce() + Send + 'static) -> Result<(), Unfinished> {
    let thread = thread::Builder::new().name("aside".to_owned());
    // The panic hook logs a panic; the caller sees the channel close.
    let spawned = thread.spawn(move || drop(catch_unwind(AssertUnwindSafe(work))));
    spawned.map(drop).map_err(Unfinished::NoThread)
}

/// One of [`MAX_THREADS`].
struct Place;

impl Place {
    fn take() -> Result<Self, Unfinished> {
        let taken = THREADS.fetch_add(1, Ordering::Relaxed);
        let place = Place;
        if taken < MAX_THREADS {
            Ok(place)
        } else {
            Err(Unfinished::TooMany)
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc::channel};

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn finished_work_returns_and_hanging_work_is_abandoned() {
        assert_eq!(run(Path::new("/a"), LONG, || 7).await.unwrap(), 7);
        let (release, hangs) = channel::<()>();
        let left = run(Path::new("/a"), SHORT, move || hangs.recv().is_ok()).await;
        assert!(matches!(left, Err(Unfinished::Late(SHORT))), "{left:?}");
        drop(release);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_a_hang() {
        for _ in 0..2 {
            let panicked = run(Path::new("/panics"), LONG, || panic!("on purpose")).await;
            assert!(matches!(panicked, Err(Unfinished::Panicked)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_work_is_told_of_and_stops_no_task() {
        let (release, hangs) = channel::<()>();
        let told = move || drop(release);
        let slow = patient(SHORT, told, move || hangs.recv().is_err());
        assert!(slow.await.unwrap(), "it ends once it has been told of");
        let never = || unreachable!("it is quick");
        assert_eq!(patient(LONG, never, || 7).await.unwrap(), 7);
        let (_hangs, forever) = channel::<()>();
        let stuck = patient(LONG, || {}, move || forever.recv().is_ok());
        let stopped = tokio::time::timeout(SHORT, stuck).await;
        assert!(stopped.is_err(), "a stop does not wait for it");
    }

    #[test]
    fn a_path_that_hangs_keeps_one_thread_and_no_other_path() {
        let (release, hangs) = channel::<()>();
        let (hangs, begun) = (Arc::new(Mutex::new(hangs)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..8 {
            let (hangs, begun) = (Arc::clone(&hangs), Arc::clone(&begun));
            let left = wait(Path::new("/hangs"), SHORT, move || {
                begun.fetch_add(1, Ordering::Relaxed);
                hangs.lock().unwrap().recv().is_ok()
            });
            assert!(matches!(left, Err(Unfinished::Late(SHORT))), "{left:?}");
        }
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        assert_eq!(wait(Path::new("/other"), LONG, || 7).unwrap(), 7);
        // It answers at last, and is asked again.
        drop(release);
        assert_eq!(wait(Path::new("/hangs"), LONG, || 7).unwrap(), 7);
    }
}
