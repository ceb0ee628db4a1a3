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

/// Warns of each of them that no `[[account.queue]]` is spelled like. CallTools' names and ids count, too, but only CallTools knows them.
pub(super) fn unknown(config: &Config) -> Vec<String> {
    let queues = config.accounts.iter().flat_map(|account| {
        let spellings = account
            .queues
            .iter()
            .map(|queue| queue.spelling.to_string());
        spellings.flat_map(|spelling| [format!("{}/{spelling}", account.name), spelling])
    });
    let spellings: Vec<String> = queues.collect();
    let named = config.named_queues().into_iter();
    let unknown = named.filter(|named| !spellings.iter().any(|one| **one == *named.queue));
    let warning = |NamedQueue { place, queue }| {
        let near = nearest(&queue, spellings.iter().map(String::as_str));
        let meant = match near.first() {
            Some(near) => format!("; did you mean \"{near}\"?"),
            None => String::new(),
        };
        format!(
            "{place}: `queues` has \"{queue}\", and no [[account.queue]] is spelled so; it may be a queue's name or id at CallTools{meant}"
        )
    };
    unknown.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_queue_that_no_account_has_may_be_a_mistake() {
        let text = r#"
[server]
bearer_token_file = "./bearer.token"
[[server.client]]
name = "buyer-7"
token_file = "./buyer.token"
queues = ["sales-quene", "main/sales-queue", 5450, "sales-queue"]
[[notify]]
url_file = "./slack.url"
queues = ["main/sales"]
[state]
dir = false
[[account]]
name = "main"
silo = "east-1"
token_file = "./main.token"
queue = [{ queue = "sales-queue" }, { queue = 7 }]
"#;
        let config = Config::parse(text, Path::new("openseat.toml"), &|_| None);
        let config = config.expect("a good config");
        let why =
            "and no [[account.queue]] is spelled so; it may be a queue's name or id at CallTools";
        assert_eq!(
            config.warnings,
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
}
