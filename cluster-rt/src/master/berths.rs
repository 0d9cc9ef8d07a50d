//! Berths: where connections wait for a worker, one handoff queue for each listener.
//!
//! A slot has one berth, its home, which outlives its workers: what waits there when a worker dies is
//! served by the next. A worker that is to replace one that lives has a berth of its own, which becomes
//! the slot's home when it takes the seat. Bookkeeping only; the queues are elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::WorkerId;

#[derive(Debug, Default)]
pub(super) struct Berths {
    /// By slot.
    home: BTreeMap<usize, usize>,
    /// The berths in use, with those who have them.
    occupants: BTreeMap<usize, Option<WorkerId>>,
    /// Berths that nobody has any more and in which something may still wait.
    retiring: BTreeSet<usize>,
}

impl Berths {
    /// A berth for a worker of this slot: its home if that is free, else a new one, which is the home
    /// at once if the worker `sits` there.
    pub(super) fn assign(&mut self, worker: WorkerId, slot: usize, sits: bool) -> usize {
        let home = self.home.get(&slot).copied();
        let berth = match home {
            Some(home) if sits && self.occupants.get(&home) == Some(&None) => home,
            _ => self.lowest_free(),
        };
        self.occupants.insert(berth, Some(worker));
        if sits {
            self.home.insert(slot, berth);
        }
        berth
    }

    fn lowest_free(&self) -> usize {
        let taken = |n: &usize| self.occupants.contains_key(n) || self.retiring.contains(n);
        (0..).find(|n| !taken(n)).unwrap_or(usize::MAX)
    }

    /// The worker sits in its slot from now on.
    pub(super) fn promote(&mut self, slot: usize, berth: usize) {
        self.home.insert(slot, berth);
    }

    /// The worker has ended.
    pub(super) fn leave(&mut self, worker: WorkerId, berth: usize) {
        if let Some(occupant) = self.occupants.get_mut(&berth) {
            if *occupant == Some(worker) {
                *occupant = None;
            }
        }
    }

    /// The berths that nobody is going to use again, each once: without a worker, and not the home of
    /// a slot that `exists`.
    pub(super) fn retire(&mut self, exists: impl Fn(usize) -> bool) -> Vec<usize> {
        self.home.retain(|&slot, berth| {
            exists(slot) || self.occupants.get(berth).is_some_and(Option::is_some)
        });
        let homes: BTreeSet<usize> = self.home.values().copied().collect();
        let idle = |(&berth, occupant): (&usize, &Option<WorkerId>)| {
            (occupant.is_none() && !homes.contains(&berth)).then_some(berth)
        };
        let retired: Vec<usize> = self.occupants.iter().filter_map(idle).collect();
        for berth in &retired {
            self.occupants.remove(berth);
            self.retiring.insert(*berth);
        }
        retired
    }

    /// Nothing waits in the berth any more: its number may be used again.
    pub(super) fn retired(&mut self, berth: usize) {
        self.retiring.remove(&berth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slots_next_worker_has_its_berth() {
        let mut berths = Berths::default();
        assert_eq!(berths.assign(WorkerId(1), 0, true), 0);
        assert_eq!(berths.assign(WorkerId(2), 1, true), 1);
        berths.leave(WorkerId(1), 0);
        assert_eq!(berths.retire(|slot| slot < 2), []);
        assert_eq!(berths.assign(WorkerId(3), 0, true), 0);
    }

    #[test]
    fn a_successor_brings_its_own_and_the_old_one_retires_with_its_worker() {
        let mut berths = Berths::default();
        berths.assign(WorkerId(1), 0, true);
        assert_eq!(berths.assign(WorkerId(2), 0, false), 1);
        berths.promote(0, 1);
        assert_eq!(berths.retire(|slot| slot < 1), [], "its worker still drains");
        berths.leave(WorkerId(1), 0);
        assert_eq!(berths.retire(|slot| slot < 1), [0]);
        assert_eq!(berths.retire(|slot| slot < 1), [], "once");
        // Not used again before it is empty.
        assert_eq!(berths.assign(WorkerId(3), 1, true), 2);
        berths.retired(0);
        assert_eq!(berths.assign(WorkerId(4), 2, true), 0);
    }

    #[test]
    fn a_successor_that_fails_takes_its_berth_along() {
        let mut berths = Berths::default();
        berths.assign(WorkerId(1), 0, true);
        berths.assign(WorkerId(2), 0, false);
        berths.leave(WorkerId(2), 1);
        assert_eq!(berths.retire(|slot| slot < 1), [1]);
    }

    #[test]
    fn a_slot_that_is_gone_keeps_its_berth_while_its_worker_drains() {
        let mut berths = Berths::default();
        berths.assign(WorkerId(1), 0, true);
        berths.assign(WorkerId(2), 1, true);
        assert_eq!(berths.retire(|slot| slot < 1), []);
        // The slot is back before its old worker has ended.
        assert_eq!(berths.assign(WorkerId(3), 1, true), 2);
        berths.leave(WorkerId(2), 1);
        assert_eq!(berths.retire(|slot| slot < 2), [1]);
    }
}
