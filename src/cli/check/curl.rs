//! Prints how to ask CallTools the same without us: to compare, or to show its support.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    config::{self, Config, QueueRef, Upstream},
    process::shell::quoted,
    server::check::Target,
};

/// Returns the commands for each queue: a script for POSIX shells that can also be pasted.
///
/// It has no comments: an interactive zsh rejects them, and an apostrophe in one would open a quote that swallows the rest. Remarks
/// are quoted words after `:`, the command that does nothing.
pub(super) fn commands(config: &Config, targets: &[Target<'_>]) -> String {
    let tokens = variables(config);
    let mut script = String::new();
    let mut last = None;
    for target in targets {
        let account = target.account;
        let token = tokens.get(&account.name).map_or(ONE, String::as_str);
        if last.replace(&account.name) != Some(&account.name) {
            script += &remark(&format!(
                "The token of account {} goes into {token} first: read -rs {token}",
                account.name
            ));
        }
        for (queue, _) in &target.queues {
            script.push('\n');
            script += &remark(&target.key(queue).to_string());
            script += &command(&account.upstream, token, queue);
        }
    }
    script.push('\n');
    script += &remark(
        "Ids are found with jq. If an answer has a next that is not null, there are more than 250 rows: add &page=2, and so on.",
    );
    script
}

/// The variable of the token if the config has one account.
const ONE: &str = "CALLTOOLS_API_TOKEN";

/// Returns the variable of each account's token. With several accounts each has its own, so that no token goes to another account's silo.
fn variables(config: &Config) -> HashMap<Arc<str>, String> {
    let mut variables = HashMap::new();
    let mut taken = HashSet::new();
    for account in &config.accounts {
        let variable = match config.accounts.len() {
            1 => ONE.to_owned(),
            _ => unlike(&taken, &format!("{ONE}_{}", shouted(&account.name))),
        };
        taken.insert(variable.clone());
        variables.insert(Arc::clone(&account.name), variable);
    }
    variables
}

/// Turns a name into the letters that a variable may have, in capitals.
fn shouted(name: &str) -> String {
    let fits = |letter: char| match letter.to_ascii_uppercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '_',
    };
    name.chars().map(fits).collect()
}

/// Makes a variable unique: names that differ may look alike in capitals, so the second gets a number.
fn unlike(taken: &HashSet<String>, variable: &str) -> String {
    let numbered = (2..).map(|number| format!("{variable}_{number}"));
    let mut candidates = std::iter::once(variable.to_owned()).chain(numbered);
    candidates
        .find(|candidate| !taken.contains(candidate))
        .expect("there are more numbers than accounts")
}

/// Formats a remark that every shell ignores.
fn remark(text: &str) -> String {
    format!(": {}\n", quoted(text))
}

fn command(upstream: &Upstream, token: &str, queue: &config::Queue) -> String {
    let agents = |id: &str| {
        let url = quoted(&format!("{}agentstatuses/?queue=", upstream.base_url));
        format!("{} {url}{id}'&page_size=250'\n", curl(upstream, token))
    };
    match &queue.reference {
        QueueRef::Id(id) => agents(&id.to_string()),
        QueueRef::Name(name) => {
            let url = format!("{}queues/?page_size=250", upstream.base_url);
            format!(
                "QUEUE_ID=$({} {} |\n  jq --arg name {} '.results[] | select(.name == $name) | .id')\n{}",
                curl(upstream, token),
                quoted(&url),
                quoted(name),
                agents("\"$QUEUE_ID\"")
            )
        }
    }
}

/// Returns `curl` with all options that the config implies for this account.
fn curl(upstream: &Upstream, token: &str) -> String {
    let mut curl = "curl -sS".to_owned();
    if let Some(proxy) = &upstream.proxy {
        curl += &format!(" --proxy {}", quoted(proxy.as_str()));
    }
    if let Some(file) = &upstream.ca_file {
        curl += &format!(" --cacert {}", quoted(&file.to_string_lossy()));
    }
    format!("{curl} -H \"Authorization: Token ${token}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(accounts: &[&str]) -> Config {
        let account = |name: &&str| {
            format!(
                "[[account]]\nname = {name:?}\nsilo = \"east-1\"\ntoken_file = \"./{name}\"\n[[account.queue]]\nqueue = \"it's\"\n"
            )
        };
        let text: String = accounts.iter().map(account).collect();
        let path = std::path::Path::new("openseat.toml");
        Config::parse(&text, path, &|_| None).expect("a valid config")
    }

    fn variable(accounts: &[&str], account: &str) -> String {
        variables(&config(accounts))[account].clone()
    }

    #[test]
    fn each_of_several_accounts_has_a_variable_of_its_own() {
        assert_eq!(variable(&["main"], "main"), "CALLTOOLS_API_TOKEN");
        let several = ["main", "a-b", "A b c", "a_b", "Zoë", "a.b2"];
        for (account, expected) in [
            ("main", "CALLTOOLS_API_TOKEN_MAIN"),
            ("a-b", "CALLTOOLS_API_TOKEN_A_B"),
            ("a_b", "CALLTOOLS_API_TOKEN_A_B_2"),
            ("A b c", "CALLTOOLS_API_TOKEN_A_B_C"),
            ("Zoë", "CALLTOOLS_API_TOKEN_ZO_"),
        ] {
            assert_eq!(variable(&several, account), expected);
        }
        assert_eq!(
            unlike(&["X".to_owned(), "X_2".to_owned()].into(), "X"),
            "X_3"
        );
    }
}
