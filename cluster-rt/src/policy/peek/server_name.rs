//! The server name in the ClientHello of a TLS connection, in lower case.
//!
//! Only what leads there is understood (RFC 8446, RFC 6066). A hello may be spread over several records, and is
//! read as far as it has come.

use super::{Seen, lower};

/// A record's type and that of its message.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// No record holds more.
const RECORD_BYTES_MAX: usize = 1 << 14;

pub(super) fn look(bytes: &[u8]) -> Seen<'static> {
    let (message, has_ended) = of_records(bytes);
    match name(&message) {
        Ok(Some(name)) => Seen::Key(lower(&name).into_owned().into()),
        Err(Short) if !has_ended => Seen::More,
        Err(Short) | Ok(None) => Seen::Nothing,
    }
}

/// The handshake's bytes that have come, and whether others than a handshake's follow: early data, or no TLS at all.
fn of_records(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut message = Vec::new();
    let mut rest = bytes;
    while let Some((&kind, behind)) = rest.split_first() {
        if kind != HANDSHAKE || behind.first().is_some_and(|&major| major != 3) {
            return (message, true);
        }
        let Some(&[high, low]) = behind.get(2..4) else { break };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(1..=RECORD_BYTES_MAX).contains(&length) {
            return (message, true);
        }
        let body = &behind[4..];
        message.extend_from_slice(&body[..body.len().min(length)]);
        let Some(next) = body.get(length..) else { break };
        rest = next;
    }
    (message, false)
}

/// The bytes end before what they announce.
#[derive(Debug)]
struct Short;

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<usize, Short> {
        Ok(self.take(bytes)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    /// What a length of so many bytes announces.
    fn list(&mut self, bytes: usize) -> Result<&'a [u8], Short> {
        let length = self.number(bytes)?;
        self.take(length)
    }
}

/// The name in a message, `None` if it has none, whatever follows.
fn name(message: &[u8]) -> Result<Option<String>, Short> {
    let mut message = Reader(message);
    if message.number(1)? != usize::from(CLIENT_HELLO) {
        return Ok(None);
    }
    let length = message.number(3)?;
    let is_whole = message.0.len() >= length;
    let mut hello = Reader(&message.0[..message.0.len().min(length)]);
    match in_hello(&mut hello) {
        // All of it is there: what it announces beyond its own end never comes.
        Err(Short) if is_whole => Ok(None),
        found => found,
    }
}

fn in_hello(hello: &mut Reader<'_>) -> Result<Option<String>, Short> {
    // Version and random bytes.
    hello.take(34)?;
    let (_session, _ciphers, _compressions) = (hello.list(1)?, hello.list(2)?, hello.list(1)?);
    let _length = hello.number(2)?;
    loop {
        let kind = hello.number(2)?;
        let extension = hello.list(2)?;
        if kind == usize::from(SERVER_NAME) {
            return Ok(in_extension(extension).unwrap_or(None));
        }
    }
}

fn in_extension(extension: &[u8]) -> Result<Option<String>, Short> {
    let mut names = Reader(Reader(extension).list(2)?);
    loop {
        let kind = names.number(1)?;
        let name = names.list(2)?;
        if kind == usize::from(HOST_NAME) {
            let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
            return Ok(name.map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bytes: usize, content: &[u8]) -> Vec<u8> {
        let length = content.len().to_be_bytes();
        [&length[length.len() - bytes..], content].concat()
    }

    fn extension(kind: u8, content: &[u8]) -> Vec<u8> {
        [vec![0, kind], list(2, content)].concat()
    }

    fn names(name: &[u8]) -> Vec<u8> {
        extension(0, &list(2, &[vec![0], list(2, name)].concat()))
    }

    fn message(extensions: &[u8]) -> Vec<u8> {
        let fixed = [vec![3; 34], list(1, &[7; 32]), list(2, &[1, 2]), list(1, &[0])].concat();
        let hello = [fixed, list(2, extensions)].concat();
        [vec![CLIENT_HELLO], list(3, &hello)].concat()
    }

    fn record(content: &[u8]) -> Vec<u8> {
        [vec![HANDSHAKE, 3, 1], list(2, content)].concat()
    }

    #[test]
    fn the_name_is_found_among_the_extensions() {
        let found = Seen::Key("example.com".into());
        let message = message(&[extension(10, &[0; 9]), names(b"Example.com")].concat());
        let bytes = record(&message);
        assert_eq!(look(&bytes), found);
        for end in 0..bytes.len() {
            assert_eq!(look(&bytes[..end]), Seen::More, "cut at {end}");
        }
        let in_pieces: Vec<u8> = message.chunks(10).flat_map(record).collect();
        assert_eq!(look(&in_pieces), found);
        // What comes behind it is not waited for.
        let early = record(&[&message[..], &[0; 500]].concat());
        assert_eq!(look(&early[..bytes.len()]), found);
        assert_eq!(look(&[&bytes[..], b"\x17\x03\x03early data"].concat()), found);
    }

    #[test]
    fn what_has_no_name_is_known_at_once() {
        let beyond = {
            let mut bytes = record(&message(&names(b"example.com")));
            let announced = bytes.len() - 16;
            bytes[announced] = 255;
            bytes
        };
        for bytes in [
            record(&message(&[])),
            record(&message(&extension(10, &[0; 9]))),
            record(&message(&names(b""))),
            record(&message(&names(b"\xff"))),
            record(&[2, 0, 0, 4, 0, 0, 0, 0]),
            record(&[]),
            beyond,
            b"GET / HTTP/1.1\r\n".to_vec(),
            vec![22, 2],
        ] {
            assert_eq!(look(&bytes), Seen::Nothing, "{bytes:?}");
        }
    }
}
