//! Text that tells by itself whether it is whole and the right one: what is numbered is recognised.

/// `bytes` bytes of text that no other number has, from 20 bytes on.
pub fn pattern(number: u64, bytes: usize) -> String {
    let unit = format!("{number:020}");
    let mut text = unit.repeat(bytes / unit.len() + 1);
    text.truncate(bytes);
    text
}

/// Whether `text` is the pattern of this number, of any length.
pub fn is_pattern(number: u64, text: &str) -> bool {
    text == pattern(number, text.len())
}
