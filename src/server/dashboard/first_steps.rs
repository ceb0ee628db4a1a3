//! What to do next, on the overview of a daemon that has not been asked for a decision yet.

use maud::{Markup, html};

use super::{
    components::{self, Standing},
    paths,
};
use crate::{
    process::shell,
    server::{openapi::DOCS_PATH, state::app::App},
};

/// The first steps; empty once somebody has asked for a decision.
pub(super) fn first_steps(app: &App, standings: &[Standing]) -> Markup {
    let asked = standings
        .iter()
        .any(|standing| standing.queue.meters.asked() > 0);
    // The same queue each time: the script keeps the address when it updates the page.
    let Some(example) = standings.first().filter(|_| !asked) else {
        return html! {};
    };
    let key = &example.queue.key;
    html! {
        section.next aria-labelledby="next" {
            h2 #next { "What to do next" }
            p { "openseat is running, and nobody has asked it for a decision since it started." }
            ol {
                li {
                    "Ask for the decision about " bdi { (key.queue) } ", in a browser or with " code { "curl" } ":"
                    (components::address(&paths::decision(key)))
                    @if app.bearer.is_some() { "Send your token with it: " code { "Authorization: Bearer …" } }
                }
                li {
                    "Let your call router ask this address before it sends a call, and send the call only if " code { "accept" } " is true. "
                    a href=(DOCS_PATH) { "The reference" } " has all requests and formats."
                }
                li {
                    "If the answer surprises you, run " code { "openseat check " (shell::word(&key.to_string())) } " on this machine. It asks CallTools and shows every agent that counts."
                }
            }
        }
    }
}
