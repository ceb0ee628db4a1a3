//! The people of one account: the newest row of every agent, and who belongs to which queue.
//!
//! An agent's *status* is one fact, the same in every queue, and goes stale within seconds; whoever sees a row of an agent
//! anywhere knows it. *Membership* and log-in differ from queue to queue, change over hours, and only a poll of the queue tells
//! them. So both are kept apart, each with the moment at which CallTools looked, and [joined](Roster::join) when one of them is
//! renewed. Pure: whoever owns a roster decides when to ask, and whom to believe.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    calltools::{Agent, AgentId},
    clock::Moment,
    known::Poll,
};

/// A row of an agent, and when CallTools looked.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The agent, as the row says.
    pub agent: Arc<Agent>,
    /// When CallTools looked, at the earliest.
    pub at: Moment,
    /// Seen by a sweep of the whole account rather than by a poll of a queue.
    pub by_sweep: bool,
}

/// What a poll of a queue said about who belongs to it.
#[derive(Clone, Debug)]
pub struct Membership {
    /// When CallTools looked, at the earliest.
    pub as_of: Moment,
    /// How long the poll took.
    pub took: Duration,
    /// Whether the rows were as many as CallTools counted.
    pub complete: bool,
    members: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    /// As the poll of the queue saw them.
    polled: Arc<Agent>,
    /// The newest row when the two were last joined, and what came of it: most rows are the same from sweep to sweep.
    joined: Option<(Arc<Agent>, Arc<Agent>)>,
}

/// A queue's agents with the newest that is known of each.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The oldest status of those who are logged in to the queue: what a count of seats rests on.
    pub as_of: Moment,
    /// The oldest status of all: what criteria rest on that may read any row.
    pub everybody_as_of: Moment,
    /// When the queue itself was polled.
    pub members_as_of: Moment,
    /// How long that poll took.
    pub took: Duration,
    /// Whether that poll's rows were as many as CallTools counted.
    pub complete: bool,
    /// Each agent once, in CallTools' order.
    pub agents: Vec<Arc<Agent>>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Roster {
    newest: HashMap<AgentId, Sighting>,
    /// By the queue's place in the account.
    queues: Vec<Option<Membership>>,
    /// When the last sweep that covered the whole account began.
    swept: Option<Moment>,
    /// Who was seen no longer available, and when, since last asked.
    departures: Vec<(AgentId, Moment)>,
}

impl Roster {
    /// Nobody is known yet; `queues` is their number.
    pub fn new(queues: usize) -> Self {
        Self {
            newest: HashMap::new(),
            queues: vec![None; queues],
            swept: None,
            departures: Vec::new(),
        }
    }

    /// A row of an agent was seen; an older one is forgotten.
    pub fn see(&mut self, sighting: Sighting) {
        let known = self.newest.get_mut(&sighting.agent.id);
        match known {
            Some(known) if known.at.boot > sighting.at.boot => {}
            Some(known) if has_departed(&known.agent, &sighting.agent) => {
                self.departures
                    .push((sighting.agent.id.clone(), sighting.at));
                *known = sighting;
            }
            // The same row again: keep the old one's memory, and with it what it was joined to.
            Some(known) if same_row(&known.agent, &sighting.agent) => {
                known.at = sighting.at;
                known.by_sweep = sighting.by_sweep;
            }
            Some(known) => *known = sighting,
            None => {
                self.newest.insert(sighting.agent.id.clone(), sighting);
            }
        }
    }

    /// A queue was polled: these are its agents, and their rows count everywhere.
    pub fn poll(
        &mut self,
        place: usize,
        as_of: Moment,
        took: Duration,
        complete: bool,
        agents: Vec<Agent>,
    ) {
        let agents = agents.into_iter().map(Arc::new).collect();
        self.take(
            place,
            Poll {
                as_of,
                took,
                complete,
                agents,
            },
        );
    }

    /// The same with a poll that is known from elsewhere.
    pub fn take(&mut self, place: usize, poll: Poll) {
        let Poll {
            as_of,
            took,
            complete,
            agents,
        } = poll;
        let known = self.queues[place].as_ref();
        if known.is_some_and(|known| known.as_of.boot > as_of.boot) {
            return; // Overtaken by a later poll.
        }
        for agent in &agents {
            self.see(Sighting {
                agent: Arc::clone(agent),
                at: as_of,
                by_sweep: false,
            });
        }
        let member = |polled| Member {
            polled,
            joined: None,
        };
        self.queues[place] = Some(Membership {
            as_of,
            took,
            complete,
            members: agents.into_iter().map(member).collect(),
        });
    }

