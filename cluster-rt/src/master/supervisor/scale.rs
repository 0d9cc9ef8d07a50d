//! Changing the number of slots while the cluster runs.
//!
//! New slots are the lowest free numbers; the highest go first, and their workers drain.

use std::time::Instant;

use super::{
    Action, Done, OrderId, Supervisor,
    record::{KilledFor, Place, Seat, Sitting, Worker},
    stop::Phase,
};
use crate::{config::WORKERS_MAX, event::Event, id::WorkerId, wire::Split};

/// A change that is not done yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaling {
    order: OrderId,
    from: usize,
    to: usize,
}

impl Supervisor {
    /// The number of slots.
    pub(crate) fn target(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn scale_ordered(
        &mut self,
        order: OrderId,
        to: usize,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if self.phase != Phase::Running {
            return out.push(Action::refuse(order));
        }
        if !(1..=WORKERS_MAX).contains(&to) {
            let text =
                format!("{to} workers: allowed are 1 to {WORKERS_MAX} (`stop` ends them all)");
            return out.push(Action::Answer { order, outcome: Err(text) });
        }
        if let Some(before) = self.scaling.take() {
            let text = format!("another order came before it was done: scale to {to}");
            out.push(Action::Answer { order: before.order, outcome: Err(text) });
        }
        let from = self.seats.len();
        let sitting = if self.is_starting() { Sitting::NotBegun } else { Sitting::Due(now) };
        let generation = self.generation;
        while self.seats.len() < to {
            self.seats.push(Seat::new(sitting, generation));
        }
        while self.seats.len() > to {
            self.remove_last_seat(now, out);
        }
        self.scaling = Some(Scaling { order, from, to });
    }

    fn remove_last_seat(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(seat) = self.seats.pop() else { return };
        let slot = self.seats.len();
        let gone = Err(format!("slot {slot} was scaled away"));
        self.answer_all(seat.orders.clone(), &gone, out);
        if let Some(id) = seat.successor_id() {
            self.kill_worker(id, KilledFor::Stop, out);
        }
        if let Sitting::Taken(id) = seat.sitting {
            self.drain(id, now, out);
        }
    }

    /// Answers the order when the new slots serve, or when the workers of the old ones are reaped.
    pub(super) fn look_after_scaling(&mut self, out: &mut Vec<Action>) {
        let Some(Scaling { order, from, to }) = self.scaling else { return };
        let leaves = |(&id, worker): (&WorkerId, &Worker)| {
            worker.slot >= to && self.place(id) == Place::Departed
        };
        if (from..to).all(|slot| self.is_served(slot)) && !self.workers.iter().any(leaves) {
            self.scaling = None;
            out.push(Action::Answer { order, outcome: Ok(Done::Scaled { from, to }) });
        }
    }

    /// How keys are split over the slots.
    pub(crate) fn split(&self) -> Split {
        self.split
    }

    /// Keys belong to new slots when all of those serve, so that whoever is asked is there; those of slots that
    /// are scaled away belong to others at once, while their workers still drain.
    pub(super) fn look_after_split(&mut self, out: &mut Vec<Action>) {
        let (from, to) = (self.split.slots, self.seats.len());
        if from != to && (from..to).all(|slot| self.is_served(slot)) {
            self.split = Split { slots: to, version: self.split.version + 1 };
            out.push(Action::Emit(Event::Resharded { from, to }));
        }
    }

    /// Whether the slot has come to be: its worker was ready, or has ended and gets no successor.
    fn is_served(&self, slot: usize) -> bool {
        self.sits_ready(slot) || self.seats[slot].sitting == Sitting::Empty
    }

    /// A worker failed to start. If its slot is a new one, whoever waits for it is told; it is tried
    /// again all the same.
    pub(super) fn scaling_failed(&mut self, slot: usize, reason: &str, out: &mut Vec<Action>) {
        let Some(scaling) = self.scaling.filter(|s| (s.from..s.to).contains(&slot)) else { return };
        self.scaling = None;
        let text = format!("{reason}; it is tried again");
        out.push(Action::Answer { order: scaling.order, outcome: Err(text) });
    }

    /// A stop.
    pub(super) fn abandon_scaling(&mut self, out: &mut Vec<Action>) {
        out.extend(self.scaling.take().map(|scaling| Action::refuse(scaling.order)));
    }
}
