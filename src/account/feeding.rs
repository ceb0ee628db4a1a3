//! Applies lists of changes and of available agents, and keeps the schedule, the log and the metrics informed of the feed in use.

use std::{sync::Arc, time::Duration};

use super::{
    Account,
    feeds::{DeltaPage, Feed, FilteredPage, GivenUp, ReadyStatus, Standing, Taken, Trust},
};
use crate::{
    account::schedule::Job,
    calltools::{Everyone, RosterPage},
    clock::Moment,
    model::{agent::Agent, fault::Fault, known::Sighting},
};

impl Account {
    /// Applies a page of a list that replaces the full list.
    ///
    /// # Errors
    /// The list is shorter than its count, or too long.
    pub(super) fn take_in_feed(
        &mut self,
        list: Everyone,
        page: u32,
        mut listed: RosterPage,
    ) -> Result<(), Fault> {
        if self.schedule.is_distrustful(self.now()) {
            return Ok(()); // It was sent before lists of all agents lost trust.
        }
        let feed = match list {
            Everyone::WithStatus(_) => Feed::Available,
            Everyone::NewestFirst(_) | Everyone::Listed | Everyone::AtOnce => Feed::Delta,
        };
        let skipped = listed.notes.skipped;
        self.count_skipped(feed, skipped);
        match list {
            Everyone::WithStatus(_) => self.filtered.add(page, &mut listed)?,
            // A reading may begin behind the first page, and ends long before the last.
            _ => listed.check(self.feeds.rows_before(page))?,
        }
        self.schedule.saw_unlisted(&listed.notes.unknown_statuses);
        self.notice_step_back(&listed.agents);
        let now = self.deps.clock.now();
        let (last, rows) = (listed.next.is_none(), &listed.agents);
        let as_of = self.learn_lag(feed, rows, listed.as_of);
        let taken = match list {
            Everyone::WithStatus(status) => {
                let page = FilteredPage {
                    as_of,
                    status,
                    page,
                    last,
                    rows,
                    skipped,
                };
                self.feeds.take_available(page, &self.roster, now)
            }
            _ => {
                let cached = listed.cached;
                let page = DeltaPage {
                    as_of,
                    cached,
                    page,
                    last,
                    rows,
                    skipped,
                };
                self.feeds.take_delta(page, &self.roster, now)
            }
        };
        self.hurry_queues_of_those_who_came(
            rows.iter()
                .map(|agent| (&agent.id, agent.logged_in))
                .collect(),
        );
        let lag = self.see_rows(listed.agents, as_of);
        let lag = self.feeds.lagged(feed, lag);
        self.follow(taken, lag);
        self.renew_others(None);
        self.keep_statuses_now_and_then();
        Ok(())
    }

    /// Records an answer that was requested at this moment. Returns as of when it is: it may lag behind those of other lists.
    pub(super) fn learn_lag(&mut self, feed: Feed, rows: &[Agent], requested: Moment) -> Moment {
        let now = self.deps.clock.now();
        let as_of = self.feeds.learn_lag(feed, rows, requested, now);
        let lag = requested.boot_since(as_of);
        let is_told = |(told, by): (Feed, Duration)| told == feed && lag <= 2 * by;
        if !lag.is_zero() && !self.told_lag.is_some_and(is_told) {
            self.told_lag = Some((feed, lag));
            tracing::info!(
                account = &*self.name,
                feed = feed.as_str(),
                by = ?lag,
                "this feed lags behind other lists of CallTools, so statuses from it count as that much older"
            );
        }
        as_of
    }

    /// Notices that CallTools' dates have gone back, before the roster takes the rows of a list.
    pub(super) fn notice_step_back(&mut self, rows: &[Agent]) {
        let Some(step) = self.roster.step_back(rows) else {
            return;
        };
        self.roster.stepped_back(step);
        self.feeds.stepped_back(step);
        self.sweep.stepped_back();
        tracing::warn!(
            account = &*self.name,
            by = %format_args!("{:#}", step.abs()),
            "CallTools' dates of status changes have gone back: they may be in local time; openseat continues with the new dates"
        );
    }

    /// Counts rows of lists of all agents that could not be read.
    pub(super) fn count_skipped(&self, feed: Feed, rows: usize) {
        if rows > 0 {
            let metrics = &self.deps.metrics;
            metrics.feed_skipped_rows(&self.name, feed.as_str(), rows as u64);
        }
    }

    /// Checks the feed in use against rows of a poll or of a full page, before the roster takes them.
    pub(super) fn audit_feed(&mut self, rows: &[Agent], as_of: Moment) {
        let now = self.deps.clock.now();
        if let Some(taken) = self.feeds.compare(rows, as_of, &self.roster, now) {
            self.follow(taken, None);
        }
    }

