//! Replacing a worker that lives: its successor is ready first, then it drains.
//!
//! The one mechanism behind reload, rollback, recycling and `respawn(slot)`. A successor that fails
//! costs nothing: the worker in the seat has noticed nothing.

use std::time::{Duration, Instant};

use super::{
    Action, Done, Outcome, Supervisor,
    record::{KilledFor, Place, Sitting, Stage, Successor, Why, Worker},
    stop::Phase,
};
use crate::{event::WorkerState, id::WorkerId, policy::backoff};

/// The first slot of a reload is replaced only when the newcomer has lived this long after it was ready.
pub(super) const TRIAL: Duration = Duration::from_secs(1);

impl Supervisor {
    /// How a worker stands to its slot.
    pub(super) fn place(&self, id: WorkerId) -> Place {
        let seat = self.workers.get(&id).and_then(|w| self.seats.get(w.slot));
        match seat {
            Some(seat) if seat.sitting == Sitting::Taken(id) => Place::Sitting,
            Some(seat) if seat.successor_id() == Some(id) => Place::Successor,
            _ => Place::Departed,
        }
    }

    /// Decides that the slot's worker is to be replaced.
    pub(super) fn begin_succession(
        &mut self,
        slot: usize,
        why: Why,
        generation: u32,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        self.seats[slot].successor = Some(Successor { why, generation, stage: Stage::Due(now) });
        self.ensure_zygote(generation, now, out);
    }

    /// Successors under way.
    pub(super) fn successions(&self) -> usize {
        self.seats.iter().filter(|seat| seat.successor.is_some()).count()
    }

    /// Workers that are or will be there above the target: successors, and what was replaced and
    /// still drains.
    pub(super) fn surplus(&self) -> usize {
        let departed = self.workers.keys().filter(|&&id| self.place(id) == Place::Departed).count();
        departed + self.successions()
    }

    /// When the newcomer in the first slot of a reload has stood its trial.
    pub(super) fn trial_over(&self, slot: usize) -> Option<Instant> {
        if !self.is_on_trial(slot) {
            return None;
        }
        let id = self.seats.get(slot)?.successor_id()?;
        self.workers.get(&id).filter(|w| w.is_serving())?.ready.map(|at| at + TRIAL)
    }

    /// The successor takes the seat, and whoever sat there drains.
    pub(super) fn promote(&mut self, slot: usize, now: Instant, out: &mut Vec<Action>) {
        let Some(seat) = self.seats.get_mut(slot) else { return };
        let Some(id) = seat.successor_id() else { return };
        let Some(successor) = seat.successor.take() else { return };
        let before = match seat.sitting {
            Sitting::Taken(before) => Some(before),
            Sitting::NotBegun | Sitting::Due(_) | Sitting::Empty => None,
        };
        let recycled = std::mem::take(&mut seat.worn) && successor.why == Why::Renewal;
        let orders = std::mem::take(&mut seat.orders);
        seat.sitting = Sitting::Taken(id);
        seat.generation = successor.generation;
        (seat.faults, seat.not_before) = (0, None);
        out.push(Action::Promote { worker: id });
        if let Some(worker) = self.workers.get(&id) {
            self.seats[slot].listeners.clone_from(&worker.accepting);
            let admit = |&listener| Action::Admit { worker: id, listener };
            out.extend(worker.accepting.iter().map(admit));
        }
        self.wear_out_if_asked(id);
        if let Some(before) = before {
            if let Some(worker) = self.workers.get_mut(&before) {
                worker.recycled = recycled;
            }
            self.drain(before, now, out);
        }
        for order in orders {
            let done = Done::Replaced { slot, before, worker: id };
            out.push(Action::Answer { order, outcome: Ok(done) });
        }
        self.reload_promoted(slot);
    }

