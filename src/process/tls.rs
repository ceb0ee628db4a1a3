//! The HTTP clients of this process, and the cryptography of its TLS: ring.

use reqwest::{Client, ClientBuilder, redirect, retry};
use tokio_rustls::rustls::crypto::ring;

/// Builds an HTTP client that uses ring and goes nowhere but to the address of each request. reqwest has no cryptography of its own, so every client
/// starts here.
pub fn client_builder() -> ClientBuilder {
    use_ring();
    Client::builder()
        // A redirect would take a token or a message to an address that is not in the config.
        .redirect(redirect::Policy::none())
        .referer(false)
        // Callers count and space attempts themselves, and an attempt may need a permit.
        .retry(retry::never())
        // A proxy from the environment would learn of both. Callers may add one from the config.
        .no_proxy()
}

/// Makes ring the process's default, for libraries that use it.
pub fn use_ring() {
    // Only the first call has an effect, and all set the same.
    let _ = ring::default_provider().install_default();
}
