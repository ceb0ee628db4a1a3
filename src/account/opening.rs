//! Which queues rest: outside of their opening hours they are not polled, and the open ones share their slots.
//!
//! A queue is polled again somewhat before it opens, so that its first call finds an answer.

use std::time::Duration;

use super::Account;
use crate::{clock::Moment, decision::MIN_MEMBERS_AGE, model::hours::Span};

/// Queues are polled again so much earlier than one round before they open: names and statuses have to be read first, and a poll may fail.
const TO_SPARE: Duration = Duration::from_secs(60);

/// The longest: what is seen earlier may be too old by then.
const MAX_LEAD: Duration = MIN_MEMBERS_AGE;

/// The opening hours of an account's queues, as far as its task needs them.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// How long before it opens each queue is polled again.
    leads: Vec<Duration>,
    /// What the hours of each queue said when they were last read.
    spans: Vec<Option<Span>>,
}

impl Opening {
    /// Sets how far apart the turns of each queue are. Nobody asks about closed queues, so the pace may be that of an idle account.
    pub fn set_leads(&mut self, turns: impl Iterator<Item = Duration>, idle_pace: f64) {
        let lead = |turn: Duration| (turn.div_f64(idle_pace) + TO_SPARE).min(MAX_LEAD);
        self.leads = turns.map(lead).collect();
    }

    /// Another config has other hours.
    pub fn hours_changed(&mut self) {
        self.spans.clear();
    }
}

impl Account {
    /// Lets closed queues rest, and wakes those that open soon.
    pub(super) fn rest_what_is_closed(&mut self) {
        let now = self.deps.clock.now();
        let rested = self.schedule.all_rest();
        self.opening.spans.resize(self.deps.queues.len(), None);
        for (place, queue) in self.deps.queues.iter().enumerate() {
            let span = self.opening.spans[place].filter(|span| span.covers(now));
            let span = span.or_else(|| Some(queue.hours.as_ref()?.span(now)));
            self.opening.spans[place] = span;
            let lead = self.opening.leads.get(place).copied();
            let rests = span.is_some_and(|span| rests(span, lead.unwrap_or(MAX_LEAD), now));
            if self.schedule.rests(place) != rests {
                tracing::info!(queue = %queue.key, rests, "opening hours: polling pauses or goes on");
                self.schedule.rest(place, rests);
            }
        }
        if self.schedule.all_rest() && !rested {
            self.headcount.rest();
            self.deps
                .health
                .send_if_modified(|health| health.emptied.take().is_some());
        }
    }
}

/// Whether a queue is closed, and does not open before `lead` has passed.
fn rests(span: Span, lead: Duration, now: Moment) -> bool {
    let opens_soon = |opens: Moment| opens.wall <= now.wall + lead;
    !span.is_open && !span.until.is_some_and(opens_soon)
}
