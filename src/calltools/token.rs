//! An account's token: it is read, sent and compared, but never shown.

use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::model::digest::Digest;

/// Longer than any token (CallTools' have 40 characters), shorter than a header may be.
pub const MAX_TOKEN: usize = 512;

/// A CallTools API token. Wiped from memory when dropped; `Debug` prints stars.
#[derive(Clone)]
pub struct Token {
    secret: SecretString,
    was_wrapped: bool,
}

/// What is wrong with the text of a token. Says what to do, never what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Only white space, or only the word before the token.
    #[error("is empty; copy the token into it")]
    Empty,
    /// Two words or more, or two lines.
    #[error("has white space inside; copy the token alone, in one piece")]
    InnerSpace,
    /// A control character, such as those that some editors leave at the start of a file.
    #[error("has a control character inside; copy the token again, as plain text")]
    Control,
    /// A character that a header cannot carry: often a dash or a quote that a word processor has replaced.
    #[error("has a character outside ASCII; copy the token again, as plain text")]
    NotAscii,
    /// Longer than [`MAX_TOKEN`].
    #[error("has more than {MAX_TOKEN} characters, which is too long for a token")]
    TooLong,
}

impl Token {
    /// Parses a token as people paste it; see [`clean`].
    ///
    /// # Errors
    /// [`Flaw`] if no token is left or it could not be sent.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        clean(text).map(|token| Self {
            secret: token.to_owned().into(),
            was_wrapped: token != text.trim(),
        })
    }

    /// Returns whether quotes, `Token` or the like were removed: worth telling the person who pasted them.
    pub fn was_wrapped(&self) -> bool {
        self.was_wrapped
    }

    /// Returns the value of the `Authorization` header, marked as sensitive so that nothing prints it.
    pub fn authorization(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Token {}", self.secret.expose_secret()))
            .expect("a token is visible ASCII");
        value.set_sensitive(true);
        value
    }

    /// Returns the token and a line end, the content of a token file. Wiped when dropped.
    pub fn expose_line(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n", self.secret.expose_secret()))
    }

    /// Returns a fingerprint to compare with.
    pub fn digest(&self) -> Digest {
        Digest::new(self.secret.expose_secret())
    }

    /// Returns an id for the account behind an origin and this token, without revealing the token.
    pub fn identity(&self, origin: &str) -> String {
        Digest::new(format!("{origin} {}", self.secret.expose_secret())).short()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Quotes that people, chats and word processors put around a token: the opening and the closing one.
const QUOTES: [(char, char); 6] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{ab}', '\u{bb}'),
];

/// The header's name, as `curl` commands and API docs show it.
const HEADER: &str = "authorization";

/// What precedes a token in the header. Both are removed wherever a token is read: no token is one of these words.
const SCHEMES: [&str; 2] = ["token", "bearer"];

/// Finds the token in pasted text, and rejects what a header cannot carry. The token may have space and quotes around it, and in front of it one
/// `Authorization:` and one `Token` or `Bearer`, in any case.
///
/// # Errors
/// [`Flaw`]
pub fn clean(text: &str) -> Result<&str, Flaw> {
    let secret = unquoted(without_scheme(unquoted(without_header(unquoted(text)))));
    match secret {
        "" => Err(Flaw::Empty),
        _ if secret.len() > MAX_TOKEN => Err(Flaw::TooLong),
        _ if secret.contains(char::is_whitespace) => Err(Flaw::InnerSpace),
        _ if secret.contains(char::is_control) => Err(Flaw::Control),
        _ if !secret.is_ascii() => Err(Flaw::NotAscii),
        _ => Ok(secret),
    }
}

/// Removes space and one pair of quotes around the text.
fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = |(open, close)| text.strip_prefix(open)?.strip_suffix(close);
    QUOTES.into_iter().find_map(inner).map_or(text, str::trim)
}

/// Turns `Authorization: x` and `"Authorization": x` into `x`.
fn without_header(text: &str) -> &str {
    let name = text.trim_start_matches(['"', '\'']);
    let rest = match name.split_at_checked(HEADER.len()) {
        Some((word, rest)) if word.eq_ignore_ascii_case(HEADER) => rest,
        _ => return text,
    };
    let after_quote = rest.trim_start_matches(['"', '\'']);
    let Some(value) = after_quote.trim_start().strip_prefix(':') else {
        return text;
    };
    match after_quote == rest {
        true => value.trim_start(),
        // In `"Authorization": "x"`, the first and the last quote are gone as if they were a pair.
        false => value.trim_start().trim_start_matches(['"', '\'']),
    }
}

