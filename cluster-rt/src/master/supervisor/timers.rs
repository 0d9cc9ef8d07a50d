//! Everything the supervisor waits for, as a list of deadlines made from its state.
//!
//! A timer is not armed or disarmed: it is there while the state that it belongs to is.

use std::{collections::BTreeSet, time::Instant};

use super::{
    Action, Supervisor,
    record::{KilledFor, Place, Sitting, Stage, Worker},
    start::SETTLED,
    stop::{Phase, TERM_SETTLE},
};
use crate::{id::WorkerId, wire::HANDSHAKE_TIMEOUT};

/// What is to happen at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Spawn {
        slot: usize,
    },
    SpawnSuccessor {
        slot: usize,
    },
    /// The newcomer on trial has lived long enough.
    TrialOver {
        slot: usize,
    },
    /// A replacement that failed may be tried again.
    RenewAgain {
        slot: usize,
    },
    /// The others of the service start.
    Follow {
        service: usize,
    },
    OpenDispatch,
    StartZygote {
        generation: u32,
    },
    ZygoteOverdue {
        generation: u32,
    },
    /// Look whether workers hang or are past a limit.
    Look,
    /// No hello came.
    Silent(WorkerId),
    NotReady(WorkerId),
    /// Ran a second and bound nothing.
    ReadyByRunning(WorkerId),
    StopAsked(WorkerId),
    DrainOver(WorkerId),
    Worn(WorkerId),
    /// SIGABRT did not end it.
    AbortOver(WorkerId),
    /// The link was closed, and the worker did not end.
    LinkClosed(WorkerId),
    /// Its `main` has ended, and the process did not.
    Lingers(WorkerId),
    StopDelayOver {
        code: i32,
    },
    ClosingOver {
        code: i32,
    },
}

/// A worker that closed its link is ending; this long it may take.
const LINK_CLOSED_GRACE: std::time::Duration = std::time::Duration::from_secs(2);