    /// Handles the end of a full list that is trusted.
    pub(super) fn full_list_ended(&mut self) {
        for rows in one_look_each(self.feeds.take_kept()) {
            let at = rows[0].at;
            // The full list has shown later looks already.
            if let Some(lag) = self.roster.see(rows).filter(|lag| lag.boot < at.boot) {
                self.feeds.kept_rows_lag(lag);
            }
        }
        let now = self.deps.clock.now();
        if self.feeds.full_list_ended(&self.roster, now) {
            self.use_feed();
        }
        self.ask_next();
    }

    /// Tells the schedule what to request next.
    pub(super) fn ask_next(&mut self) {
        let now = self.deps.clock.now();
        let did_try = self.schedule.tries_lists(now.boot);
        let (request, at_once) = self.feeds.next(now);
        let feed = self.feeds.in_use();
        let pages = (feed != Feed::Sweep).then(|| self.feeds.pages());
        self.schedule.ask_next(request, at_once, pages);
        self.try_lists(now);
        if did_try && !self.schedule.sweeps(now.boot) {
            self.feeds.pause_trials(now);
            self.try_lists(now);
            tracing::info!(
                account = &*self.name,
                "no list of the whole account has proved so far to take fewer requests than polling the queues one by one; openseat stops reading it for now"
            );
        }
        self.show_feed();
    }

    /// Tells the schedule from when to try lists although the full one does not pay.
    fn try_lists(&mut self, now: Moment) {
        let from = self.feeds.tries_from(now).map(|from| from.boot);
        self.schedule.try_lists(from, now.boot);
    }

    /// Updates the statuses that make an agent ready.
    pub(super) fn filter_by_ready_statuses(&mut self) {
        let names = Arc::clone(&self.deps.names.borrow());
        let statuses = names.statuses.iter().flatten();
        let ready = statuses.filter(|status| status.is_ready() == Some(true));
        let ready = ready.map(|status| ReadyStatus {
            id: status.id,
            name: Arc::clone(&status.name),
        });
        let now = self.deps.clock.now();
        self.feeds
            .set_ready_statuses(ready.collect(), &mut self.roster, now);
    }

    /// Updates whether criteria in the config read why an agent is not available.
    pub(super) fn look_at_rules(&mut self) {
        let mut queues = self.deps.queues.iter();
        let needs_reasons = queues.any(|queue| queue.rule.reads_reasons());
        // These rules read rows of any list, and any field of them.
        self.roster.rules_read_rows(needs_reasons);
        let now = self.deps.clock.now();
        if self
            .feeds
            .set_needs_reasons(needs_reasons, &self.roster, now)
        {
            self.use_feed();
            self.ask_next();
        }
    }

    /// Gives up a feed that CallTools refuses.
    pub(super) fn feed_refused(&mut self, feed: Feed) {
        let taken = self
            .feeds
            .refused(feed, &self.roster, self.deps.clock.now());
        self.follow(taken, None);
    }

    /// Returns whether statuses come from the list that a job reads.
    pub(super) fn is_in_use(&self, job: Job) -> bool {
        let feed = match job {
            Job::Sweep(_) => Some(Feed::Sweep),
            Job::Whole if self.feeds.is_given_at_once() => Some(Feed::Sweep),
            _ => feed_beside_sweeps(job),
        };
        feed == Some(self.feeds.in_use())
    }

    /// Lets a list rest that could not be read. Statuses come from another list, which is read next.
    fn feed_unanswered(&mut self, feed: Feed) {
        let now = self.deps.clock.now();
        let taken = self.feeds.unanswered(feed, &self.roster, now);
        self.follow(taken, None);
    }

    /// Handles the failure of a list that is not in use.
    pub(super) fn failed_beside(&mut self, job: Job, fault: &Fault) {
        if let Some(feed) = feed_beside_sweeps(job) {
            return self.feed_unanswered(feed);
        }
        let now = self.deps.clock.now();
        if self.feeds.full_page_failed(now) {
            tracing::warn!(
                account = &*self.name,
                why = %fault,
                feed = self.feeds.in_use().as_str(),
                "a page of the account's list of agents cannot be read; the feed in use is checked only against polls of the queues"
            );
        }
        self.ask_next();
    }

