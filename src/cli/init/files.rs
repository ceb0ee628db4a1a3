//! The config and the token's file. Each is written completely or not at all, and nothing is replaced without `--force`.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use tempfile::NamedTempFile;

use super::{Token, args, failed, interrupt};

/// The config only names secrets.
const CONFIG_MODE: u32 = 0o644;

const TOKEN_MODE: u32 = 0o600;

/// What to write, and where.
pub(super) struct Files {
    /// The config.
    pub config: PathBuf,
    /// The operator's own token file, which is not changed.
    given: Option<PathBuf>,
    /// The token's path otherwise.
    token: PathBuf,
    /// The token, once CallTools has accepted it.
    secret: Option<Token>,
    force: bool,
}

impl Files {
    /// Refuses to replace a file unless the options say so.
    pub fn new(options: &args::Init) -> Result<Self, String> {
        let config = options.config.clone();
        let given = options.token_file.as_deref().map(std::path::absolute);
        let given = given.transpose().map_err(|error| error.to_string())?;
        let folder = config.parent().unwrap_or(Path::new(""));
        let token = folder.join(format!("{}.token", options.name));
        if options.name.contains(['/', '\0']) || options.name.trim().is_empty() {
            return Err("--name must be a name without a slash".to_owned());
        }
        let exists = |path: &Path| !options.force && path.symlink_metadata().is_ok();
        if exists(&config) {
            return Err(format!(
                "{} exists; --force replaces it, and --config names another file",
                config.display()
            ));
        }
        if given.is_none() && exists(&token) {
            let token = token.display();
            return Err(format!(
                "{token} exists; --token-file {token} uses it, and --force replaces it"
            ));
        }
        Ok(Self {
            config,
            given,
            token,
            secret: None,
            force: options.force,
        })
    }

    /// Returns the token's path, as the config writes it.
    pub fn token_path(&self) -> String {
        match &self.given {
            Some(path) => path.display().to_string(),
            None => {
                let name = self.token.file_name().unwrap_or_default();
                format!("./{}", name.to_string_lossy())
            }
        }
    }

    /// Keeps the token for [`write`](Self::write).
    pub fn keep_token(&mut self, token: Token) {
        self.secret = Some(token);
    }

    /// Writes both files.
    pub fn write(&self, config: &str) -> Result<(), ExitCode> {
        let _whole = interrupt::while_writing();
        self.write_both(config).map_err(|error| failed(&error))
    }

    fn write_both(&self, config: &str) -> anyhow::Result<()> {
        let secret = self.secret.as_ref().filter(|_| self.given.is_none());
        if let Some(token) = secret {
            let line = token.expose_line();
            self.put(&self.token, line.as_bytes(), TOKEN_MODE)?;
        }
        let written = self.put(&self.config, config.as_bytes(), CONFIG_MODE);
        if written.is_err() && secret.is_some() && !self.force {
            let _ = fs::remove_file(&self.token);
        }
        written
    }

    /// Writes a new file beside the path, and then renames it.
    fn put(&self, path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
        let failed = || format!("{} cannot be written", path.display());
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut file = NamedTempFile::new_in(folder).with_context(failed)?;
        let open = fs::Permissions::from_mode(mode);
        file.as_file().set_permissions(open).with_context(failed)?;
        file.write_all(bytes).with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        match self.force {
            true => file.persist(path).with_context(failed)?,
            false => file.persist_noclobber(path).with_context(failed)?,
        };
        Ok(())
    }
}
