//! What the first bytes of a connection say of where it belongs: its key.
//!
//! Pure functions of the bytes that there are so far. They may be anything, and more of them may come: what can be
//! said is said as soon as it can, and nothing that follows changes it. Invariant: no bytes make a panic, and the
//! work is linear in their number.

mod host;
mod line;
mod proxy;
mod server_name;

use std::borrow::Cow;

use crate::endpoint::Peek;

/// What bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    Key(Cow<'a, str>),
    /// Nothing yet.
    More,
    /// Nothing, whatever may follow.
    Nothing,
}

/// Looks for the key where `peek` says.
pub(crate) fn look(peek: Peek, bytes: &[u8]) -> Seen<'_> {
    match peek {
        Peek::Host => host::look(bytes),
        Peek::ServerName => server_name::look(bytes),
        Peek::Proxy => proxy::look(bytes),
        Peek::Line => line::look(bytes),
    }
}

/// Names of hosts are the same in either case.
fn lower(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Peek; 4] = [Peek::Host, Peek::ServerName, Peek::Proxy, Peek::Line];

    /// Beginnings that lead far into each of them.
    const BEGINNINGS: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 ",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
        b"\x16\x03\x01",
        b"\x16\x03\x01\0\x40\x01\0\0\x3c\x03\x03",
    ];

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_and_what_is_said_stays(
            beginning in prop::sample::select(BEGINNINGS.to_vec()),
            rest: Vec<u8>,
            cut: prop::sample::Index,
        ) {
            let bytes = [beginning, &rest].concat();
            let part = &bytes[..cut.index(bytes.len() + 1)];
            for peek in ALL {
                match look(peek, part) {
                    Seen::More => {}
                    said => prop_assert_eq!(said, look(peek, &bytes), "{:?}", peek),
                }
            }
        }
    }
}
