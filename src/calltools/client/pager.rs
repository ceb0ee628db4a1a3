//! Reads a list page by page, one permit for each request.

use std::{collections::BTreeSet, sync::PoisonError, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Client, RequestError,
    endpoint::{Endpoint, path},
    oddity::{Habits, Oddity},
};
use crate::{
    budget::{Cause, Permit, Purpose, Refusal},
    calltools::{
        Ask,
        list::{Entry, List},
    },
    clock::Moment,
    model::{fault::Fault, names::Names},
};

/// How long a reading may wait for permits after its first page, in total. Half of the shortest default `max_age`: a
/// list that took longer would be old before it is complete, and its pages would no longer match.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(30);

/// Keeps a refusal without a wait from causing a busy loop.
const MIN_WAIT: Duration = Duration::from_millis(10);

/// A complete reading of a list.
pub(super) struct Reading<'a, T: Entry> {
    /// When the oldest page was requested.
    pub(super) as_of: Moment,
    is_cached: bool,
    pub(super) took: Duration,
    pub(super) list: List<'a, T>,
    /// Whether it can be used.
    checked: Result<(), Fault>,
}

impl<T: Entry> Reading<'_, T> {
    fn gap(&self) -> Option<i64> {
        self.list.gap()
    }

    pub(super) fn oddities(&self) -> BTreeSet<Oddity> {
        let oddities = [
            (self.gap().is_some(), Oddity::Miscounted),
            (self.list.skipped > 0, Oddity::RowsSkipped),
            (self.is_cached, Oddity::Cached),
        ];
        let present = oddities.into_iter().filter(|(is_odd, _)| *is_odd);
        present.map(|(_, oddity)| oddity).collect()
    }

    /// Adds a page that was requested at this moment and that a cache had kept for `age`.
    fn dates_from(&mut self, asked: Moment, age: Duration) {
        let as_of = asked.earlier(age);
        if as_of.boot < self.as_of.boot {
            self.as_of = as_of;
        }
        self.is_cached |= !age.is_zero();
    }
}

/// The state of reading one list: its pages, and what they cost.
#[derive(Debug)]
pub(super) struct Pager<'a> {
    client: &'a Client,
    endpoint: Endpoint,
    queue: Option<u64>,
    purpose: Purpose,
    /// The rest of [`MAX_WAIT`].
    wait_left: Duration,
    pub(super) requests: u32,
}

impl<'a> Pager<'a> {
    pub(super) fn new(
        client: &'a Client,
        endpoint: Endpoint,
        queue: Option<u64>,
        purpose: Purpose,
    ) -> Self {
        Self {
            client,
            endpoint,
            queue,
            purpose,
            wait_left: MAX_WAIT,
            requests: 0,
        }
    }

    /// Reads the list, and reads it again if its count is off by another number than last time: rows can slip between pages
    /// while they are read. If the count is off by the same number again, another reading would not help.
    pub(super) async fn list<'n, T: Entry>(
        &mut self,
        names: &'n Names,
        first: Option<Permit>,
    ) -> Result<Reading<'n, T>, RequestError> {
        let permit = match first {
            Some(permit) => permit,
            None => self.client.budget.permit(self.purpose).await?,
        };
        let mut reading = self.read(names, permit).await?;
        let usual = self.habits(|habits| habits.gap);
        if reading.gap().is_some_and(|gap| Some(gap) != usual) {
            // If this fails, the first reading may still be used.
            if let Ok(again) = self.read_again(names).await {
                reading = nearer(reading, again);
            }
        }
        self.habits(|habits| habits.gap = reading.gap());
        reading.checked.clone()?;
        Ok(reading)
    }

    pub(super) fn habits<R>(&self, look: impl FnOnce(&mut Habits) -> R) -> R {
        let habits = self.client.habits.lock();
        let mut habits = habits.unwrap_or_else(PoisonError::into_inner);
        look(habits.entry((self.endpoint, self.queue)).or_default())
    }

    async fn read_again<'n, T: Entry>(
        &mut self,
        names: &'n Names,
    ) -> Result<Reading<'n, T>, RequestError> {
        let permit = self.next_permit().await?;
        self.read(names, permit).await
    }

    async fn read<'n, T: Entry>(
        &mut self,
        names: &'n Names,
        permit: Permit,
    ) -> Result<Reading<'n, T>, RequestError> {
        let begun = Instant::now();
        let mut reading = Reading {
            as_of: self.client.clock.now(),
            is_cached: false,
            took: Duration::ZERO,
            list: List::new(names, &self.client.pattern),
            checked: Ok(()),
        };
        let mut next = self.page(1, permit, &mut reading).await?;
        while let Some(number) = next {
            let permit = self.next_permit().await?;
            next = self.page(number, permit, &mut reading).await?;
        }
        reading.took = begun.elapsed();
        reading.checked = reading.list.check();
        Ok(reading)
    }

    /// Reads one page and returns the number of the next.
    async fn page<T: Entry>(
        &mut self,
        page: u32,
        permit: Permit,
        reading: &mut Reading<'_, T>,
    ) -> Result<Option<u32>, RequestError> {
        let ask = Ask {
            page,
            queue: self.queue,
        };
        let path = path(self.endpoint, ask);
        self.requests += 1;
        let asked = self.client.clock.now();
        let page = self.client.page(self.endpoint, &path, ask, permit).await?;
        reading.dates_from(asked, page.age);
        Ok(reading.list.add(page)?)
    }

    /// Waits for a permit to continue, within [`MAX_WAIT`]. A list that was started is worth a wait.
    ///
    /// If only the pace would exceed that, the remaining pages are requested at once. Otherwise a small account would never finish
    /// a long list, and would spend its budget on the first pages again and again.
    async fn next_permit(&mut self) -> Result<Permit, Refusal> {
        loop {
            let refusal = match self.client.budget.permit(self.purpose).await {
                Ok(permit) => return Ok(permit),
                Err(refusal) => refusal,
            };
            let wait = refusal.wait(self.client.clock.now()).max(MIN_WAIT);
            match self.wait_left.checked_sub(wait) {
                Some(left) => {
                    self.wait_left = left;
                    sleep(wait).await;
                }
                None if refusal.cause == Cause::Pace => self.purpose = Purpose::Unpaced,
                None => return Err(refusal),
            }
        }
    }
}

/// Returns the reading that can be used and whose count is less off; the second if they are equal. Without a count, rows may be missing unseen.
fn nearer<'n, T: Entry>(first: Reading<'n, T>, second: Reading<'n, T>) -> Reading<'n, T> {
    let rank = |reading: &Reading<'_, T>| {
        (
            reading.checked.is_err(),
            reading.list.off().unwrap_or(u64::MAX),
        )
    };
    if rank(&first) < rank(&second) {
        first
    } else {
        second
    }
}
