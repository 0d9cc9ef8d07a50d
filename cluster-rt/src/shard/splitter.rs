//! `Splitter`: rules by which keys are split, other than the hash of the whole key.
//!
//! Each is a pure function of the key and the number of slots.

use std::hash::Hash;

use super::{address, slot_of};
use crate::message::Address;

/// A rule that says which slot a key belongs to.
///
/// A closure `Fn(&K, usize) -> usize` is one:
///
/// ```
/// use cluster::{Address, HashSplitter, Splitter};
///
/// // All that belongs to one tenant is with one worker.
/// let by_tenant = |key: &str, slots: usize| {
///     let tenant = key.split('/').next().unwrap_or(key);
///     HashSplitter.slot(tenant, slots)
/// };
/// assert_eq!(by_tenant.slot("acme/1", 8), by_tenant.slot("acme/2", 8));
/// // For `request`, `send` and their like; of one slot, without a cluster.
/// assert_eq!(by_tenant.address("acme/1"), Address::Slot(0));
/// ```
pub trait Splitter<K: ?Sized> {
    /// The slot, of 0 up to `slots` (at least 1), that the key belongs to, counted among those of a service as
    /// [`Shard::index`](crate::Shard::index) is. Has to be the same in every process, so it depends on nothing
    /// but its arguments.
    fn slot(&self, key: &K, slots: usize) -> usize;

    /// Where the worker of this process's service is that the key belongs to, as this process knows it now; the
    /// master's service is the one that is named first. What [`slot`](Self::slot) says beyond the slots there
    /// are counts as the last.
    fn address(&self, key: &K) -> Address {
        address(None, |slots| self.slot(key, slots))
    }

    /// The same of another service, by its name: `web` finds the worker of `jobs` that a key belongs to there. If
    /// there is no such service, sending to the address fails and says so.
    fn address_in(&self, service: &'static str, key: &K) -> Address {
        address(Some(service), |slots| self.slot(key, slots))
    }
}

impl<K: ?Sized, F: Fn(&K, usize) -> usize> Splitter<K> for F {
    fn slot(&self, key: &K, slots: usize) -> usize {
        self(key, slots)
    }
}

/// By rendezvous hashing of the whole key, as [`shard_of`](crate::shard_of) does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashSplitter;

impl<K: Hash + ?Sized> Splitter<K> for HashSplitter {
    fn slot(&self, key: &K, slots: usize) -> usize {
        slot_of(key, slots)
    }
}

/// By a table: keys that are in it belong to the slot that it says, the others to where another rule says.
///
/// ```
/// use cluster::{Splitter, TableSplitter};
///
/// // By type of user: who pays has slot 0 for himself, guests share slot 1; the others by hash.
/// let by_plan = TableSplitter::new([("paid", 0), ("guest", 1)]);
/// assert_eq!(by_plan.slot(&"paid", 4), 0);
/// assert!(by_plan.slot(&"member", 4) < 4);
/// ```
///
/// A slot that is not there, because the number of slots shrank, counts as no entry.
#[derive(Clone, Debug)]
pub struct TableSplitter<K, S = HashSplitter> {
    /// Sorted by key.
    entries: Vec<(K, usize)>,
    otherwise: S,
}

impl<K: Ord + Hash> TableSplitter<K> {
    /// A table of keys and their slots; of a key that comes twice the first entry counts.
    pub fn new(entries: impl IntoIterator<Item = (K, usize)>) -> Self {
        Self::or(entries, HashSplitter)
    }
}

impl<K: Ord, S: Splitter<K>> TableSplitter<K, S> {
    /// The same, with a rule for keys that are not in the table.
    pub fn or(entries: impl IntoIterator<Item = (K, usize)>, otherwise: S) -> Self {
        Self { entries: sorted(entries), otherwise }
    }
}

