//! The accounts on the overview: their budgets and their queues, as cards, or as dense tables if there are many.

use maud::{Markup, html};

use super::{
    charts,
    components::{self, Standing},
    feeds,
    history::Sparklines,
    paths, wording,
    zone::Zone,
};
use crate::{
    account::{Emptied, PresentFault, feeds::FeedStanding},
    budget::Usage,
    clock::Moment,
    cluster::{member::Status, trouble::standing},
    model::fault::FaultKind,
    server::state::app::AccountHandle,
};

/// With more queues, cards would fill too many screens, so queues become rows of a table, those in trouble first.
const DENSE: usize = 30;

/// From this many queues on, there are fields to filter and order them.
const MANY: usize = 6;

/// Whether this many queues are shown in tables, which have no sparklines.
pub(super) fn is_dense(queues: usize) -> bool {
    queues > DENSE
}

/// An account and what the page shows about it.
pub(super) struct Account<'a> {
    pub(super) name: &'a str,
    usage: Usage,
    pub(super) fault: Option<PresentFault>,
    pub(super) emptied: Option<Emptied>,
    feeds: Vec<FeedStanding>,
    /// Its role in a cluster.
    cluster: Option<Status>,
    now: Moment,
    /// Its queues, in display order.
    pub(super) standings: Vec<&'a Standing>,
}

impl<'a> Account<'a> {
    pub(super) fn new(handle: &'a AccountHandle, all: &'a [Standing], now: Moment) -> Self {
        let own = |standing: &&Standing| standing.queue.key.account == handle.name;
        let mut standings: Vec<_> = all.iter().filter(own).collect();
        if is_dense(all.len()) {
            standings.sort_by_key(|standing| standing.rank());
        }
        let health = handle.health();
        Self {
            name: &handle.name,
            usage: handle.budget.usage(),
            fault: health.fault,
            emptied: health.emptied,
            feeds: health.feeds,
            cluster: handle.member.as_ref().map(|member| member.status()),
            now,
            standings,
        }
    }

    fn is_spent(&self) -> bool {
        let kind = self.fault.as_ref().map(PresentFault::kind);
        kind == Some(FaultKind::BudgetSpent) || self.usage.used >= self.usage.limit
    }

    /// When the next request may be sent, if none may be sent now.
    fn next_request(&self) -> Option<Moment> {
        let fault = self.fault.as_ref();
        let until = fault.and_then(|present| present.fault.until());
        self.usage.throttled_until.or(until)
    }

    /// Whether every list of agents is known and empty: the working day is over, or the token may see no agents.
    pub(super) fn has_no_agents(&self) -> bool {
        let is_empty = |standing: &&Standing| {
            let snapshot = standing.state.snapshot.as_deref();
            snapshot.is_some_and(|snapshot| snapshot.agents.is_empty())
        };
        // Closed queues need no agents.
        let is_open = |standing: &&&Standing| !standing.is_closed();
        let mut open = self.standings.iter().filter(is_open).peekable();
        open.peek().is_some() && (self.emptied.is_some() || open.all(is_empty))
    }
}

/// The fields that filter and order queues. They do nothing without the script, so the script shows them.
pub(super) fn tools(queues: usize) -> Markup {
    let first = if is_dense(queues) {
        "trouble"
    } else {
        "config"
    };
    let orders = [
        ("config", "As configured"),
        ("trouble", "Trouble first"),
        ("name", "Name"),
        ("seats", "Fewest seats first"),
    ];
    html! {
        @if queues >= MANY {
            div.tools role="search" aria-label="Queues" data-keep hidden {
                label { "Filter" input type="search" name="filter" autocomplete="off" placeholder="Queue or account" {} }
                label { "Order" select name="order" data-first=(first) {
                    @for (value, name) in orders { option value=(value) selected[value == first] { (name) } }
                } }
                p.shown role="status" {}
            }
        }
    }
}

