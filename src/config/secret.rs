//! Reads the secrets that the config names: CallTools' tokens, and the bearer tokens of our callers. Addresses are in `webhook`.

#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    time::Duration,
};

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use subtle::Choice;

use crate::{
    calltools::token::{Flaw, MAX_TOKEN, Token, clean},
    model::digest::Digest,
    process::{
        aside,
        file::{self, FileError, NotText},
    },
};

/// The source of an account's token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// A file that the operator names.
    File(PathBuf),
    /// A file that systemd passes to the service and protects.
    Credential(PathBuf),
    /// The name of an environment variable.
    Env(String),
}

/// Why there is no secret. It says where the secret should be, never what was found.
#[derive(Debug, thiserror::Error)]
#[error("{place} {cause}")]
pub struct SecretError {
    place: String,
    /// What is wrong.
    #[source]
    pub cause: SecretFault,
}

impl SecretError {
    pub(super) fn at(place: String, cause: SecretFault) -> Self {
        Self { place, cause }
    }
}

/// What can be wrong with a secret or its source.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}{next}", next = next_step(.0))]
    Unreadable(#[from] FileError),
    /// The file is missing, and its content is no token.
    #[error(
        "cannot be read: there is no such file; check the path, or write the {0} into it and chmod 600 it"
    )]
    Missing(&'static str),
    /// systemd passes it to the service, which is not running.
    #[error(
        "is not there: it exists while the service runs; start the service, or set token_file or token_env"
    )]
    NoCredential,
    /// The file is not UTF-8.
    #[error("{0}")]
    NotText(#[from] NotText),
    /// The environment has no such variable.
    #[error("is not set")]
    NotSet,
    /// The text is not a token.
    #[error("{0}")]
    Flaw(#[from] Flaw),
    /// One of several lines is not a token.
    #[error("has a mistake in line {line}: that line {cause}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        cause: Box<SecretFault>,
    },
    /// Only comments.
    #[error(
        "has no token: a line that begins with {COMMENT:?} is a comment; write the token into a line of its own"
    )]
    OnlyComments,
    /// More tokens than a rotation needs.
    #[error(
        "has more than {MAX_TOKENS} tokens, one a line; remove those that no caller uses any more"
    )]
    TooMany,
    /// The text is not an address to notify.
    #[error(
        "has no address; write one line such as https://hooks.example/services/… into it, as the receiver shows it"
    )]
    NotAddress,
    /// An address whose messages others could read.
    #[error(
        "has an http:// address on another machine, which can be read on the way; use https://, or insecure_plain_http = true where nobody else can listen"
    )]
    PlainAddress,
    /// A bearer token that could be guessed.
    #[error(
        "has fewer than {MIN_BEARER_LENGTH} characters and could be guessed; make a new one with `openssl rand -hex 32`"
    )]
    TooShort,
}

/// Says what to do about a file that is missing or closed.
fn next_step(error: &FileError) -> &'static str {
    match error {
        FileError::System(error) if error.kind() == io::ErrorKind::NotFound => {
            "; check the path, or write the token into that file and chmod 600 it"
        }
        error => error.advice(),
    }
}

/// Room for the longest tokens with white space around them.
const MAX_SECRET_FILE: u64 = 2 * (MAX_TOKENS * MAX_TOKEN) as u64;

/// How many tokens are valid at a time. A rotation needs two, and each request is compared with all of them.
const MAX_TOKENS: usize = 16;

/// Begins a line that is no token, in a file of several.
const COMMENT: char = '#';

/// Sixteen random letters and digits are 80 bits or more: beyond guessing over a network.
const MIN_BEARER_LENGTH: usize = 16;

impl TokenSource {
    /// Reads the token now, so a changed one needs no restart.
    ///
    /// # Errors
    /// [`SecretError`] if there is none.
    pub fn read(&self) -> Result<Token, SecretError> {
        self.read_with(&super::process_env)
    }

