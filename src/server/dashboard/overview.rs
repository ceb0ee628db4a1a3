//! `/`: all queues at a glance, what is wrong first.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use maud::{Markup, html};

use super::{
    super::{
        api,
        app::{AccountHandle, App},
        docs,
    },
    chart,
    layout::Page,
    parts::{self, Palette, Standing},
    past::{self, Sparks},
    words,
};
use crate::budget::Usage;

/// `GET /`, for a person.
pub(in crate::server) async fn page(State(app): State<Arc<App>>) -> Response {
    let queues = app.queues().iter();
    let standings: Vec<_> = queues.map(|queue| Standing::of(&app, queue)).collect();
    let mut accounts = Vec::with_capacity(app.accounts.len());
    for account in &app.accounts {
        let usage = account.budget.usage().await;
        accounts.push((account, usage.ok()));
    }
    let shown = Shown {
        palette: Palette::of(&standings),
        sparks: past::sparks(&app).await,
    };
    let content = html! {
        (headline(&standings))
        (troubles(&standings, &accounts))
        @for (account, usage) in &accounts {
            (section(account, usage.as_ref(), &standings, &shown))
        }
        (endpoints())
    };
    let accepting = count(&standings, |standing| standing.decision.accept);
    Page {
        title: format!("{accepting} of {} accept – openseat", standings.len()),
        watch: Some("/v1/watch".to_owned()),
        content,
    }
    .answer(&app)
}

fn count(standings: &[Standing], is: impl Fn(&&Standing) -> bool) -> usize {
    standings.iter().filter(is).count()
}

/// What all cards share.
struct Shown {
    palette: Palette,
    sparks: Arc<Sparks>,
}

/// The whole in one sentence.
fn headline(standings: &[Standing]) -> Markup {
    let accepting = count(standings, |standing| standing.decision.accept);
    let unknown = count(standings, |standing| !standing.decision.reason.is_known());
    html! {
        section.headline aria-live="polite" {
            h1 { (accepting) " of " (words::counted(standings.len(), "queue")) " accept calls" }
            @match unknown {
                0 => { p { "All answers rest on what was seen just now." } }
                some => { p { "Of " (words::counted(some, "queue")) " nothing is known that an answer could rest on." } }
            }
        }
    }
}

/// The same trouble in many queues of an account is told once.
struct Trouble<'a> {
    account: &'a str,
    what: String,
    advice: String,
    queues: Vec<&'a Standing>,
}

fn gathered(standings: &[Standing]) -> Vec<Trouble<'_>> {
    let mut troubles = Vec::<Trouble<'_>>::new();
    for standing in standings {
        let Some((what, advice)) = standing.trouble() else {
            continue;
        };
        let account = &*standing.queue.key.account;
        let known = troubles
            .iter_mut()
            .find(|trouble| trouble.account == account && trouble.what == what);
        match known {
            Some(trouble) => trouble.queues.push(standing),
            None => troubles.push(Trouble {
                account,
                what,
                advice,
                queues: vec![standing],
            }),
        }
    }
    troubles
}

fn troubles(standings: &[Standing], accounts: &[(&AccountHandle, Option<Usage>)]) -> Markup {
    let troubles = gathered(standings);
    let unread: Vec<_> = accounts
        .iter()
        .filter(|(_, usage)| usage.is_none())
        .collect();
    html! {
        @if !troubles.is_empty() || !unread.is_empty() {
            section.troubles aria-labelledby="troubles" {
                h2 #troubles { "What is wrong" }
                ul {
                    @for trouble in &troubles { (one(trouble)) }
                    @for (account, _) in &unread {
                        li.trouble {
                            h3 { "The budget of " bdi { (account.name) } " cannot be read" }
                            p { "What cannot be written down is not sent. To do: see that the disk of " code { "state.dir" } " is there, has room and may be written to." }
                        }
                    }
                }
            }
        }
    }
}

