//! Compares predictions at zero seats with what looks showed when the call would have arrived. This costs no requests.
//!
//! Looks are seconds apart, and a call waits only for seconds. If only the looks within its patience counted, an agent who became free after the
//! last of them would count as missing, and probabilities would look too high. So the next look counts too: it shows since when there has been a
//! seat.

use std::{collections::VecDeque, time::Duration};

use super::{
    nanos::Nanos,
    rule::{HeldSince, Terms},
};
use crate::clock::Moment;

/// Situations closer together than this count as one.
pub const APART: Duration = Duration::from_secs(4);

/// After this time an observation counts half, because agents' habits change during a day.
const HALF_LIFE: Duration = Duration::from_secs(2 * 3_600);

/// Below this probability hardly any call is accepted, so its errors do not matter.
const COUNTS_ABOVE: f64 = 0.6;

/// Before any observation, predictions are assumed to be right, with the weight of this many situations.
const ASSUMED: f64 = 20.0;

/// How late a look may come and still settle a situation.
const LATE: Duration = Duration::from_secs(120);

/// The most situations that wait for their look: 7 KB for each account. There are more only if dozens of queues are without a seat at once.
pub const MAX_OPEN: usize = 128;

/// The most memory that they take, in bytes.
#[cfg(test)]
pub const OPEN_BYTES: usize = MAX_OPEN * size_of::<Situation>();

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    predicted: f64,
    seen: f64,
    faded: Duration,
    open: VecDeque<Situation>,
}

/// The prediction for a queue without a seat.
#[derive(Clone, Copy, Debug)]
pub struct AtZero {
    /// The probability that an agent will be free, before correction.
    pub likely: f64,
    /// The operator's settings.
    pub terms: Terms,
    /// Calls on their way that were accepted by this boot time at zero seats take agents whom the probability leaves out.
    pub before: Duration,
}

/// Who is free in a queue, as a look shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Free {
    /// Since when the agents beyond the threshold are free, as boot times.
    pub since: Vec<Duration>,
    /// The calls on their way.
    pub held: HeldSince,
}

impl Free {
    /// Returns how many agents are left for the calls of a situation by the calls before. Calls that came later come second.
    fn left_for(&self, one: &Situation) -> u32 {
        let free = by(&self.since, one.until());
        let taken = by(&self.held.seats, one.taken) + by(&self.held.bets, one.before);
        free.saturating_sub(taken)
    }

    /// Returns the same for a look that comes too late. An agent whom the last look in time did not show, although they seem to have been free for longer, has
    /// ended a call since, or logged in, and it is not known when.
    fn left_in_time(&self, one: &Situation) -> u32 {
        let left = self.left_for(one);
        let Some(at) = one.looked else {
            return left;
        };
        let came_later = by(&self.since, at).saturating_sub(one.shown.into());
        left.saturating_sub(came_later)
    }
}

fn by(times: &[Duration], end: Nanos) -> u32 {
    let end = end.time();
    times.iter().filter(|at| **at <= end).count() as u32
}

/// A moment at which nobody was free, with its prediction. Queues hold no more than some thousand agents and calls, so small numbers do.
#[derive(Clone, Copy, Debug)]
struct Situation {
    likely: f64,
    /// The moment, as boot time.
    taken: Nanos,
    /// As in [`AtZero`].
    before: Nanos,
    /// The last look in time.
    looked: Option<Nanos>,
    /// The period in which a look can show how it ended, in milliseconds after the moment.
    from_ms: u32,
    until_ms: u32,
    queue: u32,
    /// Calls that the rule accepts here, or would accept.
    calls: u16,
    /// Accepted calls whose agent has not been seen yet.
    bets: u16,
    /// Agents who took its calls, before any look could see them free or after it.
    took: u16,
    /// The most agents that a look has shown to be free for its calls.
    free: u16,
    /// How many agents the last look in time showed to be free.
    shown: u16,
    /// Whether a look in time has shown how it ended.
    is_seen: bool,
    /// Of the probability with the factor.
    tenth: u8,
}

impl Situation {
    fn until(&self) -> Nanos {
        self.after(self.until_ms)
    }

    fn after(&self, ms: u32) -> Nanos {
        (self.taken.time() + Duration::from_millis(ms.into())).into()
    }

    fn is_of(&self, queue: usize) -> bool {
        self.queue as usize == queue
    }

    fn see(&mut self, free: u32) {
        self.free = self.free.max(small(free));
        self.is_seen = true;
    }
}

/// Returns the tenth that a probability belongs to.
pub fn tenth(likely: f64) -> u8 {
    // A cast of a number below zero gives 0.
    ((likely * 10.0) as u8).min(9)
}

fn small(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// How a situation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The queue's place in the account.
    pub queue: usize,
    /// The predicted probability, before the correction.
    pub likely: f64,
    /// The tenth of the probability that callers were told: with the [factor](Calibration::factor) of that time.
    pub tenth: u8,
    /// Calls that the rule accepted, or would have accepted.
    pub calls: u32,
    /// How many agents were seen who were free for them, or who took them; at least.
    pub came: u32,
}

impl Outcome {
    /// Whether a seat was seen, or the agent who took the call.
    pub fn seen(&self) -> bool {
        self.came > 0
    }
}

