//! Checks every file that a config names, for `openseat config check`. Nothing is started, and all mistakes are reported together.

use std::error::Error;

use super::{
    files::{SHARED, ca_pem},
    wiring::check_authorities,
};
use crate::{
    clock::Moment,
    config::{self, BearerTokens, Config, Notify, SecretFault, TokenSource},
    notify::recipients,
    process::causes::causes,
    server::{Tls, TlsError},
};

/// A problem with a file, or with a variable that contains a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    /// What is wrong, where, and what to do.
    pub text: String,
    /// Whether a daemon with this config would not start, or would reject a reload. Otherwise it works, or only the service can tell.
    pub is_mistake: bool,
}

impl FileProblem {
    fn mistake(error: &(dyn Error + 'static)) -> Self {
        Self {
            text: causes(error),
            is_mistake: true,
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

/// Checks a token. One that only the service has cannot be checked from here.
fn token(source: &TokenSource) -> Option<FileProblem> {
    let error = source.read().err()?;
    let is_elsewhere = matches!(error.cause, SecretFault::NoCredential | SecretFault::NotSet);
    let is_file = matches!(source, TokenSource::File(_));
    Some(FileProblem {
        is_mistake: is_file || !is_elsewhere,
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
            is_mistake: true,
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

/// Checks the certificate. At a start, one whose dates callers reject is served anyway: there is no other.
fn certificate(files: &config::TlsFiles, now: Moment) -> Option<FileProblem> {
    let error = Tls::read_in_place_of(files, None, now).err()?;
    Some(FileProblem {
        is_mistake: !matches!(error, TlsError::OutOfDate { .. }),
        ..FileProblem::mistake(&error)
    })
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
