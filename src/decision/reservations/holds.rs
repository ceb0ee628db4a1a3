//! How seats of one queue are held for calls, and how that ends.

mod answer;

use std::{
    collections::HashSet,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use strum::{IntoStaticStr, VariantArray};

use super::{ended::Ended, id::ReservationId};
use crate::{
    clock::Moment,
    decision::{
        Choice, Decision, Reason,
        soon::{
            bets::{Bets, QueueBets},
            rule::{Held, HeldSince, Prediction},
        },
    },
    model::agent::AgentId,
};

/// How long a seat is held by default: longer than a call rings before an agent has it.
pub const DEFAULT_TTL: Duration = Duration::from_secs(45);

/// How long a seat may be held. Within a second no call reaches an agent; a caller who waits ten minutes is in a queue and holds no seat.
pub const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// The most seats held in one queue: far more than the agents who could answer within a minute. It bounds memory where
/// `on_unknown = "accept"` sets no other bound.
pub const MAX_PER_QUEUE: usize = 1_000;

/// The most characters of a call id: SIP's `Call-ID`s have some 80.
pub const MAX_CALL_ID_LENGTH: usize = 256;

/// A seat held for one call.
#[derive(Clone, Debug, PartialEq)]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// The router's id of the call.
    pub call_id: Box<str>,
    /// When it was made.
    pub made: Moment,
    /// How long after that it ends at the latest.
    pub ttl: Duration,
    /// Set if it counts on an agent who was not free yet: how likely they were to be in time.
    pub prediction: Option<Prediction>,
    /// That agent, if known. No other call of the account counts on the same one. It becomes another one if this one takes an earlier call.
    pub counts_on: Option<AgentId>,
}

impl Reservation {
    /// Returns when it expires, for people.
    pub fn expires(&self) -> Moment {
        self.made.later(self.ttl)
    }

    fn counts_on_agent(&self, agent: &AgentId) -> bool {
        self.counts_on.as_ref() == Some(agent)
    }

    /// Returns whether it has expired on either clock: holding a seat for too long is the worse error.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        now.longest_since(self.made) >= self.ttl
    }
}

/// The outcome of a request to reserve.
#[derive(Clone, Debug, PartialEq)]
pub enum Reserved {
    /// A seat is held; the decision is the one that allowed it.
    Made(Reservation, Decision),
    /// This call already holds a seat.
    AlreadyHeld(Reservation),
    /// The decision is to reject.
    Refused(Decision),
    /// The decision is to reject, because [`MAX_PER_QUEUE`] are held.
    Full(Decision),
}

impl Reserved {
    /// Returns the decision that was made; `None` for a call that already holds a seat.
    pub fn decision(&self) -> Option<&Decision> {
        match self {
            Self::Made(_, decision) | Self::Refused(decision) | Self::Full(decision) => {
                Some(decision)
            }
            Self::AlreadyHeld(_) => None,
        }
    }
}

/// Why a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum End {
    /// An agent was seen leaving *available* after it was made, or the agent that it counted on was seen on a call: the call has arrived.
    Answered,
    /// The router released it.
    Released,
    /// It expired.
    Expired,
}

impl End {
    /// Every end, in the order of declaration.
    pub const ALL: &[End] = Self::VARIANTS;

    /// The value of the label `cause`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The seats held in one queue.
///
/// Decisions read [`held`](Self::held), which takes no lock while nothing is held. Every change takes one short lock, and so does the
/// decision to make a reservation.
#[derive(Debug, Default)]
pub struct Holds {
    /// In the order in which they were made.
    held: Mutex<Vec<Reservation>>,
    /// Their number, including expired ones. Written under the lock.
    number: AtomicU32,
    made: AtomicU64,
    /// In the order of [`End::ALL`].
    ended: [AtomicU64; End::ALL.len()],
    /// The agents that held seats count on, here and in the account's other queues. Written under the lock.
    bets: QueueBets,
    /// Those that ended last, here and in other queues.
    last_ended: Arc<Ended>,
}

impl Holds {
    /// Creates the holds of a queue whose agents may be in other queues with these bets. Its reservations are recorded when they end.
    pub(super) fn beside(account: &Arc<Bets>, last_ended: &Arc<Ended>) -> Self {
        Self {
            bets: QueueBets::of(account),
            last_ended: Arc::clone(last_ended),
            ..Self::default()
        }
    }

