//! `/queues/{account}/{queue}`: one queue with its agents.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri};
use maud::{Markup, html};

use super::{
    attendance, calls,
    components::{self, Standing},
    form::{self, Form},
    history::{self, Look, Pattern},
    history_section::{self, Recorded},
    layout::{self, Page},
    pages::Pages,
    paths,
    period::{self, Period},
    rendered::RenderedPage,
    renderer::{self, BuildPage, PageKey},
    soon, week,
    what_if::{self, Rule, Trial},
    zone::Zone,
};
use crate::{
    decision::board::QueueKey,
    model::agent::Agent,
    process::shell,
    server::{
        http::{params::Params, problem::Problem},
        state::{
            app::{App, Queue},
            named_queue::NamedQueue,
            pool::Undone,
        },
    },
};

/// The parameters of a request for the page.
struct Wanted {
    queue: Arc<Queue>,
    period: Period,
    zone: Zone,
    form: Arc<Form>,
}

/// What was read about the queue's past.
struct Past {
    recorded: Look<Recorded>,
    attendance: Look<attendance::Recorded>,
    week: Arc<Look<Pattern>>,
}

/// `GET /queues/{queue}`, `GET /queues/{account}/{queue}`
pub(super) async fn get_queue_page(
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
    let period = period::from_params(&params)?.unwrap_or(Period::Hour);
    let form = Arc::new(Form::from_params(&params)?);
    let wanted = Wanted {
        queue,
        period,
        zone: Zone::from_request(&headers),
        form,
    };
    let page = if wanted.form.is_empty() {
        let (key, period) = (wanted.queue.key.clone(), wanted.period);
        let key = PageKey::Queue(key, period, wanted.zone.clone());
        let build = prepare(&app, &pages, wanted);
        renderer::shared(&app, &pages.renderer, key, build).await
    } else {
        with_trial(&app, &pages, wanted).await
    };
    Ok(match page {
        Ok(page) => page.answer(&headers, app.clock.now()),
        Err(undone) => layout::unavailable(&app, undone),
    })
}

/// The page with the answers of another rule. It is rendered for one viewer and not updated.
async fn with_trial(
    app: &Arc<App>,
    pages: &Pages,
    wanted: Wanted,
) -> Result<Arc<RenderedPage>, Undone> {
    let permit = pages.history.trial().await?;
    let build = prepare(app, pages, wanted).await?;
    drop(permit);
    renderer::single(app, &pages.renderer, build).await
}

/// Reads what the page needs from the history.
async fn prepare(app: &Arc<App>, pages: &Pages, wanted: Wanted) -> Result<BuildPage, Undone> {
    let before = Standing::new(app, &wanted.queue, &wanted.zone);
    let reader = &pages.history;
    let recorded = history_section::read(
        app,
        reader,
        &before,
        wanted.period,
        Arc::clone(&wanted.form),
    );
    let past = Past {
        recorded: recorded.await?,
        attendance: attendance::read(app, reader, &before, wanted.period).await?,
        week: history::pattern(app, reader, &wanted.queue.key).await?,
    };
    let app = Arc::clone(app);
    // The current state is read after the history, so that it is never older.
    Ok(Box::new(move || {
        let standing = Standing::new(&app, &wanted.queue, &wanted.zone);
        build(&app, &standing, &wanted, &past)
    }))
}

fn build(app: &App, standing: &Standing, wanted: &Wanted, past: &Past) -> Page {
    let key = &standing.queue.key;
    let address = paths::queue(key);
    let watch = url::form_urlencoded::Serializer::new("/v1/watch?".to_owned())
        .append_pair("queue", &key.to_string())
        .finish();
    let name = standing.state.name.as_deref().unwrap_or(&key.queue);
    let Wanted {
        period, zone, form, ..
    } = wanted;
    let (period, recorded) = (*period, &past.recorded);
    let now_ms = standing.now.timestamp().as_millisecond();
    Page {
        title: format!("{name} – openseat"),
        watch: Some(watch),
        // Parts that come and go are inside elements that stay, so that the script finds the parts below in the same place when it updates the page.
        content: html! {
            (current(standing))
            (decision_address(app, key))
            (test_now(app, key))
            (history_section::charts(recorded, standing, period, &address))
            div.place { (attendance::section(&past.attendance, period, zone, now_ms)) }
            div.place { (week::section(&past.week, zone, now_ms)) }
            (history_section::changes(app, recorded, standing))
            div.place { (soon::section(app, &standing.queue)) }
            (calls::last(app, key, zone))
            (other_rule(standing, period, form, recorded, &address))
            (agents(standing))
        },
        address: Some(format!("{address}?range={}", period.as_str())),
    }
}

