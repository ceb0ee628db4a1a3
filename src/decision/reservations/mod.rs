//! Seats held for calls on their way: two calls that ring in the same second must not both be sent to the one free agent.
//!
//! The decision to send a call and its reservation are one step: with three seats and a hundred simultaneous requests, exactly three succeed. A
//! reservation ends when an agent of the queue is seen leaving *available* after it was made, when it is released, or when it expires,
//! whichever is first. One that counts on an agent who was not free also ends when such an agent is seen on a call. Every reservation expires, so no
//! seat stays held forever.
//!
//! Agents are in several queues. Of two calls that count on agents who are not free yet, none counts on the same agent as the other, whichever
//! queues they are for. If an agent takes an earlier call than the one that counts on them, the later call counts on the earlier one's agent instead.
//! If they take a call of another queue, or one that holds no seat, the call counts on nobody in particular from then on.
//!
//! [`Holds`] are the seats held in one queue, [`Reservations`] those of all queues. Neither knows HTTP or files: a [`Journal`] keeps
//! what outlives a restart.

mod ended;
mod holds;
mod id;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use futures_util::future::BoxFuture;

use self::ended::Ended;
pub use self::{
    holds::{
        DEFAULT_TTL, End, Holds, MAX_CALL_ID_LENGTH, MAX_PER_QUEUE, Reservation, Reserved, TTL,
    },
    id::ReservationId,
};
use crate::{
    clock::Moment,
    decision::{
        board::QueueKey,
        soon::{bets::Bets, rule::Prediction},
    },
    model::agent::AgentId,
};

/// Keeps held seats across a restart.
pub trait Journal: fmt::Debug + Send + Sync {
    /// A reservation was made. Completes once it is written, or once the caller has waited long enough.
    fn made<'a>(&'a self, queue: &'a QueueKey, id: &'a ReservationId) -> BoxFuture<'a, ()>;

    /// A reservation has changed, or has ended before it expired.
    fn changed(&self, queue: &QueueKey, id: &ReservationId);

    /// Many may have changed: writes everything that is held.
    fn write_anew(&self);

    /// Writes what is waiting, and nothing after that. Returns whether it was done within `longest`.
    fn finish(&self, longest: Duration) -> bool;
}

/// Is told of every seat that becomes free before its reservation expires. Expiry is not reported: everybody knows its time.
pub trait Witness: fmt::Debug + Send + Sync {
    /// A reservation has ended so; `None` where another node of the cluster has ended it.
    fn ended(&self, queue: &QueueKey, reservation: &Reservation, end: Option<End>, now: Moment);
}

/// What a [`Journal`] reads and restores.
pub trait SeatsInMemory: fmt::Debug + Send + Sync {
    /// All reservations that are held now.
    fn held(&self, now: Moment) -> Vec<(QueueKey, Reservation)>;

    /// The reservation with this id, if it is held, and its queue: this one, or another if the config has renamed it meanwhile.
    fn find(
        &self,
        queue: &QueueKey,
        id: &ReservationId,
        now: Moment,
    ) -> Option<(QueueKey, Reservation)>;

    /// When a departure last ended a reservation, in this process or an earlier one. A caller who sees that a departure opened a seat
    /// sees that departure here afterwards.
    fn answered(&self) -> Option<Moment>;

    /// Takes over what an earlier process held. A departure last ended one of its reservations at `answered`.
    fn restore(&self, kept: Vec<KeptReservation>, answered: Option<Moment>, now: Moment);
}

/// A reservation as an earlier process stored it.
#[derive(Debug, PartialEq)]
pub struct KeptReservation {
    /// The queue whose seat it holds.
    pub queue: QueueKey,
    /// Its id.
    pub id: ReservationId,
    /// The router's id of the call.
    pub call_id: Box<str>,
    /// When it was made: wall time.
    pub made: Duration,
    /// When it expires: wall time.
    pub expires: Duration,
    /// Set if it counts on an agent who was not free yet.
    pub prediction: Option<Prediction>,
    /// That agent, if known.
    pub counts_on: Option<AgentId>,
}

