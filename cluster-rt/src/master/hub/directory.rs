//! The workers that live, for the hub and for whoever sends in the master: who is at an address.
//!
//! Told by the supervisor's thread, and read by all; knows no socket.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::id::WorkerId;

/// What is known of a worker that lives.
#[derive(Clone, Copy, Debug)]
struct Member {
    slot: u64,
    service: u64,
    ready: bool,
    draining: bool,
}

#[derive(Debug, Default)]
pub(super) struct Directory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<WorkerId, Member>,
    /// By service: who was the last to have its turn. Only of services that have had workers.
    turns: BTreeMap<u64, WorkerId>,
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, worker: WorkerId, slot: usize, service: u64) {
        let member = Member { slot: slot as u64, service, ready: false, draining: false };
        self.lock().members.insert(worker, member);
    }

    pub(super) fn set_ready(&self, worker: WorkerId) {
        if let Some(member) = self.lock().members.get_mut(&worker) {
            member.ready = true;
        }
    }

    pub(super) fn set_draining(&self, worker: WorkerId) {
        if let Some(member) = self.lock().members.get_mut(&worker) {
            member.draining = true;
        }
    }

    pub(super) fn remove(&self, worker: WorkerId) {
        self.lock().members.remove(&worker);
    }

    pub(super) fn contains(&self, worker: WorkerId) -> bool {
        self.lock().members.contains_key(&worker)
    }

    /// The newest ready worker of a slot; one that drains only if there is no other.
    pub(super) fn in_slot(&self, slot: u64) -> Option<WorkerId> {
        let state = self.lock();
        let ready = state.members.iter().filter(|(_, m)| m.slot == slot && m.ready);
        ready.max_by_key(|(id, m)| (!m.draining, **id)).map(|(&id, _)| id)
    }

    /// Whether a worker of the service is ready.
    pub(super) fn is_served(&self, service: u64) -> bool {
        self.lock().members.values().any(|m| m.service == service && m.ready)
    }

    /// The ready worker of a service that has the fewest `unanswered` requests, in turn among equals; one that
    /// drains only if there is no other.
    pub(super) fn next_of(
        &self,
        service: u64,
        unanswered: impl Fn(WorkerId) -> usize,
    ) -> Option<WorkerId> {
        let mut state = self.lock();
        let last = state.turns.get(&service).copied();
        let ready = state.members.iter().filter(|(_, m)| m.service == service && m.ready);
        let next = choose(ready.map(|(&id, m)| (id, m.draining, unanswered(id))), last)?;
        state.turns.insert(service, next);
        Some(next)
    }

    /// Every worker of a service, ready or not.
    pub(super) fn all_of(&self, service: u64) -> Vec<WorkerId> {
        let state = self.lock();
        state.members.iter().filter(|(_, m)| m.service == service).map(|(&id, _)| id).collect()
    }
}

/// Whose turn it is among workers, of which each may drain and has some unanswered requests, if `last` had the
/// last one.
fn choose(
    ready: impl Iterator<Item = (WorkerId, bool, usize)>,
    last: Option<WorkerId>,
) -> Option<WorkerId> {
    // Those behind the last one come first, each half in the order of identities.
    let turn = |id| (Some(id) <= last, id);
    let next = ready.min_by_key(|&(id, draining, unanswered)| (draining, unanswered, turn(id)));
    next.map(|(id, ..)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: u64 = 5;

    fn three() -> Directory {
        let directory = Directory::default();
        for (worker, slot) in [(1, 0), (2, 1), (3, 1)] {
            directory.add(WorkerId(worker), slot, SERVICE);
        }
        directory
    }

    #[test]
    fn a_slot_is_its_newest_ready_worker_and_one_that_drains_only_for_lack_of_another() {
        let directory = three();
        assert_eq!(directory.in_slot(1), None);
        directory.set_ready(WorkerId(2));
        assert_eq!(directory.in_slot(1), Some(WorkerId(2)));
        directory.set_ready(WorkerId(3));
        assert_eq!(directory.in_slot(1), Some(WorkerId(3)));
        directory.set_draining(WorkerId(3));
        assert_eq!(directory.in_slot(1), Some(WorkerId(2)));
        directory.remove(WorkerId(2));
        assert_eq!(directory.in_slot(1), Some(WorkerId(3)));
        assert_eq!(directory.in_slot(0), None);
    }

    #[test]
    fn the_ready_workers_of_a_service_have_their_turns() {
        let directory = three();
        assert!(!directory.is_served(SERVICE));
        assert_eq!(directory.next_of(SERVICE, |_| 0), None);
        directory.set_ready(WorkerId(1));
        directory.set_ready(WorkerId(3));
        let turns = |directory: &Directory| [(); 3].map(|()| directory.next_of(SERVICE, |_| 0));
        assert_eq!(turns(&directory), [1, 3, 1].map(|id| Some(WorkerId(id))));
        directory.set_ready(WorkerId(2));
        directory.set_draining(WorkerId(3));
        assert_eq!(turns(&directory), [2, 1, 2].map(|id| Some(WorkerId(id))));
        assert_eq!(directory.next_of(SERVICE + 1, |_| 0), None);
        assert_eq!(directory.all_of(SERVICE).len(), 3);
    }
    #[test]
    fn the_fewest_unanswered_requests_come_before_the_turn_and_draining_after_all() {
        let choose = |ready: &[(u64, bool, usize)], last: u64| {
            let ready = ready.iter().map(|&(id, draining, n)| (WorkerId(id), draining, n));
            super::choose(ready, Some(WorkerId(last))).map(|id| id.0)
        };
        for (ready, last, chosen) in [
            (&[(1, false, 1), (2, false, 0), (3, false, 0)][..], 1, Some(2)),
            (&[(1, false, 1), (2, false, 0), (3, false, 0)], 2, Some(3)),
            (&[(1, false, 1), (2, false, 0), (3, false, 0)], 3, Some(2)),
            (&[(1, false, 2), (2, false, 2), (3, false, 2)], 3, Some(1)),
            (&[(1, false, 9), (2, true, 0)], 1, Some(1)),
            (&[(1, true, 9), (2, true, 8)], 2, Some(2)),
            (&[], 1, None),
        ] {
            assert_eq!(choose(ready, last), chosen, "{ready:?} after {last}");
        }
        assert_eq!(super::choose([(WorkerId(4), false, 0)].into_iter(), None), Some(WorkerId(4)));
    }
}
