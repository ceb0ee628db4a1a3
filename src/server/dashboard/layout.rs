//! What stands around every page.

use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::{super::app::App, login, words};

/// A page.
pub(super) struct Page {
    pub(super) title: String,
    /// Where its script hears of changes; `None` for a page that stays as it is.
    pub(super) watch: Option<String>,
    pub(super) content: Markup,
}

impl Page {
    /// Writes it down.
    pub(super) fn answer(self, app: &App) -> Response {
        let may_log_out = app.bearer.is_some() && self.watch.is_some();
        let page = html! {
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
                    main #content tabindex="-1" data-watch=[self.watch] { (self.content) }
                    footer.bottom {
                        p { "openseat " (env!("CARGO_PKG_VERSION")) }
                    }
                }
            }
        };
        (super::headers(), page).into_response()
    }
}

/// How far to trust that the page shows the present. Its script changes the words; without one they stay true.
fn liveness(app: &App) -> Markup {
    let now = app.clock.now();
    html! {
        p.live role="status" {
            span.dot aria-hidden="true" {}
            span.words { "As of " (words::time(now)) }
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
