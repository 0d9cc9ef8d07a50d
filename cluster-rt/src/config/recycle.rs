//! `Recycle`: the limits past which a worker is replaced by a fresh one.

use std::time::Duration;

/// Limits past which a worker is replaced, for programs that leak or fragment: the replacement is
/// started first, and the worker drains once it is ready. Without a limit nothing is recycled.
///
/// ```
/// use std::time::Duration;
///
/// let recycle = cluster::Recycle::new()
///     .connections(100_000)
///     .age(Duration::from_secs(24 * 3600))
///     .rss(512 << 20);
/// # let _ = cluster::Builder::new().recycle(recycle);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[must_use = "it takes effect by `Builder::recycle`"]
pub struct Recycle {
    pub(crate) connections: Option<u64>,
    pub(crate) age: Option<Duration>,
    /// In bytes.
    pub(crate) rss: Option<u64>,
    pub(crate) jitter: f64,
}

impl Default for Recycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Recycle {
    /// No limit, and a jitter of 0.1.
    pub const fn new() -> Self {
        Self { connections: None, age: None, rss: None, jitter: 0.1 }
    }

    /// After so many connections were handed to it; at least 1.
    pub const fn connections(mut self, connections: u64) -> Self {
        self.connections = Some(connections);
        self
    }

    /// So long after it was ready; above zero.
    pub const fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// When it has so many bytes resident in memory (VmRSS of proc(5)), pages that it shares with
    /// others included; at least 1.
    pub const fn rss(mut self, bytes: u64) -> Self {
        self.rss = Some(bytes);
        self
    }

    /// How far below each limit a worker may be recycled, as a part of it from 0.0 to 1.0, so that
    /// workers which began together do not end together. Each worker's own limits are drawn between
    /// `1.0 - jitter` times the limit and the limit, which none exceeds.
    pub const fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Whether there is nothing to watch for.
    pub(crate) fn is_off(&self) -> bool {
        self.connections.is_none() && self.age.is_none() && self.rss.is_none()
    }
}
