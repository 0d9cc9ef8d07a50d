//! A socket address as bytes, all of it, with the scope that a link-local one means nothing without.
//!
//! Serde's own form of an IPv6 address leaves scope and flow out. Any bytes are some address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Family, port, flow, scope and address.
pub(crate) const ADDRESS_BYTES: usize = 1 + 2 + 4 + 4 + 16;

pub(crate) fn to_bytes(address: SocketAddr) -> [u8; ADDRESS_BYTES] {
    let (family, flow, scope, ip) = match address {
        SocketAddr::V4(v4) => (4, 0, 0, v4.ip().to_ipv6_mapped()),
        SocketAddr::V6(v6) => (6, v6.flowinfo(), v6.scope_id(), *v6.ip()),
    };
    let mut bytes = [0; ADDRESS_BYTES];
    bytes[0] = family;
    bytes[1..3].copy_from_slice(&address.port().to_be_bytes());
    bytes[3..7].copy_from_slice(&flow.to_be_bytes());
    bytes[7..11].copy_from_slice(&scope.to_be_bytes());
    bytes[11..].copy_from_slice(&ip.octets());
    bytes
}

pub(crate) fn from_bytes(bytes: [u8; ADDRESS_BYTES]) -> SocketAddr {
    let [family, p0, p1, f0, f1, f2, f3, s0, s1, s2, s3, ip @ ..] = bytes;
    let port = u16::from_be_bytes([p0, p1]);
    let ip = Ipv6Addr::from(ip);
    if family == 4 {
        let v4 = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
        return SocketAddr::new(v4, port);
    }
    let flow = u32::from_be_bytes([f0, f1, f2, f3]);
    let scope = u32::from_be_bytes([s0, s1, s2, s3]);
    SocketAddrV6::new(ip, port, flow, scope).into()
}

/// For `#[serde(with = "address")]`.
pub(crate) fn serialize<S: Serializer>(
    address: &SocketAddr,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    to_bytes(*address).serialize(serializer)
}

/// For `#[serde(with = "address")]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SocketAddr, D::Error> {
    Deserialize::deserialize(deserializer).map(from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_trip() {
        for address in ["127.0.0.1:80", "[::1]:8080", "[fe80::1%7]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = address.parse().expect("an address");
            assert_eq!(from_bytes(to_bytes(address)), address);
        }
        // An IPv4 client of a dual-stack listener stays what the kernel called it.
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:80".parse().expect("an address");
        assert_eq!(from_bytes(to_bytes(mapped)), mapped);
    }
}