    /// Reads the token with another environment.
    ///
    /// # Errors
    /// [`SecretError`] if there is none.
    pub fn read_with(&self, env: super::Environment<'_>) -> Result<Token, SecretError> {
        let token = || {
            let text = match self {
                TokenSource::File(path) => read(path)?,
                TokenSource::Credential(path) => match read(path) {
                    Err(SecretFault::Unreadable(FileError::System(error)))
                        if error.kind() == io::ErrorKind::NotFound =>
                    {
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

/// What to say about a token that had something around it.
pub const WRAPPED: &str =
    "has more in it than the token, such as quotes or \"Token\" in front; only the token is used";

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenSource::File(path) => write!(f, "the token file {}", path.display()),
            TokenSource::Credential(path) => write!(f, "systemd's credential {}", path.display()),
            TokenSource::Env(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// Reads a password from the first line of a file.
///
/// # Errors
/// [`SecretError`]: the file cannot be read, or is empty.
pub fn read_password(path: &Path) -> Result<SecretString, SecretError> {
    let password = || {
        let text = read_as("password", path)?;
        let first = text.expose_secret().lines().next().unwrap_or_default();
        match first.is_empty() {
            true => Err(SecretFault::Flaw(Flaw::Empty)),
            false => Ok(SecretString::from(first.to_owned())),
        }
    };
    password().map_err(|cause| SecretError {
        place: format!("the password file {}", path.display()),
        cause,
    })
}

/// The bearer tokens of our server, all of them valid. Only their digests are kept.
#[derive(Clone, Debug)]
pub struct BearerTokens(Arc<[Digest]>);

impl BearerTokens {
    /// Reads them from a file, one per line, so that callers can move from one to the next. A line may be a comment. What people paste around a
    /// token is removed: see [`clean`].
    ///
    /// # Errors
    /// [`SecretError`]: the file has none, or has one that could be guessed.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let tokens = || Self::parse(read(path)?.expose_secret());
        tokens().map_err(|cause| SecretError {
            place: format!("the bearer token file {}", path.display()),
            cause,
        })
    }

    /// Reads them from a text.
    ///
    /// # Errors
    /// [`SecretFault`]: there is none, or one could be guessed.
    pub fn parse(text: &str) -> Result<Self, SecretFault> {
        let tokens = lines(text).map(|line| Ok(Digest::new(line?.as_bytes())));
        let tokens: Arc<[_]> = tokens.collect::<Result<_, SecretFault>>()?;
        match tokens.len() {
            0 => Err(no_token(text)),
            count if count > MAX_TOKENS => Err(SecretFault::TooMany),
            _ => Ok(Self(tokens)),
        }
    }

    /// Returns the header with the first token, for a caller that uses the same file. No log shows it.
    ///
    /// # Errors
    /// [`SecretError`], as [`read`](Self::read).
    pub fn authorization(path: &Path) -> Result<HeaderValue, SecretError> {
        let value = || {
            let text = read(path)?;
            let text = text.expose_secret();
            let token = lines(text).next().ok_or_else(|| no_token(text))??;
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| SecretFault::Flaw(Flaw::NotAscii))?;
            value.set_sensitive(true);
            Ok(value)
        };
        value().map_err(|cause| SecretError {
            place: format!("the bearer token file {}", path.display()),
            cause,
        })
    }

    /// Returns whether this is one of them, in constant time. An empty token never is.
    pub fn open_for(&self, shown: &str) -> bool {
        bool::from(self.same(&Digest::new(shown))) && !shown.is_empty()
    }

    /// Returns whether both have a token in common.
    pub fn overlaps(&self, other: &BearerTokens) -> bool {
        other.0.iter().any(|token| bool::from(self.same(token)))
    }

    /// Compares with a digest; returns a [`Choice`] to combine in constant time.
    pub fn same(&self, shown: &Digest) -> Choice {
        let none = Choice::from(0);
        self.0
            .iter()
            .fold(none, |opens, one| opens | one.same(shown))
    }
}

#[cfg(test)]
impl From<&str> for BearerTokens {
    /// Creates a single token of any length.
    fn from(token: &str) -> Self {
        Self([Digest::new(token)].into())
    }
}

impl PartialEq for BearerTokens {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// Says what is wrong with a text that has no token.
fn no_token(text: &str) -> SecretFault {
    match text.trim().is_empty() {
        true => Flaw::Empty.into(),
        false => SecretFault::OnlyComments,
    }
}

/// Returns the tokens in a text, without its comments. With several, a mistake names its line.
fn lines(text: &str) -> impl Iterator<Item = Result<&str, SecretFault>> {
    let filled = || {
        let lines = text.lines().enumerate();
        lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim().starts_with(COMMENT))
    };
    let one = filled().nth(1).is_none();
    filled().map(move |(number, line)| {
        bearer(line).map_err(|cause| match one {
            true => cause,
            false => SecretFault::Line {
                line: number + 1,
                cause: Box::new(cause),
            },
        })
    })
}

fn bearer(text: &str) -> Result<&str, SecretFault> {
    let secret = clean(text)?;
    match secret.len() < MIN_BEARER_LENGTH {
        true => Err(SecretFault::TooShort),
        false => Ok(secret),
    }
}

fn read(path: &Path) -> Result<SecretString, SecretFault> {
    let bytes = file::read(path, MAX_SECRET_FILE)?;
    Ok(file::text(&bytes)?.into())
}

/// Reads a secret that is no token; an error about a missing file says `what` to write into it.
pub(super) fn read_as(what: &'static str, path: &Path) -> Result<SecretString, SecretFault> {
    read(path).map_err(|fault| match fault {
        SecretFault::Unreadable(FileError::System(error))
            if error.kind() == io::ErrorKind::NotFound =>
        {
            SecretFault::Missing(what)
        }
        fault => fault,
    })
}

/// The longest wait for a file's mode. A file that hangs is reported when it is read.
const LOOK: Duration = Duration::from_secs(1);

/// How many files are looked at at once: if all of them hang, half of the threads that may wait for a file system are left to read the others.
const AT_ONCE: usize = 32;

/// Warns, in the order of the files, if other users of this machine can read a secret. A missing file is reported when it is read.
pub(super) fn exposures<'p>(files: impl Iterator<Item = &'p Path>) -> Vec<String> {
    let files = files.map(Path::to_owned).collect();
    let found = all_at_once(files, |path: &PathBuf| exposure(path));
    found.into_iter().flatten().collect()
}

/// Does the work for each item, for several at once, and returns the results in the order of the items.
fn all_at_once<I, T>(items: Vec<I>, work: impl Fn(&I) -> T + Send + Sync + 'static) -> Vec<T>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    let (threads, work) = (items.len().min(AT_ONCE), Arc::new(work));
    let (items, next) = (Arc::new(items), Arc::new(AtomicUsize::new(0)));
    let (done, results) = channel();
    for _ in 0..threads {
        let (items, next) = (Arc::clone(&items), Arc::clone(&next));
        let (work, done) = (Arc::clone(&work), done.clone());
        // Without a thread, the others do its part.
        let _ = aside::start(move || {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(place) else { break };
                // The receiver waits for every sender.
                let _ = done.send((place, work(item)));
            }
        });
    }
    drop(done);
    let mut results: Vec<_> = results.iter().collect();
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

fn exposure(path: &Path) -> Option<String> {
    let owned = path.to_owned();
    let mode = aside::wait(path, LOOK, move || {
        let metadata = owned.metadata().ok()?;
        // Anything else is no secret, and whoever reads it says what is wrong. A folder such as /tmp must keep its mode.
        metadata.is_file().then(|| metadata.mode() & 0o777)
    });
    let mode = mode.ok()??;
    (mode & 0o077 != 0).then(|| {
        let path = path.display();
        format!("{path} holds a secret and other users may read or change it (mode {mode:04o}); run: chmod 600 {path}")
    })
}
