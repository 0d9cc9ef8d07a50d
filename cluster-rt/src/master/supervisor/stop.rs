//! Stop and kill: close the listeners, drain the workers by a deadline, reap all, end.

use std::time::{Duration, Instant};

use super::{
    Action, Supervisor,
    record::{KilledFor, Seat, Sitting, Worker},
};
use crate::{
    event::{Event, WorkerState},
    id::WorkerId,
};

/// How far the cluster is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// TERM came, connections are still taken until this time.
    Delaying {
        until: Instant,
        code: i32,
    },
    /// The listeners are being emptied; at the deadline everything is killed.
    Closing {
        deadline: Instant,
        code: i32,
    },
    /// The workers finish what they have; each has its own deadline.
    Draining {
        code: i32,
    },
    /// Everything was sent SIGKILL.
    Killing {
        code: i32,
    },
    Ended,
}

/// A TERM to every process of a service (systemd's default) reaches the workers before or after the
/// master. What a worker asks is therefore held until the master's own TERM would have come.
pub(super) const TERM_SETTLE: Duration = Duration::from_millis(200);

/// An INT is a second one only after this, so that a key held down is one.
const SECOND_INTERRUPT: Duration = Duration::from_secs(1);

/// What a shell reports for a process ended by INT.
const EXIT_INTERRUPTED: i32 = 128 + 2;

impl Supervisor {
    /// Whether workers that end are not replaced any more.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Killing { .. } | Phase::Ended)
    }

    /// Whether slots of any service that are due get a worker.
    pub(super) fn wants_any_workers(&self) -> bool {
        (0..self.services.len()).any(|service| self.wants_workers(service))
    }

    /// Whether slots of the service that are due get a worker. While the listeners are being emptied they
    /// do only if something waits that nobody else can serve.
    pub(super) fn wants_workers(&self, service: usize) -> bool {
        match self.phase {
            Phase::Running | Phase::Delaying { .. } => true,
            Phase::Closing { .. } => self.connections_wait && !self.is_served(service),
            Phase::Draining { .. } | Phase::Killing { .. } | Phase::Ended => false,
        }
    }

    /// A graceful stop; a second one changes nothing.
    pub(super) fn stop(&mut self, code: i32, now: Instant, out: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        out.push(Action::Emit(Event::Stopping));
        self.abandon_changes(out);
        if self.rules.stop_delay.is_zero() || self.workers.is_empty() {
            return self.close_listeners(code, now, out);
        }
        self.phase = Phase::Delaying { until: now + self.rules.stop_delay, code };
    }

    /// What was being changed about the cluster is not changed any more.
    fn abandon_changes(&mut self, out: &mut Vec<Action>) {
        self.dismiss_successors(|_| true, out);
        self.abandon_reload(out);
        self.abandon_scaling(out);
        for seat in self.seats.iter_mut() {
            out.extend(std::mem::take(&mut seat.orders).into_iter().map(Action::refuse));
        }
    }

    pub(super) fn interrupt(&mut self, now: Instant, out: &mut Vec<Action>) {
        match self.interrupted {
            Some(first) if now.duration_since(first) >= SECOND_INTERRUPT => {
                self.kill(EXIT_INTERRUPTED, out);
            }
            Some(_) => {}
            None => {
                self.interrupted = Some(now);
                self.stop(0, now, out);
            }
        }
    }

    pub(super) fn close_listeners(&mut self, code: i32, now: Instant, out: &mut Vec<Action>) {
        let graces = self.services.iter().map(|service| service.given.rules.grace);
        let grace = graces.max().unwrap_or(self.rules.grace);
        self.phase = Phase::Closing { deadline: now + grace, code };
        out.push(Action::CloseListeners);
    }

    /// While closing: tells whether nobody is on the way to connections that wait. Every worker is ready then, and
    /// has shown that it can do without the listener.
    pub(super) fn forsake_waiting(&mut self, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Closing { .. }) || !self.connections_wait {
            return;
        }
        let due = |seat: &Seat| {
            let waits = matches!(seat.sitting, Sitting::Due(_) | Sitting::NotBegun);
            waits && self.wants_workers(seat.service)
        };
        let starting = |worker: &Worker| worker.state() == WorkerState::Starting;
        let forsaken = !self.seats.iter().any(due) && !self.workers.values().any(starting);
        if std::mem::replace(&mut self.forsaken, forsaken) != forsaken {
            // Before the worker whose end makes the difference is vacated.
            out.insert(0, Action::Forsake(forsaken));
        }
    }

    pub(super) fn listeners_closed(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Phase::Closing { code, .. } = self.phase else { return };
        self.phase = Phase::Draining { code };
        for seat in self.seats.iter_mut() {
            if !matches!(seat.sitting, Sitting::Taken(_)) {
                seat.sitting = Sitting::Empty;
            }
        }
        self.drain_in_order(now, out);
        self.kill_zygotes(out);
    }

    /// While the cluster ends: orders the workers to drain that nobody leans on any more.
    pub(super) fn drain_in_order(&mut self, now: Instant, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Draining { .. }) {
            return;
        }
        for service in 0..self.services.len() {
            if self.is_leaned_on(service) {
                continue;
            }
            let of_service = self.workers.iter().filter(|(_, w)| w.service == service);
            for id in of_service.map(|(&id, _)| id).collect::<Vec<_>>() {
                self.drain(id, now, out);
            }
        }
    }

    /// Orders one worker to drain; a worker that does not run `main` yet has nothing to finish.
    pub(super) fn drain(&mut self, id: WorkerId, now: Instant, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.online.is_none() {
            return self.kill_worker(id, KilledFor::Stop, out);
        }
        if worker.state() == WorkerState::Draining {
            return;
        }
        let service = &self.services[worker.service].given;
        worker.drain_until = Some(now + service.rules.grace);
        out.push(Action::Drain { worker: id });
        let (slot, service) = (worker.slot, service.name);
        out.push(Action::Emit(Event::Draining { worker: id, slot, service }));
    }

    /// Ends everything at once; a second one changes nothing.
    pub(super) fn kill(&mut self, code: i32, out: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Killing { .. } | Phase::Ended) {
            return;
        }
        self.abandon_changes(out);
        self.phase = Phase::Killing { code };
        for seat in self.seats.iter_mut() {
            if !matches!(seat.sitting, Sitting::Taken(_)) {
                seat.sitting = Sitting::Empty;
            }
        }
        for id in self.workers.keys().copied().collect::<Vec<_>>() {
            self.kill_worker(id, KilledFor::Stop, out);
        }
        self.kill_zygotes(out);
    }

    pub(super) fn kill_worker(&mut self, id: WorkerId, why: KilledFor, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        // One that the zygote has not answered for is killed when it has, or forgotten with it.
        if worker.pid.is_some() && worker.killed.is_none() {
            worker.killed = Some(why);
            out.push(Action::Kill { worker: id });
        }
    }

    /// No worker is left: the zygotes go, and when they are reaped, the master.
    pub(super) fn end(&mut self, out: &mut Vec<Action>) {
        let code = match self.phase {
            Phase::Draining { code } | Phase::Killing { code } => code,
            Phase::Running | Phase::Delaying { .. } | Phase::Closing { .. } | Phase::Ended => {
                return;
            }
        };
        self.kill_zygotes(out);
        if self.no_zygote_lives() {
            self.phase = Phase::Ended;
            out.push(Action::End { code });
        }
    }
}
