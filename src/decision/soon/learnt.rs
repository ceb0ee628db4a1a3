//! How long agents of one account stay in each status, and how often they become available from there.

use std::{sync::Arc, time::Duration};

use super::stay::{Passed, Stay};
use crate::clock::Moment;

/// Stays are counted in steps of a second up to five minutes. Longer ones are no wrap-up.
const STEPS: usize = 300;

/// Each stay leaves this much weight to the older ones: about 350 stays are remembered half.
const FADING: f64 = 0.998;

/// Before anything is seen, a stay is taken to last 45 s on average, with the weight of so many stays.
const ASSUMED_STAYS: f64 = 20.0;
const ASSUMED_MEAN_SECONDS: f64 = 45.0;

/// Before anything is seen, 10 of 11 stays end in available.
const ASSUMED_ENDS: f64 = 11.0;
const ASSUMED_RETURNS: f64 = 10.0;

/// Where hardly any stay has lasted as long as this one, it ends within 30 s on average.
const RARE: f64 = 0.001;
const OVERDUE_SECONDS: f64 = 30.0;

/// A status is short if three quarters of its stays end within two minutes and half of them in available; a lead is shorter than that.
const SHORT_SECONDS: f64 = 120.0;
const STAY_ON_AT_MOST: f64 = 0.25;
const RETURN_AT_LEAST: f64 = 0.5;

/// Fewer stays say more of what was assumed than of what was seen.
const FEWEST_STAYS: u64 = 20;

/// With 1.4 KB each they take 50 KB an account, and accounts have about ten.
pub const MAX_STATUSES: usize = 32;

/// Longer names are no status that a person picks from a list.
pub const MAX_NAME: usize = 96;

/// What was learnt of one account.
#[derive(Clone, Debug)]
pub struct Learnt {
    since: Moment,
    statuses: Vec<Status>,
}

/// What was learnt of one status.
#[derive(Clone, Debug)]
struct Status {
    name: Arc<str>,
    /// The weight of stays that lasted at least so many seconds.
    reached: Box<[f32]>,
    /// The weight of all ends, and of those in available.
    ends: f64,
    returns: f64,
    /// The same without what was assumed, and the time in which they were seen.
    seen_returns: f64,
    seen_seconds: f64,
    stays: u64,
}

impl Learnt {
    /// Nothing yet, from now on.
    pub fn new(now: Moment) -> Self {
        Self {
            since: now,
            statuses: Vec::new(),
        }
    }

    /// For how long it was learnt: never more than any clock says.
    pub fn lasted(&self, now: Moment) -> Duration {
        now.shortest_since(self.since)
    }

    /// Counts time that an agent spent in a status.
    pub fn learn(&mut self, passed: &Passed) {
        let Some(status) = self.status_mut(&passed.status) else {
            return;
        };
        status.seen_seconds += passed.time.as_secs_f64();
        if let Some(ended) = passed.ended {
            status.end(ended.lasted, ended.available);
        }
    }

    /// CallTools calls a status by another name now. What was learnt goes with it.
    pub fn rename(&mut self, was: &str, is: &Arc<str>) {
        if is.len() > MAX_NAME || self.status(is).is_some() {
            return;
        }
        let renamed = self.statuses.iter_mut().find(|status| *status.name == *was);
        if let Some(status) = renamed {
            status.name = Arc::clone(is);
        }
    }

    /// How many stays were learnt of statuses that are short.
    pub fn short_stays(&self) -> u64 {
        let short = self.statuses.iter().filter(|status| status.is_short());
        short.map(|status| status.stays).sum()
    }

    /// The names of statuses that are short.
    pub fn short_statuses(&self) -> impl Iterator<Item = &str> {
        let short = self.statuses.iter().filter(|status| status.is_short());
        short.map(|status| &*status.name)
    }

    /// How likely an agent, who is not available, has become so by `until`, which is boot time.
    pub fn chance(&self, stay: &Stay, until: Duration) -> f64 {
        let Some(status) = self.status(stay.status()) else {
            return 0.0;
        };
        let began = stay.began().filter(|_| status.is_short());
        let ending = began.and_then(|began| status.ending(began, stay.seen(), until));
        ending.unwrap_or_else(|| status.returning(until.saturating_sub(stay.seen())))
    }

