//! The notation of an amount of memory: a number with its unit.
//!
//! It knows texts, not tokens. Invariant: what is accepted here is what the runtime accepts in a
//! variable, and every refusal shows a text that would be accepted.

use bytesize::ByteSize;

/// A number of bytes above zero, or the message that says how to write one.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    // A number alone could be of any unit, and `M` is 1000 * 1000 to some and 1024 * 1024 to others.
    let has_unit = text.ends_with(['B', 'b']);
    match text.parse() {
        Ok(ByteSize(0)) if has_unit => Err(format!("`{text}` is nothing: {SUCH_AS}")),
        // Too large a number is read as the largest there is.
        Ok(ByteSize(bytes)) if has_unit && bytes < u64::MAX => Ok(bytes),
        _ => Err(format!("`{text}` is not a number of bytes: {SUCH_AS}")),
    }
}

const SUCH_AS: &str = "write a number with a unit of `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`, such as `\"512MiB\"`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_number_with_a_unit() {
        for (text, number) in [
            ("1B", 1),
            ("4KiB", 4096),
            ("512MiB", 512 << 20),
            ("2 GiB", 2 << 30),
            ("4KB", 4000),
            ("512MB", 512_000_000),
            ("2GB", 2_000_000_000),
            ("1.5GiB", 3 << 29),
        ] {
            assert_eq!(parse_bytes(text), Ok(number), "{text:?}");
        }
        for wrong in ["", "512", "512M", "MiB", "0MiB", "-1MiB", "512 MiBs", "99999999999999GB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong:?}");
        }
    }
}
