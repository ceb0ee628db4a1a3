//! `/`: all queues at a glance, with problems first.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderMap;
use maud::{Markup, html};

use super::{
    accounts::{self, Account},
    calls,
    components::{self, Standing},
    first_steps::first_steps,
    history::{self, Sparklines},
    layout::{self, Page},
    pages::Pages,
    problems::{problem_list, problems},
    renderer::{self, BuildPage, PageKey},
    wording,
    zone::Zone,
};
use crate::{
    decision::Reason,
    server::{
        openapi::{DOCS_PATH, Line},
        state::{app::App, pool::Undone},
    },
};

/// `GET /`, for a browser.
pub(in crate::server) async fn get_overview(
    app: &Arc<App>,
    pages: &Pages,
    headers: &HeaderMap,
    requests: &'static [Line],
) -> Response {
    let zone = Zone::from_request(headers);
    let key = PageKey::Overview(zone.clone());
    let build = prepare(app, pages, requests, zone);
    match renderer::shared(app, &pages.renderer, key, build).await {
        Ok(page) => page.answer(headers, app.clock.now()),
        Err(undone) => layout::unavailable(app, undone),
    }
}

/// Reads what the page needs from the history.
async fn prepare(
    app: &Arc<App>,
    pages: &Pages,
    requests: &'static [Line],
    zone: Zone,
) -> Result<BuildPage, Undone> {
    let sparklines = match accounts::is_dense(app.queues().len()) {
        true => Arc::default(),
        false => history::sparklines(app, &pages.history).await,
    };
    let app = Arc::clone(app);
    Ok(Box::new(move || build(&app, &sparklines, requests, &zone)))
}

fn build(app: &App, sparklines: &Sparklines, requests: &[Line], zone: &Zone) -> Page {
    let queues = app.queues().iter().enumerate();
    let standing = |(place, queue)| Standing {
        place,
        ..Standing::new(app, queue, zone)
    };
    let standings: Vec<_> = queues.map(standing).collect();
    let (accounts, now) = (app.accounts.iter(), app.clock.now());
    let accounts: Vec<_> = accounts
        .map(|handle| Account::new(handle, &standings, now))
        .collect();
    let problems = problems(&accounts, &standings);
    let degraded = app.degraded();
    let is_well = problems.is_empty() && degraded.is_empty();
    // Parts that come and go are inside elements that stay, so that the script finds the parts below in the same place when it updates the page.
    let content = html! {
        (headline(&standings, is_well))
        div.place { (problem_list(&problems, &accounts, &degraded, zone)) }
        div.place { (first_steps(app, &standings)) }
        div.place { (accounts::tools(standings.len())) }
        (accounts::sections(&accounts, &standings, sparklines, zone))
        (calls::search())
        (endpoints(requests))
    };
    let accepting = count(&standings, |standing| standing.decision.accept);
    Page {
        title: format!("{accepting} of {} accept – openseat", standings.len()),
        watch: Some("/v1/watch".to_owned()),
        address: None,
        content,
    }
}

fn count(standings: &[Standing], is: impl Fn(&&Standing) -> bool) -> usize {
    standings.iter().filter(is).count()
}

/// The state of all queues in two sentences.
fn headline(standings: &[Standing], is_well: bool) -> Markup {
    let accepting = count(standings, |standing| standing.decision.accept);
    let verb = if accepting == 1 { "accepts" } else { "accept" };
    html! {
        section.headline {
            h1 aria-live="polite" { (accepting) " of " (wording::counted(standings.len(), "queue")) " " (verb) " calls" }
            p { (basis(standings)) (closed(standings)) @if !is_well { " Problems are listed below." } }
        }
    }
}

/// How many queues are closed while others are open.
fn closed(standings: &[Standing]) -> Markup {
    let closed = count(standings, |standing| standing.is_closed());
    html! {
        @if closed > 0 && closed < standings.len() {
            " " (wording::counted(closed, "queue")) (if closed == 1 { " is" } else { " are" }) " closed."
        }
    }
}

/// The data behind the answers.
fn basis(standings: &[Standing]) -> Markup {
    let is_known = |standing: &&Standing| standing.decision.reason.is_known();
    let unknown = standings.len() - count(standings, is_known);
    let lost = lost(standings);
    let first = |standing: &&Standing| standing.decision.reason == Reason::NeverPolled;
    let never_polled = count(standings, first);
    let closed = count(standings, |standing| standing.is_closed());
    let oldest = components::oldest(standings.iter().filter(is_known));
    html! {
        @match (oldest, unknown) {
            _ if standings.is_empty() => "No queue is configured.",
            _ if closed == standings.len() => "All queues are closed.",
            (None, unknown) if never_polled == unknown => "No poll has finished yet. The first answers are on their way.",
            (None, _) => { b { (lost) } }
            (Some(oldest), 0) => { "All answers are based on data " (oldest) "." }
            (Some(oldest), _) => { b { (lost) } " All other answers are based on data " (oldest) "." }
        }
    }
}

/// What happens to calls to queues whose seats are unknown: `16 queues unknown: calls to them are rejected.`
fn lost(standings: &[Standing]) -> String {
    let is_lost = |standing: &&Standing| !standing.decision.reason.is_known();
    let is_sent = |standing: &&Standing| is_lost(standing) && standing.decision.accept;
    let (lost, sent) = (count(standings, is_lost), count(standings, is_sent));
    let queues = wording::counted(lost, "queue");
    let them = if lost == 1 { "it" } else { "them" };
    match lost - sent {
        0 => format!("{queues} unknown: calls to {them} are sent anyway."),
        rejected if rejected == lost => format!("{queues} unknown: calls to {them} are rejected."),
        rejected => {
            format!(
                "{queues} unknown: calls to {rejected} of them are rejected, to {sent} sent anyway."
            )
        }
    }
}

/// The list of requests, for people who write programs.
fn endpoints(requests: &[Line]) -> Markup {
    html! {
        details.endpoints {
            summary { "For programs" }
            p { "See " a href=(DOCS_PATH) { "the reference" } " for details. " a href="/openapi.json" { "openapi.json" } " describes the API for tools." }
            div.wide tabindex="0" role="region" aria-label="Requests" {
                table {
                    thead { tr { th scope="col" { "Request" } th scope="col" { "Answer" } } }
                    tbody {
                        @for (request, answer) in requests {
                            tr { td { code { (request) } } td { (answer) } }
                        }
                    }
                }
            }
        }
    }
}
