//! Renders pages on a separate thread, once per change and for all viewers.
//!
//! Rendering a page of three hundred queues takes as long as thousands of decisions, so the threads that answer decisions do not do it. A viewer
//! gets the last rendered page if nothing has changed since its rendering began. Otherwise the page is rendered again, and all waiting viewers get
//! it. Values that change with time alone, such as the use of the budget, are at most a second old. The thread rests after each page, so that pages
//! that change all the time use only part of a core.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use super::{layout::Page, period::Period, rendered::RenderedPage, zone::Zone};
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
const MAX_WAITING: usize = 16;

/// The longest wait for a page: enough to render dozens.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How long a page is reused while only time has passed.
const REUSE: Duration = Duration::from_secs(1);

/// The rest after a page, in multiples of the time that it took: pages take a quarter of a core at most.
const REST: u32 = 3;

/// The longest rest. A change is never shown much later than this.
const MAX_REST: Duration = Duration::from_secs(1);

/// How many pages are kept. Few sites have viewers of more pages at once; a dropped page is rendered again.
const MAX_PAGES: usize = 64;

/// Identifies a page that is the same for all viewers in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PageKey {
    Overview(Zone),
    Queue(QueueKey, Period, Zone),
}

/// Builds a page from what has been read for it.
pub(super) type BuildPage = Box<dyn FnOnce() -> Page + Send>;

/// The rendering thread and the last rendered pages. See the [module](self).
#[derive(Debug)]
pub(in crate::server) struct Renderer {
    /// Shared with the apps before and after this one.
    pool: Arc<Pool>,
    slots: Mutex<HashMap<PageKey, Arc<Slot>>>,
}

/// The last rendering of a page. The holder of the lock renders it.
type Slot = AsyncMutex<Option<Last>>;

#[derive(Debug)]
struct Last {
    page: Arc<RenderedPage>,
    /// The version it shows, which was read before rendering began.
    version: u64,
    at: Moment,
    begun: Instant,
    /// When the next rendering may begin.
    next: Instant,
}

impl Renderer {
    pub(in crate::server) fn new() -> Self {
        Self {
            pool: Arc::new(Pool::new("pages", THREADS, MAX_WAITING)),
            slots: Mutex::default(),
        }
    }

    /// For the app that replaces this one: the same thread, and none of the pages.
    pub(in crate::server) fn successor(&self) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
            slots: Mutex::default(),
        }
    }

    fn slot(&self, key: PageKey) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_PAGES && !slots.contains_key(&key) {
            // Requests wait for the others.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

/// A page for all viewers. `prepare` reads what the page needs; it runs only if the page has to be rendered.
///
/// # Errors
/// Too many pages are requested, or there is no thread to render them.
pub(super) async fn shared(
    app: &Arc<App>,
    renderer: &Renderer,
    key: PageKey,
    prepare: impl Future<Output = Result<BuildPage, Undone>>,
) -> Result<Arc<RenderedPage>, Undone> {
    let requested = Instant::now();
    let slot = renderer.slot(key.clone());
    let mut slot = tokio::time::timeout(MAX_WAIT, slot.lock())
        .await
        .map_err(|_| Undone::Late(MAX_WAIT))?;
    if let Some(last) = &*slot {
        let is_same =
            last.version == version(app, &key) && app.clock.now().longest_since(last.at) < REUSE;
        // If its rendering began after this request came, it shows everything that had happened by then.
        if is_same || last.begun > requested {
            return Ok(Arc::clone(&last.page));
        }
        tokio::time::sleep_until(last.next).await;
    }
    let (begun, at) = (Instant::now(), app.clock.now());
    let version = version(app, &key);
    let (page, took) = render(app, renderer, prepare.await?).await?;
    *slot = Some(Last {
        page: Arc::clone(&page),
        version,
        at,
        begun,
        next: Instant::now() + (took * REST).min(MAX_REST),
    });
    Ok(page)
}

/// A page for one viewer.
///
/// # Errors
/// The same as of [`shared`].
pub(super) async fn single(
    app: &Arc<App>,
    renderer: &Renderer,
    build: BuildPage,
) -> Result<Arc<RenderedPage>, Undone> {
    Ok(render(app, renderer, build).await?.0)
}

/// Renders a page on the renderer's thread, and returns how long that took.
async fn render(
    app: &Arc<App>,
    renderer: &Renderer,
    build: BuildPage,
) -> Result<(Arc<RenderedPage>, Duration), Undone> {
    let app = Arc::clone(app);
    let work = move |_gone| {
        let begun = app.clock.boot();
        let page = Arc::new(build().render(&app));
        (page, app.clock.boot().saturating_sub(begun))
    };
    renderer.pool.run(MAX_WAIT, work).await
}

/// A number that grows with each change of what a page shows. Pages of the same version differ at most in what changes with time alone.
fn version(app: &App, key: &PageKey) -> u64 {
    let states = app.queues().iter().filter(|queue| match key {
        PageKey::Overview(_) => true,
        PageKey::Queue(one, ..) => queue.key == *one,
    });
    let states: u64 = states.map(|queue| queue.version.number()).sum();
    // Time and reservations change decisions, too. The log of decisions counts those changes.
    states + app.watch.newest()
}
