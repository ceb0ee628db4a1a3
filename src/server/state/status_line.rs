//! The state of openseat in one line: for `systemctl status` and other small displays.

use std::collections::BTreeSet;

use super::app::{AccountHandle, App};

/// The most accounts in a line; the others are only counted.
const ROOM: usize = 8;

/// Returns, for example, `18/20 queues fresh; main 412/1000 requests; bad_token in lab`.
pub fn status_line(app: &App) -> String {
    let look = Look(app);
    let mut parts = vec![look.queues(), look.requests()];
    parts.extend(look.faults());
    let mut line = parts.join("; ");
    // A line break in a name would look like another message.
    line.retain(|c| !c.is_control());
    line
}

/// One app, looked at.
struct Look<'a>(&'a App);

impl Look<'_> {
    /// Counts the queues whose data is fresh enough to decide on.
    fn queues(&self) -> String {
        let queues = self.0.queues();
        let fresh = queues.iter().filter(|queue| {
            let decision = self
                .0
                .decide(queue, &self.0.state(queue), &queue.rules.policy);
            decision.reason.is_known()
        });
        format!("{}/{} queues fresh", fresh.count(), queues.len())
    }

    fn requests(&self) -> String {
        let mut parts = Vec::with_capacity(ROOM);
        for account in self.0.accounts.iter().take(ROOM) {
            let usage = account.budget.usage();
            parts.push(format!("{} {}/{}", account.name, usage.used, usage.limit));
        }
        format!("{} requests", listed(parts, self.0.accounts.len()))
    }

    fn faults(&self) -> Option<String> {
        let faulty = self.0.accounts.iter().filter_map(|account| {
            let words = self.words(account);
            (!words.is_empty()).then(|| format!("{} in {}", words.join(" and "), account.name))
        });
        let faulty: Vec<_> = faulty.collect();
        let all = faulty.len();
        (all > 0).then(|| listed(faulty.into_iter().take(ROOM).collect(), all))
    }

    /// What is wrong with an account and its queues, each word once.
    fn words(&self, account: &AccountHandle) -> Vec<&'static str> {
        let of_all = account.health().fault.map(|present| present.fault.as_str());
        let words = self.0.queues_of(account).filter_map(|queue| {
            let state = self.0.state(queue);
            state.fault.as_deref().map(|fault| fault.as_str())
        });
        let words: BTreeSet<_> = words.chain(of_all).collect();
        words.into_iter().collect()
    }
}

fn listed(shown: Vec<String>, all: usize) -> String {
    match all - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
