//! `openseat queues`: the queues of each account, with their ids, to copy into the config.

use std::{fmt::Write as _, process::ExitCode, sync::Arc};

use super::{
    EXIT_FAILURE, EXIT_USAGE, args, asking, exit_after, exit_with, failed, load_with_secrets,
    print,
    spinner::Spinner,
    terminal::{BAD, Column, STRONG, counted, painted, plain, show, table},
};
use crate::{
    budget::Ledger,
    clock::{Clock, SystemClock},
    config::Config,
    process::{causes::causes, runtime::block_on},
    server::check::{Count, Listing, list},
    state::LAST_WRITES,
};

/// Lists. Exits with 0 if every account could be asked for what was wanted.
pub fn run(options: &args::Queues) -> ExitCode {
    let config = match load_with_secrets(&options.config) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let target = format!("/v1/list?seats={}&yes={}", options.seats, options.yes);
    let wanted = Count::wanted(options.seats, options.yes);
    let alone = async |ledger, _| ask(&config, ledger, wanted).await;
    let json = block_on(async { Ok(asking::ask(&config, &target, alone).await) });
    match json {
        Ok(Ok(json)) => tell(&json, options),
        Ok(Err(exit)) => exit,
        Err(error) => failed(&error),
    }
}

async fn ask(config: &Config, ledger: Ledger, wanted: Count) -> Result<String, ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ledger = Arc::new(ledger);
    let mut reaches = Vec::with_capacity(config.accounts.len());
    for account in &config.accounts {
        let token = asking::token(&account.upstream.token);
        let reach = token.and_then(|token| asking::reach(account, &token, &ledger, &clock));
        reaches.push(reach.map_err(|error| {
            let error = error.context(format!("account \"{}\"", account.name));
            exit_with(EXIT_USAGE, &causes(error.as_ref()))
        })?);
    }
    let spinner = Spinner::counting(reaches.len());
    let mut listings = Vec::with_capacity(reaches.len());
    for reach in &reaches {
        listings.push(list(reach, &clock, wanted).await);
        spinner.done();
    }
    drop(spinner);
    ledger.finish(LAST_WRITES);
    Ok(serde_json::to_string(&listings).expect("texts and numbers serialize"))
}

fn tell(json: &str, options: &args::Queues) -> ExitCode {
    let listings: Vec<Listing> = match serde_json::from_str(json) {
        Ok(listings) => listings,
        Err(error) => {
            let why = format!("the daemon's list cannot be read; is it another version? {error}");
            return exit_with(EXIT_FAILURE, &why);
        }
    };
    let printed = match options.json {
        true => print(&format!("{json}\n")),
        false => show(&text(&listings, options.seats)),
    };
    let failed = listings
        .iter()
        .any(|listing| listing.cause.is_some() || listing.uncounted.is_some());
    exit_after(
        printed,
        ExitCode::from(if failed { EXIT_FAILURE } else { 0 }),
    )
}

fn text(listings: &[Listing], seats: bool) -> String {
    let mut text = String::new();
    for listing in listings {
        let _ = writeln!(text, "{}", painted(STRONG, plain(&listing.account)));
        if let Some(cause) = &listing.cause {
            let _ = writeln!(text, "{}  {}", painted(BAD, "unknown"), plain(cause));
            let advice = listing.advice.as_deref().unwrap_or_default();
            let _ = writeln!(text, "What to do: {}", plain(advice));
        } else {
            text += &rows(listing, seats && listing.uncounted.is_none());
        }
        if let Some(why) = &listing.uncounted {
            let _ = writeln!(text, "{}  {}", painted(BAD, "not counted"), plain(why));
            let _ = writeln!(text, "What to do: {FEWER}");
        }
        let _ = writeln!(
            text,
            "{} spent\n",
            counted(listing.requests.into(), "request")
        );
    }
    text
}

/// How to see the seats of an account with many queues.
const FEWER: &str = "name the queues in the config and run `openseat check`, or add --yes: polling then has fewer requests for an hour";

const COLUMNS: [Column; 4] = [
    Column::numbers("id"),
    Column::names("queue"),
    Column::numbers("agents"),
    Column::numbers("seats"),
];

fn rows(listing: &Listing, seats: bool) -> String {
    let columns = if seats { &COLUMNS[..] } else { &COLUMNS[..2] };
    let rows = listing.queues.iter().map(|queue| {
        let number = |number: Option<String>| number.unwrap_or("?".to_owned());
        let mut row = vec![queue.id.to_string(), plain(&queue.name).into_owned()];
        if seats {
            row.push(number(queue.agents.map(|agents| agents.to_string())));
            row.push(number(queue.seats.map(|seats| seats.to_string())));
        }
        row
    });
    match listing.queues.is_empty() {
        true => "the account has no queue\n".to_owned(),
        false => table(columns, rows),
    }
}
