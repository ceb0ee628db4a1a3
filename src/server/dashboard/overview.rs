//! `/`: all queues at a glance, with problems first.

use std::sync::Arc;

use axum::response::Response;
use http::HeaderMap;
use maud::{Markup, html};

use super::{
    charts,
    components::{self, Standing},
    feeds,
    history::{self, Sparklines},
    layout::{self, Page},
    pages::Pages,
    paths,
    renderer::{self, BuildPage, PageKey},
    wording,
};
use crate::{
    account::{Emptied, PresentFault, feeds::FeedStanding},
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

/// `GET /`, for a browser.
pub(in crate::server) async fn get_overview(
    app: &Arc<App>,
    pages: &Pages,
    headers: &HeaderMap,
    requests: &'static [Line],
) -> Response {
    let build = prepare(app, pages, requests);
    match renderer::shared(app, &pages.renderer, PageKey::Overview, build).await {
        Ok(page) => page.answer(headers, app.clock.now()),
        Err(undone) => layout::unavailable(app, undone),
    }
}

/// Reads what the page needs from the history.
async fn prepare(
    app: &Arc<App>,
    pages: &Pages,
    requests: &'static [Line],
) -> Result<BuildPage, Undone> {
    let sparklines = history::sparklines(app, &pages.history).await;
    let app = Arc::clone(app);
    Ok(Box::new(move || build(&app, &sparklines, requests)))
}

fn build(app: &App, sparklines: &Sparklines, requests: &[Line]) -> Page {
    let queues = app.queues().iter();
    let standings: Vec<_> = queues.map(|queue| Standing::new(app, queue)).collect();
    let accounts = app.accounts.iter();
    let accounts: Vec<_> = accounts
        .map(|handle| Account::new(handle, &standings))
        .collect();
    let problems = problems(&accounts, &standings);
    let degraded = app.degraded();
    let is_well = problems.is_empty() && degraded.is_empty();
    let content = html! {
        (headline(&standings, is_well))
        div.place { (problem_list(&problems, &accounts, &degraded)) }
        @for account in &accounts { (section(account, sparklines)) }
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

/// An account and what the page shows of it.
struct Account<'a> {
    name: &'a str,
    usage: Usage,
    fault: Option<PresentFault>,
    emptied: Option<Emptied>,
    feeds: Vec<FeedStanding>,
    standings: Vec<&'a Standing>,
}

impl<'a> Account<'a> {
    fn new(handle: &'a AccountHandle, all: &'a [Standing]) -> Self {
        let own = |standing: &&Standing| standing.queue.key.account == handle.name;
        let health = handle.health();
        Self {
            name: &handle.name,
            usage: handle.budget.usage(),
            fault: health.fault,
            emptied: health.emptied,
            feeds: health.feeds,
            standings: all.iter().filter(own).collect(),
        }
    }

    fn is_spent(&self) -> bool {
        let kind = self.fault.as_ref().map(PresentFault::kind);
        kind == Some(FaultKind::BudgetSpent) || self.usage.used >= self.usage.limit
    }

    /// Whether every list of agents is known and empty: the working day is over, or the token may see no agents.
    fn has_no_agents(&self) -> bool {
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
            p { (basis(standings)) @if !is_well { " Problems are listed below." } }
        }
    }
}

/// What data the answers are based on.
fn basis(standings: &[Standing]) -> Markup {
    let is_known = |standing: &&Standing| standing.decision.reason.is_known();
    let unknown = standings.len() - count(standings, is_known);
    let first = |standing: &&Standing| standing.decision.reason == Reason::NeverPolled;
    let never_polled = count(standings, first);
    let oldest = components::oldest(standings.iter().filter(is_known));
    html! {
        @match (oldest, unknown) {
            _ if standings.is_empty() => "No queue is configured.",
            (None, unknown) if never_polled == unknown => "No poll has finished yet. The first answers are on their way.",
            (None, _) => "No queue has usable data.",
            (Some(oldest), 0) => { "All answers are based on data " (oldest) "." }
            (Some(oldest), some) => {
                (wording::counted(some, "queue")) (if some == 1 { " has" } else { " have" }) " no usable data. All other answers are based on data " (oldest) "."
            }
        }
    }
}

/// A problem. Queues of an account that share it are listed together.
struct Problem<'a> {
    account: &'a str,
    what: String,
    advice: String,
    /// When a fault of the account began.
    since: Option<jiff::Timestamp>,
    /// The queues that have it; none if only requests of the account itself fail.
    queues: Vec<&'a Standing>,
}