impl<K: Ord, S: Splitter<K>> Splitter<K> for TableSplitter<K, S> {
    fn slot(&self, key: &K, slots: usize) -> usize {
        let at = self.entries.binary_search_by(|(entry, _)| entry.cmp(key));
        let slot = at.ok().map(|at| self.entries[at].1).filter(|&slot| slot < slots);
        slot.unwrap_or_else(|| self.otherwise.slot(key, slots))
    }
}

/// By ranges of keys in their order.
///
/// ```
/// use cluster::{RangeSplitter, Splitter};
///
/// // Below 1000 slot 0, from there slot 1, from 5000 on slot 2.
/// let by_number = RangeSplitter::new([(0, 0), (1000, 1), (5000, 2)]);
/// assert_eq!([999, 1000, 7000].map(|key| by_number.slot(&key, 4)), [0, 1, 2]);
/// ```
///
/// A key below the first range belongs to the first; a range whose slot is not there to the last slot.
#[derive(Clone, Debug)]
pub struct RangeSplitter<K> {
    /// Where each range begins, in order.
    starts: Vec<(K, usize)>,
}

impl<K: Ord> RangeSplitter<K> {
    /// Ranges by their first keys, each with its slot; each ends where the next begins.
    pub fn new(starts: impl IntoIterator<Item = (K, usize)>) -> Self {
        Self { starts: sorted(starts) }
    }
}

impl<K: Ord> Splitter<K> for RangeSplitter<K> {
    fn slot(&self, key: &K, slots: usize) -> usize {
        let behind = self.starts.partition_point(|(start, _)| start <= key);
        let range = self.starts.get(behind.saturating_sub(1));
        range.map_or(0, |&(_, slot)| slot.min(slots.saturating_sub(1)))
    }
}

/// In order, of equal keys only the first.
fn sorted<K: Ord>(entries: impl IntoIterator<Item = (K, usize)>) -> Vec<(K, usize)> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries.dedup_by(|(later, _), (kept, _)| later == kept);
    entries
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_table_decides_for_its_keys_alone_and_while_their_slot_is_there() {
        let table = TableSplitter::new([("b", 3), ("a", 0), ("b", 1)]);
        assert_eq!((table.slot(&"a", 4), table.slot(&"b", 4)), (0, 3));
        assert_eq!(table.slot(&"b", 2), HashSplitter.slot(&"b", 2), "slot 3 is gone");
        let otherwise = TableSplitter::or([("a", 1)], |_: &&str, slots: usize| slots - 1);
        assert_eq!((otherwise.slot(&"a", 4), otherwise.slot(&"z", 4)), (1, 3));
    }

    #[test]
    fn without_ranges_and_below_the_first_there_is_a_slot_all_the_same() {
        assert_eq!(RangeSplitter::<u8>::new([]).slot(&7, 3), 0);
        assert_eq!(RangeSplitter::new([(10, 1), (20, 2)]).slot(&7, 3), 1);
        assert_eq!(RangeSplitter::new([(10, 1), (20, 2)]).slot(&25, 2), 1, "slot 2 is gone");
    }

    proptest! {
        #[test]
        fn every_key_belongs_to_a_slot_that_is_there(
            key: String,
            slots in 1_usize..=512,
            entries: Vec<(String, u16)>,
        ) {
            let entries: Vec<_> = entries.into_iter().map(|(k, slot)| (k, slot.into())).collect();
            prop_assert!(HashSplitter.slot(&key, slots) < slots);
            prop_assert!(TableSplitter::new(entries.clone()).slot(&key, slots) < slots);
            prop_assert!(RangeSplitter::new(entries).slot(&key, slots) < slots);
        }

        #[test]
        fn one_slot_more_takes_keys_and_moves_none_between_the_others(
            key: Vec<u8>,
            slots in 1_usize..512,
        ) {
            let (before, after) = (HashSplitter.slot(&key, slots), HashSplitter.slot(&key, slots + 1));
            prop_assert!(after == before || after == slots);
        }
    }
}
