//! A few threads for work that handlers wait for: disk reads, and computing for more than a moment.
//!
//! The threads start when first needed, and stay. Their queue and the time that a handler waits are bounded. If the system cannot start a thread,
//! the handler answers 503. Work whose handler is gone is skipped or told to stop.

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
    #[error("too many requests are waiting")]
    Full,
    /// It did not finish, or not even begin, in time.
    #[error("the work took longer than {} s", .0.as_secs_f64())]
    Late(Duration),
    /// The system cannot start a thread.
    #[error("the system cannot start a thread: {0}")]
    NoThread(io::Error),
    /// It panicked; the log has the details.
    #[error("an internal error, which the log describes")]
    Panicked,
}

/// The seconds until a client may retry: most waiting work is done by then.
const RETRY_AFTER: u16 = 2;

impl From<Undone> for Problem {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Panicked => Problem::internal_error(),
            undone => Problem::new(
                problem_types::BUSY,
                format!("openseat is busy with other requests: {undone}; try again in a moment"),
            )
            .with(header::RETRY_AFTER, RETRY_AFTER),
        }
    }
}

/// See the [module](self). After it is dropped, its threads finish the queued work and end.
#[derive(Debug)]
pub struct Pool {
    name: &'static str,
    threads: usize,
    line: usize,
    #[cfg(test)]
    at_work: Arc<AtomicUsize>,
    /// Pretends that the system cannot start threads.
    #[cfg(test)]
    pub starves: AtomicBool,
    /// `None` until the threads are first needed.
    sender: Mutex<Option<SyncSender<Job>>>,
}

impl Pool {
    /// Creates a pool of at most `threads` threads, with room for `line` waiting jobs.
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

    /// Runs the work on a thread and waits for it, at most for `longest`. The work gets a token that is cancelled once nobody waits.
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
                // The handler may be gone.
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

    /// Starts the threads. One is enough; more only save time.
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
        // The panic hook logs the panic, and the handler sees its channel close.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(120);

    #[tokio::test]
    async fn a_panic_fails_only_its_own_work() {
        let pool = Pool::new("test", 1, 4);
        assert_eq!(pool.run(LONG, |_| 7).await.unwrap(), 7);
        let panicked = pool.run(LONG, |_| panic!("on purpose")).await;
        assert!(matches!(panicked, Err(Undone::Panicked)));
        assert_eq!(pool.run(LONG, |_| 8).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn a_full_queue_rejects_work_and_a_long_wait_ends() {
        let pool = Pool::new("test", 1, 1);
        let (release, held) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let work = pool.run(Duration::from_millis(50), move |_| {
            begun.send(()).expect("the test waits");
            held.recv().ok();
        });
        assert!(matches!(work.await, Err(Undone::Late(_))));
        begins.recv().expect("the work begins");
        // The thread is still busy. One piece may wait, a second may not.
        let waits = pool.run(Duration::from_millis(50), |_| ());
        assert!(matches!(waits.await, Err(Undone::Late(_))));
        let refused = pool.run(LONG, |_| ()).await;
        assert!(matches!(refused, Err(Undone::Full)), "{refused:?}");
        drop(release);
    }

    #[tokio::test]
    async fn work_whose_handler_has_gone_is_told_to_stop() {
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
            _ = work => panic!("the work must not end while its handler waits"),
            begun = begins => begun.expect("the work begins"),
        }
        ends.await.expect("the work ends");
    }

    #[tokio::test]
    async fn a_thread_that_cannot_start_is_an_error_and_not_a_panic() {
        let pool = Pool::new("test", 2, 1);
        pool.starves.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let refused = pool.run(LONG, |_| ()).await;
            assert!(matches!(refused, Err(Undone::NoThread(_))), "{refused:?}");
        }
        // It tries again: threads may be available by then.
        pool.starves.store(false, Ordering::SeqCst);
        assert_eq!(pool.run(LONG, |_| 7).await.unwrap(), 7);
    }
}
