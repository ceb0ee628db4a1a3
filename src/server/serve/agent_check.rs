//! HAProxy's agent-check: a line with a queue's name, answered by a line that sets a server's state and weight.
//!
//! HAProxy opens a connection for each check, sends its `agent-send` and reads one line. A queue that accepts is `up 300%`, one that rejects is `up
//! 0%`, which drains the server. An unknown queue follows its `on_unknown`.
//!
//! - The weight is 100 % of the configured one for each seat. So a server with `weight 1`, which is the default, weighs as many as
//!   it has seats, and servers with other weights keep their proportion.
//! - The word `drain` would do the same, but only `ready` ends it, and `ready` also puts servers back into service that people have taken out
//!   by hand. The weight leaves the administrative state to people.
//! - A queue that is not configured is `fail`, with the cause for HAProxy's log. Without an answer HAProxy would leave the server as it is, which
//!   is up at the start, and calls would go to a queue that is not watched. `up` in all other answers ends it.
//!
//! The protocol has no place for a token, so the config allows an address beyond loopback only if anyone may ask.

use std::{fmt, sync::Arc};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio_util::sync::CancellationToken;

use super::{accept::serve_listener, current::Current};
use crate::{
    decision::{Decision, board::NotOnBoard},
    metrics::Dropped,
    model::quantity::Quantity,
    server::{
        net::{
            deadline::within,
            limits::Purpose,
            listen::{Listener, Stream},
        },
        state::app::App,
    },
};

/// The longest line: the names of an account and a queue, at most 200 bytes each in the config, a slash and a line end.
const MAX_LINE: u64 = 402;

/// The highest weight of a server in HAProxy.
const MAX_SEATS: u32 = 256;

/// Serves one listener until `stop`. Its connections count towards [`Limits::connections`](crate::server::Limits::connections) and get a part of
/// them. A client that does not send its line within [`Limits::head`](crate::server::Limits::head) is cut.
pub async fn serve(listener: Listener, current: Arc<Current>, stop: CancellationToken) {
    let serve_client = |stream, _via, _closing| answer_check(current.app(), stream);
    serve_listener(
        listener,
        Purpose::AgentChecks,
        &current.app(),
        &stop,
        serve_client,
    )
    .await;
}

/// Answers one check.
async fn answer_check(app: Arc<App>, stream: Stream) {
    let mut stream = BufReader::new(stream);
    let Ok(line) = within(app.limits.head, read_line(&mut stream)).await else {
        return app.metrics.connection_dropped(Dropped::SlowRequest);
    };
    let Some(line) = line else {
        return;
    };
    // A short line fits into the socket's buffer, so this does not wait for the reader.
    let _ = stream.write_all(answer(&app, &line).as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads the line, without its end. `None` if the client left early or sent too much.
async fn read_line(stream: &mut BufReader<Stream>) -> Option<String> {
    let mut line = Vec::new();
    let read = stream.take(MAX_LINE).read_until(b'\n', &mut line).await;
    read.ok()?;
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).ok()
}

fn answer(app: &App, asked: &str) -> String {
    match app.find_named(asked) {
        Ok(queue) => {
            let (_, decision) = app.decide_and_count(&queue, &queue.rules.policy);
            queue.meters.count_check(&decision);
            format!("{}\n", Line(&decision))
        }
        Err(error) => refuse(&error),
    }
}

/// The reason of a `fail`. It leaves out the name, which the client chose; HAProxy's log shows which server it is.
fn refuse(error: &NotOnBoard) -> String {
    let cause = match error {
        NotOnBoard::Unknown { .. } => "no such queue is configured in openseat",
        NotOnBoard::Ambiguous { .. } => {
            "more than one queue has this name or id: ask for account/queue"
        }
    };
    // HAProxy needs the space: it does not know the word "fail#no".
    format!("fail #{cause}\n")
}

/// A decision as HAProxy's line.
struct Line<'a>(&'a Decision);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.accept {
            write!(f, "up {}%", 100 * weight(self.0.count))
        } else {
            f.write_str("up 0%")
        }
    }
}

/// Returns the weight: the number of seats. A queue that accepts weighs at least 1, since custom criteria may accept at a count of zero, and
/// `on_unknown` without a count.
fn weight(count: Option<Quantity>) -> u32 {
    let seats = count.map_or(1.0, Quantity::get);
    seats.clamp(1.0, f64::from(MAX_SEATS)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_weight_is_its_number_of_seats() {
        for (seats, weighs) in [
            (Some(7.0), 7),
            (Some(1.0), 1),
            (Some(256.0), 256),
            (Some(257.0), 256),
            (Some(1e300), 256),
            (Some(2.9), 2),
            (Some(0.0), 1),
            (Some(-3.0), 1),
            (None, 1),
        ] {
            let count = seats.map(|seats| Quantity::new(seats).expect("a finite number"));
            assert_eq!(weight(count), weighs, "{seats:?}");
        }
    }
}
