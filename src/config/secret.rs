//! Reading the secrets that the config names: CallTools' tokens, the one that our own callers show, and those of hooks.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::calltools::token::{Flaw, LONGEST_TOKEN, Token, clean};
use crate::digest::Digest;

/// Where an account's token is read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// A file of the operator's.
    File(PathBuf),
    /// A file that systemd hands over: who else may read it is systemd's business.
    Credential(PathBuf),
    /// The name of an environment variable.
    Env(String),
}

/// Why there is no secret to use. Says where it was looked for, never what was found.
#[derive(Debug, thiserror::Error)]
#[error("{place} {cause}")]
pub struct SecretError {
    place: String,
    /// What is wrong there.
    pub cause: SecretFault,
}

/// What can be wrong with the place of a secret, or with the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// systemd hands it over to the service, and the service does not run.
    #[error(
        "is not there: it exists while the service runs; start the service, or set token_file or token_env"
    )]
    NoCredential,
    /// The file is something else.
    #[error("has more than {LARGEST_SECRET_FILE} bytes, so it holds no token")]
    TooLarge,
    /// The file or variable is not UTF-8.
    #[error("is not text")]
    NotText,
    /// The environment has no such variable.
    #[error("is not set")]
    NotSet,
    /// The text is no token.
    #[error("{0}")]
    Flaw(#[from] Flaw),
    /// A token of our own that could be guessed.
    #[error(
        "has fewer than {SHORTEST_BEARER} characters and could be guessed; make a new one with `openssl rand -hex 32`"
    )]
    TooShort,
}

/// Room for the longest token with white space around it.
const LARGEST_SECRET_FILE: u64 = 4 * LONGEST_TOKEN as u64;

/// Sixteen random letters and digits are 80 bits or more: beyond guessing over a network.
const SHORTEST_BEARER: usize = 16;

impl TokenSource {
    /// Reads the token, now: whoever changes it need not restart us.
    ///
    /// # Errors
    /// [`SecretError`], where there is none.
    pub fn read(&self) -> Result<Token, SecretError> {
        self.read_with(&super::process_env)
    }

    /// The same, with another environment than that of the process.
    ///
    /// # Errors
    /// [`SecretError`], where there is none.
    pub fn read_with(&self, env: super::Environment<'_>) -> Result<Token, SecretError> {
        let token = || {
            let text = match self {
                TokenSource::File(path) => read(path)?,
                TokenSource::Credential(path) => match read(path) {
                    Err(SecretFault::Unreadable(error)) if is_absent(&error) => {
                        return Err(SecretFault::NoCredential);
                    }
                    text => text?,
                },
                TokenSource::Env(name) => env(name).ok_or(SecretFault::NotSet)?.into(),
            };
            Ok(Token::parse(text.expose_secret())?)
        };
        token().map_err(|cause| SecretError {
            place: self.to_string(),
            cause,
        })
    }
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenSource::File(path) => write!(f, "the token file {}", path.display()),
            TokenSource::Credential(path) => write!(f, "systemd's credential {}", path.display()),
            TokenSource::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// The token that callers of our own server show. Only its digest is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BearerToken(Digest);

impl BearerToken {
    /// Reads it from a file: white space around it and the word `Bearer` in front are dropped.
    ///
    /// # Errors
    /// [`SecretError`], where the file holds none, or one that could be guessed.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let token = || Self::parse(read(path)?.expose_secret());
        token().map_err(|cause| SecretError {
            place: format!("the bearer token file {}", path.display()),
            cause,
        })
    }

    /// The same, from a text.
    ///
    /// # Errors
    /// [`SecretFault`], where it is none, or could be guessed.
    pub fn parse(text: &str) -> Result<Self, SecretFault> {
        let secret = clean(text, "bearer")?;
        if secret.len() < SHORTEST_BEARER {
            return Err(SecretFault::TooShort);
        }
        Ok(Self(Digest::of(secret.as_bytes())))
    }

    /// What a caller sends who has the same file; it is shown in no log.
    ///
    /// # Errors
    /// [`SecretError`], as for [`read`](Self::read).
    pub fn authorization(path: &Path) -> Result<HeaderValue, SecretError> {
        let value = || {
            let text = read(path)?;
            Self::parse(text.expose_secret())?;
            let secret = clean(text.expose_secret(), "bearer")?;
            let mut value = HeaderValue::try_from(format!("Bearer {secret}"))
                .map_err(|_| SecretFault::NotText)?;
            value.set_sensitive(true);
            Ok(value)
        };
        value().map_err(|cause| SecretError {
            place: format!("the bearer token file {}", path.display()),
            cause,
        })
    }

    /// What callers' tokens are compared with.
    pub fn digest(&self) -> Digest {
        self.0
    }

    /// Whether a caller has shown it. Takes the same time wherever the two differ.
    pub fn matches(&self, shown: &[u8]) -> bool {
        self.0 == Digest::of(shown)
    }
}

/// What CallTools shows when it posts to us: it stands in the address that it posts to. `Debug` prints stars.
#[derive(Clone, Debug)]
pub struct HookSecret(SecretString);

