//! An account that this node leads in a cluster: it publishes what it learns to the other nodes, and answers their questions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;

use super::{
    Account, RefreshError,
    ask::Waiter,
    job::Done,
    remote::{Fate, Heard, Remote},
    roster::{self, UntoldRow},
};
use crate::{
    budget::Refusal,
    clock::Moment,
    cluster::{
        entry::{Entry, HeldSeat, Polled, Rows, SeenRow, Shown},
        member::Member,
        message::{Answer, Arrived, Question, Said, What},
    },
    decision::{board::QueueKey, reservations::ReservationId, staleness::Staleness},
    model::{
        agent::AgentId,
        fault::Fault,
        known::{Confirmed, Sighting},
        names::Names,
    },
};

/// What was last published to the other nodes.
#[derive(Debug, Default)]
pub(super) struct Told {
    names: Option<Arc<Names>>,
    /// The time of the last poll, by queue id.
    polls: BTreeMap<u64, Moment>,
    seen: roster::Told,
    unchanged: Option<Moment>,
    confirmed: Confirmed,
    shown: BTreeMap<Arc<str>, Shown>,
    fault: Option<Option<Arc<Fault>>>,
    /// The reservations that are held, by id.
    held: BTreeMap<String, ToldSeat>,
    /// Whether sweeps lost trust and the other nodes do not know yet.
    pub doubted: bool,
    /// Whether the other nodes have the last stored knowledge about agents' statuses.
    pub learnt: bool,
    /// Answers to send once the other nodes know what was learnt.
    answers: Vec<(String, Answer)>,
    /// The newest questions of other nodes.
    heard: Heard,
    queues: Option<Arc<Polled>>,
    /// When this node first published news as the leader, as boot time.
    since: Option<Duration>,
}

/// How long a leader keeps what is known of queues that it does not poll. Within a second it learns which queues only other nodes have, and within
/// seconds their ids.
const TELL_QUEUES_AFTER: Duration = Duration::from_secs(60);

/// A reservation, as the other nodes know it.
#[derive(Debug)]
struct ToldSeat {
    queue: Arc<str>,
    counts_on: Option<AgentId>,
}

impl Account {
    /// Forgets what was told about queues that are gone.
    pub(super) fn forget_told_queues(&mut self) {
        self.told.shown.retain(|queue, _| {
            let mut queues = self.deps.queues.iter();
            queues.any(|one| one.key.queue == *queue)
        });
    }

    /// Publishes news to the other nodes of the cluster, if there is one.
    pub(super) async fn publish_news(&mut self) {
        let Some(member) = self.member() else { return };
        let entry = self.news();
        member.publish(entry).await;
        for (node, answer) in std::mem::take(&mut self.told.answers) {
            self.send_answer(&member, node, answer).await;
        }
    }

    async fn send_answer(&mut self, member: &Member, node: String, answer: Answer) {
        self.told.heard.answered(&node, &answer);
        member.answer(node, answer).await;
    }

    fn member(&self) -> Option<Arc<Member>> {
        let cluster = self.deps.cluster.as_ref();
        cluster.map(|cluster| Arc::clone(&cluster.member))
    }

    pub(super) fn news(&mut self) -> Entry {
        let mut entry = Entry {
            doubted: std::mem::take(&mut self.told.doubted),
            ..Entry::default()
        };
        self.add_names(&mut entry);
        // Seats first: if an agent leaves meanwhile, its seat is held too long rather than given away twice.
        self.add_seats(&mut entry);
        self.add_rows(&mut entry);
        self.add_shown(&mut entry);
        self.add_learnt(&mut entry);
        self.add_queues(&mut entry);
        entry
    }

    /// Names the polled queues: all nodes drop what they know of others.
    fn add_queues(&mut self, entry: &mut Entry) {
        let now = self.deps.clock.now().boot;
        let since = *self.told.since.get_or_insert(now);
        let are_ids_known = self.is_certain(&self.deps.names.borrow());
        if now < since + TELL_QUEUES_AFTER || !are_ids_known {
            return;
        }
        let names = self.deps.queues.iter();
        let polled = Polled {
            ids: self.queues.iter().filter_map(|queue| queue.id).collect(),
            names: names.map(|queue| Arc::clone(&queue.key.queue)).collect(),
        };
        if self.told.queues.as_deref() != Some(&polled) {
            self.told.polls.retain(|id, _| polled.ids.contains(id));
            let polled = Arc::new(polled);
            self.told.queues = Some(Arc::clone(&polled));
            entry.queues = Some(polled);
        }
    }