    /// A queue's last poll, to hand on.
    pub fn last_poll(&self, place: usize) -> Option<Poll> {
        let membership = self.queues[place].as_ref()?;
        let members = membership.members.iter();
        Some(Poll {
            as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents: members.map(|member| Arc::clone(&member.polled)).collect(),
        })
    }

    /// What sweeps have seen of the queues' members after this moment, to hand on.
    pub fn swept_since(&self, moment: Option<Moment>) -> Vec<Sighting> {
        let members: HashSet<_> = self.members().map(|(_, agent)| &agent.id).collect();
        let newest = members.into_iter().filter_map(|id| self.newest.get(id));
        let is_new = |sighting: &&Sighting| {
            sighting.by_sweep && moment.is_none_or(|moment| sighting.at.boot > moment.boot)
        };
        newest.filter(is_new).cloned().collect()
    }

    /// A sweep that began at `begun` has covered the whole account. Whoever was not seen since then and belongs to no queue has left.
    pub fn swept(&mut self, begun: Moment) {
        self.swept = Some(begun);
        let members: HashSet<_> = self.members().map(|(_, agent)| agent.id.clone()).collect();
        self.newest
            .retain(|id, sighting| sighting.at.boot >= begun.boot || members.contains(id));
    }

    /// Sweeps are not to be believed: back to what polls of the queues said.
    pub fn forget_sweeps(&mut self) {
        self.swept = None;
        self.newest.retain(|_, sighting| !sighting.by_sweep);
        let sightings: Vec<_> = self
            .memberships()
            .flat_map(|(_, membership)| {
                membership.members.iter().map(|member| Sighting {
                    agent: Arc::clone(&member.polled),
                    at: membership.as_of,
                    by_sweep: false,
                })
            })
            .collect();
        sightings
            .into_iter()
            .for_each(|sighting| self.see(sighting));
    }

    /// The newest row of an agent.
    pub fn newest(&self, id: &AgentId) -> Option<&Sighting> {
        self.newest.get(id)
    }

    /// When a queue was last polled.
    pub fn polled(&self, place: usize) -> Option<Moment> {
        self.queues[place]
            .as_ref()
            .map(|membership| membership.as_of)
    }

    /// Everybody who belongs to a queue, with the queue's place and the poll's moment; once for each of their queues.
    pub fn members(&self) -> impl Iterator<Item = ((usize, Moment), &Agent)> {
        self.memberships().flat_map(|(place, membership)| {
            let agents = membership.members.iter().map(|member| &*member.polled);
            agents.map(move |agent| ((place, membership.as_of), agent))
        })
    }

    /// Who was seen no longer available since this was last asked, with the places of the queues that they are logged in to, and when
    /// CallTools looked.
    pub fn take_departures(&mut self) -> Vec<(Vec<usize>, Moment)> {
        let departures = std::mem::take(&mut self.departures);
        let of_agent = |(id, at): (AgentId, Moment)| {
            let mine = self
                .members()
                .filter(|(_, agent)| agent.id == id && agent.queue_logged_in);
            (mine.map(|((place, _), _)| place).collect(), at)
        };
        departures.into_iter().map(of_agent).collect()
    }

    /// The places of an agent's queues.
    pub fn queues_of(&self, id: &AgentId) -> Vec<usize> {
        let mine = self.members().filter(|(_, agent)| agent.id == *id);
        mine.map(|((place, _), _)| place).collect()
    }

    fn memberships(&self) -> impl Iterator<Item = (usize, &Membership)> {
        let queues = self.queues.iter().enumerate();
        queues.filter_map(|(place, queue)| queue.as_ref().map(|queue| (place, queue)))
    }

    /// A queue's agents with the newest that is known of each; `None` until the queue was polled.
    pub fn join(&mut self, place: usize) -> Option<Joined> {
        let membership = self.queues[place].as_mut()?;
        let mut agents = Vec::with_capacity(membership.members.len());
        let (mut oldest_logged_in, mut oldest) = (None, None);
        for member in &mut membership.members {
            let newest = self.newest.get(&member.polled.id);
            let at = newest.map_or(membership.as_of, |newest| newest.at);
            keep_older(&mut oldest, at);
            if member.polled.queue_logged_in {
                keep_older(&mut oldest_logged_in, at);
            }
            agents.push(match newest {
                Some(newest) => member.join(newest),
                None => Arc::clone(&member.polled),
            });
        }
        // A count rests on the statuses of those who are logged in to the queue. Of a queue without any it rests on nobody's, and
        // is as old as the last look at everybody.
        let polled_or_swept = self
            .swept
            .map_or(membership.as_of, |swept| later(swept, membership.as_of));
        Some(Joined {
            as_of: oldest_logged_in.or(oldest).unwrap_or(polled_or_swept),
            everybody_as_of: oldest.unwrap_or(polled_or_swept),
            members_as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents,
        })
    }