/// Turns `Token abc` and `BEARER  abc` into `abc`, and the word alone into nothing; `Tokenabc` stays whole.
fn without_scheme(text: &str) -> &str {
    let rest = |scheme: &str| {
        let (word, rest) = text.split_at_checked(scheme.len())?;
        let stands_alone = rest.is_empty() || rest.starts_with(char::is_whitespace);
        (word.eq_ignore_ascii_case(scheme) && stands_alone).then(|| rest.trim_start())
    };
    SCHEMES.into_iter().find_map(rest).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789ABCDEF01234567";

    #[test]
    fn a_pasted_token_is_accepted() {
        for text in [
            KEY.to_owned(),
            format!("  {KEY}\r\n"),
            format!("Token {KEY}"),
            format!("\ttOkEn \t {KEY} "),
            format!("\u{a0}{KEY}\u{2003}"),
            format!("Bearer {KEY}"),
            format!("Authorization: Token {KEY}"),
            format!("authorization:token {KEY}\n"),
            format!("AUTHORIZATION : Bearer {KEY}"),
            format!("Authorization: {KEY}"),
            format!("\"{KEY}\""),
            format!("'Token {KEY}'"),
            format!("Token \"{KEY}\""),
            format!("\"Authorization: Token {KEY}\""),
            format!("\"Authorization\": \"Token {KEY}\""),
            format!("'Authorization': 'Token {KEY}'"),
            format!("`{KEY}`"),
            format!("\u{201c}{KEY}\u{201d}"),
            format!("\u{2018}Token {KEY}\u{2019}"),
            format!("\u{ab} {KEY} \u{bb}"),
        ] {
            let token = Token::parse(&text).expect("a token");
            assert_eq!(token.authorization(), format!("Token {KEY}"));
            assert_eq!(token.digest(), Digest::new(KEY.as_bytes()), "{text:?}");
            assert_eq!(token.was_wrapped(), text.trim() != KEY, "{text:?}");
        }
    }

    #[test]
    fn only_one_prefix_is_dropped() {
        assert_eq!(clean("Tokenabc"), Ok("Tokenabc"));
        assert_eq!(clean("token Token abc"), Err(Flaw::InnerSpace));
        assert_eq!(clean("Bearer Token abc"), Err(Flaw::InnerSpace));
        assert_eq!(clean("authorizationabc"), Ok("authorizationabc"));
        assert_eq!(clean("Authorization abc"), Err(Flaw::InnerSpace));
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_rejected() {
        for (text, flaw) in [
            ("", Flaw::Empty),
            (" \n\t", Flaw::Empty),
            ("Token", Flaw::Empty),
            ("token  \n", Flaw::Empty),
            ("abc def", Flaw::InnerSpace),
            ("abc\ndef", Flaw::InnerSpace),
            ("abc\u{a0}def", Flaw::InnerSpace),
            ("abc\0def", Flaw::Control),
            ("abc\u{7f}", Flaw::Control),
            ("\u{feff}abc", Flaw::NotAscii),
            ("\u{201c}abc", Flaw::NotAscii),
            ("Authorization:", Flaw::Empty),
            ("Authorization: Bearer", Flaw::Empty),
            ("\"\"", Flaw::Empty),
        ] {
            assert_eq!(Token::parse(text).err(), Some(flaw), "{text:?}");
        }
        let long = "a".repeat(MAX_TOKEN + 1);
        assert_eq!(Token::parse(&long).err(), Some(Flaw::TooLong));
    }

    #[test]
    fn a_token_is_never_printed() {
        let token = Token::parse(KEY).expect("a token");
        let printed = format!("{token:?} {:?} {:?}", token.authorization(), token.digest());
        assert_eq!(printed, "Token(***) Sensitive Digest(***)");
    }

    proptest! {
        /// Everything that people wrap around a token is removed again, in upper or lower case and with any space.
        #[test]
        fn a_token_is_found_in_any_wrapping(
            key in "[a-zA-Z0-9]{20,60}",
            header in prop::sample::select(vec!["", "Authorization:", "authorization: ", "AUTHORIZATION :  "]),
            scheme in prop::sample::select(vec!["", "Token ", "token\t", "Bearer ", "BEARER  "]),
            (inner, outer) in (0..=QUOTES.len(), 0..=QUOTES.len()),
            space in "[ \t\r\n]{0,3}",
        ) {
            let quoted = |at: usize, text: String| match QUOTES.get(at) {
                Some((open, close)) => format!("{open}{text}{close}"),
                None => text,
            };
            let inner = quoted(inner, format!("{scheme}{key}"));
            let text = format!("{space}{}{space}", quoted(outer, format!("{header}{inner}")));
            prop_assert_eq!(clean(&text), Ok(&*key), "{:?}", text);
        }

        #[test]
        fn every_accepted_token_can_be_sent(text in "\\PC{0,80}|[ -~]{0,80}|(?s).{0,40}") {
            // A flaw holds no text, so there is nothing else to check about rejected ones.
            if let Ok(token) = Token::parse(&text) {
                prop_assert!(token.authorization().is_sensitive());
            }
        }
    }
}
