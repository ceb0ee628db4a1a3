//! `openseat check --report FILE`: finds out how the account's API behaves, prints it in words, and writes it to a file that names nobody.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use url::form_urlencoded;

use super::reach;
use crate::{
    budget::Ledger,
    cli::{
        EXIT_FAILURE, EXIT_USAGE, asking, exit_after, exit_with, failed,
        spinner::Spinner,
        terminal::{BAD, STRONG, counted, painted, plain, show},
        to_json,
    },
    clock::{Clock, SystemClock},
    config::Config,
    process::{causes::causes, runtime::block_on},
    server::check::{
        Target, select,
        survey::{self, SurveyReport},
    },
    state::LAST_WRITES,
};

/// Surveys the account of the named queue. Exits with 0 if every question was asked and answered.
pub(super) fn run(config: &Config, asked: &[String], path: &Path) -> ExitCode {
    let targets = match select(config, asked) {
        Ok(targets) => targets,
        Err(unknown) => return exit_with(EXIT_USAGE, &unknown.to_string()),
    };
    let target = match survey::only(&targets) {
        Ok(target) => target,
        Err(several) => return exit_with(EXIT_USAGE, &several.to_string()),
    };
    // Before any request is spent. The file is created again with its content, so that Ctrl-C in between leaves none.
    match create(path) {
        Ok(_) => remove(path),
        Err(exit) => return exit,
    }
    let report = match block_on(async { Ok(ask(config, target).await) }) {
        Ok(Ok(report)) => report,
        Ok(Err(exit)) => return exit,
        Err(error) => return failed(&error),
    };
    if let Err(exit) = write(path, &report) {
        return exit;
    }
    let code = match report.is_complete() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILURE),
    };
    exit_after(show(&text(&report, target, path)), code)
}

/// Creates the file without replacing one.
fn create(path: &Path) -> Result<File, ExitCode> {
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    created.map_err(|error| {
        let path = path.display();
        let why = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{path} exists already; remove it, or name another file")
            }
            _ => format!("{path} cannot be written: {error}"),
        };
        exit_with(EXIT_USAGE, &why)
    })
}

/// Removes the file that we created a moment ago. If that fails, it stays as it is.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

fn write(path: &Path, report: &SurveyReport) -> Result<(), ExitCode> {
    let mut file = create(path)?;
    let written = file.write_all(to_json(report).as_bytes());
    written.and_then(|()| file.sync_all()).map_err(|error| {
        remove(path);
        let why = format!("{} cannot be written: {error}", path.display());
        exit_with(EXIT_FAILURE, &why)
    })
}

/// Returns the daemon's report, or our own if no daemon runs.
async fn ask(config: &Config, target: &Target<'_>) -> Result<SurveyReport, ExitCode> {
    let queue = target.key(target.queues[0].0).to_string();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("queue", &queue)
        .finish();
    let path = format!("/v1/survey?{query}");
    let alone = async |ledger, _| ask_alone(target, ledger).await;
    let json = asking::ask(config, &path, alone).await?;
    serde_json::from_str(&json).map_err(|error| {
        let why = format!("the daemon's report cannot be read; is it another version? {error}");
        exit_with(EXIT_FAILURE, &why)
    })
}

async fn ask_alone(target: &Target<'_>, ledger: Ledger) -> Result<String, ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ledger = Arc::new(ledger);
    let reach = reach(target, &ledger, &clock).map_err(|error| {
        let error = error.context(format!("account \"{}\"", target.account.name));
        exit_with(EXIT_USAGE, &causes(error.as_ref()))
    })?;
    let spinner = Spinner::asking();
    let report = survey::survey(target, &reach, &clock).await;
    drop(spinner);
    // The next process needs to know a pause that CallTools asked for.
    ledger.finish(LAST_WRITES);
    match report {
        Ok(report) => Ok(serde_json::to_string(&report).expect("texts and numbers serialize")),
        Err(error) => Err(exit_with(
            EXIT_FAILURE,
            &survey::message(&error, clock.now()),
        )),
    }
}

fn text(report: &SurveyReport, target: &Target<'_>, path: &Path) -> String {
    let account = painted(STRONG, plain(&target.account.name));
    let mut text = format!(
        "{account}: {}\n\n",
        counted(report.requests.into(), "request")
    );
    let findings: Vec<_> = report
        .said
        .iter()
        .map(|line| line.split_once(": ").unwrap_or(("", line)))
        .collect();
    let width = findings.iter().map(|(subject, _)| subject.len()).max();
    let width = width.unwrap_or_default();
    for (subject, sentence) in findings {
        let subject = painted(STRONG, format!("{subject:width$}"));
        let _ = writeln!(text, "{subject}  {}", plain(sentence));
    }
    if !report.is_complete() {
        text.push('\n');
    }
    for why in report.unanswered.iter().chain(&report.stopped) {
        let _ = writeln!(text, "{}  {}", painted(BAD, "not complete"), plain(why));
    }
    let _ = writeln!(
        text,
        "\nwritten to {}: names, ids, tokens and hosts in it are replaced; dates of change and log-in are not",
        plain(&path.display().to_string())
    );
    text
}
