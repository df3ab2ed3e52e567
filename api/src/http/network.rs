//! Where a request comes from, as coarse as it is counted: one IPv4 address, one IPv6 /64 (what a household or a server
//! usually has). Forwarded headers are not read: no proxy is declared, and anybody can write them.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

/// The network of the peer, `None` where the server does not know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerNetwork(pub Option<String>);

/// The network an address belongs to: `192.0.2.7` or `2001:db8:1:2::/64`.
pub fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PeerNetwork {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map(|ConnectInfo(peer)| network_of(peer.ip()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_coarsened() {
        let table = [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ];
        for (address, network) in table {
            assert_eq!(network_of(address.parse().unwrap()), network, "{address}");
        }
    }
}
