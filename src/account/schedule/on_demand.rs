//! On demand: in a small account, the budget can pay for a poll for each question that waits.
//!
//! Such an answer is as fresh as CallTools' own. So if there are few questions and nearly all of them wait, every question whose answer is older
//! polls its queue, even if no single change could turn the answer. The background gets the rest of the budget.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How long the busiest hour is remembered: a week, because Mondays are busier than Sundays.
const REMEMBERED: Duration = Duration::from_secs(7 * 86_400);

/// The requests per hour that the background keeps: statuses every minute, and a poll every four minutes.
const BACKGROUND: f64 = 75.0;

/// The mode starts if the busiest hour needs less than this part of what the background leaves, and ends above [`MAX_PART`]. So the busiest hour
/// may become slightly busier.
const ENTER_PART: f64 = 0.75;
const MAX_PART: f64 = 0.85;

/// The background leaves this many times the requests of the busiest hour.
const SPARE: f64 = 1.2;

/// The minimum part of questions that wait. The others are answered from what the background has read, which is older in this mode.
const PATIENT_PART: f64 = 0.9;

/// The questions of a minute: all, and those that wait.
#[derive(Clone, Copy, Debug)]
struct Minute {
    begun: Duration,
    asked: u64,
    patient: u64,
}

/// What outlives the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BusyHours {
    /// For how long questions have been counted, up to an hour.
    counted_ms: u64,
    /// For each hour of the last week, its start in wall time, and the maximum of questions that waited in any hour that ended within it.
    hours: Vec<(u64, u64)>,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct OnDemand {
    /// The minutes of the last hour.
    minutes: VecDeque<Minute>,
    /// For each hour of the last week, until when it is remembered, and the maximum of questions that waited in any hour that ended within it.
    hours: VecDeque<(Duration, u64)>,
    begun: Option<Duration>,
    /// How many requests polling may send per hour.
    per_hour: f64,
    is_on: bool,
}

impl OnDemand {
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Counts the questions since the last call, all and those that wait. `per_hour` is how many requests polling may send per hour.
    pub fn count(&mut self, asked: u64, patient: u64, per_hour: f64, now: Duration) {
        self.per_hour = per_hour;
        let begun = *self.begun.get_or_insert(now);
        let is_this_minute = |minute: &&mut Minute| now < minute.begun + MINUTE;
        match self.minutes.back_mut().filter(is_this_minute) {
            Some(minute) => {
                minute.asked += asked;
                minute.patient += patient;
            }
            None => self.minutes.push_back(Minute {
                begun: now,
                asked,
                patient,
            }),
        }
        while self
            .minutes
            .front()
            .is_some_and(|first| first.begun + HOUR <= now)
        {
            self.minutes.pop_front();
        }
        self.remember(now);
        let is_known = now >= begun + HOUR;
        self.is_on = is_known && self.is_affordable() && self.do_nearly_all_wait();
    }

    /// Returns how much slower the background is to leave requests for the questions' polls.
    pub fn stretch(&self) -> f64 {
        let left = self.per_hour - SPARE * self.busiest() as f64;
        self.per_hour / left.max(BACKGROUND)
    }

    /// Returns what to store at `now`, which is `wall` in wall time.
    pub fn busy_hours(&self, now: Duration, wall: Duration) -> BusyHours {
        let counted = self.begun.map_or(Duration::ZERO, |begun| now - begun);
        let stored = |(until, most): &(Duration, u64)| {
            let begun = wall + until.saturating_sub(now);
            (begun.saturating_sub(REMEMBERED).as_millis() as u64, *most)
        };
        BusyHours {
            counted_ms: counted.min(HOUR).as_millis() as u64,
            hours: self.hours.iter().map(stored).collect(),
        }
    }

    /// Continues from what an earlier task or process stored. Questions that it counted within the last hour are not known.
    pub fn recall(&mut self, stored: &BusyHours, now: Duration, wall: Duration) {
        let counted = Duration::from_millis(stored.counted_ms).min(HOUR);
        self.begun = Some(now.saturating_sub(counted));
        let hours = stored.hours.iter().filter_map(|&(begun, most)| {
            let age = wall.saturating_sub(Duration::from_millis(begun));
            let left = REMEMBERED.checked_sub(age)?;
            Some((now + left, most))
        });
        self.hours = hours.collect();
        if self.hours.is_empty() {
            self.begun = None; // Nothing is known about the last week.
        }
    }

    fn remember(&mut self, now: Duration) {
        let patient: u64 = self.minutes.iter().map(|minute| minute.patient).sum();
        match self.hours.back_mut() {
            Some((until, most)) if now + REMEMBERED < *until + HOUR => *most = patient.max(*most),
            _ => self.hours.push_back((now + REMEMBERED, patient)),
        }
        while self.hours.front().is_some_and(|(until, _)| *until <= now) {
            self.hours.pop_front();
        }
    }

    fn busiest(&self) -> u64 {
        let most = self.hours.iter().map(|(_, most)| *most);
        most.max().unwrap_or_default()
    }

    fn is_affordable(&self) -> bool {
        let part = if self.is_on { MAX_PART } else { ENTER_PART };
        (self.busiest() as f64) < part * (self.per_hour - BACKGROUND)
    }

    fn do_nearly_all_wait(&self) -> bool {
        let sum = |of: fn(&Minute) -> u64| self.minutes.iter().map(of).sum::<u64>();
        let (asked, patient) = (sum(|minute| minute.asked), sum(|minute| minute.patient));
        patient > 0 && patient as f64 >= PATIENT_PART * asked as f64
    }
}

#[cfg(test)]
mod tests;
