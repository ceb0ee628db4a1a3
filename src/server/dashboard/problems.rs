//! What is wrong and what to do about it, at the top of the overview.

use maud::{Markup, html};

use super::{
    accounts::Account,
    components::{self, Standing},
    paths, wording,
    zone::Zone,
};
use crate::clock::Moment;

/// A problem. Queues of an account that share it are listed together.
pub(super) struct Problem<'a> {
    account: &'a str,
    what: String,
    advice: String,
    /// When a fault of the account began.
    since: Option<jiff::Timestamp>,
    /// When CallTools may be asked again, if it may not be asked now.
    until: Option<Moment>,
    /// The queues that have it; empty if only the account's own requests fail.
    queues: Vec<&'a Standing>,
}

/// Faults of accounts come first, because they explain those of their queues.
pub(super) fn problems<'a>(
    accounts: &[Account<'a>],
    standings: &'a [Standing],
) -> Vec<Problem<'a>> {
    let of_accounts = accounts.iter().filter_map(|account| {
        let present = account.fault.as_ref()?;
        Some(Problem {
            account: account.name,
            what: wording::fault(&present.fault),
            advice: wording::sentence(&present.fault.advice()),
            since: Some(present.since.timestamp()),
            until: present.fault.until(),
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
                until: standing
                    .state
                    .fault
                    .as_ref()
                    .and_then(|fault| fault.until()),
                queues: vec![standing],
            }),
        }
    }
    problems
}

pub(super) fn problem_list(
    problems: &[Problem<'_>],
    accounts: &[Account<'_>],
    degraded: &[&str],
    zone: &Zone,
) -> Markup {
    let without_agents = accounts.iter().filter(|account| account.has_no_agents());
    let items = html! {
        @for problem in problems { (problem_item(problem, accounts, zone)) }
        @for part in degraded {
            li.trouble {
                h3 { "The part “" (part) "” of the state folder cannot be written" }
                p { b { "To do: " } "Check that " code { "state.dir" } " exists, has space and is writable. Answers are not affected, but unsaved data is lost at a restart." }
            }
        }
        @for account in without_agents {
            li.trouble.mild {
                h3 { "No queue of " bdi { (account.name) } " has any agents" }
                p { b { "To do: " } "Nothing, if the working day is over. Otherwise check in CallTools that agents are assigned to these queues, and that the token’s user may see them." }
                @if let Some(emptied) = account.emptied {
                    p.where_ {
                        "All lists became empty at once: " (zone.full_date(emptied.since.timestamp().as_millisecond())) ". There were "
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

/// The most queues to name per problem. More would push other problems off the screen.
const MAX_NAMED: usize = 12;

fn problem_item(problem: &Problem<'_>, accounts: &[Account<'_>], zone: &Zone) -> Markup {
    let queues = &problem.queues;
    let account = accounts
        .iter()
        .find(|account| account.name == problem.account);
    let affected = match (queues.is_empty(), account) {
        (true, Some(account)) => &account.standings,
        _ => queues,
    };
    // Closed queues answer from no data.
    let affected: Vec<_> = affected.iter().filter(|one| !one.is_closed()).collect();
    let answering = affected.iter().filter(|one| one.decision.reason.is_known());
    let answering = answering.count();
    html! {
        li.trouble {
            h3 { (problem.what) }
            p {
                b { "To do: " } (components::with_code(&problem.advice))
                @if let Some(until) = problem.until { " Next request at " (components::coming(until, zone)) "." }
            }
            p.where_ {
                bdi { (problem.account) }
                @if let Some(since) = problem.since { ", since " (zone.full_date(since.as_millisecond())) }
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
