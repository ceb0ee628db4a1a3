//! Tells what is wrong with an account's cluster, from this node's view, and what to do.

use std::{fmt, sync::Arc, time::Duration};

use super::member::{NodeStatus, Status};
use crate::{clock::Moment, model::fault::EngineRefusal};

/// How far a node may be behind the log: it reads once a second, and an ordinary change of leader takes a few seconds.
const MAX_LAG: Duration = Duration::from_secs(10);

/// A smaller lag is called up to date: a node reads the log once a second.
const UP_TO_DATE: Duration = Duration::from_secs(2);

/// How many nodes a line names; the others are counted.
const NAMED_NODES: usize = 16;

/// What the node does that may go on without the engine.
const ALONE: &str = "so this node goes on alone, with three quarters of the hour's requests";

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// The engine does not answer.
    NoAnswer,
    /// The engine answers, but refuses what openseat needs, such as an account that another node has registered differently.
    Refused(Arc<EngineRefusal>),
    /// The engine cannot be used, and this node goes on without it. What the engine refuses, if it answers.
    Alone(Option<Arc<EngineRefusal>>),
    /// The engine answers, but no living node has the lease.
    NoLeader,
    /// Another node leads, but this one cannot keep up.
    Behind,
}

impl Status {
    /// Returns what is wrong at `now`; `None` if nothing is, or if the engine was not asked yet.
    pub fn trouble(&self, now: Moment) -> Option<Trouble> {
        let is_behind = || {
            let lag = self.lag(now);
            !self.leads && lag.is_none_or(|lag| lag > MAX_LAG)
        };
        match self {
            Status { asked: false, .. } => None,
            Status { is_alone: true, .. } => Some(Trouble::Alone(self.refusal.clone())),
            Status { up: false, .. } => Some(match &self.refusal {
                Some(refusal) => Trouble::Refused(Arc::clone(refusal)),
                None => Trouble::NoAnswer,
            }),
            _ if self.leader().is_none() => Some(match self.claim_refusal() {
                Some(refusal) => Trouble::Refused(Arc::clone(refusal)),
                None => Trouble::NoLeader,
            }),
            _ => is_behind().then_some(Trouble::Behind),
        }
    }

    /// Returns why this node cannot lead the account, unless a node does: a refusal may then be out of date.
    pub fn claim_refusal(&self) -> Option<&Arc<EngineRefusal>> {
        let refusal = self.claim_refusal.as_ref();
        refusal.filter(|_| self.leader().is_none())
    }

    /// Returns the name of the living node that leads.
    pub fn leader(&self) -> Option<&str> {
        let mut leaders = self.nodes.iter().filter(|node| node.leads);
        leaders.next().map(|node| &*node.name)
    }

    /// Returns how far this node is behind the log; `None` if it never read all of it. The leader is never behind, since only it writes.
    pub fn lag(&self, now: Moment) -> Option<Duration> {
        match self.leads {
            true => Some(Duration::ZERO),
            false => self.up_to_date.map(|at| now.longest_since(at)),
        }
    }
}

/// Describes who leads, which nodes live, and how far this one is behind, for people.
pub fn standing(nodes: &[NodeStatus], lag: Option<Duration>) -> String {
    let leader = nodes.iter().find(|node| node.leads);
    let mut line = match leader {
        Some(leader) => format!("{} leads", leader.name),
        None => "no node leads".to_owned(),
    };
    let named = nodes
        .iter()
        .take(NAMED_NODES)
        .map(|node| match node.behind {
            0 => node.name.clone(),
            1 => format!("{} (1 entry behind)", node.name),
            behind => format!("{} ({behind} entries behind)", node.name),
        });
    let named: Vec<_> = named.collect();
    if !named.is_empty() {
        line += &format!("; nodes: {}", named.join(", "));
    }
    if nodes.len() > NAMED_NODES {
        line += &format!(" and {} more", nodes.len() - NAMED_NODES);
    }
    line + &match lag {
        Some(lag) if lag < UP_TO_DATE => "; this node is up to date".to_owned(),
        Some(lag) => format!("; this node is {} s behind", lag.as_secs()),
        None => "; this node has not read the log yet".to_owned(),
    }
}

impl Trouble {
    /// Returns what to do.
    pub fn advice(&self) -> &'static str {
        match self {
            Trouble::NoAnswer | Trouble::Alone(None) => {
                "check that the engine in [cluster] runs and that this machine reaches it; openseat keeps trying, and recovers by itself"
            }
            Trouble::Refused(refusal) | Trouble::Alone(Some(refusal)) => refusal.advice,
            Trouble::NoLeader => {
                "after a failure another node leads within `lease` + 2 s; if this lasts longer, the log of each node says why it does not lead"
            }
            Trouble::Behind => {
                "look at this node's log: the node is too slow, or another version writes entries that it cannot read"
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::Refused(refusal) => {
                return write!(f, "the cluster cannot be used: {}", refusal.said);
            }
            Trouble::Alone(Some(refusal)) => {
                return write!(f, "the cluster cannot be used, {ALONE}: {}", refusal.said);
            }
            Trouble::Alone(None) => {
                return write!(f, "the cluster's engine does not answer, {ALONE}");
            }
            Trouble::NoAnswer => "the cluster's engine does not answer",
            Trouble::NoLeader => "no node of the cluster leads the account",
            Trouble::Behind => "this node is behind the cluster's log",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::member::NodeStatus;

    const NOW: Moment = Moment {
        boot: Duration::from_secs(500_000),
        wall: Duration::from_secs(1_795_341_600),
    };

    #[test]
    fn the_first_problem_is_reported() {
        let mut status = Status::default();
        assert_eq!(status.trouble(NOW), None, "nothing was asked");
        status.asked = true;
        assert_eq!(status.trouble(NOW), Some(Trouble::NoAnswer));
        let refusal = Arc::new(EngineRefusal {
            said: "OOM".to_owned(),
            advice: "raise maxmemory",
        });
        status.refusal = Some(Arc::clone(&refusal));
        let refused = status.trouble(NOW).unwrap();
        assert_eq!(refused, Trouble::Refused(refusal));
        assert_eq!(refused.advice(), "raise maxmemory");
        (status.up, status.refusal) = (true, None);
        assert_eq!(status.trouble(NOW), Some(Trouble::NoLeader));
        status.nodes.push(NodeStatus {
            name: "other".to_owned(),
            leads: true,
            behind: 0,
        });
        assert_eq!(
            status.trouble(NOW),
            Some(Trouble::Behind),
            "it read nothing"
        );
        status.up_to_date = Some(NOW);
        assert_eq!(status.trouble(NOW), None);
        assert_eq!(status.trouble(NOW.later(MAX_LAG)), None);
        let late = NOW.later(MAX_LAG + Duration::from_secs(1));
        assert_eq!(status.trouble(late), Some(Trouble::Behind));
        // A leader without anything to write is not behind.
        status.leads = true;
        assert_eq!(status.trouble(late), None);
        assert_eq!(status.lag(late), Some(Duration::ZERO));
    }
}
