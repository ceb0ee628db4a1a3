//! Says whether `soon` acts in each queue, and why not: in the report about calls at zero seats, and in the log when that changes.

use std::sync::Arc;

use super::Account;
use crate::{
    clock::Moment,
    config::Rule,
    decision::soon::{
        report::{AccountReport, State},
        rule::Off,
    },
};

/// How many queues a line of the log names: as many as people read in one line.
const NAMED: usize = 5;

impl Account {
    /// Returns whether the rule acts in a queue. `may` says whether it may in the account.
    pub(super) fn soon_state(&self, place: usize, may: Result<(), Off>) -> State {
        let queue = &self.deps.queues[place];
        let may = match self.is_failing(place) {
            true => Err(Off::QueueUnread),
            false => may,
        };
        match (&queue.rule, queue.soon.is_on) {
            (Rule::Custom(_), _) => State::OtherRule,
            (_, true) => State::Asked(may),
            (_, false) => State::Measured(may),
        }
    }

    /// Updates the report about calls at zero seats, and logs where the rule has begun or ceased to act.
    pub(super) fn tell_foresight(&self, now: Moment) {
        let may = self.may_foresee(now);
        let queues = self.deps.queues.iter().zip(&self.queues).enumerate();
        let queues = queues.map(|(place, (queue, at_work))| {
            let state = self.soon_state(place, may);
            (
                Arc::clone(&queue.key.queue),
                at_work.id,
                queue.soon.terms,
                state,
            )
        });
        let report = self.foresight.report(queues, now);
        let told = self.deps.health.borrow().soon.clone();
        if told.as_deref() == Some(&report) {
            return;
        }
        for change in changes(told.as_deref(), &report) {
            self.log(&change);
        }
        self.deps
            .health
            .send_modify(|health| health.soon = Some(Arc::new(report)));
    }

    fn log(&self, change: &Change) {
        let (account, queues) = (&*self.name, change.names());
        match change.may {
            Ok(()) => tracing::info!(
                account,
                queues,
                "`soon` acts: calls are accepted at zero seats if an agent will likely be free"
            ),
            Err(why) if why.may_pass_by_learning() && !change.has_acted => tracing::info!(
                account,
                queues,
                %why,
                "`soon` is on, but does not act yet: calls at zero seats are rejected"
            ),
            Err(why) => tracing::warn!(
                account,
                queues,
                %why,
                "`soon` is on, but does not act: calls at zero seats are rejected"
            ),
        }
    }
}

/// Queues in which the rule has begun to act, or to be held back for the same reason.
#[derive(Debug, PartialEq)]
struct Change {
    may: Result<(), Off>,
    /// Whether it acted in these queues until now.
    has_acted: bool,
    queues: Vec<Arc<str>>,
}

impl Change {
    fn names(&self) -> String {
        let (first, more) = self.queues.split_at(NAMED.min(self.queues.len()));
        let first = first.join(", ");
        match more.len() {
            0 => first,
            more => format!("{first} and {more} more"),
        }
    }
}

/// Returns what has changed since the last report. Most reasons hold for the whole account, so it is one change for all of its queues.
fn changes(told: Option<&AccountReport>, report: &AccountReport) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (place, queue) in report.queues.iter().enumerate() {
        let State::Asked(may) = queue.state else {
            continue;
        };
        let was = told.and_then(|told| {
            let there = told.queues.get(place);
            let there = there.filter(|was| was.queue == queue.queue);
            there.or_else(|| told.queue(&queue.queue))
        });
        let was = match was.map(|was| was.state) {
            Some(State::Asked(was)) => Some(was),
            _ => None,
        };
        if !is_news(was, may) {
            continue;
        }
        let has_acted = was == Some(Ok(()));
        let is_same = |one: &&mut Change| is_alike(one.may, may) && one.has_acted == has_acted;
        match changes.iter_mut().find(is_same) {
            Some(known) => known.queues.push(Arc::clone(&queue.queue)),
            None => changes.push(Change {
                may,
                has_acted,
                queues: vec![Arc::clone(&queue.queue)],
            }),
        }
    }
    changes
}

/// Returns whether the log says that the rule may act in a queue, or why not. `was` is `None` in the first report since the rule was turned on: it is
/// expected to act then, or to be too new. After an hour it could act, so then the log says once what is still to be learnt, also if the hour ended
/// while the queue's list could not be read.
fn is_news(was: Option<Result<(), Off>>, may: Result<(), Off>) -> bool {
    match (was, may) {
        (Some(was), may) if is_alike(was, may) => false,
        (None, Ok(())) => false,
        (None, Err(off)) => !off.is_usual_at_first(),
        (Some(Err(Off::QueueUnread)), Err(Off::TooNew(_))) => false,
        (Some(Err(Off::TooNew(_) | Off::QueueUnread)), Err(_)) => true,
        (Some(Err(_)), Err(off)) => !off.is_usual_at_first() && !off.may_pass_by_learning(),
        (Some(_), _) => true,
    }
}

