//! Sends a request and receives a bounded reply.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};

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

/// A request. It has no `Debug`, since it may carry a secret.
#[derive(Clone)]
pub struct Outgoing<'a> {
    /// GET for everything that polling needs.
    pub method: Method,
    /// Relative to `…/api/`: `agentstatuses/?queue=5450&page_size=250`.
    pub path_and_query: &'a str,
    /// A JSON body.
    pub json: Option<Bytes>,
}

impl<'a> Outgoing<'a> {
    /// Creates a GET.
    pub fn get(path_and_query: &'a str) -> Self {
        Self {
            method: Method::GET,
            path_and_query,
            json: None,
        }
    }
}

/// Sends requests to the account's origin, with its token.
///
/// Two things implement it: the real HTTP client, and the simulator in the same process, with which tests and benchmarks
/// run through hours of virtual time.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends one request, once.
    ///
    /// # Errors
    /// [`Fault::UpstreamDown`] if no complete reply came. Every status, even 500, is a [`Reply`].
    fn send<'a>(&'a self, request: Outgoing<'a>) -> BoxFuture<'a, Result<Reply, Fault>>;

    /// Sends a GET.
    ///
    /// # Errors
    /// As [`Transport::send`].
    fn get<'a>(&'a self, path_and_query: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        self.send(Outgoing::get(path_and_query))
    }
}
