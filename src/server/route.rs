//! One row of the table of routes: method, path, rule and handler.
//!
//! The table is [`routes::table`](super::routes::table). [Access](super::serve::access) enforces the rule of each row.

use std::{borrow::Cow, sync::Arc};

use axum::{
    handler::Handler,
    routing::{MethodRouter, delete, get, post},
};
use http::Method;

use super::{
    http::rule::{Guard, Need, Rule},
    state::app::App,
};

/// A row of the table.
#[derive(Clone)]
pub(super) struct Route {
    pub method: Method,
    pub path: Cow<'static, str>,
    pub rule: Rule,
    pub handler: MethodRouter<Arc<App>>,
}

impl Route {
    /// A `GET` route, which answers `HEAD` too.
    pub(super) fn get<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Method::GET, path.into(), get(handler))
    }

    /// A `POST` route.
    pub(super) fn post<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Method::POST, path.into(), post(handler))
    }

    /// A `DELETE` route.
    pub(super) fn delete<T: 'static>(
        path: impl Into<Cow<'static, str>>,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new(Method::DELETE, path.into(), delete(handler))
    }

    /// Creates a route that requires the bearer token, unless [`guarded`](Self::guarded) says otherwise.
    fn new(method: Method, path: Cow<'static, str>, handler: MethodRouter<Arc<App>>) -> Self {
        let need = match method.is_safe() {
            true => Need::Read,
            false => Need::Operate,
        };
        let rule = Rule {
            need,
            names_queues: path.contains("{queue}"),
            ..Rule::NO_ROUTE
        };
        Self {
            method,
            path,
            rule,
            handler,
        }
    }

    /// Sets the right that a configured client needs. The handler checks the queues that the request names.
    pub(super) fn needing(mut self, need: Need) -> Self {
        self.rule.need = need;
        self.rule.names_queues = true;
        self
    }

    /// Sets what callers must show.
    pub(super) fn guarded(mut self, guard: Guard) -> Self {
        self.rule.guard = guard;
        self
    }

    /// Lets the handler read a body of up to `max_body` bytes.
    pub(super) fn reading(mut self, max_body: usize) -> Self {
        self.rule.max_body = max_body;
        self
    }

    /// Accepts a body of any length and ignores it.
    pub(super) fn ignoring_body(mut self) -> Self {
        self.rule.ignores_body = true;
        self
    }

    /// Allows links from other sites.
    pub(super) fn linked(mut self) -> Self {
        self.rule.linked = true;
        self
    }
}
