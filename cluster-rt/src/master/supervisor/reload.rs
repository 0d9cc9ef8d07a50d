//! The rolling reload: a new generation takes the slots one by one, or nothing changes.
//!
//! The first slot of each service is a trial. Whatever fails ends the reload: newcomers are dismissed, and slots that
//! were replaced already go back to the old generation, replacement first. One reload at a time; one
//! more may wait, for everybody who asked meanwhile.

use std::{collections::BTreeSet, time::Instant};

use super::{
    Action, Done, OrderId, Supervisor,
    record::{Seat, Sitting, Stage, Successor, Why},
    stop::Phase,
};
use crate::{event::Event, policy::backoff};

#[derive(Debug)]
pub(super) struct Reload {
    pub(super) generation: u32,
    step: Step,
    /// The services of which a newcomer has stood its trial.
    tried: BTreeSet<usize>,
    /// Since when the kernel has had no process for its newcomers.
    refused: Option<Instant>,
    /// Who waits for its end.
    orders: Vec<OrderId>,
}

/// How far a reload has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// It waits for the start to be over, and for drains: no more than two generations drain at once.
    Held,
    /// The new generation's zygote is starting.
    Zygote,
    /// One newcomer of each service is on trial, one after the other.
    Trial,
    /// The other slots follow.
    Rolling,
    /// It has failed: slots go back to the old generation.
    Back { reason: String },
}

