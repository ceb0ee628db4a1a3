//! Applies what the leader of a cluster tells the other nodes: names, rows, faults, seats, and what was learnt for `soon`.

use std::{sync::Arc, time::Duration};

use super::{Account, PresentFault};
use crate::{
    calltools::{Row, settle_queue_logins},
    clock::Moment,
    cluster::{
        entry::{Entry, Rows, SeenRow},
        member::Member,
    },
    decision::board::QueueKey,
    model::{
        agent::Agent,
        known::{Confirmed, Poll, Sighting},
        names::Names,
    },
};

/// How often a follower that could not read some rows asks for all of them: as often as a leader may write a checkpoint.
pub(super) const ROWS_AGAIN: Duration = Duration::from_secs(30);

impl Account {
    pub(super) fn take_news(&mut self, news: &Entry) {
        if let Some(names) = &news.names {
            self.take_names(names, news.names_read);
        }
        // Sweeps may have lost trust in an entry that this node missed. Rows of sweeps in a checkpoint are trusted.
        let forgets = news.doubted || news.whole;
        if forgets {
            self.roster.forget_sweeps();
            self.unkeep_statuses();
        }
        let names = Arc::clone(&self.deps.names.borrow());
        if news.whole {
            self.lacks_rows = None;
        }
        for (queue, rows) in &news.polls {
            self.take_poll(*queue, rows, &names);
        }
        if forgets || news.uncovered {
            self.roster.uncover();
        }
        for seen in &news.seen {
            match sighting(seen, &names) {
                Some(row) => self.roster.recall_told(row, seen.is_look, seen.is_covered),
                None => self.lack_rows(),
            }
        }
        self.roster.forget_strangers(self.deps.clock.now());
        self.take_confirmed(news);
        // The leader learns from them. A node that led before would keep them for good.
        drop(self.roster.take_stays());
        self.take_failing(news);
        let has_rows = !(news.polls.is_empty() && news.seen.is_empty());
        let confirms = news.unchanged.is_some() || news.confirmed.is_some();
        if has_rows {
            self.roster.looked_at(self.deps.clock.now());
            self.roster.forget_lag();
        }
        if forgets || has_rows || confirms {
            (0..self.deps.queues.len()).for_each(|place| self.show_taken(place));
            self.keep_statuses_now_and_then();
        }
        self.take_shown(news);
        self.take_seats(news);
        if let Some(learnt) = &news.learnt {
            self.recall_foresight(Some(learnt.to_string()));
            self.keep_foresight();
        }
    }

    fn take_names(&mut self, names: &Arc<Names>, read: Option<Moment>) {
        self.deps.names.send_replace(Arc::clone(names));
        self.use_told_names(read);
        self.roster.read_again(names);
        self.resolve();
    }

    fn take_poll(&mut self, queue: u64, rows: &Rows, names: &Names) {
        let Some(agents) = agents(rows, names) else {
            self.lack_rows();
            tracing::warn!(
                account = &*self.name,
                queue,
                "the leader's rows of a queue cannot be read"
            );
            return;
        };
        let places = (0..self.queues.len()).filter(|place| self.queues[*place].id == Some(queue));
        for place in places.collect::<Vec<_>>() {
            let poll = Poll {
                as_of: rows.as_of,
                took: rows.took,
                complete: rows.complete,
                agents: agents.clone(),
            };
            self.roster.recall_poll(place, poll);
            self.keep_poll(place);
        }
    }

    fn lack_rows(&mut self) {
        let now = self.deps.clock.now().boot;
        self.lacks_rows.get_or_insert(now);
    }

    /// Asks for everything again now and then, as long as some rows could not be read. Their agents may have newer rows by now, and until then the
    /// others get their renewals this way.
    pub(super) fn ask_for_rows(&mut self, member: &Member) {
        let now = self.deps.clock.now().boot;
        if self
            .lacks_rows
            .is_some_and(|since| now >= since + ROWS_AGAIN)
        {
            self.lacks_rows = Some(now);
            member.repeat();
        }
    }

