//! The rule: at zero seats, accept if somebody is likely enough to be free when the call arrives.

use std::time::Duration;

use super::{
    bets::QueueBets,
    learnt::{Learnt, MIN_STAYS},
};
use crate::clock::Moment;

/// A higher cost leaves nothing to gain, because hardly any wrap-up is certain enough.
pub const MAX_COST: f64 = 3.0;

/// Less than an hour, or fewer than a hundred stays, say too little about an account.
const LEARN_FOR: Duration = Duration::from_secs(3_600);
const LEARN_STAYS: u64 = 100;

/// If fewer than six tenths of the predicted agents are seen, something is wrong that a factor does not correct.
pub const MIN_CALIBRATION: f64 = 0.6;

/// What the operator sets about a queue's calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// In milliseconds: small, because each queue's prediction has them.
    lead_ms: u32,
    patience_ms: u32,
    cost: f64,
    /// Follows from the cost; kept, since each decision at zero seats asks for it.
    needed: f64,
}

/// A cost that the rule cannot work with.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "must be above 0 and at most {MAX_COST}, not {0}: hardly any wrap-up is certain enough for a higher cost"
)]
pub struct BadCost(pub f64);

/// Why the rule must not act.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Off {
    /// The account is too new.
    #[error("it has learnt for {} of 60 minutes", .0.as_secs() / 60)]
    TooNew(Duration),
    /// No stay was learnt.
    #[error(
        "it has not yet seen how long a wrap-up or a break lasts; it cannot while nobody works, or if agents are only available or on calls"
    )]
    NoStays,
    /// Too few stays were learnt in any status. This is the largest number.
    #[error("it has learnt {0} of the {MIN_STAYS} stays that show whether a status is short")]
    TooFewToTell(u64),
    /// So many stays were learnt, and no status is known to be short.
    #[error(
        "it has learnt {0} stays, but no status is known to be short: agents have no wrap-up status, are seldom in it, or stay in it for more than two minutes"
    )]
    NoShortStatus(u64),
    /// Too few stays were learnt in short statuses.
    #[error("it has learnt {0} of {LEARN_STAYS} stays in short statuses")]
    FewStays(u64),
    /// The feed that statuses come from is in doubt, or on trial.
    #[error(
        "the lists that statuses come from are not proven: they contradicted each other, or are on trial"
    )]
    FeedNotProven,
    /// The queue's own polls fail, so nothing is predicted there.
    #[error("the queue's own list of agents cannot be read")]
    QueueUnread,
    /// Too few of the predicted agents came.
    #[error("only {0:.2} of the predicted agents were seen; it needs {MIN_CALIBRATION}")]
    BadlyCalibrated(f64),
}

impl Off {
    /// Whether this is usual after a start: learning takes an hour, and lists are on trial at first.
    pub fn is_usual_at_first(self) -> bool {
        matches!(self, Off::TooNew(_) | Off::FeedNotProven)
    }

    /// Whether more stays may end this.
    pub fn may_pass_by_learning(self) -> bool {
        matches!(self, Off::NoStays | Off::TooFewToTell(_) | Off::FewStays(_))
    }

    /// Whether it is the same reason, perhaps with another figure.
    pub fn is_like(self, other: Off) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Counts at the moment of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Seats<'a> {
    /// Agents who would take a call now.
    pub count: f64,
    /// The queue accepts above this count.
    pub threshold: f64,
    /// Seats held for calls on their way.
    pub held: Held<'a>,
}

/// Seats held for calls on their way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held<'a> {
    /// All of them.
    pub all: u32,
    /// Those that count on an agent who was not free when the call was accepted.
    pub bets: u32,
    /// The agents that calls of the account's queues count on; `None` if other queues do not matter.
    pub counted_on: Option<&'a QueueBets>,
}

/// When the seats that are held now were reserved, as boot times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeldSince {
    /// Those for which there was an agent.
    pub seats: Vec<Duration>,
    /// Those that count on an agent who was not free.
    pub bets: Vec<Duration>,
}

impl Held<'_> {
    /// Returns this many seats, none of which counts on an agent who was not free.
    pub fn seats(all: u32) -> Self {
        Self {
            all,
            ..Self::default()
        }
    }
}

/// The rule's prediction at zero seats. It is small, because each decision may have one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The probability above which the rule accepts.
    pub needed: f64,
    /// The call gives up after this time; 0 if it was read from a file or another node. In milliseconds.
    pub(super) within_ms: u32,
    /// The probability that somebody will be free, in percent.
    pub(super) percent: u8,
    /// Calls on their way count on this many of the likeliest members, and this call on the others.
    pub taken: u8,
}

