//! The app of the newest config. It replaces the last one while connections stay open.
//!
//! A request is answered by the app that was current when it arrived. The counts of connections and streams are handed on, so their limits hold
//! across any number of configs.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use axum::Router;

use super::router::{control_router, router};
use crate::server::{dashboard::Pages, net::listen::Via, state::app::App};

/// An app with its routers.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) app: Arc<App>,
    pub(in crate::server) pages: Arc<Pages>,
    router: Router,
    /// The same router, with the routes that only `control.sock` answers.
    control: Router,
}

impl Site {
    fn new(app: Arc<App>, pages: Pages) -> Arc<Self> {
        let pages = Arc::new(pages);
        let router = router(Arc::clone(&app), Arc::clone(&pages));
        Arc::new(Self {
            control: router.clone().merge(control_router(&app)),
            router,
            pages,
            app,
        })
    }

    /// The router for clients that arrived this way.
    pub(crate) fn router(&self, via: Via) -> &Router {
        match via {
            Via::Control => &self.control,
            Via::Tcp | Via::Unix => &self.router,
        }
    }
}

/// See the [module](self). Reading it takes no lock.
#[derive(Debug)]
pub struct Current(ArcSwap<Site>);

impl Current {
    /// Starts with this app.
    pub fn new(app: Arc<App>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(Site::new(app, Pages::new()))))
    }

    /// The newest app.
    pub fn app(&self) -> Arc<App> {
        Arc::clone(&self.0.load().app)
    }

    /// Returns the newest app with its routes. Do not keep it.
    pub(crate) fn site(&self) -> Guard<Arc<Site>> {
        self.0.load()
    }

    /// Makes this the newest app, from the next request on. Streams of the last one end, and say so.
    pub fn replace(&self, app: Arc<App>) {
        let pages = self.0.load().pages.successor();
        let last = self.0.swap(Site::new(app, pages));
        last.app.retire();
    }
}
