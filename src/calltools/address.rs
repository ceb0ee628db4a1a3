//! Works out the URL of an account's API from a silo or a base URL. Nothing else does.
//!
//! A path can be joined to a [`Url`] from here: it ends in a slash, and has no user, password, query or fragment. Errors do not repeat the text,
//! because a token may have been pasted there by mistake.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use url::{Host, Url};

/// The known silos. CallTools adds new ones, so another label is only a warning.
pub const KNOWN_SILOS: [&str; 9] = [
    "east-1",
    "east-2",
    "east-3",
    "west-1",
    "west-2",
    "west-3",
    "west-4",
    "central-1",
    "app",
];

/// The domain of every silo.
const DOMAIN: &str = ".calltools.io";

/// The domain of CallTools' own site, which people know from their login address. Requests go to [`DOMAIN`].
const SITE: &str = ".calltools.com";

/// Known labels have at most 9 characters. A token has 40; if it is pasted here by mistake, it must not become a host name that is looked up and
/// logged.
const MAX_LABEL: usize = 32;

/// The part of CallTools that an account lives in, as its login address names it: `east-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silo(String);

/// Why a text does not name a silo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotASilo {
    /// Not `^[a-z0-9-]+$` in any case, or longer than any silo.
    #[error(
        "must be the first part of the address you log in at, such as \"east-1\": at most {MAX_LABEL} letters, digits and hyphens"
    )]
    Label,
    /// A URL that does not parse.
    #[error("is not a valid URL; write the label alone, such as \"east-1\"")]
    Url,
    /// `https://user:password@…`
    #[error("contains a user name or password; write the label alone, such as \"east-1\"")]
    UserInfo,
    /// Not an address of CallTools.
    #[error(
        "is not an address under calltools.io or calltools.com; use base_url for any other address"
    )]
    ForeignHost,
}

impl Silo {
    /// Reads a label, or the whole address of the login page, in any case.
    ///
    /// # Errors
    /// [`NotASilo`], which says what to write instead.
    pub fn parse(text: &str) -> Result<Self, NotASilo> {
        let text = text.trim();
        if text.contains("://") {
            return Self::from_url(&Url::parse(text).map_err(|_| NotASilo::Url)?);
        }
        let host = text.split(['/', '?', '#']).next().unwrap_or_default();
        let host = host.to_ascii_lowercase();
        match silo_of(&host) {
            Some(label) => Self::from_label(label),
            None => Self::from_label(&text.to_ascii_lowercase()),
        }
    }

    fn from_url(url: &Url) -> Result<Self, NotASilo> {
        if has_user_info(url) {
            return Err(NotASilo::UserInfo);
        }
        // A silo has no port. The parser writes hosts in lower case.
        match (url.host_str().and_then(silo_of), url.port()) {
            (Some(label), None) => Self::from_label(label),
            _ => Err(NotASilo::ForeignHost),
        }
    }

    fn from_label(label: &str) -> Result<Self, NotASilo> {
        let fits = (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        fits.then(|| Self(label.to_owned())).ok_or(NotASilo::Label)
    }

    /// Returns the label: `east-1`.
    pub fn label(&self) -> &str {
        &self.0
    }

    /// Returns whether the label is one of [`KNOWN_SILOS`].
    pub fn is_known(&self) -> bool {
        KNOWN_SILOS.contains(&self.label())
    }

    /// Returns the URL: `https://east-1.calltools.io/api/`.
    pub fn base_url(&self) -> Url {
        Url::parse(&format!("https://{}{DOMAIN}/api/", self.0))
            .expect("a label of letters, digits and hyphens makes a host name")
    }
}

/// Returns the first part of a CallTools host name.
fn silo_of(host: &str) -> Option<&str> {
    [DOMAIN, SITE]
        .into_iter()
        .find_map(|domain| host.strip_suffix(domain))
}

/// Why a text is not a base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotABaseUrl {
    /// Does not parse, or has no host.
    #[error("is not a valid URL; write for example \"https://east-1.calltools.io/api/\"")]
    Malformed,
    /// Neither `http` nor `https`.
    #[error("must begin with https:// (or http:// on this machine)")]
    Scheme,
    /// `https://user:password@…`
    #[error("contains a user name or password; requests only carry the account's token")]
    UserInfo,
    /// `…?a=b` or `…#c`
    #[error("must end with its path: remove what follows the \"?\" or \"#\"")]
    Tail,
}

/// Parses a base URL, and adds the final slash that relative paths need.
///
/// # Errors
/// [`NotABaseUrl`], which says what to write instead.
pub fn parse_base_url(text: &str) -> Result<Url, NotABaseUrl> {
    let mut url = Url::parse(text.trim()).map_err(|_| NotABaseUrl::Malformed)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NotABaseUrl::Scheme);
    }
    if has_user_info(&url) {
        return Err(NotABaseUrl::UserInfo);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(NotABaseUrl::Tail);
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Returns whether a URL has a user name or a password.
pub fn has_user_info(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Returns whether others on the network could read a token sent to this URL: `http` to anywhere but this machine.
pub fn is_readable_by_others(url: &Url) -> bool {
    url.scheme() != "https" && !is_loopback(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}
