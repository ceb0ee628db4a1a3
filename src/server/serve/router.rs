//! The router: the [table of routes](crate::server::routes::table) with [access] before every handler.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    handler::Handler,
    middleware::{Next, from_fn_with_state},
    response::Response,
};

use super::access;
use crate::server::{
    dashboard::Pages,
    http::rule::Rule,
    routes::{self, no_such_method, no_such_path},
    state::app::App,
};

/// Returns all routes. HEAD works wherever GET does; other methods get 405 with `Allow`.
pub fn router(app: Arc<App>, pages: Arc<Pages>) -> Router {
    let access = |rule| from_fn_with_state((Arc::clone(&app), rule), access::guard);
    let without_route = from_fn_with_state(Arc::clone(&app), guard_without_route);
    let mut router = Router::new();
    for route in routes::table() {
        let handler = route.handler.route_layer(access(route.rule));
        router = router.route(&route.path, handler);
    }
    router
        .fallback(no_such_path.layer(without_route.clone()))
        .method_not_allowed_fallback(no_such_method.layer(without_route))
        .layer(Extension(pages))
        .with_state(app)
}

async fn guard_without_route(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let rule = routes::rule_without_route(request.uri().path());
    access::guard(State((app, rule)), request, next).await
}

/// Returns the routes that only `control.sock` answers, behind the same checks.
pub fn control_router(app: &Arc<App>) -> Router {
    let routes = app.control.clone();
    // axum panics if a layer is added to an empty router.
    if !routes.has_routes() {
        return routes;
    }
    routes.route_layer(from_fn_with_state(
        (Arc::clone(app), Rule::NO_ROUTE),
        access::guard,
    ))
}
