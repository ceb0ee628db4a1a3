//! `/`: all queues at a glance, what is wrong first.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderMap;
use maud::{Markup, html};

use super::{
    chart,
    components::{self, Standing},
    history::{self, Sparks},
    layout::{self, Page},
    pages::Pages,
    press::{self, Which, Write},
    wording,
};
use crate::{
    account::{Emptied, PresentFault},
    budget::Usage,
    decision::Reason,
    model::fault::FaultKind,
    server::{
        openapi::{DOCS_PATH, Line},
        state::{
            app::{AccountHandle, App},
            pool::Undone,
        },
    },
};

/// `GET /`, for a person.
pub(in crate::server) async fn page(
    app: &Arc<App>,
    pages: &Pages,
    headers: &HeaderMap,
    requests: &'static [Line],
) -> Response {
    match press::shared(
        app,
        &pages.press,
        Which::Overview,
        written(app, pages, requests),
    )
    .await
    {
        Ok(printed) => printed.answer(headers, app.clock.now()),
        Err(undone) => layout::sorry(app, undone),
    }
}

/// Reads everything the page has to wait for.
async fn written(
    app: &Arc<App>,
    pages: &Pages,
    requests: &'static [Line],
) -> Result<Write, Undone> {
    let sparks = history::sparks(app, &pages.past).await;
    let app = Arc::clone(app);
    Ok(Box::new(move || write(&app, &sparks, requests)))
}

fn write(app: &App, sparks: &Sparks, requests: &[Line]) -> Page {
    let queues = app.queues().iter();
    let standings: Vec<_> = queues.map(|queue| Standing::of(app, queue)).collect();
    let accounts = app.accounts.iter();
    let accounts: Vec<_> = accounts
        .map(|handle| Account::of(handle, &standings))
        .collect();
    let troubles = gathered(&accounts, &standings);
    let degraded = app.degraded();
    let is_well = troubles.is_empty() && degraded.is_empty();
    let content = html! {
        (headline(&standings, is_well))
        div.place { (wrong(&troubles, &accounts, &degraded)) }
        @for account in &accounts { (section(account, sparks)) }
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

/// An account, with what is shown of it.
struct Account<'a> {
    name: &'a str,
    usage: Usage,
    fault: Option<PresentFault>,
    emptied: Option<Emptied>,
    standings: Vec<&'a Standing>,
}

impl<'a> Account<'a> {
    fn of(handle: &'a AccountHandle, all: &'a [Standing]) -> Self {
        let own = |standing: &&Standing| standing.queue.key.account == handle.name;
        let health = handle.health();
        Self {
            name: &handle.name,
            usage: handle.budget.usage(),
            fault: health.fault,
            emptied: health.emptied,
            standings: all.iter().filter(own).collect(),
        }
    }

    fn is_spent(&self) -> bool {
        let kind = self.fault.as_ref().map(PresentFault::kind);
        kind == Some(FaultKind::BudgetSpent) || self.usage.used >= self.usage.limit
    }

    /// Every list of agents is known and empty: the working day is over, or the token sees nobody.
    fn is_deserted(&self) -> bool {
        let is_empty = |standing: &&Standing| {
            let snapshot = standing.state.snapshot.as_deref();
            snapshot.is_some_and(|snapshot| snapshot.agents.is_empty())
        };
        self.emptied.is_some() || !self.standings.is_empty() && self.standings.iter().all(is_empty)
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
            p { (foundation(standings)) @if !is_well { " Problems are listed below." } }
        }
    }
}

/// What the answers rest on.
fn foundation(standings: &[Standing]) -> Markup {
    let is_known = |standing: &&Standing| standing.decision.reason.is_known();
    let unknown = standings.len() - count(standings, is_known);
    let first = |standing: &&Standing| standing.decision.reason == Reason::NeverPolled;
    let waiting = count(standings, first);
    let oldest = components::oldest(standings.iter().filter(is_known));
    html! {
        @match (oldest, unknown) {
            _ if standings.is_empty() => "No queue is configured.",
            (None, unknown) if waiting == unknown => "No poll has finished yet. The first answers are on their way.",
            (None, _) => "No queue has usable data.",
            (Some(oldest), 0) => { "All answers rest on data " (oldest) "." }
            (Some(oldest), some) => {
                (wording::counted(some, "queue")) (if some == 1 { " has" } else { " have" }) " no usable data. All other answers rest on data " (oldest) "."
            }
        }
    }
}

/// A problem. Queues of an account that share it are listed together.
struct Trouble<'a> {
    account: &'a str,
    what: String,
    advice: String,
    /// When a fault of the account began.
    since: Option<jiff::Timestamp>,
    /// The queues that have it; none if only requests of the account itself fail.
    queues: Vec<&'a Standing>,
}

/// Faults of accounts come first: they explain those of their queues.
fn gathered<'a>(accounts: &[Account<'a>], standings: &'a [Standing]) -> Vec<Trouble<'a>> {
    let of_accounts = accounts.iter().filter_map(|account| {
        let present = account.fault.as_ref()?;
        Some(Trouble {
            account: account.name,
            what: wording::fault(&present.fault),
            advice: wording::sentence(&present.fault.advice()),
            since: Some(present.since.timestamp()),
            queues: Vec::new(),
        })
    });
    let mut troubles: Vec<_> = of_accounts.collect();
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
                since: None,
                queues: vec![standing],
            }),
        }
    }
    troubles
}

