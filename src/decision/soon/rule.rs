//! The rule: at zero seats, accept if somebody is likely enough to be free when the call arrives.

use std::time::Duration;

use super::learnt::Learnt;
use crate::clock::Moment;

/// A higher cost leaves nothing to gain: hardly any wrap-up is certain enough.
pub const MAX_COST: f64 = 3.0;

/// Less than an hour, or fewer than a hundred stays, say too little of an account.
const LEARN_FOR: Duration = Duration::from_secs(3_600);
const LEARN_STAYS: u64 = 100;

/// Where fewer agents are seen than six tenths of those foretold, something is wrong that a factor does not mend.
pub const LEAST_CALIBRATION: f64 = 0.6;

/// What the operator knows of a queue's calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    lead: Duration,
    patience: Duration,
    cost: f64,
}

/// A cost that the rule cannot work with.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a cost of {0} leaves nothing to gain: use a number above 0, and at most {MAX_COST}")]
pub struct BadCost(pub f64);

/// Why the rule must not act.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Off {
    /// The account is too new.
    #[error("it has learnt for {} of 60 minutes", .0.as_secs() / 60)]
    TooNew(Duration),
    /// No status is short, or none of the stays in it were seen.
    #[error(
        "no status is short enough: agents seem to have no wrap-up status, or stay there for more than two minutes"
    )]
    NoShortStatus,
    /// Too few stays were learnt.
    #[error("it has learnt {0} of 100 stays in short statuses")]
    FewStays(u64),
    /// Too few agents came who were foretold.
    #[error("only {0:.2} of the agents who were foretold were seen; it needs {LEAST_CALIBRATION}")]
    BadlyCalibrated(f64),
}

/// Counts at the moment of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// Agents who would take a call now.
    pub count: u32,
    /// Seats held for calls on their way.
    pub reserved: u32,
    /// The queue accepts above this.
    pub threshold: u32,
}

/// What the rule says at zero seats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foretold {
    /// How likely somebody will be free.
    pub likely: f64,
    /// How likely it has to be.
    pub needed: f64,
}

impl Terms {
    /// # Errors
    /// [`BadCost`], if `cost` is not above 0, or above [`MAX_COST`].
    pub fn new(lead: Duration, patience: Duration, cost: f64) -> Result<Self, BadCost> {
        if !(cost > 0.0 && cost <= MAX_COST) {
            return Err(BadCost(cost));
        }
        Ok(Self {
            lead,
            patience,
            cost,
        })
    }

    /// From the answer to the agent's phone.
    pub fn lead(&self) -> Duration {
        self.lead
    }

    /// How long a call may wait there.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// When a call that is accepted now gives up, as boot time.
    pub fn until(&self, now: Moment) -> Duration {
        now.boot + self.lead + self.patience
    }

    /// The probability from which on accepting costs less than rejecting.
    pub fn needed(&self) -> f64 {
        self.cost / (1.0 + self.cost)
    }
}

impl Seats {
    /// Nobody is free, and nobody is missing: only here the rule has a say.
    pub fn are_at_threshold(self) -> bool {
        u64::from(self.count) == u64::from(self.reserved) + u64::from(self.threshold)
    }
}

impl Foretold {
    /// Whether to accept.
    pub fn accepts(self) -> bool {
        self.likely > self.needed
    }
}

/// Whether the rule may act, after what was learnt.
///
/// # Errors
/// The first reason why not.
pub fn may_act(learnt: &Learnt, calibration: f64, now: Moment) -> Result<(), Off> {
    let lasted = learnt.lasted(now);
    if lasted < LEARN_FOR {
        return Err(Off::TooNew(lasted));
    }
    match learnt.short_stays() {
        0 => return Err(Off::NoShortStatus),
        stays if stays < LEARN_STAYS => return Err(Off::FewStays(stays)),
        _ => {}
    }
    if calibration < LEAST_CALIBRATION {
        return Err(Off::BadlyCalibrated(calibration));
    }
    Ok(())
}

/// How likely at least one of the members is free, by their [chances](Learnt::chance). Calls that were accepted like this and are on their way
/// take the likeliest members, `taken` in number: two calls never bet on the same wrap-up.
pub fn likely(chances: impl IntoIterator<Item = f64>, taken: usize) -> f64 {
    let mut chances: Vec<f64> = chances.into_iter().collect();
    if taken > 0 {
        chances.sort_by(|one, other| other.total_cmp(one));
    }
    let nobody = chances.iter().skip(taken).map(|chance| 1.0 - chance);
    1.0 - nobody.product::<f64>()
}
