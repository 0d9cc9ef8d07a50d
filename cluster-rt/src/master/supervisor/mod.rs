//! The supervisor: what the master decides, as a pure machine of inputs, time and actions.
//!
//! Does no I/O, reads no clock, knows no process: [`Supervisor::step`] takes what happened and the
//! time, and returns what to do. Its decisions depend on nothing else, so that a recorded run replays.
//! It is total: an input about a worker that is gone changes nothing. Nothing is retried inside a
//! step; a later timer does it, so that a stop always gets through.

mod actions;
#[cfg(test)]
mod changes_tests;
mod exit;
#[cfg(test)]
mod faults_tests;
mod inputs;
#[cfg(test)]
mod random_tests;
mod record;
mod reload;
mod replace;
mod scale;
mod seats;
mod services;
#[cfg(test)]
mod services_tests;
mod shares;
mod start;
mod stop;
#[cfg(test)]
mod tests;
mod timers;
mod watch;
mod zygotes;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

pub(crate) use self::{
    actions::{Action, Done, Outcome, STOPPING},
    exit::USAGE_CODES,
    inputs::{Input, OrderId, Signs},
};
use self::{
    record::{Seat, Sitting, Worker},
    reload::Reload,
    scale::Scaling,
    seats::Seats,
    services::Service,
    stop::Phase,
    zygotes::Zygote,
};
use crate::{
    config::{Config, ServiceConfig},
    event::WorkerState,
    id::WorkerId,
};

/// The generation of the code that the master was started with.
pub(crate) const FIRST_GENERATION: u32 = 1;

/// What exit code the cluster ends with when it gives up.
pub(crate) const EXIT_GAVE_UP: i32 = 70;

/// The whole state.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// The options of the cluster; those of workers are of their services.
    rules: Config,
    services: Vec<Service>,
    /// For what is drawn by chance.
    seed: u64,
    begun: Instant,
    phase: Phase,
    /// By generation.
    zygotes: BTreeMap<u32, Zygote>,
    /// By slot. Those of a service are as many as it is to have workers.
    seats: Seats,
    /// The workers that live, or whose spawn was asked for.
    workers: BTreeMap<WorkerId, Worker>,
    /// That of the last reload that went well: what a new slot gets.
    generation: u32,
    /// The last number given to a generation.
    last_generation: u32,
    reload: Option<Reload>,
    /// Who waits for the reload after this one, if somebody does.
    next_reload: Option<Vec<OrderId>>,
    /// By service.
    scaling: BTreeMap<usize, Scaling>,
    /// When the workers were looked at last, and what time that look covers.
    looked: Option<Instant>,
    look_covers: Duration,
    /// The next identity; never given twice.
    next_worker: u64,
    /// Whether any worker was ever ready.
    ever_ready: bool,
    /// When the dispatcher is to begin; `None` before the first worker is ready and after it has begun.
    open_at: Option<Instant>,
    opened: bool,
    /// The code of the last worker that ended by itself, 0 excepted.
    last_code: i32,
    /// While closing: connections wait that nobody can serve.
    connections_wait: bool,
    /// The dispatcher knows that nobody is to come for them.
    forsaken: bool,
    /// When the first INT came.
    interrupted: Option<Instant>,
}

impl Supervisor {
    /// A supervisor of these services that has not begun; what it draws by chance comes from `seed`.
    pub(crate) fn new(
        rules: Config,
        services: Vec<ServiceConfig>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut supervisor = Self {
            rules,
            seed,
            begun: now,
            phase: Phase::Running,
            zygotes: BTreeMap::new(),
            services: Vec::new(),
            seats: Seats::default(),
            workers: BTreeMap::new(),
            generation: FIRST_GENERATION,
            last_generation: FIRST_GENERATION,
            reload: None,
            next_reload: None,
            scaling: BTreeMap::new(),
            looked: None,
            look_covers: Duration::ZERO,
            next_worker: 1,
            ever_ready: false,
            open_at: None,
            opened: false,
            last_code: 0,
            connections_wait: false,
            forsaken: false,
            interrupted: None,
        };
        supervisor.open_services(services);
        supervisor
    }

