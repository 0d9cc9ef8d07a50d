//! The services: what the supervisor remembers of each, when it begins, and what its giving up means.
//!
//! A cluster that names none has one, which has no name. Their workers share zygotes and scoreboard; all
//! else that is decided about a worker is decided by the rules of its service.

use std::time::Instant;

use super::{
    Action, EXIT_GAVE_UP, Supervisor,
    record::{KilledFor, Seat, Sitting, Worker},
    shares::Shares,
};
use crate::{
    config::{Config, Respawn, ServiceConfig},
    event::{Event, WorkerState},
};

#[derive(Debug)]
pub(super) struct Service {
    pub(super) given: ServiceConfig,
    /// Its first worker was asked for; before, it waits for other services.
    pub(super) begun: bool,
    /// The slot of its first worker, which starts alone.
    pub(super) first: usize,
    /// Whether any worker of it was ever ready.
    pub(super) ever_ready: bool,
    /// Failed starts in a row while no worker of it was ready.
    pub(super) failed_starts: u32,
    /// It is tried no more until the next reload.
    pub(super) gave_up: bool,
    pub(super) shares: Shares,
}

impl Supervisor {
    /// Gives every service its slots, in the order in which they are named.
    pub(super) fn open_services(&mut self, given: Vec<ServiceConfig>) {
        for (index, given) in given.into_iter().enumerate() {
            let generation = self.generation;
            let open = |_| self.seats.open(Seat::new(index, Sitting::NotBegun, generation));
            let slots: Vec<usize> = (0..given.workers).map(open).collect();
            let first = slots.first().copied().unwrap_or(0);
            self.services.push(Service {
                given,
                shares: Shares::new(slots),
                begun: false,
                first,
                ever_ready: false,
                failed_starts: 0,
                gave_up: false,
            });
        }
    }

    /// The options in force for a service.
    pub(super) fn rules_of(&self, service: usize) -> &Config {
        &self.services[service].given.rules
    }

    /// What a service is called, if services have names here.
    pub(crate) fn name_of(&self, service: usize) -> Option<&'static str> {
        self.services.get(service)?.given.name
    }

    /// The service that a slot belongs to.
    pub(crate) fn service_of_slot(&self, slot: usize) -> Option<usize> {
        self.seats.get(slot).map(|seat| seat.service)
    }

    /// Whether some worker of the service is ready.
    pub(super) fn is_served(&self, service: usize) -> bool {
        let ready = |w: &Worker| w.service == service && w.state() == WorkerState::Ready;
        self.workers.values().any(ready)
    }

    /// Begins the services for which those before them are up.
    pub(super) fn begin_services(&mut self, now: Instant) {
        for index in 0..self.services.len() {
            let service = &self.services[index];
            if service.begun || !service.given.after.iter().all(|&other| self.is_past(other)) {
                continue;
            }
            let first = service.first;
            self.services[index].begun = true;
            if let Some(seat) = self.seats.get_mut(first) {
                seat.sitting = Sitting::Due(now);
            }
        }
    }

    /// Whether connections are taken, and every service has had its turn: what is bound at a start is bound.
    pub(crate) fn has_started(&self) -> bool {
        self.opened && (0..self.services.len()).all(|index| self.is_past(index))
    }

    /// Whether nobody has to wait for this service any more: it is up, has been, or will not be.
    fn is_past(&self, index: usize) -> bool {
        let service = &self.services[index];
        let over = || self.seats.of(index).all(|(_, seat)| seat.sitting == Sitting::Empty);
        service.ever_ready || service.gave_up || (service.begun && over())
    }

    /// Its workers do not start. The cluster ends, unless it can do without.
    pub(super) fn give_up(&mut self, index: usize, out: &mut Vec<Action>) {
        let service = &mut self.services[index];
        let (failed_starts, optional) = (service.failed_starts, service.given.optional);
        service.gave_up = true;
        let service = service.given.name;
        out.push(Action::Emit(Event::GaveUp { failed_starts, service }));
        if optional {
            let name = service.unwrap_or_default();
            let text = format!("service {name} is optional: the cluster goes on without it");
            out.push(Action::Warn(text));
            self.close_service(index, out);
        } else {
            self.kill(EXIT_GAVE_UP, out);
        }
    }

    /// Spawns no more of its workers; those that are starting end.
    fn close_service(&mut self, index: usize, out: &mut Vec<Action>) {
        let why = "the service has given up; a reload tries it again".to_owned();
        for slot in self.seats.of(index).map(|(slot, _)| slot).collect::<Vec<_>>() {
            match self.seats[slot].sitting {
                Sitting::Taken(id) => self.kill_worker(id, KilledFor::Stop, out),
                _ => self.seats[slot].sitting = Sitting::Empty,
            }
            self.scaling_failed(slot, &why, out);
        }
    }

    /// A reload has brought other code: who had given up is tried with it.
    pub(super) fn try_services_again(&mut self, now: Instant) {
        for index in 0..self.services.len() {
            let service = &mut self.services[index];
            if !std::mem::take(&mut service.gave_up) {
                continue;
            }
            service.failed_starts = 0;
            if service.given.rules.respawn == Respawn::Never {
                continue;
            }
            let generation = self.generation;
            for seat in self.seats.iter_mut().filter(|seat| seat.service == index) {
                if seat.sitting == Sitting::Empty {
                    (seat.sitting, seat.faults) = (Sitting::Due(now), 0);
                    seat.generation = generation;
                }
            }
        }
    }

    /// Whether a worker has to go on because another service, which began after its own, is still there.
    pub(super) fn is_leaned_on(&self, index: usize) -> bool {
        let leans = |w: &Worker| self.services[w.service].given.after.contains(&index);
        self.workers.values().any(leans)
    }
}