impl Supervisor {
    pub(super) fn timers(&self) -> impl Iterator<Item = (Instant, Timer)> + '_ {
        let phase = match self.phase {
            Phase::Delaying { until, code } => Some((until, Timer::StopDelayOver { code })),
            Phase::Closing { deadline, code } => Some((deadline, Timer::ClosingOver { code })),
            _ => None,
        };
        let own = [
            phase,
            self.look_at().map(|at| (at, Timer::Look)),
            self.open_at.map(|at| (at, Timer::OpenDispatch)),
        ];
        own.into_iter()
            .flatten()
            .chain(self.follow_at().map(|(at, service)| (at, Timer::Follow { service })))
            .chain(self.zygote_timers())
            .chain(self.seat_timers())
            .chain(self.worker_timers())
    }

    fn zygote_timers(&self) -> impl Iterator<Item = (Instant, Timer)> + '_ {
        let retries = self.zygote_retries();
        let retries = retries.map(|(at, generation)| (at, Timer::StartZygote { generation }));
        let overdue = self.zygotes_due();
        retries.chain(overdue.map(|(at, generation)| (at, Timer::ZygoteOverdue { generation })))
    }

    fn seat_timers(&self) -> impl Iterator<Item = (Instant, Timer)> + '_ {
        // Once for all seats, which can be as many as the workers that have to be counted for it.
        let rooms: BTreeSet<u32> =
            self.zygotes.keys().copied().filter(|&of| self.takes_a_spawn(of)).collect();
        let may_spawn = move |service: usize, generation: u32| {
            rooms.contains(&generation) && self.wants_workers(service)
        };
        self.seats.numbered().flat_map(move |(slot, seat)| {
            let sitting = match seat.sitting {
                Sitting::Due(at) if may_spawn(seat.service, seat.generation) => {
                    Some((at, Timer::Spawn { slot }))
                }
                _ => None,
            };
            let successor = seat.successor.as_ref().and_then(|successor| match successor.stage {
                Stage::Due(at) if may_spawn(seat.service, successor.generation) => {
                    Some((at, Timer::SpawnSuccessor { slot }))
                }
                _ => None,
            });
            let trial = self.trial_over(slot).map(|at| (at, Timer::TrialOver { slot }));
            let again = seat.not_before.map(|at| (at, Timer::RenewAgain { slot }));
            [sitting, successor, trial, again].into_iter().flatten()
        })
    }

    fn worker_timers(&self) -> impl Iterator<Item = (Instant, Timer)> + '_ {
        self.workers.iter().filter(|(_, w)| w.pid.is_some() && w.killed.is_none()).flat_map(
            move |(&id, w)| {
                let draining = w.drain_until.is_some();
                let starting = w.ready.is_none() && !draining;
                [
                    (!w.greeted).then_some((w.since + HANDSHAKE_TIMEOUT, Timer::Silent(id))),
                    starting.then_some((
                        w.since + self.rules_of(w.service).start_timeout,
                        Timer::NotReady(id),
                    )),
                    self.ready_by_running(id, w).map(|at| (at, Timer::ReadyByRunning(id))),
                    self.worn_at(id, w).map(|at| (at, Timer::Worn(id))),
                    Self::abort_over(w).map(|at| (at, Timer::AbortOver(id))),
                    // On the way to the end every worker is told when its turn has come.
                    w.stop_asked
                        .filter(|_| !draining && self.phase == Phase::Running)
                        .map(|at| (at + TERM_SETTLE, Timer::StopAsked(id))),
                    w.drain_until.map(|at| (at, Timer::DrainOver(id))),
                    w.link_closed.map(|at| (at + LINK_CLOSED_GRACE, Timer::LinkClosed(id))),
                    w.main_over
                        .filter(|_| !draining)
                        .map(|at| (at + self.rules_of(w.service).grace, Timer::Lingers(id))),
                ]
                .into_iter()
                .flatten()
            },
        )
    }

    /// When a worker that binds nothing is ready. Not one that is to replace a worker that listens: it
    /// may still be waiting for a database, and then fail.
    fn ready_by_running(&self, id: WorkerId, worker: &Worker) -> Option<Instant> {
        let starting = worker.ready.is_none() && worker.drain_until.is_none();
        let at = worker.online.filter(|_| starting && !worker.bound)? + SETTLED;
        let proves_itself = self.place(id) == Place::Successor && !self.required(id).is_empty();
        (!proves_itself).then_some(at)
    }

    /// Carries out every timer that has run out, also those that follow from others.
    pub(super) fn run_timers(&mut self, now: Instant, out: &mut Vec<Action>) {
        loop {
            self.drain_in_order(now, out);
            self.advance(now, out);
            let due = self.timers().filter(|&(at, _)| at <= now).min_by_key(|timer| timer.0);
            let Some((_, timer)) = due else { return };
            self.run_timer(timer, now, out);
        }
    }

    fn run_timer(&mut self, timer: Timer, now: Instant, out: &mut Vec<Action>) {
        match timer {
            Timer::Spawn { slot } => self.spawn(slot, now, out),
            Timer::Follow { service } => self.follow(service, now),
            Timer::OpenDispatch => {
                self.open_at = None;
                self.opened = true;
                out.push(Action::OpenDispatch);
            }
            Timer::SpawnSuccessor { slot } => self.spawn_successor(slot, now, out),
            Timer::TrialOver { slot } => self.promote(slot, now, out),
            Timer::RenewAgain { slot } => {
                if let Some(seat) = self.seats.get_mut(slot) {
                    seat.not_before = None;
                }
            }
            Timer::StartZygote { generation } => self.exec_zygote(generation, now, out),
            Timer::ZygoteOverdue { generation } => self.zygote_overdue(generation, out),
            Timer::Look => self.look(now, out),
            Timer::Worn(worker) => self.wear_out(worker),
            Timer::AbortOver(worker) => self.kill_worker(worker, KilledFor::Hung, out),
            Timer::Silent(worker) => {
                let limit = HANDSHAKE_TIMEOUT.as_secs();
                self.misbehaved(worker, &format!("no hello on its link for {limit} s"), out);
            }
            Timer::NotReady(worker) => {
                let Some(service) = self.workers.get(&worker).map(|w| w.service) else { return };
                let limit = humantime::format_duration(self.rules_of(service).start_timeout);
                let unmet = self.unmet(worker);
                let fault = format!("not ready {limit} after its spawn (start_timeout){unmet}");
                out.push(Action::Warn(format!("worker {worker} is killed: {fault}")));
                self.with(worker, |w| w.fault = Some(fault));
                self.kill_worker(worker, KilledFor::StartTimeout, out);
            }
            Timer::ReadyByRunning(worker) => self.ready(worker, now, out),
            Timer::StopAsked(worker) => self.drain(worker, now, out),
            Timer::DrainOver(worker) => self.kill_worker(worker, KilledFor::Stop, out),
            Timer::LinkClosed(worker) => {
                self.misbehaved(worker, "it closed its link and did not end", out);
            }
            Timer::Lingers(worker) => self.end_lingering(worker, out),
            Timer::StopDelayOver { code } => self.close_listeners(code, now, out),
            Timer::ClosingOver { code } => self.kill(code, out),
        }
    }
}
