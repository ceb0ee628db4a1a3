//! What a leader tells the other nodes: CallTools' answers, the requests of the hour, and the seats held for calls.
//!
//! An [`Entry`] is a change. A [`Standing`] is the sum of all changes: each node keeps one, so that it can write the next checkpoint if it leads.
//! Times are moments of this machine; `codec` converts them to ages and back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use indexmap::IndexSet;

use crate::{
    budget::Mirrored,
    clock::Moment,
    decision::reservations::{Reservation, ReservationId},
    model::{agent::AgentId, fault::Fault, known::Confirmed, names::Names, raw::RawRow},
};

/// A change; with `whole`, everything that is known.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Whether it replaces everything before.
    pub whole: bool,
    /// The account's queues and statuses.
    pub names: Option<Arc<Names>>,
    /// When the older of their lists was read, if that is known.
    pub names_read: Option<Moment>,
    /// Queues that were polled, by CallTools' id.
    pub polls: Vec<(u64, Rows)>,
    /// Whether results of earlier sweeps must no longer be used.
    pub doubted: bool,
    /// Rows of agents that did not come from a poll of a queue.
    pub seen: Vec<SeenRow>,
    /// Whether the list of changes covers none of the rows before any more.
    pub uncovered: bool,
    /// As of this moment, no agent whose row the list of changes covers had changed.
    pub unchanged: Option<Moment>,
    /// What other lists confirm about agents whom they do not show, if that has changed.
    pub confirmed: Option<Confirmed>,
    /// What the board shows about queues besides their agents.
    pub shown: Vec<Shown>,
    /// What is wrong with the account.
    pub fault: Option<Option<Arc<Fault>>>,
    /// Seats that are held.
    pub held: Vec<HeldSeat>,
    /// Reservations that have ended.
    pub ended: Vec<ReservationId>,
    /// The knowledge about agents' statuses, in its stored form.
    pub learnt: Option<Arc<str>>,
    /// Requests that are about to be sent, or were answered.
    pub requests: Vec<Mirrored>,
    /// Pauses that CallTools asked for.
    pub silences: Vec<Silence>,
    /// In a mirror: requests that its node counts because it lost its ledger.
    pub assumed: Vec<Mirrored>,
    /// The queues that the leader polls, if these have changed. What is known of other queues is dropped.
    pub queues: Option<Arc<Polled>>,
}

/// The queues that a leader polls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// By CallTools' id, if that is known.
    pub ids: BTreeSet<u64>,
    /// By name or id in the config.
    pub names: BTreeSet<Arc<str>>,
}

/// The agents of a polled queue, as CallTools sent them.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The time of the data.
    pub as_of: Moment,
    /// How long the poll took.
    pub took: Duration,
    /// Whether the number of rows is CallTools' own count.
    pub complete: bool,
    /// The rows, in CallTools' order.
    pub rows: Vec<RawRow>,
}

/// A row of an agent.
#[derive(Clone, Debug)]
pub struct SeenRow {
    /// The agent.
    pub agent: AgentId,
    /// The time of the data.
    pub at: Moment,
    /// Whether a sweep of the whole account saw it.
    pub by_sweep: bool,
    /// Whether that is when the row was read. Otherwise a later list may have confirmed the agent's status, but no other field.
    pub is_look: bool,
    /// Whether the list of changes would have shown any change since then. So it need not be sent again with each reading of that list.
    pub is_covered: bool,
    /// The row as CallTools sent it.
    pub row: RawRow,
}

impl SeenRow {
    /// Records that the agents whose rows are covered had not changed at this moment.
    fn confirm(&mut self, unchanged: Moment) {
        if self.is_covered && self.at.boot < unchanged.boot {
            (self.at, self.by_sweep, self.is_look) = (unchanged, true, false);
        }
    }
}

/// What the board shows about a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its name or id in the config.
    pub queue: Arc<str>,
    /// Why it has no newer data.
    pub fault: Option<Arc<Fault>>,
    /// How old its data may get, if the config does not say.
    pub max_age: Duration,
    /// How old its membership may get.
    pub members_max_age: Duration,
    /// Whether its own polls fail. It may be gone, so newer rows from other lists do not renew it.
    pub fails: bool,
}

