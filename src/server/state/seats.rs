//! Holds and releases seats, here or through the leader of a cluster.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout, timeout_at};

use super::app::{AccountHandle, App, Queue};
use crate::{
    cluster::{
        member::Member,
        message::{SEAT_WITHIN, Said, What},
    },
    decision::{
        Decision, Policy, Reason,
        board::QueueKey,
        choose, decide_with,
        reservations::{Reservation, ReservationId, Reserved},
        soon::rule::{Held, Prediction},
    },
    model::quantity::Quantity,
    server::http::{problem::Problem, problem_types},
};

/// How many leaders are asked at once about a reservation of an unknown queue. Each question waits in a short list that all requests share.
const ASKED_AT_ONCE: usize = 64;

/// A seat to hold.
pub struct SeatRequest<'a> {
    /// The queue.
    pub queue: &'a Queue,
    /// The policy that must accept.
    pub policy: &'a Policy,
    /// The router's id for the call.
    pub call_id: &'a str,
    /// For this long.
    pub ttl: Duration,
}

/// Holds a seat if the decision is to accept.
///
/// # Errors
/// In a cluster: the leader did not answer in time, could not log the seat in time, or knows nothing about the queue yet.
pub async fn reserve(app: &App, seat: &SeatRequest<'_>) -> Result<Reserved, Problem> {
    let by = Instant::now() + SEAT_WITHIN;
    let member = member(app, &seat.queue.key);
    // Read before the decision, which holds only in this tenure.
    let logged_in = member.and_then(|member| Some((member, member.gives_seats_in()?)));
    if (member.is_none() || logged_in.is_some())
        && let Some(reserved) = reserve_here(app, seat, logged_in, by).await
    {
        return Ok(reserved);
    }
    match member.filter(|member| !member.gives_seats()) {
        // This node may have led until now; then the next leader decides. If it has just begun to lead, its account's task answers as soon as it
        // knows all held seats.
        Some(member) => reserve_elsewhere(app, seat, member, by).await,
        None => Err(no_leader()),
    }
}

fn member<'a>(app: &'a App, queue: &QueueKey) -> Option<&'a Arc<Member>> {
    app.account(&queue.account)
        .and_then(|account| account.member.as_ref())
}

/// Decides here; in a cluster, in a tenure of this node. Returns `None` if the seat could not be logged in time.
async fn reserve_here(
    app: &App,
    seat: &SeatRequest<'_>,
    logged_in: Option<(&Arc<Member>, u64)>,
    by: Instant,
) -> Option<Reserved> {
    let (queue, now) = (seat.queue, app.clock.now());
    let decide = |held: Held<'_>| choose(&app.state(queue), seat.policy, held, now);
    let reserved = queue.holds.reserve(seat.call_id, seat.ttl, now, decide);
    if matches!(reserved, Reserved::Made(..)) {
        app.board.notify();
    }
    if let Some((member, tenure)) = logged_in
        && !is_logged(app, &queue.key, &reserved, (member, tenure), by).await
    {
        return None;
    }
    if let Reserved::Made(made, _) = &reserved {
        app.reservations.keep(&queue.key, made).await;
    }
    Some(reserved)
}

/// Waits for the log in a task of its own, which goes on after the answer to the router, and if the router leaves. Then the log takes the seat, and a
/// repeated request finds it, or the seat is released.
async fn is_logged(
    app: &App,
    queue: &QueueKey,
    reserved: &Reserved,
    (member, tenure): (&Arc<Member>, u64),
    by: Instant,
) -> bool {
    let (reservation, is_new) = match reserved {
        Reserved::Made(made, _) => (made.clone(), true),
        // The request that made it may still wait for the log.
        Reserved::AlreadyHeld(found) => (found.clone(), false),
        Reserved::Refused(_) | Reserved::Full(_) => return true,
    };
    let (member, queue) = (Arc::clone(member), queue.clone());
    let (seats, board) = (Arc::clone(&app.reservations), Arc::clone(&app.board));
    let log = tokio::spawn(async move {
        let has_seat = match is_new {
            true => member.log_made(tenure, &seats, &queue, &reservation).await,
            false => member.log_found(tenure, &seats, &queue, &reservation).await,
        };
        if !has_seat {
            board.notify();
        }
        has_seat
    });
    matches!(timeout_at(by, log).await, Ok(Ok(true)))
}

