//! The true statuses of a simulated account over time, to compare the board with.

use std::collections::HashMap;

use jiff::SignedDuration;

use super::*;
use crate::{clock::Moment, model::agent::Agent, simulator::QueueAction};

/// See the [module](self). Times are the world's: they count from its start, and are negative before.
pub(super) struct Truth {
    /// The clock's time since boot at the world's start.
    began: Duration,
    /// The names of the statuses, and whether they make an agent ready.
    statuses: Vec<(String, bool)>,
    places: HashMap<AgentId, usize>,
    /// Each agent's statuses, and since when.
    stays: Vec<Vec<(SignedDuration, usize)>>,
}

impl Truth {
    pub fn of(fixture: &Fixture) -> Self {
        let statuses = fixture.simulator.world(|world| {
            let statuses = world.statuses().iter();
            let statuses = statuses.map(|status| {
                let is_ready = status.queue_action == QueueAction::SetReady;
                (status.name.clone(), is_ready)
            });
            statuses.collect()
        });
        let mut truth = Self {
            began: fixture.clock.now().boot - fixture.simulator.now(),
            statuses,
            places: HashMap::new(),
            stays: Vec::new(),
        };
        truth.look(fixture);
        truth
    }

    /// Lets time pass. Looks at the world after each event, and calls `look` once a second.
    pub async fn follow(
        &mut self,
        fixture: &Fixture,
        time: Duration,
        mut look: impl FnMut(&Fixture, &Self),
    ) {
        let now = || fixture.clock.now().boot;
        let end = now() + time;
        let mut next_look = now();
        while now() < end {
            let event = fixture.simulator.world(|world| world.next_event());
            let to_event = event.map(|event| (self.began + event).saturating_sub(now()));
            let rest = SECOND.min(to_event.unwrap_or(SECOND));
            sleep(rest.max(Duration::from_millis(1))).await;
            self.look(fixture);
            if now() >= next_look {
                look(fixture, self);
                next_look += SECOND;
            }
        }
    }

    fn look(&mut self, fixture: &Fixture) {
        fixture.simulator.world(|world| {
            for (who, (id, status, since)) in world.stays().enumerate() {
                if who == self.stays.len() {
                    self.places.insert(id.clone(), who);
                    self.stays.push(Vec::new());
                }
                let stays = &mut self.stays[who];
                if stays.last() != Some(&(since, status)) {
                    stays.push((since, status));
                }
            }
        });
    }

    /// Returns an agent of a queue, logged in to it, whose availability is not what it was at any moment since the snapshot's time less `lag`.
    pub fn shown_too_new(&self, fixture: &Fixture, place: usize, lag: Duration) -> Option<String> {
        let snapshot = fixture.state(place).snapshot.clone()?;
        let since = self.time(snapshot.as_of) - SignedDuration::try_from(lag).unwrap();
        let agents = snapshot.agents.iter().filter(|row| row.queue_logged_in);
        let mut wrong = agents.filter(|row| !self.was_so(row, since));
        let row = wrong.find(|row| is_there(fixture, row))?;
        Some(format!("{} as of {since:?}", self.described(row)))
    }

    /// Returns the agents on the board whose status differs from the truth and has not changed for `settled`. Without `names`, it only matters whether
    /// they are available.
    pub fn wrong(&self, fixture: &Fixture, settled: Duration, names: bool) -> Vec<String> {
        let settled = SignedDuration::try_from(settled).unwrap();
        let now = self.time(fixture.clock.now());
        let is_wrong = |row: &Arc<Agent>| {
            let (since, status) = *self.stays[self.places[&row.id]].last().unwrap();
            let (name, is_ready) = &self.statuses[status];
            let has_name = row.status.as_deref().is_none_or(|shown| shown == name);
            let is_right = row.available == Some(*is_ready) && (has_name || !names);
            !is_right && now - since > settled && is_there(fixture, row)
        };
        let snapshots = fixture
            .places()
            .filter_map(|place| fixture.state(place).snapshot.clone());
        let rows = snapshots.flat_map(|snapshot| snapshot.agents.to_vec());
        let wrong = rows.filter(is_wrong);
        wrong.map(|row| self.described(&row)).collect()
    }

    /// Describes a row, and what is true of its agent.
    fn described(&self, row: &Agent) -> String {
        let Agent {
            id,
            status,
            available,
            status_since,
            ..
        } = row;
        let stays = &self.stays[self.places[id]];
        let last: Vec<_> = stays.iter().rev().take(4).collect();
        format!("{id} is shown as {status:?} ({available:?}) since {status_since:?}, was {last:?}")
    }

    fn time(&self, moment: Moment) -> SignedDuration {
        let boot = SignedDuration::try_from(moment.boot).unwrap();
        boot - SignedDuration::try_from(self.began).unwrap()
    }

    fn was_so(&self, row: &Agent, since: SignedDuration) -> bool {
        let stays = &self.stays[self.places[&row.id]];
        for (from, status) in stays.iter().rev() {
            if row.available == Some(self.statuses[*status].1) {
                return true;
            }
            if *from <= since {
                break;
            }
        }
        false
    }
}

/// Returns whether an agent was not deleted. Queues show deleted agents until they are polled.
fn is_there(fixture: &Fixture, row: &Agent) -> bool {
    let simulator = &fixture.simulator;
    simulator.world(|world| world.agent(&row.id).is_some())
}
