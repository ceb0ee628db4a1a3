//! An account that another node of the cluster leads: it waits for the leader's [`news`](super::news), and forwards requests to the leader.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Account, Ask, Deps, LISTEN, PresentFault, RefreshError, ask::Waiter};
use crate::{
    budget::{Cause, Refusal},
    clock::Clock,
    cluster::{
        asking::Unanswered,
        entry::Entry,
        member::{Member, Role, Status},
        message::{Arrived, Said, What},
        node::Membership,
    },
    decision::board::{Board, QueueKey},
    model::fault::{Down, Fault},
};

/// How long a refresh may take on the leader: nearly the longest timeout of a request. Callers give up earlier.
const REFRESH: Duration = Duration::from_secs(30);

/// How long the leader may take to get newer data. Callers wait at most 5 s.
const FRESHEN: Duration = Duration::from_secs(5);

/// When to ask again if no node leads.
const NO_LEADER: Duration = Duration::from_secs(1);

/// How long an entry may take to arrive after the leader's answer.
const APPLY: Duration = Duration::from_millis(250);

/// How long the engine may be silent before the queues show that as their fault. An ordinary change of leader takes less.
const WORTH_SHOWING: Duration = Duration::from_secs(15);

/// Why the account's task stopped following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// It was told to stop.
    Stopped,
    /// This node leads from now on.
    Leads,
}

impl Account {
    /// Returns whether another node sends the account's requests, or did since this task last led. It then catches up first.
    pub(super) fn follows(&self) -> bool {
        is_follower(&self.deps)
    }

    /// Follows until this node leads.
    pub(super) async fn follow_the_leader(&mut self, stop: &CancellationToken) -> Followed {
        self.refuse_waiters();
        let Some(mut cluster) = self.deps.cluster.take() else {
            return Followed::Leads;
        };
        for place in 0..self.queues.len() {
            self.queues[place].failing_elsewhere = self.is_failing(place);
        }
        self.polls = false;
        self.forget_outlooks();
        self.forget_reports();
        self.forget_wishes();
        // Those that this node heard while it led: the next leader hears them too.
        while cluster.questions.try_recv().is_ok() {}
        let mut forwarded = JoinSet::new();
        let followed = loop {
            self.deps.heartbeat.beat();
            if *cluster.role.borrow_and_update() == Role::Leading {
                let tenure = cluster.member.tenures();
                while let Ok(news) = cluster.news.try_recv() {
                    self.take_news(&news);
                }
                cluster.member.set_ready(tenure);
                // Callers still wait for the answers, which now come from this node. Each ends within half a minute.
                forwarded.detach_all();
                break Followed::Leads;
            }
            self.follow_the_token();
            let status = cluster.member.status();
            self.show_missing_leader(&cluster.member, &status);
            self.ask_for_rows(&cluster.member);
            self.wish(&cluster.member, &status, &mut forwarded);
            let told_in = self.wishes.told_in();
            tokio::select! {
                () = stop.cancelled() => break Followed::Stopped,
                // The member's task has ended; `run` reports why.
                changed = cluster.role.changed() => if changed.is_err() {
                    break Followed::Stopped;
                },
                Some(news) = cluster.news.recv() => self.take_news(&news),
                Some(ask) = self.deps.asks.recv() => self.forward(ask, &cluster.member, &mut forwarded),
                Some(_) = forwarded.join_next() => {}
                () = cluster.member.leader_after(told_in) => {}
                () = tokio::time::sleep(LISTEN) => {}
            }
        };
        self.deps.cluster = Some(cluster);
        followed
    }

    /// Tells callers whose polls have ended with this node's leadership that no node leads now. Another leader may be known in a moment.
    fn refuse_waiters(&mut self) {
        let now = self.deps.clock.now();
        let refusal = Refusal {
            until: now.later(NO_LEADER),
            cause: Cause::NotLeading,
        };
        for waiter in std::mem::take(&mut self.waiters).into_values().flatten() {
            match waiter {
                Waiter::Remote(remote) => remote.tell(Said::Refused {
                    cause: refusal.cause,
                    wait_ms: NO_LEADER.as_millis() as u64,
                }),
                waiter => waiter.tell(Err(refusal.into())),
            }
        }
    }

