//! `openseat notify`: tries the addresses that notifications go to.

use std::process::ExitCode;

use futures_util::future::join_all;

use super::{
    EXIT_FAILURE, EXIT_USAGE,
    args::NotifyCommand,
    exit_after, exit_with, failed, load_with_secrets,
    terminal::{BAD, GOOD, MARK, painted, plain, show},
};
use crate::{
    clock::SystemClock,
    notify::{Undelivered, Webhook, recipients, test_message},
    process::{causes::causes, runtime::block_on},
};

/// Sends a test message to each address. Exits with 0 if all accepted it.
pub fn run(NotifyCommand::Test(file): &NotifyCommand) -> ExitCode {
    let config = match load_with_secrets(file) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let recipients = match recipients(&config.notify) {
        Ok(recipients) => recipients,
        Err(error) => return exit_with(EXIT_USAGE, &causes(error.as_ref())),
    };
    let (message, clock) = (test_message(), SystemClock::new());
    let send = async {
        let deliveries = recipients.webhooks().map(async |webhook| {
            let outcome = webhook.deliver(message.clone(), &clock).await;
            (line(webhook, &outcome), outcome.is_ok())
        });
        Ok(join_all(deliveries).await)
    };
    let lines = match block_on(send) {
        Ok(lines) => lines,
        Err(error) => return failed(&error),
    };
    if lines.is_empty() {
        return exit_with(
            EXIT_FAILURE,
            "the configuration has no [[notify]]; docs/notifications.md shows one",
        );
    }
    let good = lines.iter().all(|(_, taken)| *taken);
    let text: String = lines.into_iter().map(|(line, _)| line).collect();
    let code = match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_FAILURE),
    };
    exit_after(show(&text), code)
}

fn line(webhook: &Webhook, outcome: &Result<(), Undelivered>) -> String {
    let file = webhook.file().display().to_string();
    let (style, words) = match outcome {
        Ok(()) => (GOOD, "accepted the message".to_owned()),
        Err(error) => (BAD, error.to_string()),
    };
    format!("{} {}: {words}\n", painted(style, MARK), plain(&file))
}
