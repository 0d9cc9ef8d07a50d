//! The supervisor: what the master decides, as a pure machine of inputs, time and actions.
//!
//! Does no I/O, reads no clock, knows no process: [`Supervisor::step`] takes what happened and the
//! time, and returns what to do. Its decisions depend on nothing else, so that a recorded run replays.
//! It is total: an input about a worker that is gone changes nothing. Nothing is retried inside a
//! step; a later timer does it, so that a stop always gets through.

mod exit;
mod record;
mod start;
mod stop;
#[cfg(test)]
mod tests;
mod timers;

use std::{collections::BTreeMap, net::SocketAddr, process::ExitStatus, time::Instant};

pub(crate) use self::exit::USAGE_CODES;
use self::{
    record::{Seat, Sitting, Worker},
    start::Zygote,
    stop::Phase,
};
use crate::{
    config::Config,
    event::{Event, WorkerState},
    id::{ListenerId, WorkerId},
};

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// The master is up: begin.
    Start,
    /// The zygote said hello.
    ZygoteUp,
    /// The zygote has ended, or could not be started.
    ZygoteExited { reason: String },
    /// A worker's process exists.
    Spawned { worker: WorkerId, pid: u32 },
    /// A worker's process could not be made.
    SpawnFailed { worker: WorkerId, errno: i32 },
    /// The worker said hello in our protocol.
    Greeted { worker: WorkerId },
    /// The worker is about to run `main`.
    Online { worker: WorkerId },
    /// The worker bound a listener.
    Bound { worker: WorkerId, addr: SocketAddr },
    /// The worker waits for connections on this listener.
    Accepting { worker: WorkerId, listener: ListenerId },
    /// The worker dropped this listener.
    Unlistened { worker: WorkerId, listener: ListenerId },
    /// The worker said that it is ready.
    SaidReady { worker: WorkerId },
    /// The worker got TERM, or its own code asked for its end.
    StopAsked { worker: WorkerId },
    /// The worker's `main` has ended.
    MainEnded { worker: WorkerId, code: i32, panicked: bool },
    /// The worker closed its link without having ended.
    LinkClosed { worker: WorkerId },
    /// The worker broke the rules of link or queue.
    Misbehaved { worker: WorkerId, what: String },
    /// The worker was reaped.
    Reaped { worker: WorkerId, status: ExitStatus, lost: u64 },
    /// After `CloseListeners`: every connection that the kernel had accepted has been dispatched.
    ListenersClosed,
    /// After `CloseListeners`: connections wait, and no worker is there to serve them.
    ConnectionsWait,
    /// End gracefully with this exit code.
    Stop { code: i32 },
    /// An INT from the terminal: the first stops, a later one kills.
    Interrupt,
    /// End at once with this exit code.
    Kill { code: i32 },
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Start a zygote.
    ExecZygote,
    /// SIGKILL the zygote.
    KillZygote,
    /// Ask the zygote for a worker.
    Spawn { worker: WorkerId, slot: usize },
    /// Close the link of a worker that may never have come to be.
    Forget { worker: WorkerId },
    /// Dispatch connections of this listener to the slot.
    Admit { slot: usize, listener: ListenerId },
    /// Dispatch nothing more to the slot; its worker has ended.
    Vacate { slot: usize },
    /// Dispatch nothing more to the worker, then order it to drain.
    Drain { worker: WorkerId },
    /// SIGKILL the worker.
    Kill { worker: WorkerId },
    /// Begin to take connections from the listeners.
    OpenDispatch,
    /// Accept what waits, dispatch it, close; then `Input::ListenersClosed`.
    CloseListeners,
    /// Tell the owner.
    Emit(Event),
    /// Say on stderr.
    Warn(String),
    /// Everything is reaped: end the process with this code.
    End { code: i32 },
}

/// What exit code the cluster ends with when it gives up.
pub(crate) const EXIT_GAVE_UP: i32 = 70;

/// The whole state.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// The options in force.
    rules: Config,
    phase: Phase,
    zygote: Zygote,
    /// By slot. Their number is the target.
    seats: Vec<Seat>,
    /// The workers that live, or whose spawn was asked for.
    workers: BTreeMap<WorkerId, Worker>,
    /// The next identity; never given twice.
    next_worker: u64,
    /// Whether any worker was ever ready.
    ever_ready: bool,
    /// Failed starts in a row while no worker was ready.
    failed_starts: u32,
    /// The zygote has made a worker since the last one ended.
    zygote_served: bool,
    /// Failed starts of the zygote in a row.
    failed_zygotes: u32,
    /// When the dispatcher is to begin; `None` before the first worker is ready and after it has begun.
    open_at: Option<Instant>,
    opened: bool,
    /// The code of the last worker that ended by itself, 0 excepted.
    last_code: i32,
    /// While closing: connections wait that nobody can serve.
    connections_wait: bool,
    /// When the first INT came.
    interrupted: Option<Instant>,
}