    /// The successor ended before it could take the seat.
    pub(super) fn successor_failed(
        &mut self,
        worker: &Worker,
        reason: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let slot = worker.slot;
        let Some(successor) = self.seats[slot].successor.take() else { return };
        match successor.why {
            Why::Reload => self.fail_reload(reason, now, out),
            Why::Rollback => self.rollback_failed(slot, reason, now, out),
            Why::Renewal => {
                let any_ready = self.is_served(worker.service);
                let seat = &mut self.seats[slot];
                seat.faults = seat.faults.saturating_add(1);
                let rules = &self.services[worker.service].given.rules;
                let delay = backoff::delay(rules.backoff, seat.faults, any_ready);
                seat.not_before = Some(now + delay);
                let orders = std::mem::take(&mut seat.orders);
                let text = format!("its replacement failed: {reason}");
                self.answer_all(orders, &Err(text), out);
            }
        }
    }

    /// Somebody ordered the slot's worker to be replaced.
    pub(super) fn respawn_ordered(
        &mut self,
        order: super::OrderId,
        slot: usize,
        out: &mut Vec<Action>,
    ) {
        let slots = self.seats.slots();
        match self.seats.get_mut(slot) {
            _ if self.phase != Phase::Running => out.push(Action::refuse(order)),
            Some(seat) => {
                seat.orders.push(order);
                seat.not_before = None;
            }
            None => {
                let text = match slots.last() {
                    Some(last) if last + 1 == slots.len() => {
                        format!("there is no such slot: the slots are 0 to {last}")
                    }
                    _ => format!("there is no such slot: the slots are {slots:?}"),
                };
                out.push(Action::Answer { order, outcome: Err(text) });
            }
        }
    }

    /// Begins what is wished for and can be: one at a time, and never during a reload. What was ordered comes
    /// first, and of several the oldest worker, so that one that wears out again and again keeps nobody waiting.
    pub(super) fn renew_one(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.successions() > 0 || self.surplus() >= self.rules.surplus || self.is_starting() {
            return;
        }
        let due = |seat: &super::record::Seat| {
            (seat.worn || !seat.orders.is_empty()) && seat.not_before.is_none()
        };
        let turn = |seat: &super::record::Seat| {
            let age = match seat.sitting {
                Sitting::Taken(id) => Some(id),
                Sitting::NotBegun | Sitting::Due(_) | Sitting::Empty => None,
            };
            (seat.orders.is_empty(), age)
        };
        let wished = self.seats.numbered().filter(|(_, seat)| due(seat));
        let next = wished.min_by_key(|(_, seat)| turn(seat)).map(|(slot, _)| slot);
        if let Some(slot) = next {
            let generation = self.seats[slot].generation;
            self.begin_succession(slot, Why::Renewal, generation, now, out);
        }
    }

    /// The successors that have not taken their seats serve nobody: they end at once.
    pub(super) fn dismiss_successors(
        &mut self,
        whose: impl Fn(&Successor) -> bool,
        out: &mut Vec<Action>,
    ) {
        for slot in self.seats.slots() {
            let seat = &mut self.seats[slot];
            if !seat.successor.as_ref().is_some_and(&whose) {
                continue;
            }
            let id = seat.successor_id();
            seat.successor = None;
            if let Some(id) = id {
                self.kill_worker(id, KilledFor::Stop, out);
            }
        }
    }

    /// Whether the worker sits in its slot and is ready.
    pub(super) fn sits_ready(&self, slot: usize) -> bool {
        let Some(Sitting::Taken(id)) = self.seats.get(slot).map(|seat| seat.sitting) else {
            return false;
        };
        self.workers.get(&id).is_some_and(|w| w.state() == WorkerState::Ready)
    }

    pub(super) fn answer_all(
        &self,
        orders: Vec<super::OrderId>,
        outcome: &Outcome,
        out: &mut Vec<Action>,
    ) {
        let answer = |order| Action::Answer { order, outcome: outcome.clone() };
        out.extend(orders.into_iter().map(answer));
    }
}
