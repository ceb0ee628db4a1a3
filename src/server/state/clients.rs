//! Configured clients with their own tokens: which token belongs to whom, and what each may do.

use std::sync::Arc;

use crate::{
    config::{self, BearerTokens, May},
    server::http::rule::{Need, Rule},
};

/// A configured client.
#[derive(Debug)]
pub struct Client {
    /// Its name in the config.
    pub name: Arc<str>,
    /// The queues that it may name; `None` for all.
    pub queues: Option<Arc<[Box<str>]>>,
    tokens: BearerTokens,
    may: May,
    in_url: bool,
}

impl Client {
    fn new((config, tokens): (config::Client, BearerTokens)) -> Self {
        Self {
            name: config.name,
            queues: config.queues,
            tokens,
            may: config.may,
            in_url: config.in_url,
        }
    }

    /// Whether it has the right that a route needs.
    pub fn may(&self, need: Need) -> bool {
        match need {
            Need::Ask => true,
            Need::Reserve => self.may == May::Reserve,
            Need::Read => self.may == May::Read,
            Need::Operate => false,
        }
    }

    /// Whether it may use a route. A route about all queues is closed to a client that is limited to some.
    pub fn may_use(&self, rule: Rule) -> bool {
        self.may(rule.need) && (rule.names_queues || self.queues.is_none())
    }
}

/// All configured clients, in the order of the config.
#[derive(Debug, Default)]
pub struct Clients(Vec<Client>);

impl Clients {
    pub fn new(clients: Vec<(config::Client, BearerTokens)>) -> Self {
        Self(clients.into_iter().map(Client::new).collect())
    }

    /// Finds the client with this token in a header. Takes the same time for every token.
    pub fn by_header(&self, shown: &str) -> Option<usize> {
        self.by(shown, |_| true)
    }

    /// Finds the client with this key in its URL.
    pub fn by_url(&self, shown: &str) -> Option<usize> {
        self.by(shown, |client| client.in_url)
    }

    fn by(&self, shown: &str, may_show_it: impl Fn(&Client) -> bool) -> Option<usize> {
        let mut found = None;
        for (place, client) in self.0.iter().enumerate() {
            let opens = client.tokens.open_for(shown);
            if opens && may_show_it(client) {
                found = Some(place);
            }
        }
        found
    }

    /// Returns the client at an index that was found in this same config.
    pub fn get(&self, place: usize) -> Option<&Client> {
        self.0.get(place)
    }

    /// Whether any client may send its key in a URL.
    pub fn any_in_url(&self) -> bool {
        self.0.iter().any(|client| client.in_url)
    }
}
