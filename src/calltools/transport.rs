//! Sends a request and receives a bounded reply.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};

use crate::model::fault::Fault;

/// A reply with any status; the body is complete and within bounds.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Any status, redirects included: none is followed.
    pub status: StatusCode,
    /// As received.
    pub headers: HeaderMap,
    /// Decompressed.
    pub body: Bytes,
}

/// Sends requests to the account's origin, with its token.
///
/// Two things implement it: the real HTTP client, and the simulator in the same process, with which tests and benchmarks
/// run through hours of virtual time.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Creates one GET with the token of this moment. Awaiting it sends it, once. The path is relative to `…/api/`:
    /// `agentstatuses/?queue=5450&page_size=250`.
    ///
    /// # Errors
    /// [`Fault::UpstreamDown`] if no complete reply came. Every status, even 500, is a [`Reply`].
    fn get<'a>(&'a self, path_and_query: &'a str) -> BoxFuture<'a, Result<Reply, Fault>>;
}
