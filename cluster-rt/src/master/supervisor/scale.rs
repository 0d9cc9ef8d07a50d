//! Changing the number of slots while the cluster runs.
//!
//! New slots are the lowest free numbers; those of the service that came last go first, and their workers
//! drain. In a cluster that names no services these are the highest.

use std::time::Instant;

use super::{
    Action, Done, OrderId, Supervisor,
    record::{KilledFor, Place, Seat, Sitting, Worker},
    stop::Phase,
};
use crate::{config::WORKERS_MAX, id::WorkerId};

/// What orders and messages call the only service of a cluster that names none.
const MAIN: &str = "main";

/// A change that is not done yet.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    order: OrderId,
    from: usize,
    to: usize,
    /// The slots that came or went.
    slots: Vec<usize>,
}

impl Supervisor {
    /// The number of slots.
    pub(crate) fn target(&self) -> usize {
        self.seats.iter().count()
    }

    /// The slots there are, going up.
    pub(crate) fn slots(&self) -> Vec<usize> {
        self.seats.slots()
    }

    /// Whether there is a slot of this number.
    pub(crate) fn has_slot(&self, slot: usize) -> bool {
        self.seats.get(slot).is_some()
    }

    /// One more than the highest slot; and another number whenever a slot came or went.
    pub(crate) fn extent(&self) -> (usize, u64) {
        (self.seats.bound(), self.seats.changes())
    }

    pub(super) fn scale_ordered(
        &mut self,
        order: OrderId,
        name: Option<&str>,
        to: usize,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if self.phase != Phase::Running {
            return out.push(Action::refuse(order));
        }
        let allowed = self.to_scale(name).and_then(|service| {
            self.may_be_many(service, to)?;
            Ok(service)
        });
        let service = match allowed {
            Ok(service) => service,
            Err(why) => return out.push(Action::Answer { order, outcome: Err(why) }),
        };
        let mut slots = Vec::new();
        if let Some(before) = self.scaling.remove(&service) {
            if before.to < before.from {
                // Their workers are waited for all the same.
                slots = before.slots;
                slots.retain(|&slot| !self.seats.of(service).any(|(of, _)| of == slot));
            }
            let text = format!("another order came before it was done: scale to {to}");
            out.push(Action::Answer { order: before.order, outcome: Err(text) });
        }
        let from = self.seats.of(service).count();
        let waits = |(_, seat): (usize, &Seat)| seat.sitting == Sitting::NotBegun;
        let starting = self.seats.of(service).any(waits) || !self.services[service].begun;
        let sitting = if starting { Sitting::NotBegun } else { Sitting::Due(now) };
        let generation = self.generation;
        if to > from {
            slots.clear();
        }
        for _ in from..to {
            let slot = self.seats.open(Seat::new(service, sitting, generation));
            self.services[service].shares.add(slot);
            slots.push(slot);
        }
        for _ in to..from {
            slots.extend(self.remove_last_seat(service, now, out));
        }
        if to > from {
            // Whoever orders more wants it tried.
            let service = &mut self.services[service];
            (service.gave_up, service.failed_starts) = (false, 0);
        }
        self.scaling.insert(service, Scaling { order, from, to, slots });
    }

    /// The service that an order means.
    fn to_scale(&self, name: Option<&str>) -> Result<usize, String> {
        let names = || {
            let names: Vec<_> = self.services.iter().filter_map(|s| s.given.name).collect();
            names.join(", ")
        };
        let called = |name| self.services.iter().position(|s| s.given.name == name);
        match name {
            None if self.services.len() == 1 => Ok(0),
            None => Err(format!("which service? `scale_service` takes one of {}", names())),
            Some(MAIN) if self.services.len() == 1 && self.name_of(0).is_none() => Ok(0),
            Some(name) => called(Some(name)).ok_or_else(|| match names().as_str() {
                "" => format!("there is no service {name:?}: this cluster names none"),
                names => format!("there is no service {name:?}: the services are {names}"),
            }),
        }
    }

    fn may_be_many(&self, service: usize, to: usize) -> Result<(), String> {
        let others = self.target() - self.seats.of(service).count();
        if (1..=WORKERS_MAX).contains(&to) && others + to <= WORKERS_MAX {
            return Ok(());
        }
        let most = WORKERS_MAX - others;
        let all = match others {
            0 => String::new(),
            _ => format!("; other services have {others}"),
        };
        Err(format!("{to} workers: allowed are 1 to {most} (`stop` ends them all{all})"))
    }

    /// Returns its number.
    fn remove_last_seat(
        &mut self,
        service: usize,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Option<usize> {
        let slot = self.services[service].shares.remove_last()?;
        let seat = self.seats.remove(slot)?;
        let gone = Err(format!("slot {slot} was scaled away"));
        self.answer_all(seat.orders.clone(), &gone, out);
        if let Some(id) = seat.successor_id() {
            self.kill_worker(id, KilledFor::Stop, out);
        }
        if let Sitting::Taken(id) = seat.sitting {
            self.drain(id, now, out);
        }
        Some(slot)
    }

    /// Answers the orders of which the new slots serve, or of whose old ones the workers are reaped.
    pub(super) fn look_after_scaling(&mut self, out: &mut Vec<Action>) {
        let is_done = |(service, scaling): (&usize, &Scaling)| {
            let Scaling { from, to, slots, .. } = scaling;
            let served = |&slot: &usize| self.slot_is_served(slot);
            let leaves = |(&id, worker): (&WorkerId, &Worker)| {
                worker.service == *service
                    && slots.contains(&worker.slot)
                    && self.place(id) == Place::Departed
            };
            let done = match to > from {
                true => slots.iter().all(served),
                false => !self.workers.iter().any(leaves),
            };
            done.then_some(*service)
        };
        let done: Vec<usize> = self.scaling.iter().filter_map(is_done).collect();
        for Scaling { order, from, to, .. } in
            done.into_iter().filter_map(|service| self.scaling.remove(&service)).collect::<Vec<_>>()
        {
            out.push(Action::Answer { order, outcome: Ok(Done::Scaled { from, to }) });
        }
    }

    /// Whether the slot has come to be: its worker was ready, or has ended and gets no successor.
    pub(super) fn slot_is_served(&self, slot: usize) -> bool {
        let ended = |seat: &Seat| seat.sitting == Sitting::Empty;
        self.sits_ready(slot) || self.seats.get(slot).is_none_or(ended)
    }

    /// A worker failed to start. If its slot is a new one, whoever waits for it is told; it is tried
    /// again all the same.
    pub(super) fn scaling_failed(&mut self, slot: usize, reason: &str, out: &mut Vec<Action>) {
        let is_new = |s: &Scaling| s.to > s.from && s.slots.contains(&slot);
        let service = self.scaling.iter().find(|(_, s)| is_new(s)).map(|(&service, _)| service);
        let Some(scaling) = service.and_then(|service| self.scaling.remove(&service)) else {
            return;
        };
        let text = format!("{reason}; it is tried again");
        out.push(Action::Answer { order: scaling.order, outcome: Err(text) });
    }

    /// A stop.
    pub(super) fn abandon_scaling(&mut self, out: &mut Vec<Action>) {
        let scalings = std::mem::take(&mut self.scaling);
        out.extend(scalings.into_values().map(|scaling| Action::refuse(scaling.order)));
    }
}
