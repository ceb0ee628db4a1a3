//! `openseat init`: leads from a login address and a token to a config that has given a correct decision.
//!
//! Every answer comes from a flag, a terminal, or a pipe with one line per open question. Nothing is written before the last answer,
//! and each file is written completely or not at all. `questions` asks, `files` writes.

mod files;
mod interrupt;
mod questions;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use self::{
    files::Files,
    questions::{Asker, NoAnswer},
};
use super::{
    EXIT_FAILURE, EXIT_USAGE, args, asking, check, complain, exit_with, failed,
    spinner::Spinner,
    terminal::{GOOD, STRONG, painted, plain, show},
};
use crate::{
    calltools::{
        Token,
        address::{NotASilo, Silo, parse_base_url},
    },
    clock::{Clock, SystemClock},
    config::{Config, QueueRef, TokenSource, pasted, process_env},
    model::config_name::unfit,
    process::{runtime::block_on, spelling::nearest},
    server::check::{Count, ListedQueue, list},
    state::LAST_WRITES,
};

/// How many wrong answers a terminal may give.
const MAX_TRIES: usize = 5;

/// Names of queues that an error lists.
const MAX_LISTED: usize = 30;

/// Asks, writes, checks. Exits like `check`.
pub fn run(options: &args::Init) -> ExitCode {
    match answers(options).and_then(|(files, text)| files.write(&text).map(|()| files)) {
        Ok(files) => finish(&files.config),
        Err(exit) => exit,
    }
}

/// Returns the files to write, and the text of the config.
fn answers(options: &args::Init) -> Result<(Files, String), ExitCode> {
    let mut files = Files::new(options).map_err(usage)?;
    interrupt::guard().map_err(|error| failed(&error))?;
    let mut asker = Asker::new();
    let (account, queues) = connect(options, &mut files, &mut asker)?;
    let picked = pick(options, &queues, &mut asker)?;
    let threshold = match options.threshold {
        Some(threshold) => threshold,
        None => asker.threshold().map_err(no_answer)?,
    };
    let text = account.config(&picked, &queues, threshold);
    Ok((files, text))
}

fn usage(why: String) -> ExitCode {
    exit_with(EXIT_USAGE, &why)
}

fn no_answer(why: NoAnswer) -> ExitCode {
    match why {
        NoAnswer::Failed(error) if error.kind() == io::ErrorKind::Interrupted => interrupt::end(),
        why => usage(why.to_string()),
    }
}

/// Asks for silo and token until CallTools answers with the account's queues.
fn connect(
    options: &args::Init,
    files: &mut Files,
    asker: &mut Asker,
) -> Result<(Account, Vec<ListedQueue>), ExitCode> {
    // Both paths are relative to where the command runs; those in the config would be relative to its own folder.
    let state_dir = options.state_dir.as_deref().map(std::path::absolute);
    let state_dir = state_dir
        .transpose()
        .map_err(|error| usage(format!("--state-dir: {error}")))?;
    let mut tries = 0;
    loop {
        let address = match &options.silo {
            Some(text) => Place::parse(text).map_err(|why| usage(format!("--silo {why}")))?,
            None => asker.address(Place::parse).map_err(no_answer)?,
        };
        let token = match &options.token_file {
            Some(path) => asking::token(&TokenSource::File(path.clone()))
                .map_err(|error| usage(error.to_string()))?,
            None => asker.token().map_err(no_answer)?,
        };
        let account = Account {
            name: options.name.clone(),
            place: address,
            token_file: files.token_path(),
            state_dir: state_dir.clone(),
        };
        tries += 1;
        match account.queues(files, &token) {
            Ok(queues) => {
                files.keep_token(token);
                return Ok((account, queues));
            }
            Err(Failure::Exit(exit)) => return Err(exit),
            Err(Failure::Told(why)) => {
                complain(&why);
                let answers_are_open = options.silo.is_none() || options.token_file.is_none();
                if !asker.is_terminal() || !answers_are_open || tries == MAX_TRIES {
                    return Err(ExitCode::from(EXIT_FAILURE));
                }
            }
        }
    }
}

/// The account's API, as the config names it.
#[derive(Clone, Debug)]
enum Place {
    Silo(String),
    BaseUrl(String),
}

