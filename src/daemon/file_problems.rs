//! Checks every file that a config names, for `openseat config check`, and to name all that keep a daemon from its start. Nothing is started, and all
//! mistakes are reported together.

use std::error::Error;

use super::{
    files::{Files, SHARED, ca_pem},
    wiring::check_authorities,
};
use crate::{
    clock::Moment,
    config::{self, BearerTokens, Config, Notify, SecretFault, TokenSource},
    notify::recipients,
    process::{aside, causes::causes, file::FileError},
    server::{Tls, TlsError},
};

/// A problem with a file, or with a variable that contains a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// What is wrong, where, and what to do.
    pub text: String,
    /// What it means for a daemon with this config.
    pub severity: Severity,
}

/// What a problem with a file means for a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It would not start, and would reject a reload.
    Mistake,
    /// The same, unless the service has a token that other processes lack.
    OnlyHere,
    /// It would start.
    Harmless,
}

impl FileProblem {
    fn mistake(error: &(dyn Error + 'static)) -> Self {
        Self {
            text: causes(error),
            severity: Severity::Mistake,
        }
    }

    fn of_account(self, account: &config::Account) -> Self {
        Self {
            text: format!("account \"{}\": {}", account.name, self.text),
            ..self
        }
    }
}

/// Finds all problems with a config's files: tokens, authorities, the engine's password, certificate and key, notify addresses. A file that hangs
/// delays it by seconds.
pub fn file_problems(config: &Config, now: Moment) -> Vec<FileProblem> {
    let mut problems = Vec::new();
    for account in &config.accounts {
        let found = token(&account.upstream.token);
        let found = found.into_iter().chain(authorities(&account.upstream));
        problems.extend(found.map(|problem| problem.of_account(account)));
    }
    let password = config.cluster.as_ref();
    let password = password.and_then(|cluster| cluster.password_file.as_deref());
    let unusable = password.and_then(|path| config::read_password(path).err());
    problems.extend(unusable.map(|error| FileProblem::mistake(&error)));
    let server = &config.server;
    let bearer = server.bearer_token_file.as_deref().map(BearerTokens::read);
    let bearer = bearer.and_then(|read| {
        let problem = |error| problems.push(FileProblem::mistake(&error));
        read.map_err(problem).ok()
    });
    problems.extend(clients(&server.clients, bearer));
    if let Some(files) = &server.tls {
        problems.extend(certificate(files, now));
    }
    problems.extend(addresses(&config.notify));
    problems
}

/// Reads the files at the start.
///
/// # Errors
/// All files that cannot be read or used.
pub(super) async fn read_files(config: &Config, now: Moment) -> anyhow::Result<Files> {
    match Files::read(config, now).await {
        Ok(files) => Ok(files),
        Err(error) => Err(with_all_mistakes(error, config, now).await),
    }
}

/// Adds all other mistakes in a config's files to the one that was met first, so that people can correct them together. Files are not read again if
/// one of them hangs: it has delayed the answer already.
pub(super) async fn with_all_mistakes(
    first: anyhow::Error,
    config: &Config,
    now: Moment,
) -> anyhow::Error {
    let hangs = |cause: &(dyn Error + 'static)| {
        matches!(cause.downcast_ref(), Some(FileError::Unfinished(_)))
    };
    if first.chain().any(hangs) {
        return first;
    }
    let config = config.clone();
    let problems = aside::bounded(move || file_problems(&config, now)).await;
    let texts = problems.unwrap_or_default().into_iter();
    let texts = texts.filter(|problem| problem.severity != Severity::Harmless);
    let texts: Vec<_> = texts.map(|problem| problem.text).collect();
    match texts.len() {
        0 | 1 => first,
        _ => first.context(texts.join("\n")),
    }
}

/// Checks a token. One that only the service has cannot be checked from here.
fn token(source: &TokenSource) -> Option<FileProblem> {
    let error = source.read().err()?;
    let is_elsewhere = matches!(error.cause, SecretFault::NoCredential | SecretFault::NotSet);
    let is_file = matches!(source, TokenSource::File(_));
    let severity = match is_file || !is_elsewhere {
        true => Severity::Mistake,
        false => Severity::OnlyHere,
    };
    Some(FileProblem {
        severity,
        ..FileProblem::mistake(&error)
    })
}

fn authorities(upstream: &config::Upstream) -> Option<FileProblem> {
    let path = upstream.ca_file.as_deref()?;
    let checked = ca_pem(path).and_then(|pem| check_authorities(upstream, pem));
    let error = checked.err()?;
    Some(FileProblem::mistake(error.as_ref()))
}

/// Checks each client's tokens, and finds tokens that two callers share.
fn clients(clients: &[config::Client], bearer: Option<BearerTokens>) -> Vec<FileProblem> {
    let mut problems = Vec::new();
    let mut others: Vec<BearerTokens> = bearer.into_iter().collect();
    for client in clients {
        let problem = |text: String| FileProblem {
            text: format!("client \"{}\": {text}", client.name),
            severity: Severity::Mistake,
        };
        match BearerTokens::read(&client.token_file) {
            Err(error) => problems.push(problem(causes(&error))),
            Ok(tokens) => {
                if others.iter().any(|other| other.overlaps(&tokens)) {
                    problems.push(problem(SHARED.to_owned()));
                }
                others.push(tokens);
            }
        }
    }
    problems
}

/// Checks the certificate and its key. At a start, one whose dates callers reject is served anyway: there is no other.
fn certificate(files: &config::TlsFiles, now: Moment) -> Vec<FileProblem> {
    let problem = |error: &TlsError| match error {
        TlsError::OutOfDate { .. } => FileProblem {
            severity: Severity::Harmless,
            ..FileProblem::mistake(error)
        },
        _ => FileProblem::mistake(error),
    };
    Tls::mistakes(files, now).iter().map(problem).collect()
}

/// Checks the addresses of notifications, each file once.
fn addresses(notify: &[Notify]) -> Vec<FileProblem> {
    let read = notify
        .iter()
        .map(|one| recipients(std::slice::from_ref(one)));
    let errors = read.filter_map(Result::err);
    let mut problems: Vec<_> = errors
        .map(|error| FileProblem::mistake(error.as_ref()))
        .collect();
    problems.dedup();
    problems
}
