//! The host of an HTTP/1 request: its `Host` header, in lower case, without the port and without a dot at its end.
//!
//! No other header is understood, nor a host in the first line, and of several `Host` headers the first counts. What
//! is no request of HTTP/1 is known by its first bytes, or by its first line. An IPv6 address is written in one way.

use std::net::Ipv6Addr;

use super::{Seen, lower};

pub(super) fn look(bytes: &[u8]) -> Seen<'_> {
    let mut rest = bytes;
    let mut is_request = false;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = &rest[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        rest = &rest[end + 1..];
        // Other bytes than those of ASCII may be in any value (obs-text in RFC 9110).
        if line.iter().copied().any(is_control) {
            return Seen::Nothing;
        }
        match (is_request, line) {
            // Before the request there may be empty lines, behind its headers there is one.
            (false, b"") => {}
            (true, b"") => return Seen::Nothing,
            (false, line) => {
                is_request = line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
                if !is_request {
                    return Seen::Nothing;
                }
            }
            (true, line) => {
                if let Some(host) = value_of_host(line) {
                    return named(host).unwrap_or(Seen::Nothing);
                }
            }
        }
    }
    // A byte that no line can have will not go away; a letter may have come in part.
    if rest.iter().any(|&byte| is_control(byte) && byte != b'\r') {
        Seen::Nothing
    } else {
        Seen::More
    }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn value_of_host(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    name.eq_ignore_ascii_case(b"host").then_some(value)
}

/// The name in a value, if that is one with perhaps a port (RFC 9110, 7.2).
fn named(value: &[u8]) -> Option<Seen<'_>> {
    let value = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let (host, port) = match value.strip_prefix('[') {
        // An IPv6 address has colons of its own.
        Some(rest) => rest.split_once(']')?,
        None => value.split_at(value.find(':').unwrap_or(value.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if digits.len() != port.len().saturating_sub(1) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if value.starts_with('[') {
        return Some(Seen::Key(format!("[{}]", host.parse::<Ipv6Addr>().ok()?).into()));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_name = !host.is_empty() && !host.contains(['@', '/', ' ', '\t', ',']);
    is_name.then(|| Seen::Key(lower(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Seen<'static> {
        Seen::Key(text.to_owned().into())
    }

    #[test]
    fn the_host_is_found_wherever_it_stands_among_the_headers() {
        for (request, host) in [
            ("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "example.com"),
            ("\r\nPOST /a HTTP/1.0\naccept: */*\nHOST:\tExample.COM:8080 \n", "example.com"),
            ("GET / HTTP/1.1\r\nhost: [::1]:80\r\n", "[::1]"),
            ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n", "a"),
            // The same in another spelling.
            ("GET / HTTP/1.1\r\nhost: [0:0:0:0:0:0:0:1]\r\n", "[::1]"),
            ("GET / HTTP/1.1\r\nhost: Example.com.:80\r\n", "example.com"),
            ("GET / HTTP/1.1\r\nhost: a:\r\n", "a"),
        ] {
            assert_eq!(look(request.as_bytes()), key(host), "{request:?}");
        }
        let request = b"GET /\xe9 HTTP/1.1\r\nuser-agent: caf\xe9\r\nhost: a\r\n";
        assert_eq!(look(request), key("a"), "bytes of another alphabet before it");
    }

    #[test]
    fn half_a_request_may_still_tell() {
        let request = b"GET / HTTP/1.1\r\naccept: */*\r\nhost: example.com\r\n";
        for end in 0..request.len() {
            assert_eq!(look(&request[..end]), Seen::More, "cut at {end}");
        }
    }

    #[test]
    fn what_has_no_host_is_known_at_once() {
        for bytes in [
            &b"GET / HTTP/1.1\r\naccept: */*\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01",
            b"hello\n",
            b"GET / HTTP/1.1\r\nhost:\r\n",
            b"GET / HTTP/1.1\r\nhost: :80\r\n",
            b"GET / HTTP/1.1\r\nhost: [::1\r\n",
            b"GET / HTTP/1.1\r\nhost: \xff\r\n",
            b"GET / HTTP/1.1\r\nhost: a\0b\r\n",
            b"GET / HTTP/1.1\r\nhost: [::1]x\r\n",
            b"GET / HTTP/1.1\r\nhost: [a]\r\n",
            b"GET / HTTP/1.1\r\nhost: a:http\r\n",
            b"GET / HTTP/1.1\r\nhost: user@a\r\n",
            b"GET / HTTP/1.1\r\nhost: .\r\n",
        ] {
            assert_eq!(look(bytes), Seen::Nothing, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
