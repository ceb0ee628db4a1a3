//! `/queues/{account}/{queue}`: one queue, with its people.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri};
use maud::{Markup, html};

use super::{
    super::{
        app::App,
        params::{Asked, Params},
        problem::Problem,
    },
    course,
    form::{self, Form},
    layout::Page,
    parts::{self, Palette, Standing},
    past::{Look, Period},
    what_if::{self, Rule},
    words,
};
use crate::{calltools::Agent, clock::Moment};

/// Where the pages of queues are.
pub(super) const PATH: &str = "/queues/";

/// `GET /queues/{queue}`, `GET /queues/{account}/{queue}`
pub(super) async fn page(
    State(app): State<Arc<App>>,
    asked: Result<Asked, Problem>,
    uri: Uri,
) -> Result<Response, Problem> {
    let Ok(Asked(queue)) = asked else {
        return Ok((StatusCode::NOT_FOUND, no_such_queue(&app)).into_response());
    };
    let known: Vec<_> = ["range"].into_iter().chain(form::FIELDS).collect();
    let params = Params::named(uri.query(), &known)?;
    let period = course::period(&params)?.unwrap_or(Period::Hour);
    let form = Form::parse(&params)?;
    let standing = Standing::of(&app, &queue);
    let (wish, refused) = match form.wish(Rule::of(&standing)) {
        Ok(wish) => (wish.map(Arc::new), None),
        Err(why) => (None, Some(why)),
    };
    let past = course::course(&app, &standing, period, wish.clone()).await;
    let address = parts::address(&queue.key);
    let content = html! {
        (present(&standing))
        (course::charts(&past, &standing, period, &address))
        (course::changes(&app, &past, &standing))
        @if let Look::Seen(course) = &past {
            section aria-labelledby="what-if" {
                h2 #what-if { "What another rule would have answered" }
                p.none {
                    "Tried on what was recorded of the last " (period.name()) ". Other criteria are tried on the agents’ rows, which are kept for a day, one "
                    "reading in five minutes. Reservations and ages are left out."
                }
                (form::form(&form, &address, period, Rule::of(&standing)))
                @if let Some(why) = refused { p.wrong role="alert" { (why) } }
                @if let (Some(wish), Some([present, asked])) = (&wish, &course.answers) {
                    (what_if::outcome(wish, Rule::of(&standing), period, period.window(standing.now, period.seats()), [present, asked]))
                }
            }
        }
        (people(&standing))
    };
    let spelling = queue.key.to_string();
    let watch = url::form_urlencoded::Serializer::new("/v1/watch?".to_owned())
        .append_pair("queue", &spelling)
        .finish();
    let name = standing.state.name.as_deref().unwrap_or(&queue.key.queue);
    Ok(Page {
        title: format!("{name} – openseat"),
        watch: Some(watch),
        content,
    }
    .answer(&app))
}

fn no_such_queue(app: &App) -> Response {
    Page {
        title: "No such queue – openseat".to_owned(),
        watch: None,
        content: html! {
            section.headline {
                h1 { "There is no such queue" }
                p { "No queue of this name or id is configured, or several accounts have one. " a href="/" { "All queues" } }
            }
        },
    }
    .answer(app)
}

/// What is known now.
fn present(standing: &Standing) -> Markup {
    let key = &standing.queue.key;
    html! {
        nav.path aria-label="Where you are" { a href="/" { "All queues" } " / " bdi { (key.account) } }
        section.now aria-labelledby="name" {
            h1 #name { (parts::name(standing)) @if let Some(id) = standing.state.id { " " span.id { (id) } } }
            p.seats { (parts::seats(standing)) }
            p.decision { (parts::decision(standing)) }
            p.aging { (parts::age(standing)) }
            div.agents { (parts::agents(standing, &Palette::of(std::slice::from_ref(standing)))) }
        }
        @if let Some((what, advice)) = standing.trouble() {
            section.troubles aria-labelledby="troubles" {
                h2 #troubles { "What is wrong" }
                ul { li.trouble { h3 { (what) } p { b { "To do: " } (advice) "." } } }
            }
        }
    }
}

/// The agents, those who would take a call first.
fn people(standing: &Standing) -> Markup {
    let snapshot = standing.state.snapshot.as_deref();
    let mut agents: Vec<&Agent> = snapshot
        .map(|snapshot| snapshot.agents.iter().map(|agent| &**agent).collect())
        .unwrap_or_default();
    agents.sort_by_key(|agent| (!takes_calls(agent), !agent.queue_logged_in, &agent.name));
    html! {
        section aria-labelledby="agents" {
            h2 #agents { "Agents" }
            @if snapshot.is_none() { p.none { "Unknown: no poll of this queue has ended well yet." } }
            @else if agents.is_empty() { p.none { "No agents belong to this queue." } }
            @else {
                div.wide tabindex="0" role="group" aria-label="Table of agents" {
                    table.people {
                        thead { tr {
                            th scope="col" { "Agent" } th scope="col" { "Status" } th scope="col" { "Since" }
                            th scope="col" { "Logged in here" } th scope="col" { "Would take a call" }
                        } }
                        tbody { @for agent in agents { (row(agent, standing.now)) } }
                    }
                }
            }
        }
    }
}

/// As the built-in rule counts.
fn takes_calls(agent: &Agent) -> bool {
    agent.available == Some(true) && agent.queue_logged_in
}

fn row(agent: &Agent, now: Moment) -> Markup {
    let since = agent.status_since.map(|since| {
        let ms = now.timestamp().as_millisecond() - since.as_millisecond();
        std::time::Duration::from_millis(ms.max(0) as u64)
    });
    html! {
        tr {
            th scope="row" {
                @if agent.name.is_empty() { span.none { "agent " bdi { (agent.id) } } } @else { bdi { (agent.name) } }
            }
            td { @match agent.status.as_deref() { Some(status) => bdi { (status) }, None => span.none { "none" } } }
            td.span { @match since { Some(since) => (words::span(since)), None => span.none { "unknown" } } }
            td { (if agent.queue_logged_in { "yes" } else { "no" }) }
            td { @match takes_calls(agent) {
                true => span.badge.accept { span aria-hidden="true" { "✓" } " yes" },
                false => "no",
            } }
        }
    }
}
