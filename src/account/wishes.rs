//! What a cluster's nodes want an account's leader to poll. Each node gets calls, and their configs may have different queues.
//!
//! A follower sends its queues and how often each was asked about. The leader polls the queues of all living nodes. Those that its own config lacks
//! are *guests*: they come after its own queues, and requests to this node cannot name them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{Account, QueueSettings, naming::id_of, queue::QueueAtWork};
use crate::{
    cluster::{
        member::{MAX_NODES, Member, Status},
        message::{Said, What},
    },
    config::{self, QueueRef},
    decision::board::QueueKey,
    model::digest::Digest,
};

/// How often a follower with questions about its queues sends its wish. Demand lasts for minutes.
const EVERY: Duration = Duration::from_secs(5);

/// How often a follower without questions sends its wish. With a thousand accounts, the engine gets 33 messages a second from each follower.
const EVERY_AT_REST: Duration = Duration::from_secs(30);

/// The wish of a node that was silent for this long is dropped: three times the longest interval.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(90);

/// The maximum number of guests: as many queues as another large account has.
const MAX_GUESTS: usize = 1_000;

/// The maximum length of a node's id and of a digest in bytes. Both have a few dozen.
const MAX_ID: usize = 128;

/// The maximum length of a queue's lines in bytes. A queue with a long rule has a few hundred.
const MAX_LINES: usize = 16 * 1024;

/// The wishes of other nodes.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    nodes: BTreeMap<String, Wish>,
    /// How many of the account's queues are guests. They come last.
    guests: usize,
    /// When this node last sent its own wish, as a follower, and the leader's epoch.
    sent: Option<(Duration, u64)>,
}

impl Wishes {
    /// Returns the epoch of the leader that has this node's wish; 0 if none has.
    pub fn told_in(&self) -> u64 {
        self.sent.map_or(0, |(_, epoch)| epoch)
    }

    /// Returns a queue of another node's config.
    pub fn queue(&self, node: &str, reference: &QueueRef) -> Option<&config::Queue> {
        let mut queues = self.nodes.get(node)?.queues.iter().flatten();
        queues.find(|queue| queue.reference == *reference)
    }
}

/// Reads a queue of another node's config. `None` if it is too long, or this version cannot read it.
pub(super) fn queue_of(lines: &str) -> Option<config::Queue> {
    let is_short = lines.len() <= MAX_LINES;
    is_short.then(|| config::Queue::from_lines(lines)).flatten()
}

/// The wish of a node.
#[derive(Debug)]
struct Wish {
    heard: Duration,
    digest: String,
    /// In the order of their counts; `None` if this node cannot read it.
    queues: Vec<Option<config::Queue>>,
}

impl Account {
    /// Sends the leader this node's queues, and how often they were asked about. Another leader gets them at once: until then it cannot decide about
    /// queues that it does not have itself.
    pub(super) fn wish(
        &mut self,
        member: &Arc<Member>,
        status: &Status,
        forwarded: &mut JoinSet<()>,
    ) {
        let now = self.deps.clock.now().boot;
        let interval = match self.queues.iter().any(QueueAtWork::is_asked_again) {
            true => EVERY,
            false => EVERY_AT_REST,
        };
        let is_early = |(sent, epoch)| epoch == status.epoch && now < sent + interval;
        if self.wishes.sent.is_some_and(is_early) || status.leader().is_none() {
            return;
        }
        self.wishes.sent = Some((now, status.epoch));
        let asked = self.new_questions();
        let (digest, lines) = self.own_queues();
        let member = Arc::clone(member);
        forwarded.spawn(async move {
            let wish = What::Wish {
                digest: digest.clone(),
                queues: None,
                asked,
            };
            if member.ask(wish, EVERY).await == Some(Said::Which) {
                let wish = What::Wish {
                    digest,
                    queues: Some(lines),
                    asked: Vec::new(),
                };
                member.ask(wish, EVERY).await;
            }
        });
    }

    /// Returns a digest of the queues in this node's own config, and these queues as lines.
    fn own_queues(&self) -> (String, Vec<String>) {
        let own = self.deps.queues.len() - self.wishes.guests;
        let lines = self.deps.queues[..own].iter().map(|queue| {
            config::Queue::lines(&queue.reference, queue.hours.as_deref(), &queue.rule)
        });
        let lines: Vec<_> = lines.collect();
        (Digest::new(lines.concat()).short(), lines)
    }

    /// Records another node's wish. `queues` is `None` if it has sent them before.
    pub(super) fn take_wish(
        &mut self,
        node: String,
        digest: String,
        queues: Option<Vec<String>>,
        asked: &[u64],
    ) -> Said {
        let heard = self.deps.clock.now().boot;
        let known = self.wishes.nodes.get_mut(&node);
        if let Some(wish) = known.filter(|wish| wish.digest == digest) {
            wish.heard = heard;
        } else {
            let is_new = !self.wishes.nodes.contains_key(&node);
            let is_full = is_new && self.wishes.nodes.len() >= MAX_NODES;
            if is_full || node.len() > MAX_ID || digest.len() > MAX_ID {
                return Said::Full;
            }
            let (own, own_lines) = self.own_queues();
            let lines = match queues {
                Some(lines) => lines,
                None if own == digest => own_lines,
                None => return Said::Which,
            };
            // Those that cannot be read keep their places, because the questions are counted by place.
            let queues = lines.iter().map(|lines| queue_of(lines));
            let wish = Wish {
                heard,
                digest,
                queues: queues.take(MAX_GUESTS).collect(),
            };
            self.wishes.nodes.insert(node.clone(), wish);
            self.host();
        }
        self.count_asked(&node, asked);
        Said::Done
    }

