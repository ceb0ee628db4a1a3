//! How a request arrived: over TLS or not, and from whom. A connection knows it, and each of its requests carries it.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv6Addr},
};

use axum::extract::FromRequestParts;
use http::request::Parts;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Whether it came over openseat's own TLS.
    pub tls: bool,
    /// Whether the peer is on this machine. Only such a peer can be the operator's own proxy.
    pub near: bool,
    /// The peer's address, for TCP.
    pub peer: Option<IpAddr>,
}

impl Arrival {
    /// Over a Unix socket.
    pub const UNIX: Self = Self {
        tls: false,
        near: true,
        peer: None,
    };

    /// Over TCP. `None` means that the peer was gone before its address could be read.
    pub fn by_tcp(peer: Option<IpAddr>, tls: bool) -> Self {
        // A listener at `[::]` sees IPv4 peers as `::ffff:127.0.0.1`.
        let peer = peer.map(|peer| peer.to_canonical());
        Self {
            tls,
            near: peer.is_some_and(|peer| peer.is_loopback()),
            peer,
        }
    }
}

/// The network that an address belongs to: one customer of a provider has at least 2^64 IPv6 addresses, so they count as one.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// A request without an arrival, as in tests, comes from nowhere that is trusted.
impl<S: Sync> FromRequestParts<S> for Arrival {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_peers_on_this_machine_are_local() {
        for (peer, near) in [
            ("127.0.0.1", true),
            ("127.8.9.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("2001:db8::1", false),
        ] {
            let peer = peer.parse().expect("an address");
            assert_eq!(Arrival::by_tcp(Some(peer), false).near, near, "{peer}");
        }
        assert!(!Arrival::by_tcp(None, true).near);
    }
}
