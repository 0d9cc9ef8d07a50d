//! How long and how far the first bytes of connections are looked at: [`PeekOptions`].
//!
//! Plain values, within bounds from the start; the master looks.

use std::{io, time::Duration};

use crate::wire::{Entry, PEEK_BYTES_MAX, Peeking, TABLE_BYTES_MAX, TABLE_ENTRIES_MAX};

/// What becomes of a connection that has no key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WithoutKey {
    /// It goes to the next worker in turn, which knows best what to answer.
    #[default]
    InTurn,
    /// The master closes it.
    Close,
}

/// How the master looks at the first bytes of connections, for [`Schedule::ByKey`](crate::Schedule::ByKey).
///
/// ```no_run
/// use std::time::Duration;
///
/// use cluster::{Schedule, TcpListener, net::{ListenOptions, Peek, PeekOptions, WithoutKey}};
///
/// # async fn bind() -> std::io::Result<()> {
/// let peek = PeekOptions::new().timeout(Duration::from_secs(2)).without_key(WithoutKey::Close);
/// let options = ListenOptions::new().schedule(Schedule::ByKey(Peek::Host)).peek(peek);
/// let listener = TcpListener::bind_with("0.0.0.0:8080", &options).await?;
/// # Ok(())
/// # }
/// ```
///
/// A connection is without a key as soon as its bytes say so, or its client sends no more; when it has sent as many as
/// are looked at, in more than 64 pieces, or for longer than the master waits; and if it has waited longest while
/// too many wait. What waits so costs the master a descriptor, and no time while nothing comes.
#[derive(Clone, Debug)]
pub struct PeekOptions {
    bytes: usize,
    timeout: Duration,
    waiting: usize,
    without_key: WithoutKey,
    table: Vec<Entry>,
}

impl Default for PeekOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl PeekOptions {
    /// Every default.
    pub fn new() -> Self {
        let Peeking { bytes, timeout, waiting, .. } = Peeking::default();
        Self {
            bytes: bytes as usize,
            timeout,
            waiting: waiting as usize,
            without_key: WithoutKey::InTurn,
            table: Vec::new(),
        }
    }

    /// How many bytes are looked at, clamped to 16 to 16384. Default: 4096. A key that is not within them is none.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How long after its acceptance a connection's key is waited for, clamped to 10 ms to 60 s. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many connections of this listener may wait for their first bytes, clamped to 1 to 4096. Default: 1024.
    /// With more, or with more than take a quarter of the master's limit of open files for all listeners together,
    /// the one that has waited longest is without a key: clients that send nothing keep nobody else out.
    pub fn waiting_max(mut self, connections: usize) -> Self {
        self.waiting = connections;
        self
    }

    /// What becomes of a connection that has no key. Default: it goes to the next worker in turn.
    pub fn without_key(mut self, without_key: WithoutKey) -> Self {
        self.without_key = without_key;
        self
    }

    /// Keys that belong to the slots that are said here, counted as [`Shard::index`](crate::Shard::index) is, as
    /// in a [`TableSplitter`](crate::TableSplitter); the others by hash. Of a key that comes twice the first entry
    /// counts; a slot that is not there counts as no entry.
    ///
    /// At most 256 entries, whose keys have 16384 bytes in all: with more, to bind is an error of the kind
    /// `InvalidInput`.
    pub fn table(mut self, entries: impl IntoIterator<Item = (impl Into<String>, usize)>) -> Self {
        let entry = |(key, slot): (_, usize)| Entry {
            key: Into::into(key),
            // There are never so many.
            slot: slot.try_into().unwrap_or(u32::MAX),
        };
        self.table = entries.into_iter().map(entry).collect();
        self
    }

    /// # Errors
    /// The table is too large.
    pub(super) fn check(&self) -> io::Result<()> {
        let bytes: usize = self.table.iter().map(|entry| entry.key.len()).sum();
        if self.table.len() <= TABLE_ENTRIES_MAX && bytes <= TABLE_BYTES_MAX {
            return Ok(());
        }
        let text = format!(
            "bind: the table of keys has {} entries of {bytes} bytes: allowed are {TABLE_ENTRIES_MAX} of \
             {TABLE_BYTES_MAX} in all; use the hash for most of them",
            self.table.len()
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    pub(super) fn told(&self) -> Peeking {
        Peeking {
            bytes: self.bytes.min(PEEK_BYTES_MAX) as u32,
            timeout: self.timeout,
            waiting: self.waiting.try_into().unwrap_or(u32::MAX),
            close: self.without_key == WithoutKey::Close,
            table: self.table.clone(),
        }
        .clamped()
    }
}
