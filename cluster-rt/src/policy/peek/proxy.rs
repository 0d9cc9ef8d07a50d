//! The source address in a PROXY protocol header, version 1 or 2, as text.
//!
//! Anybody can write such a header: it is true only of a balancer that is trusted, and that nobody else can connect
//! in the place of. An IPv4 address is the same in either family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Seen;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// With the end of the line.
const V1_BYTES_MAX: usize = 107;

pub(super) fn look(bytes: &[u8]) -> Seen<'_> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    match (begins(V1), begins(V2)) {
        (false, false) => Seen::Nothing,
        (true, _) if bytes.len() >= V1.len() => in_line(bytes),
        (_, true) if bytes.len() >= V2.len() => in_block(bytes),
        _ => Seen::More,
    }
}

fn in_line(bytes: &[u8]) -> Seen<'_> {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = within.iter().position(|&byte| byte == b'\n') else {
        return if within.len() < V1_BYTES_MAX { Seen::More } else { Seen::Nothing };
    };
    said(source(&within[..end]))
}

fn source(line: &[u8]) -> Option<IpAddr> {
    let line = std::str::from_utf8(line.strip_suffix(b"\r")?).ok()?;
    let mut words = line.split(' ').skip(1);
    let mut next = || words.next();
    let (family, source, target, ports) = (next()?, next()?, next()?, [next()?, next()?]);
    let whole = next().is_none() && ports.into_iter().all(is_port);
    let addresses: [IpAddr; 2] = [source.parse().ok()?, target.parse().ok()?];
    let of_family = match family {
        "TCP4" => addresses.iter().all(IpAddr::is_ipv4),
        "TCP6" => addresses.iter().all(IpAddr::is_ipv6),
        _ => false,
    };
    (whole && of_family).then_some(addresses[0])
}

/// Digits without a zero before them.
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port.to_string() == text)
}

fn in_block(bytes: &[u8]) -> Seen<'_> {
    // Of version 2 and for another, not the balancer's own.
    if bytes.get(12).is_some_and(|&byte| byte != 0x21) {
        return Seen::Nothing;
    }
    let Some(&[family, high, low]) = bytes.get(13..16) else { return Seen::More };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let rest = &bytes[16..];
    // Of streams and datagrams alike.
    match family {
        0x11 | 0x12 if length >= 12 => rest
            .first_chunk::<4>()
            .map_or(Seen::More, |address| said(Some(Ipv4Addr::from(*address).into()))),
        0x21 | 0x22 if length >= 36 => rest
            .first_chunk::<16>()
            .map_or(Seen::More, |address| said(Some(Ipv6Addr::from(*address).into()))),
        _ => Seen::Nothing,
    }
}

fn said(source: Option<IpAddr>) -> Seen<'static> {
    match source {
        Some(source) => Seen::Key(source.to_canonical().to_string().into()),
        None => Seen::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Seen<'static> {
        Seen::Key(text.to_owned().into())
    }

    fn block(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u8::try_from(addresses.len()).expect("short");
        [V2, &[command, family, 0, length], addresses].concat()
    }

    #[test]
    fn a_line_tells_its_source() {
        let line = b"PROXY TCP4 10.1.2.3 10.0.0.1 56324 443\r\nGET";
        assert_eq!(look(line), key("10.1.2.3"));
        for end in 0..line.len() - 4 {
            assert_eq!(look(&line[..end]), Seen::More, "cut at {end}");
        }
        assert_eq!(look(b"PROXY TCP6 2001:DB8::1 ::1 1 2\r\n"), key("2001:db8::1"));
        assert_eq!(look(b"PROXY TCP6 ::ffff:10.1.2.3 ::1 1 2\r\n"), key("10.1.2.3"));
    }

    #[test]
    fn a_block_tells_its_source() {
        let bytes = block(0x21, 0x11, &[10, 1, 2, 3, 10, 0, 0, 1, 0, 1, 0, 2]);
        assert_eq!(look(&bytes), key("10.1.2.3"));
        for end in 0..20 {
            assert_eq!(look(&bytes[..end]), Seen::More, "cut at {end}");
        }
        let mut addresses = [0; 36];
        addresses[15] = 1;
        assert_eq!(look(&block(0x21, 0x21, &addresses)), key("::1"));
    }

    #[test]
    fn what_names_no_source_is_known_at_once() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 107]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY UNKNOWN\r\n",
            b"PROXY TCP4 10.1.2.3 10.0.0.1 56324 443\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 10.1.2.3 10.0.0.1 1 65536\r\n",
            b"PROXY TCP4 10.1.2.3 10.0.0.1 1 2 3\r\n",
            b"PROXY TCP4 10.1.2.3 10.0.0.1 +1 2\r\n",
            b"PROXY TCP4 10.1.2.3 10.0.0.1 01 2\r\n",
            b"PROXY TCP4 \xff 10.0.0.1 1 2\r\n",
            &long,
            &block(0x20, 0x11, &[0; 12]),
            &block(0x11, 0x11, &[0; 12]),
            &block(0x21, 0x31, &[0; 216]),
            &block(0x21, 0x11, &[0; 11]),
            &block(0x21, 0x10, &[0; 12]),
            &block(0x21, 0x1f, &[0; 12]),
        ] {
            assert_eq!(look(bytes), Seen::Nothing, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
