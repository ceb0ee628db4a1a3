//! The cryptography for TLS in this process: ring.

use reqwest::{Client, ClientBuilder};
use tokio_rustls::rustls::crypto::ring;

/// Builds an HTTP client that uses ring. reqwest has no cryptography of its own, so every client starts here.
pub fn client_builder() -> ClientBuilder {
    use_ring();
    Client::builder()
}

/// Makes ring the process's default, for libraries that use it.
pub fn use_ring() {
    // Only the first call has an effect, and all set the same.
    let _ = ring::default_provider().install_default();
}
