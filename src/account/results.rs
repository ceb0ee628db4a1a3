//! Applies CallTools' answers: names, polls and sweeps become snapshots, and [`failures`](super::failures) become faults.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    Account, Emptied, RefreshError,
    failures::{asked, concerns_a_list_of_statuses},
    headcount::News,
    job::{Done, Outcome},
};
use crate::{
    account::{
        feeds::{Feed, Standing},
        schedule::{Ending, Job, TRUST_AGAIN},
        sweep::{SweptPage, Verdict},
    },
    calltools::{AgentList, Everyone, Notes, RequestError, RosterPage},
    clock::Moment,
    model::{agent::AgentId, fault::Fault},
};

impl Account {
    pub(super) fn ended(&mut self, done: Done) {
        let Some(job) = self.job_now(&done) else {
            return; // The config no longer has the queue.
        };
        let Done {
            begun,
            names,
            mut outcome,
            ..
        } = done;
        self.explain_again(&names, &mut outcome);
        if let (Job::Poll(place), Outcome::Agents(id, _)) = (job, &outcome)
            && self.queues[place].id != Some(*id)
        {
            return self.ended_for_another_queue(place);
        }
        let was_in_use = self.is_in_use(job);
        let result = self.take_in(job, outcome, begun);
        self.log_end(job, begun, &result);
        if result.is_ok() {
            self.answered(job, begun);
            match was_in_use {
                true => self.feed_health.recovered(),
                false => self
                    .feed_health
                    .others_answered(begun, self.deps.clock.now()),
            }
        }
        self.learn_stays();
        self.end_reservations();
        self.settle();
        // Another list is read next, at once.
        let is_in_use = was_in_use && self.is_in_use(job);
        let is_beside = |fault: &Fault| !is_in_use && concerns_a_list_of_statuses(job, fault);
        let ending = match &result {
            Ok(requests) => Ending::Well {
                requests: *requests,
            },
            Err(RequestError::Fault(fault)) if is_beside(fault) => Ending::Beside,
            Err(RequestError::Fault(fault)) => Ending::Badly(fault),
            Err(RequestError::Refused(_)) => Ending::Unpaid,
        };
        let now = self.now();
        self.schedule.ended(job, ending, now, fastrand::f64());
        self.report_guessing(result.as_ref().err());
        if let (Job::Poll(_), Ok(_)) = (job, &result) {
            self.plan(); // The poll may have taken more requests than before.
        }
        if let Err(RequestError::Refused(refusal)) = &result {
            self.refused(*refusal);
        }
        self.show_faults();
        let ended = result.map(|_| ()).map_err(|error| match error {
            RequestError::Fault(fault) => RefreshError::Failed(fault),
            RequestError::Refused(refusal) => RefreshError::Refused(refusal),
        });
        for waiter in self.waiters.remove(&job).unwrap_or_default() {
            self.tell_waiter(waiter, ended.clone());
        }
    }

    fn log_end(&self, job: Job, begun: Moment, result: &Result<u32, RequestError>) {
        tracing::debug!(
            account = &*self.name,
            list = self.list_of(job),
            took = ?self.deps.clock.now().longest_since(begun),
            requests = result.as_ref().ok(),
            error = result.as_ref().err().map(tracing::field::display),
            "finished reading a list"
        );
    }

    /// Returns the job with its current place: a new config may have moved its queue.
    fn job_now(&self, done: &Done) -> Option<Job> {
        let Some(number) = done.number else {
            return Some(done.job);
        };
        let place = self.queues.iter().position(|one| one.number == number)?;
        Some(Job::Poll(place))
    }

