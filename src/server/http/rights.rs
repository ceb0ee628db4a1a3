//! The rights of a caller.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// What an admitted caller may do. Access adds it to each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Look at what is known, as a logged-in browser. Looking neither spends requests nor counts as demand.
    Look,
    /// What the config allows for the client at this index.
    Client(usize),
    /// Everything that the route does.
    All,
}

impl Rights {
    /// Whether a decision for this caller counts as demand; one for a caller that only looks does not.
    pub fn is_demand(self) -> bool {
        self != Self::Look
    }
}

/// A request that did not pass through access, as in some tests, may only look.
impl<S: Sync> FromRequestParts<S> for Rights {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::Look))
    }
}
