//! HTTP clients, each with its connections. Accounts of the same CallTools share one.
//!
//! A connection keeps some 150 kB, most of it a buffer for long answers, and is in use for less than a tenth of the time. With connections of their
//! own, a thousand accounts would use a quarter of their memory for these. A request has its connection to itself (HTTP/1.1), so that one that
//! hangs holds up no other, and each request carries its own token.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use reqwest::{Client, ClientBuilder, Proxy};
use tokio_rustls::rustls::ClientConfig;
use url::{Origin, Url};

use super::{
    HttpSettings, SetupError,
    failure::message,
    one_line,
    resolver::{Resolver, WithTimeout},
};
use crate::process::tls::client_builder;

/// How long an idle connection is kept. Load balancers and web servers close theirs after 60 to 75 s; a request at that moment fails and still
/// costs a permit. An account's polls are seconds apart, so a shorter time loses nothing.
///
/// Their number has no other limit: there are as many as there were requests at once within this time. If fewer were kept, accounts that poll at the
/// same moment would open new ones each time.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// When to probe a silent connection, so that a connection that a firewall has dropped is noticed before it is used.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The part of the connect timeout for the name lookup. It is below 1, so that a hanging resolver is reported as the cause.
const NAMES_SHARE: f32 = 0.75;

/// The clients in use.
static SHARED: Mutex<Vec<(Terms, Weak<Client>)>> = Mutex::new(Vec::new());

/// What a client is made from. Accounts with equal terms share one.
struct Terms {
    origin: Origin,
    connect_timeout: Duration,
    timeout: Duration,
    proxy: Option<Url>,
    trust: Option<Weak<ClientConfig>>,
}

impl Terms {
    fn new(settings: &HttpSettings) -> Self {
        Self {
            origin: settings.base_url.origin(),
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
            proxy: settings.proxy.clone(),
            trust: settings
                .trust
                .as_ref()
                .map(|trust| Arc::downgrade(trust.config())),
        }
    }

    /// Returns whether both are the same. Clients that trust the same authorities have the same configuration.
    fn equal(&self, other: &Self) -> bool {
        let trust_the_same = match (&self.trust, &other.trust) {
            (Some(one), Some(other)) => one.ptr_eq(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        trust_the_same
            && (&self.origin, &self.proxy) == (&other.origin, &other.proxy)
            && (self.connect_timeout, self.timeout) == (other.connect_timeout, other.timeout)
    }
}

/// Returns the client for these settings: one that is in use, or a new one.
///
/// # Errors
/// [`SetupError`] if the settings cannot be used.
pub(super) fn shared(settings: &HttpSettings) -> Result<Arc<Client>, SetupError> {
    let terms = Terms::new(settings);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = shared.iter().find(|(known, _)| known.equal(&terms));
    if let Some(client) = known.and_then(|(_, client)| client.upgrade()) {
        return Ok(client);
    }
    let client = Arc::new(client(settings)?);
    shared.retain(|(_, client)| client.strong_count() > 0);
    shared.push((terms, Arc::downgrade(&client)));
    Ok(client)
}

fn client(settings: &HttpSettings) -> Result<Client, SetupError> {
    let builder = match &settings.trust {
        // A copy shares the large parts: the authorities and the sessions.
        Some(trust) => {
            builder(settings)?.tls_backend_preconfigured(ClientConfig::clone(trust.config()))
        }
        None => builder(settings)?.tls_certs_only([]),
    };
    let client = builder.build();
    client.map_err(|error| SetupError::Client(one_line(&message(&error))))
}

fn builder(settings: &HttpSettings) -> Result<ClientBuilder, SetupError> {
    let plain = settings.base_url.scheme() == "http";
    let builder = client_builder()
        .user_agent(concat!("openseat/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .https_only(!plain)
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .tcp_keepalive(KEEPALIVE)
        .pool_idle_timeout(POOL_IDLE)
        .dns_resolver(WithTimeout {
            resolver: Resolver::shared(),
            max_wait: settings.connect_timeout.mul_f32(NAMES_SHARE),
        });
    with_proxy(builder, settings.proxy.as_ref())
}

fn with_proxy(builder: ClientBuilder, proxy: Option<&Url>) -> Result<ClientBuilder, SetupError> {
    match proxy {
        Some(url) => {
            let proxy = Proxy::all(url.clone()).map_err(|_| SetupError::Proxy)?;
            Ok(builder.proxy(proxy))
        }
        None => Ok(builder),
    }
}
