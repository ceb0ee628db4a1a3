//! Reads the files that a config names: secrets, certificates, keys. It reads them before anything changes, and off the runtime, since a file may
//! hang.

use std::path::Path;

use anyhow::{Context as _, bail};
use secrecy::SecretString;

use crate::{
    calltools::{self, Token},
    clock::Moment,
    config::{self, BearerTokens, Config, WRAPPED},
    notify::{self, Recipients},
    process::{
        aside,
        authorities::{MachineAuthorities, Trust},
        file,
    },
    server::Tls,
};

/// A bundle of all common authorities has some 250 kB.
const MAX_CA_FILE: u64 = 2 * 1024 * 1024;

/// What is wrong with a token that two callers share: it does not identify the caller.
pub(super) const SHARED: &str =
    "another caller has one of its tokens; make a new one with `openssl rand -hex 32`";

/// The contents of a config's files.
#[derive(Debug)]
pub(super) struct Files {
    /// In the order of the config.
    pub accounts: Vec<AccountFiles>,
    pub callers: Callers,
    /// The recipients of messages and pushes.
    pub recipients: Recipients,
    /// The password of the cluster's engine, if it has one.
    pub cluster_password: Option<SecretString>,
}

/// The contents of an account's files.
#[derive(Debug)]
pub(super) struct AccountFiles {
    pub token: Token,
    /// Whom to trust at its address; `None` without TLS.
    pub trust: Option<Trust>,
}

/// The secrets between callers and the server.
#[derive(Debug)]
pub(super) struct Callers {
    /// The bearer tokens, if any.
    pub bearer: Option<BearerTokens>,
    /// The other callers with their tokens, in the order of the config.
    pub clients: Vec<(config::Client, BearerTokens)>,
    /// Our certificate and key, if any.
    pub tls: Option<Tls>,
}

impl Files {
    /// Reads the files at the start.
    ///
    /// # Errors
    /// The first file that cannot be read or used.
    pub async fn read(config: &Config, now: Moment) -> anyhow::Result<Self> {
        Self::read_with(config, move |files| Ok(Tls::read(files, now)?)).await
    }

    /// Reads the files for a reload. `last` is the certificate in force.
    ///
    /// # Errors
    /// As at the start, or callers would reject the certificate for its dates.
    pub async fn read_again(
        config: &Config,
        last: Option<Tls>,
        now: Moment,
    ) -> anyhow::Result<Self> {
        let tls = move |files: &_| Ok(Tls::read_in_place_of(files, last.as_ref(), now)?);
        Self::read_with(config, tls).await
    }

    async fn read_with(
        config: &Config,
        tls: impl Fn(&config::TlsFiles) -> anyhow::Result<Tls> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let config = config.clone();
        let read = move || {
            // Read each time, since the machine's may have changed.
            let machine = MachineAuthorities::default();
            let accounts = config.accounts.iter().map(|account| {
                AccountFiles::read(account, &machine)
                    .with_context(|| format!("account \"{}\"", account.name))
            });
            let server = &config.server;
            let bearer = server.bearer_token_file.as_deref().map(BearerTokens::read);
            let bearer = bearer.transpose()?;
            let password = config.cluster.as_ref();
            let password = password.and_then(|cluster| cluster.password_file.as_deref());
            Ok(Self {
                cluster_password: password.map(config::read_password).transpose()?,
                accounts: accounts.collect::<anyhow::Result<_>>()?,
                callers: Callers {
                    clients: clients(&server.clients, bearer.as_ref())?,
                    bearer,
                    tls: server.tls.as_ref().map(tls).transpose()?,
                },
                recipients: notify::recipients(&config.notify)?,
            })
        };
        aside::bounded(read).await?
    }
}

/// Reads the clients with their tokens.
fn clients(
    clients: &[config::Client],
    bearer: Option<&BearerTokens>,
) -> anyhow::Result<Vec<(config::Client, BearerTokens)>> {
    let mut read: Vec<(config::Client, BearerTokens)> = Vec::with_capacity(clients.len());
    for client in clients {
        let tokens = BearerTokens::read(&client.token_file)
            .with_context(|| format!("client \"{}\"", client.name))?;
        let mut others = read.iter().map(|(_, tokens)| tokens).chain(bearer);
        if others.any(|other| other.overlaps(&tokens)) {
            bail!("client \"{}\": {SHARED}", client.name);
        }
        read.push((client.clone(), tokens));
    }
    Ok(read)
}

impl AccountFiles {
    fn read(account: &config::Account, machine: &MachineAuthorities) -> anyhow::Result<Self> {
        let token = account.upstream.token.read()?;
        if token.was_wrapped() {
            tracing::info!(account = %account.name, "{} {WRAPPED}", account.upstream.token);
        }
        Ok(Self {
            token,
            trust: trust(&account.upstream, machine)?,
        })
    }
}

/// Reads whom to trust at an account's address; `None` without TLS.
///
/// # Errors
/// A file of certificates cannot be read or used.
pub(super) fn trust(
    upstream: &config::Upstream,
    machine: &MachineAuthorities,
) -> anyhow::Result<Option<Trust>> {
    let pem = upstream.ca_file.as_deref().map(ca_pem).transpose()?;
    let proxy = upstream.proxy.as_ref();
    Ok(calltools::trust(
        &upstream.base_url,
        proxy,
        pem.as_deref(),
        machine,
    )?)
}

/// Reads the certificate authorities of `ca_file`.
///
/// # Errors
/// The file cannot be read.
pub(super) fn ca_pem(path: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = file::read(path, MAX_CA_FILE);
    let pem = pem.with_context(|| format!("ca_file {} cannot be read", path.display()))?;
    Ok(pem.to_vec())
}