/// A seat that is held for a call.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldSeat {
    /// The queue's name or id in the config.
    pub queue: Arc<str>,
    /// The call, and how long the seat is held.
    pub reservation: Reservation,
}

/// A pause that CallTools asked for, from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Whether it was a 429, so that others spend from the account.
    pub throttled: bool,
    /// Its length; `None` if CallTools did not give one.
    pub wait: Option<Duration>,
}

impl Entry {
    /// Returns whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        let Self {
            whole,
            names,
            names_read: _,
            polls,
            doubted,
            seen,
            uncovered,
            unchanged,
            confirmed,
            shown,
            fault,
            held,
            ended,
            learnt,
            requests,
            silences,
            assumed,
            queues,
        } = self;
        !whole
            && !doubted
            && names.is_none()
            && polls.is_empty()
            && seen.is_empty()
            && !uncovered
            && unchanged.is_none()
            && confirmed.is_none()
            && shown.is_empty()
            && fault.is_none()
            && held.is_empty()
            && ended.is_empty()
            && learnt.is_none()
            && requests.is_empty()
            && silences.is_empty()
            && assumed.is_empty()
            && queues.is_none()
    }

    /// Appends `next` to this change. It is not whole.
    pub fn join(&mut self, next: Entry) {
        // Each field is named, so that none is forgotten.
        let Entry {
            whole: _,
            names,
            names_read,
            polls,
            doubted,
            seen,
            uncovered,
            unchanged,
            confirmed,
            shown,
            fault,
            held,
            ended,
            learnt,
            requests,
            silences,
            assumed,
            queues,
        } = next;
        if doubted {
            self.doubted = true;
            self.seen.retain(|seen| !seen.by_sweep);
            (self.unchanged, self.confirmed) = (None, None);
        }
        if uncovered {
            (self.uncovered, self.unchanged) = (true, None);
            let rows = self.seen.iter_mut();
            rows.for_each(|row| row.is_covered = false);
        }
        if names.is_some() {
            (self.names, self.names_read) = (names, names_read);
        }
        self.polls.extend(polls);
        self.seen.extend(seen);
        self.unchanged = unchanged.or(self.unchanged);
        self.confirmed = confirmed.or(self.confirmed.take());
        self.shown.extend(shown);
        self.fault = fault.or(self.fault.take());
        self.held.extend(held);
        self.ended.extend(ended);
        self.learnt = learnt.or(self.learnt.take());
        self.requests.extend(requests);
        self.silences.extend(silences);
        self.assumed.extend(assumed);
        self.queues = queues.or(self.queues.take());
    }

    /// Splits a checkpoint. [Joining](Self::join) all parts in their order makes it whole again.
    pub fn parts(mut self) -> Vec<Self> {
        let (polls, seen) = (
            std::mem::take(&mut self.polls),
            std::mem::take(&mut self.seen),
        );
        let mut parts = Parts {
            parts: vec![self],
            rows: 0,
        };
        for poll in polls {
            parts.with_room_for(poll.1.rows.len()).polls.push(poll);
        }
        for one in seen {
            parts.with_room_for(1).seen.push(one);
        }
        parts.parts
    }
}

/// The maximum of rows in a part of a checkpoint, unless one queue has more: about 1.3 MB, which take some 10 ms to write or to read. Other
/// accounts wait meanwhile.
const ROWS_PER_PART: usize = 1_000;

/// The parts of a checkpoint while it is split.
struct Parts {
    parts: Vec<Entry>,
    /// The rows of the last one.
    rows: usize,
}

impl Parts {
    /// Returns the part that gets this many more rows.
    fn with_room_for(&mut self, more: usize) -> &mut Entry {
        if self.rows > 0 && self.rows + more > ROWS_PER_PART {
            self.parts.push(Entry::default());
            self.rows = 0;
        }
        self.rows += more;
        self.parts.last_mut().expect("there is one from the start")
    }
}

