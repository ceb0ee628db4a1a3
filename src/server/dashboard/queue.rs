//! `/queues/{account}/{queue}`: one queue, with its people.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri};
use maud::{Markup, html};

use super::{
    components::{self, Standing},
    form::{self, Form},
    history::{Look, Period},
    history_section::{self, Course, Tried},
    layout::{self, Page},
    pages::Pages,
    press::{self, Which, Write},
    printed::Printed,
    what_if::{self, Rule},
};
use crate::{
    model::agent::Agent,
    server::{
        http::{params::Params, problem::Problem},
        state::{
            app::{App, Queue},
            named_queue::NamedQueue,
            pool::Undone,
        },
    },
};

/// Where the pages of queues are.
pub(super) const PATH: &str = "/queues/";

/// `GET /queues/{queue}`, `GET /queues/{account}/{queue}`
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Extension(pages): Extension<Arc<Pages>>,
    queue: Result<NamedQueue, Problem>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Ok(NamedQueue(queue)) = queue else {
        return Ok((StatusCode::NOT_FOUND, no_such_queue(&app)).into_response());
    };
    let known: Vec<_> = ["range"].into_iter().chain(form::FIELDS).collect();
    let params = Params::named(uri.query(), &known)?;
    let period = history_section::period(&params)?.unwrap_or(Period::Hour);
    let form = Arc::new(Form::parse(&params)?);
    let printed = if form.is_empty() {
        let which = Which::Queue(queue.key.clone(), period);
        let write = written(&app, &pages, &queue, period, form);
        press::shared(&app, &pages.press, which, write).await
    } else {
        tried(&app, &pages, &queue, period, form).await
    };
    Ok(match printed {
        Ok(printed) => printed.answer(&headers, app.clock.now()),
        Err(undone) => layout::sorry(&app, undone),
    })
}

/// The page with what another rule would have answered. It is made for one person and stays as it is.
async fn tried(
    app: &Arc<App>,
    pages: &Pages,
    queue: &Arc<Queue>,
    period: Period,
    form: Arc<Form>,
) -> Result<Arc<Printed>, Undone> {
    let turn = pages.past.turn().await?;
    let write = written(app, pages, queue, period, form).await?;
    drop(turn);
    press::single(app, &pages.press, write).await
}

/// Reads what the page needs of the history.
async fn written(
    app: &Arc<App>,
    pages: &Pages,
    queue: &Arc<Queue>,
    period: Period,
    form: Arc<Form>,
) -> Result<Write, Undone> {
    let before = Standing::of(app, queue);
    let past =
        history_section::course(app, &pages.past, &before, period, Arc::clone(&form)).await?;
    let (app, queue) = (Arc::clone(app), Arc::clone(queue));
    // What is shown of the present is no older than the reading of the past.
    Ok(Box::new(move || {
        let standing = Standing::of(&app, &queue);
        write(&app, &standing, period, &form, &past)
    }))
}

fn write(app: &App, standing: &Standing, period: Period, form: &Form, past: &Look<Course>) -> Page {
    let key = &standing.queue.key;
    let address = components::address(key);
    let watch = url::form_urlencoded::Serializer::new("/v1/watch?".to_owned())
        .append_pair("queue", &key.to_string())
        .finish();
    let name = standing.state.name.as_deref().unwrap_or(&key.queue);
    Page {
        title: format!("{name} – openseat"),
        watch: Some(watch),
        content: html! {
            (present(standing))
            (history_section::charts(past, standing, period, &address))
            (history_section::changes(app, past, standing))
            (try_others(standing, period, form, past, &address))
            (people(standing))
        },
        address: Some(format!("{address}?range={}", period.word())),
    }
}

/// The form for another rule, and what came of it. The script leaves alone what somebody asked for.
fn try_others(
    standing: &Standing,
    period: Period,
    form: &Form,
    past: &Look<Course>,
    address: &str,
) -> Markup {
    let rule = Rule::of(standing);
    html! {
        section aria-labelledby="what-if" data-keep[!form.is_empty()] {
            h2 #what-if { "What another rule would have answered" }
            @if let Look::Seen(course) = past {
                p.none {
                    "A threshold is tried on the seats recorded in the last " (period.name()) ". Other criteria are tried on the agents’ rows, of which one "
                    "reading in five minutes is kept for a day. Reservations and ages are ignored."
                }
                (form::form(form, address, period, rule))
                @match &course.tried {
                    None => {}
                    Some(Tried::Refused(why)) => p.wrong role="alert" { (why) },
                    Some(Tried::Stopped(why)) => p.wrong role="alert" {
                        "There is no result: " (why.to_string()) ". Choose a shorter time above, or a simpler field."
                    },
                    Some(Tried::Answered(wish, answers)) => {
                        (what_if::outcome(wish, rule, period, course.window(), answers))
                    }
                }
            } @else { p.none { "There is no recorded data to try it on." } }
        }
    }
}

fn no_such_queue(app: &App) -> Response {
    Page {
        title: "No such queue – openseat".to_owned(),
        watch: None,
        address: None,
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
            h1 #name { (components::name(standing)) @if let Some(id) = standing.state.id { " " span.id { (id) } } }
            p.seats { (components::seats(standing)) }
            p.decision { (components::decision(standing)) }
            p.aging { (components::age(standing)) }
            div.agents.old[!standing.decision.is_fresh] { (components::agents(standing)) }
        }
        // Always there, so that what comes after it keeps its place while the script renews the page.
        div.place {
            @if let Some((what, advice)) = standing.trouble() {
                section.troubles aria-labelledby="troubles" {
                    h2 #troubles { "Problems" }
                    ul { li.trouble { h3 { (what) } p { b { "To do: " } (components::marked(&advice)) } } }
                }
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
            @if snapshot.is_none() { p.none { "Unknown: no poll of this queue has succeeded yet." } }
            @else if agents.is_empty() { p.none { "No agents are assigned to this queue." } }
            @else {
                div.wide tabindex="0" role="group" aria-label="Table of agents" {
                    table.people {
                        thead { tr {
                            th scope="col" { "Agent" } th scope="col" { "Status" } th scope="col" { "Since" }
                            th scope="col" { "Logged in here" } th scope="col" { "Would take a call" }
                        } }
                        tbody { @for agent in agents { (row(agent)) } }
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

fn row(agent: &Agent) -> Markup {
    html! {
        tr {
            th scope="row" {
                @if agent.name.is_empty() { span.none { "agent " bdi { (agent.id) } } } @else { bdi { (agent.name) } }
            }
            td { @match agent.status.as_deref() { Some(status) => bdi { (status) }, None => span.none { "none" } } }
            td.span { @match agent.status_since { Some(since) => (components::since(since)), None => span.none { "unknown" } } }
            td { (if agent.queue_logged_in { "yes" } else { "no" }) }
            td { @match takes_calls(agent) {
                true => span.badge.accept { span aria-hidden="true" { "✓" } " yes" },
                false => "no",
            } }
        }
    }
}
