//! What the rule says about a snapshot as time passes. It is computed once when the snapshot is published, so a decision only looks it up.
//!
//! Until the next snapshot the data does not change, so the probability that somebody is free only grows. The answer is therefore a
//! moment: before it the rule rejects, from then on it accepts.

use std::{sync::Arc, time::Duration};

use super::{
    bets::{AgentKey, Places, QueueBets},
    nanos::{NANOS_PER_MS, NANOS_PER_SECOND, nanos},
    rule::{Held, Prediction, Seats, Terms, likely},
};
use crate::{
    clock::Moment,
    model::agent::{Agent, AgentId},
};

/// How many seconds after it began each step starts. Looks come every few seconds, so they are close together at first. A step never overstates, so it
/// stays valid for longer, and the last one for as long as the snapshot.
const STARTS: [u8; STEPS] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 20, 25, 31];
const STEPS: usize = 16;

/// The step of each second.
const STEP_AT: [u8; SECONDS] = {
    let (mut steps, mut second, mut step) = ([0; SECONDS], 0, 0);
    while second < SECONDS {
        if step + 1 < STEPS && STARTS[step + 1] as usize == second {
            step += 1;
        }
        steps[second] = step as u8;
        second += 1;
    }
    steps
};
const SECONDS: usize = STARTS[STEPS - 1] as usize + 1;

/// One more than the calls on their way that may count on agents who are not free yet. In queues of usual size, a fifth one hardly ever could.
const BETS: usize = 5;

/// The record of a call names at most this many agents. The chance that none of them comes, but a further one, is small.
const NAMED: usize = 3;

/// Stand for no end, for a step that does not come, and for a time that is not known.
const NO_END: u32 = u32::MAX;
const NO_STEP: u8 = u8::MAX;
const NO_TIME: u16 = u16::MAX;

/// An agent who is expected to be free soon.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Who, in the status that is expected to end: the same row as in the snapshot.
    pub agent: Arc<Agent>,
    /// When the agent is as likely as not to be free: wall time, in milliseconds since 1970. `None` if that is not within five minutes.
    pub free_by_ms: Option<i64>,
}

/// See the [module](self). It is a part of the snapshot, with all that a decision reads as long as no call counts on an agent: what is elsewhere in
/// memory takes longer to read than all the rest.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// In nanoseconds.
    begin_boot: u64,
    begin_wall: u64,
    /// How many milliseconds after that every status that it counts on is young enough; [`NO_END`] if as long as the snapshot is.
    lasts_ms: u32,
    /// See [`Prediction`].
    within_ms: u32,
    needed: f64,
    alone: Steps,
    /// Where the bets show calls that count on one of the likeliest members.
    places: Places,
    table: Arc<Table>,
}

/// What the rule says as time passes, if so many calls already count on an agent.
#[derive(Clone, Copy, Debug)]
struct Steps {
    /// The first step that accepts, or [`NO_STEP`]. More calls only make that later.
    opens: u8,
    /// In percent, rounded down.
    likely: [u8; STEPS],
}

/// What other decisions read. It is small, because an account may have hundreds of queues, and it keeps no row of an agent alive: answers are kept for
/// longer than snapshots.
#[derive(Clone, Debug)]
struct Table {
    /// By how many calls already count on an agent, from one on.
    beside: [Steps; BETS - 1],
    /// The number of members below.
    named: u8,
    /// The keys of the likeliest members, in this order: decisions compare only these.
    keys: [AgentKey; Outlook::MAX_EXPECTED],
    /// Their places in the snapshot.
    members: [u16; Outlook::MAX_EXPECTED],
    /// When each is as likely as not to be free, in hundredths of a second since it began, or [`NO_TIME`]: within five minutes.
    free_by: [u16; Outlook::MAX_EXPECTED],
}

/// What the rule says at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Accept.
    Accept(Prediction),
    /// Reject, or it does not apply; from this moment on, if there is one, accept, unless a newer snapshot arrives first.
    Reject(Option<Moment>),
}