/// Faults of accounts come first: they explain those of their queues.
fn problems<'a>(accounts: &[Account<'a>], standings: &'a [Standing]) -> Vec<Problem<'a>> {
    let of_accounts = accounts.iter().filter_map(|account| {
        let present = account.fault.as_ref()?;
        Some(Problem {
            account: account.name,
            what: wording::fault(&present.fault),
            advice: wording::sentence(&present.fault.advice()),
            since: Some(present.since.timestamp()),
            queues: Vec::new(),
        })
    });
    let mut problems: Vec<_> = of_accounts.collect();
    for standing in standings {
        let Some((what, advice)) = standing.trouble() else {
            continue;
        };
        let account = &*standing.queue.key.account;
        let known = problems
            .iter_mut()
            .find(|problem| problem.account == account && problem.what == what);
        match known {
            Some(problem) => problem.queues.push(standing),
            None => problems.push(Problem {
                account,
                what,
                advice,
                since: None,
                queues: vec![standing],
            }),
        }
    }
    problems
}

fn problem_list(problems: &[Problem<'_>], accounts: &[Account<'_>], degraded: &[&str]) -> Markup {
    let without_agents = accounts.iter().filter(|account| account.has_no_agents());
    let items = html! {
        @for problem in problems { (problem_item(problem, accounts)) }
        @for part in degraded {
            li.trouble {
                h3 { "The part “" (part) "” of the state folder cannot be written" }
                p { b { "To do: " } "Check that " code { "state.dir" } " exists, has space and is writable. Answers are not affected, but what is not written is lost at a restart." }
            }
        }
        @for account in without_agents {
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

/// How many queues a problem names. More would push other problems off the screen.
const MAX_NAMED: usize = 12;

fn problem_item(problem: &Problem<'_>, accounts: &[Account<'_>]) -> Markup {
    let queues = &problem.queues;
    let account = accounts
        .iter()
        .find(|account| account.name == problem.account);
    let affected = match (queues.is_empty(), account) {
        (true, Some(account)) => &account.standings,
        _ => queues,
    };
    let answering = affected.iter().filter(|one| one.decision.reason.is_known());
    let answering = answering.count();
    html! {
        li.trouble {
            h3 { (problem.what) }
            p { b { "To do: " } (components::with_code(&problem.advice)) }
            p.where_ {
                bdi { (problem.account) }
                @if let Some(since) = problem.since { ", since " (wording::date(since.as_millisecond())) " UTC" }
                @if !queues.is_empty() { ": " }
                @for (n, standing) in queues.iter().take(MAX_NAMED).enumerate() {
                    @if n > 0 { ", " }
                    a href=(paths::queue(&standing.queue.key)) { (components::name(standing)) }
                }
                @if queues.len() > MAX_NAMED { " and " (queues.len() - MAX_NAMED) " more" }
                ". "
                @if answering == 0 {}
                @else if answering == affected.len() { "All of them still answer from earlier data." }
                @else { (answering) " of " (affected.len()) " queues still answer from earlier data." }
            }
        }
    }
}

/// An account: its budget and its queues.
fn section(account: &Account<'_>, sparklines: &Sparklines) -> Markup {
    html! {
        section.account {
            header {
                h2 { bdi { (account.name) } }
                (budget(account))
            }
            ul.queues {
                @for standing in &account.standings { (card(standing, sparklines)) }
            }
        }
    }
}

fn budget(account: &Account<'_>) -> Markup {
    let usage = account.usage;
    let polling = usage.limit.saturating_sub(usage.reserve);
    let class = match (account.is_spent(), usage.used > polling) {
        (true, _) => "spent",
        (false, true) => "near",
        (false, false) => "well",
    };
    html! {
        div.budget {
            meter class=(class) min="0" max=(usage.limit) value=(usage.used) aria-label={ "Requests of " (account.name) " in the last hour" } {}
            p {
                b { (usage.used) } " of " (usage.limit) " requests used in the last hour"
                @if usage.reserve > 0 { ", " (usage.reserve) " in reserve" }
                ". "
                @if let Some(until) = usage.throttled_until { b { "CallTools asked for a pause until " (wording::time(until)) "." } }
                @else if class == "spent" { b { "The hour’s requests are spent. Polls resume as earlier requests turn an hour old." } }
                @else { "One request is sent every " (wording::period(usage.period)) "." }
                (feeds::sentences(&account.feeds))
                @if usage.share < 1.0 { " Other programs use this account’s requests too, so openseat polls at " (percent(usage.share)) " of its pace." }
            }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn card(standing: &Standing, sparklines: &Sparklines) -> Markup {
    html! {
        li.queue {
            h3 { a href=(paths::queue(&standing.queue.key)) { (components::name(standing)) } }
            p.seats { (components::seats(standing)) }
            p.decision { (components::decision(standing)) }
            div.agents.old[!standing.decision.is_fresh] { (components::agents(standing)) }
            @if let Some(seats) = sparklines.get(&standing.queue.key) { (charts::sparkline(seats)) }
            p.aging { (components::age(standing)) }
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
