//! The proxy that the config names. Its refusals are reported as the proxy's, not as CallTools'.

use std::{sync::Arc, time::Duration};

use http::{StatusCode, header};
use serde::de::IgnoredAny;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use url::Url;

use super::{Reply, resolver::Resolver};
use crate::model::fault::{Down, Fault};
use crate::process::causes::chain;

/// The timeout for the proxy's second refusal.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A status line is much shorter.
const MAX_LINE: usize = 1024;

/// A proxy on the way to CallTools.
pub(super) struct Via {
    url: Url,
    host: String,
    resolver: Arc<Resolver>,
}

impl Via {
    pub(super) fn new(url: &Url, resolver: Arc<Resolver>) -> Self {
        Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            url: url.clone(),
            resolver,
        }
    }

    /// Returns the fault if the proxy answered instead of CallTools. A proxy that forwards plain requests can do so.
    pub(super) fn own_answer(&self, reply: &Reply) -> Option<Fault> {
        is_the_proxys(reply).then(|| self.answered(reply.status))
    }

    /// Returns what failed between us and the proxy, or in its tunnel to `target`; `None` if something else failed.
    pub(super) async fn failure(&self, error: &reqwest::Error, target: &Url) -> Option<Fault> {
        let tunnel = chain(error).map(ToString::to_string);
        let tunnel =
            tunnel.filter_map(|text| text.strip_prefix("tunnel error: ").map(str::to_owned));
        let reason = tunnel.last()?;
        Some(match &*reason {
            "proxy authorization required" => {
                self.answered(StatusCode::PROXY_AUTHENTICATION_REQUIRED)
            }
            "unsuccessful" => match self.refusal(target).await {
                Some(status) => self.answered(status),
                None => self.fault("refuses a tunnel to CallTools"),
            },
            "failed to create underlying connection" => {
                return None;
            }
            other => self.fault(&format!("gave no tunnel to CallTools: {other}")),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    fn answered(&self, status: StatusCode) -> Fault {
        self.fault(&format!("answered {status}"))
    }

    fn fault(&self, problem: &str) -> Fault {
        Fault::down(Down::Proxy, format!("the proxy {} {problem}", self.host))
    }

    /// Returns the status with which the proxy refuses a tunnel. The HTTP library does not report it, so the proxy is asked again. If it now opens a
    /// tunnel, nothing is sent through it.
    async fn refusal(&self, target: &Url) -> Option<StatusCode> {
        if self.url.scheme() != "http" {
            return None;
        }
        let status = timeout(TIMEOUT, self.connect(target)).await.ok()??;
        (!status.is_success()).then_some(status)
    }

    async fn connect(&self, target: &Url) -> Option<StatusCode> {
        let addresses = self.resolver.addresses(&self.host, TIMEOUT).await.ok()?;
        let port = self.url.port_or_known_default()?;
        let mut stream = None;
        for address in addresses.iter() {
            stream = TcpStream::connect((*address, port)).await.ok();
            if stream.is_some() {
                break;
            }
        }
        let mut stream = stream?;
        let to = format!("{}:{}", target.host_str()?, target.port_or_known_default()?);
        let head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut line = Vec::new();
        while line.len() < MAX_LINE && !line.contains(&b'\n') {
            let mut piece = [0; 256];
            match stream.read(&mut piece).await.ok()? {
                0 => break,
                read => line.extend_from_slice(&piece[..read]),
            }
        }
        status(&line)
    }
}

/// Parses the status in `HTTP/1.1 403 Forbidden`.
fn status(line: &[u8]) -> Option<StatusCode> {
    let line = std::str::from_utf8(line.split(|byte| *byte == b'\n').next()?).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|word| word.starts_with("HTTP/1."))?;
    StatusCode::from_bytes(words.next()?.as_bytes()).ok()
}

/// Returns whether the proxy itself gave this answer: it says so, or the answer is not JSON.
fn is_the_proxys(reply: &Reply) -> bool {
    let has = |name: &str| reply.headers.contains_key(name);
    let asks_for_a_token = || {
        let challenge = reply.headers.get(header::WWW_AUTHENTICATE);
        challenge.is_some_and(|challenge| challenge.as_bytes().starts_with(b"Token"))
    };
    let is_json = || serde_json::from_slice::<IgnoredAny>(&reply.body).is_ok();
    match reply.status.as_u16() {
        407 => true,
        401 | 403 | 502..=504 if has("proxy-authenticate") || has("x-squid-error") => true,
        401 => !asks_for_a_token() && !is_json(),
        403 | 502 | 504 => !is_json(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn reply(
        status: u16,
        header: Option<(&'static str, &'static str)>,
        body: &'static str,
    ) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(name, value.parse().unwrap());
        }
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn an_answer_from_the_proxy_is_recognized() {
        let detail = r#"{"detail":"Invalid token."}"#;
        for (reply, is_its_own) in [
            (reply(407, None, detail), true),
            (reply(401, None, "<html>Log in</html>"), true),
            (reply(403, None, "Access denied by policy"), true),
            (reply(403, None, ""), true),
            (reply(502, None, "<html>Bad gateway</html>"), true),
            (
                reply(503, Some(("x-squid-error", "ERR_CONNECT_FAIL 111")), ""),
                true,
            ),
            (
                reply(401, Some(("proxy-authenticate", "Basic")), detail),
                true,
            ),
            (reply(401, None, detail), false),
            (reply(401, Some(("www-authenticate", "Token")), ""), false),
            (reply(403, None, r#"{"detail":"No permission."}"#), false),
            (reply(503, None, "<html>Maintenance</html>"), false),
            (reply(429, None, "<html>Slow down</html>"), false),
            (reply(404, None, "<html>Nothing</html>"), false),
            (reply(200, None, "[]"), false),
        ] {
            assert_eq!(is_the_proxys(&reply), is_its_own, "{reply:?}");
        }
    }

    #[test]
    fn only_a_valid_status_line_is_read() {
        for (line, code) in [
            ("HTTP/1.1 403 Forbidden\r\nServer: x\r\n", Some(403)),
            ("HTTP/1.0 502\r\n", Some(502)),
            ("HTTP/1.1 999 Request denied\r\n", Some(999)),
            ("HTTP/1.1 40 x\r\n", None),
            ("SSH-2.0-OpenSSH\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(line.as_bytes()).map(|status| status.as_u16()), code);
        }
    }
}
