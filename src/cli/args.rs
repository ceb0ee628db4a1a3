//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    cli::Address,
    config::DEFAULT_PATHS,
    process::log::{Levels, LogFormat},
};

/// Answers, while a call rings, whether a CallTools queue has an agent with an open seat.
///
/// openseat polls the queues of CallTools accounts in the background, inside each account's hourly budget, and answers
/// accept or reject from memory.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:
  openseat demo                             see it work, nothing else needed
  openseat init                             make a configuration for your account
  openseat check --config openseat.toml     ask CallTools once and show what it says
  openseat run --config openseat.toml       the daemon")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options for all commands.
    #[command(flatten)]
    pub log: Log,
}

/// How much is logged, and how.
#[derive(Clone, Debug, Args)]
pub struct Log {
    /// What to log: off, error, warn, info, debug or trace; or levels by module, such as warn,openseat::budget=debug [default: info]
    #[arg(long, global = true, value_name = "LEVELS", env = "OPENSEAT_LOG")]
    pub log_level: Option<Levels>,
    /// How to log to standard error
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "OPENSEAT_LOG_FORMAT"
    )]
    pub log_format: LogFormat,
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
pub struct ConfigFile {
    /// Configuration file [default: openseat.toml, then /etc/openseat/openseat.toml]
    #[arg(short, long, value_name = "FILE", env = "OPENSEAT_CONFIG")]
    pub config: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a configuration: ask for the login address, the token and the queues, write the files and check them
    #[command(after_help = "Examples:
  openseat init
  openseat init --silo east-1 --token-file ./main.token --queue sales-queue --threshold 0
  printf '%s\\n' east-1 \"$TOKEN\" sales-queue,5450 0 | openseat init

Without a terminal, each question that no flag answers takes one line of standard input, in this order: silo, \
token, queues with commas between them, threshold. The token goes into a file of its own (mode 0600), and nothing is \
replaced without --force.

Exit codes:
  0  written, and every queue could be asked
  1  CallTools does not accept the answers, or a queue could not be asked
  2  an answer is missing or wrong, or a file exists already")]
    Init(Init),
    /// Poll and answer until stopped: the daemon
    #[command(after_help = "Examples:
  openseat run
  openseat run --config /etc/openseat/openseat.toml --log-format json
  curl http://127.0.0.1:7717/v1/queues/sales-queue/decision

Exit codes:
  0   stopped on request
  1   failed; trying again may help
  77  this user may not use a secret, the state folder or an address
  78  the configuration is wrong, or the command line or a variable such as $OPENSEAT_LOG")]
    Run(ConfigFile),
    /// Ask CallTools now and show the agents, the count, the decision and why
    #[command(after_help = "Examples:
  openseat check                  every configured queue
  openseat check sales-queue      one of them
  openseat check --all            with every agent, not only those who are logged in
  openseat check --json | jq .    for programs
  openseat check --curl           equivalent curl commands, with the token as $CALLTOOLS_API_TOKEN
  openseat check --report r.json  how the account's API behaves, without names: for a bug report

Each queue costs at least one request of the account's hour, and each account one or two more for \
names and statuses, paid from the reserve. If a daemon runs with the same state folder, the daemon asks, \
with its own token and budget, and this command shows the report; run it as root or as the daemon's user.

--report sends at most ten requests instead. In the file, names, ids, tokens and hosts are replaced, so that \
it can be shown to others. openseat simulate --like FILE behaves as the report says.

Exit codes:
  0  all good, with any decision
  1  a queue could not be asked, its criteria do not fit what CallTools sent, or the report is not
     complete
  2  nothing was asked: the configuration is wrong, a token cannot be read, or no such queue is
     configured")]
    Check(Check),
    /// List the account's queues with their ids, and with --seats their agents and seats now
    #[command(after_help = "Examples:
  openseat queues
  openseat queues --seats         and ask each queue who is free
  openseat queues --json | jq -r '.[].queues[].name'

The list costs one request of each account's hour for every 250 queues. --seats costs one more for the statuses, \
and at least one for each queue. If that is more than `reserve` keeps back, the seats of that account are not \
counted, since polling would go without; --yes counts them all the same. If a daemon runs with the same state \
folder, the daemon asks.

Exit codes: 0 listed, 1 an account could not be asked, or its seats were not counted, 2 the configuration is wrong.")]
    Queues(Queues),
    /// Check or show a configuration, or print an example; offline
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Try the addresses of `[[notify]]`
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Show how the budget divides over the queues; offline
    #[command(after_help = "Examples:
  openseat plan
  openseat plan --config openseat.toml --json

Exit codes: 0 the queues fit the budget, 1 they do not, 2 the configuration is wrong.")]
    Plan(Plan),
    /// Ask the running daemon whether it is ready, for container health checks
    #[command(after_help = "Examples:
  openseat health
  openseat health --live --config /etc/openseat/openseat.toml

It asks the first address in listen, and prints the state of each queue.

Exit codes: 0 ready, 1 not ready or no answer, 2 the configuration is wrong.")]
    Health(Health),
    /// Show what the running daemon knows: every queue, what it would answer and why, and what is left of the hour
    #[command(after_help = "Examples:
  openseat status
  openseat status --watch                         stay, and show what changes
  openseat status --url http://127.0.0.1:7717     a daemon of another config
  openseat status --json | jq '.queues[] | select(.fault)'

It asks the control socket in the state folder, which needs no token; run it as root or as the daemon's \
user. If the socket does not answer, it asks the first address in listen, with the token from \
bearer_token_file. It sends no request to CallTools.

Exit codes:
  0  every queue has usable data, with any decision
  1  a queue has no usable data, or the daemon does not answer
  2  nothing was asked: the configuration is wrong, or the daemon rejects the token")]
    Status(Status),
    /// Make the running daemon read its configuration and secret files again, and report the result
    #[command(after_help = "Examples:
  openseat reload
  openseat reload --log-level debug     and log more from now on
  systemctl reload openseat             the same, where the service runs

It asks the control socket in the state folder, so run it as root or as the daemon's user. It waits until \
the new configuration is in force or rejected; it is never applied in part. If --log-level or $OPENSEAT_LOG \
is set, the daemon uses these levels from now on, even if the configuration is rejected. The daemon reads the \
file that it was started with; --config only helps to find the daemon.

Exit codes:
  0  the new configuration is in force
  1  rejected (the old one stays in force), no daemon answers, or it does not read the --config file
  2  the configuration is wrong, so the daemon cannot be found")]
    Reload(ConfigFile),
    /// Try openseat: a simulated CallTools and the daemon in one process
    #[command(after_help = "Examples:
  openseat demo
  openseat demo --listen 127.0.0.1:0 --seed 7
  openseat demo --nodes 3                   several openseats that share one account")]
    Demo(Demo),
    /// Run the simulated CallTools alone, to integrate against
    #[command(after_help = "Examples:
  openseat simulate
  openseat simulate --queues 50 --agents 200 --speed 60 --seed 7
  openseat simulate --queues 1 --agents 10 --seats 3    always three seats, to test a router
  openseat simulate --fault ok:2m --fault 503:5m        two good minutes, five bad ones, good again
  openseat simulate --ordering off --lag 30s            an unsorted list, from a slow replica
  openseat simulate --like report.json                  an account like the one of the report
  curl -H 'Authorization: Token simulated0token0of0a0simulated0account00' \\
    http://127.0.0.1:8500/api/queues/")]
    Simulate(Simulate),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  openseat completions bash > /etc/bash_completion.d/openseat
  openseat completions fish > ~/.config/fish/completions/openseat.fish")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Write manual pages into a folder
    #[command(after_help = "Example:
  openseat man /usr/local/share/man/man1")]
    Man(Man),
}

