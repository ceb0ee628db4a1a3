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

/// The most situations that wait for their look: 13 KB for each account. There are more only if dozens of queues are without a seat at once.
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
        let free = by(&self.since, one.until);
        let taken = by(&self.held.seats, one.taken) + by(&self.held.bets, one.before);
        free.saturating_sub(taken)
    }

    /// Returns the same for a look that comes too late. An agent whom the last look in time did not show, although they seem to have been free for longer, has
    /// ended a call since, or logged in, and it is not known when.
    fn left_in_time(&self, one: &Situation) -> u32 {
        let left = self.left_for(one);
        let Some((at, shown)) = one.looked else {
            return left;
        };
        let came_later = by(&self.since, at).saturating_sub(shown);
        left.saturating_sub(came_later)
    }
}

fn by(times: &[Duration], end: Nanos) -> u32 {
    let end = end.time();
    times.iter().filter(|at| **at <= end).count() as u32
}

/// A moment at which nobody was free, with its prediction.
#[derive(Clone, Copy, Debug)]
struct Situation {
    queue: u32,
    likely: f64,
    /// As in [`AtZero`].
    before: Nanos,
    /// With the factor.
    corrected: f64,
    /// Calls that the rule accepts here, or would accept.
    calls: u32,
    /// Accepted calls whose agent has not been seen yet.
    bets: u32,
    /// The moment, and the period in which a look can show how it ended, as boot times.
    taken: Nanos,
    from: Nanos,
    until: Nanos,
    /// The most agents that a look has shown to be free for its calls; `None` without a look in time.
    free: Option<u32>,
    /// The last look in time, and how many agents it showed to be free.
    looked: Option<(Nanos, u32)>,
    /// Agents who took its calls, before any look could see them free or after it.
    took: u32,
}

/// How a situation ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The queue's place in the account.
    pub queue: usize,
    /// The predicted probability, before the correction.
    pub likely: f64,
    /// The probability that callers were told: with the [factor](Calibration::factor) of that time.
    pub corrected: f64,
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
            queue: queue as u32,
            likely,
            before: before.into(),
            corrected: likely * self.factor(),
            calls,
            bets,
            taken: now.boot.into(),
            from: (now.boot + terms.lead()).into(),
            until: terms.until(now).into(),
            free: None,
            looked: None,
            took: 0,
        };
        let has_room = self.open.len() < MAX_OPEN;
        let mut open = self.open.iter_mut().rev();
        let last = open.find(|one| one.queue as usize == queue);
        match last.filter(|last| now.boot < last.taken.time() + APART) {
            // The moment of its first call is the one that counts.
            Some(last) if last.calls == 0 && calls > 0 => *last = new,
            Some(last) => {
                last.calls = last.calls.saturating_add(calls);
                last.bets = last.bets.saturating_add(bets);
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
            one.queue as usize == queue
                && one.bets > 0
                && (one.taken..=one.until).contains(&at.into())
        };
        match self.open.iter_mut().find(ours) {
            Some(one) => {
                one.bets -= 1;
                one.took += 1;
                one.free = one.free.or(Some(0));
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
        let waits = self.open.iter().any(|one| one.queue as usize == queue);
        let free = if waits { free() } else { Free::default() };
        for one in self
            .open
            .iter_mut()
            .filter(|one| one.queue as usize == queue)
        {
            if (one.from..=one.until).contains(&at.boot.into()) {
                one.free = one.free.max(Some(free.left_for(one)));
                one.looked = Some((at.boot.into(), free.since.len() as u32));
            } else if at.boot > one.until.time() {
                // Without a look in time, only good outcomes would count.
                let left = free.left_in_time(one);
                one.free = one.free.map(|free| free.max(left));
            }
        }
        let mut settled = Vec::new();
        self.open.retain(|one| {
            let until = one.until.time();
            let is_over = at.boot > until && at.boot >= one.taken.time() + APART;
            let is_settled = is_over && (one.queue as usize == queue || at.boot > until + LATE);
            if let (true, Some(free)) = (is_settled, one.free) {
                settled.push(Outcome {
                    queue: one.queue as usize,
                    likely: one.likely,
                    corrected: one.corrected,
                    calls: one.calls,
                    came: free.max(one.took),
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
