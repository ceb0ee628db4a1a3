//! The wire: a path goes out, a bounded reply comes back.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};

use super::Fault;

/// What came back, whatever its status; the body is complete and within bounds.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Any status, a redirect's too: none is followed.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// Decompressed.
    pub body: Bytes,
}

/// Sends a GET to the account's origin, with its token.
///
/// Two things implement it: the real client over HTTP, and the simulator in the same process, which lets tests and benchmarks
/// live through hours of virtual time.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// `path_and_query` is relative to `…/api/`: `agentstatuses/?queue=5450&page_size=250`.
    ///
    /// # Errors
    /// [`Fault::UpstreamDown`] where no complete reply came. Every status, 500 too, is a [`Reply`].
    fn get<'a>(&'a self, path_and_query: &'a str) -> BoxFuture<'a, Result<Reply, Fault>>;
}
