//! How the first bytes of a listener's connections are looked at, as a worker asks for it.
//!
//! What a worker says may be anything: [`Peeking::clamped`] is what the master does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many bytes are looked at, at most: a header, or a record of TLS.
pub(crate) const PEEK_BYTES_MAX: usize = 1 << 14;

/// What a table may have.
pub(crate) const TABLE_ENTRIES_MAX: usize = 256;
pub(crate) const TABLE_BYTES_MAX: usize = 1 << 14;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peeking {
    pub(crate) bytes: u32,
    pub(crate) timeout: Duration,
    /// Connections that may wait for their first bytes.
    pub(crate) waiting: u32,
    /// A connection without a key is closed.
    pub(crate) close: bool,
    pub(crate) table: Vec<Entry>,
}

/// A key whose slot is not the hash's to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Among those of the service.
    pub(crate) slot: u32,
}

impl Default for Peeking {
    fn default() -> Self {
        let timeout = Duration::from_secs(5);
        Self { bytes: 4096, timeout, waiting: 1024, close: false, table: Vec::new() }
    }
}

impl Peeking {
    /// The same within all bounds; the table in the order of its keys, each once.
    pub(crate) fn clamped(mut self) -> Self {
        self.bytes = self.bytes.clamp(16, PEEK_BYTES_MAX as u32);
        self.timeout = self.timeout.clamp(Duration::from_millis(10), Duration::from_secs(60));
        self.waiting = self.waiting.clamp(1, 4096);
        self.table.truncate(TABLE_ENTRIES_MAX);
        let mut bytes = 0;
        self.table.retain(|entry| {
            bytes += entry.key.len();
            bytes <= TABLE_BYTES_MAX
        });
        self.table.sort_by(|a, b| a.key.cmp(&b.key));
        self.table.dedup_by(|later, kept| later.key == kept.key);
        self
    }

    /// The slot that the table says.
    pub(crate) fn in_table(&self, key: &str) -> Option<usize> {
        let at = self.table.binary_search_by(|entry| (*entry.key).cmp(key)).ok()?;
        Some(self.table[at].slot as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_worker_says_is_within_bounds() {
        let entry = |key: &str, slot| Entry { key: key.to_owned(), slot };
        let wild = Peeking {
            bytes: u32::MAX,
            timeout: Duration::MAX,
            waiting: 0,
            close: false,
            table: vec![entry("b", 1), entry("a", 2), entry("b", 3)],
        };
        let tame = wild.clamped();
        assert_eq!((tame.bytes, tame.waiting), (16384, 1));
        assert_eq!(tame.timeout, Duration::from_secs(60));
        assert_eq!(["a", "b", "c"].map(|key| tame.in_table(key)), [Some(2), Some(1), None]);
        let long = entry(&"x".repeat(TABLE_BYTES_MAX), 1);
        let table = vec![long.clone(), entry("a", 1)];
        assert_eq!(Peeking { table, ..Peeking::default() }.clamped().table, [long]);
    }
}