/// The seats held in all queues.
#[derive(Debug, Default)]
pub struct Reservations {
    held: Arc<Held>,
    journal: Option<Box<dyn Journal>>,
    witness: Option<Arc<dyn Witness>>,
}

/// The held seats, queue by queue. Separate from [`Reservations`], since the journal reads them too.
#[derive(Debug, Default)]
struct Held {
    queues: DashMap<QueueKey, Arc<Holds>, RandomState>,
    /// The agents that held seats count on, by the account's name.
    bets: DashMap<Arc<str>, Arc<Bets>, RandomState>,
    answered: Mutex<Answered>,
    last_ended: Arc<Ended>,
}

/// When a departure last ended a reservation.
#[derive(Clone, Copy, Debug, Default)]
struct Answered {
    here: Option<Moment>,
    /// In an earlier process.
    before: Option<Moment>,
}

impl Held {
    fn queue(&self, key: &QueueKey) -> Arc<Holds> {
        if let Some(holds) = self.queues.get(key) {
            return Arc::clone(&holds);
        }
        let bets = Arc::clone(&self.bets.entry(Arc::clone(&key.account)).or_default());
        let queue = self.queues.entry(key.clone());
        Arc::clone(&queue.or_insert_with(|| Arc::new(Holds::beside(&bets, &self.last_ended))))
    }

    /// Keeps these queues, and drops accounts without any.
    fn retain(&self, keeps: impl Fn(&QueueKey) -> bool) {
        self.queues.retain(|key, _| keeps(key));
        // Each queue has a part of them.
        self.bets.retain(|_, bets| Arc::strong_count(bets) > 1);
    }

    fn all(&self) -> Vec<(QueueKey, Arc<Holds>)> {
        let queues = self.queues.iter();
        queues
            .map(|entry| (entry.key().clone(), Arc::clone(entry.value())))
            .collect()
    }

    fn counted(&self) -> MutexGuard<'_, Answered> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, now: Moment) -> Vec<(QueueKey, Reservation)> {
        let of_queue = |(key, holds): (QueueKey, Arc<Holds>)| {
            let held = holds.list(now).into_iter();
            held.map(move |reservation| (key.clone(), reservation))
        };
        self.all().into_iter().flat_map(of_queue).collect()
    }
}

impl SeatsInMemory for Held {
    fn held(&self, now: Moment) -> Vec<(QueueKey, Reservation)> {
        self.list(now)
    }

    fn find(
        &self,
        queue: &QueueKey,
        id: &ReservationId,
        now: Moment,
    ) -> Option<(QueueKey, Reservation)> {
        let holds = self.queues.get(queue).map(|holds| Arc::clone(&holds));
        if let Some(found) = holds.and_then(|holds| holds.find(id, now)) {
            return Some((queue.clone(), found));
        }
        let mut all = self.all().into_iter();
        all.find_map(|(key, holds)| Some((key, holds.find(id, now)?)))
    }

    fn answered(&self) -> Option<Moment> {
        let answered = *self.counted();
        answered.here.or(answered.before)
    }

    /// The machine may have rebooted, so the wall clock says how much of a reservation's time is left; never more than all of it.
    fn restore(&self, kept: Vec<KeptReservation>, answered: Option<Moment>, now: Moment) {
        self.counted().before = answered;
        for kept in kept {
            let ttl = kept.expires.saturating_sub(kept.made);
            let gone = now.wall.saturating_sub(kept.made).min(ttl);
            self.queue(&kept.queue).restore(Reservation {
                id: kept.id,
                call_id: kept.call_id,
                made: now.earlier(gone),
                ttl,
                prediction: kept.prediction,
                counts_on: kept.counts_on,
            });
        }
    }
}

