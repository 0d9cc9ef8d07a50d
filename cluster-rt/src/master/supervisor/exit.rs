//! What follows the exit of a worker: respawn, backoff, giving up, the end of the cluster.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use super::{
    Action, EXIT_GAVE_UP, Supervisor,
    record::{KilledFor, Place, Sitting, Worker, is_break_in, is_fault},
    stop::Phase,
};
use crate::{
    config::Respawn,
    event::{Event, ExitCause},
    id::WorkerId,
    policy::backoff,
};

/// A worker that ends by its own doing within this time of being ready is taken to end that way again.
const EARLY: Duration = Duration::from_secs(1);

/// So many workers in a row that somebody kills before they are ready are followed at once; those after them not as
/// fast as the machine can, since what kills them, want of memory or a filter of system calls, does not end by that.
const KILLS_FORGIVEN: u32 = 3;

/// A worker that lives this long after it was ready makes its slot's failures forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The exit codes by which programs say that they were called wrongly, which another try cannot
/// better: 2 (shells, clap), EX_USAGE and EX_CONFIG of `sysexits.h`.
pub(crate) const USAGE_CODES: [i32; 3] = [2, 64, 78];

impl Supervisor {
    pub(super) fn reaped(
        &mut self,
        id: WorkerId,
        status: ExitStatus,
        lost: u64,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let place = self.place(id);
        let Some(worker) = self.workers.remove(&id) else { return };
        let (slot, cause) = (worker.slot, worker.cause(status));
        let service = self.name_of(worker.service);
        let pid = worker.pid.unwrap_or(0);
        out.push(Action::Vacate { worker: id });
        out.push(Action::Emit(Event::Disconnected { worker: id, slot, service }));
        let exited = Event::Exited { worker: id, slot, service, pid, cause, status, lost };
        let told = exited.to_string();
        let reason =
            worker.fault.as_ref().map_or(told.clone(), |fault| format!("{told} ({fault})"));
        out.push(Action::Emit(exited));
        if cause != ExitCause::Hung && status.signal().is_some_and(is_break_in) {
            self.crashed(worker.generation, now, out);
        }
        match place {
            Place::Sitting => self.left_its_seat(&worker, status, cause, &reason, now, out),
            Place::Successor if self.is_ending() => self.seats[slot].successor = None,
            Place::Successor => {
                self.successor_failed(&worker, &reason, now, out);
                if self
                    .seats
                    .get(slot)
                    .is_some_and(|seat| seat.sitting == Sitting::Empty && seat.successor.is_none())
                {
                    // The one that it was to replace has ended meanwhile.
                    self.respawn(&worker, cause, now, out);
                }
            }
            Place::Departed => {}
        }
    }

    /// The worker that sat in a slot has ended.
    fn left_its_seat(
        &mut self,
        worker: &Worker,
        status: ExitStatus,
        cause: ExitCause,
        reason: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let slot = worker.slot;
        let seat = &mut self.seats[slot];
        seat.worn = false;
        if worker.ready.is_some() {
            seat.listeners.clone_from(&worker.accepting);
        }
        if let Some(code) = status.code().filter(|&code| code != 0) {
            self.last_code = code;
        } else if let Some(signal) = status.signal().filter(|_| cause != ExitCause::Stopped) {
            // As a shell reports it.
            self.last_code = 128 + signal;
        }
        self.seats[slot].sitting = Sitting::Empty;
        if self.is_ending() {
            return;
        }
        let lived = worker.ready.map(|at| now.duration_since(at));
        if lived.is_some_and(|lived| lived >= EARLY) {
            self.services[worker.service].failed_starts = 0;
        }
        if fails_again(worker, cause, lived).is_own() || cause == ExitCause::Hung {
            self.reload_lost_a_worker(worker.generation, reason, now, out);
        }
        if worker.ready.is_none() {
            self.scaling_failed(slot, reason, out);
        }
        let seat = &self.seats[slot];
        if seat.successor.as_ref().is_some_and(|s| s.generation == seat.generation) {
            // Its replacement is under way.
            return;
        }
        match self.verdict(worker, status, cause) {
            Verdict::End { code } => self.stop(code, now, out),
            Verdict::GiveUp => {
                self.services[worker.service].failed_starts += 1;
                self.give_up(worker.service, out);
            }
            // The others of a service do what there is to do without it; a cluster without named
            // services is over.
            Verdict::Leave if self.name_of(worker.service).is_some() => {
                self.follow(worker.service, now);
            }
            Verdict::Leave => {}
            Verdict::Respawn => self.respawn(worker, cause, now, out),
        }
    }

    fn verdict(&self, worker: &Worker, status: ExitStatus, cause: ExitCause) -> Verdict {
        let service = &self.services[worker.service];
        if service.gave_up {
            return Verdict::Leave;
        }
        let respawn = service.given.rules.respawn;
        let nothing_ran = !service.ever_ready && worker.slot == service.first;
        let asked = cause == ExitCause::Stopped;
        if let Some(code) = status.code().filter(|_| nothing_ran && !asked) {
            // `--help` prints once; a wrong flag is told once.
            let usage = worker.exited_on_its_own() && USAGE_CODES.contains(&code);
            // One service of several may well have nothing to do.
            let helped = code == 0 && service.given.name.is_none();
            if helped || usage || (code != 0 && respawn == Respawn::Never) {
                return if service.given.optional {
                    Verdict::GiveUp
                } else {
                    Verdict::End { code }
                };
            }
        }
        let wanted = match respawn {
            Respawn::Always => true,
            Respawn::OnFailure => !matches!(cause, ExitCause::Finished(0) | ExitCause::Stopped),
            Respawn::Never => false,
        };
        if wanted { Verdict::Respawn } else { Verdict::Leave }
    }