    /// Applies the result of a job, which began at `begun`. Returns the number of requests that it took.
    fn take_in(&mut self, job: Job, outcome: Outcome, begun: Moment) -> Result<u32, RequestError> {
        let failed = match outcome {
            Outcome::Queues(Ok(queues)) => {
                // These lists take one request: a page has 250 entries.
                return self
                    .take_in_queues(queues)
                    .map_or(Ok(1), |fault| Err(fault.into()));
            }
            Outcome::Statuses(Ok(statuses)) => {
                self.take_in_statuses(statuses);
                return Ok(1);
            }
            Outcome::Agents(_, Ok(list)) => {
                let Job::Poll(place) = job else {
                    unreachable!("only polls return agents")
                };
                return Ok(self.take_in_poll(place, list));
            }
            Outcome::RosterPage(Everyone::Listed, page, Ok(mut listed)) => {
                match self.swept.add(page, &mut listed) {
                    Ok(()) => {
                        self.take_in_sweep(page, listed);
                        return Ok(1);
                    }
                    Err(fault) => fault.into(),
                }
            }
            Outcome::RosterPage(Everyone::AtOnce, _, Ok(list)) => match self.take_in_whole(list) {
                Ok(()) => return Ok(1),
                Err(fault) => fault.into(),
            },
            Outcome::RosterPage(list, page, Ok(listed)) => {
                match self.take_in_feed(list, page, listed) {
                    Ok(()) => return Ok(1),
                    Err(fault) => fault.into(),
                }
            }
            Outcome::Queues(Err(error)) => {
                self.fall_back_to_stored_names();
                error
            }
            Outcome::Statuses(Err(error)) => error,
            Outcome::Agents(_, Err(error)) | Outcome::RosterPage(_, _, Err(error)) => error,
        };
        if let RequestError::Fault(fault) = &failed {
            self.failed(job, &Arc::new(fault.clone()), begun);
        }
        Err(failed)
    }

    /// Ends reservations for agents who are no longer available: they have taken a call, so its seat need not be held any longer. The board already
    /// shows that the agent is gone, so no seat looks open in between.
    fn end_reservations(&mut self) {
        for departure in self.roster.take_departures() {
            let newest = self.roster.newest(&departure.agent);
            let is_on_call = newest.is_some_and(|newest| newest.agent.on_call);
            if is_on_call {
                let stay = self.roster.stay(&departure.agent);
                let began = stay.and_then(|known| known.stay.began());
                let at = began.unwrap_or(departure.seen.at.boot);
                self.foresight.took_call(&departure.places, at);
            }
            let queues = self.keys(&departure.places);
            let (made_by, now) = (departure.made_by, self.deps.clock.now());
            let reservations = &self.deps.reservations;
            let ended = reservations.departed(&departure.agent, &queues, made_by, now);
            if let Some((queue, made)) = ended {
                self.deps.board.notify();
                self.call_has_arrived(&queue, departure.seen.at.shortest_since(made));
            }
            // The wrap-up that an earlier call counted on is over. A later one may count on the one that the agent is in.
            let made_by = if is_on_call { now } else { made_by };
            self.let_go(&departure.agent, made_by.boot);
        }
    }

    fn take_in_poll(&mut self, place: usize, list: AgentList) -> u32 {
        let AgentList {
            as_of,
            took,
            rows,
            complete,
            changes,
            notes,
            requests,
        } = list;
        for change in changes {
            let (queue, agents) = (&self.deps.queues[place].key, rows.len());
            match change.began {
                true => tracing::warn!(%queue, agents, "{change}"),
                false => tracing::info!(%queue, agents, "{change}"),
            }
        }
        self.note(place, complete, &notes);
        if rows.is_empty() && self.roster.has_members(place) {
            self.schedule.doubt_name(place);
        }
        self.notice_step_back(&rows);
        if let Some(doubt) = self.sweep.compare(&rows, as_of, &self.roster) {
            self.distrust(doubt.sentence());
        }
        self.learn_lag(Feed::Queues, &rows, as_of);
        self.audit_feed(&rows, as_of);
        self.roster.poll(place, as_of, took, complete, rows);
        self.keep_poll(place);
        self.queues[place].failing_elsewhere = false;
        self.publish(place);
        self.renew_others(Some(place));
        self.count_heads();
        requests
    }

