//! DRF's `TokenAuthentication`.

use http::HeaderValue;

use crate::simulator::api_error::ApiError;

/// Checks the header `Authorization` against the account's token.
///
/// # Errors
/// 401, in DRF's words.
pub(super) fn authenticate(header: Option<&HeaderValue>, token: &str) -> Result<(), ApiError> {
    const NONE: &str = "Authentication credentials were not provided.";
    let header = header.map_or(&[][..], HeaderValue::as_bytes);
    let words: Vec<&[u8]> = header
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let refused = match &words[..] {
        [keyword, ..] if !keyword.eq_ignore_ascii_case(b"Token") => NONE,
        [] => NONE,
        [_] => "Invalid token header. No credentials provided.",
        [_, key] if std::str::from_utf8(key).is_err() => {
            "Invalid token header. Token string should not contain invalid characters."
        }
        // A made-up token of a made-up account: no need to compare in constant time.
        [_, key] if *key == token.as_bytes() => return Ok(()),
        [_, _] => "Invalid token.",
        _ => "Invalid token header. Token string should not contain spaces.",
    };
    Err(ApiError::Unauthenticated(refused))
}