    fn add_names(&mut self, entry: &mut Entry) {
        if self.are_names_stale() {
            return; // The other nodes would use them at once.
        }
        let names = Arc::clone(&self.deps.names.borrow());
        let is_told = |told: &Arc<Names>| Arc::ptr_eq(told, &names);
        if !self.told.names.as_ref().is_some_and(is_told) {
            (entry.names, entry.names_read) = (Some(Arc::clone(&names)), self.names_read());
            self.told.names = Some(names);
        }
    }

    fn add_rows(&mut self, entry: &mut Entry) {
        // The config may have a queue twice.
        let mut newest: BTreeMap<u64, (Moment, usize)> = BTreeMap::new();
        for (place, queue) in self.queues.iter().enumerate() {
            if let (Some(id), Some(polled)) = (queue.id, self.roster.polled(place)) {
                let known = newest.entry(id).or_insert((polled, place));
                if polled.boot > known.0.boot {
                    *known = (polled, place);
                }
            }
        }
        for (id, (polled, place)) in newest {
            if self.told.polls.insert(id, polled) == Some(polled) {
                continue;
            }
            if let Some(poll) = self.roster.last_poll(place) {
                let rows = Rows {
                    as_of: poll.as_of,
                    took: poll.took,
                    complete: poll.complete,
                    rows: poll.agents.iter().map(|agent| agent.raw.clone()).collect(),
                };
                entry.polls.push((id, rows));
            }
        }
        let untold = self.roster.untold(&mut self.told.seen);
        let are_covered = untold.rows.iter().any(|row| row.is_covered);
        entry.seen = untold.rows.into_iter().map(seen_row).collect();
        // Nothing is covered once it is doubted.
        entry.uncovered = untold.uncovered || entry.doubted;
        if are_covered || self.told.unchanged != untold.unchanged {
            (entry.unchanged, self.told.unchanged) = (untold.unchanged, untold.unchanged);
        }
        let confirmed = self.roster.confirmed();
        // Others drop what lists have confirmed together with the rows that are doubted, and with a new row what is less confirmed of its agent.
        let tells_rows = !entry.seen.is_empty() && !confirmed.but.is_empty();
        if entry.doubted || tells_rows || self.told.confirmed != confirmed {
            entry.confirmed = Some(confirmed.clone());
            self.told.confirmed = confirmed;
        }
    }

    /// Publishes the rows of all lists again, because some of their confirmations are no longer trusted.
    pub(super) fn tell_again(&mut self) {
        self.told.doubted = true;
        self.told.seen = roster::Told::default();
    }

    fn add_shown(&mut self, entry: &mut Entry) {
        for (place, queue) in self.deps.queues.iter().enumerate() {
            // Without a place on the board nothing is known, and an age of zero would make the others' data too old.
            let Some(state) = self.deps.board.get(&queue.key) else {
                continue;
            };
            let shown = Shown {
                queue: Arc::clone(&queue.key.queue),
                fault: state.fault.clone(),
                max_age: state.planned_max_age,
                members_max_age: state.planned_members_max_age,
                fails: self.is_failing(place),
            };
            if self.told.shown.get(&shown.queue) != Some(&shown) {
                entry.shown.push(shown.clone());
                self.told.shown.insert(Arc::clone(&shown.queue), shown);
            }
        }
        let fault = self
            .faults
            .present()
            .map(|present| Arc::clone(&present.fault));
        let fault = Some(fault);
        if self.told.fault != fault {
            entry.fault.clone_from(&fault);
            self.told.fault = fault;
        }
    }

    fn add_learnt(&mut self, entry: &mut Entry) {
        if !std::mem::replace(&mut self.told.learnt, true) {
            entry.learnt = Some(self.foresight_to_store().into());
        }
    }

    fn add_seats(&mut self, entry: &mut Entry) {
        let now = self.deps.clock.now();
        let mut held = BTreeMap::new();
        for key in self.queues_with_seats() {
            for reservation in self.deps.reservations.queue(&key).list(now) {
                let id = reservation.id.to_string();
                let seat = ToldSeat {
                    queue: Arc::clone(&key.queue),
                    counts_on: reservation.counts_on.clone(),
                };
                let told = self.told.held.get(&id);
                if told.is_none_or(|told| told.counts_on != seat.counts_on) {
                    entry.held.push(HeldSeat {
                        queue: Arc::clone(&key.queue),
                        reservation,
                    });
                }
                held.insert(id, seat);
            }
        }
        let ended = self.told.held.keys().filter(|id| !held.contains_key(*id));
        entry.ended = ended.map(|id| ReservationId::from_text(id)).collect();
        self.told.held = held;
    }

