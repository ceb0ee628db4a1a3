//! What a caller may do.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// What a caller that was let in may do. Access adds it to each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Look at what is known, as a browser that has logged in. It neither spends requests nor counts as demand.
    Look,
    /// What the config allows one of its clients: the one at this place.
    Client(usize),
    /// Everything that the route does.
    All,
}

impl Rights {
    /// Whether a decision for this caller counts: one that is only looked at is no demand.
    pub fn is_demand(self) -> bool {
        self != Self::Look
    }
}

/// A request that did not pass access, as in some tests, may only look.
impl<S: Sync> FromRequestParts<S> for Rights {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::Look))
    }
}