/// `openseat check`
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// Queues as the configuration names them; account/queue if several accounts have one [default: all]
    #[arg(value_name = "QUEUE")]
    pub queues: Vec<String>,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Print JSON: `ok`, `queues` (decisions with agents, criteria, fault, requests, budget), `accounts`
    #[arg(long, conflicts_with = "curl")]
    pub json: bool,
    /// List every agent, also those who are not logged in to the queue
    #[arg(long)]
    pub all: bool,
    /// Print equivalent curl commands and send nothing
    #[arg(long)]
    pub curl: bool,
    /// Find out how the account's API behaves, and write a report that names nobody, for a bug report
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "all", "curl"])]
    pub report: Option<PathBuf>,
}

/// `openseat init`
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// File to write the configuration to
    #[arg(
        short,
        long,
        value_name = "FILE",
        env = "OPENSEAT_CONFIG",
        default_value = DEFAULT_PATHS[0]
    )]
    pub config: PathBuf,
    /// The account's name in metrics and answers
    #[arg(long, default_value = "main")]
    pub name: String,
    /// Login address, its first part such as east-1, or the API's own address
    #[arg(long, value_name = "SILO")]
    pub silo: Option<String>,
    /// File that already has the API token; the configuration then names it
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A queue's name, id or settings address; may be repeated
    #[arg(long = "queue", value_name = "QUEUE")]
    pub queues: Vec<String>,
    /// Accept a call while there are more free agents than this
    #[arg(long, value_name = "N")]
    pub threshold: Option<u32>,
    /// Folder for what must survive a restart [default: the user's own state folder]
    #[arg(long, value_name = "FOLDER")]
    pub state_dir: Option<PathBuf>,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
}