/// The sum of the log's entries, except for the requests, which are in the budget's window.
#[derive(Debug, Default)]
pub struct Standing {
    names: Option<Arc<Names>>,
    names_read: Option<Moment>,
    polls: BTreeMap<u64, Rows>,
    seen: HashMap<AgentId, SeenRow>,
    confirmed: Option<Confirmed>,
    /// Whether there was no room for the rows of some agents. What lists confirm says nothing about these.
    lacks_rows: bool,
    shown: BTreeMap<Arc<str>, Shown>,
    fault: Option<Arc<Fault>>,
    held: HashMap<ReservationId, HeldSeat>,
    /// The reservations that ended last. A mirror that was written before that still has them.
    ended: IndexSet<ReservationId>,
    learnt: Option<Arc<str>>,
}

/// How many agents are kept at least besides the queues' polls: as many as one list can have.
const MAX_SEEN: usize = 25_000;

/// How many more there may be before those are dropped who were not seen for longest, which takes a look at all.
const SEEN_BEYOND: usize = MAX_SEEN / 5;

/// How many ended reservations are remembered at least. Seats are held for ten minutes at most; in that time seven calls every two seconds end as
/// many.
const MAX_ENDED: usize = 2_048;

impl Standing {
    /// Applies an entry.
    pub fn apply(&mut self, entry: &Entry) {
        if entry.whole {
            // Seats stay held until they expire: the checkpoint may come from an engine that was restored to an earlier state.
            *self = Self {
                held: std::mem::take(&mut self.held),
                ended: std::mem::take(&mut self.ended),
                learnt: self.learnt.take(),
                ..Self::default()
            };
        }
        if entry.doubted {
            self.seen.retain(|_, seen| !seen.by_sweep);
            self.confirmed = None;
        }
        if entry.uncovered {
            let rows = self.seen.values_mut();
            rows.for_each(|row| row.is_covered = false);
        }
        if let Some(names) = &entry.names {
            (self.names, self.names_read) = (Some(Arc::clone(names)), entry.names_read);
        }
        for (queue, rows) in &entry.polls {
            self.polls.insert(*queue, rows.clone());
        }
        for seen in &entry.seen {
            self.seen.insert(seen.agent.clone(), seen.clone());
            if self.seen.len() > MAX_SEEN + SEEN_BEYOND {
                self.drop_oldest_rows();
            }
        }
        if let Some(unchanged) = entry.unchanged {
            let rows = self.seen.values_mut();
            rows.for_each(|row| row.confirm(unchanged));
        }
        if let Some(confirmed) = &entry.confirmed {
            self.confirmed = Some(confirmed.clone());
        }
        for shown in &entry.shown {
            self.shown.insert(Arc::clone(&shown.queue), shown.clone());
        }
        if let Some(fault) = &entry.fault {
            self.fault.clone_from(fault);
        }
        if let Some(learnt) = &entry.learnt {
            self.learnt = Some(Arc::clone(learnt));
        }
        for id in &entry.ended {
            self.held.remove(id);
            self.ended.insert(id.clone());
        }
        if self.ended.len() > 2 * MAX_ENDED {
            self.ended.drain(..MAX_ENDED);
        }
        for held in &entry.held {
            if self.has_ended(held) {
                continue;
            }
            self.held.insert(held.reservation.id.clone(), held.clone());
        }
        if let Some(queues) = &entry.queues {
            self.polls.retain(|id, _| queues.ids.contains(id));
            self.shown.retain(|name, _| queues.names.contains(name));
        }
    }

    fn drop_oldest_rows(&mut self) {
        let looks = self
            .seen
            .values()
            .map(|row| (row.at.boot, row.agent.clone()));
        let mut looks: Vec<_> = looks.collect();
        let excess = looks.len() - MAX_SEEN;
        looks.select_nth_unstable(excess);
        for (_, agent) in &looks[..excess] {
            self.seen.remove(agent);
        }
        self.lacks_rows = true;
    }

    /// Returns whether a seat is no longer held, even if an older mirror says so.
    pub fn has_ended(&self, held: &HeldSeat) -> bool {
        self.ended.contains(&held.reservation.id)
    }

    /// Returns whether a mirror may restore a seat: this node does not know it. What it knows of a seat is never older than a mirror, because the log
    /// says so when a seat changes, and mirrors are written only now and then.
    pub fn lacks(&self, held: &HeldSeat) -> bool {
        !self.has_ended(held) && !self.held.contains_key(&held.reservation.id)
    }

