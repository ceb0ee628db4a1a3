//! The part of a queue's page about calls that arrive while it has no seat.

use maud::{Markup, html};

use super::{charts, wording::sentence};
use crate::{
    decision::soon::report::AccountReport,
    server::state::app::{App, Queue},
};

/// In words, with a plot of predictions against what was seen. Empty before the account has reported anything.
pub(super) fn section(app: &App, queue: &Queue) -> Markup {
    let account = app.account_report(&queue.key.account);
    let Some(queue) = app.soon_report(queue) else {
        return html! {};
    };
    html! {
        section.soon aria-labelledby="soon" {
            h2 #soon { "Calls at zero seats" }
            p { (sentence(&queue.outcome())) " " (sentence(&queue.standing())) }
            @if let Some(warning) = queue.warning() { p.wrong { (sentence(&warning)) } }
            @if let Some(account) = account.as_deref() { (plot(account)) }
        }
    }
}

fn plot(account: &AccountReport) -> Markup {
    let all: u32 = account.tenths.iter().flatten().sum();
    html! {
        @if all == 0 {
            p.none { "Nothing was predicted in this account in the last 7 days: a prediction needs a queue without a seat, and agents whose wrap-ups were seen." }
        } @else {
            figure.predicted {
                (charts::inline(&charts::predictions(&account.tenths)))
                figcaption.none {
                    "The predicted probability of a free agent, and how often one was seen when the call would have arrived; all queues of the account, "
                    (all) " situations of the last 7 days. On the line, predictions were right; below it, they were too optimistic."
                }
            }
        }
    }
}