    /// The agents that calls of the account's queues count on.
    pub fn bets(&self) -> &QueueBets {
        &self.bets
    }

    /// Returns whether held seats may change the queue's decisions as time passes: its own, or those in other queues that count on its agents.
    pub fn matter(&self) -> bool {
        self.has_any() || self.bets.has_any()
    }

    /// Returns whether any seat is held, perhaps one whose time is up.
    pub fn has_any(&self) -> bool {
        self.number.load(Ordering::Acquire) > 0
    }

    /// Returns the seats held now.
    pub fn held(&self, now: Moment) -> Held<'_> {
        if self.number.load(Ordering::Acquire) == 0 {
            return self.count(&[]);
        }
        self.count(&self.current(now))
    }

    /// Returns when the seats held now were reserved.
    pub fn held_since(&self, now: Moment) -> HeldSince {
        let mut since = HeldSince::default();
        if self.number.load(Ordering::Acquire) > 0 {
            for one in &*self.current(now) {
                match one.prediction {
                    None => since.seats.push(one.made.boot),
                    Some(_) => since.bets.push(one.made.boot),
                }
            }
        }
        since
    }

    /// Holds a seat for a call if `decide` accepts with the number of seats held now. No other call can take it in between, and no call of another
    /// queue can count on the same agent. A seat that counts on an agent who is not free yet is held at least until the call gives up.
    pub fn reserve<C: Into<Choice>>(
        &self,
        call_id: &str,
        ttl: Duration,
        now: Moment,
        decide: impl FnOnce(Held<'_>) -> C,
    ) -> Reserved {
        let mut held = self.current(now);
        if let Some(known) = held.iter().find(|known| *known.call_id == *call_id) {
            return Reserved::AlreadyHeld(known.clone());
        }
        let _placing = self.bets.placing();
        let Choice {
            decision,
            counts_on,
        } = decide(self.count(&held)).into();
        if !decision.accept {
            return Reserved::Refused(decision);
        }
        if held.len() >= MAX_PER_QUEUE {
            return Reserved::Full(decision.rejected_as(Reason::Reserved));
        }
        // If it ended while the call is on its way, another call would bet on the same wrap-up.
        let least = decision.prediction.map(Prediction::within);
        let reservation = Reservation {
            id: ReservationId::random(),
            call_id: call_id.into(),
            made: now,
            ttl: ttl.max(least.unwrap_or_default()),
            prediction: decision.prediction,
            counts_on,
        };
        self.push(&mut held, reservation.clone());
        self.made.fetch_add(1, Ordering::Relaxed);
        Reserved::Made(reservation, decision)
    }

    /// Ends a reservation; `None` if none with this id is held.
    pub(super) fn release(&self, id: &ReservationId, now: Moment) -> Option<Reservation> {
        let released = self.end(End::Released, id, now, |_, _| ());
        released.map(|(released, ())| released)
    }

    /// Returns the reservation with this id, if it is held now.
    pub(super) fn find(&self, id: &ReservationId, now: Moment) -> Option<Reservation> {
        if !self.has_any() {
            return None;
        }
        let held = self.current(now);
        held.iter().find(|one| one.id == *id).cloned()
    }

    /// Returns everything held now, oldest first.
    pub fn list(&self, now: Moment) -> Vec<Reservation> {
        if self.number.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        self.current(now).clone()
    }

    /// Returns how long until the next of the seats expires that [matter](Self::matter); `None` without any.
    pub fn next_end(&self, now: Moment) -> Option<Duration> {
        let elsewhere = self.bets.next_end(now);
        if self.number.load(Ordering::Acquire) == 0 {
            return elsewhere;
        }
        let held = self.current(now);
        let left = |one: &Reservation| one.ttl.saturating_sub(now.longest_since(one.made));
        held.iter().map(left).chain(elsewhere).min()
    }

    /// Reservations made, and ended by each of [`End::ALL`].
    pub fn counts(&self) -> (u64, [u64; End::ALL.len()]) {
        let ended = |end: usize| self.ended[end].load(Ordering::Relaxed);
        (
            self.made.load(Ordering::Relaxed),
            std::array::from_fn(ended),
        )
    }

    /// Takes over a reservation from an earlier process, unless it is already known.
    pub(super) fn restore(&self, reservation: Reservation) {
        self.take(reservation, |_, _| ());
    }

    /// Takes over a reservation from another node, unless it is known to have ended: the leader's answer may come after what its log says. One that is
    /// already known may count on another agent since.
    pub(super) fn hear(&self, reservation: Reservation) {
        self.take(reservation, |known, heard| {
            known.counts_on = heard.counts_on;
        });
    }

    fn take(&self, reservation: Reservation, renew: impl FnOnce(&mut Reservation, Reservation)) {
        let mut held = self.lock();
        match held.iter().position(|one| one.id == reservation.id) {
            Some(known) => renew(&mut held[known], reservation),
            None if self.last_ended.has(&reservation.id) => return,
            None if held.len() < MAX_PER_QUEUE => {
                let made_by = |one: &Reservation| one.made.boot <= reservation.made.boot;
                let place = held.partition_point(made_by);
                held.insert(place, reservation);
            }
            None => return,
        }
        self.changed(&held);
    }

    /// Moves the seats of another queue here, which is the same queue under its former name.
    pub(super) fn take_over(&self, former: &Self) {
        let mut held = former.lock();
        for reservation in held.drain(..) {
            self.restore(reservation);
        }
        former.changed(&held);
    }

    /// Drops a reservation that ended elsewhere, where it was counted. Returns it if it was here.
    pub(super) fn forget(&self, ids: &HashSet<&ReservationId>) -> Vec<Reservation> {
        if !self.has_any() {
            return Vec::new();
        }
        let mut held = self.lock();
        let forgotten: Vec<_> = held.extract_if(.., |one| ids.contains(&one.id)).collect();
        forgotten
            .iter()
            .for_each(|one| self.last_ended.record(&one.id));
        self.changed(&held);
        forgotten
    }

    /// Ends a reservation, and does `also` with it and the others before anybody sees that.
    fn end<T>(
        &self,
        end: End,
        id: &ReservationId,
        now: Moment,
        also: impl FnOnce(&Reservation, &mut [Reservation]) -> T,
    ) -> Option<(Reservation, T)> {
        if self.number.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut held = self.current(now);
        let place = held.iter().position(|one| one.id == *id)?;
        let ended = held.remove(place);
        self.last_ended.record(&ended.id);
        let also = also(&ended, &mut held);
        self.changed(&held);
        self.count_end(end, 1);
        Some((ended, also))
    }

    /// Returns the reservations that have not expired. The others end here.
    fn current(&self, now: Moment) -> MutexGuard<'_, Vec<Reservation>> {
        let mut held = self.lock();
        let before = held.len();
        held.retain(|one| {
            let is_over = one.is_over(now);
            // If only this machine's wall clock has jumped forward, the leader of a cluster may hold it still.
            if is_over && now.boot_since(one.made) >= one.ttl {
                self.last_ended.record(&one.id);
            }
            !is_over
        });
        if held.len() < before {
            self.changed(&held);
            self.count_end(End::Expired, (before - held.len()) as u64);
        }
        held
    }