    /// Publishes which feed is in use, and why the others are not.
    pub(super) fn show_feed(&mut self) {
        let feed = match self.schedule.is_swept() {
            true => self.feeds.in_use(),
            false => Feed::Queues,
        };
        let feeds = self
            .feeds
            .standings(self.schedule.full_list(), self.deps.clock.now());
        self.deps.health.send_if_modified(|health| {
            let changed = health.feed != feed || health.feeds != feeds;
            (health.feed, health.feeds) = (feed, feeds);
            changed
        });
    }

    /// Records that a request to the list in use, which began at `begun`, failed. If CallTools keeps answering others, the list rests.
    pub(super) fn statuses_failed(&mut self, job: Job, fault: &Fault, begun: Moment) {
        let (is_sweep, now) = (matches!(job, Job::Sweep(_)), self.deps.clock.now());
        if !self.feed_health.failed(is_sweep, begun, now) {
            return;
        }
        self.feed_health.recovered();
        match (feed_beside_sweeps(job), job) {
            (Some(feed), _) => self.feed_unanswered(feed),
            (None, Job::Whole) => self.whole_failed(fault, false),
            _ => {
                let lasts = self.feed_health.rests(now);
                self.suspend_sweeps(
                    "the account's list of agents cannot be read, but other lists can",
                    Standing::Resting,
                    lasts,
                );
            }
        }
    }

    /// Applies the rows of one page. Returns the look that they lag behind, if they do.
    fn see_rows(&mut self, agents: Vec<Agent>, at: Moment) -> Option<Moment> {
        let rows = agents.into_iter().map(|agent| Sighting {
            agent: Arc::new(agent),
            at,
            by_sweep: true,
        });
        match self.sweep.is_trusted() {
            true => self.roster.see(rows.collect()),
            false => {
                self.feeds.keep(rows.collect());
                None
            }
        }
    }

    /// Acts on the result of a page. `lag` is the look that its reading lags behind.
    fn follow(&mut self, taken: Taken, lag: Option<Moment>) {
        let was = self.deps.health.borrow().feed;
        self.feeds.confirm(&taken, lag, &mut self.roster);
        match taken {
            Taken::Rows => {}
            Taken::Changes { .. } | Taken::Available { .. } => self.end_reading(),
            Taken::GivenUp(feed, why) => self.give_up_feed(feed, why),
        }
        let now = self.deps.clock.now();
        let missing = self.looking.for_missing(self.feeds.absent(now), now);
        for place in self.queues_of(missing.iter()) {
            self.schedule.look_for_missing(place);
        }
        self.ask_next();
        if self.deps.health.borrow().feed != was {
            self.plan();
        }
    }

    fn end_reading(&mut self) {
        let now = self.deps.clock.now();
        self.feeds.count_available(&self.roster, now);
        if self.feeds.choose(&self.roster, now) {
            self.use_feed();
        }
    }

    fn give_up_feed(&mut self, feed: Feed, why: GivenUp) {
        if matches!(why, GivenUp::Doubted(_)) {
            self.keep_without_feeds();
            self.tell_again();
        }
        self.feeds.confirm_changes(&mut self.roster); // They may be used instead.
        let why = match why {
            GivenUp::Failed => {
                "it takes too many pages, does not fit the known statuses, or has rows that cannot be read"
            }
            GivenUp::Unanswered => "its requests fail",
            GivenUp::Interrupted => "it was not read for a while, so it begins again",
            GivenUp::Doubted(doubt) => doubt.sentence(),
        };
        tracing::warn!(
            account = &*self.name,
            feed = feed.as_str(),
            why,
            instead = self.feeds.in_use().as_str(),
            "a list of statuses is not used"
        );
        self.renew_others(None);
    }

    /// Uses another feed from now on.
    fn use_feed(&mut self) {
        self.feeds.confirm_changes(&mut self.roster);
        let feed = self.feeds.in_use();
        let pages = self.feeds.pages();
        tracing::info!(
            account = &*self.name,
            feed = feed.as_str(),
            pages,
            proved = self.feeds.trust(feed) == Trust::Trusted,
            "statuses come from this feed from now on"
        );
    }
}

/// Returns the feed that a job reads, if it replaces the full list.
pub(super) fn feed_beside_sweeps(job: Job) -> Option<Feed> {
    match job {
        Job::Delta(_) => Some(Feed::Delta),
        Job::Available(..) => Some(Feed::Available),
        _ => None,
    }
}

/// Groups rows by the moment at which they were seen, the earliest first.
fn one_look_each(rows: Vec<Sighting>) -> Vec<Vec<Sighting>> {
    let mut looks: Vec<Vec<Sighting>> = Vec::new();
    for row in rows {
        match looks.last_mut() {
            Some(look) if look[0].at == row.at => look.push(row),
            _ => looks.push(vec![row]),
        }
    }
    looks
}
