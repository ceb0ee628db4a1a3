//! The queues that clients and recipients of notifications name.

use super::Config;
use crate::process::spelling::nearest;

/// A queue that a table other than `[[account.queue]]` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedQueue {
    /// Which table it is, such as `[[server.client]] "buyer-7"`.
    pub place: String,
    /// The name, id or `account/queue`, as written.
    pub queue: Box<str>,
}

impl Config {
    /// Returns the queues that clients and recipients of notifications name, in the order of the file.
    pub fn named_queues(&self) -> Vec<NamedQueue> {
        let clients = self.server.clients.iter().map(|client| {
            let place = format!("[[server.client]] \"{}\"", client.name);
            (place, &client.queues)
        });
        let recipients = self.notify.iter().enumerate().map(|(index, notify)| {
            let place = format!("[[notify]] number {}", index + 1);
            (place, &notify.queues)
        });
        let named = clients.chain(recipients).flat_map(|(place, queues)| {
            let queues = queues.iter().flat_map(|queues| queues.iter());
            queues.map(move |queue| NamedQueue {
                place: place.clone(),
                queue: queue.clone(),
            })
        });
        named.collect()
    }
}

/// Warns of each of them that no `[[account.queue]]` is spelled like, or several. CallTools' names and ids count, too, but only CallTools knows them,
/// and they do not make up for an ambiguous spelling.
pub(super) fn doubtful(config: &Config) -> Vec<String> {
    let accounts = config.accounts.iter();
    let queues: Vec<(String, String)> = accounts
        .flat_map(|account| {
            let queues = account.queues.iter();
            queues.map(|queue| {
                let spelling = queue.spelling.to_string();
                (format!("{}/{spelling}", account.name), spelling)
            })
        })
        .collect();
    let named = config.named_queues().into_iter();
    named.filter_map(|named| doubt(&named, &queues)).collect()
}

/// `queues` has each configured queue as `account/queue`, and its spelling alone.
fn doubt(NamedQueue { place, queue }: &NamedQueue, queues: &[(String, String)]) -> Option<String> {
    let is_meant = |(key, spelling): &&(String, String)| **key == **queue || **spelling == **queue;
    let meant: Vec<_> = queues.iter().filter(is_meant).map(|(key, _)| key).collect();
    match meant.as_slice() {
        [_] => None,
        [] => {
            let spellings = queues.iter().flat_map(|(key, spelling)| [&**key, spelling]);
            let near = nearest(queue, spellings);
            let near = match near.first() {
                Some(near) => format!("; did you mean \"{near}\"?"),
                None => String::new(),
            };
            Some(format!(
                "{place}: `queues` has \"{queue}\", and no [[account.queue]] is spelled so; it may be a queue's name or id at CallTools{near}"
            ))
        }
        meant => {
            let keys: Vec<_> = meant.iter().map(|key| format!("\"{key}\"")).collect();
            Some(format!(
                "{place}: `queues` has \"{queue}\", which is a queue of {} accounts, so it names none of them; write {}",
                keys.len(),
                keys.join(" or ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The warnings about a config in which a client and a recipient name these queues.
    fn warnings(of_client: &str, of_recipient: &str, accounts: &[&str]) -> Vec<String> {
        let accounts = accounts.iter().map(|name| {
            format!(
                "[[account]]\nname = \"{name}\"\nsilo = \"east-1\"\ntoken_file = \"./{name}.token\"\n\
                 queue = [{{ queue = \"sales-queue\" }}, {{ queue = 7 }}]\n"
            )
        });
        let text = format!(
            r#"
[server]
bearer_token_file = "./bearer.token"
[[server.client]]
name = "buyer-7"
token_file = "./buyer.token"
queues = {of_client}
[[notify]]
url_file = "./slack.url"
queues = {of_recipient}
[state]
dir = false
{}"#,
            accounts.collect::<String>()
        );
        let config = Config::parse(&text, Path::new("openseat.toml"), &|_| None);
        config.expect("a good config").warnings
    }

    #[test]
    fn a_queue_that_no_account_has_may_be_a_mistake() {
        let of_client = r#"["sales-quene", "main/sales-queue", 5450, "sales-queue"]"#;
        let warnings = warnings(of_client, r#"["main/sales"]"#, &["main"]);
        let why =
            "and no [[account.queue]] is spelled so; it may be a queue's name or id at CallTools";
        assert_eq!(
            warnings,
            [
                format!(
                    "[[server.client]] \"buyer-7\": `queues` has \"sales-quene\", {why}; did you mean \"sales-queue\"?"
                ),
                format!("[[server.client]] \"buyer-7\": `queues` has \"5450\", {why}"),
                format!(
                    "[[notify]] number 1: `queues` has \"main/sales\", {why}; did you mean \"main/sales-queue\"?"
                ),
            ]
        );
    }

    #[test]
    fn a_queue_that_two_accounts_have_is_a_mistake_without_the_account() {
        let of_client = r#"["sales-queue", "spare/sales-queue", 7]"#;
        let warnings = warnings(of_client, "[7]", &["main", "spare"]);
        let place = "[[server.client]] \"buyer-7\"";
        let why = "which is a queue of 2 accounts, so it names none of them; write";
        let sales = r#""main/sales-queue" or "spare/sales-queue""#;
        let seven = r#""main/7" or "spare/7""#;
        assert_eq!(
            warnings,
            [
                format!("{place}: `queues` has \"sales-queue\", {why} {sales}"),
                format!("{place}: `queues` has \"7\", {why} {seven}"),
                format!("[[notify]] number 1: `queues` has \"7\", {why} {seven}"),
            ]
        );
    }
}