    fn respawn(&mut self, worker: &Worker, cause: ExitCause, now: Instant, out: &mut Vec<Action>) {
        let any_ready = self.is_served(worker.service);
        let lived = worker.ready.map(|at| now.duration_since(at));
        let service = &mut self.services[worker.service];
        if lived.is_some_and(|lived| lived >= FORGOTTEN) {
            self.seats[worker.slot].faults = 0;
        }
        let fault = fails_again(worker, cause, lived);
        if fault == Fault::AtStart && !any_ready {
            service.failed_starts += 1;
            if service.failed_starts >= service.given.rules.give_up {
                return self.give_up(worker.service, out);
            }
        }
        let (backoff, name) = (service.given.rules.backoff, service.given.name);
        let seat = &mut self.seats[worker.slot];
        seat.faults = seat.faults.saturating_add(u32::from(fault != Fault::None));
        let failures = match fault {
            Fault::None => 0,
            Fault::AtStart | Fault::Early => seat.faults,
            Fault::Killed => seat.faults.saturating_sub(KILLS_FORGIVEN),
        };
        let delay = match failures {
            0 => Duration::ZERO,
            failures => backoff::delay(backoff, failures, any_ready),
        };
        seat.sitting = Sitting::Due(now + delay);
        out.push(Action::Emit(Event::Respawning { slot: worker.slot, service: name, delay }));
    }

    /// Ends the cluster when nothing lives and nothing is to come.
    pub(super) fn end_if_done(&mut self, out: &mut Vec<Action>) {
        if !self.workers.is_empty() || out.iter().any(|a| matches!(a, Action::End { .. })) {
            return;
        }
        if self.wants_any_workers() {
            let begun = self.seats.iter().any(|seat| seat.sitting == Sitting::Empty);
            if self.any_scheduled() || !begun {
                return;
            }
            self.kill(self.code_of_the_end(), out);
        }
        self.end(out);
    }

    fn code_of_the_end(&self) -> i32 {
        match self.phase {
            Phase::Delaying { code, .. } | Phase::Closing { code, .. } => code,
            _ if self.ever_ready || self.last_code == 0 => self.last_code,
            _ => EXIT_GAVE_UP,
        }
    }

    /// Its `main` has ended; what it has left running, a task on a thread of its own say, keeps the process.
    pub(super) fn end_lingering(&mut self, id: WorkerId, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|w| w.killed.is_none()) else { return };
        let grace = humantime::format_duration(self.services[worker.service].given.rules.grace);
        let fault = format!("its main ended {grace} ago, its process did not (grace)");
        out.push(Action::Warn(format!("slot {} (worker {id}) is killed: {fault}", worker.slot)));
        worker.fault = Some(fault);
        self.kill_worker(id, KilledFor::Lingering, out);
    }

    pub(super) fn misbehaved(&mut self, id: WorkerId, what: &str, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|w| w.killed.is_none()) else { return };
        worker.fault = Some(what.to_owned());
        out.push(Action::Warn(format!("slot {} (worker {id}) is killed: {what}", worker.slot)));
        self.kill_worker(id, KilledFor::Misbehaving, out);
    }
}

enum Verdict {
    Respawn,
    /// The slot stays empty.
    Leave,
    /// The service does not start, and is tried no more.
    GiveUp,
    End {
        code: i32,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It did not start.
    AtStart,
    /// It ended by its own doing soon after it was ready.
    Early,
    /// A signal from outside ended it before it was ready.
    Killed,
}

impl Fault {
    /// Whether it says something of the program.
    fn is_own(self) -> bool {
        matches!(self, Self::AtStart | Self::Early)
    }
}

/// Whether the next worker is likely to end the same way. Signals from outside never count for giving up, and for a
/// worker that was ready not at all.
fn fails_again(worker: &Worker, cause: ExitCause, lived: Option<Duration>) -> Fault {
    match (cause, lived) {
        (ExitCause::FailedToStart, _) | (ExitCause::Finished(_), None) => Fault::AtStart,
        (ExitCause::Signaled { signal, .. }, lived) => {
            let own = is_fault(signal) || worker.killed == Some(KilledFor::Misbehaving);
            match lived {
                Some(lived) if own && lived < EARLY => Fault::Early,
                None if own => Fault::Early,
                None => Fault::Killed,
                Some(_) => Fault::None,
            }
        }
        // Ready by its first listener, it could not bind the second, say. A panic or a crash may be a request's doing,
        // and no client is to be able to end the cluster.
        (ExitCause::Crashed(_), Some(lived)) if lived < EARLY && worker.returned_an_error() => {
            Fault::AtStart
        }
        // A worker that just returns would otherwise be respawned as fast as the machine can.
        (ExitCause::Crashed(_) | ExitCause::Finished(_), Some(lived)) if lived < EARLY => {
            Fault::Early
        }
        _ => Fault::None,
    }
}
