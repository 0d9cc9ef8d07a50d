//! Names for the things a cluster counts: workers and listeners.
//!
//! Plain values: nothing here knows a process or a descriptor. A [`WorkerId`] is never used twice in
//! the life of a cluster, so a late answer about a dead worker cannot be taken for one about its
//! replacement; pids are attributes, never keys.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of one worker, never used again after its end.
///
/// The seat it sits in is its *slot*, a plain `usize` that survives a respawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId(pub(crate) u64);

impl WorkerId {
    /// The number behind the identity: 1 for the first worker of a cluster, one more for each later one.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One listening socket of the cluster, numbered by the master in the order of first binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ListenerId(pub(crate) u32);
