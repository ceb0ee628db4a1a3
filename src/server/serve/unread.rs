//! Reads bodies that no handler reads, before the answer is sent.
//!
//! Many clients send a body a moment after the head, also to routes that ignore it. If the answer were sent first, hyper would close the connection
//! with the body on its way, and the client could lose the answer, or its next request. Routes that ignore the body [skip] it before they decide,
//! so that the decision is no older than it says.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::server::net::deadline::within;

/// The longest rest that is read. A client that sends more has no use for this server; its connection is closed.
const MAX_REST: usize = 64 * 1024;

/// How long the rest may take. A client sends the body right after the head, or once the head is acknowledged, which takes 40 ms. A call waits for
/// the answer, and routers wait for half a second.
const REST_TIME: Duration = Duration::from_millis(200);

/// A body that is lent to a handler, and comes back when the handler drops it.
pub struct Lent {
    body: Option<Incoming>,
    returned: Arc<Mutex<Option<Incoming>>>,
}

/// The place to which a body comes back.
pub struct Rest {
    returned: Arc<Mutex<Option<Incoming>>>,
    /// The client waits for `100 Continue` before it sends the body.
    waits: bool,
}

/// Lends the body of a request with this head.
pub fn lend(headers: &HeaderMap, body: Incoming) -> (Lent, Rest) {
    let returned = Arc::default();
    let lent = Lent {
        body: Some(body),
        returned: Arc::clone(&returned),
    };
    let waits = headers.contains_key(header::EXPECT);
    (lent, Rest { returned, waits })
}

impl Rest {
    /// Reads the rest of the body. If that is too long or too slow, the answer says that the connection ends.
    pub async fn read_before(self, answer: &mut HeaderMap) {
        if answer.contains_key(header::CONNECTION) {
            return;
        }
        let returned = self.returned.lock();
        let body = returned.unwrap_or_else(PoisonError::into_inner).take();
        let Some(body) = body.filter(|body| !body.is_end_stream()) else {
            return;
        };
        if !is_read(body, self.waits).await {
            ends_connection(answer);
        }
    }
}

/// Reads the body of a request with this head, for a route that ignores it. Returns whether it came to its end; otherwise the answer must
/// [end the connection](ends_connection).
pub async fn skip(headers: &HeaderMap, body: axum::body::Body) -> bool {
    body.is_end_stream() || is_read(body, headers.contains_key(header::EXPECT)).await
}

/// Says in an answer that the connection ends.
pub fn ends_connection(answer: &mut HeaderMap) {
    answer.insert(header::CONNECTION, HeaderValue::from_static("close"));
}

async fn is_read(body: impl Body<Data = Bytes> + Unpin, waits: bool) -> bool {
    let is_short = body.size_hint().lower() <= MAX_REST as u64;
    // Reading would ask a waiting client for a body that nobody needs.
    is_short && !waits && within(REST_TIME, read(body)).await == Ok(true)
}

/// Returns whether the body came to its end.
async fn read(mut body: impl Body<Data = Bytes> + Unpin) -> bool {
    let mut left = MAX_REST;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return false;
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return false,
        }
    }
    true
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.returned.lock().unwrap_or_else(PoisonError::into_inner) = self.body.take();
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}
