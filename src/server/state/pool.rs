//! A few threads for work that handlers wait for: reading a disk, or computing for more than a moment.
//!
//! The threads start when they are first needed, and stay. The queue in front of them is bounded, and so is the time a handler waits. If the
//! system cannot start a thread, the handler answers 503; nothing panics. Work is skipped or told to stop once its handler has gone.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};

#[cfg(test)]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::header;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::server::http::{problem::Problem, problem_types};

type Job = Box<dyn FnOnce() + Send>;

/// Why the work was not done.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// The queue is full.
    #[error("too many ask at once")]
    Full,
    /// It was not finished in time, or not even begun.
    #[error("it was not done within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// The system cannot start a thread.
    #[error("this machine has no thread to spare: {0}")]
    NoThread(io::Error),
    /// It panicked; the log says more.
    #[error("an internal error, which the log describes")]
    Panicked,
}

/// After how many seconds a client may try again: most of what it waited for is done by then.
const COME_AGAIN: u16 = 2;

impl From<Undone> for Problem {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Panicked => Problem::internal_error(),
            undone => Problem::new(
                problem_types::BUSY,
                format!("openseat is busy with other pages: {undone}; ask again in a moment"),
            )
            .with(header::RETRY_AFTER, COME_AGAIN),
        }
    }
}

/// See the [module](self). Dropping it ends its threads after the work that is queued.
#[derive(Debug)]
pub struct Pool {
    name: &'static str,
    threads: usize,
    line: usize,
    #[cfg(test)]
    at_work: Arc<AtomicUsize>,
    /// The system gives no thread.
    #[cfg(test)]
    pub starves: AtomicBool,
    /// `None` until the threads are first needed.
    sender: Mutex<Option<SyncSender<Job>>>,
}

impl Pool {
    /// At most `threads` threads, and `line` pieces of work that wait for them.
    pub fn new(name: &'static str, threads: usize, line: usize) -> Self {
        Self {
            name,
            threads,
            line,
            #[cfg(test)]
            at_work: Arc::default(),
            #[cfg(test)]
            starves: AtomicBool::default(),
            sender: Mutex::default(),
        }
    }

    /// How many threads are at work.
    #[cfg(test)]
    pub fn at_work(&self) -> usize {
        self.at_work.load(Ordering::SeqCst)
    }

    /// Runs the work on a thread and waits for it, for `longest` at most. The work gets a token, which is cancelled when nobody waits any more.
    ///
    /// # Errors
    /// [`Undone`]
    pub async fn run<T: Send + 'static>(
        &self,
        longest: Duration,
        work: impl FnOnce(CancellationToken) -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let gone = CancellationToken::new();
        let _waits = gone.clone().drop_guard();
        let (done, result) = oneshot::channel();
        #[cfg(test)]
        let at_work = Arc::clone(&self.at_work);
        self.hand_over(Box::new(move || {
            #[cfg(test)]
            at_work.fetch_add(1, Ordering::SeqCst);
            if !gone.is_cancelled() {
                // The handler may have gone meanwhile.
                let _ = done.send(work(gone));
            }
            #[cfg(test)]
            at_work.fetch_sub(1, Ordering::SeqCst);
        }))?;
        match tokio::time::timeout(longest, result).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(Undone::Panicked),
            Err(_) => Err(Undone::Late(longest)),
        }
    }

    fn hand_over(&self, job: Job) -> Result<(), Undone> {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match &mut *sender {
            Some(sender) => sender,
            none => none.insert(self.start().map_err(Undone::NoThread)?),
        };
        sender.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Undone::Full,
            TrySendError::Disconnected(_) => Undone::Panicked,
        })
    }

    /// Starts the threads. One is enough; the others only save time.
    fn start(&self) -> io::Result<SyncSender<Job>> {
        #[cfg(test)]
        if self.starves.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (sender, receiver) = mpsc::sync_channel(self.line);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..self.threads {
            let jobs = Arc::clone(&receiver);
            let thread = thread::Builder::new().name(format!("{}-{number}", self.name));
            match thread.spawn(move || work_off(&jobs)) {
                Err(error) if number == 0 => return Err(error),
                _ => {}
            }
        }
        Ok(sender)
    }
}

fn work_off(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook logs a panic. The handler notices it by the end of its channel.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(120);

    #[tokio::test]
    async fn work_is_done_and_a_panic_costs_nobody_else_anything() {
        let pool = Pool::new("test", 1, 4);
        assert_eq!(pool.run(LONG, |_| 7).await.unwrap(), 7);
        let panicked = pool.run(LONG, |_| panic!("on purpose")).await;
        assert!(matches!(panicked, Err(Undone::Panicked)));
        assert_eq!(pool.run(LONG, |_| 8).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn a_full_line_refuses_and_a_long_wait_ends() {
        let pool = Pool::new("test", 1, 1);
        let (release, held) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let work = pool.run(Duration::from_millis(50), move |_| {
            begun.send(()).expect("the test waits");
            held.recv().ok();
        });
        assert!(matches!(work.await, Err(Undone::Late(_))));
        begins.recv().expect("it has begun");
        // The thread is still held. One may wait, and no second one.
        let waits = pool.run(Duration::from_millis(50), |_| ());
        assert!(matches!(waits.await, Err(Undone::Late(_))));
        let refused = pool.run(LONG, |_| ()).await;
        assert!(matches!(refused, Err(Undone::Full)), "{refused:?}");
        drop(release);
    }

    #[tokio::test]
    async fn work_whose_client_has_gone_is_told_so() {
        let pool = Pool::new("test", 1, 1);
        let (begun, begins) = oneshot::channel();
        let (ended, ends) = oneshot::channel();
        let work = pool.run(LONG, move |gone| {
            begun.send(()).expect("the test waits");
            while !gone.is_cancelled() {
                thread::yield_now();
            }
            ended.send(()).expect("the test waits");
        });
        tokio::select! {
            _ = work => panic!("it ends only when nobody waits"),
            begun = begins => begun.expect("it begins"),
        }
        ends.await.expect("it ends");
    }

    #[tokio::test]
    async fn a_system_without_threads_is_an_error_and_no_panic() {
        let pool = Pool::new("test", 2, 1);
        pool.starves.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let refused = pool.run(LONG, |_| ()).await;
            assert!(matches!(refused, Err(Undone::NoThread(_))), "{refused:?}");
        }
        // It asks again: threads may be there by then.
        pool.starves.store(false, Ordering::SeqCst);
        assert_eq!(pool.run(LONG, |_| 7).await.unwrap(), 7);
    }
}