impl Supervisor {
    pub(super) fn reload_ordered(&mut self, order: OrderId, out: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return out.push(Action::refuse(order));
        }
        match &self.reload {
            Some(_) => self.next_reload.get_or_insert_default().push(order),
            None => self.begin_reload(vec![order], out),
        }
    }

    fn begin_reload(&mut self, orders: Vec<OrderId>, out: &mut Vec<Action>) {
        self.last_generation += 1;
        let generation = self.last_generation;
        let (step, tried) = (Step::Held, BTreeSet::new());
        self.reload = Some(Reload { generation, step, tried, refused: None, orders });
        out.push(Action::Emit(Event::ReloadStarted { generation }));
    }

    /// Takes the reload as far as it can go now.
    pub(super) fn advance_reload(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(reload) = &self.reload else { return };
        let generation = reload.generation;
        match reload.step {
            Step::Held if !self.is_starting() && self.draining_generations() < 2 => {
                self.set_step(Step::Zygote);
                self.exec_zygote(generation, now, out);
            }
            Step::Zygote if self.is_up(generation) => {
                self.set_step(Step::Trial);
                self.roll(generation, now, out);
            }
            Step::Trial | Step::Rolling => self.roll(generation, now, out),
            Step::Back { .. } => self.roll_back(generation, now, out),
            Step::Held | Step::Zygote => {}
        }
    }

    /// Begins replacements, one at a time while they are trials, and within the surplus; when there is
    /// nothing to replace, it is done.
    fn roll(&mut self, generation: u32, now: Instant, out: &mut Vec<Action>) {
        let old = |slot: &usize| {
            let seat = &self.seats[*slot];
            seat.generation != generation && (seat.sitting != Sitting::Empty)
        };
        let left: Vec<usize> = self.seats.slots().into_iter().filter(old).collect();
        if left.is_empty() && self.successions() == 0 {
            return self.reload_done(generation, now, out);
        }
        let untried: Vec<usize> =
            left.iter().copied().filter(|&slot| self.is_untried(slot)).collect();
        // Its slot may be empty by now, if whoever sat there has ended and is not replaced.
        let on_trial = |(slot, seat): (usize, &Seat)| {
            let why = seat.successor.as_ref().map(|successor| successor.why);
            why == Some(Why::Reload) && self.is_untried(slot)
        };
        let (left, most) = match untried.is_empty() && !self.seats.numbered().any(on_trial) {
            true => {
                self.set_step(Step::Rolling);
                (left, usize::MAX)
            }
            false => (untried, 1),
        };
        for slot in left {
            if self.successions() >= most || self.surplus() >= self.rules.surplus {
                return;
            }
            match &self.seats[slot].successor {
                None => self.begin_succession(slot, Why::Reload, generation, now, out),
                // A renewal that was under way when the reload was asked for.
                Some(_) => continue,
            }
        }
    }

    /// No newcomer of the slot's service has stood its trial.
    fn is_untried(&self, slot: usize) -> bool {
        let tried = self.reload.as_ref().map(|reload| &reload.tried);
        tried.is_some_and(|tried| !tried.contains(&self.seats[slot].service))
    }

    /// The newcomer in this slot is on trial.
    pub(super) fn is_on_trial(&self, slot: usize) -> bool {
        let trial = self.reload.as_ref().is_some_and(|reload| reload.step == Step::Trial);
        trial && self.is_for_reload(slot)
    }

    /// The slot's worker is being replaced by a newcomer.
    pub(super) fn is_for_reload(&self, slot: usize) -> bool {
        let successor = self.seats.get(slot).and_then(|seat| seat.successor.as_ref());
        successor.is_some_and(|successor| successor.why == Why::Reload)
    }

    /// The kernel has no process for a newcomer. The old workers serve on without the reload, and it must not keep
    /// whoever waits for it longer than a newcomer may that does not get ready.
    pub(super) fn reload_was_refused(
        &mut self,
        error: &std::io::Error,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(reload) = &mut self.reload else { return };
        let since = *reload.refused.get_or_insert(now);
        if now.duration_since(since) >= self.rules.start_timeout {
            self.fail_reload(&format!("spawn of a newcomer: {error}"), now, out);
        }
    }

    /// A worker of this generation has come to be.
    pub(super) fn reload_spawned(&mut self, generation: u32) {
        let of = self.reload.as_mut().filter(|reload| reload.generation == generation);
        if let Some(reload) = of {
            reload.refused = None;
        }
    }

    /// A newcomer has taken its seat.
    pub(super) fn reload_promoted(&mut self, slot: usize) {
        let Seat { generation, service, .. } = self.seats[slot];
        if let Some(reload) = &mut self.reload {
            if reload.generation == generation {
                reload.tried.insert(service);
            }
        }
    }

    fn reload_done(&mut self, generation: u32, now: Instant, out: &mut Vec<Action>) {
        self.generation = generation;
        // Whoever comes to sit where nobody does is of the new code too.
        for seat in self.seats.iter_mut().filter(|seat| seat.sitting == Sitting::Empty) {
            seat.generation = generation;
        }
        self.try_services_again(now);
        out.push(Action::Emit(Event::ReloadFinished { generation }));
        self.end_reload(&Ok(Done::Reloaded { generation }), out);
    }

    fn end_reload(&mut self, outcome: &super::Outcome, out: &mut Vec<Action>) {
        if let Some(reload) = self.reload.take() {
            self.answer_all(reload.orders, outcome, out);
        }
        if let Some(orders) = self.next_reload.take() {
            self.begin_reload(orders, out);
        }
    }

    /// Ends the reload that is under way, and begins to put back what it has changed.
    pub(super) fn fail_reload(&mut self, reason: &str, now: Instant, out: &mut Vec<Action>) {
        let Some(reload) = &self.reload else { return };
        if matches!(reload.step, Step::Back { .. }) {
            return;
        }
        let generation = reload.generation;
        self.set_step(Step::Back { reason: reason.to_owned() });
        self.dismiss_successors(|successor| successor.why == Why::Reload, out);
        // From now on the old generation is where a respawn comes from.
        let mut replaced = 0;
        for seat in self.seats.iter_mut().filter(|seat| seat.generation == generation) {
            seat.generation = self.generation;
            replaced += 1;
        }
        // With nothing to put back the failure is told at once, as the event.
        if replaced > 0 {
            out.push(Action::Warn(format!(
                "reload to generation {generation}: {reason}; slots to put back: {replaced}"
            )));
        }
        self.ensure_zygote(self.generation, now, out);
    }

    /// Begins to put slots back; when none runs the new generation any more, the failure is told.
    fn roll_back(&mut self, generation: u32, now: Instant, out: &mut Vec<Action>) {
        let newcomer = |slot: &usize| {
            let seat = &self.seats[*slot];
            let Sitting::Taken(id) = seat.sitting else { return false };
            seat.generation != generation
                && self.workers.get(&id).is_some_and(|w| w.generation == generation)
        };
        let left: Vec<usize> = self.seats.slots().into_iter().filter(newcomer).collect();
        if left.is_empty() && self.successions() == 0 {
            return self.reload_failed(generation, out);
        }
        for slot in left {
            // What drains does not hold this up: what is wrong has to go.
            if self.successions() >= self.rules.surplus {
                return;
            }
            if self.seats[slot].successor.is_none() {
                let old = self.seats[slot].generation;
                self.begin_succession(slot, Why::Rollback, old, now, out);
            }
        }
    }

    /// A worker of the old generation failed to start. Tried again, but not for ever: the newcomer in
    /// the slot serves, and a better reload must not have to wait.
    pub(super) fn rollback_failed(
        &mut self,
        slot: usize,
        reason: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let service = self.seats[slot].service;
        let any_ready = self.is_served(service);
        let Some(generation) = self.reload.as_ref().map(|reload| reload.generation) else { return };
        let seat = &mut self.seats[slot];
        seat.faults = seat.faults.saturating_add(1);
        out.push(Action::Warn(format!("putting slot {slot} back failed: {reason}")));
        let rules = &self.services[service].given.rules;
        if seat.faults >= rules.give_up {
            seat.faults = 0;
            seat.generation = generation;
            return;
        }
        let delay = backoff::delay(rules.backoff, seat.faults, any_ready);
        let (why, generation) = (Why::Rollback, seat.generation);
        let again = Stage::Due(now + delay);
        seat.successor = Some(Successor { why, generation, stage: again });
    }

    fn reload_failed(&mut self, generation: u32, out: &mut Vec<Action>) {
        let Some(Step::Back { reason }) = self.reload.as_ref().map(|r| r.step.clone()) else {
            return;
        };
        let kept = |seat: &&Seat| seat.generation == generation;
        let kept = self.seats.iter().filter(kept).count();
        let text = match kept {
            0 => reason,
            _ => format!("{reason}; {kept} slots could not be put back and run the new generation"),
        };
        out.push(Action::Emit(Event::ReloadFailed { generation, reason: text.clone() }));
        self.end_reload(&Err(text), out);
    }

    /// The zygote of a generation has ended without having been told to. Whether the reload ends with
    /// that before anything came of it, so that nobody needs the generation.
    pub(super) fn reload_lost_its_zygote(
        &mut self,
        generation: u32,
        failures: u32,
        reason: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(reload) = self.reload.as_ref().filter(|r| r.generation == generation) else {
            return false;
        };
        let nothing_came = reload.step == Step::Zygote;
        let rolling = matches!(reload.step, Step::Trial | Step::Rolling);
        if nothing_came || (rolling && failures >= self.rules.give_up) {
            self.fail_reload(&format!("its zygote: {reason}"), now, out);
        }
        nothing_came
    }

    /// A worker in its seat ended by its own fault, soon after it was ready. During a reload that is a
    /// verdict on the new generation.
    pub(super) fn reload_lost_a_worker(
        &mut self,
        generation: u32,
        reason: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if self.reload.as_ref().is_some_and(|reload| reload.generation == generation) {
            self.fail_reload(reason, now, out);
        }
    }

    /// Whether the reload wants this generation's zygote.
    pub(super) fn reload_needs(&self, generation: u32) -> bool {
        let of = self.reload.as_ref().filter(|reload| reload.generation == generation);
        of.is_some_and(|reload| reload.step != Step::Held)
    }

    /// A stop: the reload is over, and so is the one that waited.
    pub(super) fn abandon_reload(&mut self, out: &mut Vec<Action>) {
        let next = self.next_reload.take().unwrap_or_default();
        let orders = self.reload.take().map(|reload| reload.orders).unwrap_or_default();
        out.extend(orders.into_iter().chain(next).map(Action::refuse));
    }

    fn set_step(&mut self, step: Step) {
        if let Some(reload) = &mut self.reload {
            reload.step = step;
        }
    }

    fn draining_generations(&self) -> usize {
        let draining = self.workers.values().filter(|w| w.drain_until.is_some());
        draining.map(|w| w.generation).collect::<BTreeSet<_>>().len()
    }
}
