//! From the reap of a worker to the announcement of its end: what it had sent arrives before.
//!
//! The hub reads the worker's mail lane meanwhile; its notice is one more input. A receiver that takes
//! nothing can hold that up, so there is a bound, beyond which the end is announced all the same.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use super::{Control, Input};
use crate::id::WorkerId;

/// More than a receiver may take nothing before it lags.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_millis(1500);

#[derive(Clone, Copy, Debug)]
pub(super) struct Reaped {
    status: ExitStatus,
    /// When its end is announced at the latest.
    until: Instant,
}

impl Control {
    pub(super) fn worker_reaped(&mut self, worker: WorkerId, status: ExitStatus) {
        if let Some(handle) = self.parts.workers.by_id.get_mut(&worker) {
            handle.set_reaped();
        }
        self.reaped.insert(worker, Reaped { status, until: Instant::now() + ANNOUNCE_TIMEOUT });
        self.parts.hub.reaped(worker);
    }

    /// The supervisor learns that the worker has ended.
    pub(super) fn announce_end(&mut self, worker: WorkerId) {
        let Some(Reaped { status, .. }) = self.reaped.remove(&worker) else { return };
        let (lost, served) = self.parts.workers.counts(worker);
        let unread = self.parts.workers.unread(worker);
        if let Some(handle) = self.parts.workers.by_id.get(&worker) {
            // First, so that the slot's next worker finds its berth free.
            self.berths.leave(worker, handle.berth);
            let name = self.parts.services[handle.service].name;
            self.ledger.fold((name, handle.slot), lost, served, unread);
        }
        self.feed(Input::Reaped { worker, status, lost });
        if let Some(gone) = self.parts.workers.remove(worker) {
            if self.leaving.get(&gone.berth) == Some(&worker) {
                self.leaving.remove(&gone.berth);
            }
        }
        self.retire_berths();
    }

    pub(super) fn announce_overdue(&mut self) {
        let now = Instant::now();
        let overdue: Vec<WorkerId> =
            self.reaped.iter().filter(|(_, r)| r.until <= now).map(|(&id, _)| id).collect();
        for worker in overdue {
            self.announce_end(worker);
        }
    }

    /// When `announce_overdue` has something to do.
    pub(super) fn announce_deadline(&self) -> Option<Instant> {
        self.reaped.values().map(|reaped| reaped.until).min()
    }
}
