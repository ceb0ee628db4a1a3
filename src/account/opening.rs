//! Lets queues rest outside their opening hours: they are not polled, and the open queues share their slots.
//!
//! Polling resumes shortly before a queue opens, so that its first call gets an answer.

use std::time::Duration;

use super::Account;
use crate::{clock::Moment, decision::MIN_MEMBERS_AGE, model::hours::Span};

/// Polling resumes this much earlier than one round before the opening: names and statuses have to be read first, and a poll may fail.
const TO_SPARE: Duration = Duration::from_secs(60);

/// The longest lead: earlier data may be too old at the opening.
const MAX_LEAD: Duration = MIN_MEMBERS_AGE;

/// The state of the opening hours of an account's queues.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// How long before its opening polling of each queue resumes.
    leads: Vec<Duration>,
    /// The span of each queue's hours at the last look.
    spans: Vec<Option<Span>>,
}

impl Opening {
    /// Sets the time between the turns of each queue. Closed queues get no questions, so the account may be polling at its idle pace.
    pub fn set_leads(&mut self, turns: impl Iterator<Item = Duration>, idle_pace: f64) {
        self.leads = turns.map(|turn| lead(turn, idle_pace)).collect();
    }

    /// Forgets the spans, because a new config may have other hours.
    pub fn hours_changed(&mut self) {
        self.spans.clear();
    }
}

impl Account {
    /// Lets closed queues rest, and wakes queues that open soon.
    pub(super) fn rest_closed_queues(&mut self) {
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
                if rests {
                    tracing::info!(queue = %queue.key, "polling pauses: the queue is closed");
                } else {
                    tracing::info!(queue = %queue.key, "polling resumes: the queue opens soon");
                }
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

/// Returns how long before an opening polling resumes. At a tiny pace the turn is longer than any `Duration`.
fn lead(turn: Duration, idle_pace: f64) -> Duration {
    let turn = Duration::try_from_secs_f64(turn.as_secs_f64() / idle_pace);
    turn.map_or(MAX_LEAD, |turn| MAX_LEAD.min(turn.saturating_add(TO_SPARE)))
}

/// Returns whether a queue is closed and stays so for longer than `lead`.
fn rests(span: Span, lead: Duration, now: Moment) -> bool {
    let opens_soon = |opens: Moment| opens.wall <= now.wall + lead;
    !span.is_open && !span.until.is_some_and(opens_soon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pace_is_too_small_for_a_lead() {
        let turn = Duration::from_secs(40);
        for (idle_pace, expected) in [
            (1.0, turn + TO_SPARE),
            (0.25, 4 * turn + TO_SPARE),
            (1e-18, MAX_LEAD),
            (1e-300, MAX_LEAD),
            (f64::from_bits(1), MAX_LEAD),
        ] {
            assert_eq!(lead(turn, idle_pace), expected, "{idle_pace:e}");
        }
        assert_eq!(lead(Duration::ZERO, 1e-300), TO_SPARE);
    }
}