fn is_alike(one: Result<(), Off>, other: Result<(), Off>) -> bool {
    match (one, other) {
        (Ok(()), Ok(())) => true,
        (Err(one), Err(other)) => one.is_like(other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decision::soon::{report::QueueReport, rule::Terms};

    fn report(states: &[State]) -> AccountReport {
        let queue = |(place, state): (usize, &State)| QueueReport {
            queue: format!("queue-{place}").into(),
            terms: Terms::DEFAULT,
            state: *state,
            calls: None,
            arrives_within: None,
        };
        AccountReport {
            queues: states.iter().enumerate().map(queue).collect(),
            ..AccountReport::default()
        }
    }

    const NEW: Off = Off::TooNew(Duration::from_secs(60));
    const ACTS: State = State::Asked(Ok(()));

    fn held_back(why: Off) -> State {
        State::Asked(Err(why))
    }

    #[test]
    fn a_line_is_written_when_the_rule_acts_or_ceases_to_and_once_if_it_does_not_after_an_hour() {
        let bad = Off::BadlyCalibrated;
        for (was, is, expected) in [
            (None, held_back(NEW), None),
            (None, held_back(Off::FeedNotProven), None),
            (
                None,
                held_back(Off::QueueUnread),
                Some(Err(Off::QueueUnread)),
            ),
            (None, ACTS, None),
            (
                Some(held_back(NEW)),
                held_back(Off::NoStays),
                Some(Err(Off::NoStays)),
            ),
            (
                Some(held_back(NEW)),
                held_back(Off::FeedNotProven),
                Some(Err(Off::FeedNotProven)),
            ),
            (
                Some(held_back(Off::NoStays)),
                held_back(Off::TooFewToTell(3)),
                None,
            ),
            (
                Some(held_back(Off::TooFewToTell(19))),
                held_back(Off::FewStays(30)),
                None,
            ),
            (
                Some(held_back(Off::FewStays(99))),
                held_back(Off::FeedNotProven),
                None,
            ),
            // The list cannot be read when the hour ends.
            (
                Some(held_back(NEW)),
                held_back(Off::QueueUnread),
                Some(Err(Off::QueueUnread)),
            ),
            (Some(held_back(Off::QueueUnread)), held_back(NEW), None),
            (
                Some(held_back(Off::QueueUnread)),
                held_back(Off::FewStays(30)),
                Some(Err(Off::FewStays(30))),
            ),
            // An earlier process has learnt for an hour.
            (
                None,
                held_back(Off::FewStays(30)),
                Some(Err(Off::FewStays(30))),
            ),
            (Some(held_back(NEW)), ACTS, Some(Ok(()))),
            (
                Some(held_back(NEW)),
                held_back(Off::NoShortStatus(20)),
                Some(Err(Off::NoShortStatus(20))),
            ),
            (Some(ACTS), ACTS, None),
            (Some(ACTS), held_back(bad(0.5)), Some(Err(bad(0.5)))),
            (Some(held_back(bad(0.5))), held_back(bad(0.4)), None),
            (Some(held_back(bad(0.5))), ACTS, Some(Ok(()))),
            (
                Some(ACTS),
                held_back(Off::FeedNotProven),
                Some(Err(Off::FeedNotProven)),
            ),
            // Turned on by a reload, or turned off.
            (Some(State::Measured(Ok(()))), ACTS, None),
            (
                Some(State::Measured(Err(bad(0.5)))),
                held_back(bad(0.5)),
                Some(Err(bad(0.5))),
            ),
            (Some(ACTS), State::Measured(Err(bad(0.5))), None),
            (Some(State::OtherRule), State::OtherRule, None),
        ] {
            let told = was.map(|was| report(&[was]));
            let changes = changes(told.as_ref(), &report(&[is]));
            let logged = changes.first().map(|change| change.may);
            assert_eq!(logged, expected, "{was:?} {is:?}");
        }
    }

    #[test]
    fn queues_with_the_same_reason_share_a_line() {
        let told = report(&[ACTS; 9]);
        let mut states = vec![held_back(Off::BadlyCalibrated(0.5)); 9];
        states[1] = held_back(Off::QueueUnread);
        states[2] = ACTS;
        let now = report(&states);
        let lines = |told| {
            let changes = changes(Some(told), &now).into_iter();
            let changes = changes.map(|change| (change.may, change.names()));
            changes.collect::<Vec<_>>()
        };
        let expected = [
            (
                Err(Off::BadlyCalibrated(0.5)),
                "queue-0, queue-3, queue-4, queue-5, queue-6 and 2 more".to_owned(),
            ),
            (Err(Off::QueueUnread), "queue-1".to_owned()),
        ];
        assert_eq!(lines(&told), expected);
        // A reload has moved the queues.
        let mut moved = told.clone();
        moved.queues.reverse();
        assert_eq!(lines(&moved), expected);
        assert_eq!(lines(&now), []);
    }

    #[test]
    fn only_a_rule_that_did_not_act_before_does_not_act_yet() {
        let was = report(&[ACTS, held_back(NEW), ACTS]);
        let changes = changes(Some(&was), &report(&[held_back(Off::FewStays(30)); 3]));
        let changes = changes.iter().map(|one| (one.has_acted, one.names()));
        assert!(changes.eq([
            (true, "queue-0, queue-2".to_owned()),
            (false, "queue-1".to_owned())
        ]));
    }
}
