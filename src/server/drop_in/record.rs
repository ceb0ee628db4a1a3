//! Records what was listed for a call: a client of the drop-in may add `call_id` to a request that names a queue. The client makes the decision, so
//! the record has none.

use http::Uri;

use crate::{
    decision::Decision,
    model::quantity::Quantity,
    server::{
        http::rights::Rights,
        state::{
            app::{App, Queue},
            call_record::call_of,
        },
    },
    state::calls::{Answer, LISTED},
};

/// This many agents were listed.
pub(super) fn listed(app: &App, queue: &Queue, uri: &Uri, agents: usize) {
    record(app, queue, uri, |decision| Answer {
        reason: LISTED.into(),
        count: Some(Quantity::from(agents)),
        ..Answer::new(decision)
    });
}

/// openseat does not know the queue's agents, and said so.
pub(super) fn unknown(app: &App, queue: &Queue, uri: &Uri) {
    record(app, queue, uri, |decision| Answer {
        count: None,
        ..Answer::new(decision)
    });
}

fn record(app: &App, queue: &Queue, uri: &Uri, answer: impl FnOnce(&Decision) -> Answer) {
    let (call, error) = call_of(uri);
    if let Some(error) = error {
        queue.warn_of_call_id(&error);
    }
    let Some(call) = call else { return };
    let decision = app.decide(queue, &app.state(queue), &queue.rules.policy);
    let answer = Answer {
        accept: None,
        threshold: None,
        ..answer(&decision)
    };
    app.record(call, Rights::All, queue, answer);
}
