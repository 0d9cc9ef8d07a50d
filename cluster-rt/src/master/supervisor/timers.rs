//! Everything the supervisor waits for, as a list of deadlines made from its state.
//!
//! A timer is not armed or disarmed: it is there while the state that it belongs to is.

use std::time::Instant;

use super::{
    Action, Supervisor,
    record::{KilledFor, Sitting},
    start::{SETTLED, Zygote},
    stop::{Phase, TERM_SETTLE},
};
use crate::{id::WorkerId, wire::HANDSHAKE_TIMEOUT};

/// What is to happen at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    Spawn {
        slot: usize,
    },
    Follow,
    OpenDispatch,
    StartZygote,
    ZygoteOverdue,
    /// No hello came.
    Silent(WorkerId),
    NotReady(WorkerId),
    /// Ran a second and bound nothing.
    ReadyByRunning(WorkerId),
    StopAsked(WorkerId),
    DrainOver(WorkerId),
    /// The link was closed, and the worker did not end.
    LinkClosed(WorkerId),
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
        let retry = match self.zygote {
            Zygote::Absent { retry } if self.wants_workers() => retry,
            _ => None,
        };
        let phase = match self.phase {
            Phase::Delaying { until, code } => Some((until, Timer::StopDelayOver { code })),
            Phase::Closing { deadline, code } => Some((deadline, Timer::ClosingOver { code })),
            _ => None,
        };
        let own = [
            phase,
            retry.map(|at| (at, Timer::StartZygote)),
            self.zygote_due().map(|at| (at, Timer::ZygoteOverdue)),
            self.follow_at().map(|at| (at, Timer::Follow)),
            self.open_at.map(|at| (at, Timer::OpenDispatch)),
        ];
        own.into_iter().flatten().chain(self.seat_timers()).chain(self.worker_timers())
    }

    fn seat_timers(&self) -> impl Iterator<Item = (Instant, Timer)> + '_ {
        let may_spawn = self.may_spawn();
        self.seats.iter().enumerate().filter_map(move |(slot, seat)| match seat.sitting {
            Sitting::Due(at) if may_spawn => Some((at, Timer::Spawn { slot })),
            _ => None,
        })
    }

    fn worker_timers(&self) -> impl Iterator<Item = (Instant, Timer)> + '_ {
        self.workers.iter().filter(|(_, w)| w.pid.is_some() && w.killed.is_none()).flat_map(
            move |(&id, w)| {
                let draining = w.drain_until.is_some();
                let starting = w.ready.is_none() && !draining;
                let unbound = w.online.filter(|_| starting && !w.bound);
                [
                    (!w.greeted).then_some((w.since + HANDSHAKE_TIMEOUT, Timer::Silent(id))),
                    starting.then_some((w.since + self.rules.start_timeout, Timer::NotReady(id))),
                    unbound.map(|at| (at + SETTLED, Timer::ReadyByRunning(id))),
                    w.stop_asked
                        .filter(|_| !draining)
                        .map(|at| (at + TERM_SETTLE, Timer::StopAsked(id))),
                    w.drain_until.map(|at| (at, Timer::DrainOver(id))),
                    w.link_closed.map(|at| (at + LINK_CLOSED_GRACE, Timer::LinkClosed(id))),
                ]
                .into_iter()
                .flatten()
            },
        )
    }

    /// Carries out every timer that has run out, also those that follow from others.
    pub(super) fn run_timers(&mut self, now: Instant, out: &mut Vec<Action>) {
        while let Some((_, timer)) = self.timers().filter(|&(at, _)| at <= now).min_by_key(|t| t.0)
        {
            self.run_timer(timer, now, out);
        }
    }

    fn run_timer(&mut self, timer: Timer, now: Instant, out: &mut Vec<Action>) {
        match timer {
            Timer::Spawn { slot } => self.spawn(slot, now, out),
            Timer::Follow => self.follow(now),
            Timer::OpenDispatch => {
                self.open_at = None;
                self.opened = true;
                out.push(Action::OpenDispatch);
            }
            Timer::StartZygote => self.exec_zygote(now, out),
            Timer::ZygoteOverdue => {
                let limit = HANDSHAKE_TIMEOUT.as_secs();
                out.push(Action::Warn(format!("the zygote did not answer for {limit} s: killed")));
                self.kill_zygote(out);
            }
            Timer::Silent(worker) => {
                let limit = HANDSHAKE_TIMEOUT.as_secs();
                self.misbehaved(worker, &format!("no hello on its link for {limit} s"), out);
            }
            Timer::NotReady(worker) => {
                let limit = self.rules.start_timeout;
                out.push(Action::Warn(format!(
                    "worker {worker} is killed: not ready {} after its spawn (start_timeout)",
                    humantime::format_duration(limit)
                )));
                self.kill_worker(worker, KilledFor::StartTimeout, out);
            }
            Timer::ReadyByRunning(worker) => self.ready(worker, now, out),
            Timer::StopAsked(worker) => self.drain(worker, now, out),
            Timer::DrainOver(worker) => self.kill_worker(worker, KilledFor::Stop, out),
            Timer::LinkClosed(worker) => {
                self.misbehaved(worker, "it closed its link and did not end", out);
            }
            Timer::StopDelayOver { code } => self.close_listeners(code, now, out),
            Timer::ClosingOver { code } => self.kill(code, out),
        }
    }
}
