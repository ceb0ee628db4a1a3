//! One sliding hour: the requests in it, in memory.
//!
//! Times are [`Time`]s of the budget's own clock. Admission, answers and expiry are amortized O(1), because requests are kept in the order in
//! which they leave.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    iter,
    time::Duration,
};

use super::{Purpose, owner::OwnerId};

/// The length of CallTools' window: Django REST Framework looks back 3600 s for a throttle of `1000/hour`.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// Allows for our clock and CallTools' running at different speeds: NTP slews a clock by at most 500 ppm, which is 1.8 s in an hour.
const DRIFT: Duration = Duration::from_secs(2);

/// The latest arrival at CallTools of a request whose process was killed before its answer: the config allows timeouts up to 60 s, and the
/// connection ends with the process.
const UNANSWERED: Duration = Duration::from_secs(60);

/// How long an answered request stays in the window after its answer.
pub(super) const STAYS: Duration = HOUR.saturating_add(DRIFT);

/// How long a request without a recorded answer stays in the window after it was sent.
pub(super) const STAYS_UNANSWERED: Duration = STAYS.saturating_add(UNANSWERED);

/// How long another node's request stays after this node heard of it. It is sent within two seconds of its entry in the log.
pub(super) const STAYS_MIRRORED: Duration = STAYS_UNANSWERED.saturating_add(Duration::from_secs(2));

/// A time on the budget's own clock, which never goes back: see the [book](super::book).
pub(super) type Time = Duration;

/// How many requests an account may have in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// All requests.
    pub limit: u32,
    /// Kept back from polling; less than `limit`.
    pub reserve: u32,
}

impl Allowance {
    /// Returns how many requests polling may have in the window.
    pub fn for_polling(self) -> u32 {
        self.limit - self.reserve
    }
}

/// Identifies a request on all nodes of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The random number of the process that sent it.
    pub process: u64,
    /// Its number in the book of that process.
    pub number: u64,
}

impl Mark {
    /// Stands for no process: nobody knows whether the request was sent. It counts because the ledger was lost.
    const NOBODY: u64 = 0;

    /// Marks a request that was perhaps sent before the ledger was lost.
    pub(super) fn assumed(number: u64) -> Self {
        Self {
            process: Self::NOBODY,
            number,
        }
    }

    /// Returns whether the request was only assumed.
    pub(super) fn is_assumed(self) -> bool {
        self.process == Self::NOBODY
    }
}

/// A request in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Ascending in the order of sending.
    pub id: u64,
    /// The owner that sent it.
    pub owner: OwnerId,
    /// Sent by background polling rather than on demand.
    pub polling: bool,
    /// Whether it was answered.
    pub answered: bool,
    /// When it leaves the window.
    pub leaves: Time,
    /// Its mark in the cluster; `None` if it was sent outside one.
    pub mark: Option<Mark>,
}

impl Request {
    /// Returns whether nobody knows whether it was sent.
    pub fn is_assumed(&self) -> bool {
        self.mark.is_some_and(Mark::is_assumed)
    }
}

/// The requests in the window.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    polling: Log,
    on_demand: Log,
}

impl Window {
    fn log(&mut self, polling: bool) -> &mut Log {
        match polling {
            true => &mut self.polling,
            false => &mut self.on_demand,
        }
    }

    pub fn add(&mut self, request: Request) {
        self.log(request.polling).add(request);
    }

    /// Records the answer to a request. Returns the changed request, or `None` if it has left the window.
    pub fn answered(&mut self, id: u64, polling: bool, leaves: Time) -> Option<Request> {
        self.log(polling).answered(id, leaves)
    }

    /// Returns the requests with these marks. Reads the whole window once, because there may be as many marks as requests. Often there is one, which
    /// a tree finds faster than a hash map.
    pub fn marked(&self, marks: &BTreeSet<Mark>) -> BTreeMap<Mark, Request> {
        let marked = self
            .requests()
            .filter_map(|request| Some((request.mark?, *request)));
        marked.filter(|(mark, _)| marks.contains(mark)).collect()
    }

    /// Gives each request without a mark one of this process, and returns these requests.
    pub fn mark_all(&mut self, process: u64) -> Vec<Request> {
        let logs = [&mut self.polling, &mut self.on_demand].into_iter();
        let requests =
            logs.flat_map(|log| log.answered.iter_mut().chain(log.under_way.values_mut()));
        let unmarked = requests.filter(|request| request.mark.is_none());
        let marked = unmarked.map(|request| {
            let number = request.id;
            request.mark = Some(Mark { process, number });
            *request
        });
        marked.collect()
    }

    /// Takes out all requests that were only assumed.
    pub fn take_assumed(&mut self) -> Vec<Request> {
        let mut assumed = Vec::new();
        for log in [&mut self.polling, &mut self.on_demand] {
            // They count as answered from the beginning.
            let answered = log.answered.drain(..);
            let (taken, stay): (VecDeque<_>, _) = answered.partition(Request::is_assumed);
            log.answered = stay;
            assumed.extend(taken);
        }
        assumed
    }

    /// Removes the requests that have left.
    pub fn expire(&mut self, now: Time) {
        self.polling.expire(now);
        self.on_demand.expire(now);
    }