impl Outlook {
    /// Computes the outlook from `begin` on. `chances` returns how likely each member is free by a boot time, and `factor` corrects the result.
    pub fn new(
        terms: Terms,
        factor: f64,
        begin: Moment,
        chances: impl Fn(Duration) -> Vec<f64>,
    ) -> Self {
        let mut likely_by = [[0; STEPS]; BETS];
        for (step, start) in STARTS.into_iter().enumerate() {
            let now = begin.later(Duration::from_secs(start.into()));
            let mut chances = chances(terms.until(now));
            chances.sort_by(|one, other| other.total_cmp(one));
            for (bets, steps) in likely_by.iter_mut().enumerate() {
                let left = chances.iter().skip(bets).copied();
                steps[step] = Prediction::new(factor * likely(left, 0), terms).percent();
            }
        }
        let accepts = |percent: &u8| Prediction::from_percent(*percent, terms).accepts();
        let [alone, beside @ ..] = likely_by.map(|likely| {
            let opens = likely.iter().position(accepts);
            let opens = opens.map_or(NO_STEP, |step| step as u8);
            Steps { opens, likely }
        });
        let none = Prediction::from_percent(0, terms);
        Self {
            begin_boot: nanos(begin.boot),
            begin_wall: nanos(begin.wall),
            lasts_ms: NO_END,
            within_ms: none.within_ms,
            needed: none.needed,
            alone,
            places: Places::default(),
            table: Arc::new(Table {
                beside,
                named: 0,
                keys: Default::default(),
                members: Default::default(),
                free_by: Default::default(),
            }),
        }
    }

    /// The most memory that one takes, in bytes. The table is shared, with two counters.
    #[cfg(test)]
    pub const MAX_BYTES: usize = size_of::<Self>() + size_of::<Table>() + 2 * size_of::<usize>();

    /// How many of the likeliest members [`naming`](Self::naming) takes.
    pub const MAX_EXPECTED: usize = BETS - 1 + NAMED;

    /// Ends it at this moment.
    pub fn ending(mut self, end: Option<Moment>) -> Self {
        if let Some(end) = end {
            let lasts = end.shortest_since(self.begin());
            self.lasts_ms = u32::try_from(lasts.as_millis()).unwrap_or(NO_END);
            if self.alone.opens().is_none_or(|opens| opens > lasts) {
                self.alone.opens = NO_STEP;
            }
        }
        self
    }

    /// Returns the moment after which it does not apply, if that may be earlier than the end of the snapshot.
    pub fn end(&self) -> Option<Moment> {
        let lasts = Some(self.lasts_ms).filter(|lasts| *lasts != NO_END);
        lasts.map(|lasts| self.begin().later(Duration::from_millis(lasts.into())))
    }

    fn begin(&self) -> Moment {
        Moment {
            boot: Duration::from_nanos(self.begin_boot),
            wall: Duration::from_nanos(self.begin_wall),
        }
    }

    /// Adds the likeliest of these members, in this order: their places among the `agents` of the snapshot, and the boot time by which each is as
    /// likely as not to be free.
    pub fn naming(
        mut self,
        agents: &[Arc<Agent>],
        likeliest: impl IntoIterator<Item = (usize, Option<Duration>)>,
    ) -> Self {
        let begin = self.begin().boot;
        let table = Arc::make_mut(&mut self.table);
        let hundredths = |ahead: Duration| (ahead.as_millis() / 10).min(u128::from(NO_TIME)) as u16;
        let likeliest = likeliest.into_iter().take(Self::MAX_EXPECTED);
        for (place, (member, free_by)) in likeliest.enumerate() {
            // No queue has more members than that.
            let Ok(number) = u16::try_from(member) else {
                break;
            };
            let ahead = free_by.map(|by| hundredths(by.saturating_sub(begin)));
            table.keys[place] = AgentKey::of(&agents[member].id);
            table.members[place] = number;
            table.free_by[place] = ahead.unwrap_or(NO_TIME);
            table.named = place as u8 + 1;
        }
        self.places = Places::of(&table.keys);
        self
    }