/// All accounts. If there are several, they can be folded, and the script remembers which are.
pub(super) fn sections(
    accounts: &[Account<'_>],
    standings: &[Standing],
    sparklines: &Sparklines,
    zone: &Zone,
) -> Markup {
    let queues = |account: &Account<'_>| match is_dense(standings.len()) {
        true => table(account),
        false => cards(account, sparklines),
    };
    html! {
        div.accounts {
            @for account in accounts {
                @if accounts.len() == 1 {
                    section.account data-key=(account.name) {
                        header { h2 { bdi { (account.name) } } (budget(account, zone)) }
                        (queues(account))
                    }
                } @else {
                    details.account open data-key=(account.name) {
                        summary { h2 { bdi { (account.name) } } " " span.tally { (tally(account)) } }
                        (budget(account, zone))
                        (queues(account))
                    }
                }
            }
        }
    }
}

/// The summary of a folded account.
fn tally(account: &Account<'_>) -> String {
    let count = |is: &dyn Fn(&Standing) -> bool| {
        let standings = account.standings.iter();
        standings.filter(|standing| is(standing)).count()
    };
    let accepting = count(&|standing| standing.decision.accept);
    let unknown = count(&|standing| !standing.decision.reason.is_known());
    let all = wording::counted(account.standings.len(), "queue");
    match unknown {
        0 => format!("{accepting} of {all} accept calls"),
        unknown => format!("{accepting} of {all} accept calls, {unknown} unknown"),
    }
}

fn budget(account: &Account<'_>, zone: &Zone) -> Markup {
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
                @if let Some(until) = usage.throttled_until { b { "CallTools asked for a pause: next request at " (components::coming(until, zone)) "." } }
                @else if class == "spent" { b {
                    "The hour’s requests are spent"
                    @match account.next_request() {
                        Some(until) => { ": next request at " (components::coming(until, zone)) "." }
                        None => ". Polling resumes as earlier requests become an hour old.",
                    }
                } }
                @else { "One request is sent every " (wording::period(usage.period)) "." }
                (feeds::sentences(&account.feeds, zone))
                @if let Some(status) = &account.cluster { " " (cluster(status, account.now)) }
                @if usage.share < 1.0 { " Other software uses this account’s requests too, so openseat polls at " (percent(usage.share)) " of its usual rate." }
            }
        }
    }
}

/// Says who leads in the cluster, and what is wrong there.
fn cluster(status: &Status, now: Moment) -> Markup {
    html! {
        "In the cluster, " (standing(&status.nodes, status.lag(now))) "."
        @if let Some(trouble) = status.trouble(now) {
            " " b { (wording::capital(&trouble.to_string())) ": " (trouble.advice()) "." }
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn cards(account: &Account<'_>, sparklines: &Sparklines) -> Markup {
    html! {
        ul.queues data-queues {
            @for standing in &account.standings { (card(standing, sparklines)) }
        }
    }
}

fn card(standing: &Standing, sparklines: &Sparklines) -> Markup {
    html! {
        li.queue data-key=(standing.queue.key.queue) data-n=(standing.place) data-rank=(standing.rank()) {
            h3.name { a href=(paths::queue(&standing.queue.key)) { (components::name(standing)) } }
            p.seats { (components::seats(standing)) }
            p.decision { (components::decision(standing)) }
            div.agents.old[!standing.decision.is_fresh] { (components::agents(standing)) }
            @if let Some(seats) = sparklines.get(&standing.queue.key) { (charts::sparkline(seats)) }
            p.aging { (components::age(standing)) }
        }
    }
}

fn table(account: &Account<'_>) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label={ "Queues of " (account.name) } {
            table.dense {
                thead { tr {
                    th scope="col" { "Queue" } th scope="col" { "Answer" } th.count scope="col" { "Seats" } th.count.extra scope="col" { "Agents" } th scope="col" { "Data" }
                } }
                tbody data-queues { @for standing in &account.standings { (row(standing)) } }
            }
        }
    }
}

fn row(standing: &Standing) -> Markup {
    let snapshot = standing.state.snapshot.as_deref();
    html! {
        tr data-key=(standing.queue.key.queue) data-n=(standing.place) data-rank=(standing.rank()) {
            th.name scope="row" {
                a href=(paths::queue(&standing.queue.key)) { (components::name(standing)) }
                @if let Some(lack) = standing.lack() { " " span.need { (lack) } }
            }
            td { (components::badge(standing)) }
            td.count.seats { (components::number(standing)) }
            td.count.extra { @match snapshot { Some(snapshot) => (snapshot.agents.len()), None => span.none { "?" } } }
            td.aging { (components::age(standing)) }
        }
    }
}