impl Supervisor {
    /// A supervisor of `target` slots that has not begun.
    pub(crate) fn new(rules: Config, target: usize) -> Self {
        Self {
            rules,
            phase: Phase::Running,
            zygote: Zygote::Absent { retry: None },
            seats: (0..target).map(|_| Seat::default()).collect(),
            workers: BTreeMap::new(),
            next_worker: 1,
            ever_ready: false,
            failed_starts: 0,
            zygote_served: false,
            failed_zygotes: 0,
            open_at: None,
            opened: false,
            last_code: 0,
            connections_wait: false,
            interrupted: None,
        }
    }

    /// What follows from `input` at the time `now`, and from every timer that has run out by then.
    pub(crate) fn step(&mut self, input: Input, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        self.take(input, now, &mut out);
        self.run_timers(now, &mut out);
        self.end_if_done(&mut out);
        out
    }

    fn take(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Start => self.begin(now, out),
            Input::ZygoteUp => self.zygote_up(),
            Input::ZygoteExited { reason } => self.zygote_exited(&reason, now, out),
            Input::Spawned { worker, pid } => self.spawned(worker, pid, now, out),
            Input::SpawnFailed { worker, errno } => self.spawn_failed(worker, errno, now, out),
            Input::Greeted { worker } => self.with(worker, |w| w.greeted = true),
            Input::Online { worker } => self.online(worker, now, out),
            Input::Bound { worker, addr } => self.bound(worker, addr, out),
            Input::Accepting { worker, listener } => self.accepting(worker, listener, now, out),
            Input::Unlistened { worker, listener } => {
                self.with(worker, |w| {
                    w.accepting.remove(&listener);
                });
            }
            Input::SaidReady { worker } => {
                self.with(worker, |w| w.engaged = true);
                self.ready(worker, now, out);
            }
            Input::StopAsked { worker } => {
                self.with(worker, |w| {
                    w.stop_asked.get_or_insert(now);
                });
            }
            Input::MainEnded { worker, code, panicked } => {
                self.with(worker, |w| w.main_ended = Some((code, panicked)));
            }
            Input::LinkClosed { worker } => {
                self.with(worker, |w| {
                    w.link_closed.get_or_insert(now);
                });
            }
            Input::Misbehaved { worker, what } => self.misbehaved(worker, &what, out),
            Input::Reaped { worker, status, lost } => self.reaped(worker, status, lost, now, out),
            Input::ListenersClosed => self.listeners_closed(now, out),
            Input::ConnectionsWait => self.connections_wait = true,
            Input::Stop { code } => self.stop(code, now, out),
            Input::Interrupt => self.interrupt(now, out),
            Input::Kill { code } => self.kill(code, out),
            Input::Tick => {}
        }
    }

    /// When to come back with a `Tick` if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers().map(|(at, _)| at).min()
    }

    /// The workers that live: identity, slot, pid, state.
    pub(crate) fn workers(
        &self,
    ) -> impl Iterator<Item = (WorkerId, usize, Option<u32>, WorkerState)> + '_ {
        self.workers.iter().map(|(&id, w)| (id, w.slot, w.pid, w.state()))
    }

    /// The slot of a worker that lives.
    pub(crate) fn slot_of(&self, worker: WorkerId) -> Option<usize> {
        self.workers.get(&worker).map(|w| w.slot)
    }

    /// Whether the worker is on its way out.
    pub(crate) fn is_draining(&self, worker: WorkerId) -> bool {
        let leaving = |w: &Worker| w.drain_until.is_some() || w.stop_asked.is_some();
        self.workers.get(&worker).is_some_and(leaving)
    }

    /// Whether any worker was ever ready.
    pub(crate) fn ever_ready(&self) -> bool {
        self.ever_ready
    }

    fn with(&mut self, worker: WorkerId, change: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self.workers.get_mut(&worker) {
            change(worker);
        }
    }

    fn any_ready(&self) -> bool {
        self.workers.values().any(|w| w.state() == WorkerState::Ready)
    }

    /// Whether some slot is waiting for a worker to be spawned, now or later.
    fn any_scheduled(&self) -> bool {
        self.seats.iter().any(|seat| matches!(seat.sitting, Sitting::Due(_)))
    }
}