    /// Returns all of it as one entry, without seats that have expired at `now`.
    pub fn whole(&mut self, now: Moment) -> Entry {
        self.held
            .retain(|_, held| now.longest_since(held.reservation.made) < held.reservation.ttl);
        Entry {
            whole: true,
            names: self.names.clone(),
            names_read: self.names_read,
            polls: self.polls.clone().into_iter().collect(),
            doubted: false,
            seen: self.seen.values().cloned().collect(),
            confirmed: self.confirmed.clone().filter(|_| !self.lacks_rows),
            shown: self.shown.values().cloned().collect(),
            fault: Some(self.fault.clone()),
            held: self.held(),
            // For those who read this instead of the entries that said it.
            ended: self.ended.iter().cloned().collect(),
            learnt: self.learnt.clone(),
            ..Entry::default()
        }
    }

    /// Returns the held seats, for a mirror.
    pub fn held(&self) -> Vec<HeldSeat> {
        self.held.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Clock, fixtures::Still};

    fn id(number: usize) -> ReservationId {
        ReservationId::from_text(&number.to_string())
    }

    fn held(number: usize, now: Moment) -> Entry {
        let reservation = Reservation {
            id: id(number),
            call_id: "call".into(),
            made: now,
            ttl: Duration::from_secs(600),
            prediction: None,
            counts_on: None,
        };
        Entry {
            held: vec![HeldSeat {
                queue: "sales".into(),
                reservation,
            }],
            ..Entry::default()
        }
    }

    fn ended(number: usize) -> Entry {
        Entry {
            ended: vec![id(number)],
            ..Entry::default()
        }
    }

