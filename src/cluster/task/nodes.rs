//! Tracks which nodes live, and reports on them.

use std::{
    cmp,
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Task, together::ToldMissed};
use crate::cluster::{
    codec,
    command::{Command, Look, MAX_COUNT, Position},
    member::{NodeStatus, Status},
};

/// A node that was silent for this many leases is gone.
const GONE_AFTER: u32 = 3;

/// How long the mirror of a gone node may matter: an hour, plus the time that a request may stay beyond it.
const MIRROR_MATTERS: Duration = Duration::from_secs(2 * 3600);

/// What a node publishes about itself.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Info {
    pub(super) name: String,
    /// Changes with each look, so that other nodes see that it lives.
    pub(super) beat: u64,
    pub(super) epoch: u64,
    pub(super) number: u64,
    pub(super) format: u32,
    /// `requests_per_hour` of its config; `None` if it counts no requests.
    #[serde(default)]
    pub(super) limit: Option<u32>,
    /// It may have sent requests without the engine, and has stored no mirror since.
    #[serde(default)]
    pub(super) owes: bool,
    /// The last look of each node that it has heard of, if it may go on alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) heard_of: BTreeMap<String, u64>,
    /// The data set in which its mirror has all requests of the hour.
    #[serde(default)]
    pub(super) knows_all_of: Option<String>,
    /// What it missed, as long as nothing shows that others knew it. Its mirror in this data set has all that it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<ToldMissed>,
    /// For so many seconds, nobody may know the whole hour.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) ignorant_s: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A node, as this one sees it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) info: Info,
    pub(super) since: Duration,
    /// Whether it was seen to live. What a node published stays for a while after its end.
    pub(super) lives: bool,
    /// How many entries it was behind when it published that, at least.
    behind: u64,
    /// The end of the log at this node's last look. What the other node publishes after that is at most as old.
    end: Position,
}

impl Task {
    /// Returns what this node publishes about itself.
    pub(super) fn info(&self) -> Info {
        Info {
            name: self.deps.name.clone(),
            beat: self.beats,
            epoch: self.position.epoch.max(self.last_epoch),
            number: self.position.number,
            format: self.deps.format,
            limit: self.deps.budget.as_ref().map(|budget| budget.limit()),
            owes: self.company.owes,
            heard_of: self.heard_of(),
            knows_all_of: self.stored_all_in(),
            missed: self.told_missed(),
            ignorant_s: self.ignorant_for().as_secs(),
        }
    }

    pub(super) fn see_nodes(&mut self, look: &Look, now: Duration) {
        self.note_who_was_before(look, now);
        for (id, info) in &look.nodes {
            let Ok(info) = serde_json::from_slice::<Info>(info) else {
                continue;
            };
            // Epochs after the last one begin again, which a node may not know yet.
            if info.epoch < MAX_COUNT {
                self.candidate.heard_of(info.epoch);
            }
            self.note_company(&info);
            self.note_ignorance(id, &info, now);
            match self.nodes.get_mut(id) {
                Some(node) if node.info.beat == info.beat => node.end = look.last,
                Some(node) => {
                    *node = Node {
                        behind: info.behind(node.end),
                        info,
                        since: now,
                        lives: true,
                        end: look.last,
                    }
                }
                None => {
                    let node = Node {
                        behind: info.behind(look.last),
                        info,
                        since: now,
                        lives: false,
                        end: look.last,
                    };
                    self.nodes.insert(id.clone(), node);
                    self.mirrors_due = 2;
                }
            }
        }
        let ids: HashSet<_> = look.nodes.iter().map(|(id, _)| id).collect();
        self.nodes.retain(|id, _| ids.contains(id));
        self.keep_the_smallest_limit(now);
    }

