//! What stands around every page.

use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::{login, printed::Printed, wording};
use crate::server::{
    http::problem::Problem,
    state::{app::App, pool::Undone},
};

/// A page.
pub(super) struct Page {
    pub(super) title: String,
    /// Where its script hears of changes; `None` for a page that stays as it is.
    pub(super) watch: Option<String>,
    /// Where its script asks for it again; `None`: where it is.
    pub(super) address: Option<String>,
    pub(super) content: Markup,
}

impl Page {
    /// Writes it down.
    pub(super) fn answer(self, app: &App) -> Response {
        let page = self.markup(app);
        (super::headers(), page).into_response()
    }

    /// The same for everybody who asks for it. When it was written is no part of what it says.
    pub(super) fn print(self, app: &App) -> Printed {
        let page = self.markup(app);
        let watch = self.watch.as_deref().unwrap_or_default();
        let essence = [&*self.title, watch, &self.content.0];
        Printed::of(page.into_string(), &essence)
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
                    a.skip href="#content" { "To the content" }
                    header.top {
                        a.brand href="/" { (mark()) "openseat" }
                        @if self.watch.is_some() { (liveness(app)) }
                        @if may_log_out {
                            form method="post" action=(login::EXIT) { button.quiet type="submit" { "Log out" } }
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

/// A page that says why there is none now.
pub(super) fn sorry(app: &App, undone: Undone) -> Response {
    let problem = Problem::from(undone);
    let status = problem.status();
    let page = Page {
        title: "Busy – openseat".to_owned(),
        watch: None,
        address: None,
        content: html! {
            section.headline {
                h1 { "This page could not be made now" }
                p { (wording::capital(problem.detail())) ". Decisions are answered all the same." }
                p { a href="" { "Try again" } }
            }
        },
    };
    (status, problem.headers(), page.answer(app)).into_response()
}

/// How far to trust that the page shows the present. Its script changes the words; without one they stay true.
fn liveness(app: &App) -> Markup {
    let now = app.clock.now();
    html! {
        p.live role="status" {
            span.dot aria-hidden="true" {}
            span.words { "As of " (wording::time(now)) }
            noscript { " – reload to see the present" }
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
