//! `/calls`: why was this call rejected? Also the last calls of a queue, for its page.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use http::{HeaderMap, Uri};
use maud::{Markup, html};

use super::{components::answer_badge, layout::Page, paths, wording, zone::Zone};
use crate::{
    clock::Moment,
    decision::{Reason, board::QueueKey},
    model::quantity::Quantity,
    server::{
        http::{params::Params, problem::Problem},
        json::call::{CallAnswerJson, CallJson, CallSeatJson},
        state::app::App,
    },
    state::calls::{Answer, ELSEWHERE, Event, LISTED, What},
};

/// How many answers the page shows, the newest ones. `/v1/calls/{call_id}` has more.
const SHOWN: usize = 100;

/// The field of the form.
const CALL_ID: &str = "call_id";

/// What the form answers.
const QUESTION: &str = "Why was this call rejected?";

/// The form that asks for a call, as a section of another page.
pub(super) fn search() -> Markup {
    html! {
        section.search aria-labelledby="search" {
            h2 #search { (QUESTION) }
            (form(""))
        }
    }
}

fn form(call_id: &str) -> Markup {
    html! {
        form method="get" action=(paths::CALLS) role="search" {
            label for="call_id" { "The call’s id" }
            input #call_id name=(CALL_ID) autocomplete="off" spellcheck="false" required value=(call_id)
                placeholder="the call_id that the router sent";
            button type="submit" { "Search" }
        }
    }
}

/// `GET /calls?call_id=…`
pub(super) async fn get_calls_page(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let zone = Zone::from_request(&headers);
    let params = Params::named(uri.query(), &[CALL_ID])?;
    let call_id = params.one(CALL_ID)?.unwrap_or_default().trim();
    let found = match call_id {
        "" => Ok(Vec::new()),
        call_id => app.call_events(call_id).await,
    };
    let content = html! {
        nav.path aria-label="Where you are" { a href="/" { "All queues" } }
        section.search {
            h1 { (QUESTION) }
            (form(call_id))
        }
        @match &found {
            _ if call_id.is_empty() => {}
            Ok(events) => (answers(&CallJson::new(call_id, events, |_| true, app.clock.now()), call_id, app.clock.now(), &zone)),
            Err(problem) => p.wrong role="alert" { (wording::sentence(problem.detail())) },
        }
    };
    let page = Page {
        title: "A call – openseat".to_owned(),
        watch: None,
        address: None,
        content,
    };
    Ok(page.answer(&app))
}

fn answers(call: &CallJson<'_>, call_id: &str, now: Moment, zone: &Zone) -> Markup {
    let hidden = call.answers.len().saturating_sub(SHOWN);
    html! {
        section aria-labelledby="answers" {
            h2 #answers { "Answers about " bdi { (call_id) } ", in " (zone.label_at(now)) }
            @if call.answers.is_empty() {
                p.none {
                    "Nothing is recorded about this call. Answers are recorded if the router’s URL has " code { "call_id=" } " with the id of the call. They are kept "
                    "as long as the history."
                }
            } @else {
                @if hidden > 0 { p.none { "The newest " (SHOWN) " of them." } }
                div.wide tabindex="0" role="group" aria-label="Table of answers" {
                    table {
                        thead { tr {
                            th scope="col" { "When" } th scope="col" { "Queue" } th scope="col" { "Answer" } th scope="col" { "Why" }
                            th scope="col" { "Seats" } th scope="col" { "Age of the data" } th scope="col" { "Asked by" } th scope="col" { "Seat held" }
                            th scope="col" { "Tags" }
                        } }
                        tbody { @for answer in call.answers.iter().skip(hidden) { (row(answer, zone)) } }
                    }
                }
            }
        }
    }
}

fn row(answer: &CallAnswerJson<'_>, zone: &Zone) -> Markup {
    let key = QueueKey::new(answer.account, answer.queue);
    html! {
        tr {
            td.span { (zone.date(answer.at)) }
            td { a href=(paths::queue(&key)) { bdi { (answer.account) " / " (answer.queue) } } }
            td { (badge(answer.accept)) }
            td.why { (why(answer.reason)) }
            td { (seats(answer.count, answer.threshold)) }
            td.span { @match answer.age_ms { Some(ms) => (age(ms)), None => span.none { "unknown" } } }
            td { (client(answer.client)) }
            td { @match &answer.reservation { Some(seat) => (held(seat, zone)), None => "no" } }
            td { @for (name, value) in &answer.tags { span.tag { bdi { (name) "=" (value) } } " " } }
        }
    }
}

fn badge(accept: Option<bool>) -> Markup {
    answer_badge(accept, "listed")
}

/// The reason in words. A reason that only a newer openseat knows is shown as it is.
fn why(reason: &str) -> String {
    let known = Reason::ALL.iter().find(|known| known.as_str() == reason);
    match known {
        Some(known) => wording::why(*known).to_owned(),
        None if reason == LISTED => "agents were listed, and the router decided".to_owned(),
        None => reason.to_owned(),
    }
}

fn seats(count: Option<Quantity>, threshold: Option<Quantity>) -> Markup {
    html! {
        @match count { Some(count) => (count), None => span.none { "unknown" } }
        @if let Some(threshold) = threshold { ", threshold " (threshold) }
    }
}

fn age(ms: u64) -> String {
    wording::period(std::time::Duration::from_millis(ms))
}

fn client(client: Option<&str>) -> Markup {
    html! { @match client { Some(client) => bdi { (client) }, None => span.none { "no configured client" } } }
}

fn held(seat: &CallSeatJson<'_>, zone: &Zone) -> Markup {
    let end = match seat.ended {
        Some("answered") => "until an agent took a call",
        Some("released") => "until the router released it",
        Some("expired") => "until its time was up",
        Some(ELSEWHERE) => "until it ended on another node of the cluster",
        _ => "held until",
    };
    html! { (end) ": " (zone.date(seat.ended_at.unwrap_or(seat.expires_at))) }
}

/// The last calls of a queue.
pub(super) fn last(app: &App, key: &QueueKey, zone: &Zone) -> Markup {
    let events = app.last_calls(key);
    html! {
        section aria-labelledby="calls" {
            h2 #calls { "The last calls, in " (zone.label_at(app.clock.now())) }
            @if events.is_empty() {
                p.none { "No router has named a call yet. Add " code { "call_id=" } " with the id of the call to the router’s URL to record each answer." }
            } @else {
                div.wide.tall tabindex="0" role="group" aria-label="Table of calls" {
                    table {
                        thead { tr {
                            th scope="col" { "When" } th scope="col" { "Call" } th scope="col" { "Answer" } th scope="col" { "Seats" } th scope="col" { "Why" }
                            th scope="col" { "Asked by" }
                        } }
                        tbody { @for event in &events { @if let What::Answered(answer) = &event.what { (last_row(event, answer, zone)) } } }
                    }
                }
            }
        }
    }
}

fn last_row(event: &Event, answer: &Answer, zone: &Zone) -> Markup {
    html! {
        tr {
            td.span { (zone.date(event.at_ms)) }
            td { a href=(paths::call(&event.call_id)) { bdi { (event.call_id) } } @if answer.seat.is_some() { " (seat held)" } }
            td { (badge(answer.accept)) }
            td { @match answer.count { Some(count) => (count), None => span.none { "unknown" } } }
            td.why { (why(&answer.reason)) }
            td { (client(answer.client.as_deref())) }
        }
    }
}
