//! What the supervisor remembers of a slot and of a worker, and the cause of an exit.
//!
//! Bookkeeping and one judgement; what follows from it is in `exit`.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::OrderId;
use crate::{
    endpoint::Endpoint,
    event::{ExitCause, WorkerState},
    id::{ListenerId, WorkerId},
    policy::limits::Limits,
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

/// A slot. Beside the worker that sits in it there may be one that is to replace it, its successor;
/// workers that were replaced and still drain belong to no seat.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) service: usize,
    pub(super) sitting: Sitting,
    /// The generation that its next worker is made from: the one it last had ready.
    pub(super) generation: u32,
    /// Failures in a row, for the backoff.
    pub(super) faults: u32,
    /// The listeners on which the slot's last ready worker accepted: its replacement is ready when it
    /// accepts on them too.
    pub(super) listeners: BTreeSet<ListenerId>,
    pub(super) successor: Option<Successor>,
    /// Its worker is past a limit and is to be replaced.
    pub(super) worn: bool,
    /// Who ordered its worker to be replaced.
    pub(super) orders: Vec<OrderId>,
    /// After a replacement that failed: no other before this.
    pub(super) not_before: Option<Instant>,
}

impl Seat {
    pub(super) fn new(service: usize, sitting: Sitting, generation: u32) -> Self {
        Self {
            service,
            sitting,
            generation,
            faults: 0,
            listeners: BTreeSet::new(),
            successor: None,
            worn: false,
            orders: Vec::new(),
            not_before: None,
        }
    }

    pub(super) fn successor_id(&self) -> Option<WorkerId> {
        match self.successor.as_ref()?.stage {
            Stage::Starting(worker) => Some(worker),
            Stage::Due(_) => None,
        }
    }
}

/// The replacement of a slot's worker, from the decision until it takes the seat.
#[derive(Clone, Debug)]
pub(super) struct Successor {
    pub(super) why: Why,
    pub(super) generation: u32,
    pub(super) stage: Stage,
}

/// Why a worker is replaced although it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// For a newer generation.
    Reload,
    /// For the older generation, after a reload that failed.
    Rollback,
    /// It is worn, or somebody ordered it.
    Renewal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// To be spawned at this time.
    Due(Instant),
    Starting(WorkerId),
}

/// How a worker stands to the slot whose number it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Sitting,
    Successor,
    /// It was replaced, or its slot is gone.
    Departed,
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
    /// It gave no sign of life, and SIGABRT did not end it.
    Hung,
    /// Its `main` had ended, and its process did not.
    Lingering,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) slot: usize,
    pub(super) service: usize,
    pub(super) generation: u32,
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
    /// What it has bound and not dropped.
    pub(super) listeners: BTreeMap<ListenerId, Endpoint>,
    /// It has bound, accepted or said ready: ready by its own doing.
    pub(super) engaged: bool,
    pub(super) accepting: BTreeSet<ListenerId>,
    /// When it asked for its own end.
    pub(super) stop_asked: Option<Instant>,
    /// When SIGKILL follows the order to drain.
    pub(super) drain_until: Option<Instant>,
    /// Its own code wants another in its place.
    pub(super) replace_asked: bool,
    /// It was replaced for being past a limit.
    pub(super) recycled: bool,
    pub(super) link_closed: Option<Instant>,
    /// Exit code and panic, as told by the worker before its exit.
    pub(super) main_ended: Option<(i32, bool)>,
    /// When it first told that.
    pub(super) main_over: Option<Instant>,
    pub(super) killed: Option<KilledFor>,
    /// When SIGABRT was sent because it hung.
    pub(super) aborted: Option<Instant>,
    /// What was wrong with it, in words.
    pub(super) fault: Option<String>,
    pub(super) limits: Limits,
    pub(super) heart: Heart,
}

/// For how long a worker has given no sign of life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heart {
    /// The last heartbeat seen.
    pub(super) beat: u64,
    /// How long it had been waiting for a processor in all when that was seen last.
    pub(super) starved: Duration,
    /// The time since the beat in which it had a processor, or wanted none.
    pub(super) silent: Duration,
    /// All the time since the beat.
    pub(super) elapsed: Duration,
}

impl Worker {
    pub(super) fn new(
        (slot, service): (usize, usize),
        generation: u32,
        limits: Limits,
        now: Instant,
    ) -> Self {
        Self {
            slot,
            service,
            generation,
            pid: None,
            since: now,
            greeted: false,
            online: None,
            ready: None,
            bound: false,
            listeners: BTreeMap::new(),
            engaged: false,
            accepting: BTreeSet::new(),
            stop_asked: None,
            drain_until: None,
            replace_asked: false,
            recycled: false,
            link_closed: None,
            main_ended: None,
            main_over: None,
            killed: None,
            aborted: None,
            fault: None,
            limits,
            heart: Heart::default(),
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

    /// Whether it serves, its `main` goes on, and nothing has been done about its end.
    pub(super) fn is_serving(&self) -> bool {
        let is_left_alone = self.killed.is_none() && self.aborted.is_none();
        self.state() == WorkerState::Ready && is_left_alone && self.main_over.is_none()
    }

    /// Whether its `main` returned an error.
    pub(super) fn returned_an_error(&self) -> bool {
        matches!(self.main_ended, Some((code, false)) if code != 0)
    }

    /// Whether the exit code was chosen by a call of `exit`, rather than by what `main` returned.
    pub(super) fn exited_on_its_own(&self) -> bool {
        self.main_ended.is_none()
    }

    /// Why it ended with `status`.
    pub(super) fn cause(&self, status: ExitStatus) -> ExitCause {
        let asked = self.drain_until.is_some() || self.stop_asked.is_some();
        let as_asked = if self.recycled { ExitCause::Recycled } else { ExitCause::Stopped };
        match self.killed {
            Some(KilledFor::StartTimeout) => return ExitCause::FailedToStart,
            Some(KilledFor::Stop) => return as_asked,
            Some(KilledFor::Hung | KilledFor::Misbehaving | KilledFor::Lingering) | None => {}
        }
        if self.aborted.is_some() {
            return ExitCause::Hung;
        }
        let began = self.ready.is_some() && self.engaged;
        let code = match (self.killed, self.main_ended) {
            (Some(KilledFor::Lingering), Some((code, _))) => Some(code),
            _ => status.code(),
        };
        match (code, status.signal()) {
            (Some(_), _) if asked => as_asked,
            (Some(0), _) => ExitCause::Finished(0),
            (Some(_), _) if !began => ExitCause::FailedToStart,
            (Some(code), _) => match self.main_ended {
                // `Err` gives 1: another code was main's own choice.
                Some((code, false)) if code != 1 => ExitCause::Finished(code),
                _ => ExitCause::Crashed(code),
            },
            (None, Some(signal)) if asked && signal == Signal::SIGTERM as i32 => as_asked,
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

/// Those of them by which an attempt to break in ends that has guessed an address wrong.
pub(super) fn is_break_in(signal: i32) -> bool {
    is_fault(signal) && signal != Signal::SIGFPE as i32
}
