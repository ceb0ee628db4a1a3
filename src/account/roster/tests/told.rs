//! Tests that another node knows of each member what the leader knows, though it hears only of rows that are new to it.

use super::*;
use crate::account::roster::{Told, Untold, person::MAX_LAG};

/// A leader's roster, and that of a node that hears all of its news.
struct Pair {
    leader: Roster,
    told: Told,
    other: Roster,
    /// The last news.
    rows: Vec<String>,
}

impl Pair {
    fn new(queues: usize) -> Self {
        Self {
            leader: Roster::new(queues),
            told: Told::default(),
            other: Roster::new(queues),
            rows: Vec::new(),
        }
    }

    fn poll(&mut self, place: usize, seconds: u64, agents: Vec<Agent>) {
        poll(&mut self.leader, place, seconds, agents);
        let polled = self.leader.last_poll(place).unwrap();
        self.other.recall_poll(place, polled);
        self.tell();
    }

    fn see(&mut self, seconds: u64, agents: Vec<Agent>) {
        see(&mut self.leader, seconds, agents);
        self.tell();
    }

    /// Applies a complete list of changes with these rows.
    fn read(&mut self, base: u64, seconds: u64, agents: Vec<Agent>) {
        see(&mut self.leader, seconds, agents);
        self.leader.confirm_changes(at(base), at(seconds));
        self.tell();
    }

    /// Distrusts the list of changes.
    fn doubt(&mut self) {
        self.leader.forget_changes();
        self.told = Told::default();
        self.other.forget_sweeps();
        self.tell();
    }

    fn tell(&mut self) {
        let Untold {
            uncovered,
            rows,
            unchanged,
        } = self.leader.untold(&mut self.told);
        if uncovered {
            self.other.uncover();
        }
        self.rows = rows
            .iter()
            .map(|row| row.seen.agent.id.to_string())
            .collect();
        self.rows.sort();
        for row in rows {
            self.other
                .recall_told(row.seen, row.is_look, row.is_covered);
        }
        if let Some(unchanged) = unchanged {
            self.other.recall_unchanged(unchanged);
        }
    }

    /// Returns what a roster knows of a member of some queue: the status, and as of when.
    fn known(roster: &Roster, id: &AgentId) -> (Option<String>, Moment) {
        let newest = roster.newest(id).unwrap();
        let status = newest.agent.status.as_deref().map(str::to_owned);
        (status, roster.omissions.status(newest.at))
    }

    fn members(&self) -> HashSet<AgentId> {
        let members = self.leader.members().map(|(_, agent)| agent.id.clone());
        members.collect()
    }
}

#[test]
fn a_list_of_changes_sends_no_row_that_it_does_not_show() {
    let mut pair = Pair::new(1);
    let everybody = || ["a", "b", "c"].map(|id| since(id, "Available", 0)).to_vec();
    pair.poll(0, 10, everybody());
    pair.see(20, everybody());
    pair.read(20, 20, vec![]);
    pair.read(20, 25, vec![since("a", "Lunch", 22)]);
    assert_eq!(pair.rows, ["a"]);
    for seconds in [30, 35, 40] {
        pair.read(20, seconds, vec![]);
        assert_eq!(pair.rows, [""; 0]);
        for joined in [pair.leader.join(0), pair.other.join(0)].map(Option::unwrap) {
            assert_eq!(
                (joined.as_of, joined.everybody_as_of),
                (at(seconds), at(seconds))
            );
            let is_free = |agent: &&Arc<Agent>| agent.available == Some(true);
            assert_eq!(joined.agents.iter().filter(is_free).count(), 2);
        }
    }
}

#[test]
fn a_node_learns_what_the_list_covers_no_more() {
    let mut pair = Pair::new(1);
    pair.poll(
        0,
        10,
        ["a", "b"].map(|id| since(id, "Available", 0)).to_vec(),
    );
    pair.read(10, 20, vec![]);
    // The leader reads on from here, and has not looked at the second agent since.
    pair.read(22, 25, vec![since("a", "Available", 0)]);
    pair.read(22, 30, vec![]);
    let id = |id: &str| AgentId(id.into());
    let known = |id: &AgentId| Pair::known(&pair.other, id).1;
    assert_eq!([known(&id("a")), known(&id("b"))], [at(30), at(20)]);
}

#[test]
fn a_row_in_doubt_is_told_as_of_when_it_is_known() {
    let mut pair = Pair::new(1);
    let ann = || since("ann", "Available", 100_000);
    pair.poll(0, 10, vec![ann(), since("bob", "Available", 5)]);
    pair.see(20, vec![since("bob", "Lunch", 18)]);
    pair.see(25, vec![since("ann", "On a Call", 22)]);
    // It lags, so its row of the first agent is no proof.
    pair.see(30, vec![since("bob", "Available", 5), ann()]);
    let id = AgentId("ann".into());
    let newest = pair.leader.newest(&id).unwrap();
    assert_eq!(
        (newest.at, pair.leader.known_as_of(newest)),
        (at(20), at(10))
    );
    assert_eq!(Pair::known(&pair.other, &id).1, at(10));
}

#[test]
fn an_agent_who_left_and_came_back_is_known_as_the_leader_knows_them() {
    let mut pair = Pair::new(1);
    let [ann, bob] = ["a", "b"].map(|id| since(id, "Available", 0));
    pair.poll(0, 10, vec![ann.clone(), bob.clone()]);
    pair.read(10, 20, vec![]);
    pair.poll(0, 21, vec![ann.clone()]);
    assert!(
        pair.rows.contains(&"b".to_owned()),
        "they are covered no more"
    );
    // Nobody else hears of this.
    pair.read(10, 25, vec![since("b", "Lunch", 23)]);
    assert_eq!(pair.rows, [""; 0]);
    // This poll was sent before.
    pair.poll(0, 22, vec![ann, bob]);
    let bob = AgentId("b".into());
    let known = [&pair.leader, &pair.other].map(|roster| Pair::known(roster, &bob));
    assert_eq!(
        known,
        [
            (Some("Lunch".into()), at(25)),
            (Some("Lunch".into()), at(25))
        ]
    );
}