    /// Starts leading, as after a restart without any loss.
    pub(super) fn lead(mut self) -> Self {
        // This node finds its own faults; those of the last leader may not apply.
        let shown = self.deps.queues.iter().zip(&self.queues);
        for (queue, _) in shown.filter(|(_, at_work)| at_work.shown.is_some()) {
            self.deps.board.fault(&queue.key, None);
        }
        let failing_guests = std::mem::take(&mut self.failing_guests);
        let known = self.known();
        Self {
            failing_guests,
            ..Self::new(Deps { known, ..self.deps })
        }
    }

    /// Drops what only a leader reports: it may no longer be true.
    fn forget_reports(&self) {
        self.deps.health.send_if_modified(|health| {
            let (soon, emptied) = (health.soon.take(), health.emptied.take());
            soon.is_some() || emptied.is_some()
        });
    }

    /// Drops predictions about agents who will be free soon: a follower does not know which agents the leader's calls count on.
    fn forget_outlooks(&self) {
        (0..self.deps.queues.len()).for_each(|place| self.forget_outlook(place));
    }

    pub(super) fn show_account_fault(&self, present: Option<PresentFault>) {
        self.deps.health.send_if_modified(|health| {
            let kind = |fault: &Option<PresentFault>| fault.as_ref().map(PresentFault::kind);
            let changed = kind(&health.fault) != kind(&present);
            match (&mut health.fault, present) {
                // Its end or its detail may be another one now.
                (Some(shown), Some(present)) if !changed => {
                    let is_news = shown.fault != present.fault;
                    shown.fault = present.fault;
                    return is_news;
                }
                (fault, present) => *fault = present,
            }
            changed
        });
    }

    /// Shows a fault while no node can lead, or this one cannot and no other does. Once one can, what the leader said of faults before is shown again:
    /// it tells only changes.
    fn show_missing_leader(&mut self, member: &Member, status: &Status) {
        let now = self.deps.clock.now();
        let heard = status.up_to_date.map(|at| now.longest_since(at));
        // Unknown until the first command is answered or fails.
        let is_down = status.asked && !status.up && heard.is_none_or(|age| age > WORTH_SHOWING);
        let refusal = match is_down {
            true => status.refusal.clone(),
            false => status.claim_refusal().cloned(),
        };
        let has_fault = is_down || refusal.is_some();
        let fault = has_fault.then(|| Arc::new(Fault::ClusterDown(refusal)));
        // A leader may tell the same fault of its own.
        let was = std::mem::replace(&mut self.missing_leader, fault.clone());
        // A reload may have added queues since.
        let is_shown = fault.is_none() || self.queues.iter().all(|queue| queue.shown == fault);
        if was == fault && is_shown {
            return;
        }
        for (queue, at_work) in self.deps.queues.iter().zip(&mut self.queues) {
            self.deps.board.fault(&queue.key, fault.clone());
            at_work.shown.clone_from(&fault);
        }
        self.show_account_fault(fault.map(|fault| PresentFault { fault, since: now }));
        if !has_fault {
            member.repeat();
        }
        // Another cause is in a line of its own.
        if std::mem::replace(&mut self.is_engine_missing, is_down) != is_down {
            self.log_missing_leader(is_down, status);
        }
    }

    fn log_missing_leader(&self, is_down: bool, status: &Status) {
        let account = &*self.name;
        match &status.refusal {
            _ if !is_down => tracing::info!(account, "the cluster's engine is back"),
            None => tracing::warn!(
                account,
                "the cluster's engine does not answer, so no node may send requests; answers come from memory and grow old"
            ),
            Some(refusal) => tracing::warn!(
                account,
                error = refusal.said,
                advice = refusal.advice,
                "the cluster's engine refuses what openseat needs, so this node sends no requests; answers come from memory and grow old"
            ),
        }
    }