    #[test]
    fn a_checkpoint_ends_seats_for_those_who_missed_their_ends() {
        let now = Still::new().now();
        let (mut leader, mut cut_off) = (Standing::default(), Standing::default());
        for standing in [&mut leader, &mut cut_off] {
            standing.apply(&held(1, now));
        }
        leader.apply(&ended(1));
        leader.apply(&held(2, now));
        let checkpoint = leader.whole(now);
        cut_off.apply(&checkpoint);
        let kept = cut_off.held();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].reservation.id, id(2));
        assert_eq!(checkpoint.ended, [id(1)], "its account's task hears of it");
    }

    #[test]
    fn no_order_of_entries_brings_an_ended_seat_back() {
        let now = Still::new().now();
        let mut standing = Standing::default();
        for entry in [ended(1), held(1, now), standing.whole(now), held(1, now)] {
            standing.apply(&entry);
            assert_eq!(standing.held().len(), 0);
        }
    }

    #[test]
    fn a_bounded_number_of_ends_is_remembered_and_the_newest_are_among_them() {
        let now = Still::new().now();
        let mut standing = Standing::default();
        for number in 0..10_000 {
            standing.apply(&ended(number));
        }
        assert!((MAX_ENDED..=2 * MAX_ENDED).contains(&standing.ended.len()));
        for number in 10_000 - MAX_ENDED..10_000 {
            assert!(standing.has_ended(&held(number, now).held[0]), "{number}");
        }
    }

    #[test]
    fn the_agents_seen_last_are_kept_and_nothing_is_confirmed_about_others() {
        let still = Still::new();
        let mut standing = Standing::default();
        let most = MAX_SEEN + SEEN_BEYOND;
        for number in 0..=most {
            still.pass(Duration::from_millis(1));
            let row = crate::fixtures::agent(&number.to_string(), "Ann", "Lunch");
            let seen = SeenRow {
                agent: row.id,
                at: still.now(),
                by_sweep: true,
                is_look: true,
                is_covered: false,
                row: row.raw,
            };
            let confirmed = Confirmed {
                everybody: Some(still.now()),
                ..Confirmed::default()
            };
            standing.apply(&Entry {
                seen: vec![seen],
                confirmed: Some(confirmed.clone()),
                ..Entry::default()
            });
            if number + 1 == most {
                let whole = standing.whole(still.now());
                assert_eq!(whole.seen.len(), most);
                assert_eq!(whole.confirmed, Some(confirmed));
            }
        }
        let whole = standing.whole(still.now());
        assert_eq!(whole.seen.len(), MAX_SEEN);
        let dropped = most + 1 - MAX_SEEN;
        let is_kept = |seen: &SeenRow| seen.agent.0.parse::<usize>().unwrap() >= dropped;
        assert!(whole.seen.iter().all(is_kept));
        assert_eq!(whole.confirmed, None);
    }

    /// An entry with an agent's row, and what the list of changes says.
    fn covered(row: Option<(&str, bool)>, uncovered: bool, unchanged: Moment) -> Entry {
        let seen = row.map(|(id, is_covered)| {
            let agent = crate::fixtures::agent(id, id, "Lunch");
            SeenRow {
                agent: agent.id,
                at: unchanged.earlier(Duration::from_secs(5)),
                by_sweep: false,
                is_look: true,
                is_covered,
                row: agent.raw,
            }
        });
        Entry {
            seen: seen.into_iter().collect(),
            uncovered,
            unchanged: Some(unchanged),
            ..Entry::default()
        }
    }

    #[test]
    fn a_checkpoint_has_what_lists_of_changes_confirm_also_if_entries_are_joined() {
        let start = Still::new().now();
        let at = |seconds| start.later(Duration::from_secs(seconds));
        let entries = || {
            [
                covered(Some(("ann", true)), true, at(10)),
                covered(Some(("bob", false)), false, at(15)),
                covered(Some(("eve", true)), false, at(20)),
                covered(Some(("ann", false)), false, at(25)),
                covered(None, false, at(30)),
            ]
        };
        let known = |standing: &mut Standing| {
            let rows = standing.whole(at(60)).seen.into_iter();
            let rows = rows.map(|row| (row.agent.to_string(), row.at.boot, row.is_look));
            rows.collect::<BTreeSet<_>>()
        };
        let row = |id: &str, seconds, is_look| (id.to_owned(), at(seconds).boot, is_look);
        let expected = [
            row("ann", 20, true),
            row("bob", 10, true),
            row("eve", 30, false),
        ];
        let (mut apart, mut joined) = (Standing::default(), Entry::default());
        for entry in entries() {
            apart.apply(&entry);
            joined.join(entry);
        }
        let mut at_once = Standing::default();
        at_once.apply(&joined);
        for standing in [&mut apart, &mut at_once] {
            assert_eq!(known(standing), expected.clone().into());
            // Another list begins.
            standing.apply(&covered(None, true, at(40)));
            assert_eq!(known(standing), expected.clone().into());
        }
        joined.join(Entry {
            uncovered: true,
            ..Entry::default()
        });
        let mut uncovered = Standing::default();
        uncovered.apply(&joined);
        let known = known(&mut uncovered);
        assert!(
            known.iter().all(|(_, at, _)| *at < expected[2].1),
            "{known:?}"
        );
    }

    #[test]
    fn a_queue_that_is_no_longer_polled_is_in_no_checkpoint() {
        let now = Still::new().now();
        let queue = |id, name: &str| Entry {
            polls: vec![(
                id,
                Rows {
                    as_of: now,
                    took: Duration::ZERO,
                    complete: true,
                    rows: Vec::new(),
                },
            )],
            shown: vec![Shown {
                queue: name.into(),
                fault: None,
                max_age: Duration::ZERO,
                members_max_age: Duration::ZERO,
                fails: false,
            }],
            ..Entry::default()
        };
        let mut standing = Standing::default();
        let mut change = queue(1, "sales");
        change.join(queue(2, "support"));
        change.join(Entry {
            queues: Some(Arc::new(Polled {
                ids: [2].into(),
                names: ["support".into()].into(),
            })),
            ..Entry::default()
        });
        standing.apply(&change);
        let whole = standing.whole(now);
        let ids: Vec<_> = whole.polls.iter().map(|(id, _)| *id).collect();
        let names: Vec<_> = whole.shown.iter().map(|shown| &*shown.queue).collect();
        assert_eq!((&*ids, &*names), (&[2][..], &["support"][..]));
    }

    #[test]
    fn changes_that_are_joined_keep_what_a_node_counts_for_its_lost_ledger() {
        let mark = crate::budget::Mark {
            process: 1,
            number: 1,
        };
        let mut joined = Entry::default();
        joined.join(Entry {
            assumed: vec![Mirrored::asked_for(mark, true)],
            ..Entry::default()
        });
        assert_eq!(joined.assumed.len(), 1);
    }
}
