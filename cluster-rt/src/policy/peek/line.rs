//! The first line, whatever the protocol: all of it, without its end.

use std::borrow::Cow;

use super::Seen;

pub(super) fn look(bytes: &[u8]) -> Seen<'_> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Seen::More };
    let line = &bytes[..end];
    match std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
        Ok("") | Err(_) => Seen::Nothing,
        Ok(line) => Seen::Key(Cow::Borrowed(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_key_when_it_has_ended_and_is_text() {
        let key = |text| Seen::Key(Cow::Borrowed(text));
        assert_eq!(look(b"tenant 7\r\nmore"), key("tenant 7"));
        assert_eq!(look(b"Tenant\n"), key("Tenant"));
        assert_eq!(look(b"tenant 7\r"), Seen::More);
        for nothing in [&b"\n"[..], b"\r\n", b"\xff\n"] {
            assert_eq!(look(nothing), Seen::Nothing);
        }
    }
}
