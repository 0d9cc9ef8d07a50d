//! From nothing to ready: the zygote, the first worker alone, the others, readiness.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    Action, EXIT_GAVE_UP, Supervisor,
    record::{KilledFor, Sitting, Worker},
};
use crate::{
    event::Event,
    id::{ListenerId, WorkerId},
    policy::backoff,
    wire::HANDSHAKE_TIMEOUT,
};

/// The zygote, as far as the supervisor cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zygote {
    /// There is none; another is started at this time, `None` if none is wanted.
    Absent { retry: Option<Instant> },
    /// Exec'd at this time, not up.
    Starting { since: Instant },
    /// Forks on request.
    Up,
    /// Sent SIGKILL, not yet reaped.
    Killed { was_up: bool },
}

/// A worker that has run this long is no program that just prints its usage: the others follow. And
/// one that has bound nothing by then is ready.
pub(super) const SETTLED: Duration = Duration::from_secs(1);

/// At the start, connections wait this long after the first worker is ready for the others to be
/// ready too, so that the first does not get what is theirs.
const OPEN_HOLD: Duration = Duration::from_secs(1);

/// Spawns asked for and not answered. Bounds what the zygote's link has to hold.
const SPAWNS_AT_ONCE_MAX: usize = 16;

/// The pause after the kernel refused a fork.
const FORK_RETRY: Duration = Duration::from_secs(1);

impl Supervisor {
    pub(super) fn begin(&mut self, now: Instant, out: &mut Vec<Action>) {
        if let Some(first) = self.seats.first_mut() {
            first.sitting = Sitting::Due(now);
        }
        self.exec_zygote(now, out);
    }

    pub(super) fn exec_zygote(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.zygote = Zygote::Starting { since: now };
        out.push(Action::ExecZygote);
    }

    pub(super) fn zygote_up(&mut self) {
        if matches!(self.zygote, Zygote::Starting { .. }) {
            self.zygote = Zygote::Up;
            self.failed_zygotes = 0;
        }
    }

    /// Its workers live on; spawns that it had not answered are asked of the next one.
    pub(super) fn zygote_exited(&mut self, reason: &str, now: Instant, out: &mut Vec<Action>) {
        let was_up = matches!(self.zygote, Zygote::Up | Zygote::Killed { was_up: true });
        let expected = self.is_ending();
        self.zygote = Zygote::Absent { retry: None };
        for id in self.unanswered() {
            let slot = self.workers.remove(&id).map(|w| w.slot);
            if let Some(seat) = slot.and_then(|slot| self.seats.get_mut(slot)) {
                seat.sitting = Sitting::Due(now);
            }
            out.push(Action::Forget { worker: id });
        }
        if expected {
            return;
        }
        out.push(Action::Emit(Event::ZygoteExited { generation: 1, reason: reason.to_owned() }));
        if !was_up {
            self.failed_zygotes += 1;
            if self.failed_zygotes >= self.rules.give_up && !self.any_ready() {
                out.push(Action::Emit(Event::GaveUp { failed_starts: self.failed_zygotes }));
                return self.kill(EXIT_GAVE_UP, out);
            }
        }
        let delay = match self.failed_zygotes {
            0 if std::mem::take(&mut self.zygote_served) => Duration::ZERO,
            // One that comes up and ends for nothing is not restarted as fast as the machine can.
            0 => self.rules.backoff.first,
            failures => backoff::delay(self.rules.backoff, failures, self.any_ready()),
        };
        self.zygote = Zygote::Absent { retry: Some(now + delay) };
    }

