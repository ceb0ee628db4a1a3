//! Which cryptography TLS uses in this process: ring.

use reqwest::{Client, ClientBuilder};
use tokio_rustls::rustls::crypto::ring;

/// Builds an HTTP client that uses ring. reqwest brings no cryptography of its own, so every client begins here.
pub fn client_builder() -> ClientBuilder {
    use_ring();
    Client::builder()
}

/// Makes ring the process's default, for libraries that use it.
pub fn use_ring() {
    // Only the first call sets it for the process, and all set the same.
    let _ = ring::default_provider().install_default();
}