    /// Returns the polled queues, and those that are no longer polled but had held seats: their calls are still on their way.
    fn queues_with_seats(&self) -> Vec<QueueKey> {
        let polled = self.deps.queues.iter().map(|queue| queue.key.clone());
        let mut keys: Vec<_> = polled.collect();
        let named: BTreeSet<_> = self.told.held.values().map(|seat| &seat.queue).collect();
        for queue in named {
            if !keys.iter().any(|key| key.queue == *queue) {
                keys.push(self.key(queue));
            }
        }
        keys
    }

    /// Answers another node's question, now or once a job has ended.
    pub(super) async fn answer_question(&mut self, asked: &Arrived, jobs: &mut JoinSet<Done>) {
        let (Some(member), Ok(question)) = (
            self.member(),
            serde_json::from_slice::<Question>(&asked.question),
        ) else {
            return;
        };
        // It may have waited here, while this node did not lead or was busy, or before that.
        let now = self.deps.clock.now().boot;
        if question.is_too_late(now.saturating_sub(asked.after)) {
            return;
        }
        if question.what.is_about_a_request() {
            return member.count_for(question).await;
        }
        let Question { id, node, what, .. } = question;
        let again = match self.told.heard.hear(&node, id) {
            Fate::New => None,
            Fate::Waits => Some(Said::UnderWay),
            Fate::Answered(said) => Some(said),
        };
        if let Some(said) = again {
            return member.answer(node, Answer { id, said }).await;
        }
        let asker = node.clone();
        let remote = Remote::new(Arc::clone(&member), node, id);
        let said = match what {
            What::Refresh { queue } => {
                let (queue, said) = (self.key(&queue), Said::UnderWay);
                member.answer(asker, Answer { id, said }).await;
                return self.refresh(&queue, Waiter::Remote(remote), jobs).await;
            }
            What::Freshen {
                queue,
                chance,
                of_membership,
            } => {
                let (queue, staleness) = (
                    self.key(&queue),
                    Staleness {
                        chance,
                        of_membership,
                    },
                );
                let waiter = Waiter::Remote(remote);
                return self.freshen(&queue, staleness, waiter, jobs).await;
            }
            What::Release { id } => self.release(&member, &ReservationId::from_text(&id)).await,
            reserve @ What::Reserve { .. } => self.reserve(&member, &asker, reserve).await,
            What::Wish {
                digest,
                queues,
                asked,
            } => self.take_wish(asker, digest, queues, &asked),
            // The member's task has answered these.
            What::Spend { .. } | What::Answered { .. } | What::Silenced { .. } => Said::Unlogged,
        };
        let (node, answer) = remote.answer(said);
        self.send_answer(&member, node, answer).await;
    }

    pub(super) fn key(&self, queue: &str) -> QueueKey {
        QueueKey::new(Arc::clone(&self.name), queue)
    }

    /// Tells a caller how its job ended. Other nodes get their answers once they know what was learnt.
    pub(super) fn tell_waiter(&mut self, waiter: Waiter, ended: Result<(), RefreshError>) {
        match waiter {
            Waiter::Remote(remote) => {
                let wait = |refusal: Refusal| refusal.wait(self.deps.clock.now());
                let said = match ended {
                    Ok(()) => Said::Done,
                    Err(RefreshError::Refused(refusal)) => Said::Refused {
                        cause: refusal.cause,
                        wait_ms: wait(refusal).as_millis() as u64,
                    },
                    Err(error) => Said::Failed(error.to_string()),
                };
                self.told.answers.push(remote.answer(said));
            }
            waiter => waiter.tell(ended),
        }
    }
}

fn seen_row(row: UntoldRow) -> SeenRow {
    let Sighting {
        agent,
        at,
        by_sweep,
    } = row.seen;
    SeenRow {
        agent: agent.id.clone(),
        at,
        by_sweep,
        is_look: row.is_look,
        is_covered: row.is_covered,
        row: agent.raw.clone(),
    }
}