    /// Applies what lists confirm about agents whom they do not show. That says nothing about an agent whose last row could not be read.
    fn take_confirmed(&mut self, news: &Entry) {
        if self.lacks_rows.is_some() {
            return self.roster.recall_confirmed(Confirmed::default());
        }
        if let Some(unchanged) = news.unchanged {
            self.roster.recall_unchanged(unchanged);
        }
        if let Some(confirmed) = &news.confirmed {
            self.roster.recall_confirmed(confirmed.clone());
        }
    }

    /// Notes which queues the leader cannot poll, before its rows are shown.
    fn take_failing(&mut self, news: &Entry) {
        if news.whole {
            self.failing_guests.clear();
        }
        if let Some(polled) = &news.queues {
            self.failing_guests
                .retain(|queue| polled.names.contains(queue));
        }
        for shown in &news.shown {
            let place = self.place_named(&shown.queue);
            if let Some(place) = place {
                self.queues[place].failing_elsewhere = shown.fails;
            }
            match place.is_none() && shown.fails {
                true => self.failing_guests.insert(Arc::clone(&shown.queue)),
                false => self.failing_guests.remove(&shown.queue),
            };
        }
    }

    fn place_named(&self, queue: &str) -> Option<usize> {
        let mut queues = self.deps.queues.iter();
        queues.position(|one| *one.key.queue == *queue)
    }

    /// Shows the current knowledge about a queue, which an earlier task or the leader has passed on.
    pub(super) fn show_taken(&mut self, place: usize) {
        let key = self.deps.queues[place].key.clone();
        let Some(snapshot) = self.snapshot_between_polls(place) else {
            return;
        };
        let shown = self.deps.board.snapshot(&key);
        if self.is_failing(place)
            && shown.is_some_and(|shown| shown.as_of.boot >= snapshot.as_of.boot)
        {
            return; // It was renewed until its polls failed.
        }
        let polled = snapshot.members_as_of.later(snapshot.took);
        self.deps.board.restore(&key, snapshot, polled);
    }

    fn take_shown(&mut self, news: &Entry) {
        for shown in &news.shown {
            let Some(place) = self.place_named(&shown.queue) else {
                continue;
            };
            let (board, key) = (&self.deps.board, &self.deps.queues[place].key);
            board.plan(key, shown.max_age, shown.members_max_age);
            if self.queues[place].shown != shown.fault {
                board.fault(key, shown.fault.clone());
                self.queues[place].shown.clone_from(&shown.fault);
            }
        }
        if let Some(fault) = &news.fault {
            let now = self.deps.clock.now();
            let fault = fault.clone();
            self.show_account_fault(fault.map(|fault| PresentFault { fault, since: now }));
        }
    }

    fn take_seats(&self, news: &Entry) {
        for held in &news.held {
            let key = QueueKey::new(Arc::clone(&self.name), Arc::clone(&held.queue));
            let reservations = &self.deps.reservations;
            reservations.held_elsewhere(&key, held.reservation.clone());
        }
        let now = self.deps.clock.now();
        let reservations = &self.deps.reservations;
        reservations.ended_elsewhere(&news.ended, now);
        if !(news.held.is_empty() && news.ended.is_empty()) {
            self.deps.board.notify();
        }
    }
}

/// Reads the agents of a queue. Returns `None` if any row cannot be read: a poll counts completely or not at all.
fn agents(rows: &Rows, names: &Names) -> Option<Vec<Arc<Agent>>> {
    let rows = rows.rows.iter();
    let mut rows: Vec<Row> = rows
        .map(|row| Row::read_again(row, names).ok())
        .collect::<Option<_>>()?;
    settle_queue_logins(&mut rows).ok()?;
    Some(rows.into_iter().map(|row| Arc::new(row.agent)).collect())
}

fn sighting(seen: &SeenRow, names: &Names) -> Option<Sighting> {
    let row = Row::read_again(&seen.row, names).ok()?;
    Some(Sighting {
        agent: Arc::new(row.agent),
        at: seen.at,
        by_sweep: seen.by_sweep,
    })
}