    fn push(&self, held: &mut Vec<Reservation>, reservation: Reservation) {
        held.push(reservation);
        self.changed(held);
    }

    /// Shows what is held after a change to those who read it without this lock.
    fn changed(&self, held: &[Reservation]) {
        self.number.store(held.len() as u32, Ordering::Release);
        let bets = held
            .iter()
            .filter_map(|one| Some((one.counts_on.as_ref()?, one.made, one.ttl)));
        self.bets.set(bets);
    }

    fn count_end(&self, end: End, number: u64) {
        self.ended[end as usize].fetch_add(number, Ordering::Relaxed);
    }

    /// Returns the seats held by other reservations than this one.
    pub fn held_beside(&self, reservation: &Reservation, now: Moment) -> Held<'_> {
        let held = self.held(now);
        let bet = u32::from(reservation.prediction.is_some());
        Held {
            all: held.all.saturating_sub(1),
            bets: held.bets.saturating_sub(bet),
            ..held
        }
    }

    fn count(&self, held: &[Reservation]) -> Held<'_> {
        let bets = held.iter().filter(|one| one.prediction.is_some());
        Held {
            all: held.len() as u32,
            bets: bets.count() as u32,
            counted_on: Some(&self.bets),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reservation>> {
        // Only a decision runs under the lock, before any change, so a panic left nothing half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
