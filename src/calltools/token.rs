//! An account's token. It is read, sent and compared, and never shown.

use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::model::digest::Digest;

/// Longer than any token (CallTools' have 40 characters), shorter than a header may be.
pub const MAX_TOKEN: usize = 512;

/// A CallTools API token. Wiped from memory when dropped; `Debug` prints stars.
#[derive(Clone)]
pub struct Token(SecretString);

/// What is wrong with the text of a token. Says where to look, never what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Nothing but white space, or the word before the token alone.
    #[error("is empty")]
    Empty,
    /// Two words or more, or two lines.
    #[error("has white space inside; copy the token alone, in one piece")]
    InnerSpace,
    /// A control character, such as those that some editors leave at the start of a file.
    #[error("has a control character inside; copy the token again, as plain text")]
    Control,
    /// A letter that cannot stand in a header: often a dash or a quote that a word processor has made prettier.
    #[error("has a character outside ASCII; copy the token again, as plain text")]
    NotAscii,
    /// Longer than [`MAX_TOKEN`].
    #[error("has more than {MAX_TOKEN} characters, which is too long for a token")]
    TooLong,
}

impl Token {
    /// Reads a token as people paste it: with white space around it, or with `Token ` in front.
    ///
    /// # Errors
    /// [`Flaw`], where no token is left or it could not be sent.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        clean(text, "token").map(|token| Self(token.to_owned().into()))
    }

    /// The value of the `Authorization` header, marked as sensitive so that nothing prints it.
    pub fn authorization(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Token {}", self.0.expose_secret()))
            .expect("a token is visible ASCII");
        value.set_sensitive(true);
        value
    }

    /// A fingerprint to compare with.
    pub fn digest(&self) -> Digest {
        Digest::new(self.0.expose_secret())
    }

    /// Names the account behind an origin and this token, without telling the token.
    pub fn identity(&self, origin: &str) -> String {
        Digest::new(format!("{origin} {}", self.0.expose_secret())).short()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Trims a secret, drops one `scheme` word (in lower case) in front of it, and refuses what cannot stand in a header.
///
/// # Errors
/// [`Flaw`]
pub fn clean<'a>(text: &'a str, scheme: &str) -> Result<&'a str, Flaw> {
    let secret = without_scheme(text.trim(), scheme);
    match secret {
        "" => Err(Flaw::Empty),
        _ if secret.len() > MAX_TOKEN => Err(Flaw::TooLong),
        _ if secret.contains(char::is_whitespace) => Err(Flaw::InnerSpace),
        _ if secret.contains(char::is_control) => Err(Flaw::Control),
        _ if !secret.is_ascii() => Err(Flaw::NotAscii),
        _ => Ok(secret),
    }
}

/// `Token abc` and `TOKEN  abc` to `abc`; the word alone to nothing; `Tokenabc` stays whole.
fn without_scheme<'a>(text: &'a str, scheme: &str) -> &'a str {
    let Some((word, rest)) = text.split_at_checked(scheme.len()) else {
        return text;
    };
    let stands_alone = rest.is_empty() || rest.starts_with(char::is_whitespace);
    if word.eq_ignore_ascii_case(scheme) && stands_alone {
        rest.trim_start()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789ABCDEF01234567";

    #[test]
    fn a_token_is_taken_as_people_paste_it() {
        for text in [
            KEY.to_owned(),
            format!("  {KEY}\r\n"),
            format!("Token {KEY}"),
            format!("\ttOkEn \t {KEY} "),
            format!("\u{a0}{KEY}\u{2003}"),
        ] {
            let token = Token::parse(&text).expect("a token");
            assert_eq!(token.authorization(), format!("Token {KEY}"));
            assert_eq!(token.digest(), Digest::new(KEY.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn one_prefix_is_dropped_and_no_more() {
        assert_eq!(clean("Tokenabc", "token"), Ok("Tokenabc"));
        assert_eq!(clean("token Token abc", "token"), Err(Flaw::InnerSpace));
        assert_eq!(clean("Bearer abc", "token"), Err(Flaw::InnerSpace));
        assert_eq!(clean("Bearer abc", "bearer"), Ok("abc"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
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
            ("\u{201c}abc\u{201d}", Flaw::NotAscii),
        ] {
            assert_eq!(Token::parse(text).err(), Some(flaw), "{text:?}");
        }
        let long = "a".repeat(MAX_TOKEN + 1);
        assert_eq!(Token::parse(&long).err(), Some(Flaw::TooLong));
    }

    #[test]
    fn nothing_prints_it() {
        let token = Token::parse(KEY).expect("a token");
        let printed = format!("{token:?} {:?} {:?}", token.authorization(), token.digest());
        assert_eq!(printed, "Token(***) Sensitive Digest(***)");
    }

    proptest! {
        #[test]
        fn every_accepted_token_can_be_sent(text in "\\PC{0,80}|[ -~]{0,80}|(?s).{0,40}") {
            // A flaw holds no text, so there is nothing else to check about the others.
            if let Ok(token) = Token::parse(&text) {
                prop_assert!(token.authorization().is_sensitive());
            }
        }
    }
}