async fn reserve_elsewhere(
    app: &App,
    seat: &SeatRequest<'_>,
    member: &Member,
    by: Instant,
) -> Result<Reserved, Problem> {
    let SeatRequest {
        queue,
        policy,
        call_id,
        ttl,
    } = seat;
    let what = What::Reserve {
        queue: queue.key.queue.to_string(),
        call_id: (*call_id).to_owned(),
        ttl_ms: ttl.as_millis() as u64,
        threshold: policy.threshold.map(Quantity::get),
        max_age_ms: policy.max_age.map(|age| age.as_millis() as u64),
        on_unknown: policy.on_unknown,
        rule: queue.rules.lines.as_deref().map(str::to_owned),
    };
    let left = by.saturating_duration_since(Instant::now());
    // Where the engine does not answer, no leader will.
    if left.is_zero() || !member.is_up() {
        return Err(no_leader());
    }
    let answer = member.ask(what, left).await;
    let now = app.clock.now();
    let reservation = |id: String, age: Duration, ttl: Duration| Reservation {
        id: ReservationId::from_text(&id),
        call_id: (*call_id).into(),
        made: now.earlier(age),
        ttl,
        prediction: None,
        counts_on: None,
    };
    // This node's data may be a moment older than what the leader decided on.
    let decision = |others: Held<'_>| decide_with(&app.state(queue), policy, others, now);
    match answer {
        Some(Said::Made { id }) => {
            let made = reservation(id, Duration::ZERO, *ttl);
            let decision = decision(queue.holds.held(now)).held(None, made.expires());
            let reservations = &app.reservations;
            reservations.held_elsewhere(&queue.key, made.clone());
            app.board.notify();
            Ok(Reserved::Made(made, decision))
        }
        Some(Said::AlreadyHeld {
            id,
            age_ms,
            ttl_ms,
            soon,
        }) => {
            let (age, ttl) = (Duration::from_millis(age_ms), Duration::from_millis(ttl_ms));
            Ok(Reserved::AlreadyHeld(Reservation {
                prediction: soon.and_then(Prediction::from_figures),
                ..reservation(id, age, ttl)
            }))
        }
        Some(Said::Rejected(reason)) => {
            let decision = rejected(decision(queue.holds.held(now)), &reason);
            Ok(Reserved::Refused(decision))
        }
        Some(Said::Full) => {
            let decision = decision(queue.holds.held(now));
            Ok(Reserved::Full(decision.rejected_as(Reason::Reserved)))
        }
        _ => Err(no_leader()),
    }
}

/// A decision to reject, for the leader's reason.
fn rejected(decision: Decision, reason: &str) -> Decision {
    let reason = Reason::ALL.iter().find(|one| one.as_str() == reason);
    decision.rejected_as(reason.copied().unwrap_or(Reason::Reserved))
}

/// Ends a reservation. Returns whether it was held.
///
/// # Errors
/// In a cluster: the leader did not answer in time, or could not log it in time.
pub async fn release(app: &App, id: &ReservationId) -> Result<bool, Problem> {
    let held = app.reservations.list(app.clock.now());
    let Some((queue, _)) = held.iter().find(|(_, one)| one.id == *id) else {
        // Most routers release each seat when its call ends, long after its agent took the call and ended it.
        if app.reservations.has_ended(id) {
            return Ok(false);
        }
        // It may be so new that this node does not know it yet.
        let members = app.accounts.iter().filter_map(member_of);
        return release_elsewhere(app, id, members.filter(|member| !member.gives_seats())).await;
    };
    let Some(member) = member(app, queue) else {
        let released = app.reservations.release(id, app.clock.now());
        app.board.notify();
        return Ok(released.is_some());
    };
    match member.gives_seats_in() {
        Some(tenure) => release_here(app, id, member, tenure).await,
        None => release_elsewhere(app, id, [&**member]).await,
    }
}

/// Releases a seat that this node leads, in a task of its own, which goes on if the log takes longer than a caller waits, and if the caller leaves.
async fn release_here(
    app: &App,
    id: &ReservationId,
    member: &Arc<Member>,
    tenure: u64,
) -> Result<bool, Problem> {
    let (member, id) = (Arc::clone(member), id.clone());
    let (seats, board) = (Arc::clone(&app.reservations), Arc::clone(&app.board));
    let log = tokio::spawn(async move {
        let is_logged = member.release(tenure, &seats, &id).await;
        board.notify();
        is_logged
    });
    match timeout(SEAT_WITHIN, log).await {
        Ok(Ok(true)) => Ok(true),
        _ => Err(perhaps_released()),
    }
}

