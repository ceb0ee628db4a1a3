//! Which account a request's token belongs to. Errors are worded as in DRF's `TokenAuthentication`.

use http::{HeaderMap, header};
use subtle::{Choice, ConditionallySelectable};

use super::error::DropInError;
use crate::{model::digest::Digest, server::state::app::App};

/// The account that a request's token belongs to, by its index among the accounts.
pub(super) fn account(app: &App, headers: &HeaderMap) -> Result<usize, DropInError> {
    let shown = Digest::new(credentials(headers)?);
    find(app, &shown).ok_or(DropInError::Unauthorized("Invalid token."))
}

fn credentials(headers: &HeaderMap) -> Result<&str, DropInError> {
    let header = headers.get(header::AUTHORIZATION);
    let mut words = header
        .map_or(&b""[..], |value| value.as_bytes())
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let is_token = |scheme: &[u8]| scheme.eq_ignore_ascii_case(b"token");
    if !words.next().is_some_and(is_token) {
        return Err(DropInError::Unauthorized(
            "Authentication credentials were not provided.",
        ));
    }
    match (words.next(), words.next()) {
        (None, _) => Err(DropInError::Unauthorized(
            "Invalid token header. No credentials provided.",
        )),
        (Some(token), None) => str::from_utf8(token).map_err(|_| {
            DropInError::Unauthorized(
                "Invalid token header. Token string should not contain invalid characters.",
            )
        }),
        (Some(_), Some(_)) => Err(DropInError::Unauthorized(
            "Invalid token header. Token string should not contain spaces.",
        )),
    }
}

/// Compares with every account's token, in a time that does not depend on which one fits.
///
/// If there is only one account, openseat's own bearer token works too, so that a client needs only that one.
fn find(app: &App, shown: &Digest) -> Option<usize> {
    let mut found = Choice::from(0);
    let mut place = 0_u64;
    for (index, account) in app.accounts.iter().enumerate() {
        let token = *account.token.borrow();
        let own = token.map_or(Choice::from(0), |token| token.same(shown));
        let fits = own | bearer_fits(app, shown);
        place.conditional_assign(&(index as u64), fits);
        found |= fits;
    }
    bool::from(found).then_some(place as usize)
}

fn bearer_fits(app: &App, shown: &Digest) -> Choice {
    match &app.bearer {
        Some(bearer) if app.accounts.len() == 1 => bearer.same(shown),
        _ => Choice::from(0),
    }
}
