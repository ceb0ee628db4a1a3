//! Simulated accounts, served in this process, and a config that names them all.

use std::{fmt::Write as _, fs, iter, os::unix::fs::PermissionsExt, path::PathBuf};

use openseat::simulator::{Endpoint, Serving, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{account::Account, upstream::Upstream};

/// Everything that the daemon needs: simulated accounts and a config.
pub struct Setting {
    pub accounts: Vec<Account>,
    pub config: PathBuf,
    folder: TempDir,
    base_url: String,
    listen: String,
    /// The accounts' simulators, unless something else serves them.
    _serving: Option<Serving>,
}

impl Setting {
    pub async fn begin(accounts: Vec<Account>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let simulators = accounts.iter().map(|account| account.simulator.clone());
        let serving = serve(listener, simulators.collect()).expect("a server");
        let mut setting = Self::new(accounts);
        setting.base_url = serving.base_url();
        setting._serving = Some(serving);
        setting.configure("", "");
        setting
    }

    /// The same, with an upstream that accepts more connections.
    pub async fn with_upstream(accounts: Vec<Account>) -> (Self, Upstream) {
        let mut setting = Self::new(accounts);
        let certificate = setting.folder.path().join("upstream.pem");
        let upstream = Upstream::start(&setting.accounts, &certificate).await;
        setting.base_url.clone_from(&upstream.base_url);
        setting.configure("ca_file = \"./upstream.pem\"\n", "");
        (setting, upstream)
    }

    fn new(accounts: Vec<Account>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for account in &accounts {
            let token = folder.path().join(format!("{}.token", account.name));
            fs::write(&token, &account.token).expect("a token file");
            fs::set_permissions(&token, fs::Permissions::from_mode(0o600))
                .expect("the mode is set");
        }
        Self {
            accounts,
            config: folder.path().join("openseat.toml"),
            folder,
            base_url: String::new(),
            listen: "127.0.0.1:0".to_owned(),
            _serving: None,
        }
    }

    /// Writes the same config with this address, instead of any free port.
    pub fn listen_at(&mut self, address: &str) {
        address.clone_into(&mut self.listen);
        self.configure("", "");
    }

    /// Writes the config, with one extra line for each account, and another for the first account only.
    pub fn configure(&self, line: &str, line_of_first: &str) {
        let listen = &self.listen;
        let mut text = format!("[server]\nlisten = \"{listen}\"\n[state]\ndir = \"state\"\n");
        let firsts = iter::once(line_of_first).chain(iter::repeat(""));
        for (account, first) in self.accounts.iter().zip(firsts) {
            let _ = write!(
                text,
                "[[account]]\nname = \"{0}\"\nbase_url = \"{1}\"\ntoken_file = \"./{0}.token\"\nrequests_per_hour = {2}\nidle_pace = 1.0\n{line}{first}queue = [",
                account.name, self.base_url, account.requests_per_hour
            );
            for queue in account.queues() {
                let _ = write!(text, "{{ queue = {queue} }}, ");
            }
            text.push_str("]\n");
        }
        fs::write(&self.config, text).expect("a config");
    }

    /// How many requests for agents each account has received.
    pub fn received(&self) -> Vec<u64> {
        let received = |account: &Account| account.simulator.requests_to(Endpoint::AgentStatuses);
        self.accounts.iter().map(received).collect()
    }
}