    /// Returns all requests, in no particular order.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        [&self.polling, &self.on_demand]
            .into_iter()
            .flat_map(|log| log.answered.iter().chain(log.under_way.values()))
    }

    /// Returns whether a request without an answer is in the window.
    pub fn is_under_way(&self, id: u64, polling: bool) -> bool {
        let log = match polling {
            true => &self.polling,
            false => &self.on_demand,
        };
        log.under_way.contains_key(&id)
    }

    /// Returns how many requests are in the window.
    pub fn used(&self) -> usize {
        self.polling.len() + self.on_demand.len()
    }

    /// Returns how many of them polling sent.
    pub fn used_by_polling(&self) -> usize {
        self.polling.len()
    }

    /// Returns when the window has room for one more request; `None` if it has room now.
    pub fn room_at(&self, allowance: Allowance, purpose: Purpose) -> Option<Time> {
        let for_all = room_at(self.used(), allowance.limit, || self.leaves());
        if !purpose.is_polling() {
            return for_all;
        }
        let part = allowance.for_polling();
        for_all.max(room_at(self.polling.len(), part, || self.polling.leaves()))
    }

    /// Returns the highest steady rate of polling, in requests a second, at which the window refuses nothing in the coming hour, even if
    /// `in_hand` saved permits are used at any time. Reads the whole window.
    ///
    /// The *m*-th request from now has room once all but *limit − m* of the current ones have left, at *T(m)*. At an even rate *r* it is sent
    /// at *(m − in_hand) / r*. So *r* is the minimum of *(m − in_hand) / T(m)* over all *m*.
    pub fn even_rate(&self, now: Time, allowance: Allowance, in_hand: u32) -> f64 {
        let for_all = even_rate(self.leaves(), self.used(), now, allowance.limit, in_hand);
        let (polls, part) = (self.polling.len(), allowance.for_polling());
        for_all.min(even_rate(self.polling.leaves(), polls, now, part, in_hand))
    }

    fn leaves(&self) -> impl Iterator<Item = Time> {
        merged(self.polling.leaves(), self.on_demand.leaves())
    }
}

/// Requests of polling, or those on demand.
#[derive(Clone, Debug, Default)]
struct Log {
    /// Answered requests, in the order in which they leave, which is the order of their answers.
    answered: VecDeque<Request>,
    /// Requests without an answer. They leave in the order in which they were sent, which is the order of their ids.
    under_way: BTreeMap<u64, Request>,
}

impl Log {
    fn len(&self) -> usize {
        self.answered.len() + self.under_way.len()
    }

    fn add(&mut self, request: Request) {
        if request.answered {
            // Its place is the last, except when windows are joined.
            let after = |other: &Request| other.leaves <= request.leaves;
            let place = self.answered.partition_point(after);
            self.answered.insert(place, request);
        } else {
            self.under_way.insert(request.id, request);
        }
    }

    fn answered(&mut self, id: u64, leaves: Time) -> Option<Request> {
        let request = Request {
            answered: true,
            leaves,
            ..self.under_way.remove(&id)?
        };
        self.add(request);
        Some(request)
    }

    fn expire(&mut self, now: Time) {
        while self
            .answered
            .front()
            .is_some_and(|request| request.leaves <= now)
        {
            self.answered.pop_front();
        }
        while let Some(first) = self.under_way.first_entry()
            && first.get().leaves <= now
        {
            first.remove();
        }
    }

    /// Returns when the requests leave, ascending.
    fn leaves(&self) -> impl Iterator<Item = Time> {
        let answered = self.answered.iter().map(|request| request.leaves);
        let under_way = self.under_way.values().map(|request| request.leaves);
        merged(answered, under_way)
    }
}

/// Merges two ascending sequences.
fn merged(
    a: impl Iterator<Item = Time>,
    b: impl Iterator<Item = Time>,
) -> impl Iterator<Item = Time> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(first), Some(second)) if second < first => b.next(),
        (None, _) => b.next(),
        _ => a.next(),
    })
}

fn room_at<I: Iterator<Item = Time>>(
    used: usize,
    limit: u32,
    leaves: impl FnOnce() -> I,
) -> Option<Time> {
    // One more than the excess has to leave.
    let too_many = used.checked_sub(limit as usize)?;
    leaves().nth(too_many)
}

fn even_rate(
    leaves: impl Iterator<Item = Time>,
    used: usize,
    now: Time,
    limit: u32,
    in_hand: u32,
) -> f64 {
    let (used, limit, in_hand) = (used as f64, f64::from(limit), f64::from(in_hand));
    // Once all current requests have left, the whole limit may be sent in each hour.
    let after_all = (limit - in_hand).max(1.0) / HOUR.as_secs_f64();
    let by_then = leaves.zip(1..).map(|(leaves, left)| {
        let room = limit - used + f64::from(left);
        (room - in_hand, leaves.saturating_sub(now).as_secs_f64())
    });
    by_then
        .filter(|(room, _)| *room >= 1.0)
        .map(|(room, seconds)| room / seconds)
        .fold(after_all, f64::min)
}