impl Default for Terms {
    /// Short, because a lead that is too long costs calls, while one that is too short only gains less.
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Terms {
    /// The terms of queues whose config does not set them.
    pub const DEFAULT: Self = Self {
        lead_ms: 5_000,
        patience_ms: 5_000,
        cost: 2.0,
        needed: 2.0 / 3.0,
    };

    /// Creates terms with a cost that the rule can use.
    ///
    /// # Errors
    /// [`BadCost`], if `cost` is not above 0, or is above [`MAX_COST`].
    pub fn new(lead: Duration, patience: Duration, cost: f64) -> Result<Self, BadCost> {
        if !(cost > 0.0 && cost <= MAX_COST) {
            return Err(BadCost(cost));
        }
        Ok(Self {
            lead_ms: lead.as_millis() as u32,
            patience_ms: patience.as_millis() as u32,
            cost,
            needed: cost / (1.0 + cost),
        })
    }

    /// The time from the answer to the agent's phone.
    pub fn lead(&self) -> Duration {
        Duration::from_millis(self.lead_ms.into())
    }

    /// How long a call may wait there.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.into())
    }

    /// The cost of a call that finds no agent, if rejecting a good call costs 1.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// Returns when a call that is accepted now gives up, as boot time.
    pub fn until(&self, now: Moment) -> Duration {
        now.boot + self.lead() + self.patience()
    }

    /// Returns the probability above which accepting costs less than rejecting.
    pub fn needed(&self) -> f64 {
        self.needed
    }
}

impl Seats<'_> {
    /// The rule applies only if one more agent would do: there are exactly as many as the threshold, without its fraction, and the held seats need.
    /// Then returns how many calls on their way count on agents who are not free yet; each of these calls takes the likeliest agent.
    #[inline]
    pub fn bets_at_threshold(self) -> Option<usize> {
        let missing = self.threshold + f64::from(self.held.all) - self.count;
        // Agents are whole: with a threshold of 0.5, one is enough, so that none is missing beside that one.
        let whole = missing as u32;
        (missing >= 0.0 && whole <= self.held.bets).then_some(whole as usize)
    }
}

impl Prediction {
    /// Rounds the probability down to two digits, because the answer shows two digits and follows them; down, so that nothing is accepted that
    /// should not be.
    pub fn new(likely: f64, terms: Terms) -> Self {
        // The small number compensates for the multiplication: 0.29 × 100 is 28.999…. A cast of a number below zero gives 0.
        Self::from_percent((likely * 100.0 + 1e-6).min(100.0) as u8, terms)
    }

    /// The same from a number of hundredths.
    pub fn from_percent(likely: u8, terms: Terms) -> Self {
        Self {
            needed: terms.needed(),
            within_ms: terms.lead_ms + terms.patience_ms,
            percent: likely.min(100),
            taken: 0,
        }
    }

    /// Returns what is stored and sent to other nodes of a cluster: the probability in percent, and the one that was needed.
    pub fn figures(self) -> (u8, f64) {
        (self.percent, self.needed)
    }

    /// Returns the prediction that had these [figures](Self::figures); `None` if none can have had them.
    pub fn from_figures((percent, needed): (u8, f64)) -> Option<Self> {
        let is_sound = percent <= 100 && (0.0..=1.0).contains(&needed);
        is_sound.then_some(Self {
            needed,
            within_ms: 0,
            percent,
            taken: 0,
        })
    }

    /// Returns how long a call that counts on it is on its way at most.
    pub fn within(self) -> Duration {
        Duration::from_millis(self.within_ms.into())
    }

    /// Returns the probability that somebody will be free.
    pub fn likely(self) -> f64 {
        f64::from(self.percent) / 100.0
    }

    /// The same in percent.
    pub fn percent(self) -> u8 {
        self.percent
    }

    /// Whether the rule accepts.
    pub fn accepts(self) -> bool {
        self.likely() > self.needed
    }
}

/// Checks whether the rule may act, given what was learnt.
///
/// # Errors
/// The first reason why it may not.
pub fn may_act(
    learnt: &Learnt,
    calibration: f64,
    is_feed_proven: bool,
    now: Moment,
) -> Result<(), Off> {
    let lasted = learnt.lasted(now);
    if lasted < LEARN_FOR {
        return Err(Off::TooNew(lasted));
    }
    match learnt.most_stays() {
        0 => return Err(Off::NoStays),
        stays if stays < MIN_STAYS => return Err(Off::TooFewToTell(stays)),
        _ => {}
    }
    match learnt.short_stays() {
        0 => return Err(Off::NoShortStatus(learnt.stays())),
        stays if stays < LEARN_STAYS => return Err(Off::FewStays(stays)),
        _ => {}
    }
    if !is_feed_proven {
        return Err(Off::FeedNotProven);
    }
    if calibration < MIN_CALIBRATION {
        return Err(Off::BadlyCalibrated(calibration));
    }
    Ok(())
}

/// Returns how likely at least one of the members is free, by their [chances](Learnt::chance). Calls on their way that were accepted this way
/// take the `taken` likeliest members, so that two calls never bet on the same wrap-up.
pub fn likely(chances: impl IntoIterator<Item = f64>, taken: usize) -> f64 {
    let mut chances: Vec<f64> = chances.into_iter().collect();
    if taken > 0 {
        chances.sort_by(|one, other| other.total_cmp(one));
    }
    let nobody = chances.iter().skip(taken).map(|chance| 1.0 - chance);
    1.0 - nobody.product::<f64>()
}
