//! `openseat health`

use std::process::ExitCode;

use http::StatusCode;

use super::{
    EXIT_FAILURE, args,
    daemon::{Answer, Daemon},
    exit_after, exit_with, failed, load_or_explain, print,
};
use crate::{config::Config, process::runtime::block_on};

/// Asks the daemon that runs with this config.
pub fn run(options: &args::Health) -> ExitCode {
    let config = match load_or_explain(&options.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    match block_on(ask(&config, options.live)) {
        Ok((StatusCode::OK, answer)) => exit_after(print(&answer), ExitCode::SUCCESS),
        Ok((status, answer)) => {
            exit_with(EXIT_FAILURE, &format!("{status}\n{}", answer.trim_end()))
        }
        Err(error) => {
            let address = Daemon::at_its_address(&config);
            failed(&error.context(address.address().to_string()))
        }
    }
}

/// Asks at the address that callers use. No token is sent, so if one is needed the answer is a single word; details come from the control
/// socket, if this user may use it.
async fn ask(config: &Config, live: bool) -> anyhow::Result<Answer> {
    const VERBOSE: &str = "/readyz?verbose";
    let daemon = Daemon::at_its_address(config);
    if live {
        return daemon.get("/livez").await;
    }
    if config.server.bearer_token_file.is_none() {
        return daemon.get(VERBOSE).await;
    }
    let (status, text) = daemon.get("/readyz").await?;
    let verbose = Daemon::with_config(config).get_at_control(VERBOSE).await;
    Ok((status, verbose.map_or(text, |(_, verbose)| verbose)))
}