/// `openseat queues`
#[derive(Clone, Debug, Args)]
pub struct Queues {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Ask each queue for its agents, and count its seats
    #[arg(long)]
    pub seats: bool,
    /// Count the seats even if that takes more requests than `reserve` keeps back
    #[arg(long, requires = "seats")]
    pub yes: bool,
    /// Print JSON: for each account its `queues` with `id`, `name`, `agents`, `seats`, and why they are not counted, if so
    #[arg(long)]
    pub json: bool,
}

/// `openseat config`
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every mistake in the configuration
    #[command(
        after_help = "It reads every file that the configuration names: tokens, authorities, certificate and key.

Exit codes: 0 it is good, 2 it is wrong, or a file that it names cannot be read or used."
    )]
    Check(ConfigFile),
    /// Print the configuration in force, with all defaults and without secrets
    Show(ConfigFile),
    /// Print a commented configuration with every key, to start from
    #[command(after_help = "Example:
  openseat config example > openseat.toml")]
    Example,
}

/// `openseat notify`
#[derive(Clone, Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test message to each address, and report which recipients accepted it
    #[command(
        after_help = "Each address gets one message, whose `event` is `test`, also a router that takes pushes. No request goes to \
CallTools, and no daemon needs to run.

Exit codes:
  0  every recipient accepted it
  1  a recipient did not accept it, or there is none
  2  the configuration is wrong, or an address cannot be read"
    )]
    Test(ConfigFile),
}

/// `openseat plan`
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `openseat health`
#[derive(Clone, Debug, Args)]
pub struct Health {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Ask only whether the daemon answers at all
    #[arg(long)]
    pub live: bool,
}

/// `openseat man`
#[derive(Clone, Debug, Args)]
pub struct Man {
    /// Output folder, created if missing
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// `openseat status`
#[derive(Clone, Debug, Args)]
pub struct Status {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigFile,
    /// Ask this address instead of the configured one; without --config no token is sent
    #[arg(long, value_name = "URL", value_parser = Address::parse)]
    pub url: Option<Address>,
    /// Keep running and show changes until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// Print JSON; with --watch, one document a line
    #[arg(long)]
    pub json: bool,
}

/// `openseat demo`
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Address at which the daemon answers
    #[arg(long, default_value = "127.0.0.1:7717")]
    pub listen: SocketAddr,
    /// Random seed; the same seed repeats the same day
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of openseats that share the account; more than one needs redis-server in PATH
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: u8,
}

/// `openseat simulate`
#[derive(Clone, Debug, Args)]
pub struct Simulate {
    /// Address at which the simulated CallTools answers
    #[arg(long, default_value = "127.0.0.1:8500")]
    pub listen: SocketAddr,
    /// Random seed; the same seed repeats the same day
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of queues in the account
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub queues: u32,
    /// Number of agents in the account; --seats adds to it
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub agents: u32,
    /// Keep every queue at exactly this many seats: no agent comes, goes or takes a call
    ///
    /// The account then has this many more agents for each queue. They alone are available.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=250))]
    pub seats: Option<u32>,
    /// Behave like the account in a report of `openseat check --report`
    #[arg(long, value_name = "FILE", conflicts_with_all = super::simulate::flags::TOLD_BY_REPORTS)]
    pub like: Option<PathBuf>,
    /// Simulated seconds per real second, from 0.001 to 1000000
    #[arg(long, default_value_t = 1.0, value_parser = super::simulate::flags::speed)]
    pub speed: f64,
    /// Requests that the account may send in an hour
    #[arg(long, default_value_t = 1000)]
    pub requests_per_hour: u32,
    /// Mean time from a request to its answer
    #[arg(long, default_value = "300ms", value_parser = super::simulate::flags::latency)]
    pub latency: std::time::Duration,
    /// Faults and quirks.
    #[command(flatten)]
    pub flags: super::simulate::flags::Flags,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_help_of_init_names_the_one_file_that_it_writes_by_default() {
        let mut command = Cli::command();
        let init = command.find_subcommand_mut("init").expect("a command");
        let help = init.render_long_help().to_string();
        assert!(help.contains("[default: openseat.toml]"), "{help}");
        assert!(!help.contains("/etc/openseat"), "{help}");
    }

    #[test]
    fn help_is_wrapped_at_the_width_of_the_terminal_only() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
            for (line, next) in help.lines().zip(help.lines().skip(1)) {
                assert!(
                    !(is_prose(line) && is_prose(next)),
                    "{}: a paragraph is one line, which clap wraps: {line}",
                    command.get_name()
                );
            }
            // Lines in columns must fit the widest help.
            let columns = help.lines().filter(|line| line.starts_with(' '));
            for line in columns {
                let name = command.get_name();
                assert!(line.chars().count() <= 100, "{name}: too long: {line}");
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
