//! Splitting by data: which slot a key belongs to, and the share of the keys that is this worker's.
//!
//! Does not move what is kept under a key: that is the user's code, which is told here when to. The split
//! of a process changes only by [`tell`], so that what it says of a key is the same until then.

mod splitter;

use std::{hash::Hash, sync::LazyLock};

use tokio::sync::watch;

pub use self::splitter::{HashSplitter, RangeSplitter, Splitter, TableSplitter};
use crate::{
    message::{self, Address, ClusterRequest, Requesting},
    policy::rendezvous,
    wire::Split,
};

/// As this process was told last; a process without a cluster is all there is.
static SPLIT: LazyLock<watch::Sender<Split>> = LazyLock::new(|| watch::Sender::new(Split::of(1)));

/// The keys are split like this from now on; whether they were otherwise before. Called by one thread, in the
/// order of the changes.
pub(crate) fn tell(split: Split) -> bool {
    SPLIT.send_if_modified(|current| std::mem::replace(current, split) != split)
}

fn split() -> Split {
    *SPLIT.borrow()
}

/// The slot among `slots` that a key belongs to.
fn slot_of(key: &(impl Hash + ?Sized), slots: usize) -> usize {
    rendezvous::place(rendezvous::hash_of(key), 0..slots).unwrap_or(0)
}

/// The slot that a key belongs to: [`Shard::owner`] as this process knows it now.
///
/// In workers and in the master. With `workers = 0`, and in a process that is part of no cluster, 0.
///
/// ```
/// assert_eq!(cluster::shard_of("alice"), 0, "no cluster here");
/// ```
pub fn shard_of(key: &(impl Hash + ?Sized)) -> usize {
    slot_of(key, split().slots)
}

/// Asks the worker that a key belongs to: a [`request`](crate::request) to `Address::Slot(shard_of(key))`.
///
/// While the number of slots changes, the processes of a cluster are told one after another: who is asked
/// may know already that the key belongs to somebody else, or not yet that it is its own. It compares with
/// [`Shard::owns`], and says so in its reply.
///
/// # Errors
/// Those of [`request`](crate::request); the text names the slot. If its worker has died, or dies before it has
/// replied, [`Error::is_unreachable`](crate::Error::is_unreachable), at once: what it kept is lost, and the
/// next worker of the slot is asked from the moment on at which it is ready.
pub fn request_shard<M: ClusterRequest>(
    key: &(impl Hash + ?Sized),
    message: &M,
) -> Requesting<M::Reply> {
    message::request(Address::Slot(shard_of(key)), message)
}

/// The share of all keys that belongs to one worker, from [`Worker::shard`](crate::Worker::shard).
///
/// Each key belongs to one slot, by rendezvous hashing: the same one in every process, program and run, and
/// for every worker that ever sits there. When the number of slots grows from 4 to 5, one key in five moves,
/// to the new slot; when it shrinks again, those keys move and no others.
///
/// While a worker is replaced, the one that drains and the one that is to follow both have the share of their
/// slot; messages to the slot go to the newer as soon as that is ready.
///
/// A value: it does not change with the cluster. A key is hashed as its [`Hash`] says, so that `"a"` and
/// `String::from("a")` are one key, and `1_u32` and `1_u64` are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shard {
    /// The slot of the worker. Not below `count` in a worker that does not have its share yet, or whose slot
    /// was scaled away: it owns nothing.
    pub index: usize,
    /// Among how many slots the keys are split: all there are, of whatever service.
    pub count: usize,
    /// How often the number has changed since the cluster was started: two processes with the same version
    /// agree on the owner of each key.
    pub version: u64,
}

impl Shard {
    fn new(index: usize, Split { slots: count, version }: Split) -> Self {
        Self { index, count, version }
    }

    /// As this process knows it now, for the worker in this slot.
    pub(crate) fn now(index: usize) -> Self {
        Self::new(index, split())
    }

    /// The slot that a key belongs to.
    pub fn owner(&self, key: &(impl Hash + ?Sized)) -> usize {
        slot_of(key, self.count)
    }

    /// Whether a key belongs to this worker.
    pub fn owns(&self, key: &(impl Hash + ?Sized)) -> bool {
        self.owner(key) == self.index
    }
}

/// Tells a worker that keys have moved, from [`Worker::shard_changes`](crate::Worker::shard_changes).
#[derive(Clone, Debug)]
pub struct ShardChanges {
    last: Shard,
    splits: watch::Receiver<Split>,
}

impl ShardChanges {
    pub(crate) fn of(index: usize) -> Self {
        Self::new(index, SPLIT.subscribe())
    }

    fn new(index: usize, mut splits: watch::Receiver<Split>) -> Self {
        let last = Shard::new(index, *splits.borrow_and_update());
        Self { last, splits }
    }

    /// The share that this has told last; at first, the one at the time of its making.
    pub fn last(&self) -> Shard {
        self.last
    }

    /// Waits for another share than the last. Of several changes in a row it tells the newest.
    ///
    /// # Cancel safety
    /// Cancel-safe: a change that was not told is told by the next call.
    pub async fn next(&mut self) -> Shard {
        // The sender is never dropped.
        let _ = self.splits.changed().await;
        self.last = Shard::new(self.last.index, *self.splits.borrow_and_update());
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: u32 = 10_000;

    fn shard(index: usize, slots: usize) -> Shard {
        Shard::new(index, Split::of(slots))
    }

    #[test]
    fn every_key_has_one_owner_and_each_slot_its_due() {
        for slots in 1..=8 {
            let mut owned = vec![0; slots];
            let keys = KEYS * u32::try_from(slots).expect("few");
            for key in 0..keys {
                let key = format!("user:{key}");
                let owners = (0..slots).filter(|&index| shard(index, slots).owns(&key));
                let owner: Vec<_> = owners.collect();
                assert_eq!(owner, [shard(0, slots).owner(&key)]);
                owned[owner[0]] += 1;
            }
            for (slot, owned) in owned.into_iter().enumerate() {
                let share = f64::from(owned) / f64::from(KEYS);
                assert!((share - 1.0).abs() < 0.05, "{share} at {slot} of {slots}");
            }
        }
    }

    #[test]
    fn a_worker_of_a_slot_that_is_not_among_them_owns_nothing() {
        assert!((0..KEYS).all(|key| !shard(4, 4).owns(&key)));
    }

    #[test]
    fn text_is_one_key_however_it_is_held() {
        let held: (&str, String, Box<str>) = ("alice", "alice".to_owned(), "alice".into());
        let owner = |key: &str| shard(0, 64).owner(key);
        assert_eq!(owner(held.0), shard(0, 64).owner(&held.1));
        assert_eq!(owner(held.0), shard(0, 64).owner(&held.2));
    }

    #[tokio::test]
    async fn of_several_changes_the_newest_is_told() {
        let splits = watch::Sender::new(Split::of(4));
        let mut changes = ShardChanges::new(1, splits.subscribe());
        assert_eq!(changes.last(), shard(1, 4));
        for (slots, version) in [(5, 1), (6, 2)] {
            splits.send_replace(Split { slots, version });
        }
        assert_eq!(changes.last().count, 4, "not told yet");
        let told = changes.next().await;
        assert_eq!((told.index, told.count, told.version), (1, 6, 2));
        assert_eq!(changes.last(), told);
    }
}
