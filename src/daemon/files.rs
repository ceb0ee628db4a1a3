//! The files that a config names: secrets, certificates, keys. Read before anything is changed, and off the runtime, since a file may hang.

use std::path::Path;

use anyhow::Context as _;

use crate::{
    calltools::Token,
    clock::Moment,
    config::{self, BearerTokens, Config},
    process::{aside, file},
    server::Tls,
};

/// A bundle of every authority that systems know has some 250 kB.
const LARGEST_CA_FILE: u64 = 2 * 1024 * 1024;

/// What the files of a config say.
#[derive(Debug)]
pub(super) struct Files {
    /// In the order of the config.
    pub accounts: Vec<AccountFiles>,
    pub callers: Callers,
}

/// What the files of an account say.
#[derive(Debug)]
pub(super) struct AccountFiles {
    pub token: Token,
    pub ca_pem: Option<Vec<u8>>,
}

/// How callers and we tell that the other is who we think.
#[derive(Debug)]
pub(super) struct Callers {
    /// What they must show, if anything.
    pub bearer: Option<BearerTokens>,
    /// What we show, if anything.
    pub tls: Option<Tls>,
}

impl Files {
    /// Reads them for the start.
    ///
    /// # Errors
    /// The first that cannot be read or used.
    pub async fn read(config: &Config, now: Moment) -> anyhow::Result<Self> {
        Self::read_with(config, move |files| Ok(Tls::read(files, now)?)).await
    }

    /// Reads them to take the place of those in force, whose certificate is `last`.
    ///
    /// # Errors
    /// As for the start, and a certificate that callers would refuse for its dates.
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
            let accounts = config.accounts.iter().map(|account| {
                AccountFiles::read(account).with_context(|| format!("account \"{}\"", account.name))
            });
            let server = &config.server;
            let bearer = server.bearer_token_file.as_deref().map(BearerTokens::read);
            Ok(Self {
                accounts: accounts.collect::<anyhow::Result<_>>()?,
                callers: Callers {
                    bearer: bearer.transpose()?,
                    tls: server.tls.as_ref().map(tls).transpose()?,
                },
            })
        };
        aside::bounded(read).await?
    }
}

impl AccountFiles {
    fn read(account: &config::Account) -> anyhow::Result<Self> {
        Ok(Self {
            token: account.upstream.token.read()?,
            ca_pem: account
                .upstream
                .ca_file
                .as_deref()
                .map(ca_pem)
                .transpose()?,
        })
    }
}

/// Reads certificate authorities to trust.
///
/// # Errors
/// The file cannot be read.
pub(super) fn ca_pem(path: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = file::read(path, LARGEST_CA_FILE);
    let pem = pem.with_context(|| format!("ca_file {} cannot be read", path.display()))?;
    Ok(pem.to_vec())
}