impl Calibration {
    /// Records a prediction for a queue in which nobody is free now, without the [factor](Self::factor). `calls` is how many calls the rule
    /// accepts in this situation, or would accept, and `bets` how many of them were accepted.
    pub fn predict(
        &mut self,
        queue: usize,
        at_zero: AtZero,
        (calls, bets): (u32, u32),
        now: Moment,
    ) {
        let AtZero {
            likely,
            terms,
            before,
        } = at_zero;
        let new = Situation {
            likely,
            taken: now.boot.into(),
            before: before.into(),
            looked: None,
            from_ms: terms.lead().as_millis() as u32,
            until_ms: (terms.lead() + terms.patience()).as_millis() as u32,
            queue: queue as u32,
            calls: small(calls),
            bets: small(bets),
            took: 0,
            free: 0,
            shown: 0,
            is_seen: false,
            tenth: tenth(likely * self.factor()),
        };
        let has_room = self.open.len() < MAX_OPEN;
        let mut open = self.open.iter_mut().rev();
        let last = open.find(|one| one.is_of(queue));
        match last.filter(|last| now.boot < last.taken.time() + APART) {
            // The moment of its first call is the one that counts.
            Some(last) if last.calls == 0 && calls > 0 => *last = new,
            Some(last) => {
                last.calls = last.calls.saturating_add(new.calls);
                last.bets = last.bets.saturating_add(new.bets);
            }
            None if has_room => self.open.push_back(new),
            None => {}
        }
    }

    /// Whether there are accepted calls whose agent has not been seen yet.
    pub fn has_bets(&self) -> bool {
        self.open.iter().any(|one| one.bets > 0)
    }

    /// Records that an agent of this queue went onto a call. If the rule has accepted a call that arrives about now, this is the agent that it
    /// counted on, whom perhaps no look saw free while the call was due. Returns whether it was so; each call explains one such agent.
    pub fn took_call(&mut self, queue: usize, at: Duration) -> bool {
        let ours = |one: &&mut Situation| {
            one.is_of(queue) && one.bets > 0 && (one.taken..=one.until()).contains(&at.into())
        };
        match self.open.iter_mut().find(ours) {
            Some(one) => {
                one.bets -= 1;
                one.took += 1;
                one.is_seen = true;
                true
            }
            None => false,
        }
    }

    /// Returns the queues of situations that wait for a look.
    pub fn waiting(&self) -> impl Iterator<Item = usize> {
        self.open.iter().map(|one| one.queue as usize)
    }

    /// Records a look at a queue. `free` is called if a situation of the queue waits. Returns the situations that are settled now.
    pub fn look(&mut self, queue: usize, at: Moment, free: impl FnOnce() -> Free) -> Vec<Outcome> {
        let waits = self.open.iter().any(|one| one.is_of(queue));
        let free = if waits { free() } else { Free::default() };
        for one in self.open.iter_mut().filter(|one| one.is_of(queue)) {
            let look = Nanos::from(at.boot);
            if (one.after(one.from_ms)..=one.until()).contains(&look) {
                one.see(free.left_for(one));
                one.looked = Some(look);
                one.shown = small(free.since.len() as u32);
            } else if look > one.until() && one.is_seen {
                // Without a look in time, only good outcomes would count.
                one.see(free.left_in_time(one));
            }
        }
        let mut settled = Vec::new();
        self.open.retain(|one| {
            let until = one.until().time();
            let is_over = at.boot > until && at.boot >= one.taken.time() + APART;
            let is_settled = is_over && (one.is_of(queue) || at.boot > until + LATE);
            if is_settled && one.is_seen {
                settled.push(Outcome {
                    queue: one.queue as usize,
                    likely: one.likely,
                    tenth: one.tenth,
                    calls: one.calls.into(),
                    came: one.free.max(one.took).into(),
                });
            }
            !is_settled
        });
        for outcome in &settled {
            self.count(*outcome, at);
        }
        settled
    }

    fn count(&mut self, outcome: Outcome, at: Moment) {
        if outcome.likely <= COUNTS_ABOVE {
            return;
        }
        let halves = at.boot.saturating_sub(self.faded).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let kept = (-halves).exp2();
        self.faded = self.faded.max(at.boot);
        self.predicted = self.predicted * kept + outcome.likely;
        self.seen = self.seen * kept + f64::from(u8::from(outcome.seen()));
    }

    /// Returns the factor that corrects probabilities, so that no more agents are predicted than are seen; at most 1.
    pub fn factor(&self) -> f64 {
        ((ASSUMED + self.seen) / (ASSUMED + self.predicted)).min(1.0)
    }

    /// Returns what survives a restart: the sums of predicted probabilities and of agents seen.
    pub fn sums(&self) -> (f64, f64) {
        (self.predicted, self.seen)
    }

    /// Continues with the [sums](Self::sums) of an earlier process. The time in between does not count.
    pub fn from_sums((predicted, seen): (f64, f64), now: Moment) -> Option<Self> {
        let are_sound = predicted.is_finite() && predicted >= 0.0 && (0.0..=1e9).contains(&seen);
        are_sound.then(|| Self {
            predicted,
            seen,
            faded: now.boot,
            open: VecDeque::new(),
        })
    }

    /// Moves the queues to their new places in the account, and drops those that have none.
    pub fn rearrange(&mut self, place_now: impl Fn(usize) -> Option<usize>) {
        self.open.retain_mut(|one| {
            let place = place_now(one.queue as usize);
            one.queue = place.unwrap_or_default() as u32;
            place.is_some()
        });
    }
}