impl Reservations {
    /// Creates reservations with nothing held, and nothing kept across a restart.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with what an earlier process left in the journal. The journal keeps what is held from now on.
    ///
    /// # Errors
    /// The journal did not start.
    pub fn with_journal<J: Journal + 'static>(
        start: impl FnOnce(Arc<dyn SeatsInMemory>) -> io::Result<J>,
    ) -> io::Result<Self> {
        let held = Arc::<Held>::default();
        let journal = start(Arc::clone(&held) as Arc<dyn SeatsInMemory>)?;
        Ok(Self {
            held,
            journal: Some(Box::new(journal)),
            witness: None,
        })
    }

    /// Tells this witness how they end.
    pub fn seen_by(self, witness: Arc<dyn Witness>) -> Self {
        Self {
            witness: Some(witness),
            ..self
        }
    }

    /// Returns the seats held in a queue. Look it up once and keep it.
    pub fn queue(&self, key: &QueueKey) -> Arc<Holds> {
        self.held.queue(key)
    }

    /// Waits a moment until the journal, if any, has stored a reservation. From then on a restart does not lose it.
    pub async fn keep(&self, queue: &QueueKey, reservation: &Reservation) {
        if let Some(journal) = &self.journal {
            journal.made(queue, &reservation.id).await;
        }
    }

    /// Stores what is waiting, within `longest`.
    pub fn finish(&self, longest: Duration) {
        if let Some(journal) = &self.journal
            && !journal.finish(longest)
        {
            tracing::warn!("held seats could not be stored in time; a restart may forget them");
        }
    }

    /// Ends a reservation; `None` if none with this id is held.
    pub fn release(&self, id: &ReservationId, now: Moment) -> Option<(QueueKey, Reservation)> {
        let released = self
            .held
            .all()
            .into_iter()
            .find_map(|(key, holds)| Some((key, holds.release(id, now)?)))?;
        self.forget(&released.0, &released.1, Some(End::Released), now);
        Some(released)
    }

    /// Ends a reservation that other nodes of the cluster may go on to hold. So it is not [known to have ended](Self::has_ended).
    pub fn release_unsure(&self, id: &ReservationId, now: Moment) {
        self.release(id, now);
        self.held.last_ended.forget(id);
    }

    /// Records that another node of the cluster holds a seat.
    pub fn held_elsewhere(&self, queue: &QueueKey, reservation: Reservation) {
        self.queue(queue).hear(reservation);
    }

    /// Records that reservations have ended on another node of the cluster. There may be thousands, most of them unknown here.
    pub fn ended_elsewhere(&self, ids: &[ReservationId], now: Moment) {
        if ids.is_empty() {
            return;
        }
        let ids: HashSet<_> = ids.iter().collect();
        for (queue, holds) in self.held.all() {
            for reservation in holds.forget(&ids) {
                self.forget(&queue, &reservation, None, now);
            }
        }
    }

    /// This agent of these queues was seen at `at`, no longer *available*: that was one call, so one reservation has ended. Returns whose it was, and
    /// when it was made.
    ///
    /// It is the oldest in the queue whose call counted on the agent, or else the oldest of all.
    ///
    /// A stored agent who is available may have left before the earlier process ended. That process may have counted the departure and
    /// stored the seat that it opened, but not the agent's new status. So a departure that may be older than the last one that an earlier
    /// process counted ends nothing. Its seat stays held until its time is up, and is never given away twice.
    pub fn departed(
        &self,
        agent: &AgentId,
        queues: &[QueueKey],
        at: Moment,
        now: Moment,
    ) -> Option<(QueueKey, Moment)> {
        let before = self.held.counted().before;
        if before.is_some_and(|before| at.boot <= before.boot) {
            return None;
        }
        self.answered(agent, queues, |one| one.made.boot <= at.boot, now)
    }

    /// This agent of these queues went onto a call at `at`, a boot time, and was not available before: that was a call that counts on such an agent.
    /// No look saw the agent free in between, so this call ends by no departure.
    pub fn took_call(
        &self,
        agent: &AgentId,
        queues: &[QueueKey],
        at: Duration,
        now: Moment,
    ) -> Option<(QueueKey, Moment)> {
        let is_bet = |one: &Reservation| one.prediction.is_some() && one.made.boot <= at;
        self.answered(agent, queues, is_bet, now)
    }

    /// Ends the reservation in these queues, among those that `may_be` it, whose call this agent has. Which one that is, nobody says: a queue whose
    /// call counted on the agent is likelier than the others, and calls of a queue arrive in their order.
    fn answered(
        &self,
        agent: &AgentId,
        queues: &[QueueKey],
        may_be: impl Fn(&Reservation) -> bool,
        now: Moment,
    ) -> Option<(QueueKey, Moment)> {
        let holds = queues.iter().map(|key| (key, self.queue(key)));
        let call = |(key, holds): (_, Arc<Holds>)| {
            let taken = holds.call_of(agent, &may_be, now)?;
            Some((key, holds, taken))
        };
        let (key, holds, taken) = holds
            .filter_map(call)
            .min_by_key(|(_, _, taken)| (!taken.is_counted_on, taken.made.boot))?;
        // Before the seat opens, so that the journal never stores the one without the other.
        self.held.counted().here = Some(now);
        // If it was released meanwhile, the departure still belongs to that call.
        let (ended, heir) = holds.answer(&taken.id, agent, now)?;
        if let (Some(journal), Some(heir)) = (&self.journal, heir) {
            journal.changed(key, &heir);
        }
        self.forget(key, &ended, Some(End::Answered), now);
        Some((key.clone(), ended.made))
    }

    /// This agent of the account is gone: no call of any queue that was made by then, a boot time, counts on them any longer. Another one may. Returns
    /// whether a call did. Say first which call the agent has.
    pub fn let_go(&self, account: &str, agent: &AgentId, made_by: Duration) -> bool {
        let bets = self.held.bets.get(account).map(|bets| Arc::clone(&bets));
        let Some(bets) = bets.filter(|bets| bets.are_on(agent)) else {
            return false;
        };
        let mut did = false;
        for (key, holds) in self.held.all() {
            if !Arc::ptr_eq(holds.bets().account(), &bets) {
                continue;
            }
            for id in holds.let_go(agent, made_by) {
                did = true;
                if let Some(journal) = &self.journal {
                    journal.changed(&key, &id);
                }
            }
        }
        did
    }

    /// Returns whether a reservation that was held here has ended lately.
    pub fn has_ended(&self, id: &ReservationId) -> bool {
        self.held.last_ended.has(id)
    }

    /// Returns everything held now, queue by queue.
    pub fn list(&self, now: Moment) -> Vec<(QueueKey, Reservation)> {
        let mut all = self.held.list(now);
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// Moves the seats held in queues that the config renames, and stores them under the new names.
    pub fn carry(&self, moves: &[(QueueKey, QueueKey)]) {
        let holds: Vec<_> = moves.iter().map(|(was, _)| self.queue(was)).collect();
        for ((_, is), holds) in moves.iter().zip(holds) {
            let moves_on = moves.iter().any(|(was, _)| was == is);
            let known = self.held.queues.get(is).map(|known| Arc::clone(&known));
            match known.filter(|known| !moves_on && !Arc::ptr_eq(known, &holds)) {
                // Callers use it already: the config took effect while the account's task was busy.
                Some(known) => known.take_over(&holds),
                None => {
                    let bets = Arc::clone(holds.bets().account());
                    self.held.bets.insert(Arc::clone(&is.account), bets);
                    self.held.queues.insert(is.clone(), holds);
                }
            }
        }
        self.write_anew();
    }

    /// Returns whether seats are or were held under this name of a queue.
    pub fn have(&self, queue: &QueueKey) -> bool {
        self.held.queues.contains_key(queue)
    }

    /// Drops these names of queues. Seats that were carried to other names stay held there.
    pub fn drop_names(&self, names: &[QueueKey]) {
        self.held.retain(|key| !names.contains(key));
        self.write_anew();
    }

    /// Forgets what is held in queues that are not to be kept.
    pub fn retain(&self, keeps: impl Fn(&QueueKey) -> bool) {
        self.held.retain(keeps);
        self.write_anew();
    }

    fn write_anew(&self) {
        if let Some(journal) = &self.journal {
            journal.write_anew();
        }
    }

    fn forget(&self, queue: &QueueKey, reservation: &Reservation, end: Option<End>, now: Moment) {
        if let Some(journal) = &self.journal {
            journal.changed(queue, &reservation.id);
        }
        if let Some(witness) = &self.witness {
            witness.ended(queue, reservation, end, now);
        }
    }
}
