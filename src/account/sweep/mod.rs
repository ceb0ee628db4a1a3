//! Checks whether sweeps, which read the list of all agents of the account, can be trusted.
//!
//! A sweep refreshes every agent with a few requests. But CallTools does not promise that this list is complete and current for every token. So
//! the first sweep is compared with polls of the queues before it is used, and each later poll with the last sweep. Sweeps lose trust if
//! they lack members of queues, or if their statuses contradict the polls. Pure.

mod missing;
mod present;
#[cfg(test)]
mod tests;

use std::{cmp::Ordering, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use self::{missing::Missing, present::Present};
use crate::{
    account::roster::Roster,
    clock::Moment,
    model::{
        agent::{Agent, AgentId},
        known::Sighting,
    },
};

/// The clocks of CallTools' servers may differ by this much, and an answer is on its way for a while, so a date within this time proves nothing.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(60);

/// Rows without dates can be compared if they were read within this time: people change their status about once a minute.
///
/// A queue is polled two thirds of a period after the last sweep: 2.5 s with CallTools' limit.
const SAME_MOMENT: Duration = Duration::from_secs(3);

/// One contradiction may be an accident, such as a row that changed while it was read.
const MAX_ACCIDENTS: u32 = 1;

/// Sweeps are distrusted if more than this percentage of comparisons contradict them.
const MAX_PERCENT: u32 = 20;

/// The same for comparisons of which a row shows the agent as available. A list that hides the available agents is right about all others, who are
/// most. If dates stand still, a fifth of them may have changed since a look some seconds ago.
const MAX_PERCENT_OF_AVAILABLE: u32 = 50;

/// After this many comparisons, older ones count half.
const MEMORY: u32 = 200;

/// Why sweeps are distrusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Members of a queue are missing from them.
    Missing,
    /// Their statuses contradict those of queue polls.
    Contradicted,
}

impl Doubt {
    /// Describes it, for the log.
    pub fn sentence(self) -> &'static str {
        match self {
            Doubt::Missing => "agents of queues are missing from the account's list of agents",
            Doubt::Contradicted => {
                "statuses in the account's list of agents contradict those in the queues"
            }
        }
    }
}

/// The verdict on a page.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is trusted, and in the roster.
    Taken,
    /// It is kept until the first sweep is complete and can be compared.
    Kept,
    /// It is distrusted.
    Doubted(Doubt),
}

/// One page of a sweep.
#[derive(Debug)]
pub struct SweptPage {
    /// The earliest time at which CallTools may have read it.
    pub as_of: Moment,
    /// The page's number, from 1.
    pub page: u32,
    /// Whether it is the last.
    pub last: bool,
    /// Its agents.
    pub agents: Vec<Agent>,
}

/// Checks an account's sweeps.
#[derive(Debug, Default)]
pub struct Sweep {
    trusted: bool,
    begun: Option<Moment>,
    kept: Vec<Sighting>,
    missing: Missing,
    /// All comparisons, …
    compared: Comparisons,
    /// … and those of which a row shows the agent as available.
    compared_available: Comparisons,
    present: Present,
}

/// How many rows were compared, and how many contradicted each other.
#[derive(Debug, Default)]
struct Comparisons {
    all: u32,
    contradicted: u32,
}

impl Sweep {
    /// Adds a page. If sweeps are trusted, `roster` gets its rows.
    pub fn take(&mut self, page: SweptPage, roster: &mut Roster) -> Verdict {
        if page.page == 1 {
            self.begin(page.as_of);
        }
        // If a page comes from a cache, the whole sweep is as old as that page.
        if let Some(begun) = &mut self.begun
            && page.as_of.boot < begun.boot
        {
            *begun = page.as_of;
        }
        self.present.learn(&page.agents, page.as_of);
        self.missing.add(page.page, &page.agents);
        let sightings = page.agents.into_iter().map(|agent| Sighting {
            agent: Arc::new(agent),
            at: page.as_of,
            by_sweep: true,
        });
        if self.trusted {
            roster.see(sightings.collect());
        } else {
            self.kept.extend(sightings);
        }
        if page.last {
            self.end(page.page, roster)
        } else if self.trusted {
            Verdict::Taken
        } else {
            Verdict::Kept
        }
    }

    /// Compares a poll of a queue with the sweeps. Call it before the roster takes the poll.
    pub fn compare(&mut self, agents: &[Agent], as_of: Moment, roster: &Roster) -> Option<Doubt> {
        self.present.learn(agents, as_of);
        let swept = |agent: &Agent| {
            roster
                .newest(&agent.id)
                // After a filtered list, the status of absent agents is unknown.
                .filter(|sighting| sighting.by_sweep && sighting.agent.status.is_some())
                .cloned()
        };
        let pairs: Vec<_> = agents
            .iter()
            .filter_map(|agent| swept(agent).map(|sighting| (sighting, agent)))
            .collect();
        self.weigh(
            pairs
                .iter()
                .map(|(sighting, agent)| ((&*sighting.agent, sighting.at), (*agent, as_of))),
        )
    }

