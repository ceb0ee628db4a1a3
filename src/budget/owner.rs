//! The owner of a budget: which account's hour a request is spent from.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, net::IpAddr, num::NonZeroU32, sync::Arc};

use url::{Host, Url};

/// Owns a budget: an account, identified by its name, and by its address and token. Two owners that share either share an hour, so neither a
/// new name nor a new token starts a fresh hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetOwner {
    /// The account's name in the config.
    pub account: String,
    /// A digest of its [origin] and token.
    pub identity: String,
}

impl BudgetOwner {
    /// Returns whether both spend from the same hour.
    pub fn shares_with(&self, other: &BudgetOwner) -> bool {
        self.account == other.account || self.identity == other.identity
    }
}

/// The number of an owner in the book and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OwnerId(pub u64);

/// A budget that several accounts of the config share. CallTools counts per account, however many of its tokens the config has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedBudget {
    /// Its name in the config.
    pub name: Arc<str>,
    /// How many accounts of the config share it. All of them have the same limits.
    pub accounts: NonZeroU32,
}

impl SharedBudget {
    /// Returns a second owner for the same account, with the budget's name as its identity. It ties the account to all others of the budget, as a
    /// shared token would, and is stored like any owner. No token has such an identity.
    pub(super) fn tie(&self, owner: &BudgetOwner) -> BudgetOwner {
        BudgetOwner {
            account: owner.account.clone(),
            identity: format!("budget {}", self.name),
        }
    }
}

/// Returns the host and port of a base URL, the same for all spellings of one address.
///
/// Case, a default port, a trailing dot, the scheme, the path and the name of the loopback make no difference. Two CallTools accounts with the
/// same host and token would share an hour, which is the safe error.
pub fn origin(base_url: &Url) -> String {
    let host = match base_url.host() {
        Some(Host::Domain(name)) => domain(name),
        Some(Host::Ipv4(address)) => ip(address.into()),
        Some(Host::Ipv6(address)) => ip(address.into()),
        None => String::new(),
    };
    match base_url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

const LOOPBACK: &str = "localhost";

fn domain(name: &str) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // RFC 6761: names that end in `.localhost` are the loopback as well.
    if name == LOOPBACK || name.ends_with(".localhost") {
        return LOOPBACK.to_owned();
    }
    // With a scheme that browsers do not know, the parser returns an address as a name.
    name.parse().map_or(name, ip)
}

fn ip(address: IpAddr) -> String {
    let address = address.to_canonical();
    // Linux connects 0.0.0.0 and :: to the loopback.
    if address.is_loopback() || address.is_unspecified() {
        return LOOPBACK.to_owned();
    }
    address.to_string()
}

/// Groups owners that share an hour, directly or through other owners. Returns each owner's group number.
pub(super) fn groups<'a>(owners: impl Iterator<Item = &'a BudgetOwner>) -> Vec<usize> {
    let mut parents: Vec<usize> = Vec::new();
    let (mut accounts, mut identities) = (HashMap::new(), HashMap::new());
    for (this, owner) in owners.enumerate() {
        parents.push(this);
        let namesake = *accounts.entry(&*owner.account).or_insert(this);
        let twin = *identities.entry(&*owner.identity).or_insert(this);
        for other in [namesake, twin] {
            let (this, other) = (root(&mut parents, this), root(&mut parents, other));
            parents[this.max(other)] = this.min(other);
        }
    }
    (0..parents.len())
        .map(|this| root(&mut parents, this))
        .collect()
}

fn root(parents: &mut [usize], mut this: usize) -> usize {
    while parents[this] != this {
        parents[this] = parents[parents[this]];
        this = parents[this];
    }
    this
}
