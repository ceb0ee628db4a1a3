//! Renders pages on a thread of its own, once for each change and for all viewers.
//!
//! Rendering a page of three hundred queues takes as long as thousands of decisions, so the threads that answer decisions do not do it. A viewer gets
//! the last rendered page if nothing has changed since its rendering began. Otherwise the page is rendered again, and everybody who waits gets it. What
//! changes with time alone, such as the use of the budget, is at most a second old. The thread rests after each page, so that pages that change all the
//! time take only part of a core.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as Turn, time::Instant};

use super::{history::Period, layout::Page, printed::Printed};
use crate::{
    clock::Moment,
    decision::board::QueueKey,
    server::state::{
        app::App,
        pool::{Pool, Undone},
    },
};

/// One: on a machine with two cores, a second one would compete with the thread that answers decisions.
const THREADS: usize = 1;

/// How many pages may wait to be rendered. They all differ: viewers of the same page share one.
const LINE: usize = 16;

/// The longest wait for a page: enough to render dozens.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How late a page may show what changes with time alone.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The rest after a page, in multiples of the time that it took: pages take a quarter of a core at most.
const REST: u32 = 3;

/// The longest rest. A change is never shown much later than this.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How many pages are kept. Few sites have more viewers of different pages; a dropped page is rendered again.
const KEPT: usize = 64;

/// A page that is the same for all viewers.
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

/// A page. Who holds the lock renders it.
type Sheet = Turn<Option<Made>>;

#[derive(Debug)]
struct Made {
    printed: Arc<Printed>,
    /// The edition it shows, read before rendering began.
    edition: u64,
    at: Moment,
    begun: Instant,
    /// When the next rendering may begin.
    rested: Instant,
}

impl Press {
    pub(in crate::server) fn new() -> Self {
        Self {
            pool: Arc::new(Pool::new("pages", THREADS, LINE)),
            sheets: Mutex::default(),
        }
    }

    /// For the app that replaces this one: the same thread, and none of the pages.
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

/// A page for all viewers. `prepare` reads what rendering has to wait for; it runs only if the page has to be rendered.
///
/// # Errors
/// Too many pages are requested, or there is no thread to render them.
pub(super) async fn shared(
    app: &Arc<App>,
    press: &Press,
    which: Which,
    prepare: impl Future<Output = Result<Write, Undone>>,
) -> Result<Arc<Printed>, Undone> {
    let asked = Instant::now();
    let sheet = press.sheet(which.clone());
    let mut made = tokio::time::timeout(LONGEST_WAIT, sheet.lock())
        .await
        .map_err(|_| Undone::Late(LONGEST_WAIT))?;
    if let Some(last) = &*made {
        let is_same = last.edition == edition(app, &which)
            && app.clock.now().longest_since(last.at) < GOOD_FOR;
        // Its rendering began after this request came, so it shows everything that had happened by then.
        if is_same || last.begun > asked {
            return Ok(Arc::clone(&last.printed));
        }
        tokio::time::sleep_until(last.rested).await;
    }
    let (begun, at) = (Instant::now(), app.clock.now());
    let edition = edition(app, &which);
    let (printed, took) = print(app, press, prepare.await?).await?;
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
pub(super) async fn single(
    app: &Arc<App>,
    press: &Press,
    write: Write,
) -> Result<Arc<Printed>, Undone> {
    Ok(print(app, press, write).await?.0)
}

/// Renders a page on the press's thread, and says how long that took.
async fn print(
    app: &Arc<App>,
    press: &Press,
    write: Write,
) -> Result<(Arc<Printed>, Duration), Undone> {
    let to_print = Arc::clone(app);
    let work = move |_gone| {
        let begun = to_print.clock.boot();
        let printed = Arc::new(write().print(&to_print));
        (printed, to_print.clock.boot().saturating_sub(begun))
    };
    press.pool.run(LONGEST_WAIT, work).await
}

/// A number that grows with each change of what a page shows. Pages of the same edition differ at most in what time alone changes.
fn edition(app: &App, which: &Which) -> u64 {
    let states = app.queues().iter().filter(|queue| match which {
        Which::Overview => true,
        Which::Queue(key, _) => queue.key == *key,
    });
    let states: u64 = states.map(|queue| queue.version.number()).sum();
    // Time and reservations change decisions, too; the log of changes counts those.
    states + app.watch.newest()
}