    /// Counts the agents, and notices when all lists are empty.
    fn count_heads(&mut self) {
        let Some(agents) = self.roster.headcount() else {
            return;
        };
        let news = self.headcount.take(agents, self.deps.clock.now());
        let emptied = self.headcount.emptied();
        self.deps.health.send_if_modified(|health| {
            let changed = health.emptied != emptied;
            health.emptied = emptied;
            changed
        });
        let account = &*self.name;
        match news {
            Some(News::Emptied(Emptied { agents_before, .. })) => tracing::warn!(
                account,
                agents_before,
                "every queue's list of agents is empty: the day may be over, or the token may no longer see the agents"
            ),
            Some(News::Filled(agents)) => {
                tracing::info!(account, agents, "there are agents in the queues again");
            }
            None => {}
        }
    }

    /// Counts and logs what is unusual about a poll.
    fn note(&mut self, place: usize, complete: bool, notes: &Notes) {
        let key = &self.deps.queues[place].key;
        if !complete {
            self.deps.metrics.incomplete_snapshot(key);
        }
        if notes.skipped > 0 {
            self.deps.metrics.skipped_rows(key, notes.skipped as u64);
        }
        if notes.queue_login_assumed && !self.login_assumed {
            self.login_assumed = true;
            tracing::warn!(queue = %key, "rows have no queue_logged_in; logged_in is used instead");
        }
        if notes.queue_login_unclear && !self.login_unclear {
            self.login_unclear = true;
            tracing::warn!(queue = %key, "some rows do not say whether their agent is logged in to the queue (queue_logged_in is null, or absent while other rows have it); such agents count as not logged in");
        }
        self.schedule.saw_unlisted(&notes.unknown_statuses);
    }

    pub(super) fn take_in_sweep(&mut self, page: u32, listed: RosterPage) {
        if self.schedule.is_distrustful(self.now()) {
            return; // It was sent before sweeps were suspended.
        }
        let RosterPage {
            as_of: requested,
            agents,
            next,
            notes,
            ..
        } = listed;
        self.count_skipped(Feed::Sweep, notes.skipped);
        self.schedule.saw_unlisted(&notes.unknown_statuses);
        self.hurry_queues_of_those_who_came(
            agents
                .iter()
                .map(|agent| (&agent.id, agent.logged_in))
                .collect(),
        );
        self.notice_step_back(&agents);
        let as_of = self.learn_lag(Feed::Sweep, &agents, requested);
        self.audit_feed(&agents, as_of);
        self.feeds
            .full_page(page, next, as_of, &agents, &self.roster);
        let was_trusted = self.sweep.is_trusted();
        let swept = SweptPage {
            as_of,
            page,
            last: next.is_none(),
            agents,
        };
        let did_pay = self.schedule.full_list().pays;
        self.schedule.swept(page, next);
        self.plan(); // Whether lists are tried depends on the planned max_age.
        self.ask_next();
        self.naming.swept_before = None; // This sweep is newer.
        match self.sweep.take(swept, &mut self.roster) {
            Verdict::Doubted(doubt) => return self.distrust(doubt.sentence()),
            Verdict::Kept => {
                self.plan(); // The list may be longer than expected.
                return self.tell_length(page, did_pay);
            }
            Verdict::Taken if !was_trusted => {
                tracing::info!(
                    account = &*self.name,
                    "sweeps of the whole account agree with its queues and are now used"
                );
                self.schedule.trust();
                self.set_sweeps_trusted(true);
            }
            Verdict::Taken => {}
        }
        if next.is_none() {
            self.feed_health.full_list_read();
            self.full_list_ended();
        }
        let now = self.deps.clock.now();
        let missing = self.looking.for_missing(self.sweep.missed(), now);
        for place in self.queues_of(missing.iter()) {
            self.schedule.look_for_missing(place);
        }
        self.plan();
        self.renew_others(None);
        self.keep_statuses_now_and_then();
    }

