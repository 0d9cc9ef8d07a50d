//! Looking at the workers from outside: what their rows and the kernel say of them.
//!
//! Reads only; what follows is the supervisor's.

use std::time::Duration;

use super::{Control, Input};
use crate::{
    event::WorkerStatus,
    master::supervisor::{Known, Signs},
    stats::{SlotStats, Stats},
    sys::process,
};

impl Control {
    /// Gives the supervisor the signs of life that it asked for.
    pub(super) fn look(&mut self) {
        let rules = || self.parts.services.iter().map(|service| &service.rules);
        let hearts = rules().any(|rules| rules.hang_timeout.is_some());
        let memory = rules().any(|rules| rules.recycle.rss.is_some());
        let workers = &self.parts.workers;
        let signs = workers.by_id.iter().filter_map(|(&worker, handle)| {
            let pid = handle.pid()?.unsigned_abs();
            let (active, served) = workers.counts(worker);
            Some(Signs {
                worker,
                beat: if hearts { workers.beat(worker) } else { 0 },
                starved: hearts.then(|| process::starved(pid)).flatten().unwrap_or(Duration::ZERO),
                connections: active.saturating_add(served),
                rss: memory.then(|| process::resident(pid)).flatten().unwrap_or(0),
            })
        });
        let signs = signs.collect();
        self.failures.push(Input::Looked { signs });
    }

    /// The workers that live.
    pub(super) fn snapshot(&self) -> Vec<WorkerStatus> {
        let status = |Known { worker, slot, service, generation, pid, state, .. }| {
            let since = self.parts.workers.by_id.get(&worker)?.since;
            let (active, served) = self.parts.workers.counts(worker);
            Some(WorkerStatus {
                worker,
                slot,
                service,
                pid,
                generation,
                state,
                since,
                active,
                served,
            })
        };
        self.parts.supervisor.workers().filter_map(status).collect()
    }

    /// The cluster in numbers, all but the memory.
    pub(super) fn stats(&self) -> Stats {
        let supervisor = &self.parts.supervisor;
        let known: Vec<Known> = supervisor.workers().collect();
        let departed = known.iter().filter(|k| supervisor.is_departed(k.worker)).count();
        let slots = supervisor.slots().into_iter();
        let slots = slots.map(|slot| self.slot_stats(slot, &known)).collect();
        let (generation, unread) = (supervisor.generation(), self.parts.hub.unread());
        Stats { generation, departed, unread, slots }
    }

    fn slot_stats(&self, slot: usize, known: &[Known]) -> SlotStats {
        let index = self.parts.supervisor.service_of_slot(slot);
        let service = index.and_then(|index| self.parts.supervisor.name_of(index));
        let account = self.ledger.of(service, slot);
        // Whoever drains in a slot that is another service's now is nobody's.
        let of_slot = || known.iter().filter(|k| k.slot == slot && k.service == service);
        let sitting = of_slot().find(|k| self.parts.supervisor.sits(k.worker));
        let counts = |k: &Known| self.parts.workers.counts(k.worker);
        let (active, served) =
            of_slot().map(counts).fold((0_u64, account.served), |sum, (a, s)| {
                (sum.0.saturating_add(a), sum.1.saturating_add(s))
            });
        let unread = of_slot().map(|k| self.parts.workers.unread(k.worker));
        let berths = of_slot().filter_map(|k| self.berth_of(k.worker));
        SlotStats {
            slot,
            service,
            worker: sitting.map(|k| k.worker),
            pid: sitting.and_then(|k| k.pid),
            generation: sitting.map(|k| k.generation),
            state: sitting.map(|k| k.state),
            received: served.saturating_add(active).saturating_add(account.lost),
            active,
            served,
            lost: account.lost,
            waiting: berths.map(|berth| self.listeners.waiting(berth)).sum(),
            unread: unread.fold(account.unread, u64::saturating_add),
            respawns: account.respawns,
            last_exit: account.last_exit,
            heartbeat_age: sitting.and_then(|k| k.silent),
            rss: None,
            pss: None,
        }
    }

    pub(super) fn report_stats(&self) {
        self.parts.report.stats(self.stats());
    }
}