#[test]
fn a_row_that_the_leader_has_replaced_is_replaced_on_another_node() {
    let mut pair = Pair::new(1);
    pair.poll(
        0,
        10,
        vec![since("a", "Available", 9), since("b", "Lunch", 0)],
    );
    let lag = MAX_LAG.as_secs();
    for seconds in (20..20 + 2 * lag).step_by(20) {
        pair.read(10, seconds, vec![]);
    }
    // CallTools corrects the date, long after the leader's last look at the row.
    let corrected = 30 + 2 * lag;
    pair.see(corrected, vec![since("a", "Lunch", 5)]);
    let id = AgentId("a".into());
    let known = |pair: &Pair| [&pair.leader, &pair.other].map(|roster| Pair::known(roster, &id));
    let lunch = |seconds| (Some("Lunch".into()), at(seconds));
    assert_eq!(known(&pair), [lunch(corrected), lunch(corrected)]);
    pair.read(10, corrected + 10, vec![]);
    assert_eq!(known(&pair), [lunch(corrected + 10), lunch(corrected + 10)]);
}

/// What happens to the leader.
#[derive(Clone, Debug)]
enum Step {
    Poll(usize, Vec<(u8, bool)>),
    See(Vec<(u8, bool)>),
    Read(Vec<(u8, bool)>),
    /// A new chain of readings begins.
    Begin,
    Doubt,
}

fn step() -> impl Strategy<Value = Step> {
    let agents = || prop::collection::vec((0..6_u8, any::<bool>()), 0..5);
    prop_oneof![
        3 => (0..2_usize, agents()).prop_map(|(place, agents)| Step::Poll(place, agents)),
        2 => agents().prop_map(Step::See),
        4 => agents().prop_map(Step::Read),
        1 => Just(Step::Begin),
        1 => Just(Step::Doubt),
    ]
}

proptest! {
    #[test]
    fn another_node_knows_of_each_member_what_the_leader_knows(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair::new(2);
        let mut base = 10;
        // What the leader knew of each agent at best, with this status.
        let mut best: HashMap<AgentId, (Option<String>, Moment)> = HashMap::new();
        for (seconds, step) in (10_u64..).step_by(3).zip(steps) {
            let rows = |agents: Vec<(u8, bool)>| {
                let mut rows: Vec<_> = agents
                    .into_iter()
                    .map(|(id, is_free)| {
                        // A list shows a change, or the old date.
                        let id = format!("agent-{id}");
                        let known = pair.leader.newest(&AgentId((&*id).into()));
                        let status = if is_free { "Available" } else { "Lunch" };
                        match known.filter(|known| known.agent.available == Some(is_free)) {
                            Some(known) => (*known.agent).clone(),
                            None => since(&id, status, seconds as i64 - 1),
                        }
                    })
                    .collect();
                rows.sort_by(|one, other| one.id.0.cmp(&other.id.0));
                rows.dedup_by(|one, other| one.id == other.id);
                rows
            };
            match step {
                Step::Poll(place, agents) => {
                    let rows = rows(agents);
                    pair.poll(place, seconds, rows);
                }
                Step::See(agents) => {
                    let rows = rows(agents);
                    pair.see(seconds, rows);
                }
                Step::Read(agents) => {
                    let rows = rows(agents);
                    pair.read(base, seconds, rows);
                }
                Step::Begin => base = seconds,
                Step::Doubt => {
                    pair.doubt();
                    best.clear();
                }
            }
            let beside = pair.leader.known_beside_polls();
            let beside: HashSet<_> = beside.into_iter().map(|row| row.agent.id.clone()).collect();
            for id in pair.members() {
                let (status, known) = Pair::known(&pair.leader, &id);
                let (other_status, other_known) = Pair::known(&pair.other, &id);
                prop_assert_eq!(&other_status, &status, "{} at {}", id, seconds);
                let is_older = other_known.boot < known.boot;
                prop_assert!(!is_older || !beside.contains(&id), "{id} at {seconds}: {other_known:?} < {known:?}");
                let best = best.entry(id.clone()).or_insert((status.clone(), known));
                if best.0 != status || best.1.boot < known.boot {
                    *best = (status, known);
                }
                prop_assert!(other_known.boot <= best.1.boot, "{id} at {seconds}: {other_known:?} > {:?}", best.1);
            }
        }
    }
}

#[test]
fn a_row_of_a_list_that_lags_is_the_newest_on_all_nodes_and_in_the_next_task() {
    let mut pair = Pair::new(2);
    pair.poll(0, 20, vec![since("ann", "Lunch", 18)]);
    pair.poll(1, 30, vec![since("bob", "Available", 0)]);
    // It shows an earlier status of one agent, so it is no younger than the look at the other one.
    let lagging = [since("ann", "Available", 5), since("bob", "Available", 28)];
    see(&mut pair.leader, 40, lagging.to_vec());
    let bob = AgentId("bob".into());
    pair.leader.confirm_gone(at(25), std::slice::from_ref(&bob));
    pair.tell();
    let next = successor(&pair.leader, 2, false);
    for (who, roster) in [
        ("leader", pair.leader),
        ("other", pair.other),
        ("next", next),
    ] {
        let available = roster.newest(&bob).unwrap().agent.available;
        assert_eq!(available, Some(false), "{who}");
        assert_eq!(Pair::known(&roster, &bob), (None, at(25)), "{who}");
    }
}