    /// Returns whether a whole sweep agreed with the polls.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Learns CallTools' present anew, because its dates have gone back.
    pub fn stepped_back(&mut self) {
        self.present = Present::default();
    }

    /// Trusts sweeps, because an earlier task recently did.
    pub fn trust(&mut self) {
        self.trusted = true;
    }

    /// Starts over without trust.
    pub fn reset(&mut self) {
        *self = Self {
            present: std::mem::take(&mut self.present),
            ..Self::default()
        };
    }

    fn begin(&mut self, now: Moment) {
        self.begun = Some(now);
        self.missing.begin();
        self.kept.clear();
    }

    fn end(&mut self, pages: u32, roster: &mut Roster) -> Verdict {
        let Some(begun) = self.begun.take() else {
            return Verdict::Kept; // The rest of a sweep whose start was lost.
        };
        let doubt = if self.trusted {
            None
        } else {
            self.first_comparison(roster)
        };
        let is_wrong = self.missing.end(begun, pages, roster);
        if let Some(doubt) = doubt.or(is_wrong.then_some(Doubt::Missing)) {
            self.reset();
            return Verdict::Doubted(doubt);
        }
        self.trusted = true;
        roster.see(std::mem::take(&mut self.kept));
        roster.swept(begun);
        Verdict::Taken
    }

    /// Compares the first sweep with the polls before it.
    fn first_comparison(&mut self, roster: &Roster) -> Option<Doubt> {
        let polled = |swept: &Sighting| roster.newest(&swept.agent.id).cloned();
        let pairs: Vec<_> = self
            .kept
            .iter()
            .filter_map(|swept| polled(swept).map(|polled| (polled, swept.clone())))
            .collect();
        self.weigh(
            pairs
                .iter()
                .map(|(polled, swept)| ((&*polled.agent, polled.at), (&*swept.agent, swept.at))),
        )
    }

    /// Compares two rows of each agent, the first read before the second.
    fn weigh<'a>(
        &mut self,
        pairs: impl Iterator<Item = ((&'a Agent, Moment), (&'a Agent, Moment))>,
    ) -> Option<Doubt> {
        let ahead = self.present.ahead();
        for (first, second) in pairs {
            let Some(contradicted) = contradict(first, second, ahead) else {
                continue;
            };
            self.compared.add(contradicted);
            if [first, second]
                .map(|(row, _)| row.available)
                .contains(&Some(true))
            {
                self.compared_available.add(contradicted);
            }
        }
        let doubt = self.compared.contradict(MAX_PERCENT)
            || self.compared_available.contradict(MAX_PERCENT_OF_AVAILABLE);
        self.compared.fade();
        self.compared_available.fade();
        doubt.then_some(Doubt::Contradicted)
    }

    /// Returns the members who are missing from the last whole sweep. Their queues should be polled soon.
    pub fn missed(&self) -> impl Iterator<Item = &AgentId> {
        self.missing.agents()
    }
}

impl Comparisons {
    fn add(&mut self, contradicted: bool) {
        self.all += 1;
        self.contradicted += u32::from(contradicted);
    }

    /// Returns whether at least this percentage contradict, and more than may be accidents.
    fn contradict(&self, percent: u32) -> bool {
        self.contradicted > MAX_ACCIDENTS && self.contradicted * 100 >= self.all * percent
    }

    fn fade(&mut self) {
        if self.all > MEMORY {
            self.all /= 2;
            self.contradicted /= 2;
        }
    }
}

/// Returns whether two rows of one agent, the first read before the second, contradict each other; `None` if that is unclear. `ahead` is how far
/// CallTools' dates are ahead of our boot clock.
fn contradict(
    (first, first_at): (&Agent, Moment),
    (second, second_at): (&Agent, Moment),
    ahead: Option<SignedDuration>,
) -> Option<bool> {
    if first_at.boot > second_at.boot {
        return None; // The answers arrived in the other order.
    }
    let same = first.status == second.status && first.available == second.available;
    match (first.status_since, second.status_since) {
        (Some(first_since), Some(second_since)) => {
            let had_changed = |since: Timestamp, at: Moment| {
                let then = SignedDuration::try_from(at.boot).ok()? + ahead?;
                Some(since.as_duration() + CLOCKS_DIFFER < then)
            };
            match second_since.cmp(&first_since) {
                Ordering::Equal => Some(!same),
                // The first look must show a change that happened well before it.
                Ordering::Greater => Some(!same && had_changed(second_since, first_at)?),
                // The second look read a copy of CallTools' data that lags. If it lags only by seconds, both are true, each at its moment.
                Ordering::Less => had_changed(first_since, second_at)?.then_some(!same),
            }
        }
        _ if second_at.longest_since(first_at) <= SAME_MOMENT => Some(!same),
        _ => None,
    }
}
