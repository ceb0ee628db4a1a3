//! Records the answers given about calls, and looks them up.

use std::{sync::Arc, time::Duration};

use http::Uri;

use super::{
    app::{App, Queue},
    pool::Undone,
};
use crate::{
    decision::{Decision, board::QueueKey, reservations::Reservation},
    model::agent::AgentId,
    server::http::{
        call::Call,
        call_id::{self, NoCallId},
        params,
        problem::Problem,
        problem_types,
        rights::Rights,
    },
    state::{
        calls::{Answer, Event, Forecast, Seat, What},
        history::{HistoryError, Limit},
    },
};

/// The deadline of a look-up. In a full file it takes some hundredths of a second.
const MAX_READ: Duration = Duration::from_secs(1);

/// The longest wait for a look-up: more than the look-ups ahead of it take.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Returns the call that a request is about, and what is wrong with its id, if anything.
pub(in crate::server) fn call_of(uri: &Uri) -> (Option<Call>, Option<NoCallId>) {
    match call_id::from_query(uri.query()) {
        None => (None, None),
        Some(Ok(id)) => (named_call(&id, uri), None),
        Some(Err(error)) => (None, Some(error)),
    }
}

/// Returns the call with this id, unless the id repeats the key of the request.
pub(in crate::server) fn named_call(id: &str, uri: &Uri) -> Option<Call> {
    let key = params::key(uri.query());
    Call::new(id, uri.query().unwrap_or_default(), key.as_deref())
}

impl App {
    /// Records a decision about a call, and the seat that the call holds.
    pub(in crate::server) fn record_decision(
        &self,
        call: Call,
        rights: Rights,
        queue: &Queue,
        decision: &Decision,
        reservation: Option<&Reservation>,
    ) {
        let seat = reservation.map(|reservation| Box::new(Seat::new(reservation)));
        let forecast = self.forecast(queue, decision, reservation).map(Box::new);
        let answer = Answer {
            seat,
            forecast,
            ..Answer::new(decision)
        };
        self.record(call, rights, queue, answer);
    }

    /// Whom a call counts on that is accepted at zero seats.
    fn forecast(
        &self,
        queue: &Queue,
        decision: &Decision,
        seat: Option<&Reservation>,
    ) -> Option<Forecast> {
        let prediction = decision.prediction?;
        let snapshot = self.state(queue).snapshot.clone();
        let (own, now) = (
            seat.and_then(|seat| seat.counts_on.as_ref()),
            self.clock.now(),
        );
        let is_taken = |id: &AgentId| own != Some(id) && queue.holds.bets().is_taken(id, now);
        let expected = snapshot.and_then(|snapshot| {
            let outlook = snapshot.outlook.as_ref()?;
            Some(outlook.expected(&snapshot.agents, prediction, is_taken))
        });
        Some(Forecast::new(prediction, &expected.unwrap_or_default()))
    }

    /// Records an answer about a call. A look at a page does not count as one.
    pub(in crate::server) fn record(
        &self,
        call: Call,
        rights: Rights,
        queue: &Queue,
        answer: Answer,
    ) {
        let Some(state) = self.state.as_ref().filter(|_| rights.is_demand()) else {
            return;
        };
        let answer = Answer {
            client: self.client_name(rights),
            tags: call.tags,
            ..answer
        };
        let now = self.clock.now();
        state
            .calls
            .record(now, &queue.key, call.id, What::Answered(answer));
    }

    fn client_name(&self, rights: Rights) -> Option<Arc<str>> {
        match rights {
            Rights::Client(place) => Some(Arc::clone(&self.clients.get(place)?.name)),
            Rights::All | Rights::Look => None,
        }
    }

    /// Everything that is recorded about a call, oldest first. If there is nothing, what is recorded with a leading plus sign more or less.
    ///
    /// # Errors
    /// The record cannot be read at the moment.
    pub(in crate::server) async fn call_events(
        &self,
        call_id: &str,
    ) -> Result<Vec<Event>, Problem> {
        let Some(state) = &self.state else {
            return Ok(Vec::new());
        };
        let (calls, clock) = (Arc::clone(&state.calls), Arc::clone(&self.clock));
        let call_id = call_id.trim().to_owned();
        let work = move |gone| {
            let limit = Limit::new(clock, MAX_READ, gone);
            let found = calls.find(&call_id, &limit)?;
            match found.is_empty() {
                true => calls.find(&call_id::other_spelling(&call_id), &limit),
                false => Ok(found),
            }
        };
        let found: Result<Result<_, HistoryError>, Undone> = self.lookups.run(MAX_WAIT, work).await;
        found?.map_err(|error| {
            let detail = format!("the record of calls cannot be searched: {error}");
            Problem::new(problem_types::HISTORY_UNREADABLE, detail)
        })
    }

    /// The last answers about calls to a queue, newest first. This may block for a moment, so call it on a thread of its own.
    pub(in crate::server) fn last_calls(&self, queue: &QueueKey) -> Vec<Arc<Event>> {
        let calls = self.state.as_ref().map(|state| &state.calls);
        calls.map(|calls| calls.last(queue)).unwrap_or_default()
    }
}
