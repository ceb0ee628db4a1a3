//! The scheme and host by which the client reached this server, for links to further pages.
//!
//! A link with the wrong scheme sends the client's token in clear; one with the wrong host sends it to somebody else. So the headers of a proxy
//! count only from a peer on this machine, and only if they agree. `Forwarded` (RFC 7239) is ignored: proxies that set `X-Forwarded-*` often
//! pass on a `Forwarded` that their client wrote.

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

/// The value of a header that may be repeated; `None` if its values differ. Each proxy in a row adds one.
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

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: Arrival = Arrival::UNIX;

    fn link(arrival: Arrival, given: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("seat:7717"));
        for (name, value) in given {
            headers.append(*name, value.parse().expect("a header"));
        }
        Base::new(&headers, arrival).link("/api/queues/", "page=2")
    }

    #[test]
    fn without_a_proxy_a_client_gets_its_own_scheme_and_host() {
        let far = Arrival::default();
        assert_eq!(link(far, &[]), "http://seat:7717/api/queues/?page=2");
        let tls = Arrival { tls: true, ..far };
        assert_eq!(link(tls, &[]), "https://seat:7717/api/queues/?page=2");
        let said = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
        ];
        assert_eq!(link(far, &said), "http://seat:7717/api/queues/?page=2");
        let nothing = HeaderMap::new();
        assert_eq!(Base::new(&nothing, far).link("/", ""), "http://localhost/");
    }

    #[test]
    fn a_proxy_on_this_machine_says_how_its_client_came() {
        for proto in ["https", "HTTPS", " https ", "https, https"] {
            let link = link(PROXY, &[("x-forwarded-proto", proto)]);
            assert!(link.starts_with("https://seat:7717/"), "{proto}: {link}");
        }
        let to_plain = Arrival {
            tls: true,
            near: true,
            ..Arrival::default()
        };
        let link_of_plain = link(to_plain, &[("x-forwarded-proto", "http")]);
        assert!(link_of_plain.starts_with("http://seat"), "{link_of_plain}");
        for host in [
            "seats.example",
            "seats.example:8443",
            "under_score.example",
            "192.0.2.1",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[2001:db8::1]:8443",
        ] {
            let link = link(PROXY, &[("x-forwarded-host", host)]);
            assert_eq!(link, format!("http://{host}/api/queues/?page=2"));
        }
    }

    #[test]
    fn invalid_and_contradicting_headers_are_ignored() {
        for proto in [
            "",
            "ftp",
            "javascript",
            "https://evil.example",
            "https:",
            "https, http",
            "http,https",
            "https,",
            "ht tps",
            "wss",
        ] {
            let link = link(PROXY, &[("x-forwarded-proto", proto)]);
            assert!(link.starts_with("http://seat:7717/"), "{proto}: {link}");
        }
        let twice = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-proto", "http"),
        ];
        assert!(link(PROXY, &twice).starts_with("http://seat"));
        for host in [
            "",
            "seats example",
            "a.example, b.example",
            "user@seats.example",
            "user:word@seats.example",
            "seats.example/path",
            "seats.example?a",
            "seats.example#a",
            "https://seats.example",
            "seats.example:",
            "seats.example:0",
            "seats.example:65536",
            "seats.example:+80",
            "seats.example:80:80",
            "2001:db8::1",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]80",
            "[2001:db8::1%eth0]",
            "[not-an-address]",
            "[]",
            "seats\\example",
            "seats.example\t",
            "%73eats.example",
            "seats\u{e9}.example",
            "..",
            &"a".repeat(300),
        ] {
            let Ok(value) = HeaderValue::from_str(host) else {
                continue;
            };
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("seat:7717"));
            headers.insert("x-forwarded-host", value);
            let link = Base::new(&headers, PROXY).link("/", "");
            // Spaces and tabs around a value do not belong to it.
            let good = host.trim() == "seats.example";
            assert_eq!(link == "http://seat:7717/", !good, "{host:?}: {link}");
        }
        let forwarded = [("forwarded", "proto=https;host=evil.example")];
        assert!(link(PROXY, &forwarded).starts_with("http://seat:7717/"));
    }
}
