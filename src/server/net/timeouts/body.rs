//! The body of an answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::Timeouts;

/// The size limit of a part. hyper copies parts of this size, to write head and body at once.
pub(super) const MAX_PART: usize = 16 * 1024;

/// Passes a body on in parts. hyper drops it after the last part.
#[derive(Debug)]
pub struct TimedBody {
    pub(super) body: Body,
    /// The rest of a frame that was larger than a part.
    pub(super) rest: Bytes,
    pub(super) timeouts: Timeouts,
}

impl TimedBody {
    /// Cuts off the first part.
    fn part(&mut self, mut data: Bytes) -> Frame<Bytes> {
        self.rest = data.split_off(data.len().min(MAX_PART));
        Frame::data(data)
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.part(rest))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => self.part(data),
                Err(trailers) => trailers,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest + of_body.lower());
        if let Some(upper) = of_body.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        self.timeouts.handed_over();
    }
}
