//! Applies a new config to a running account. Queues may move, be added or removed, or get another rule. The task keeps its knowledge, and reads
//! only what is new.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::oneshot;

use super::{Account, QueueSettings, TokenKeeper, naming::id_of, queue::QueueAtWork};
use crate::{
    account::schedule::Job,
    budget::Budget,
    calltools::Client,
    config::{QueueRef, ScheduleOptions},
};

/// The new config of an account.
#[derive(Debug)]
pub struct Terms {
    /// The queues, in the order of the config.
    pub queues: Vec<QueueSettings>,
    /// The operator's settings of the schedule.
    pub options: ScheduleOptions,
    /// How to reach CallTools; `None` if that is unchanged.
    pub way: Option<Way>,
    /// Answered once the config is in use.
    pub reply: oneshot::Sender<()>,
}

/// How to reach CallTools, and the budget for it.
#[derive(Debug)]
pub struct Way {
    /// Sends requests that have a permit.
    pub client: Client,
    /// The account's budget.
    pub budget: Arc<Budget>,
    /// Reads the token again when CallTools refuses it.
    pub token: Arc<TokenKeeper>,
}

impl Account {
    pub(super) fn take_terms(&mut self, terms: Terms) {
        let Terms {
            queues,
            options,
            way,
            reply,
        } = terms;
        if let Some(way) = way {
            self.deps.client = way.client;
            self.deps.budget = way.budget;
            self.deps.token = Some(way.token);
        }
        let has_new_owner = self.take_owner();
        let queues = self.with_guests(queues);
        self.arrange(queues, options);
        // The token was read with the config, and may have changed.
        self.schedule.try_token();
        if has_new_owner {
            self.keep_everything();
        }
        if self.polls {
            self.show_faults();
        }
        // The caller may have given up.
        let _ = reply.send(());
    }

    /// Continues as the account of a token that was read meanwhile. What is stored for the next process must be found under it.
    pub(super) fn follow_the_token(&mut self) {
        if self.take_owner() {
            self.keep_everything();
        }
    }

    /// Takes over the name and identity that the budget has now. Returns whether they are others.
    fn take_owner(&mut self) -> bool {
        let owner = self.deps.budget.owner();
        if owner == self.deps.owner {
            return false;
        }
        self.name = owner.account.as_str().into();
        self.deps.owner = owner;
        true
    }

    /// Continues with these queues, and keeps the knowledge about those that it had before.
    pub(super) fn arrange(&mut self, queues: Vec<QueueSettings>, options: ScheduleOptions) {
        let places = self.places_of(&queues);
        let needs: Vec<_> = queues.iter().map(QueueSettings::need).collect();
        let ration = self.deps.budget.burst();
        self.schedule.rearrange(&needs, &places, options, ration);
        self.faults.rearrange(Arc::clone(&self.name), &places);
        self.roster.rearrange(&places);
        self.foresight.rearrange(&places);
        self.move_waiters(&places);
        self.move_queues(&queues, &places);
        let before = std::mem::replace(&mut self.deps.queues, queues);
        self.deps.options = options;
        self.carry(&before, &places);
        self.resolve();
        self.look_at_rules();
        self.show_queues(&before, &places);
        self.plan();
        self.opening.hours_changed();
        self.rest_closed_queues();
        self.poll_outdated_queues(&before, &places);
        self.forget_told_queues();
    }

    /// Returns the current place of each of these queues. A queue with a new name in the config is the same queue if its id is the same.
    fn places_of(&self, queues: &[QueueSettings]) -> Vec<Option<usize>> {
        let names = Arc::clone(&self.deps.names.borrow());
        let id = |reference: &QueueRef| id_of(reference, &names).and_then(Result::ok);
        let mut taken = vec![false; self.deps.queues.len()];
        let mut place = |is_it: &dyn Fn(usize, &QueueSettings) -> bool| {
            let mut now = self.deps.queues.iter().enumerate();
            let found = now.position(|(place, queue)| !taken[place] && is_it(place, queue))?;
            taken[found] = true;
            Some(found)
        };
        let mut places: Vec<_> = queues
            .iter()
            .map(|queue| place(&|_, now| now.reference == queue.reference))
            .collect();
        for (queue, found) in queues.iter().zip(&mut places) {
            if let (None, Some(id)) = (&found, id(&queue.reference)) {
                *found = place(&|now, _| self.queues[now].id == Some(id));
            }
        }
        places
    }

