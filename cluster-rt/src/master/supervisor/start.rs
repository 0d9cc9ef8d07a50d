//! From nothing to ready: the first worker alone, the others, readiness.

use std::time::{Duration, Instant};

use super::{
    Action, Supervisor,
    record::{KilledFor, Place, Seat, Sitting, Stage, Worker},
};
use crate::{
    endpoint::Endpoint,
    event::Event,
    id::{ListenerId, WorkerId},
    policy::limits,
};

/// A worker that has run this long is no program that just prints its usage: the others follow. And
/// one that has bound nothing by then is ready.
pub(super) const SETTLED: Duration = Duration::from_secs(1);

/// At the start, connections wait this long after the first worker is ready for the others to be
/// ready too, so that the first does not get what is theirs.
const OPEN_HOLD: Duration = Duration::from_secs(1);

/// The pause after the kernel refused a fork.
pub(super) const FORK_RETRY: Duration = Duration::from_secs(1);

impl Supervisor {
    pub(super) fn begin(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.exec_zygote(self.generation, now, out);
    }

    /// Asks for the worker that is to sit in the slot.
    pub(super) fn spawn(&mut self, slot: usize, now: Instant, out: &mut Vec<Action>) {
        let generation = self.seats[slot].generation;
        let id = self.ask_for_worker(slot, generation, now, out);
        self.seats[slot].sitting = Sitting::Taken(id);
    }

    /// Asks for the worker that is to replace the one in the slot.
    pub(super) fn spawn_successor(&mut self, slot: usize, now: Instant, out: &mut Vec<Action>) {
        let Some(successor) = &self.seats[slot].successor else { return };
        let id = self.ask_for_worker(slot, successor.generation, now, out);
        if let Some(successor) = &mut self.seats[slot].successor {
            successor.stage = Stage::Starting(id);
        }
    }

    fn ask_for_worker(
        &mut self,
        slot: usize,
        generation: u32,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> WorkerId {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let service = self.seats[slot].service;
        let limits = limits::draw(&self.rules_of(service).recycle, self.seed, id.0);
        self.workers.insert(id, Worker::new((slot, service), generation, limits, now));
        out.push(Action::Spawn { worker: id, slot, generation });
        id
    }

    pub(super) fn spawned(&mut self, id: WorkerId, pid: u32, now: Instant, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|w| w.pid.is_none()) else { return };
        worker.pid = Some(pid);
        worker.since = now;
        let (slot, generation, index) = (worker.slot, worker.generation, worker.service);
        let service = self.name_of(index);
        self.zygote_served(generation);
        self.reload_spawned(generation);
        out.push(Action::Emit(Event::Spawned { worker: id, slot, service, pid, generation }));
        let gave_up = self.services[index].gave_up && self.place(id) == Place::Sitting;
        if self.is_ending() || gave_up || self.place(id) == Place::Departed {
            self.kill_worker(id, KilledFor::Stop, out);
        }
    }

    /// A fork that the kernel refuses is no fault of the worker's: it counts for nothing.
    pub(super) fn spawn_failed(
        &mut self,
        id: WorkerId,
        errno: i32,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(worker) = self.workers.get(&id).filter(|w| w.pid.is_none()) else { return };
        let slot = worker.slot;
        let of_reload = self.place(id) == Place::Successor && self.is_for_reload(slot);
        self.unspawn(id, now + FORK_RETRY);
        let error = std::io::Error::from_raw_os_error(errno);
        out.push(Action::Forget { worker: id });
        out.push(Action::Warn(format!(
            "spawn of a worker for slot {slot}: {error}; trying again in {} ms",
            FORK_RETRY.as_millis()
        )));
        if of_reload {
            self.reload_was_refused(&error, now, out);
        }
    }

