//! The host of an HTTP/1 request: its `Host` header, in lower case and without the port.
//!
//! No other header is understood, and of several `Host` headers the first counts. What is no request of HTTP/1 is
//! known by its first bytes, or by its first line.

use super::{Seen, lower};

pub(super) fn look(bytes: &[u8]) -> Seen<'_> {
    let mut rest = bytes;
    let mut is_request = false;
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let line = &rest[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        rest = &rest[end + 1..];
        let Some(line) = text(line) else { return Seen::Nothing };
        match (is_request, line) {
            // Before the request there may be empty lines, behind its headers there is one.
            (false, "") => {}
            (true, "") => return Seen::Nothing,
            (false, line) => {
                is_request = line.ends_with(" HTTP/1.1") || line.ends_with(" HTTP/1.0");
                if !is_request {
                    return Seen::Nothing;
                }
            }
            (true, line) => {
                if let Some((_, host)) =
                    line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("host"))
                {
                    return named(host.trim());
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

fn text(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line).ok().filter(|line| !line.bytes().any(is_control))
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn named(host: &str) -> Seen<'_> {
    let end = match host.starts_with('[') {
        // An IPv6 address has colons of its own.
        true => host.find(']').map(|end| end + 1),
        false => Some(host.find(':').unwrap_or(host.len())),
    };
    match end.map(|end| &host[..end]) {
        None | Some("") => Seen::Nothing,
        Some(host) => Seen::Key(lower(host)),
    }
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
        ] {
            assert_eq!(look(request.as_bytes()), key(host), "{request:?}");
        }
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
        ] {
            assert_eq!(look(bytes), Seen::Nothing, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
