//! The wire: a request goes out, a bounded reply comes back.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};

use crate::model::fault::Fault;

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

/// A request. It has no `Debug`, since what it bears may be a secret.
#[derive(Clone)]
pub struct Outgoing<'a> {
    /// GET for everything that polling needs.
    pub method: Method,
    /// Relative to `…/api/`: `agentstatuses/?queue=5450&page_size=250`.
    pub path_and_query: &'a str,
    /// A body, in JSON.
    pub json: Option<Bytes>,
}

impl<'a> Outgoing<'a> {
    /// A GET.
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
/// Two things implement it: the real client over HTTP, and the simulator in the same process, which lets tests and benchmarks
/// live through hours of virtual time.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends one request, once.
    ///
    /// # Errors
    /// [`Fault::UpstreamDown`] where no complete reply came. Every status, 500 too, is a [`Reply`].
    fn send<'a>(&'a self, request: Outgoing<'a>) -> BoxFuture<'a, Result<Reply, Fault>>;

    /// Sends a GET.
    ///
    /// # Errors
    /// As [`Transport::send`].
    fn get<'a>(&'a self, path_and_query: &'a str) -> BoxFuture<'a, Result<Reply, Fault>> {
        self.send(Outgoing::get(path_and_query))
    }
}
