//! Sends JSON to one address by POST: with checked TLS, without redirects, within ten seconds.

use std::{fmt, ops::RangeInclusive, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{Response, header, tls};
use url::Url;

use crate::{
    calltools::{cause, resolver},
    clock::{Clock, Moment},
    config::WebhookUrl,
    model::fault::Down,
    process::{causes::causes, reply_times::retry_after, tls::client_builder},
};

/// The timeout for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The part of it that looking up the name may take.
const NAME_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest wait for a whole answer. Chat services answer within a second; a slower answer counts as a failure.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept: pushes come in bursts, messages do not.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// How much of an answer is read, so that the connection can be reused. Only its status matters.
const MAX_ANSWER: usize = 64 << 10;

/// The pauses that a recipient may ask for. Our own wait after a failure is longer than none; after an hour a recipient is tried again in any case.
const WAITS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);

/// Why a recipient did not take something. It shows neither the address nor the answer, because error pages repeat addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Undelivered {
    /// What happened, in one sentence.
    pub why: String,
    /// Whether it answered and is unlikely to change its answer: the address or the message is wrong.
    pub refused: bool,
    /// The pause that it asked for, if any.
    pub wait: Option<Duration>,
}

/// Why no HTTP client could be built.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The machine trusts no authority, so TLS cannot work.
    #[error(
        "this machine has no CA certificates to check the recipient's certificate with: install the package ca-certificates, or set SSL_CERT_FILE"
    )]
    NoCaStore,
    /// Any other objection of the HTTP library.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// One address.
pub struct Webhook {
    file: Arc<Path>,
    url: Url,
    client: reqwest::Client,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Creates a client for an address that was read from this file. It connects when it is first used.
    ///
    /// # Errors
    /// [`WebhookError`]: the machine's certificates cannot be used.
    pub fn new(file: Arc<Path>, address: &WebhookUrl) -> Result<Self, WebhookError> {
        let url = address.expose().clone();
        let is_plain = url.scheme() == "http";
        let builder = client_builder()
            .user_agent(concat!("openseat/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .https_only(!is_plain)
            .tls_version_min(tls::Version::TLS_1_2)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .dns_resolver(resolver(NAME_TIMEOUT));
        // Plain HTTP needs no certificates.
        let builder = match is_plain {
            true => builder.tls_certs_only([]),
            false => builder,
        };
        let client = builder.build().map_err(|error| not_built(&error))?;
        Ok(Self { file, url, client })
    }

    /// The file with the address. Logs use it as the recipient's name.
    pub fn file(&self) -> &Arc<Path> {
        &self.file
    }

    /// Sends this JSON once. `clock` measures a pause until a time that the recipient names without its own.
    ///
    /// # Errors
    /// [`Undelivered`]: the recipient did not accept it, or it is unknown whether it did.
    pub async fn deliver(&self, json: Bytes, clock: &dyn Clock) -> Result<(), Undelivered> {
        let request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(json);
        match request.send().await {
            Ok(response) => judge(response, clock.now()).await,
            Err(error) => Err(Undelivered {
                why: words(cause(&error)).to_owned(),
                refused: false,
                wait: None,
            }),
        }
    }
}

async fn judge(mut response: Response, now: Moment) -> Result<(), Undelivered> {
    let status = response.status();
    let wait = retry_after(response.headers(), now.system_time(), WAITS);
    let mut read = 0;
    while let Ok(Some(piece)) = response.chunk().await {
        read += piece.len();
        if read > MAX_ANSWER {
            break;
        }
    }
    if status.is_success() {
        return Ok(());
    }
    let may_pass = matches!(status.as_u16(), 408 | 425 | 429);
    let hint = match status.as_u16() {
        300..=399 => ", and redirects are not followed: write the new address into the file",
        400 | 401 | 403 | 404 | 410 => ": make sure that the address is complete and still valid",
        _ => "",
    };
    Err(Undelivered {
        why: format!("it answered {}{hint}", status.as_u16()),
        refused: !status.is_server_error() && !may_pass,
        wait,
    })
}

/// The library's own messages often contain the host's name.
fn words(cause: Down) -> &'static str {
    match cause {
        Down::TimeOut => "it did not answer in time",
        Down::Dns => "its name cannot be resolved",
        Down::Tls => {
            "no secure connection: check its certificate, and this machine's clock and CA certificates"
        }
        Down::Refused => "no connection",
        Down::UnexpectedStatus | Down::TooLarge => "it does not answer in HTTP",
        _ => "the connection broke off",
    }
}

fn not_built(error: &reqwest::Error) -> WebhookError {
    let text = causes(error);
    match text.contains("No CA certificates") {
        true => WebhookError::NoCaStore,
        false => WebhookError::Client(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_recipient_may_ask_for_a_pause_in_every_form() {
        let now = Moment {
            boot: Duration::ZERO,
            wall: Duration::from_secs(1_795_341_600), // 2026-11-22T10:00:00Z
        };
        let date = ("Date", "Sun, 22 Nov 2026 09:00:00 GMT");
        let cases: [(&[_], _); 6] = [
            (&[("Retry-After", "100")], Some(100)),
            (&[("Retry-After", "99.5")], Some(100)),
            (&[("Retry-After", "5"), ("Retry-After", "100")], Some(100)),
            (
                &[("Retry-After", "Sun, 22 Nov 2026 10:01:40 GMT")],
                Some(100),
            ),
            (
                &[("Retry-After", "Sun, 22 Nov 2026 09:01:40 GMT"), date],
                Some(100),
            ),
            (&[("Retry-After", "soon")], None),
        ];
        for (headers, expected) in cases {
            let mut response = http::Response::builder().status(429);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            let response = response.body("").unwrap().into();
            let refused = judge(response, now).await.unwrap_err();
            let wait = refused.wait.map(|wait| wait.as_secs());
            assert_eq!(wait, expected, "{headers:?}");
        }
    }
}
