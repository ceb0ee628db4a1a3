//! Makes pages on a thread of its own, once for each change and for everybody who looks.
//!
//! A page of three hundred queues takes as long to write as thousands of decisions, so it is not written where decisions are answered. Whoever asks
//! for a page gets the one that is there if nothing has changed since it was begun; else one is made, and all who wait get it. What time alone changes, such
//! as the use of the budget, is at most a second old. After a page the thread rests, so that a page that changes all the time takes a part of a core and not
//! all of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as Turn, time::Instant};

use super::{
    super::{
        app::App,
        pool::{Pool, Undone},
    },
    layout::Page,
    past::Period,
    printed::Printed,
};
use crate::{board::QueueKey, clock::Moment};

/// One: a second one would take the last core from those who decide.
const THREADS: usize = 1;

/// Pages that wait to be made. Only different ones do; everybody else waits for one of those.
const LINE: usize = 16;

/// The longest wait for a page: far more than it takes to make some dozens.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What changes with time alone is shown as late as this.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// So many times as long as a page took, the next one waits: then pages take a quarter of a core at most.
const REST: u32 = 3;

/// The longest rest: nobody waits much longer for what has changed.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Pages that are kept. More people than that look at different pages seldom, and a page that is gone is made again.
const KEPT: usize = 64;

/// A page that is the same for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Which {
    Overview,
    Queue(QueueKey, Period),
}

/// Writes a page.
pub(super) type Write = Box<dyn FnOnce() -> Page + Send>;

/// See the [module](self).
#[derive(Debug)]
pub(in crate::server) struct Press {
    /// Apps that follow each other share it.
    pool: Arc<Pool>,
    sheets: Mutex<HashMap<Which, Arc<Sheet>>>,
}

/// A page, or the turn to make it.
type Sheet = Turn<Option<Made>>;

#[derive(Debug)]
struct Made {
    printed: Arc<Printed>,
    /// What it shows: read before it was begun.
    edition: u64,
    at: Moment,
    begun: Instant,
    /// When the next one may be begun.
    rested: Instant,
}

impl Press {
    pub(in crate::server) fn new() -> Self {
        Self {
            pool: Arc::new(Pool::new("pages", THREADS, LINE)),
            sheets: Mutex::default(),
        }
    }

    /// For an app that takes another's place: the same thread, and none of its pages.
    pub(in crate::server) fn successor(&self) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
            sheets: Mutex::default(),
        }
    }

    fn sheet(&self, which: Which) -> Arc<Sheet> {
        let mut sheets = self.sheets.lock().unwrap_or_else(PoisonError::into_inner);
        if sheets.len() >= KEPT && !sheets.contains_key(&which) {
            // Those that somebody waits for stay.
            sheets.retain(|_, sheet| Arc::strong_count(sheet) > 1);
        }
        Arc::clone(sheets.entry(which).or_default())
    }
}

/// A page for everybody. `prepare` reads what has to be waited for; it is asked only where the page has to be made.
///
/// # Errors
/// Too many pages are asked for, or there is no thread to make them on.
pub(super) async fn shared(
    app: &Arc<App>,
    which: Which,
    prepare: impl Future<Output = Result<Write, Undone>>,
) -> Result<Arc<Printed>, Undone> {
    let asked = Instant::now();
    let sheet = app.press.sheet(which.clone());
    let mut made = tokio::time::timeout(LONGEST_WAIT, sheet.lock())
        .await
        .map_err(|_| Undone::Late(LONGEST_WAIT))?;
    if let Some(last) = &*made {
        let is_same = last.edition == edition(app, &which)
            && app.clock.now().longest_since(last.at) < GOOD_FOR;
        // One that was begun after it was asked for shows all that had happened by then.
        if is_same || last.begun > asked {
            return Ok(Arc::clone(&last.printed));
        }
        tokio::time::sleep_until(last.rested).await;
    }
    let (begun, at) = (Instant::now(), app.clock.now());
    let edition = edition(app, &which);
    let (printed, took) = print(app, prepare.await?).await?;
    *made = Some(Made {
        printed: Arc::clone(&printed),
        edition,
        at,
        begun,
        rested: Instant::now() + (took * REST).min(LONGEST_REST),
    });
    Ok(printed)
}

/// A page for one person.
///
/// # Errors
/// As of [`shared`].
pub(super) async fn single(app: &Arc<App>, write: Write) -> Result<Arc<Printed>, Undone> {
    Ok(print(app, write).await?.0)
}

/// Makes a page on the press; says how long that took there.
async fn print(app: &Arc<App>, write: Write) -> Result<(Arc<Printed>, Duration), Undone> {
    let to_print = Arc::clone(app);
    let work = move |_gone| {
        let begun = to_print.clock.boot();
        let printed = Arc::new(write().print(&to_print));
        (printed, to_print.clock.boot().saturating_sub(begun))
    };
    app.press.pool.run(LONGEST_WAIT, work).await
}

/// Counts what a page shows: a page of the same edition differs at most by what time alone changes. Each part only ever grows, so the sum does.
fn edition(app: &App, which: &Which) -> u64 {
    let states = app.queues().iter().filter(|queue| match which {
        Which::Overview => true,
        Which::Queue(key, _) => queue.key == *key,
    });
    let states: u64 = states.map(|queue| queue.edition.number()).sum();
    // What the script was told of: time and reservations change decisions, too.
    states + app.watch.newest()
}