impl HookSecret {
    /// Reads it from a file: white space around it is dropped.
    ///
    /// # Errors
    /// [`SecretError`], where the file holds none, or one that could be guessed.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let secret = || Self::parse(read(path)?.expose_secret());
        secret().map_err(|cause| SecretError {
            place: format!("the hook secret file {}", path.display()),
            cause,
        })
    }

    /// The same, from a text.
    ///
    /// # Errors
    /// [`SecretFault`], where it is none, or could be guessed.
    pub fn parse(text: &str) -> Result<Self, SecretFault> {
        // No word stands in front of it, as it never was in a header.
        let secret = clean(text, "")?;
        if secret.len() < SHORTEST_BEARER {
            return Err(SecretFault::TooShort);
        }
        Ok(Self(secret.to_owned().into()))
    }

    /// What is compared with.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.expose_secret())
    }

    /// The address with the secret in it: not to be shown to anybody but CallTools.
    pub fn added_to(&self, url: &url::Url) -> String {
        let mut url = url.clone();
        url.query_pairs_mut()
            .append_pair("secret", self.0.expose_secret());
        url.into()
    }
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn read(path: &Path) -> Result<SecretString, SecretFault> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_SECRET_FILE + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_SECRET_FILE {
        return Err(SecretFault::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| SecretFault::NotText)?;
    Ok(text.into())
}

/// A sentence of warning where other users of this machine can read a secret's file. A file that is not there is no reason
/// to warn: reading it will say so.
pub(super) fn exposure(path: &Path) -> Option<String> {
    let mode = path.metadata().ok()?.mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        let path = path.display();
        format!("{path} holds a secret and other users may read or change it (mode {mode:04o}); run: chmod 600 {path}")
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), content).expect("it can be written");
        file
    }

    #[test]
    fn a_token_is_read_from_its_file_or_variable() {
        let file = file(format!("Token {KEY}\n").as_bytes());
        let env = |name: &str| (name == "CALLTOOLS_API_TOKEN").then(|| KEY.to_owned());
        for source in [
            TokenSource::File(file.path().to_owned()),
            TokenSource::Credential(file.path().to_owned()),
            TokenSource::Env("CALLTOOLS_API_TOKEN".to_owned()),
        ] {
            let token = source.read_with(&env).expect("a token");
            assert_eq!(token.digest(), Digest::of(KEY.as_bytes()));
        }
    }

    #[test]
    fn a_missing_token_says_where_it_was_looked_for() {
        let error =
            |source: TokenSource| source.read_with(&|_| None).expect_err("none").to_string();
        assert_eq!(
            error(TokenSource::Env("OTHER".to_owned())),
            "the environment variable OTHER is not set"
        );
        let missing = error(TokenSource::Credential("/nowhere/main.token".into()));
        assert!(
            missing.starts_with("systemd's credential /nowhere/main.token is not there: "),
            "{missing}"
        );
    }

    #[test]
    fn what_is_no_token_is_refused_without_showing_it() {
        for (content, expected) in [
            (b"".to_vec(), "is empty"),
            (b"0123 4567".to_vec(), "white space"),
            (b"01234567\xff".to_vec(), "not text"),
            (vec![b'4'; 3000], "more than 2048 bytes"),
        ] {
            let file = file(&content);
            let source = TokenSource::File(file.path().to_owned());
            let error = source.read().expect_err("no token").to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("4567"), "{error}");
        }
    }

    #[test]
    fn a_bearer_token_is_long_and_matches_itself_alone() {
        let file = file(b"bearer 0123456789abcdef\n");
        let token = BearerToken::read(file.path()).expect("a token");
        assert!(token.matches(b"0123456789abcdef"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdeF",
            "0123456789abcdef ",
        ] {
            assert!(!token.matches(wrong.as_bytes()), "{wrong:?}");
        }
        assert!(matches!(
            BearerToken::parse("0123456789abcde"),
            Err(SecretFault::TooShort)
        ));
    }

    #[test]
    fn a_hook_secret_is_long_and_shown_to_nobody() {
        let file = file(b" 0123456789+/&=# \n");
        assert!(matches!(
            HookSecret::read(file.path()).expect_err("15").cause,
            SecretFault::TooShort
        ));
        let secret = HookSecret::parse("0123456789+/&=#%\n").expect("16 will do");
        assert!(secret.digest() == Digest::of("0123456789+/&=#%"));
        assert!(!format!("{secret:?}").contains("0123"));
        let url = "https://a.example/h".parse().expect("a URL");
        let (_, query) = secret.added_to(&url).split_once('?').map(own).expect("one");
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        assert_eq!(pairs, [("secret".into(), "0123456789+/&=#%".into())]);
    }

    fn own((before, after): (&str, &str)) -> (String, String) {
        (before.to_owned(), after.to_owned())
    }

    #[test]
    fn a_file_that_others_may_read_is_worth_a_warning() {
        let file = file(KEY.as_bytes());
        for (mode, warns) in [(0o600, false), (0o400, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).expect("chmod");
            let warning = exposure(file.path());
            assert_eq!(warning.is_some(), warns, "{mode:o}: {warning:?}");
        }
        assert_eq!(exposure(Path::new("/nowhere/main.token")), None);
    }
}
