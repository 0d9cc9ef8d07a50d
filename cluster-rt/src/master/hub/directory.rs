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

    /// The ready worker of a service whose turn it is; one that drains only if there is no other.
    pub(super) fn next_of(&self, service: u64) -> Option<WorkerId> {
        let mut state = self.lock();
        let last = state.turns.get(&service).copied();
        let ready = state.members.iter().filter(|(_, m)| m.service == service && m.ready);
        // Those behind the last one come first, each half in the order of identities.
        let next = ready.min_by_key(|(id, m)| (m.draining, Some(**id) <= last, **id));
        let next = next.map(|(&id, _)| id)?;
        state.turns.insert(service, next);
        Some(next)
    }

    /// Every worker of a service, ready or not.
    pub(super) fn all_of(&self, service: u64) -> Vec<WorkerId> {
        let state = self.lock();
        state.members.iter().filter(|(_, m)| m.service == service).map(|(&id, _)| id).collect()
    }
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
        assert_eq!(directory.next_of(SERVICE), None);
        directory.set_ready(WorkerId(1));
        directory.set_ready(WorkerId(3));
        let turns = |directory: &Directory| [(); 3].map(|()| directory.next_of(SERVICE));
        assert_eq!(turns(&directory), [1, 3, 1].map(|id| Some(WorkerId(id))));
        directory.set_ready(WorkerId(2));
        directory.set_draining(WorkerId(3));
        assert_eq!(turns(&directory), [2, 1, 2].map(|id| Some(WorkerId(id))));
        assert_eq!(directory.next_of(SERVICE + 1), None);
        assert_eq!(directory.all_of(SERVICE).len(), 3);
    }
}