    /// A queue's agents as its own last poll saw them.
    pub fn as_polled(&self, place: usize) -> Option<Joined> {
        let membership = self.queues[place].as_ref()?;
        Some(Joined {
            as_of: membership.as_of,
            everybody_as_of: membership.as_of,
            members_as_of: membership.as_of,
            took: membership.took,
            complete: membership.complete,
            agents: membership
                .members
                .iter()
                .map(|member| Arc::clone(&member.polled))
                .collect(),
        })
    }
}

impl Member {
    /// The newest row, with the log-in to this queue.
    fn join(&mut self, newest: &Sighting) -> Arc<Agent> {
        if Arc::ptr_eq(&newest.agent, &self.polled) {
            return Arc::clone(&self.polled);
        }
        match &self.joined {
            Some((from, joined)) if Arc::ptr_eq(from, &newest.agent) => Arc::clone(joined),
            _ => {
                let joined = Arc::new(joined(&newest.agent, &self.polled));
                self.joined = Some((Arc::clone(&newest.agent), Arc::clone(&joined)));
                joined
            }
        }
    }
}

/// The row of `newest`, which came from elsewhere, with the log-in that the queue's own poll saw.
fn joined(newest: &Agent, polled: &Agent) -> Agent {
    Agent {
        queue_logged_in: polled.queue_logged_in,
        raw: newest.raw.with_queue_login_of(&polled.raw),
        ..newest.clone()
    }
}

/// Whether an agent who was available is seen not to be. A status that is not understood says nothing.
fn has_departed(was: &Agent, is: &Agent) -> bool {
    was.available == Some(true) && is.available == Some(false)
}

fn same_row(one: &Agent, other: &Agent) -> bool {
    // The status' meaning comes from another list, and can change while the row stays.
    one.available == other.available
        && one.status == other.status
        && one.raw.get() == other.raw.get()
}

fn keep_older(oldest: &mut Option<Moment>, at: Moment) {
    if oldest.is_none_or(|oldest| at.boot < oldest.boot) {
        *oldest = Some(at);
    }
}