impl Place {
    /// Parses a silo or a login address; or the API's own address, such as that of `openseat simulate`.
    fn parse(text: &str) -> Result<Self, String> {
        match Silo::parse(text) {
            Ok(silo) => Ok(Place::Silo(silo.label().to_owned())),
            Err(NotASilo::ForeignHost) => match parse_base_url(text) {
                Ok(mut url) => {
                    // As at CallTools, where the API is below `/api/`.
                    if url.path() == "/" {
                        url.set_path("/api/");
                    }
                    Ok(Place::BaseUrl(url.to_string()))
                }
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    fn line(&self) -> String {
        match self {
            Place::Silo(label) => format!("silo = {}", quoted(label)),
            Place::BaseUrl(url) => format!("base_url = {}", quoted(url)),
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What is known of the account before its queues are picked.
struct Account {
    name: String,
    place: Place,
    token_file: String,
    state_dir: Option<PathBuf>,
}

/// Why the queues could not be listed.
enum Failure {
    /// The reason is already printed.
    Exit(ExitCode),
    /// The reason; other answers may help.
    Told(String),
}

impl Account {
    fn head(&self) -> String {
        let state = self.state_dir.as_deref().map_or(String::new(), |folder| {
            format!(
                "[state]\ndir = {}\n\n",
                quoted(&folder.display().to_string())
            )
        });
        format!(
            "# Written by `openseat init`. `openseat config example` shows every key, `openseat config show` what is in force.\n\n\
             {state}[[account]]\nname = {}\n{}\ntoken_file = {}\n",
            quoted(&self.name),
            self.place.line(),
            quoted(&self.token_file)
        )
    }

    /// Returns the whole config.
    fn config(&self, picked: &[usize], queues: &[ListedQueue], threshold: u32) -> String {
        let mut text = self.head();
        for at in picked {
            let name = queue_value(&queues[*at], queues);
            text += &format!("\n[[account.queue]]\nqueue = {name}\nthreshold = {threshold}\n");
        }
        text
    }

    /// Asks CallTools for the queues, paid for from the budget of the config to be written.
    fn queues(&self, files: &Files, token: &Token) -> Result<Vec<ListedQueue>, Failure> {
        // A config needs a queue; this one is never requested.
        let text = format!("{}queue = [{{ queue = 1 }}]\n", self.head());
        let config = Config::parse(&text, &files.config, &process_env)
            .map_err(|error| Failure::Told(error.to_string()))?;
        let listing = block_on(async {
            let ledger = match asking::own_ledger(config.state_dir.as_deref()).await {
                Ok(ledger) => Arc::new(ledger),
                Err(exit) => return Ok(Err(exit)),
            };
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            let reach = asking::reach(&config.accounts[0], token, &ledger, &clock)?;
            let spinner = Spinner::counting(1);
            let listing = list(&reach, &clock, Count::Nothing).await;
            drop(spinner);
            ledger.finish(LAST_WRITES);
            Ok(Ok(listing))
        });
        let listing = match listing {
            Ok(Ok(listing)) => listing,
            Ok(Err(exit)) => {
                complain("--state-dir gives this config a folder of its own");
                return Err(Failure::Exit(exit));
            }
            Err(error) => return Err(Failure::Exit(failed(&error))),
        };
        match (listing.cause, listing.queues) {
            (Some(cause), _) => Err(Failure::Told(format!(
                "openseat: {cause}\nWhat to do: {}",
                listing.advice.unwrap_or_default()
            ))),
            (None, queues) if queues.is_empty() => Err(Failure::Told(
                "openseat: this account has no queue, or the token's user may not see any\nWhat to do: create a queue in CallTools, or use the token of a user who sees the queues".to_owned(),
            )),
            (None, queues) => Ok(queues),
        }
    }
}

/// Returns a queue as the config names it: by its name if that is unique and the config can have it, else by its id.
fn queue_value(queue: &ListedQueue, queues: &[ListedQueue]) -> String {
    let name = &queue.name;
    let is_clear = matches!(pasted::queue(name), Ok(QueueRef::Name(_)))
        && unfit(name).is_none()
        && queues.iter().filter(|other| other.name == *name).count() == 1;
    match is_clear {
        true => quoted(name),
        false => queue.id.to_string(),
    }
}

/// Returns the queues to poll, as indexes into the list.
fn pick(
    options: &args::Init,
    queues: &[ListedQueue],
    asker: &mut Asker,
) -> Result<Vec<usize>, ExitCode> {
    let named: Vec<String> = match options.queues.is_empty() {
        false => options.queues.clone(),
        true => match asker.queues(queues).map_err(no_answer)? {
            questions::Picked::Places(places) => return Ok(places),
            questions::Picked::Named(names) => names,
        },
    };
    let mut picked = Vec::new();
    for name in &named {
        let place = find(name, queues).map_err(usage)?;
        if !picked.contains(&place) {
            picked.push(place);
        }
    }
    Ok(picked)
}

/// Finds the queue that a name, an id or an address stands for.
fn find(text: &str, queues: &[ListedQueue]) -> Result<usize, String> {
    let reference = pasted::queue(text.trim()).map_err(|error| format!("{text:?} {error}"))?;
    let mut places = queues
        .iter()
        .enumerate()
        .filter(|(_, queue)| match &reference {
            QueueRef::Id(id) => queue.id == *id,
            QueueRef::Name(name) => queue.name == *name,
        });
    match (places.next(), places.next()) {
        (Some((place, _)), None) => Ok(place),
        (Some(_), Some(_)) => Err(format!(
            "the account has several queues named {text:?}; use the id, which `openseat queues` and CallTools show"
        )),
        (None, _) => Err(unknown(text, queues)),
    }
}

fn unknown(text: &str, queues: &[ListedQueue]) -> String {
    let near = nearest(text, queues.iter().map(|queue| queue.name.as_str()));
    let meant = match near.as_slice() {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(" or ")),
    };
    let listed = queues.iter().take(MAX_LISTED);
    let listed: Vec<_> = listed
        .map(|queue| format!("{} ({})", plain(&queue.name), queue.id))
        .collect();
    let more = match queues.len().checked_sub(MAX_LISTED) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    format!(
        "the account has no queue {text:?}{meant}\nIt has {}{more}",
        listed.join(", ")
    )
}

/// Checks the new config, and suggests the next steps.
fn finish(config: &Path) -> ExitCode {
    let file = config.display();
    let _ = show(&format!("\n{} {file}\n\n", painted(GOOD, "Written:")));
    let code = check::run(&args::Check {
        queues: Vec::new(),
        config: args::ConfigFile {
            config: Some(config.to_owned()),
        },
        json: false,
        all: false,
        curl: false,
        report: None,
    });
    let option = match config == Path::new(crate::config::DEFAULT_PATHS[0]) {
        true => String::new(),
        false => format!(" --config {file}"),
    };
    let _ = show(&format!(
        "\n{}\n  openseat run{option}       answers calls; http://127.0.0.1:7717/ shows what it knows\n  openseat status{option}    what the running daemon knows\n  openseat queues{option}    the account's queues, to add more\n",
        painted(STRONG, "Next:")
    ));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(id: u64, name: &str) -> ListedQueue {
        ListedQueue {
            id,
            name: name.to_owned(),
            agents: None,
            seats: None,
        }
    }

    #[test]
    fn queues_are_found_by_name_id_and_address() {
        let queues = [queue(5450, "sales"), queue(7, "night"), queue(8, "night")];
        assert_eq!(find("sales", &queues), Ok(0));
        assert_eq!(find(" 7 ", &queues), Ok(1));
        let address = "https://east-1.calltools.io/queues/8/";
        assert_eq!(find(address, &queues), Ok(2));
        assert!(find("night", &queues).is_err_and(|why| why.contains("several queues")));
        let why = find("sale", &queues).expect_err("no such queue");
        assert!(why.contains("did you mean sales?"), "{why}");
        assert!(
            why.contains("It has sales (5450), night (7), night (8)"),
            "{why}"
        );
    }

    #[test]
    fn a_queue_whose_name_is_ambiguous_or_unfit_is_written_by_its_id() {
        let queues = [
            queue(1, "sales"),
            queue(2, "a/b"),
            queue(3, "123"),
            queue(4, "twice"),
            queue(5, "twice"),
            queue(6, " space"),
            queue(7, "a\tb"),
            queue(8, ".."),
            queue(9, &"x".repeat(201)),
            queue(10, ""),
            queue(11, "Zoë's \"best\""),
            queue(12, "50% off? #1"),
        ];
        let values = queues.each_ref().map(|one| queue_value(one, &queues));
        assert_eq!(values[0], "\"sales\"");
        let ids = ["2", "3", "4", "5", "6", "7", "8", "9", "10"];
        assert_eq!(values[1..10], ids);
        for (value, queue) in values.iter().zip(&queues).skip(10) {
            let text: toml::Table = format!("x = {value}").parse().expect("TOML");
            assert_eq!(text["x"].as_str(), Some(&*queue.name));
        }
        // The config takes each of them.
        let queues = values.map(|value| format!("{{ queue = {value} }}"));
        let text = format!(
            "state.dir = false\n[[account]]\nname = \"main\"\nsilo = \"east-1\"\ntoken_file = \"./a\"\nqueue = [{}]",
            queues.join(", ")
        );
        let config = Config::parse(&text, Path::new("openseat.toml"), &|_| None);
        assert!(config.is_ok(), "{config:?}");
    }

    #[test]
    fn an_address_is_a_silo_or_an_api() {
        for (text, line) in [
            ("East-1", "silo = \"east-1\""),
            ("https://west-2.calltools.com/login", "silo = \"west-2\""),
            (
                "http://127.0.0.1:8500/api",
                "base_url = \"http://127.0.0.1:8500/api/\"",
            ),
            (
                "http://127.0.0.1:8500",
                "base_url = \"http://127.0.0.1:8500/api/\"",
            ),
        ] {
            assert_eq!(
                Place::parse(text).map(|place| place.line()).as_deref(),
                Ok(line)
            );
        }
        assert!(Place::parse("east 1").is_err());
    }
}
