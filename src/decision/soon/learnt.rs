//! How long agents of one account stay in each status, and how often they become available from there.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::stay::{AsOf, Passed, Stay};
use crate::clock::Moment;

/// Stays are counted up to five minutes. Longer ones are not wrap-ups.
const LONGEST: usize = 300;

/// In steps of a second up to two minutes, as most stays in a [short](SHORT_SECONDS) status are. Then in longer ones, which are read so that no
/// chance is overstated.
const FINE: usize = 120;
const COARSE: usize = 20;
const STEPS: usize = FINE + (LONGEST - FINE) / COARSE;

/// Each stay multiplies the weight of the older ones by this: after about 350 stays, one counts half.
const FADING: f64 = 0.998;

/// Before any observation, a stay is assumed to last 45 s on average, with the weight of this many stays.
const ASSUMED_STAYS: f64 = 20.0;
const ASSUMED_MEAN_SECONDS: f64 = 45.0;

/// Before any observation, 10 of 11 stays are assumed to end in available.
const ASSUMED_ENDS: f64 = 11.0;
const ASSUMED_RETURNS: f64 = 10.0;

/// If hardly any stay has lasted as long as this one, it is assumed to end within 30 s on average.
const RARE: f64 = 0.001;
const OVERDUE_SECONDS: f64 = 30.0;

/// Returns from a status are taken to have been seen over this much more time, so that the first one predicts little.
const UNSEEN_SECONDS: f64 = 600.0;

/// A status is short if three quarters of its stays end within two minutes, and half of them in available. Every lead is shorter than that.
const SHORT_SECONDS: f64 = 120.0;
const STAY_ON_AT_MOST: f64 = 0.25;
const RETURN_AT_LEAST: f64 = 0.5;

/// With fewer stays, the assumptions weigh more than the observations, so it is not known whether a status is short.
pub const MIN_STAYS: u64 = 20;

/// At 0.7 KB each they take 11 KB for each account; accounts have about ten.
pub const MAX_STATUSES: usize = 16;

/// The most memory that a status takes, in bytes; a text that is shared has two counters.
#[cfg(test)]
pub const STATUS_BYTES: usize =
    size_of::<Status>() + (STEPS + 1) * size_of::<f32>() + MAX_NAME + 2 * size_of::<usize>();

/// More than an hour of learning is enough, and boot time begins only two days before the boot.
const MAX_LASTED_SECONDS: u64 = 86_400;

/// In bytes. Nobody picks a status with a longer name from a list, so nothing is learnt about it.
pub const MAX_NAME: usize = 96;

/// Weights are stored in thousandths: finer steps do not change an answer.
const STORED_UNITS: f64 = 1_000.0;

/// What was learnt about an account, for a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredLearnt {
    lasted_seconds: u64,
    statuses: Vec<StoredStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredStatus {
    name: Arc<str>,
    /// The weights of stays that lasted at least as many seconds as the index, in thousandths.
    reached: Vec<u32>,
    ends: f64,
    returns: f64,
    seen_returns: f64,
    seen_seconds: f64,
    stays: u64,
}

/// What was learnt about an account.
#[derive(Clone, Debug)]
pub struct Learnt {
    since: Moment,
    statuses: Vec<Status>,
}

/// What was learnt about a status.
#[derive(Clone, Debug)]
struct Status {
    name: Arc<str>,
    /// The weight of stays that lasted at least until the [start](start_of) of each step.
    reached: Box<[f32]>,
    /// The weight of all ends, and of those in available.
    ends: f64,
    returns: f64,
    /// The returns without the assumed ones, and the time over which they were seen.
    seen_returns: f64,
    seen_seconds: f64,
    stays: u64,
}

impl Learnt {
    /// Begins to learn now.
    pub fn new(now: Moment) -> Self {
        Self {
            since: now,
            statuses: Vec::new(),
        }
    }

