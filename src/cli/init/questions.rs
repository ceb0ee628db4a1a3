//! Asks a person at a terminal, or reads one line per question from a pipe.

use std::io::{self, IsTerminal};

use dialoguer::{Input, MultiSelect, Password, theme::ColorfulTheme};
use secrecy::{ExposeSecret, SecretString};

use super::{Place, Token};
use crate::{cli::terminal::plain, server::check::ListedQueue};

/// Asks the questions.
pub(super) struct Asker {
    is_terminal: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// The pipe has ended.
    #[error(
        "there is no answer to \"{question}\": use {flag}, or pipe one line for each answer that has no flag"
    )]
    Ended {
        question: &'static str,
        flag: &'static str,
    },
    /// A line from the pipe is not a valid answer.
    #[error("\"{question}\": the answer {why}")]
    Wrong { question: &'static str, why: String },
    /// The terminal or the pipe failed.
    #[error("the answer cannot be read: {0}")]
    Failed(#[from] io::Error),
}

impl From<dialoguer::Error> for NoAnswer {
    fn from(dialoguer::Error::IO(error): dialoguer::Error) -> Self {
        NoAnswer::Failed(error)
    }
}

/// The picked queues.
pub(super) enum Picked {
    /// Indexes into the list.
    Places(Vec<usize>),
    /// Names as written.
    Named(Vec<String>),
}

const ADDRESS: &str = "Login address or silo (such as east-1)";
const TOKEN: &str = "API token (not shown)";
const QUEUES: &str = "Queues (space picks, enter ends)";
const THRESHOLD: &str = "Accept a call while there are more free agents than";

impl Asker {
    /// A terminal that can be both read and written, or else a pipe.
    pub fn new() -> Self {
        Self {
            is_terminal: io::stdin().is_terminal() && io::stderr().is_terminal(),
        }
    }

    /// Returns whether a person can be asked again.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Asks where the account is.
    pub fn address(
        &mut self,
        parse: impl Fn(&str) -> Result<Place, String>,
    ) -> Result<Place, NoAnswer> {
        if !self.is_terminal {
            let line = line(ADDRESS, "--silo")?;
            return parse(&line).map_err(|why| wrong(ADDRESS, why));
        }
        let theme = ColorfulTheme::default();
        let check = |text: &String| parse(text).map(drop).map_err(|why| format!("it {why}"));
        let text: String = Input::with_theme(&theme)
            .with_prompt(ADDRESS)
            .validate_with(check)
            .interact_text()?;
        parse(&text).map_err(|why| wrong(ADDRESS, why))
    }

    /// Asks for the token, without showing it.
    pub fn token(&mut self) -> Result<Token, NoAnswer> {
        if !self.is_terminal {
            let text = SecretString::from(line(TOKEN, "--token-file")?);
            return Token::parse(text.expose_secret()).map_err(|why| wrong(TOKEN, why.to_string()));
        }
        let theme = ColorfulTheme::default();
        let check = |text: &String| match Token::parse(text) {
            Ok(_) => Ok(()),
            Err(flaw) => Err(format!("it {flaw}")),
        };
        let text = Password::with_theme(&theme)
            .with_prompt(TOKEN)
            .validate_with(check)
            .interact()?;
        let text = SecretString::from(text);
        Token::parse(text.expose_secret()).map_err(|why| wrong(TOKEN, why.to_string()))
    }

    /// Asks for at least one queue.
    pub fn queues(&mut self, queues: &[ListedQueue]) -> Result<Picked, NoAnswer> {
        if !self.is_terminal {
            let line = line(QUEUES, "--queue")?;
            let names = line.split(',').map(|name| name.trim().to_owned());
            let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
            return match names.is_empty() {
                true => Err(wrong(
                    QUEUES,
                    "names no queue; write names or ids with commas between them".to_owned(),
                )),
                false => Ok(Picked::Named(names)),
            };
        }
        let theme = ColorfulTheme::default();
        let rows = queues
            .iter()
            .map(|queue| format!("{}  {}", plain(&queue.name), queue.id));
        let rows: Vec<String> = rows.collect();
        loop {
            let picked = MultiSelect::with_theme(&theme)
                .with_prompt(QUEUES)
                .items(&rows)
                // With a single queue there is nothing to pick.
                .defaults(&[queues.len() == 1])
                .max_length(15)
                .interact()?;
            if !picked.is_empty() {
                return Ok(Picked::Places(picked));
            }
            super::complain("pick at least one queue: the arrow keys move, the space key picks");
        }
    }

    /// Asks for the threshold.
    pub fn threshold(&mut self) -> Result<u32, NoAnswer> {
        if !self.is_terminal {
            let Ok(line) = line(THRESHOLD, "--threshold") else {
                return Ok(0);
            };
            return match line.trim() {
                "" => Ok(0),
                number => number
                    .parse()
                    .map_err(|_| wrong(THRESHOLD, "must be a whole number, 0 or more".to_owned())),
            };
        }
        let theme = ColorfulTheme::default();
        Ok(Input::with_theme(&theme)
            .with_prompt(THRESHOLD)
            .default(0)
            .interact_text()?)
    }
}

fn wrong(question: &'static str, why: String) -> NoAnswer {
    NoAnswer::Wrong { question, why }
}

/// Reads the next line from the pipe.
fn line(question: &'static str, flag: &'static str) -> Result<String, NoAnswer> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line)? {
        0 => Err(NoAnswer::Ended { question, flag }),
        _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}