    /// Moves the data of queues that the config now names by id instead of by name, or vice versa. Data under another name of the account was moved
    /// before, for all accounts together.
    fn carry(&self, before: &[QueueSettings], places: &[Option<usize>]) {
        let queues = self.deps.queues.iter().zip(places);
        let moves = queues.filter_map(|(queue, was)| {
            let was = &before[(*was)?];
            let is_renamed = was.reference != queue.reference;
            is_renamed.then(|| (was.key.clone(), queue.key.clone()))
        });
        let moves: Vec<_> = moves.collect();
        self.deps.board.carry(&moves);
        self.deps.reservations.carry(&moves);
        // In a cluster, seats stay held under names that are in no queue of the config.
        let names = moves.iter().map(|(was, _)| was.clone());
        let names: Vec<_> = names
            .filter(|was| moves.iter().all(|(_, is)| is != was))
            .collect();
        self.deps.reservations.drop_names(&names);
    }

    /// Keeps what the task knows about each queue that it had before.
    fn move_queues(&mut self, queues: &[QueueSettings], places: &[Option<usize>]) {
        let mut before: Vec<_> = std::mem::take(&mut self.queues)
            .into_iter()
            .map(Some)
            .collect();
        for (queue, was) in queues.iter().zip(places) {
            let known = was.map(|was| {
                let known = before[was].take();
                let is_same = self.deps.queues[was].key == queue.key;
                (known.expect("two queues have different places"), is_same)
            });
            let next = match known {
                Some((known, true)) => known,
                Some((known, false)) => known.with_key(&self.deps.metrics, &queue.key),
                None => QueueAtWork {
                    failing_elsewhere: self.failing_guests.remove(&queue.key.queue),
                    ..QueueAtWork::new(self.new_number(), &self.deps.metrics, &queue.key)
                },
            };
            self.queues.push(next);
        }
    }

    /// Measures queues by their new rules, and publishes the results.
    fn show_queues(&mut self, before: &[QueueSettings], places: &[Option<usize>]) {
        for (place, was) in places.iter().enumerate() {
            let Some(was) = was else { continue };
            let (was, is) = (&before[*was], &self.deps.queues[place]);
            // A prediction counts on no status that is older than `max_age`.
            let is_as_old = was.soon == is.soon && was.max_age == is.max_age;
            let was_measured_so = was.rule == is.rule && is_as_old;
            let is_compared_so = was.threshold == is.threshold;
            let key = self.deps.queues[place].key.clone();
            match self.snapshot_between_polls(place) {
                _ if was_measured_so && is_compared_so => {} // It is already on the board.
                // `measured` has told the schedule about the new threshold.
                _ if was_measured_so => self.show_threshold(place),
                Some(snapshot) => self.deps.board.renew(&key, snapshot),
                None => self.deps.board.unmeasure(&key),
            }
        }
    }

    /// Polls queues at once if their new rule reads what only their own polls show for now, and the last poll is too old for it.
    fn poll_outdated_queues(&mut self, before: &[QueueSettings], places: &[Option<usize>]) {
        let now = self.deps.clock.now();
        for (place, was) in places.iter().enumerate() {
            let Some(was) = was else { continue };
            let queue = &self.deps.queues[place];
            let lacks_reasons = queue.rule.reads_reasons() && self.roster.lacks_reasons(place);
            let needs_poll = self.schedule.is_polled_alone(place) || lacks_reasons;
            if before[*was].rule == queue.rule || !needs_poll {
                continue;
            }
            let planned = self.deps.board.get(&queue.key).unwrap_or_default();
            let max_age = queue.max_age.unwrap_or(planned.planned_max_age);
            let polled = self.roster.polled(place);
            if polled.is_none_or(|polled| now.longest_since(polled) > max_age) {
                self.schedule.poll_anew(place);
            }
        }
    }

    fn move_waiters(&mut self, places: &[Option<usize>]) {
        let waiters = std::mem::take(&mut self.waiters);
        let moved = waiters.into_iter().filter_map(|(job, waiters)| match job {
            Job::Poll(was) => {
                let place = places.iter().position(|place| *place == Some(was))?;
                Some((Job::Poll(place), waiters))
            }
            job => Some((job, waiters)),
        });
        self.waiters = moved.collect::<HashMap<_, _>>();
    }
}