    /// Forwards a request to the leader, or serves it here if it concerns only this node.
    fn forward(&mut self, ask: Ask, member: &Arc<Member>, forwarded: &mut JoinSet<()>) {
        let (member, board) = (Arc::clone(member), Arc::clone(&self.deps.board));
        match ask {
            Ask::Refresh { queue, mut reply } => {
                let clock = Arc::clone(&self.deps.clock);
                forwarded.spawn(async move {
                    let asked = refresh(&member, &board, &queue, &*clock);
                    if let Some(refreshed) = unless_closed(&mut reply, asked).await {
                        let _ = reply.send(refreshed);
                    }
                });
            }
            Ask::Fresh {
                queue,
                staleness,
                mut reply,
            } => {
                forwarded.spawn(async move {
                    let what = What::Freshen {
                        queue: queue.queue.to_string(),
                        chance: staleness.chance,
                        of_membership: staleness.of_membership,
                    };
                    let asked = newer(&member, &board, &queue, what, FRESHEN);
                    if unless_closed(&mut reply, asked).await == Some(true) {
                        let _ = reply.send(());
                    }
                });
            }
            Ask::TryToken => self.schedule.try_token(),
            Ask::Known { reply } => drop(reply.send(self.known())),
            Ask::Take(terms) => {
                self.take_terms(*terms);
                // What the leader said about queues that are new here was of no use before.
                member.repeat();
            }
        }
    }
}

/// Returns whether another node sends the account's requests, or did since this task last led. It then catches up first.
pub(super) fn is_follower(deps: &Deps) -> bool {
    let cluster = deps.cluster.as_ref();
    cluster.is_some_and(|cluster| {
        *cluster.role.borrow() == Role::Following || !cluster.member.is_ready()
    })
}

/// Asks the leader for a poll. Without a leader, this fails within seconds.
async fn refresh(
    member: &Member,
    board: &Board,
    queue: &QueueKey,
    clock: &dyn Clock,
) -> Result<(), RefreshError> {
    let before = version(board, queue);
    let what = What::Refresh {
        queue: queue.queue.to_string(),
    };
    let refused = |cause, wait| {
        let until = clock.now().later(wait);
        RefreshError::Refused(Refusal { until, cause })
    };
    match member.ask_for_poll(what, REFRESH).await {
        Ok(Said::Done) => {
            changed(board, queue, before).await;
            Ok(())
        }
        Ok(Said::Refused { cause, wait_ms }) => Err(refused(cause, Duration::from_millis(wait_ms))),
        Ok(Said::Failed(why)) => {
            changed(board, queue, before).await;
            let state = board.get(queue);
            let fault = state.and_then(|state| state.fault.as_deref().cloned());
            let fault = fault.unwrap_or_else(|| Fault::down(Down::TimeOut, why));
            Err(fault.into())
        }
        Err(Unanswered::Late) => {
            let why = "the leader has not ended its poll";
            Err(Fault::down(Down::TimeOut, why).into())
        }
        Ok(_) | Err(Unanswered::Unheard) => Err(refused(Cause::NotLeading, NO_LEADER)),
    }
}

/// Waits for an answer until the caller gives up. The questions that wait have a limit for all accounts, so none must outlive its caller.
async fn unless_closed<A, T>(
    caller: &mut oneshot::Sender<A>,
    answer: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        () = caller.closed() => None,
        answer = answer => Some(answer),
    }
}

/// Asks the leader for newer data, and waits until it is on this node's board.
async fn newer(
    member: &Member,
    board: &Board,
    queue: &QueueKey,
    what: What,
    timeout: Duration,
) -> bool {
    let before = version(board, queue);
    if member.ask(what, timeout).await != Some(Said::Done) {
        return false;
    }
    changed(board, queue, before).await;
    true
}

fn version(board: &Board, queue: &QueueKey) -> u64 {
    board.version(queue).map_or(0, |version| version.number())
}

/// Waits a moment for a change of a queue on the board.
async fn changed(board: &Board, queue: &QueueKey, before: u64) {
    let mut changes = board.changes();
    let newer = async {
        while version(board, queue) == before {
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(APPLY, newer).await;
}

/// An event in the cluster, for a leader.
#[derive(Debug)]
pub(super) enum Event {
    /// Another node asks something.
    Question(Arrived),
    /// The member's task has read something: seats that only other nodes knew, or, if this node leads no more, the next leader's entry.
    News(Arc<Entry>),
    /// This node's role may have changed.
    Role,
    /// The member's task has ended.
    End,
}

/// Waits for the next event; forever without a cluster.
pub(super) async fn next_event(cluster: &mut Option<Membership>) -> Event {
    let Some(cluster) = cluster else {
        return std::future::pending().await;
    };
    tokio::select! {
        changed = cluster.role.changed() => match changed {
            Ok(()) => Event::Role,
            Err(_) => Event::End,
        },
        Some(news) = cluster.news.recv() => Event::News(news),
        Some(question) = cluster.questions.recv() => Event::Question(question),
    }
}
