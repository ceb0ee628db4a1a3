//! The lists: which rows each has, and in which order.

use std::{ops::Range, time::Duration};

use http::StatusCode;
use jiff::Timestamp;

use super::Api;
use crate::{
    calltools::{Reply, timestamp},
    simulator::{
        api_error::ApiError,
        order::{self, SortField, SortOrder},
        page::{List, Query},
        quirks::{ForeignQueue, LaggingLists, SweepQuirk, Ties},
        replies::json_reply,
        rows::View,
        world::Person,
    },
};

/// What an `agentstatuses/` request asks for.
struct Filter {
    queue: Option<u64>,
    status: Option<u64>,
    team: Option<u64>,
    changed_since: Option<Timestamp>,
}

/// The name of Django's filter for changes since a moment.
const CHANGED_SINCE: &str = "agent_status_modified_on__gte";

impl Api {
    pub(super) fn agent_statuses(&mut self, list: &List<'_>) -> Result<Reply, ApiError> {
        let filter = self.filter(list.query)?;
        let sweep = filter.queue.is_none();
        if sweep && self.quirks.sweep == SweepQuirk::NotFound {
            return Err(ApiError::NotFound("Not found."));
        }
        let shift = self.row_shift();
        let lag = match self.quirks.lag_of {
            LaggingLists::Ordered if list.query.get("ordering").is_none() => Duration::ZERO,
            LaggingLists::OfAllQueues if !sweep => Duration::ZERO,
            _ => self.lag_of_an_answer(),
        };
        let salt = match self.quirks.ties {
            Ties::Stable => 1,
            // Odd, so that no two numbers become equal.
            Ties::Random => self.dice.u64(..) | 1,
        };
        let view = self.view(list, filter.queue, sweep);
        let mut people = self.people(&filter, &view, lag);
        let asked = list.query.get("ordering");
        let date_name = self.quirks.ordering_name.as_deref();
        if let Some(order) = SortOrder::parse(asked, self.quirks.ordering, date_name) {
            let page = self.locate(list, people.len(), shift)?.rows;
            self.sort(&mut people, page, order, &view, salt);
        }
        self.page_shifted(list, people.len(), shift, |_, n| view.agent(people[n]))
    }

    /// Draws how far behind the replica that gives this answer is.
    fn lag_of_an_answer(&mut self) -> Duration {
        let spares = self.quirks.lag_spares;
        match spares > 0 && self.dice.u8(..100) < spares {
            true => Duration::ZERO,
            false if self.quirks.lag_varies => self.quirks.lag.mul_f64(self.dice.f64()),
            false => self.quirks.lag,
        }
    }

    /// Puts one page in order. With a `salt` of 1, equal rows stay in the roster's order.
    fn sort(
        &self,
        people: &mut [&Person],
        page: Range<usize>,
        order: SortOrder,
        view: &View<'_>,
        salt: u64,
    ) {
        let value = |person: &Person| match order.field {
            SortField::AgentStatusModifiedOn => {
                view.modified_on(person).map(Timestamp::as_nanosecond)
            }
            SortField::LoggedInSince => person.logged_in_since.map(|since| since.as_nanos()),
            SortField::Pk => Some(i128::from(person.number)),
        };
        let key = |person: &Person| order::key(value(person), self.quirks.nulls);
        let tie = |person: &Person| person.number.wrapping_mul(salt);
        order::sort_page(people, page, order.descending, key, tie);
    }