/// Queues that a trouble names one by one; more would hide the others.
const NAMED: usize = 12;

fn one(trouble: &Trouble<'_>) -> Markup {
    let queues = &trouble.queues;
    let still = queues.iter().filter(|one| one.decision.reason.is_known());
    let still = still.count();
    html! {
        li.trouble {
            h3 { (trouble.what) }
            p { b { "To do: " } (trouble.advice) "." }
            p.where_ {
                bdi { (trouble.account) } ": "
                @for (n, standing) in queues.iter().take(NAMED).enumerate() {
                    @if n > 0 { ", " }
                    a href=(parts::address(&standing.queue.key)) { (parts::name(standing)) }
                }
                @if queues.len() > NAMED { " and " (queues.len() - NAMED) " more" }
                ". "
                @if still == queues.len() { "Answers still rest on what was known before." }
                @else if still > 0 { (still) " of " (queues.len()) " still answer from what was known before." }
            }
        }
    }
}

/// An account: its budget and its queues.
fn section(
    account: &AccountHandle,
    usage: Option<&Usage>,
    all: &[Standing],
    shown: &Shown,
) -> Markup {
    let queues = all
        .iter()
        .filter(|standing| standing.queue.key.account == account.name);
    html! {
        section.account {
            header {
                h2 { bdi { (account.name) } }
                (budget(&account.name, usage))
                (emptied(account))
            }
            ul.queues {
                @for standing in queues { (card(standing, shown)) }
            }
        }
    }
}

/// Nobody is on any list: the day may be over, or CallTools leaves the agents out.
fn emptied(account: &AccountHandle) -> Markup {
    html! {
        @if let Some(emptied) = account.health().emptied {
            p.note {
                "Every queue's list of agents is empty since " (emptied.since.rfc3339())
                "; there were " (emptied.agents_before) " before."
            }
        }
    }
}

fn budget(account: &str, usage: Option<&Usage>) -> Markup {
    let Some(usage) = usage else {
        return html! { p.budget { "Requests of the last hour: unknown" } };
    };
    let rate = words::period(usage.period);
    let polling = usage.limit.saturating_sub(usage.reserve);
    html! {
        div.budget {
            meter min="0" max=(usage.limit) high=(polling) value=(usage.used) aria-label={ "Requests of " (account) " in the last hour" } {}
            p {
                b { (usage.used) } " of " (usage.limit) " requests used in the last hour"
                @if usage.reserve > 0 { ", " (usage.reserve) " in reserve" }
                @match usage.throttled_until {
                    Some(until) => { ". " b { "CallTools wants silence until " (words::time(until)) "." } }
                    None => { "; one every " (rate) }
                }
                @if usage.share < 1.0 { ". Others spend from this account: our share is " (percent(usage.share)) }
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn card(standing: &Standing, shown: &Shown) -> Markup {
    html! {
        li.queue {
            h3 { a href=(parts::address(&standing.queue.key)) { (parts::name(standing)) } }
            p.seats { (parts::seats(standing)) }
            p.decision { (parts::decision(standing)) }
            div.agents { (parts::agents(standing, &shown.palette)) }
            @if let Some(seats) = shown.sparks.get(&standing.queue.key) { (chart::sparkline(seats)) }
            p.aging { (parts::age(standing)) }
        }
    }
}

/// For who came to write a program.
fn endpoints() -> Markup {
    html! {
        details.endpoints {
            summary { "For programs" }
            p { a href=(docs::PATH) { "The reference" } " says more, and " a href="/openapi.json" { "openapi.json" } " says it to programs." }
            div.wide tabindex="0" role="region" aria-label="Requests" {
                table {
                    thead { tr { th scope="col" { "Request" } th scope="col" { "Answer" } } }
                    tbody {
                        @for (request, answer) in api::lines() {
                            tr { td { code { (request) } } td { (answer) } }
                        }
                    }
                }
            }
        }
    }
}