fn wrong(troubles: &[Trouble<'_>], accounts: &[Account<'_>], degraded: &[&str]) -> Markup {
    let deserted = accounts.iter().filter(|account| account.is_deserted());
    let items = html! {
        @for trouble in troubles { (one(trouble, accounts)) }
        @for part in degraded {
            li.trouble {
                h3 { "The state folder’s part “" (part) "” cannot be written" }
                p { b { "To do: " } "Check that " code { "state.dir" } " exists, has space and is writable. Answers are not affected, but a restart may forget what was not written." }
            }
        }
        @for account in deserted {
            li.trouble.mild {
                h3 { "No queue of " bdi { (account.name) } " has any agents" }
                p { b { "To do: " } "Nothing, if the working day is over. Otherwise check in CallTools that agents are assigned to these queues, and that the token’s user may see them." }
                @if let Some(emptied) = account.emptied {
                    p.where_ {
                        "All lists became empty at once: " (wording::date(emptied.since.timestamp().as_millisecond())) " UTC. There were "
                        (wording::counted(emptied.agents_before, "agent")) " before."
                    }
                }
            }
        }
    };
    html! {
        @if !items.0.is_empty() {
            section.troubles aria-labelledby="troubles" {
                h2 #troubles { "Problems" }
                ul { (items) }
            }
        }
    }
}

/// How many queues a problem names. More would push the other problems off the screen.
const NAMED: usize = 12;

fn one(trouble: &Trouble<'_>, accounts: &[Account<'_>]) -> Markup {
    let queues = &trouble.queues;
    let account = accounts
        .iter()
        .find(|account| account.name == trouble.account);
    let concerned = match (queues.is_empty(), account) {
        (true, Some(account)) => &account.standings,
        _ => queues,
    };
    let still = concerned
        .iter()
        .filter(|one| one.decision.reason.is_known());
    let still = still.count();
    html! {
        li.trouble {
            h3 { (trouble.what) }
            p { b { "To do: " } (components::marked(&trouble.advice)) }
            p.where_ {
                bdi { (trouble.account) }
                @if let Some(since) = trouble.since { ", since " (wording::date(since.as_millisecond())) " UTC" }
                @if !queues.is_empty() { ": " }
                @for (n, standing) in queues.iter().take(NAMED).enumerate() {
                    @if n > 0 { ", " }
                    a href=(components::address(&standing.queue.key)) { (components::name(standing)) }
                }
                @if queues.len() > NAMED { " and " (queues.len() - NAMED) " more" }
                ". "
                @if still == 0 {}
                @else if still == concerned.len() { "All of them still answer from earlier data." }
                @else { (still) " of " (concerned.len()) " queues still answer from earlier data." }
            }
        }
    }
}

/// An account: its budget and its queues.
fn section(account: &Account<'_>, sparks: &Sparks) -> Markup {
    html! {
        section.account {
            header {
                h2 { bdi { (account.name) } }
                (budget(account))
            }
            ul.queues {
                @for standing in &account.standings { (card(standing, sparks)) }
            }
        }
    }
}

fn budget(account: &Account<'_>) -> Markup {
    let usage = account.usage;
    let polling = usage.limit.saturating_sub(usage.reserve);
    let kind = match (account.is_spent(), usage.used > polling) {
        (true, _) => "spent",
        (false, true) => "near",
        (false, false) => "well",
    };
    html! {
        div.budget {
            meter class=(kind) min="0" max=(usage.limit) value=(usage.used) aria-label={ "Requests of " (account.name) " in the last hour" } {}
            p {
                b { (usage.used) } " of " (usage.limit) " requests used in the last hour"
                @if usage.reserve > 0 { ", " (usage.reserve) " in reserve" }
                ". "
                @if let Some(until) = usage.throttled_until { b { "CallTools asked for silence until " (wording::time(until)) "." } }
                @else if kind == "spent" { b { "The hour is spent: polls resume as earlier requests turn an hour old." } }
                @else { "One is sent every " (wording::period(usage.period)) "." }
                @if usage.share < 1.0 { " Others spend from this account, so openseat polls at " (percent(usage.share)) " of its pace." }
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn card(standing: &Standing, sparks: &Sparks) -> Markup {
    html! {
        li.queue {
            h3 { a href=(components::address(&standing.queue.key)) { (components::name(standing)) } }
            p.seats { (components::seats(standing)) }
            p.decision { (components::decision(standing)) }
            div.agents.old[!standing.decision.is_fresh] { (components::agents(standing)) }
            @if let Some(seats) = sparks.get(&standing.queue.key) { (chart::sparkline(seats)) }
            p.aging { (components::age(standing)) }
        }
    }
}

/// The API, for people who write programs.
fn endpoints(requests: &[Line]) -> Markup {
    html! {
        details.endpoints {
            summary { "For programs" }
            p { "Details are in " a href=(DOCS_PATH) { "the reference" } "; " a href="/openapi.json" { "openapi.json" } " describes the API for tools." }
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