    fn unanswered(&self) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, w)| w.pid.is_none()).map(|(&id, _)| id).collect()
    }

    /// Whether a slot that is due can have its worker now.
    pub(super) fn may_spawn(&self) -> bool {
        self.zygote == Zygote::Up
            && self.wants_workers()
            && self.unanswered().len() < SPAWNS_AT_ONCE_MAX
    }

    pub(super) fn spawn(&mut self, slot: usize, now: Instant, out: &mut Vec<Action>) {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        self.seats[slot].sitting = Sitting::Taken(id);
        self.workers.insert(id, Worker::new(slot, now));
        out.push(Action::Spawn { worker: id, slot });
    }

    pub(super) fn spawned(&mut self, id: WorkerId, pid: u32, now: Instant, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|w| w.pid.is_none()) else { return };
        worker.pid = Some(pid);
        self.zygote_served = true;
        worker.since = now;
        out.push(Action::Emit(Event::Spawned { worker: id, slot: worker.slot, pid }));
        if self.is_ending() {
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
        if self.workers.get(&id).is_none_or(|w| w.pid.is_some()) {
            return;
        }
        let Some(worker) = self.workers.remove(&id) else { return };
        self.seats[worker.slot].sitting = Sitting::Due(now + FORK_RETRY);
        let error = std::io::Error::from_raw_os_error(errno);
        out.push(Action::Forget { worker: id });
        out.push(Action::Warn(format!(
            "spawn of a worker for slot {}: {error}; trying again in {} ms",
            worker.slot,
            FORK_RETRY.as_millis()
        )));
    }

    pub(super) fn online(&mut self, id: WorkerId, now: Instant, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id).filter(|w| w.online.is_none()) else { return };
        worker.online = Some(now);
        out.push(Action::Emit(Event::Online { worker: id, slot: worker.slot }));
    }

    pub(super) fn bound(&mut self, id: WorkerId, addr: SocketAddr, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.bound = true;
        worker.engaged = true;
        out.push(Action::Emit(Event::Listening { worker: id, slot: worker.slot, addr }));
    }

    pub(super) fn accepting(
        &mut self,
        id: WorkerId,
        listener: ListenerId,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.drain_until.is_some() || !worker.accepting.insert(listener) {
            return;
        }
        worker.engaged = true;
        let slot = worker.slot;
        out.push(Action::Admit { slot, listener });
        if worker.accepting.is_superset(&self.seats[slot].listeners) {
            self.ready(id, now, out);
        }
    }

    pub(super) fn ready(&mut self, id: WorkerId, now: Instant, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.ready.is_some() || worker.drain_until.is_some() {
            return;
        }
        worker.ready = Some(now);
        self.ever_ready = true;
        let (slot, engaged) = (worker.slot, worker.engaged);
        if engaged {
            // A worker that is ready only by having run a while may yet turn out not to start.
            self.failed_starts = 0;
        }
        out.push(Action::Emit(Event::Ready { worker: id, slot }));
        self.follow(now);
        if !self.opened {
            self.open_at.get_or_insert(now + OPEN_HOLD);
            if self.all_ready() {
                self.open_at = Some(now);
            }
        }
    }

    fn all_ready(&self) -> bool {
        self.workers.values().filter(|w| w.ready.is_some()).count() >= self.seats.len()
    }

    /// The first worker has shown that it runs: the others may start.
    pub(super) fn follow(&mut self, now: Instant) {
        for seat in &mut self.seats {
            if seat.sitting == Sitting::NotBegun {
                seat.sitting = Sitting::Due(now);
            }
        }
    }

    /// When the others start although the first worker is not ready yet.
    pub(super) fn follow_at(&self) -> Option<Instant> {
        let waiting = self.seats.iter().any(|seat| seat.sitting == Sitting::NotBegun);
        let online = self.workers.values().filter_map(|w| w.online).min();
        if waiting && self.wants_workers() { Some(online? + SETTLED) } else { None }
    }

    /// When the zygote is overdue: with its hello, or with its answer to a spawn.
    pub(super) fn zygote_due(&self) -> Option<Instant> {
        match self.zygote {
            Zygote::Starting { since } => Some(since + HANDSHAKE_TIMEOUT),
            Zygote::Up => {
                let asked = self.workers.values().filter(|w| w.pid.is_none()).map(|w| w.since);
                asked.min().map(|since| since + HANDSHAKE_TIMEOUT)
            }
            Zygote::Absent { .. } | Zygote::Killed { .. } => None,
        }
    }

    pub(super) fn kill_zygote(&mut self, out: &mut Vec<Action>) {
        if matches!(self.zygote, Zygote::Starting { .. } | Zygote::Up) {
            self.zygote = Zygote::Killed { was_up: self.zygote == Zygote::Up };
            out.push(Action::KillZygote);
        }
    }
}
