//! The scheme and host by which the client reached this server, for links to other pages.
//!
//! A link with the wrong scheme would send the client's token in clear text; one with the wrong host would send it to somebody else. So a proxy's
//! headers count only from a peer on this machine, and only if they agree. `Forwarded` (RFC 7239) is ignored: proxies that set `X-Forwarded-*` often
//! pass on a `Forwarded` that their client wrote.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header};
use url::Host;

use crate::server::net::arrival::Arrival;

/// The longest host with a port: a name has at most 253 characters.
const MAX_LENGTH: usize = 253 + ":65535".len();

/// The beginning of a link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base<'a> {
    scheme: &'static str,
    host: Cow<'a, str>,
}

impl<'a> Base<'a> {
    pub(super) fn new(headers: &'a HeaderMap, arrival: Arrival) -> Self {
        let forwarded = |name| match arrival.near {
            true => only_value(headers, name),
            false => None,
        };
        let own = if arrival.tls { "https" } else { "http" };
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        Self {
            scheme: forwarded("x-forwarded-proto")
                .and_then(scheme)
                .unwrap_or(own),
            host: forwarded("x-forwarded-host")
                .filter(|host| is_host(host))
                // HTTP/1.0 requests may have no Host.
                .or(host)
                .unwrap_or("localhost")
                .into(),
        }
    }

    /// An absolute link.
    pub(super) fn link(&self, path: &str, query: &str) -> String {
        let question = if query.is_empty() { "" } else { "?" };
        format!("{}://{}{path}{question}{query}", self.scheme, self.host)
    }
}

/// Returns the value of a header that may be repeated; `None` if its values differ. Each proxy in a chain adds one.
fn only_value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let values = headers.get_all(name).iter();
    let values: Option<Vec<_>> = values.map(text).collect();
    let mut values = values?
        .into_iter()
        .flat_map(|value| value.split(','))
        .map(str::trim);
    let first = values.next()?;
    values
        .all(|value| value.eq_ignore_ascii_case(first))
        .then_some(first)
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"]
        .into_iter()
        .find(|known| text.eq_ignore_ascii_case(known))
}

/// Whether this is a name or an IP address, with or without a port, and nothing else.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // Colons inside brackets belong to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|digit| digit.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let plain = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    let whole = !host.starts_with('.') && !host.contains("..");
    let is_short = text.len() <= MAX_LENGTH;
    is_short && plain && whole && port.is_none_or(is_port) && Host::parse(host).is_ok()
}