/// The form for another rule, and the result. A page with a result is not updated by the script.
fn other_rule(
    standing: &Standing,
    period: Period,
    form: &Form,
    recorded: &Look<Recorded>,
    address: &str,
) -> Markup {
    html! {
        section aria-labelledby="what-if" data-keep[!form.is_empty()] {
            h2 #what-if { "What another rule would have answered" }
            @match recorded {
                Look::Seen(recorded) => (trial(standing, period, form, recorded, address)),
                Look::Unreadable(why) => p.none { "No rule can be tried now: " (why) "." },
                Look::NotKept | Look::NotYet => p.none { "No data is recorded that a rule could be tried on." },
            }
        }
    }
}

/// The form, and what the other rule would have answered.
fn trial(
    standing: &Standing,
    period: Period,
    form: &Form,
    recorded: &Recorded,
    address: &str,
) -> Markup {
    let rule = Rule::of_queue(standing);
    html! {
        p.none {
            "A threshold is tried on the seats recorded in the last " (period.name()) ". Other criteria are tried on the agents’ rows, which are kept for a "
            "day, one reading every five minutes. Reservations and ages are ignored."
        }
        (form::form(form, address, period, rule))
        @match &recorded.trial {
            None => {}
            Some(Trial::Refused(why)) => p.wrong role="alert" { (why) },
            Some(Trial::Stopped(why)) => p.wrong role="alert" {
                "No result: " (why.to_string()) ". Choose a shorter time above or a simpler field."
            },
            Some(Trial::Answered(other, answers)) => {
                (what_if::outcome(other, rule, period, recorded.window(), answers, &standing.zone))
            }
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
                p { "No queue with this name or id is configured, or more than one account has it. " a href="/" { "All queues" } }
            }
        },
    }
    .answer(app)
}

/// The current state of the queue.
fn current(standing: &Standing) -> Markup {
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
        div.place {
            @if let Some((what, advice)) = standing.trouble() {
                section.troubles aria-labelledby="troubles" {
                    h2 #troubles { "Problems" }
                    ul { li.trouble { h3 { (what) } p { b { "To do: " } (components::with_code(&advice)) } } }
                }
            }
        }
    }
}

/// The address that a router asks. The script adds the server's name, and copies it.
fn decision_address(app: &App, key: &QueueKey) -> Markup {
    html! {
        section aria-labelledby="address" {
            h2 #address { "Ask for this decision" }
            (components::address(&paths::decision(key)))
            @if app.bearer.is_some() { p.none { "Callers send their token: " code { "Authorization: Bearer …" } } }
        }
    }
}

/// The button that asks CallTools now. A logged-in browser may only look, so the button appears only if callers need no token; access keeps other
/// sites' pages away from its route. The script fills in the result, which updates of the page leave alone.
fn test_now(app: &App, key: &QueueKey) -> Markup {
    let command = format!("openseat check {}", shell::word(&key.to_string()));
    html! {
        section.test_now aria-labelledby="test-now" data-keep {
            h2 #test-now { "Test now" }
            @if app.bearer.is_none() {
                p.none { code { (command) } " in a shell asks CallTools now. It costs one or more of the account’s requests." }
                // The script shows it; without the script it would do nothing.
                button type="button" hidden data-test=(paths::refresh(key)) { "Ask CallTools" }
                p.result role="status" {}
            } @else {
                p.none { "To ask CallTools now, run " code { (command) } " on openseat’s machine." }
            }
        }
    }
}

/// The agents; those who would take a call come first.
fn agents(standing: &Standing) -> Markup {
    let snapshot = standing.state.snapshot.as_deref();
    let mut agents: Vec<&Agent> = snapshot
        .map(|snapshot| snapshot.agents.iter().map(|agent| &**agent).collect())
        .unwrap_or_default();
    agents.sort_by_key(|agent| (!agent.is_free(), !agent.queue_logged_in, &agent.name));
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
                        tbody { @for agent in agents { (row(agent, &standing.zone)) } }
                    }
                }
            }
        }
    }
}

fn row(agent: &Agent, zone: &Zone) -> Markup {
    html! {
        tr {
            th scope="row" {
                @if agent.name.is_empty() { span.none { "agent " bdi { (agent.id) } } } @else { bdi { (agent.name) } }
            }
            td { @match agent.status.as_deref() { Some(status) => bdi { (status) }, None => span.none { "none" } } }
            td.span { @match agent.status_since { Some(since) => (components::since(since, zone)), None => span.none { "unknown" } } }
            td { (if agent.queue_logged_in { "yes" } else { "no" }) }
            td {
                @if agent.is_free() { span.badge.accept { span aria-hidden="true" { "✓" } " yes" } } @else { "no" }
                @if agent.is_available_on_call() { ": on a call" }
                @if agent.is_available_not_ready() { ", but not ready" }
            }
        }
    }
}