/// Asks the leaders of these accounts, until one of them held it or the time is up.
async fn release_elsewhere<'a>(
    app: &App,
    id: &ReservationId,
    members: impl IntoIterator<Item = &'a Member>,
) -> Result<bool, Problem> {
    let by = Instant::now() + SEAT_WITHIN;
    // Where the engine does not answer, no leader will.
    let (asked, unasked): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.is_up());
    let mut answers = Vec::with_capacity(asked.len());
    for member in asked {
        let what = What::Release { id: id.to_string() };
        answers.push(member.ask(what, SEAT_WITHIN));
    }
    match any_released(answers, by).await {
        Some(true) => {
            let ended = std::slice::from_ref(id);
            app.reservations.ended_elsewhere(ended, app.clock.now());
            app.board.notify();
            Ok(true)
        }
        Some(false) if unasked.is_empty() => Ok(false),
        _ => Err(perhaps_released()),
    }
}

/// Returns whether one of these leaders has released the seat. `None` if that is unknown, because not all have answered in time.
///
/// A random one is asked first. If those that are asked first are all silent, the others are not asked in time. The next request for the same seat
/// begins with others.
async fn any_released(
    mut asked: Vec<impl Future<Output = Option<Said>>>,
    by: Instant,
) -> Option<bool> {
    let first = fastrand::usize(..asked.len().max(1));
    asked.rotate_left(first);
    let mut answers = pin!(stream::iter(asked).buffer_unordered(ASKED_AT_ONCE));
    let mut released = Some(false);
    loop {
        match timeout_at(by, answers.next()).await {
            Ok(Some(Some(Said::Released(true)))) => return Some(true),
            Ok(Some(Some(Said::Released(false)))) => {}
            // Another account may hold it.
            Ok(Some(_)) => released = None,
            Ok(None) => return released,
            Err(_) => return None,
        }
    }
}

fn member_of(account: &AccountHandle) -> Option<&Member> {
    account.member.as_deref()
}

fn no_leader() -> Problem {
    soon_again(Problem::from_type(problem_types::NO_LEADER))
}

fn perhaps_released() -> Problem {
    soon_again(Problem::new(
        problem_types::NO_LEADER,
        "the node that decides about the account's seats did not answer in time, so it is not known whether the seat is released; repeat \
         the request",
    ))
}

fn soon_again(problem: Problem) -> Problem {
    problem.with(
        http::header::RETRY_AFTER,
        http::HeaderValue::from_static("1"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leader_behind_many_silent_ones_is_asked_after_some_requests() {
        let answers = async |is_silent: bool| {
            let after = match is_silent {
                true => SEAT_WITHIN,
                false => Duration::from_millis(1),
            };
            tokio::time::sleep(after).await;
            (!is_silent).then_some(Said::Released(true))
        };
        for _ in 0..1_000 {
            // As many as are asked at once, and then the one that has it.
            let asked = (0..=ASKED_AT_ONCE).map(|place| answers(place < ASKED_AT_ONCE));
            let by = Instant::now() + SEAT_WITHIN;
            if any_released(asked.collect(), by).await == Some(true) {
                return;
            }
        }
        panic!("it is never asked");
    }

    #[tokio::test(start_paused = true)]
    async fn all_leaders_together_have_as_long_as_one() {
        let answers = async |after: Duration, said: Option<Said>| {
            tokio::time::sleep(after).await;
            said
        };
        let held = |held: bool| Some(Said::Released(held));
        let silent = || answers(SEAT_WITHIN, None);
        for (is_held, others, released, took) in [
            (true, ASKED_AT_ONCE - 1, Some(true), SEAT_WITHIN / 2),
            // More than are asked at once.
            (false, 3 * ASKED_AT_ONCE, None, SEAT_WITHIN),
        ] {
            let begun = Instant::now();
            let others = (0..others).map(|_| silent());
            let one = answers(SEAT_WITHIN / 2, held(is_held));
            let asked = std::iter::once(one).chain(others).collect();
            let by = begun + SEAT_WITHIN;
            assert_eq!(any_released(asked, by).await, released);
            assert_eq!(begun.elapsed(), took);
        }
        let all = (0..200).map(|_| answers(Duration::ZERO, held(false)));
        let by = Instant::now() + SEAT_WITHIN;
        assert_eq!(any_released(all.collect(), by).await, Some(false));
    }
}