    fn count_asked(&mut self, node: &str, asked: &[u64]) {
        let Some(wish) = self.wishes.nodes.get(node) else {
            return;
        };
        for (queue, asked) in wish.queues.iter().zip(asked) {
            let Some(queue) = queue else { continue };
            let mut queues = self.deps.queues.iter();
            if let Some(place) = queues.position(|one| one.reference == queue.reference) {
                let sum = &mut self.queues[place].asked_elsewhere;
                *sum = sum.saturating_add(*asked);
            }
        }
    }

    /// Adds the questions to other nodes, and drops the wishes of nodes that are gone.
    pub(super) fn add_wishes(&mut self, new: &mut [u64]) {
        for (new, queue) in new.iter_mut().zip(&mut self.queues) {
            *new = new.saturating_add(std::mem::take(&mut queue.asked_elsewhere));
        }
        let (now, before) = (self.deps.clock.now().boot, self.wishes.nodes.len());
        let lives = |wish: &Wish| now < wish.heard + FORGOTTEN_AFTER;
        self.wishes.nodes.retain(|_, wish| lives(wish));
        if self.wishes.nodes.len() != before {
            self.host();
        }
    }

    /// Drops all wishes: a follower polls nothing.
    pub(super) fn forget_wishes(&mut self) {
        self.wishes.nodes.clear();
        self.host();
    }

    /// Returns these queues of this node's own config, followed by those that only other nodes have.
    pub(super) fn with_guests(&mut self, mut queues: Vec<QueueSettings>) -> Vec<QueueSettings> {
        let names = Arc::clone(&self.deps.names.borrow());
        let own = queues.len();
        let wished = self.wishes.nodes.values().flat_map(|wish| &wish.queues);
        for queue in wished.flatten() {
            let id = id_of(&queue.reference, &names).and_then(Result::ok);
            let known = queues.iter().position(|one| {
                let other = || id_of(&one.reference, &names).and_then(Result::ok);
                one.reference == queue.reference || id.is_some() && id == other()
            });
            if let Some(place) = known {
                // Nodes that have different hours for it share the polls of whichever is open.
                if place >= own && queues[place].hours != queue.hours {
                    queues[place].hours = None;
                }
            } else if queues.len() < own + MAX_GUESTS {
                queues.push(QueueSettings {
                    key: QueueKey::new(Arc::clone(&self.name), Arc::clone(&queue.spelling)),
                    reference: queue.reference.clone(),
                    rule: queue.rule.clone(),
                    threshold: queue.threshold,
                    max_age: None,
                    hours: queue.hours.clone(),
                    soon: queue.soon,
                });
            }
        }
        self.wishes.guests = queues.len() - own;
        queues[own..]
            .iter()
            .for_each(|guest| self.deps.board.host(&guest.key));
        queues
    }

    /// Applies the wishes: polls the queues of all nodes, and no others.
    fn host(&mut self) {
        let own = self.deps.queues.len() - self.wishes.guests;
        let was: Vec<_> = self.deps.queues[own..].to_vec();
        let queues = self.with_guests(self.deps.queues[..own].to_vec());
        let is: Vec<_> = queues[own..].iter().map(|one| one.key.clone()).collect();
        let is_same = was.len() == is.len()
            && was
                .iter()
                .zip(&queues[own..])
                .all(|(was, is)| was.key == is.key && was.rule == is.rule && was.hours == is.hours);
        if is_same {
            return;
        }
        self.arrange(queues, self.deps.options);
        let was: Vec<_> = was.into_iter().map(|was| was.key).collect();
        let lacks = |all: &[QueueKey], key: &QueueKey| !all.contains(key);
        let joined: Vec<_> = is.iter().filter(|key| lacks(&was, key)).collect();
        let left: Vec<_> = was.iter().filter(|key| lacks(&is, key)).collect();
        left.iter().for_each(|key| self.deps.board.drop_guest(key));
        self.log_guests(&joined, &left);
    }

    fn log_guests(&self, joined: &[&QueueKey], left: &[&QueueKey]) {
        let account = &*self.name;
        let names = |keys: &[&QueueKey]| {
            let names = keys.iter().map(|key| Arc::clone(&key.queue));
            names.collect::<Vec<_>>()
        };
        if !joined.is_empty() {
            tracing::info!(
                account,
                queues = ?names(joined),
                "also polling queues that only other nodes of the cluster have"
            );
        }
        if !left.is_empty() {
            tracing::info!(
                account,
                queues = ?names(left),
                "no longer polling queues that only other nodes of the cluster had"
            );
        }
    }
}
