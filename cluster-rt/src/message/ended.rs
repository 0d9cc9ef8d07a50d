//! The workers of which this process knows that they have ended.
//!
//! Identities are never used again, so what is known stays true. Bounded: of more than [`KNOWN_MAX`] the
//! one that was told first is forgotten, and told again when something is sent to it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use crate::id::WorkerId;

/// Workers that are remembered.
const KNOWN_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Ended(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    workers: BTreeSet<WorkerId>,
    /// In the order in which they were told.
    order: VecDeque<WorkerId>,
}

impl Ended {
    pub(super) fn add(&self, worker: WorkerId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.workers.insert(worker) {
            return;
        }
        known.order.push_back(worker);
        if known.order.len() > KNOWN_MAX {
            if let Some(first) = known.order.pop_front() {
                known.workers.remove(&first);
            }
        }
    }

    pub(super) fn contains(&self, worker: WorkerId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).workers.contains(&worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_the_last_that_it_was_told() {
        let ended = Ended::default();
        let most = KNOWN_MAX as u64;
        for round in 0..2 {
            for worker in 1..=most + 1 {
                ended.add(WorkerId(worker));
                ended.add(WorkerId(worker));
                assert!(ended.contains(WorkerId(worker)), "{worker} in round {round}");
            }
        }
        let remembered = (1..=most + 1).filter(|&worker| ended.contains(WorkerId(worker)));
        assert_eq!(remembered.count(), KNOWN_MAX);
    }
}