    /// Logs that the full list turned out not to pay.
    fn tell_length(&self, pages: u32, did_pay: bool) {
        let (account, now) = (&*self.name, self.now());
        if !did_pay || self.schedule.full_list().pays {
            return;
        }
        if self.schedule.tries_lists(now) {
            tracing::info!(
                account,
                pages,
                "the account's list of agents is so long that polling the queues one by one costs less; openseat reads it with every other request, to try lists that cost less"
            );
        } else if !self.schedule.sweeps(now) {
            tracing::info!(
                account,
                pages,
                "the account's list of agents is so long that polling the queues one by one costs less; openseat stops reading it"
            );
        }
    }

    /// Polls the queues of agents who came online sooner, because such agents log in to their queues.
    pub(super) fn hurry_queues_of_those_who_came(&mut self, seen: Vec<(&AgentId, bool)>) {
        let came = |(id, logged_in): &(&AgentId, bool)| {
            let known = self.roster.newest(id);
            *logged_in && known.is_some_and(|known| !known.agent.logged_in)
        };
        let came: Vec<AgentId> = seen
            .into_iter()
            .filter(came)
            .map(|(id, _)| id.clone())
            .collect();
        for place in self.queues_of(came.iter()) {
            self.schedule.hurry(place);
        }
    }

    pub(super) fn queues_of<'a>(
        &self,
        agents: impl Iterator<Item = &'a AgentId>,
    ) -> HashSet<usize> {
        agents
            .flat_map(|agent| self.roster.queues_of(agent))
            .collect()
    }

    /// Records that a request succeeded. While the hour is nearly spent, single answers do not end that fault.
    fn answered(&mut self, job: Job, begun: Moment) {
        if self.is_slow() {
            return;
        }
        let had_fault = self.faults.present().is_some();
        self.faults.succeeded(asked(job), begun);
        if had_fault && self.faults.present().is_none() {
            self.forgive_queues(job);
        }
    }

    /// Lets queues make up for the polls that failed because of the account's fault, which this job has ended.
    fn forgive_queues(&mut self, ended_by: Job) {
        for place in 0..self.deps.queues.len() {
            if ended_by != Job::Poll(place) && !self.is_failing(place) {
                self.schedule.failures_were_not_its_own(place);
            }
        }
    }

    pub(super) fn set_sweeps_trusted(&self, trusted: bool) {
        self.deps
            .health
            .send_modify(|health| health.sweeps = trusted);
    }

    /// Suspends sweeps and drops their results. Queues are polled one by one.
    pub(super) fn distrust(&mut self, why: &str) {
        if self.schedule.is_distrustful(self.now()) {
            return; // Sweeps are suspended already.
        }
        self.roster.forget_sweeps();
        self.tell_again();
        self.unkeep_statuses();
        self.suspend_sweeps(why, Standing::Distrusted, TRUST_AGAIN);
    }

    /// Suspends sweeps, whose results so far remain true. Queues are polled one by one.
    pub(super) fn suspend_sweeps(&mut self, why: &str, standing: Standing, lasts: Duration) {
        self.feed_health.suspended();
        self.schedule.suspend(self.now(), lasts);
        self.set_sweeps_trusted(false);
        self.faults.forget_feed();
        let now = self.deps.clock.now();
        self.feeds
            .suspend_full_list(standing, why.to_owned(), now.later(lasts), now);
        self.sweep.reset();
        self.deps.metrics.sweep_distrusted(&self.name);
        tracing::warn!(
            account = &*self.name,
            why,
            "sweeps of the whole account are suspended; queues are polled one by one"
        );
        self.show_feed();
        self.plan();
        self.renew_others(None);
    }
}