    /// Returns the people in a list, in CallTools' order.
    fn people(&self, filter: &Filter, view: &View<'_>, lag: Duration) -> Vec<&Person> {
        let partial = view.sweep && self.quirks.sweep == SweepQuirk::Partial;
        let seen = |person: &&Person| !partial || !person.number.is_multiple_of(5);
        let in_status = |person: &&Person| {
            let ignored = self.quirks.status_filter_ignored;
            ignored
                || filter
                    .status
                    .is_none_or(|status| view.status(person).id == status)
        };
        let in_team = |person: &&Person| filter.team.is_none_or(|team| person.team == team);
        let is_recent = |person: &&Person| {
            let since = filter.changed_since;
            since.is_none_or(|since| view.modified_on(person).is_some_and(|on| on >= since))
        };
        let mut past = self.world.uncommitted(self.quirks.late_commits);
        past.extend(self.world.changed_since(lag));
        self.world
            .people_of(filter.queue)
            .map(|person| past.get(&person.number).copied().unwrap_or(person))
            .filter(seen)
            .filter(in_status)
            .filter(in_team)
            .filter(is_recent)
            .collect()
    }

    /// Reads the filters of a request.
    ///
    /// # Errors
    /// All invalid filters, at once.
    fn filter(&self, query: &Query) -> Result<Filter, ApiError> {
        let mut complaints = Vec::new();
        let mut number = |field| match query.get(field).map(|text| text.trim().parse()) {
            None => None,
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => {
                complaints.push(ApiError::not_a_number(field));
                None
            }
        };
        let filter = Filter {
            queue: number("queue"),
            status: number("agent_status"),
            team: number("team"),
            changed_since: match self.quirks.change_filter {
                true => query.get(CHANGED_SINCE).and_then(timestamp),
                false => None,
            },
        };
        let queues = self.world.queues();
        let foreign = filter
            .queue
            .is_some_and(|id| queues.iter().all(|queue| queue.id != id));
        match self.quirks.foreign_queue {
            ForeignQueue::Refused if foreign => complaints.push(ApiError::no_choice("queue")),
            ForeignQueue::NotFound if foreign => return Err(ApiError::NotFound("Not found.")),
            _ => {}
        }
        let statuses = self.world.statuses();
        if filter
            .status
            .is_some_and(|id| statuses.iter().all(|status| status.id != id))
        {
            complaints.push(ApiError::no_choice("agent_status"));
        }
        match complaints.is_empty() {
            true => Ok(filter),
            false => Err(ApiError::Invalid(complaints)),
        }
    }

    pub(super) fn agent_status(&self, id: &str, list: &List<'_>) -> Result<Reply, ApiError> {
        let view = self.view(list, None, false);
        let is_asked = |person: &&Person| *person.id.0 == *id || person.number.to_string() == id;
        let person = self.world.people_of(None).find(is_asked);
        let person = person.ok_or(ApiError::NotFound(
            "No AgentStatus matches the given query.",
        ))?;
        Ok(json_reply(StatusCode::OK, &view.agent(person)))
    }

    pub(super) fn queues(&self, list: &List<'_>) -> Result<Reply, ApiError> {
        let view = self.view(list, None, false);
        let queues = self.world.queues();
        self.page(list, queues.len(), |_, n| view.queue(&queues[n]))
    }

    pub(super) fn statuses(&self, list: &List<'_>) -> Result<Reply, ApiError> {
        let view = self.view(list, None, false);
        let statuses = self.world.statuses();
        self.page(list, statuses.len(), |_, n| view.status_row(&statuses[n]))
    }

    pub(super) fn live_phone_calls(&self, list: &List<'_>) -> Result<Reply, ApiError> {
        let view = self.view(list, None, false);
        let people = self.world.people_of(None);
        let calls: Vec<_> = people
            .filter_map(|person| Some((person, person.call.as_ref()?)))
            .collect();
        self.page(list, calls.len(), |_, n| view.call(calls[n].0, calls[n].1))
    }

    pub(super) fn view<'a>(
        &'a self,
        list: &'a List<'_>,
        queue: Option<u64>,
        sweep: bool,
    ) -> View<'a> {
        View {
            world: &self.world,
            quirks: &self.quirks,
            start: self.start,
            origin: &list.origin,
            queue,
            sweep,
        }
    }
}