    fn status(&self, name: &str) -> Option<&Status> {
        self.statuses.iter().find(|status| *status.name == *name)
    }

    /// A new status takes the place of the one that was seen least, once there are too many.
    fn status_mut(&mut self, name: &Arc<str>) -> Option<&mut Status> {
        if name.len() > MAX_NAME {
            return None;
        }
        let known = self.statuses.iter().position(|one| one.name == *name);
        let place = known.unwrap_or_else(|| {
            if self.statuses.len() >= MAX_STATUSES {
                let least = (0..self.statuses.len()).min_by_key(|n| self.statuses[*n].stays);
                self.statuses.swap_remove(least.unwrap_or_default());
            }
            self.statuses.push(Status::new(Arc::clone(name)));
            self.statuses.len() - 1
        });
        self.statuses.get_mut(place)
    }
}

impl Status {
    fn new(name: Arc<str>) -> Self {
        let assumed = |second| ASSUMED_STAYS * (-f64::from(second) / ASSUMED_MEAN_SECONDS).exp();
        Self {
            name,
            reached: (0..=STEPS as u16)
                .map(|second| assumed(second) as f32)
                .collect(),
            ends: ASSUMED_ENDS,
            returns: ASSUMED_RETURNS,
            seen_returns: 0.0,
            seen_seconds: 0.0,
            stays: 0,
        }
    }

    fn end(&mut self, lasted: Option<Duration>, available: bool) {
        let returned = f64::from(u8::from(available));
        self.ends = self.ends * FADING + 1.0;
        self.returns = self.returns * FADING + returned;
        self.seen_seconds *= FADING;
        self.seen_returns = self.seen_returns * FADING + returned;
        let Some(lasted) = lasted else {
            return;
        };
        self.stays = self.stays.saturating_add(1);
        let seconds = usize::try_from(lasted.as_secs()).unwrap_or(STEPS);
        for (second, weight) in self.reached.iter_mut().enumerate() {
            *weight = *weight * FADING as f32 + f32::from(u8::from(second <= seconds));
        }
    }

    /// The share of stays that last so long; between two steps it falls evenly.
    fn lasting(&self, seconds: f64) -> f64 {
        let seconds = seconds.clamp(0.0, STEPS as f64);
        let step = seconds as usize;
        let reached = |step: usize| f64::from(self.reached[step.min(STEPS)]);
        let (here, next) = (reached(step), reached(step + 1));
        (here + (next - here) * seconds.fract()) / reached(0)
    }

    fn is_short(&self) -> bool {
        self.stays >= FEWEST_STAYS
            && self.lasting(SHORT_SECONDS) <= STAY_ON_AT_MOST
            && self.returns >= RETURN_AT_LEAST * self.ends
    }

    /// How likely a stay, that began then and was seen last at `seen`, ends in available by `until`. `None` for a stay that is longer than
    /// any that is counted: such an agent has forgotten it, or has left.
    fn ending(&self, began: Duration, seen: Duration, until: Duration) -> Option<f64> {
        let since = |moment: Duration| moment.saturating_sub(began).as_secs_f64();
        if since(seen) > STEPS as f64 {
            return None;
        }
        let still_there = self.lasting(since(seen));
        if still_there < RARE {
            let ahead = until.saturating_sub(seen).as_secs_f64();
            return Some(1.0 - (-ahead / OVERDUE_SECONDS).exp());
        }
        let stays_on = self.lasting(since(until.max(seen))) / still_there;
        Some(self.returns / self.ends * (1.0 - stays_on))
    }

    /// How likely an agent in this status becomes available within this time, whenever they came.
    fn returning(&self, within: Duration) -> f64 {
        if self.seen_seconds <= 0.0 {
            return 0.0;
        }
        let rate = self.seen_returns / self.seen_seconds;
        1.0 - (-rate * within.as_secs_f64()).exp()
    }
}