fn later(one: Moment, other: Moment) -> Moment {
    if one.boot > other.boot { one } else { other }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;
    use crate::fixtures::agent;

    fn at(seconds: u64) -> Moment {
        let start = Moment {
            boot: Duration::from_secs(1_000),
            wall: Duration::from_secs(1_795_341_600),
        };
        start.later(Duration::from_secs(seconds))
    }

    fn poll(roster: &mut Roster, place: usize, seconds: u64, agents: Vec<Agent>) {
        roster.poll(place, at(seconds), Duration::from_millis(300), true, agents);
    }

    fn sweep(roster: &mut Roster, seconds: u64, agents: Vec<Agent>) {
        for agent in agents {
            roster.see(Sighting {
                agent: Arc::new(agent),
                at: at(seconds),
                by_sweep: true,
            });
        }
        roster.swept(at(seconds));
    }

    fn logged_out(mut agent: Agent) -> Agent {
        agent.queue_logged_in = false;
        agent
    }

    fn available(joined: &Joined) -> Vec<(&str, Option<bool>, bool)> {
        let agents = joined.agents.iter();
        agents
            .map(|agent| (&*agent.id.0, agent.available, agent.queue_logged_in))
            .collect()
    }

    #[test]
    fn a_row_seen_in_one_queue_counts_in_all_queues_of_its_agent() {
        let mut roster = Roster::new(2);
        poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
        poll(
            &mut roster,
            1,
            10,
            vec![logged_out(agent("a", "A", "On a Call"))],
        );
        let joined = roster.join(0).unwrap();
        assert_eq!(
            available(&joined),
            [("a", Some(false), true)],
            "the status of now, the log-in of this queue"
        );
        assert_eq!((joined.as_of, joined.members_as_of), (at(10), at(0)));
    }

    #[test]
    fn who_was_available_and_is_not_has_departed_from_the_queues_they_are_logged_in_to() {
        let mut roster = Roster::new(3);
        poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
        poll(
            &mut roster,
            1,
            1,
            vec![logged_out(agent("a", "A", "Available"))],
        );
        poll(&mut roster, 2, 2, vec![agent("b", "B", "On a Call")]);
        assert_eq!(roster.take_departures(), [], "nobody was seen before");
        let mut unclear = agent("a", "A", "?");
        unclear.available = None;
        sweep(&mut roster, 3, vec![agent("b", "B", "Available")]);
        assert_eq!(roster.take_departures(), [], "b has come");
        sweep(&mut roster, 10, vec![agent("a", "A", "On a Call")]);
        sweep(&mut roster, 9, vec![agent("b", "B", "Post Call")]);
        assert_eq!(
            roster.take_departures(),
            [(vec![0], at(10)), (vec![2], at(9))]
        );
        sweep(&mut roster, 20, vec![agent("a", "A", "Post Call")]);
        assert_eq!(roster.take_departures(), [], "gone already");
        sweep(&mut roster, 30, vec![agent("a", "A", "Available")]);
        sweep(&mut roster, 40, vec![unclear]);
        assert_eq!(roster.take_departures(), [], "nobody knows");
    }

    #[test]
    fn an_older_row_never_replaces_a_newer_one() {
        let mut roster = Roster::new(1);
        poll(&mut roster, 0, 10, vec![agent("a", "A", "On a Call")]);
        sweep(&mut roster, 5, vec![agent("a", "A", "Available")]);
        assert_eq!(
            available(&roster.join(0).unwrap()),
            [("a", Some(false), true)]
        );
    }

    #[test]
    fn an_answer_is_as_old_as_the_oldest_status_it_rests_on() {
        let mut roster = Roster::new(1);
        poll(
            &mut roster,
            0,
            0,
            vec![
                agent("a", "A", "Available"),
                agent("b", "B", "Available"),
                logged_out(agent("c", "C", "Available")),
            ],
        );
        sweep(&mut roster, 20, vec![agent("a", "A", "Available")]);
        assert_eq!(roster.join(0).unwrap().as_of, at(0), "b was not seen again");
        sweep(&mut roster, 30, vec![agent("b", "B", "Available")]);
        assert_eq!(
            roster.join(0).unwrap().as_of,
            at(20),
            "and c does not matter"
        );
    }

    #[test]
    fn a_queue_with_nobody_in_it_is_as_old_as_the_last_look_at_everybody() {
        let mut roster = Roster::new(1);
        poll(&mut roster, 0, 0, vec![]);
        sweep(&mut roster, 20, vec![agent("a", "A", "Available")]);
        let joined = roster.join(0).unwrap();
        assert_eq!((joined.as_of, joined.agents.len()), (at(20), 0));
    }

    #[test]
    fn the_joined_row_has_the_log_in_of_its_own_queue() {
        let mut roster = Roster::new(1);
        poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
        let mut swept = agent("a", "A", "On a Call");
        let mut row: Map<String, Value> = serde_json::from_str(swept.raw.get()).unwrap();
        row.remove("queue_logged_in");
        row.insert("extra".to_owned(), 7.into());
        swept.raw = serde_json::value::to_raw_value(&row).unwrap().into();
        sweep(&mut roster, 20, vec![swept]);
        let joined = roster.join(0).unwrap();
        let row: Value = serde_json::from_str(joined.agents[0].raw.get()).unwrap();
        assert_eq!(
            (&row["queue_logged_in"], &row["extra"], &row["status"]),
            (&true.into(), &7.into(), &"On a Call".into())
        );
    }

    #[test]
    fn forgetting_sweeps_goes_back_to_what_the_polls_said() {
        let mut roster = Roster::new(1);
        poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
        sweep(
            &mut roster,
            20,
            vec![agent("a", "A", "On a Call"), agent("z", "Z", "Available")],
        );
        roster.forget_sweeps();
        let joined = roster.join(0).unwrap();
        assert_eq!(
            (available(&joined), joined.as_of),
            (vec![("a", Some(true), true)], at(0))
        );
    }

    #[test]
    fn an_unchanged_row_is_joined_once() {
        let mut roster = Roster::new(1);
        poll(&mut roster, 0, 0, vec![agent("a", "A", "Available")]);
        sweep(&mut roster, 20, vec![agent("a", "A", "On a Call")]);
        let first = roster.join(0).unwrap();
        sweep(&mut roster, 30, vec![agent("a", "A", "On a Call")]);
        let second = roster.join(0).unwrap();
        assert!(Arc::ptr_eq(&first.agents[0], &second.agents[0]));
        assert_eq!(second.as_of, at(30));
    }

    #[test]
    fn whoever_left_the_account_is_forgotten() {
        let mut roster = Roster::new(1);
        sweep(&mut roster, 0, vec![agent("a", "A", "Available")]);
        sweep(&mut roster, 5, vec![agent("b", "B", "Available")]);
        assert!(roster.newest(&AgentId("a".into())).is_none());
        assert!(roster.newest(&AgentId("b".into())).is_some());
    }
}
