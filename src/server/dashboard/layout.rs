//! The frame of every page: head, header and footer.

use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::{
    paths,
    rendered::{PAGE_HEADERS, RenderedPage},
    wording,
    zone::Zone,
};
use crate::server::{
    http::problem::Problem,
    state::{app::App, pool::Undone},
};

/// A page.
pub(super) struct Page {
    pub(super) title: String,
    /// The address of the stream that tells the page's script about changes; `None` for a page that does not change.
    pub(super) watch: Option<String>,
    /// The address from which the script reloads the page; `None` for its own address.
    pub(super) address: Option<String>,
    pub(super) content: Markup,
}

impl Page {
    /// Answers a request with the page.
    pub(super) fn answer(self, app: &App) -> Response {
        let page = self.markup(app);
        (PAGE_HEADERS, page).into_response()
    }

    /// Renders the page for all viewers. The tag ignores the time of rendering, so that a page with the same content keeps its tag.
    pub(super) fn render(self, app: &App) -> RenderedPage {
        let page = self.markup(app);
        let watch = self.watch.as_deref().unwrap_or_default();
        let essence = [&*self.title, watch, &self.content.0];
        RenderedPage::new(page.into_string(), &essence)
    }

    fn markup(&self, app: &App) -> Markup {
        let may_log_out = app.bearer.is_some() && self.watch.is_some();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    link rel="icon" href="/assets/openseat.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/assets/openseat.css";
                    script src="/assets/openseat.js" defer {}
                }
                body {
                    a.skip href="#content" { "Skip to content" }
                    header.top {
                        a.brand href="/" { (mark()) "openseat" }
                        @if self.watch.is_some() { (liveness(app)) }
                        @if may_log_out {
                            form method="post" action=(paths::LOGOUT) { button.quiet type="submit" { "Log out" } }
                        }
                    }
                    main #content tabindex="-1" data-watch=[&self.watch] data-page=[&self.address] { (self.content) }
                    footer.bottom {
                        p { "openseat " (env!("CARGO_PKG_VERSION")) }
                    }
                }
            }
        }
    }
}

/// The page that says why another page cannot be shown.
pub(super) fn unavailable(app: &App, undone: Undone) -> Response {
    let problem = Problem::from(undone);
    let status = problem.status();
    let page = Page {
        title: "Busy – openseat".to_owned(),
        watch: None,
        address: None,
        content: html! {
            section.headline {
                h1 { "This page cannot be shown now" }
                p { (wording::capital(problem.detail())) ". Decisions are not affected." }
                p { a href="" { "Try again" } }
            }
        },
    };
    (status, problem.headers(), page.answer(app)).into_response()
}

/// Says whether the page is live. The script updates the text; without a script it stays true.
fn liveness(app: &App) -> Markup {
    let now = app.clock.now();
    html! {
        p.live role="status" {
            span.dot aria-hidden="true" {}
            span.words { "As of " (Zone::utc().time(now)) }
            noscript { " – reload for the latest data" }
        }
    }
}

/// A chair, seen from the side: an open seat.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" {
            path d="M7 3v10h10M7 13v8M17 13v8" {}
        }
    }
}