    /// Applies the smallest limit of all living nodes, whose configs may differ.
    pub(super) fn keep_the_smallest_limit(&mut self, now: Duration) {
        let living = self.nodes.values().filter(|node| !self.is_gone(node, now));
        let limits = living.filter_map(|node| Some((node.info.limit?, &node.info.name)));
        let (Some(budget), Some((limit, node))) = (&self.deps.budget, limits.min()) else {
            return;
        };
        budget.cap(limit);
        budget.go_on_alone(self.company.is_alone);
        let smaller = (limit < budget.limit()).then_some(limit);
        if self.smaller_limit == smaller {
            return;
        }
        let account = &*self.deps.account;
        match smaller {
            Some(limit) => tracing::warn!(
                account,
                limit,
                node,
                "another node has a smaller requests_per_hour, which holds for all; give all nodes the same"
            ),
            None => tracing::info!(
                account,
                limit,
                "no node has a smaller requests_per_hour any more"
            ),
        }
        self.smaller_limit = smaller;
    }

    /// Chooses the newest format that all living nodes read. Returns whether that is another one. Then the next entry comes with a checkpoint, because
    /// a node that joins may not read the entries before.
    pub(super) fn choose_format(&mut self, now: Duration) -> bool {
        let living = self.nodes.values().filter(|node| !self.is_gone(node, now));
        let formats = living.map(|node| node.info.format);
        let format = formats.min().unwrap_or(codec::OLDEST);
        let format = format.min(self.deps.format).max(codec::OLDEST);
        let is_other = std::mem::replace(&mut self.draft.format, format) != format;
        if is_other {
            self.draft.next_has_checkpoint();
        }
        is_other
    }

    pub(super) fn is_gone(&self, node: &Node, now: Duration) -> bool {
        now > node.since + self.deps.lease * GONE_AFTER
    }

    /// Removes nodes that are gone, and their mirrors once those no longer matter. Only the leader does.
    pub(super) async fn forget_nodes(&mut self) {
        if !self.leads() {
            return;
        }
        let now = self.now().boot;
        let gone = self
            .nodes
            .iter()
            .filter(|(_, node)| self.is_gone(node, now));
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        let (nodes, mut old) = (&self.nodes, Vec::new());
        self.mirrors_seen.retain(|id, since| {
            let stays = nodes.contains_key(id) || now < *since + MIRROR_MATTERS;
            if !stays {
                old.push(id.clone());
            }
            stays
        });
        if !(gone.is_empty() && old.is_empty()) {
            let command = Command::Forget {
                nodes: gone,
                mirrors: old,
            };
            self.ask(&command).await;
        }
    }

    /// Reports the cluster's status.
    pub(super) fn report(&self) {
        let now = self.now().boot;
        let (leads, epoch) = (self.leads(), self.last_epoch.max(self.position.epoch));
        let holder = self.candidate.holder();
        let is_alone = self.company.is_alone;
        // Without the engine, this node sees no nodes.
        let is_seen = |node: &Node| !is_alone && !self.is_gone(node, now);
        let living = self.nodes.iter().filter(|(_, node)| is_seen(node));
        let status = |(id, node): (&String, &Node)| {
            let leads = holder.as_ref() == Some(id);
            NodeStatus {
                name: node.info.name.clone(),
                leads,
                // Only the leader writes.
                behind: if leads { 0 } else { node.behind },
            }
        };
        let own = is_alone.then(|| NodeStatus {
            name: self.deps.name.clone(),
            leads: true,
            behind: 0,
        });
        let mut nodes: Vec<_> = living.map(status).chain(own).collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        let status = Status {
            asked: self.beats > 0,
            up: self.is_up,
            refusal: self.refusal.clone(),
            claim_refusal: self.registration.refusal.clone(),
            leads,
            is_alone,
            epoch,
            up_to_date: self.engine_clock.up_to_date,
            nodes,
        };
        self.deps.status.send_replace(status);
    }
}

impl Info {
    /// Returns how many entries the node is behind this end of the log, at least: the numbers of older epochs are not known, so a node that has read
    /// nothing of its epoch is behind by all entries of it.
    fn behind(&self, end: Position) -> u64 {
        match self.epoch.cmp(&end.epoch) {
            cmp::Ordering::Less => end.number,
            cmp::Ordering::Equal => end.number.saturating_sub(self.number),
            cmp::Ordering::Greater => 0,
        }
    }
}