    /// Returns for how long it has learnt.
    pub fn lasted(&self, now: Moment) -> Duration {
        now.boot_since(self.since)
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

    /// Moves what was learnt about statuses to the new names that CallTools gives them. All at once, because two may swap their names.
    ///
    /// Rows with names show a new name before the list of statuses is read again. What was learnt under it since then is added.
    pub fn rename(&mut self, renamed: &[(Arc<str>, Arc<str>)]) {
        let mut moved = Vec::new();
        for (was, is) in renamed.iter().filter(|(_, is)| is.len() <= MAX_NAME) {
            let known = self.statuses.iter().position(|one| one.name == *was);
            if let Some(known) = known {
                let status = self.statuses.swap_remove(known);
                let name = Arc::clone(is);
                moved.push(Status { name, ..status });
            }
        }
        for mut status in moved {
            let since = self.statuses.iter().position(|one| one.name == status.name);
            if let Some(since) = since {
                status.add(&self.statuses.swap_remove(since));
            }
            self.statuses.push(status);
        }
    }

    /// Returns how many stays in short statuses were learnt.
    pub fn short_stays(&self) -> u64 {
        let short = self.statuses.iter().filter(|status| status.is_short());
        short.map(|status| status.stays).sum()
    }

    /// Returns how many stays were learnt.
    pub fn stays(&self) -> u64 {
        self.statuses.iter().map(|status| status.stays).sum()
    }

    /// Returns how many stays were learnt in the status with the most.
    pub fn most_stays(&self) -> u64 {
        let stays = self.statuses.iter().map(|status| status.stays);
        stays.max().unwrap_or_default()
    }

    /// Returns the names of the short statuses.
    #[cfg(test)]
    pub fn short_statuses(&self) -> impl Iterator<Item = &str> {
        let short = self.statuses.iter().filter(|status| status.is_short());
        short.map(|status| &*status.name)
    }

    /// Returns how likely an agent who is not available will be by `until`, a boot time, from the newest look at the agent.
    pub fn chance(&self, stay: &Stay, until: Duration) -> f64 {
        self.chance_as_of(stay, stay.as_seen(), until)
    }

    /// The same if lists without the agent show more than that look.
    pub fn chance_as_of(&self, stay: &Stay, as_of: AsOf, until: Duration) -> f64 {
        let Some(status) = self.status(stay.status()).filter(|_| !stay.is_available()) else {
            return 0.0;
        };
        let lasted = as_of.lasted.max(stay.seen());
        let away = as_of.away.max(lasted);
        if !status.is_short() {
            return status.returning(until.saturating_sub(away));
        }
        // Longer than any stay that is counted: the agent has forgotten to change the status, or has left.
        let began = stay.began().unwrap_or(stay.first_seen());
        if away.saturating_sub(began).as_secs() >= LONGEST as u64 {
            return 0.0;
        }
        match stay.began() {
            Some(began) => status.ending(began, AsOf { lasted, away }, until),
            None => status.returning(until.saturating_sub(away)),
        }
    }

    /// Returns the boot time by which an agent is as likely as not to have become available; `None` if that is not within five minutes of the last
    /// moment at which the agent was not.
    pub fn free_by(&self, stay: &Stay, as_of: AsOf) -> Option<Duration> {
        let by = |seconds: usize| as_of.away + Duration::from_secs(seconds as u64);
        let (mut early, mut late) = (0, LONGEST);
        while early < late {
            let middle = (early + late) / 2;
            if self.chance_as_of(stay, as_of, by(middle)) < 0.5 {
                early = middle + 1;
            } else {
                late = middle;
            }
        }
        (self.chance_as_of(stay, as_of, by(late)) >= 0.5).then(|| by(late))
    }

    /// Returns what survives a restart.
    pub fn to_stored(&self, now: Moment) -> StoredLearnt {
        let seen = self.statuses.iter().filter(|status| status.ends > 0.0);
        StoredLearnt {
            lasted_seconds: self.lasted(now).as_secs(),
            statuses: seen.map(Status::to_stored).collect(),
        }
    }

    /// Continues with what an earlier process learnt. The time in between does not count as learning. `None` if the data is invalid.
    pub fn from_stored(mut stored: StoredLearnt, now: Moment) -> Option<Self> {
        // An earlier version kept more.
        let by_stays = |status: &StoredStatus| std::cmp::Reverse(status.stays);
        stored.statuses.sort_by_key(by_stays);
        stored.statuses.truncate(MAX_STATUSES);
        let statuses = stored.statuses.into_iter().map(Status::from_stored);
        let mut statuses: Vec<_> = statuses.collect::<Option<_>>()?;
        statuses.shrink_to_fit();
        Some(Self {
            since: now.earlier(Duration::from_secs(
                stored.lasted_seconds.min(MAX_LASTED_SECONDS),
            )),
            statuses,
        })
    }

    fn status(&self, name: &str) -> Option<&Status> {
        self.statuses.iter().find(|status| *status.name == *name)
    }

    /// Returns a status, which is created if necessary. If there are too many, it replaces the one with the fewest stays.
    fn status_mut(&mut self, name: &Arc<str>) -> Option<&mut Status> {
        if name.is_empty() || name.len() > MAX_NAME {
            return None;
        }
        let known = self.statuses.iter().position(|one| one.name == *name);
        let place = known.unwrap_or_else(|| {
            if self.statuses.len() >= MAX_STATUSES {
                let least = (0..self.statuses.len()).min_by_key(|n| self.statuses[*n].stays);
                self.statuses.swap_remove(least.unwrap_or_default());
            }
            self.statuses.reserve_exact(1);
            self.statuses.push(Status::new(Arc::clone(name)));
            self.statuses.len() - 1
        });
        let status = self.statuses.get_mut(place)?;
        // The same text as that of the current stays, so that it is not kept twice after a restart.
        status.name = Arc::clone(name);
        Some(status)
    }
}

/// Returns the second at which a step starts.
fn start_of(step: usize) -> usize {
    step + step.saturating_sub(FINE) * (COARSE - 1)
}

/// Returns the step that a time is in, and which part of it has passed.
fn step_at(seconds: f64) -> (usize, f64) {
    let coarse = (seconds - FINE as f64) / COARSE as f64;
    let steps = if coarse < 0.0 {
        seconds
    } else {
        FINE as f64 + coarse
    };
    (steps as usize, steps.fract())
}

/// Returns the weight of assumed stays that last at least until a step starts.
fn assumed(step: usize) -> f64 {
    ASSUMED_STAYS * (-(start_of(step) as f64) / ASSUMED_MEAN_SECONDS).exp()
}

impl Status {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            reached: (0..=STEPS).map(|step| assumed(step) as f32).collect(),
            ends: ASSUMED_ENDS,
            returns: ASSUMED_RETURNS,
            seen_returns: 0.0,
            seen_seconds: 0.0,
            stays: 0,
        }
    }

    fn to_stored(&self) -> StoredStatus {
        let unit = |second: usize| (self.reached(second as f64).1 * STORED_UNITS).round() as u32;
        StoredStatus {
            name: Arc::clone(&self.name),
            reached: (0..=LONGEST).map(unit).collect(),
            ends: self.ends,
            returns: self.returns,
            seen_returns: self.seen_returns,
            seen_seconds: self.seen_seconds,
            stays: self.stays,
        }
    }

    /// Returns `None` if the data cannot have been written by openseat: results would then not be probabilities.
    fn from_stored(stored: StoredStatus) -> Option<Self> {
        let reached = &stored.reached;
        let falls = reached.len() == LONGEST + 1 && reached.is_sorted_by(|one, next| one >= next);
        let is_weight = |weight: f64| weight.is_finite() && weight >= 0.0;
        let are_weights = is_weight(stored.seen_returns) && is_weight(stored.seen_seconds);
        let is_sound = falls
            && reached[0] > 0
            && are_weights
            && stored.ends > 0.0
            && (0.0..=stored.ends).contains(&stored.returns)
            && stored.name.len() <= MAX_NAME;
        is_sound.then(|| Self {
            reached: (0..=STEPS)
                .map(|step| (f64::from(reached[start_of(step)]) / STORED_UNITS) as f32)
                .collect(),
            name: stored.name,
            ends: stored.ends,
            returns: stored.returns,
            seen_returns: stored.seen_returns,
            seen_seconds: stored.seen_seconds,
            stays: stored.stays,
        })
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
        let seconds = usize::try_from(lasted.as_secs()).unwrap_or(LONGEST);
        for (step, weight) in self.reached.iter_mut().enumerate() {
            let has_reached = start_of(step) <= seconds;
            *weight = *weight * FADING as f32 + f32::from(u8::from(has_reached));
        }
    }

    /// Returns the share of stays that last at least this long: between these two.
    fn lasting(&self, seconds: f64) -> (f64, f64) {
        let ((least, most), all) = (self.reached(seconds), f64::from(self.reached[0]));
        (least / all, most / all)
    }

    /// Returns the weight of stays that last at least this long: between these two. Within a second it falls linearly. In a longer step, all of its stays
    /// may have ended by then, or none.
    fn reached(&self, seconds: f64) -> (f64, f64) {
        let (step, part) = step_at(seconds.clamp(0.0, LONGEST as f64));
        let reached = |step: usize| f64::from(self.reached[step.min(STEPS)]);
        let (here, next) = (reached(step), reached(step + 1));
        if step < FINE {
            let between = here + (next - here) * part;
            return (between, between);
        }
        (if part > 0.0 { next } else { here }, here)
    }

    /// Adds what was learnt since about the same status under another name, without what was assumed there.
    fn add(&mut self, since: &Status) {
        let fades = since.ends_fade();
        for (step, (weight, new)) in self.reached.iter_mut().zip(&since.reached).enumerate() {
            let new = f64::from(*new) - assumed(step) * fades;
            *weight = (f64::from(*weight) * fades + new.max(0.0)) as f32;
        }
        self.ends = self.ends * fades + (since.ends - ASSUMED_ENDS * fades).max(0.0);
        let returns = (since.returns - ASSUMED_RETURNS * fades).max(0.0);
        self.returns = (self.returns * fades + returns).min(self.ends);
        self.seen_returns = self.seen_returns * fades + since.seen_returns;
        self.seen_seconds = self.seen_seconds * fades + since.seen_seconds;
        self.stays = self.stays.saturating_add(since.stays);
    }

    /// Returns by how much all ends so far have faded what was there before. It follows from the weight of the ends, whose number is not stored.
    fn ends_fade(&self) -> f64 {
        let step = 1.0 - FADING;
        ((1.0 - self.ends * step) / (1.0 - ASSUMED_ENDS * step)).clamp(0.0, 1.0)
    }

    fn is_short(&self) -> bool {
        self.stays >= MIN_STAYS
            && self.lasting(SHORT_SECONDS).1 <= STAY_ON_AT_MOST
            && self.returns >= RETURN_AT_LEAST * self.ends
    }

    /// Returns how likely a stay that began at `began` ends in available by `until`.
    ///
    /// If the agent was not seen for a while and only known not to be available, the stay may have ended in another status. The longer the agent has
    /// not come, the likelier that is.
    fn ending(&self, began: Duration, as_of: AsOf, until: Duration) -> f64 {
        let lasting = |moment: Duration| self.lasting(moment.saturating_sub(began).as_secs_f64());
        let (_, still_there) = lasting(as_of.lasted);
        if still_there < RARE {
            let ahead = until.saturating_sub(as_of.away).as_secs_f64();
            return 1.0 - (-ahead / OVERDUE_SECONDS).exp();
        }
        let returns = self.returns / self.ends;
        let ((not_ended, _), (_, left)) = (lasting(as_of.away), lasting(until.max(as_of.away)));
        let not_come = (1.0 - returns) * still_there + returns * not_ended;
        // If every stay returns and none lasts so long, nothing is known.
        (returns * (not_ended - left) / not_come.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
    }

    /// Returns how likely an agent in this status becomes available within this time, whenever the stay began.
    fn returning(&self, within: Duration) -> f64 {
        let rate = self.seen_returns / (self.seen_seconds + UNSEEN_SECONDS);
        1.0 - (-rate * within.as_secs_f64()).exp()
    }
}
