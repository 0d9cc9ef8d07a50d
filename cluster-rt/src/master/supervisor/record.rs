//! What the supervisor remembers of a slot and of a worker, and the cause of an exit.
//!
//! Bookkeeping and one judgement; what follows from it is in `exit`.

use std::{
    collections::BTreeSet, os::unix::process::ExitStatusExt, process::ExitStatus, time::Instant,
};

use nix::sys::signal::Signal;

use crate::{
    event::{ExitCause, WorkerState},
    id::{ListenerId, WorkerId},
};

/// Who sits in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sitting {
    /// Nobody yet: the first worker starts alone.
    #[default]
    NotBegun,
    /// A worker is to be spawned at this time.
    Due(Instant),
    /// This worker.
    Taken(WorkerId),
    /// Nobody any more.
    Empty,
}

/// A slot.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) sitting: Sitting,
    /// Failures in a row, for the backoff.
    pub(super) faults: u32,
    /// The listeners on which the slot's last ready worker accepted: its replacement is ready when it
    /// accepts on them too.
    pub(super) listeners: BTreeSet<ListenerId>,
}

/// Why the supervisor sent SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KilledFor {
    /// It was not ready in time.
    StartTimeout,
    /// It broke the rules.
    Misbehaving,
    /// It had been ordered to stop, or everything is being killed.
    Stop,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) slot: usize,
    /// `None` until the zygote has answered.
    pub(super) pid: Option<u32>,
    /// When the spawn was asked for, then when it was done.
    pub(super) since: Instant,
    /// It said hello.
    pub(super) greeted: bool,
    pub(super) online: Option<Instant>,
    pub(super) ready: Option<Instant>,
    /// It has bound something, so that it is not ready just by running.
    pub(super) bound: bool,
    /// It has bound, accepted or said ready: ready by its own doing.
    pub(super) engaged: bool,
    pub(super) accepting: BTreeSet<ListenerId>,
    /// When it asked for its own end.
    pub(super) stop_asked: Option<Instant>,
    /// When SIGKILL follows the order to drain.
    pub(super) drain_until: Option<Instant>,
    pub(super) link_closed: Option<Instant>,
    /// Exit code and panic, as told by the worker just before its exit.
    pub(super) main_ended: Option<(i32, bool)>,
    pub(super) killed: Option<KilledFor>,
}

impl Worker {
    pub(super) fn new(slot: usize, now: Instant) -> Self {
        Self {
            slot,
            pid: None,
            since: now,
            greeted: false,
            online: None,
            ready: None,
            bound: false,
            engaged: false,
            accepting: BTreeSet::new(),
            stop_asked: None,
            drain_until: None,
            link_closed: None,
            main_ended: None,
            killed: None,
        }
    }

    pub(super) fn state(&self) -> WorkerState {
        if self.drain_until.is_some() {
            WorkerState::Draining
        } else if self.ready.is_some() {
            WorkerState::Ready
        } else {
            WorkerState::Starting
        }
    }

    /// Whether the exit code was chosen by a call of `exit`, rather than by what `main` returned.
    pub(super) fn exited_on_its_own(&self) -> bool {
        self.main_ended.is_none()
    }

    /// Why it ended with `status`.
    pub(super) fn cause(&self, status: ExitStatus) -> ExitCause {
        let asked = self.drain_until.is_some() || self.stop_asked.is_some();
        match self.killed {
            Some(KilledFor::StartTimeout) => return ExitCause::FailedToStart,
            Some(KilledFor::Stop) => return ExitCause::Stopped,
            Some(KilledFor::Misbehaving) | None => {}
        }
        let began = self.ready.is_some() && self.engaged;
        match (status.code(), status.signal()) {
            (Some(_), _) if asked => ExitCause::Stopped,
            (Some(0), _) => ExitCause::Finished(0),
            (Some(_), _) if !began => ExitCause::FailedToStart,
            (Some(code), _) => match self.main_ended {
                // `Err` gives 1: another code was main's own choice.
                Some((code, false)) if code != 1 => ExitCause::Finished(code),
                _ => ExitCause::Crashed(code),
            },
            (None, Some(signal)) if asked && signal == Signal::SIGTERM as i32 => ExitCause::Stopped,
            (None, Some(signal)) if !began && is_fault(signal) => ExitCause::FailedToStart,
            (None, signal) => ExitCause::Signaled {
                signal: signal.unwrap_or(0),
                core_dumped: status.core_dumped(),
            },
        }
    }
}

/// Signals that a program brings upon itself.
pub(super) fn is_fault(signal: i32) -> bool {
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT]
        .iter()
        .any(|&fault| fault as i32 == signal)
}