    pub(super) fn online(&mut self, id: WorkerId, now: Instant, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|w| w.online.is_none()) else { return };
        worker.online = Some(now);
        let (slot, index) = (worker.slot, worker.service);
        let service = self.name_of(index);
        out.push(Action::Emit(Event::Online { worker: id, slot, service }));
    }

    pub(super) fn bound(
        &mut self,
        id: WorkerId,
        listener: ListenerId,
        addr: Endpoint,
        out: &mut Vec<Action>,
    ) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.bound = true;
        worker.listeners.insert(listener, addr.clone());
        worker.engaged = true;
        let (slot, index) = (worker.slot, worker.service);
        let service = self.name_of(index);
        out.push(Action::Emit(match addr {
            Endpoint::Tcp(addr) | Endpoint::Udp(addr) => {
                Event::Listening { worker: id, slot, service, addr }
            }
            Endpoint::Unix(path) => Event::ListeningAt { worker: id, slot, service, path },
        }));
    }

    pub(super) fn accepting(
        &mut self,
        id: WorkerId,
        listener: ListenerId,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let place = self.place(id);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.drain_until.is_some() || !worker.accepting.insert(listener) {
            return;
        }
        worker.engaged = true;
        // A successor gets connections when it takes the seat, and not before it is known to be ready.
        if place == Place::Sitting {
            out.push(Action::Admit { worker: id, listener });
        }
        let required = self.required(id);
        if self.workers[&id].accepting.is_superset(&required) {
            self.ready(id, now, out);
        }
    }

    /// The listeners on which this worker has to accept to be ready: those of the worker that it
    /// replaces.
    pub(super) fn required(&self, id: WorkerId) -> std::collections::BTreeSet<ListenerId> {
        let Some(worker) = self.workers.get(&id) else { return Default::default() };
        let Some(seat) = self.seats.get(worker.slot) else { return Default::default() };
        match seat.sitting {
            Sitting::Taken(before) if before != id => match self.workers.get(&before) {
                Some(before) if before.ready.is_some() => before.accepting.clone(),
                _ => seat.listeners.clone(),
            },
            _ => seat.listeners.clone(),
        }
    }

    /// What keeps the worker from being ready, as far as it is about listeners, to follow that it is not.
    pub(super) fn unmet(&self, id: WorkerId) -> String {
        let Some(worker) = self.workers.get(&id) else { return String::new() };
        let name = |listener: &ListenerId| {
            let known = self.workers.values().find_map(|w| w.listeners.get(listener));
            known.map_or_else(|| "a listener".to_owned(), ToString::to_string)
        };
        let required = self.required(id);
        let missing: Vec<_> = required.difference(&worker.accepting).map(name).collect();
        let only_bound: Vec<_> = worker.listeners.keys().map(name).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            format!(": it does not accept on {missing}, where the worker before it does")
        } else if worker.accepting.is_empty() && !only_bound.is_empty() {
            format!(": it has bound {} and does not accept", only_bound.join(", "))
        } else {
            String::new()
        }
    }

    pub(super) fn ready(&mut self, id: WorkerId, now: Instant, out: &mut Vec<Action>) {
        let place = self.place(id);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.ready.is_some() || worker.drain_until.is_some() || worker.killed.is_some() {
            return;
        }
        worker.ready = Some(now);
        self.ever_ready = true;
        let (slot, index) = (worker.slot, worker.service);
        let service = &mut self.services[index];
        // The failed starts before it are forgotten when it has lived a while: it may yet turn out not to start.
        (service.ever_ready, service.gave_up) = (true, false);
        let service = service.given.name;
        out.push(Action::Emit(Event::Ready { worker: id, slot, service }));
        self.follow(index, now);
        if !self.opened {
            self.open_at.get_or_insert(now + OPEN_HOLD);
            if self.all_ready() {
                self.open_at = Some(now);
            }
        }
        if place == Place::Successor && !self.is_on_trial(slot) {
            self.promote(slot, now, out);
        }
        self.wear_out_if_asked(id);
    }

    fn all_ready(&self) -> bool {
        // A service that waits for another may wait for long.
        let begun = self.seats.iter().filter(|seat| self.services[seat.service].begun).count();
        self.workers.values().filter(|w| w.ready.is_some()).count() >= begun
    }

    /// The first worker of the service has shown that it runs: the others may start.
    pub(super) fn follow(&mut self, service: usize, now: Instant) {
        for seat in self.seats.iter_mut().filter(|seat| seat.service == service) {
            if seat.sitting == Sitting::NotBegun {
                seat.sitting = Sitting::Due(now);
            }
        }
    }

    /// Whether some workers still wait for the first of their service.
    pub(super) fn is_starting(&self) -> bool {
        self.seats.iter().any(|seat| seat.sitting == Sitting::NotBegun)
    }

    /// When the others start although the first worker of their service is not ready yet.
    pub(super) fn follow_at(&self) -> impl Iterator<Item = (Instant, usize)> + '_ {
        let waits = |&service: &usize| {
            let waits = |(_, seat): (usize, &Seat)| seat.sitting == Sitting::NotBegun;
            self.seats.of(service).any(waits) && self.wants_workers(service)
        };
        (0..self.services.len()).filter(waits).filter_map(|service| {
            let of_service = self.workers.values().filter(|w| w.service == service);
            Some((of_service.filter_map(|w| w.online).min()? + SETTLED, service))
        })
    }
}
