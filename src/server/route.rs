//! One row of the table of routes: what is asked, what callers must show, how much is read, and who answers.
//!
//! The table is [`routes::table`](super::routes::table). Whatever a row says of callers, the [gate](super::serve::access) enforces; nothing else lets
//! a request in or turns it away, and nothing decides by a request's path.

use std::{borrow::Cow, sync::Arc};

use axum::{
    handler::Handler,
    routing::{MethodRouter, delete, get, post},
};
use http::Method;

use super::state::app::App;

/// What callers show to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing. What is here tells of no queue.
    Open,
    /// Nothing, as long as the query is empty; else the bearer token.
    Probe,
    /// The bearer token, where one is configured, or, to look, the session of a browser that has logged in.
    Bearer,
    /// The same, for pages: a browser that has not logged in is led to the form.
    Page,
    /// An account's CallTools token, as CallTools wants it. It says whose data is asked for, so `control.sock` needs it too.
    Token,
}

/// What holds for a route before its handler sees a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub guard: Guard,
    /// The longest body that its handler reads, in bytes; 0: it reads none.
    pub body: usize,
    /// Whether a link on another site's page may lead here. Only what spends nothing, counts as no question and holds nothing open.
    pub linked: bool,
}

impl Rule {
    /// For what has no route: only callers who may ask learn what there is.
    pub(super) const NOWHERE: Self = Self {
        guard: Guard::Bearer,
        body: 0,
        linked: false,
    };
}

/// A row of the table.
#[derive(Clone)]
pub(super) struct Route {
    pub method: Method,
    pub path: Cow<'static, str>,
    pub rule: Rule,
    pub handler: MethodRouter<Arc<App>>,
}

impl Route {
    /// `GET`, and with it `HEAD`.
    pub(super) fn get<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Method::GET, path.into(), get(handler))
    }

    /// `POST`
    pub(super) fn post<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Method::POST, path.into(), post(handler))
    }

    /// `DELETE`
    pub(super) fn delete<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Method::DELETE, path.into(), delete(handler))
    }

    /// Guarded by the bearer token until it is said otherwise.
    fn new(method: Method, path: Cow<'static, str>, handler: MethodRouter<Arc<App>>) -> Self {
        Self {
            method,
            path,
            rule: Rule::NOWHERE,
            handler,
        }
    }

    pub(super) fn guarded(mut self, guard: Guard) -> Self {
        self.rule.guard = guard;
        self
    }

    /// Its handler reads a body of up to so many bytes.
    pub(super) fn reading(mut self, longest: usize) -> Self {
        self.rule.body = longest;
        self
    }

    /// A link on another site's page may lead here.
    pub(super) fn linked(mut self) -> Self {
        self.rule.linked = true;
        self
    }
}