    /// What follows from `input` at the time `now`, and from every timer that has run out by then.
    pub(crate) fn step(&mut self, input: Input, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        self.take(input, now, &mut out);
        self.run_timers(now, &mut out);
        self.forsake_waiting(&mut out);
        self.end_if_done(&mut out);
        out
    }

    /// Begins what has become possible: the next step of a reload, else a replacement somebody wishes.
    fn advance(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        self.begin_services(now);
        self.advance_reload(now, out);
        if self.reload.is_none() {
            self.renew_one(now, out);
        }
        self.look_after_shares(out);
        self.look_after_scaling(out);
        self.release_zygotes(out);
    }

    fn take(&mut self, input: Input, now: Instant, out: &mut Vec<Action>) {
        match input {
            Input::Start => self.begin(now, out),
            Input::ZygotePreloading { generation } => self.zygote_preloading(generation, now),
            Input::ZygoteUp { generation } => self.zygote_up(generation),
            Input::ZygoteExited { generation, reason } => {
                self.zygote_exited(generation, reason, now, out);
            }
            Input::ZygoteNotStarted { generation, reason } => {
                self.zygote_not_started(generation, &reason, now, out);
            }
            Input::Spawned { worker, pid } => self.spawned(worker, pid, now, out),
            Input::SpawnFailed { worker, errno } => self.spawn_failed(worker, errno, now, out),
            Input::Greeted { worker } => self.with(worker, |w| w.greeted = true),
            Input::Online { worker } => self.online(worker, now, out),
            Input::Bound { worker, listener, addr } => self.bound(worker, listener, addr, out),
            Input::Accepting { worker, listener } => self.accepting(worker, listener, now, out),
            Input::Unlistened { worker, listener } => {
                self.with(worker, |w| {
                    w.accepting.remove(&listener);
                    w.listeners.remove(&listener);
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
            Input::ReplaceAsked { worker } => {
                self.with(worker, |w| w.replace_asked = true);
                self.wear_out_if_asked(worker);
            }
            Input::MainEnded { worker, code, panicked } => {
                self.with(worker, |w| {
                    w.main_ended = Some((code, panicked));
                    w.main_over.get_or_insert(now);
                });
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
            Input::Looked { signs } => self.looked_at(&signs, now, out),
            Input::Scale { order, service, target } => {
                self.scale_ordered(order, service.as_deref(), target, now, out);
            }
            Input::Respawn { order, slot } => self.respawn_ordered(order, slot, out),
            Input::Reload { order } => self.reload_ordered(order, out),
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

    /// The generation of the last reload that went well.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The workers that live.
    pub(crate) fn workers(&self) -> impl Iterator<Item = Known> + '_ {
        self.workers.iter().map(|(&worker, w)| Known {
            worker,
            slot: w.slot,
            service: self.name_of(w.service),
            generation: w.generation,
            pid: w.pid,
            state: w.state(),
            silent: (w.heart.beat != 0).then_some(w.heart.elapsed),
        })
    }

    /// Whether the worker sits in its slot, or will as soon as it is there.
    pub(crate) fn sits(&self, worker: WorkerId) -> bool {
        self.place(worker) == record::Place::Sitting
    }

    /// Whether the worker was replaced or scaled away.
    pub(crate) fn is_departed(&self, worker: WorkerId) -> bool {
        self.place(worker) == record::Place::Departed
    }

    /// Whether the cluster is on its way to the end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Whether the worker is on its way out.
    pub(crate) fn is_draining(&self, worker: WorkerId) -> bool {
        let leaving =
            |w: &Worker| w.drain_until.is_some() || w.stop_asked.is_some() || w.main_over.is_some();
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
        let due = |seat: &Seat| matches!(seat.sitting, Sitting::Due(_)) || seat.successor.is_some();
        self.seats.iter().any(due)
    }
}

/// What the supervisor knows of a worker that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) worker: WorkerId,
    pub(crate) slot: usize,
    pub(crate) service: Option<&'static str>,
    pub(crate) generation: u32,
    pub(crate) pid: Option<u32>,
    pub(crate) state: WorkerState,
    /// How old its heartbeat was at the last look; `None` if nobody looks.
    pub(crate) silent: Option<Duration>,
}