    /// Returns the agents that a call counts on, likeliest first: at most three of the `agents` of the snapshot. Earlier calls count on those who are
    /// taken, and on as many in total as the prediction left out.
    pub fn expected(
        &self,
        agents: &[Arc<Agent>],
        prediction: Prediction,
        is_taken: impl Fn(&AgentId) -> bool,
    ) -> Vec<Expected> {
        let mut others = usize::from(prediction.taken);
        let mut is_left = |one: &Expected| {
            let is_left_out = others > 0 && is_taken(&one.agent.id);
            others -= usize::from(is_left_out);
            !is_left_out
        };
        let all = self.all_expected(agents);
        let left: Vec<_> = all.filter(|one| is_left(one)).collect();
        // Calls that name no agent take the likeliest.
        left.into_iter().skip(others).take(NAMED).collect()
    }

    /// Returns the likeliest of the `agents` of the snapshot that no call counts on.
    pub fn next_agent(
        &self,
        agents: &[Arc<Agent>],
        held: Held<'_>,
        now: Moment,
    ) -> Option<AgentId> {
        let is_taken = |id: &AgentId| held.counted_on.is_some_and(|bets| bets.is_taken(id, now));
        let mut ids = self.all_expected(agents).map(|one| one.agent.id.clone());
        ids.find(|id| !is_taken(id))
    }

    /// Returns what the rule says.
    ///
    /// A call of another queue may count on one of the named agents. Then it takes the likeliest one away, which is at least as much. An agent who is
    /// not named counts little: at least seven others are likelier.
    #[inline]
    pub fn look(&self, seats: Seats<'_>, now: Moment) -> Verdict {
        // Calls that count on agents only make it less likely that the rule accepts.
        let opens = self.alone.opens != NO_STEP;
        let Some(own) = opens.then(|| seats.bets_at_threshold()).flatten() else {
            return Verdict::Reject(None);
        };
        let elsewhere =
            |counted_on: &QueueBets| counted_on.elsewhere(self.places, || &self.table.keys, now);
        let bets = own + seats.held.counted_on.map_or(0, elsewhere);
        let steps = match bets.checked_sub(1) {
            None => Some(&self.alone),
            Some(more) => self.table.beside.get(more),
        };
        match steps {
            Some(steps) => self.look_at(steps, bets as u8, now),
            None => Verdict::Reject(None),
        }
    }

    #[inline]
    fn look_at(&self, steps: &Steps, bets: u8, now: Moment) -> Verdict {
        let (boot, wall) = (nanos(now.boot), nanos(now.wall));
        let passed = boot.saturating_sub(self.begin_boot);
        let longest = passed.max(wall.saturating_sub(self.begin_wall));
        let has_ended = longest > u64::from(self.lasts_ms) * NANOS_PER_MS;
        if has_ended && self.lasts_ms != NO_END {
            return Verdict::Reject(None);
        }
        let second = (passed / NANOS_PER_SECOND).min(SECONDS as u64 - 1);
        let step = STEP_AT[second as usize];
        if step < steps.opens {
            return Verdict::Reject(self.opens_at(steps));
        }
        Verdict::Accept(Prediction {
            needed: self.needed,
            within_ms: self.within_ms,
            percent: steps.likely[usize::from(step)],
            taken: bets,
        })
    }

    /// Returns when the rule begins to accept, unless its end comes first.
    fn opens_at(&self, steps: &Steps) -> Option<Moment> {
        let lasts = Duration::from_millis(self.lasts_ms.into());
        let opens = steps
            .opens()
            .filter(|opens| self.lasts_ms == NO_END || *opens <= lasts);
        opens.map(|opens| self.begin().later(opens))
    }

    /// Returns the likeliest members.
    fn all_expected(&self, agents: &[Arc<Agent>]) -> impl Iterator<Item = Expected> {
        let begin_ms = self.begin().wall.as_millis() as i64;
        let table = &self.table;
        let expected = move |place: usize| {
            let ahead = Some(table.free_by[place]).filter(|ahead| *ahead != NO_TIME);
            Some(Expected {
                agent: Arc::clone(agents.get(usize::from(table.members[place]))?),
                free_by_ms: ahead.map(|ahead| begin_ms + 10 * i64::from(ahead)),
            })
        };
        (0..usize::from(table.named)).filter_map(expected)
    }
}

impl Steps {
    /// Returns how long after the beginning the rule begins to accept, if it does.
    fn opens(&self) -> Option<Duration> {
        // There is no such step if it is `NO_STEP`.
        let start = STARTS.get(usize::from(self.opens))?;
        Some(Duration::from_secs((*start).into()))
    }
}
